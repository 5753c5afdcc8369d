//! `faults`: the fault table on real Apache brokers; see `docs/src/faults.md`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use rocketmq_producer_tests::faults::{Case, Mode, Plan, Row, Stage, findings, table};
use xtask::apache::Availability;

/// Measures what faults of real brokers do to a steady load.
#[derive(Debug, Parser)]
struct Options {
    /// Brokers of the cluster.
    #[arg(long, default_value_t = 2)]
    brokers: usize,
    /// Letters of the cases; a to f by default.
    #[arg(long, value_delimiter = ',')]
    cases: Vec<Case>,
    /// Sends under way at most; every case is run with each.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 1024])]
    in_flight: Vec<usize>,
    /// Give every message one of 64 sharding keys.
    #[arg(long)]
    keyed: bool,
    /// Run the load without keys and the one with keys at the same time, for a row of each.
    #[arg(long, conflicts_with = "keyed")]
    mixed: bool,
    /// Length of a case; cases whose fault needs longer take longer.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Messages per second of each load; 2000, or 1000 if there are two.
    #[arg(long)]
    rate: Option<u32>,
    /// Write the table to this file too.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if let Availability::Missing(reason) = Availability::check() {
        bail!("no real broker: {reason}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let (plan, rows) = runtime.block_on(run(&options))?;
    let (table, findings) = (table(&plan, &rows), findings(&rows));
    println!("{table}");
    if !findings.is_empty() {
        eprintln!("{findings}");
    }
    if let Some(out) = &options.out {
        std::fs::write(out, format!("{table}\n{findings}"))
            .with_context(|| format!("cannot write {}", out.display()))?;
    }
    let is_kept = rows.iter().all(|row| row.verdict.wrong == 0);
    Ok(if is_kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn run(options: &Options) -> Result<(Plan, Vec<Row>)> {
    let (mode, rate) = match options {
        Options { mixed: true, .. } => (Mode::Mixed, 1000),
        Options { keyed: true, .. } => (Mode::Keyed, 2000),
        _ => (Mode::Unkeyed, 2000),
    };
    let plan = Plan {
        brokers: options.brokers,
        rate: options.rate.unwrap_or(rate),
        seconds: options.seconds,
        mode,
    };
    let cases = match options.cases.as_slice() {
        [] => Case::TABLE.to_vec(),
        some => some.to_vec(),
    };
    eprintln!("booting {} brokers", plan.brokers);
    let stage = Stage::boot(plan.clone()).await?;
    let mut rows = Vec::new();
    for case in cases {
        for in_flight in &options.in_flight {
            eprintln!("{case}, {in_flight} in flight");
            let of_case = stage.run(case, *in_flight).await?;
            for row in &of_case {
                eprintln!("{}", row.story.join("\n"));
            }
            eprintln!("{}", table(&plan, &of_case));
            rows.extend(of_case);
        }
    }
    Ok((plan, rows))
}
