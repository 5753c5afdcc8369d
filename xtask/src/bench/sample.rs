//! What was measured: one sample per run of one client, and the statistics over rounds.

use serde::{Deserialize, Serialize, Serializer};

/// The line of JSON that every client prints at the end of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) count: u64,
    pub(super) acked: u64,
    pub(super) failed: u64,
    pub(super) secs: f64,
    pub(super) msgs_per_s: f64,
    /// CPU time of the client's process while it measured; of its thread for the floor.
    pub(super) cpu_us_per_msg: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) max_us: f64,
    /// Resident memory at the end.
    pub(super) rss_mib: Option<f64>,
    /// From the beginning of `main` to the first acknowledgement.
    pub(super) first_ack_ms: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Client {
    Floor,
    Ours,
    /// Ours with settings of that name, beside others.
    Variant(&'static str),
    Java,
    Go,
    Rust,
}

impl Client {
    pub(super) const PEERS: [Self; 3] = [Self::Java, Self::Go, Self::Rust];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ours => "ours",
            Self::Variant(name) => name,
            Self::Java => "Java",
            Self::Go => "Go",
            Self::Rust => "community Rust",
        }
    }

    pub(super) fn is_peer(self) -> bool {
        Self::PEERS.contains(&self)
    }
}

impl Serialize for Client {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Rust => "rust",
            Self::Java => "java",
            Self::Go => "go",
            Self::Floor | Self::Ours | Self::Variant(_) => self.name(),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Work {
    /// One message per request, awaited.
    Single,
    /// As `Single`, and the producer batches what waits.
    Auto,
    /// Explicit batches, [`BATCH`](super::plan::BATCH) messages each.
    Batch,
    /// No answer is asked for.
    Oneway,
}

impl Work {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Auto => "automatic batches",
            Self::Batch => "batches of 32",
            Self::Oneway => "one-way",
        }
    }
}

/// What is measured, whoever does it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(super) struct Cell {
    /// Name of the target.
    pub(super) target: String,
    pub(super) body: u32,
    pub(super) work: Work,
    /// Messages under way at once.
    pub(super) in_flight: u32,
}

/// One run of one client.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sample {
    pub(super) round: usize,
    #[serde(flatten)]
    pub(super) cell: Cell,
    pub(super) client: Client,
    /// Messages due per second, in an open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<f64>,
    /// Whose maximum the rate is half of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) against: Option<Client>,
    /// What came of it, or why nothing did.
    #[serde(flatten)]
    pub(super) result: RunResult,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RunResult {
    Run(Run),
    Error(String),
}

impl RunResult {
    /// Says what came of a run, and keeps it.
    pub(super) fn tell(outcome: anyhow::Result<Run>) -> Self {
        match outcome {
            Ok(run) => {
                eprintln!(
                    "    {:.0} messages/s, {:.2} µs CPU per message, p99.9 {:.0} µs, {} failed",
                    run.msgs_per_s, run.cpu_us_per_msg, run.p999_us, run.failed
                );
                Self::Run(run)
            }
            Err(error) => {
                let error = format!("{error:#}");
                eprintln!("    FAILED: {error}");
                Self::Error(error)
            }
        }
    }
}

/// Everything that a bench measured.
#[derive(Debug, Default)]
pub(super) struct Samples(pub(super) Vec<Sample>);

impl Samples {
    /// The closed-loop run of a client in a round.
    pub(super) fn get(&self, round: usize, cell: &Cell, client: Client) -> Option<&Run> {
        self.find(|sample| {
            sample.round == round
                && sample.client == client
                && sample.against.is_none()
                && sample.cell == *cell
        })
    }

    /// The open-loop run of a client in a round, at half the maximum of `against`.
    pub(super) fn tail(
        &self,
        round: usize,
        target: &str,
        client: Client,
        against: Client,
    ) -> Option<&Run> {
        self.find(|sample| {
            sample.round == round
                && sample.client == client
                && sample.against == Some(against)
                && sample.cell.target == target
        })
    }

    /// How many runs have no figures, of how many.
    pub(super) fn failed(&self) -> (usize, usize) {
        let failed = |sample: &&Sample| matches!(sample.result, RunResult::Error(_));
        (self.0.iter().filter(failed).count(), self.0.len())
    }

    fn find(&self, wanted: impl Fn(&Sample) -> bool) -> Option<&Run> {
        self.0.iter().find_map(|sample| match &sample.result {
            RunResult::Run(run) if wanted(sample) => Some(run),
            _ => None,
        })
    }

    /// One value per round in which `value` has one.
    pub(super) fn over_rounds(&self, value: impl Fn(usize) -> Option<f64>) -> Spread {
        let rounds = self.0.iter().map(|sample| sample.round).max().unwrap_or(0);
        Spread::of((1..=rounds).filter_map(value).collect())
    }
}

/// Values of several rounds, sorted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spread(Vec<f64>);

impl Spread {
    pub(super) fn of(mut values: Vec<f64>) -> Self {
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The median; of an even number the mean of the middle two.
    pub(super) fn median(&self) -> Option<f64> {
        let upper = *self.0.get(self.0.len() / 2)?;
        if self.0.len() % 2 == 1 {
            return Some(upper);
        }
        let lower = *self.0.get(self.0.len() / 2 - 1)?;
        Some(f64::midpoint(lower, upper))
    }

    pub(super) fn low(&self) -> Option<f64> {
        self.0.first().copied()
    }

    pub(super) fn high(&self) -> Option<f64> {
        self.0.last().copied()
    }

    /// `median (lowest to highest)`, or the one value, or a dash.
    pub(super) fn show(&self, show: impl Fn(f64) -> String) -> String {
        match (self.median(), self.low(), self.high()) {
            (Some(median), Some(low), Some(high)) if self.0.len() > 1 => {
                format!("{} ({} to {})", show(median), show(low), show(high))
            }
            (Some(median), ..) => show(median),
            _ => "–".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_shows_its_median_and_its_ends() {
        let show = |value: f64| format!("{value}");
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]).show(show), "2 (1 to 3)");
        assert_eq!(Spread::of(vec![4.0, 2.0]).show(show), "3 (2 to 4)");
        assert_eq!(Spread::of(vec![7.0, f64::NAN]).show(show), "7");
        assert_eq!(Spread::of(Vec::new()).show(show), "–");
    }
}
