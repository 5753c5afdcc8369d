//! Variants of our own client side by side: what a setting costs or gains, in one interleaved run.

mod connections;
mod headers;
mod report;
mod runtime;
mod security;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::clients::{self, setting};
use super::progress::Progress;
use super::sample::{Cell, Client, Run, RunResult, Sample, Samples, Spread, Work};
use super::targets::{Choice, Keys, Kind, Target, sign};

pub(super) use self::connections::connections;
pub(super) use self::headers::headers;
pub(super) use self::runtime::runtime;
pub(super) use self::security::security;

/// What is compared, and where.
#[derive(Debug)]
pub(super) struct Comparison {
    /// Of the files of its results.
    pub(super) name: &'static str,
    title: &'static str,
    /// A sentence for the reader of the results.
    about: &'static str,
    variants: Vec<Variant>,
    choices: Vec<Choice>,
    /// Body, work and messages in flight, in the order of their measurement.
    loads: Vec<(u32, Work, u32)>,
    /// What follows from the figures: sections of their own.
    conclusion: fn(&Figures<'_>) -> Result<String>,
}

/// Our client with some settings.
#[derive(Debug, Clone, Copy)]
struct Variant {
    name: &'static str,
    /// The name of the variant that its figures are divided by.
    base: &'static str,
    signs: bool,
    tls: bool,
    settings: &'static [(&'static str, &'static str)],
    /// Threads of the runtime; as many as there are cores unless given.
    workers: Option<u8>,
    /// Only with single sends of 256 B.
    small_only: bool,
}

impl Variant {
    const fn new(name: &'static str, base: &'static str) -> Self {
        Self {
            name,
            base,
            signs: false,
            tls: false,
            settings: &[],
            workers: None,
            small_only: false,
        }
    }

    const fn client(self) -> Client {
        Client::Variant(self.name)
    }

    fn takes_part(self, cell: &Cell) -> bool {
        !self.small_only || cell.body == 256 && cell.work == Work::Single
    }
}

/// What of it is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent<'a> {
    pub(super) rounds: usize,
    /// Share of the usual messages.
    pub(super) scale: f64,
    pub(super) null_only: bool,
    /// Only these, all if empty.
    pub(super) bodies: &'a [u32],
    /// Only these, all if empty.
    pub(super) in_flight: &'a [u32],
}

impl Comparison {
    /// Leaves out what is not wanted.
    pub(super) fn narrowed(mut self, extent: &Extent<'_>) -> Self {
        let wanted = |wanted: &[u32], value| wanted.is_empty() || wanted.contains(&value);
        self.loads.retain(|(body, _, in_flight)| {
            wanted(extent.bodies, *body) && wanted(extent.in_flight, *in_flight)
        });
        self.choices
            .retain(|choice| !extent.null_only || choice.kind() == Kind::Null);
        self
    }

    fn cells(&self, choice: Choice) -> Vec<Cell> {
        let cell = |&(body, work, in_flight)| Cell {
            target: choice.name(),
            body,
            work,
            in_flight,
        };
        self.loads.iter().map(cell).collect()
    }

    /// Who takes part in a cell, in the order of a round: another one begins in each.
    fn order(&self, cell: &Cell, round: usize) -> Vec<Variant> {
        let mut variants = self.variants.clone();
        variants.retain(|variant| variant.takes_part(cell));
        let first = round % variants.len().max(1);
        variants.rotate_left(first);
        variants
    }

    /// Measures all of it.
    pub(super) fn measure(&self, cli: &Path, extent: &Extent<'_>) -> Result<Samples> {
        let keys = self.variants.iter().any(|variant| variant.tls);
        let keys = keys.then(Keys::new).transpose()?;
        let cells = |choice: &Choice| self.cells(*choice).into_iter();
        let runs = self.choices.iter().flat_map(cells);
        let runs: usize = runs.map(|cell| self.order(&cell, 0).len()).sum();
        let mut progress = Progress::new(runs * extent.rounds);
        let mut samples = Samples::default();
        for round in 1..=extent.rounds {
            for &choice in &self.choices {
                // Started anew in each round: what is stored does not fill the disk, and no variant has the luck of one
                // broker in all rounds.
                let servers = self.start(cli, choice, keys.as_ref())?;
                let stage = Stage {
                    cli,
                    keys: keys.as_ref(),
                    servers,
                };
                self.warm(&stage, choice, extent.scale)?;
                for cell in self.cells(choice) {
                    for variant in self.order(&cell, round) {
                        progress.begin(round, extent.rounds, &cell, variant.name);
                        let count = messages(choice.kind(), &cell, extent.scale);
                        let run = stage.run(choice, variant, &cell, (count / 5, count));
                        samples.0.push(Sample {
                            round,
                            cell: cell.clone(),
                            client: variant.client(),
                            rate: None,
                            against: None,
                            result: RunResult::tell(run),
                        });
                    }
                }
            }
        }
        Ok(samples)
    }

    /// All servers of a kind that some variant needs; they stay side by side for the round.
    fn start(
        &self,
        cli: &Path,
        choice: Choice,
        keys: Option<&Keys>,
    ) -> Result<Vec<(Choice, Target)>> {
        let mut servers: Vec<(Choice, Target)> = Vec::new();
        for variant in &self.variants {
            let wanted = choice.serving(variant.signs, variant.tls);
            if !servers.iter().any(|(started, _)| *started == wanted) {
                eprintln!("starting {} for: {}", wanted.name(), variant.name);
                servers.push((wanted, wanted.start(cli, keys)?));
            }
        }
        Ok(servers)
    }

    /// A broker in Java compiles while it serves its first messages, those by TLS and the signed ones anew.
    fn warm(&self, stage: &Stage<'_>, choice: Choice, scale: f64) -> Result<()> {
        if choice.kind() == Kind::Null {
            return Ok(());
        }
        let cell = Cell {
            target: choice.name(),
            body: 256,
            work: Work::Single,
            in_flight: 256,
        };
        for variant in &self.variants {
            let count = (60_000.0 * scale) as u64 + 1;
            let warmed = stage.run(choice, *variant, &cell, (0, count));
            warmed.with_context(|| format!("warming up {} for {}", cell.target, variant.name))?;
        }
        Ok(())
    }
}

/// The servers of a round.
struct Stage<'a> {
    cli: &'a Path,
    keys: Option<&'a Keys>,
    servers: Vec<(Choice, Target)>,
}

impl Stage<'_> {
    fn run(
        &self,
        choice: Choice,
        variant: Variant,
        cell: &Cell,
        (warm_up, count): (u64, u64),
    ) -> Result<Run> {
        let wanted = choice.serving(variant.signs, variant.tls);
        let found = self.servers.iter().find(|(started, _)| *started == wanted);
        let (_, target) = found.context("its server was not started")?;
        let mut command: Command = clients::ours(self.cli, cell);
        if variant.signs {
            sign(&mut command);
        }
        if variant.tls {
            self.keys.context("no certificate")?.speak(&mut command);
        }
        for (key, value) in variant.settings {
            setting(&mut command, key, value);
        }
        if let Some(workers) = variant.workers {
            // By this tokio knows it.
            command.env("TOKIO_WORKER_THREADS", workers.to_string());
        }
        let servers = &target.name_servers;
        clients::arguments(&mut command, servers, cell, warm_up, count, None);
        clients::measure(&mut command)
    }
}

/// Messages that take a plain client about a second.
fn messages(kind: Kind, cell: &Cell, scale: f64) -> u64 {
    let large = cell.body > 1024;
    let count = match (kind, cell.work, cell.in_flight) {
        (Kind::Null, _, 1) => 15_000,
        (Kind::Null, _, _) if large => 200_000,
        (Kind::Null, Work::Auto, _) => 1_000_000,
        (Kind::Null, _, 64) => 400_000,
        (Kind::Null, ..) => 600_000,
        (Kind::Real, _, 1) => 5_000,
        (Kind::Real, Work::Auto, _) => 150_000,
        (Kind::Real, ..) => 40_000,
    };
    ((count as f64 * scale) as u64).max(64)
}

/// What was measured, for the report.
#[derive(Debug)]
pub(super) struct Figures<'a> {
    pub(super) comparison: &'a Comparison,
    pub(super) samples: &'a Samples,
    pub(super) rounds: usize,
    pub(super) cli: &'a Path,
}

type Field = fn(&Run) -> f64;
const RATE: Field = |run| run.msgs_per_s;
const CPU: Field = |run| run.cpu_us_per_msg;
const P50: Field = |run| run.p50_us;
const P99: Field = |run| run.p99_us;

impl Figures<'_> {
    fn cells(&self) -> Vec<Cell> {
        let choices = self.comparison.choices.iter();
        choices
            .flat_map(|choice| self.comparison.cells(*choice))
            .collect()
    }

    fn over_rounds(&self, cell: &Cell, client: Client, field: Field) -> Spread {
        self.samples
            .over_rounds(|round| self.samples.get(round, cell, client).map(field))
    }

    /// To the variant's base, round by round.
    fn ratio(&self, cell: &Cell, variant: Variant, field: Field) -> Spread {
        self.samples.over_rounds(|round| {
            let of = |client| self.samples.get(round, cell, client).map(field);
            Some(of(variant.client())? / of(Client::Variant(variant.base))?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_has_its_base_beside_it_in_every_cell() {
        for comparison in [security(), connections(), headers(), runtime()] {
            for choice in &comparison.choices {
                for cell in comparison.cells(*choice) {
                    let order = comparison.order(&cell, 1);
                    for variant in &order {
                        let base = order.iter().any(|other| other.name == variant.base);
                        assert!(base, "{}: {} in {cell:?}", comparison.name, variant.name);
                    }
                }
            }
        }
    }

    #[test]
    fn each_round_begins_with_another_variant() {
        let comparison = connections();
        let cell = &comparison.cells(Choice::Null)[0];
        let first = |round| comparison.order(cell, round)[0].name;
        assert_ne!(first(1), first(2));
        assert_ne!(first(2), first(3));
    }
}
