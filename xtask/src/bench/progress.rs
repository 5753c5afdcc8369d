//! How far a bench is, and how long it will still take.

use std::time::Instant;

use xtask::wait;

use super::sample::{Cell, Client};

/// Counts runs.
pub(super) struct Progress {
    began: Instant,
    done: usize,
    all: usize,
}

impl Progress {
    pub(super) fn new(all: usize) -> Self {
        Self {
            began: wait::now(),
            done: 0,
            all,
        }
    }

    /// Says what begins now.
    pub(super) fn begin(&mut self, round: usize, rounds: usize, cell: &Cell, what: &str) {
        let left = if self.done == 0 {
            "time left not known yet".to_owned()
        } else {
            let per_run = self.began.elapsed().as_secs_f64() / self.done as f64;
            let seconds = per_run * (self.all.saturating_sub(self.done)) as f64;
            format!("about {:.0} min left", (seconds / 60.0).ceil())
        };
        eprintln!(
            "[{}/{}, {} %, {left}] round {round} of {rounds}: {}, {} B, {}, {} in flight: {what}",
            self.done + 1,
            self.all,
            100 * self.done / self.all.max(1),
            cell.target,
            cell.body,
            cell.work.name(),
            cell.in_flight,
        );
        self.done += 1;
    }

    /// A run that is not made after all.
    pub(super) fn skip(&mut self) {
        self.done += 1;
    }
}

/// A client in an open loop.
pub(super) fn open_loop(client: Client, rate: f64, against: Client) -> String {
    format!(
        "{}, open loop at {rate:.0}/s, half of the maximum of {}",
        client.name(),
        against.name()
    )
}
