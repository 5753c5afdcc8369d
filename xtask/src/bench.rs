//! `cargo xtask bench`: speed and cost of the producer, as its own `bench` command measures them.

mod table;

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;
use xtask::apache::{Availability, Cluster, ClusterSpec, Permission, PortBlock, Version};
use xtask::process::{Process, tail};
use xtask::{paths, wait};

use crate::shell;

const TOPIC: &str = "bench";
const BODY: &str = "256";

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rounds over all cases, interleaved; the table shows medians and the spread.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A tenth of the messages: a look, not a measurement.
    #[arg(long)]
    quick: bool,
    /// Leave the real broker out.
    #[arg(long)]
    embedded_only: bool,
}

/// Sends under way at once, and how many messages in all, on the embedded and on the real broker.
const CASES: [(u32, u64, u64); 3] = [
    (1, 50_000, 20_000),
    (64, 500_000, 200_000),
    (1024, 2_000_000, 400_000),
];

/// A broker to send to.
struct Target {
    name: String,
    name_servers: String,
    real: bool,
}

/// The line that one run of the command prints; the rest of it is not shown here.
#[derive(Debug, Deserialize)]
struct Run {
    failed: u64,
    msgs_per_s: f64,
    cpu_us_per_msg: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    rss_mib: f64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.rounds == 0 {
        bail!("no rounds, no figures");
    }
    let cli = shell::producer_cli()?;
    let (_server, embedded) = serve(&cli)?;
    let mut targets = vec![embedded];
    let _cluster = if options.embedded_only {
        None
    } else {
        let (cluster, target) = real()?;
        targets.push(target);
        Some(cluster)
    };

    let mut results: Vec<(String, u32, Vec<Run>)> = Vec::new();
    for round in 1..=options.rounds {
        for (index, (target, case)) in pairs(&targets).enumerate() {
            let (in_flight, on_embedded, on_real) = case;
            let count = if target.real { on_real } else { on_embedded };
            let count = if options.quick { count / 10 } else { count };
            eprintln!(
                "round {round}: {}, {in_flight} in flight, {count} messages",
                target.name
            );
            let run = measure(&cli, target, in_flight, count)?;
            match results.get_mut(index) {
                Some((_, _, runs)) => runs.push(run),
                None => results.push((target.name.clone(), in_flight, vec![run])),
            }
        }
    }
    table::print(&results);
    Ok(())
}

fn pairs(targets: &[Target]) -> impl Iterator<Item = (&Target, (u32, u64, u64))> {
    targets
        .iter()
        .flat_map(|target| CASES.into_iter().map(move |case| (target, case)))
}

fn measure(cli: &Path, target: &Target, in_flight: u32, count: u64) -> Result<Run> {
    let in_flight = in_flight.to_string();
    let warm_up = (count / 10).to_string();
    let count = count.to_string();
    let line = shell::capture(Command::new(cli).args([
        "bench",
        "--json",
        "--mode",
        "sync",
        "--namesrv",
        &target.name_servers,
        "--topic",
        TOPIC,
        "--body",
        BODY,
        "--count",
        &count,
        "--concurrency",
        &in_flight,
        "--warmup",
        &warm_up,
    ]))?;
    serde_json::from_str(line.trim()).with_context(|| format!("not a result of a run: {line}"))
}

/// The embedded cluster in a process of its own, so that its work does not count as the producer's.
fn serve(cli: &Path) -> Result<(Process, Target)> {
    let ports = PortBlock::free()?;
    let address = format!("127.0.0.1:{}", ports.first());
    let help = shell::capture(Command::new(cli).args(["serve", "--help"]))?;
    let mut command = Command::new(cli);
    command.args([
        "serve",
        "--brokers",
        "1",
        "--port",
        &ports.first().to_string(),
    ]);
    let mut name = "embedded";
    if help.contains("--null") {
        command.arg("--null");
        name = "null";
    }
    let log = paths::target().join("bench-serve.log");
    let mut process = Process::spawn(&mut command, &log)?;
    let up = wait::until(Duration::from_secs(10), || {
        match (TcpStream::connect(&address), process.exited()) {
            (Ok(_), _) => Some(true),
            (_, Ok(None)) => None,
            _ => Some(false),
        }
    });
    if up != Some(true) {
        bail!("the embedded cluster does not start:\n{}", tail(&log, 20));
    }
    let target = Target {
        name: name.to_owned(),
        name_servers: address,
        real: false,
    };
    Ok((process, target))
}

fn real() -> Result<(Cluster, Target)> {
    if let Availability::Missing(reason) = Availability::check() {
        bail!("no real broker: {reason}; `--embedded-only` does without");
    }
    let version = Version::V5_5_0;
    let cluster = Cluster::start(&ClusterSpec::new(version))?;
    cluster.create_topic(TOPIC, 8, Permission::READ_WRITE)?;
    let target = Target {
        name: format!("Apache {version}"),
        name_servers: cluster.name_server_addr(),
        real: true,
    };
    Ok((cluster, target))
}
