//! `cargo xtask bench`: speed and cost of the producer beside the floor, a bare socket loop, and beside the clients of
//! other projects, all in one interleaved run.

mod capture;
pub(crate) mod check;
mod clients;
mod compare;
mod floor;
mod goals;
mod growth;
mod machine;
mod peers;
mod pictures;
mod plan;
mod plots;
mod progress;
mod report;
mod sample;
mod targets;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use xtask::apache::{Availability, Version};
use xtask::paths;

use self::clients::{Clients, Rate};
use self::compare::{Comparison, Extent, Figures};
use self::machine::Machine;
use self::peers::Peers;
use self::plan::{Plan, TAIL_SECONDS};
use self::progress::Progress;
use self::report::Report;
use self::sample::{Cell, Client, RunResult, Sample, Samples, Work};
use self::targets::{Choice, Kind, Target};
use crate::shell;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// 256 B, 64 and 1024 in flight, one round: some minutes, a look and no measurement.
    #[arg(long, group = "mode")]
    quick: bool,
    /// Everything, three rounds, about half an hour; the default.
    #[arg(long, group = "mode")]
    full: bool,
    /// Compare binary and JSON headers instead of clients, also on Apache 4.9.7: what the default encoding is chosen by.
    #[arg(long, group = "mode")]
    headers: bool,
    /// Measure what signing and TLS cost instead: plain, ACL, TLS and both side by side; about 5 minutes.
    #[arg(long, group = "mode")]
    security: bool,
    /// Measure 1, 2 and 4 connections per broker instead: what the default is chosen by; about 3 minutes.
    #[arg(long, group = "mode")]
    connections: bool,
    /// Measure one worker thread of the runtime against one per core instead; about 2 minutes.
    #[arg(long, group = "mode")]
    runtime: bool,
    /// Rounds, interleaved; tables show medians and the spread.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: Option<u32>,
    /// Leave the real broker out.
    #[arg(long)]
    null_only: bool,
    /// Only these clients: floor, ours, java, go, rust.
    #[arg(long, value_name = "CLIENT,..", value_delimiter = ',', value_parser = client)]
    clients: Vec<Client>,
    /// Only bodies of so many bytes.
    #[arg(long, value_name = "BYTES,..", value_delimiter = ',')]
    bodies: Vec<u32>,
    /// Only so many messages in flight.
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    in_flight: Vec<u32>,
    /// Leave the open loops out.
    #[arg(long)]
    no_tails: bool,
    /// Share of the usual messages, to see whether everything runs.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    scale: f64,
    /// Folder of the results; docs/benchmarks of a run that leaves nothing out, else target/bench.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Count instructions instead, and fail where they have risen by more than 5 % over those kept.
    #[arg(long, group = "mode")]
    check: bool,
    /// Count instructions instead, and keep the counts.
    #[arg(long, group = "mode")]
    bless: bool,
    /// Measure instead how costs grow with topics, brokers and sends in flight, and what start and idling cost.
    #[arg(long, group = "mode")]
    growth: bool,
    /// With --growth: how long an idle producer is watched.
    #[arg(long, default_value_t = 65, requires = "growth")]
    idle_seconds: u64,
}

fn client(text: &str) -> Result<Client, String> {
    match text {
        "floor" => Ok(Client::Floor),
        "ours" => Ok(Client::Ours),
        "java" => Ok(Client::Java),
        "go" => Ok(Client::Go),
        "rust" => Ok(Client::Rust),
        _ => Err("allowed: floor, ours, java, go, rust".to_owned()),
    }
}

impl Options {
    /// Whether nothing was left out that belongs to the results of record.
    fn is_everything(&self) -> bool {
        !self.quick
            && !self.null_only
            && !self.no_tails
            && self.clients.is_empty()
            && self.bodies.is_empty()
            && self.in_flight.is_empty()
            && self.scale >= 1.0
    }

    fn rounds(&self) -> usize {
        self.rounds
            .map_or(if self.quick { 1 } else { 3 }, |rounds| rounds as usize)
    }

    fn plan(&self) -> Plan {
        let given = |given: &[u32], full: &[u32], quick: &[u32]| match (given, self.quick) {
            ([], true) => quick.to_vec(),
            ([], false) => full.to_vec(),
            (given, _) => given.to_vec(),
        };
        Plan {
            rounds: self.rounds(),
            bodies: given(&self.bodies, &[256, 4096], &[256]),
            in_flight: given(&self.in_flight, &[1, 64, 1024], &[64, 1024]),
            scale: self.scale,
        }
    }

    fn extent(&self) -> Extent<'_> {
        Extent {
            rounds: self.rounds(),
            scale: self.scale,
            null_only: self.null_only,
            bodies: &self.bodies,
            in_flight: &self.in_flight,
        }
    }

    fn out(&self) -> PathBuf {
        match &self.out {
            Some(dir) => dir.clone(),
            None if self.is_everything() => paths::workspace().join("docs/benchmarks"),
            None => paths::target().join("bench"),
        }
    }

    fn clients(&self) -> Vec<Client> {
        let all = [
            Client::Floor,
            Client::Ours,
            Client::Java,
            Client::Go,
            Client::Rust,
        ];
        let wanted = |client: &Client| self.clients.is_empty() || self.clients.contains(client);
        all.into_iter().filter(wanted).collect()
    }

    /// What is to be compared instead of clients.
    fn comparison(&self) -> Option<Comparison> {
        [
            (self.headers, compare::headers as fn() -> Comparison),
            (self.security, compare::security),
            (self.connections, compare::connections),
            (self.runtime, compare::runtime),
        ]
        .into_iter()
        .find_map(|(wanted, comparison)| wanted.then(comparison))
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.check || options.bless {
        return check::run(options.bless);
    }
    if options.growth {
        return growth::run(options.idle_seconds, &command_line());
    }
    if !(options.scale > 0.0 && options.scale <= 10.0) {
        bail!("--scale: above 0, at most 10");
    }
    let out = options.out();
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    if !options.null_only
        && let Availability::Missing(reason) = Availability::check()
    {
        bail!("no real broker: {reason}; `--null-only` does without");
    }
    if let Some(comparison) = options.comparison() {
        let cli = shell::producer_cli()?;
        return compare(options, &cli, comparison, &out).map(drop);
    }
    let mut choices = vec![Choice::Null, Choice::Real(Version::V5_5_0)];
    choices.truncate(if options.null_only { 1 } else { 2 });
    if options.is_everything() {
        // Its picture is one of the results.
        if let Err(error) = growth::run(options.idle_seconds, &command_line()) {
            eprintln!("FAILED: {error:#}");
        }
    }
    let cli = shell::producer_cli()?;
    let peers = Peers::build(&options.clients());
    let mut bench = Bench {
        plan: options.plan(),
        tails: !options.no_tails,
        list: options
            .clients()
            .into_iter()
            .filter(|client| !client.is_peer() || peers.clients().any(|built| built == *client))
            .collect(),
        clients: Clients::new(&cli, &peers),
        samples: Samples::default(),
        progress: Progress::new(0),
    };
    bench.measure(&cli, &choices)?;
    let mut more = String::new();
    if options.is_everything() {
        match compare(options, &cli, compare::security(), &out) {
            Ok(sections) => more = format!("## What security costs\n\n{sections}"),
            Err(error) => eprintln!("FAILED: {error:#}"),
        }
    }
    write(&choices, &bench, &peers, &more, &out)
}

/// Measures and writes a comparison; gives its sections.
fn compare(options: &Options, cli: &Path, comparison: Comparison, out: &Path) -> Result<String> {
    let extent = options.extent();
    let comparison = comparison.narrowed(&extent);
    let samples = comparison.measure(cli, &extent)?;
    let figures = Figures {
        comparison: &comparison,
        samples: &samples,
        rounds: extent.rounds,
        cli,
    };
    let (machine, command) = (Machine::describe(), command_line());
    let (markdown, json) = (
        figures.to_markdown(&command, &machine)?,
        figures.to_json(&command, &machine)?,
    );
    keep(out, comparison.name, &markdown, &json)?;
    judge(&samples)?;
    figures.sections()
}

fn keep(out: &Path, name: &str, markdown: &str, json: &str) -> Result<()> {
    std::fs::write(out.join(format!("{name}.json")), json)?;
    std::fs::write(out.join(format!("{name}.md")), markdown)?;
    println!("{markdown}");
    eprintln!("written to {}", out.display());
    Ok(())
}

fn judge(samples: &Samples) -> Result<()> {
    match samples.failed() {
        (0, _) => Ok(()),
        (failed, all) => bail!("{failed} of {all} runs failed"),
    }
}

struct Bench<'a> {
    plan: Plan,
    tails: bool,
    /// Who takes part.
    list: Vec<Client>,
    clients: Clients<'a>,
    samples: Samples,
    progress: Progress,
}

impl Bench<'_> {
    fn measure(&mut self, cli: &Path, choices: &[Choice]) -> Result<()> {
        self.progress = Progress::new(self.runs(choices));
        for round in 1..=self.plan.rounds {
            for choice in choices {
                // Started anew in each round, so that what a real broker has stored does not fill the disk.
                eprintln!("starting {}", choice.name());
                let target = choice.start(cli, None)?;
                self.warm_broker(&target);
                for cell in self.plan.cells(&target.name) {
                    for client in self.plan.clients(&cell, &self.list, round) {
                        let messages = self.plan.messages(target.kind, &cell, client);
                        self.progress
                            .begin(round, self.plan.rounds, &cell, client.name());
                        self.one(round, &target, cell.clone(), client, messages, None);
                    }
                }
                if self.tails {
                    self.open_loops(round, &target);
                }
            }
        }
        Ok(())
    }

    fn runs(&self, choices: &[Choice]) -> usize {
        let peers = self.list.iter().filter(|client| client.is_peer()).count();
        let per_round: usize = choices
            .iter()
            .map(|choice| {
                let cells = self.plan.cells(&choice.name());
                let closed: usize = cells
                    .iter()
                    .map(|cell| self.plan.clients(cell, &self.list, 1).len())
                    .sum();
                closed + if self.tails { 2 * peers } else { 0 }
            })
            .sum();
        per_round * self.plan.rounds
    }

    /// A broker in Java compiles while it serves its first messages: no client is to be measured meanwhile.
    fn warm_broker(&mut self, target: &Target) {
        let cell = Cell {
            target: target.name.clone(),
            body: 256,
            work: Work::Single,
            in_flight: 256,
        };
        let messages = (0, (150_000.0 * self.plan.scale) as u64 + 1);
        if target.kind == Kind::Real {
            let warmed = self
                .clients
                .run(target, &cell, Client::Floor, messages, None);
            if let Err(error) = warmed {
                eprintln!("the broker could not be warmed up: {error:#}");
            }
        }
    }

    fn one(
        &mut self,
        round: usize,
        target: &Target,
        cell: Cell,
        client: Client,
        messages: (u64, u64),
        tail: Option<(f64, Client)>,
    ) {
        let rate: Rate = tail.map(|(rate, _)| rate);
        let run = self.clients.run(target, &cell, client, messages, rate);
        self.samples.0.push(Sample {
            round,
            cell,
            client,
            rate,
            against: tail.map(|(_, against)| against),
            result: RunResult::tell(run),
        });
    }

    /// Ours against each peer, at half of the most that the peer has reached in this round, with as many callers.
    fn open_loops(&mut self, round: usize, target: &Target) {
        let peers: Vec<Client> = self
            .list
            .iter()
            .copied()
            .filter(|client| client.is_peer())
            .collect();
        for peer in peers {
            let best = self
                .plan
                .cells(&target.name)
                .into_iter()
                .filter(|cell| cell.work == Work::Single && cell.body == self.plan.bodies[0])
                .filter_map(|cell| {
                    let rate = self.samples.get(round, &cell, peer)?.msgs_per_s;
                    Some((cell, rate))
                })
                .max_by(|(_, a), (_, b)| a.total_cmp(b));
            let Some((cell, most)) = best else {
                self.progress.skip();
                self.progress.skip();
                continue;
            };
            let rate = most / 2.0;
            let count = (rate * TAIL_SECONDS * self.plan.scale) as u64 + 1;
            let mut pair = [Client::Ours, peer];
            pair.rotate_left(round % 2);
            for client in pair {
                // Java compiles what it does not know yet; at this rate that takes it longest.
                let warm_up = if client == Client::Java {
                    count
                } else {
                    count / 5
                };
                let what = progress::open_loop(client, rate, peer);
                self.progress.begin(round, self.plan.rounds, &cell, &what);
                let tail = Some((rate, peer));
                self.one(round, target, cell.clone(), client, (warm_up, count), tail);
            }
        }
    }
}

fn write(
    choices: &[Choice],
    bench: &Bench<'_>,
    peers: &Peers,
    more: &str,
    out: &Path,
) -> Result<()> {
    let cells: Vec<Cell> = choices
        .iter()
        .flat_map(|choice| bench.plan.cells(&choice.name()))
        .collect();
    let targets: Vec<(String, Kind)> = choices
        .iter()
        .map(|choice| (choice.name(), choice.kind()))
        .collect();
    let built: Vec<Client> = peers.clients().collect();
    let goals = goals::goals(&bench.samples, &targets, &bench.plan.bodies, &built);
    let name = "results";
    let mut plots = pictures::draw(out, name, &cells, &bench.list, &bench.samples)?;
    plots.extend(pictures::growth(out)?);
    let machine = Machine::describe();
    let command = command_line();
    let report = Report {
        title: "Results of the bench",
        command: &command,
        machine: &machine,
        rounds: bench.plan.rounds,
        cells: &cells,
        clients: &bench.list,
        skipped: &peers.skipped,
        samples: &bench.samples,
        goals: &goals,
        plots: &plots,
        more,
    };
    keep(out, name, &report.to_markdown(), &report.to_json()?)?;
    let by_client = peers
        .skipped
        .iter()
        .map(|(client, reason)| (client.name(), reason));
    for (client, reason) in by_client.collect::<BTreeMap<_, _>>() {
        eprintln!("SKIPPED {client}: {reason}");
    }
    judge(&bench.samples)
}

/// As it was typed, without the path of the program.
fn command_line() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("cargo xtask {}", arguments.join(" "))
}
