//! What a soak came to.

use std::fmt;
use std::time::Duration;

use super::loads::Outcomes;
use crate::oracle::{Stored, Verdict};

/// Memory that may come and go.
const FLAT_KIB: u64 = 48 * 1024;

/// One round.
#[derive(Debug)]
#[non_exhaustive]
pub struct Round {
    /// Which, from 0.
    pub number: u64,
    /// How many things went wrong on purpose.
    pub mishaps: usize,
    /// Messages acknowledged.
    pub acked: usize,
    /// Messages that failed: not sent, rejected, unknown.
    pub failed: [usize; 3],
    /// One-way messages.
    pub oneway: usize,
    /// Sends cancelled before their outcome.
    pub cancelled: usize,
    /// Longest send.
    pub longest: Duration,
    /// The largest delay of a 10 ms timer.
    pub canary: Duration,
    /// What the oracle found.
    pub verdict: Verdict,
    /// Every promise that was not kept, with what is known about it.
    pub breaches: Vec<String>,
    /// Delivery and kind of the failures.
    pub reasons: Vec<String>,
    /// Memory in use at its end in KiB.
    pub memory: Option<u64>,
}

impl Round {
    pub(super) fn judge(
        number: u64,
        outcomes: Outcomes,
        stored: &[Stored],
        limit: Duration,
        canary: Duration,
    ) -> Self {
        let verdict = outcomes.oracle.judge(stored.iter().cloned());
        let mut breaches = verdict.complaints.clone();
        let more = verdict.wrong - breaches.len();
        if more > 0 {
            breaches.push(format!("and {more} more"));
        }
        breaches.extend(outcomes.breaches);
        let limit = limit + canary;
        if outcomes.longest > limit {
            let longest = outcomes.longest;
            breaches.push(format!(
                "a send took {longest:.3?}, which is over {limit:.3?}"
            ));
        }
        if outcomes.acked == 0 {
            breaches.push("nothing was acknowledged in the whole round".to_owned());
        }
        Self {
            number,
            mishaps: 0,
            acked: outcomes.acked,
            failed: outcomes.failed,
            oneway: outcomes.oneway,
            cancelled: outcomes.cancelled,
            longest: outcomes.longest,
            canary,
            verdict,
            breaches,
            reasons: outcomes.reasons,
            memory: None,
        }
    }

    /// Puts to each complaint what happened on the wire.
    pub(super) fn add_frames(&mut self, frames: impl Fn(&str) -> Vec<String>) {
        for (breach, id) in self.breaches.iter_mut().zip(&self.verdict.suspects) {
            for frame in frames(id) {
                breach.push_str("\n    ");
                breach.push_str(&frame);
            }
        }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            mishaps,
            acked,
            failed: [not_sent, rejected, unknown],
            oneway,
            cancelled,
            longest,
            canary,
            verdict,
            memory,
            ..
        } = self;
        write!(
            f,
            "| {number} | {mishaps} | {acked} | {not_sent} / {rejected} / {unknown} | {oneway} | {cancelled} | {} | {} | {} | {} | {} | {:.3} s | {:.3} s | {} |",
            verdict.stored,
            verdict.duplicates,
            verdict.lost,
            verdict.overstated,
            verdict.disordered,
            longest.as_secs_f64(),
            canary.as_secs_f64(),
            memory.map_or_else(|| "–".to_owned(), |kib| format!("{} MiB", kib / 1024)),
        )
    }
}

/// All rounds.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// What the schedule was drawn from.
    pub seed: u64,
    /// The rounds, in order.
    pub rounds: Vec<Round>,
    /// What concerns no single round.
    breaches: Vec<String>,
}

impl Report {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            seed,
            rounds: Vec::new(),
            breaches: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, round: Round) {
        self.rounds.push(round);
    }

    pub(super) fn breach(&mut self, breach: String) {
        self.breaches.push(breach);
    }

    /// Every promise that was not kept.
    #[must_use]
    pub fn breaches(&self) -> Vec<String> {
        let of_rounds = self.rounds.iter().flat_map(|round| {
            let number = round.number;
            round
                .breaches
                .iter()
                .map(move |breach| format!("round {number}: {breach}"))
        });
        let mut all: Vec<String> = of_rounds.chain(self.breaches.iter().cloned()).collect();
        all.extend(self.growth());
        all
    }

    /// The first round warms everything up.
    fn growth(&self) -> Option<String> {
        let first = self.rounds.first()?.memory?;
        let last = self.rounds.last()?.memory?;
        let grown = last.saturating_sub(first);
        (grown > FLAT_KIB)
            .then(|| format!("memory grew from {first} KiB after the first round to {last} KiB"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(
            f,
            "| round | mishaps | acknowledged | not sent / rejected / unknown | one-way | cancelled | stored | duplicates | lost | wrongly claimed | out of order | longest send | canary | memory |"
        )?;
        writeln!(f, "|{}", " --- |".repeat(14))?;
        for round in &self.rounds {
            writeln!(f, "{round}")?;
        }
        let mut reasons: Vec<&String> = self.rounds.iter().flat_map(|r| &r.reasons).collect();
        reasons.sort_unstable();
        reasons.dedup();
        for reason in reasons {
            writeln!(f, "- failed sends: {reason}")?;
        }
        let breaches = self.breaches();
        for breach in &breaches {
            writeln!(f, "- BROKEN: {breach}")?;
        }
        if breaches.is_empty() {
            writeln!(f, "every promise was kept")?;
        }
        Ok(())
    }
}
