//! `soak`: load, faults at random and the oracle; see `docs/src/faults.md`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use rocketmq_producer_tests::soak::{Apache, Embedded, Plan, run};
use xtask::apache::Availability;

/// Sends under faults drawn from a seed and checks that every promise is kept.
#[derive(Debug, Parser)]
struct Options {
    /// How long; 1 unless --seconds is given.
    #[arg(long)]
    minutes: Option<u64>,
    /// How long, besides the minutes.
    #[arg(long)]
    seconds: Option<u64>,
    /// On real brokers instead of the embedded cluster.
    #[arg(long)]
    apache: bool,
    /// With automatic batches.
    #[arg(long)]
    auto_batch: bool,
    /// What the faults are drawn from; another one each time by default.
    #[arg(long)]
    seed: Option<u64>,
}

/// Counts what is in use. Resident memory would not do: what a round's judge needed stays with the allocator.
#[global_allocator]
static HEAP: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let seconds = match (options.minutes, options.seconds) {
        (None, None) => 60,
        (minutes, seconds) => minutes.unwrap_or(0) * 60 + seconds.unwrap_or(0),
    };
    let plan = Plan {
        seed: options
            .seed
            .unwrap_or_else(|| RandomState::new().hash_one(0) % 1_000_000),
        time: Duration::from_secs(seconds),
        auto_batch: options.auto_batch,
        tell: |text| eprintln!("{text}"),
        memory: Some(|| (HEAP.allocated() / 1024) as u64),
    };
    eprintln!("seed {}, {seconds} s", plan.seed);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let report = runtime.block_on(async {
        if !options.apache {
            return run(Embedded::start().await?, &plan).await;
        }
        if let Availability::Missing(reason) = Availability::check() {
            bail!("no real broker: {reason}");
        }
        run(Apache::start().await?, &plan).await
    })?;
    println!("{report}");
    Ok(if report.breaches().is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
