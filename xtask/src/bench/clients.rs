//! The clients as processes: how each is told what to do, and how its figures come back.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask::process::{Process, tail};
use xtask::{paths, wait};

use super::capture;
use super::floor;
use super::peers::Peers;
use super::plan::BATCH;
use super::sample::{Cell, Client, Run, Work};
use super::targets::{TOPIC, Target};

/// A run that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(120);

/// The rate of an open loop, in messages per second.
pub(super) type Rate = Option<f64>;

/// Everything that is needed to run any client.
pub(super) struct Clients<'a> {
    pub(super) cli: &'a Path,
    pub(super) peers: &'a Peers,
    /// Frames that were caught, by target, body and work.
    frames: Vec<(Cell, Vec<Vec<u8>>)>,
}

impl<'a> Clients<'a> {
    pub(super) fn new(cli: &'a Path, peers: &'a Peers) -> Self {
        Self {
            cli,
            peers,
            frames: Vec::new(),
        }
    }

    /// One run of one client.
    pub(super) fn run(
        &mut self,
        target: &Target,
        cell: &Cell,
        client: Client,
        (warm_up, count): (u64, u64),
        rate: Rate,
    ) -> Result<Run> {
        let mut command = match client {
            Client::Floor => {
                let load = floor::Load {
                    address: target.broker.clone(),
                    frames: self.frames(target, cell)?,
                    per_frame: if cell.work == Work::Batch {
                        u64::from(BATCH)
                    } else {
                        1
                    },
                    in_flight: u64::from(cell.in_flight),
                };
                return floor::run(load, warm_up, count);
            }
            Client::Ours | Client::Variant(_) => ours(self.cli, cell),
            Client::Java | Client::Go | Client::Rust => self.peers.command(client, cell)?,
        };
        arguments(
            &mut command,
            &target.name_servers,
            cell,
            warm_up,
            count,
            rate,
        );
        measure(&mut command)
    }

    /// The frames of the producer for such a cell: caught once, whatever its number of messages under way.
    fn frames(&mut self, target: &Target, cell: &Cell) -> Result<Vec<Vec<u8>>> {
        let key = Cell {
            in_flight: 0,
            ..cell.clone()
        };
        if let Some((_, frames)) = self.frames.iter().find(|(known, _)| *known == key) {
            return Ok(frames.clone());
        }
        let frames = capture::frames(self.cli, target, cell)?;
        self.frames.push((key, frames.clone()));
        Ok(frames)
    }
}

/// Our own command, which speaks to the producer as any program does.
pub(super) fn ours(cli: &Path, cell: &Cell) -> Command {
    let mut command = Command::new(cli);
    // Every client of a comparison sends the body as it is.
    setting(&mut command, "compress_type", "none");
    setting(&mut command, "header_encoding", "binary");
    command.args(["bench", "--json"]);
    match cell.work {
        Work::Single => command.args(["--mode", "sync"]),
        Work::Auto => command.args(["--mode", "sync", "--auto-batch"]),
        Work::Batch => command.args(["--mode", "batch"]),
        Work::Oneway => command.args(["--mode", "oneway"]),
    };
    command
}

/// Sets a setting of the producer for a command of ours; the last one counts.
pub(super) fn setting(command: &mut Command, key: &str, value: &str) {
    let name = format!("ROCKETMQ_PRODUCER_{}", key.to_uppercase());
    command.env(name, value);
}

/// What every client is told in the same words.
pub(super) fn arguments(
    command: &mut Command,
    name_servers: &str,
    cell: &Cell,
    warm_up: u64,
    count: u64,
    rate: Rate,
) {
    // Of batches so many are under way that it is as many messages.
    let callers = match cell.work {
        Work::Batch => (cell.in_flight / BATCH).max(1),
        _ => cell.in_flight,
    };
    command.args(["--namesrv", name_servers, "--topic", TOPIC]);
    for (name, value) in [
        ("--body", u64::from(cell.body)),
        ("--count", count),
        ("--warmup", warm_up),
        ("--concurrency", u64::from(callers)),
    ] {
        command.args([name, &value.to_string()]);
    }
    if cell.work == Work::Batch {
        command.args(["--batch", &BATCH.to_string()]);
    }
    if let Some(rate) = rate {
        command.args(["--rate", &format!("{rate:.0}")]);
    }
}

/// Runs a client to its end and reads the line with its figures.
pub(super) fn measure(command: &mut Command) -> Result<Run> {
    let log = paths::target().join("bench-client.log");
    let _ = std::fs::remove_file(&log);
    let mut process = Process::spawn(command, &log)?;
    let ended = wait::until(LIMIT, || process.exited().transpose());
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let line = text
        .lines()
        .rev()
        .find(|line| line.starts_with("{\"peer\""));
    match (line, ended) {
        // Some sends may have failed, which the line says and the exit status as well.
        (Some(line), Some(_)) => {
            serde_json::from_str(line).with_context(|| format!("no figures: {line}"))
        }
        (_, None) => bail!("not done after {LIMIT:?}:\n{}", tail(&log, 5)),
        (None, Some(status)) => bail!("{}:\n{}", status?, tail(&log, 5)),
    }
}
