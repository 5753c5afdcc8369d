//! `cargo xtask bench`: speed and cost of the producer, as its own `bench` command measures them,
//! beside the floor, a bare socket loop, all in one interleaved run.

mod floor;
mod table;

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;
use xtask::apache::{Availability, Cluster, ClusterSpec, Permission, PortBlock, Version, ask};
use xtask::process::{Process, tail};
use xtask::{paths, wait};

use self::floor::Floor;
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
    /// Measure each case with binary and with JSON headers, also on Apache 4.9.7: what the default
    /// encoding is chosen by.
    #[arg(long)]
    headers: bool,
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
    /// The broker that the route leads to, for the floor.
    broker: String,
    real: bool,
}

/// One case and what its rounds measured.
struct Case {
    target: String,
    header: &'static str,
    in_flight: u32,
    ours: Vec<Run>,
    floor: Vec<Floor>,
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
    let mut clusters = Vec::new();
    if !options.embedded_only {
        let versions: &[Version] = if options.headers {
            &[Version::V5_5_0, Version::V4_9_7]
        } else {
            &[Version::V5_5_0]
        };
        for version in versions {
            let (cluster, target) = real(*version)?;
            targets.push(target);
            clusters.push(cluster);
        }
    }
    let headers: &[&str] = if options.headers {
        &["binary", "json"]
    } else {
        &["binary"]
    };

    let mut cases: Vec<Case> = Vec::new();
    let mut starts = Vec::new();
    for round in 1..=options.rounds {
        for (index, (target, header, case)) in combinations(&targets, headers).enumerate() {
            let (in_flight, on_embedded, on_real) = case;
            let count = if target.real { on_real } else { on_embedded };
            let count = if options.quick { count / 10 } else { count };
            eprintln!(
                "round {round}: {}, {header}, {in_flight} in flight, {count} messages",
                target.name
            );
            if cases.len() <= index {
                cases.push(Case {
                    target: target.name.clone(),
                    header,
                    in_flight,
                    ours: Vec::new(),
                    floor: Vec::new(),
                });
            }
            let case = &mut cases[index];
            case.ours
                .push(measure(&cli, target, header, in_flight, count)?);
            case.floor
                .push(floor::run(&target.broker, TOPIC, in_flight, count)?);
        }
        starts.push(start_to_exit(&cli, &targets[0])?);
    }
    table::print(&cases);
    table::print_start(&mut starts);
    Ok(())
}

/// From the start of a process to its end, with one message acknowledged in between.
fn start_to_exit(cli: &Path, target: &Target) -> Result<Duration> {
    let began = wait::now();
    shell::capture(Command::new(cli).args([
        "bench",
        "--json",
        "--namesrv",
        &target.name_servers,
        "--topic",
        TOPIC,
        "--count",
        "1",
        "--concurrency",
        "1",
        "--warmup",
        "0",
    ]))?;
    Ok(began.elapsed())
}

/// The address of the broker that the route of the topic names first.
fn broker_of(name_servers: &str) -> Result<String> {
    let fields = [("topic", TOPIC), ("acceptStandardJsonOnly", "true")];
    let answer = ask(name_servers, 105, &fields, Duration::from_secs(3))?;
    let route: serde_json::Value = serde_json::from_slice(answer.body.as_ref())?;
    let address = route["brokerDatas"][0]["brokerAddrs"]["0"].as_str();
    Ok(address.context("the route has no master")?.to_owned())
}

fn combinations<'a>(
    targets: &'a [Target],
    headers: &'a [&'static str],
) -> impl Iterator<Item = (&'a Target, &'static str, (u32, u64, u64))> {
    targets.iter().flat_map(move |target| {
        CASES.into_iter().flat_map(move |case| {
            let headers = headers.iter();
            headers.map(move |header| (target, *header, case))
        })
    })
}

fn measure(cli: &Path, target: &Target, header: &str, in_flight: u32, count: u64) -> Result<Run> {
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
        "--header",
        header,
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
        "--topic",
        &format!("{TOPIC}:8"),
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
        broker: broker_of(&address)?,
        name_servers: address,
        real: false,
    };
    Ok((process, target))
}

fn real(version: Version) -> Result<(Cluster, Target)> {
    if let Availability::Missing(reason) = Availability::check() {
        bail!("no real broker: {reason}; `--embedded-only` does without");
    }
    let cluster = Cluster::start(&ClusterSpec::new(version))?;
    cluster.create_topic(TOPIC, 8, Permission::READ_WRITE)?;
    let name_servers = cluster.name_server_addr();
    let target = Target {
        name: format!("Apache {version}"),
        broker: broker_of(&name_servers)?,
        name_servers,
        real: true,
    };
    Ok((cluster, target))
}
