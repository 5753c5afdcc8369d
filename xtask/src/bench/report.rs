//! The results as Markdown and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::goals::{Aim, Goal};
use super::machine::Machine;
use super::sample::{Cell, Client, Run, RunResult, Sample, Samples, Spread, Work};

/// Everything that a report tells.
pub(super) struct Report<'a> {
    pub(super) title: &'a str,
    pub(super) command: &'a str,
    pub(super) machine: &'a Machine,
    pub(super) rounds: usize,
    /// In the order of their measurement.
    pub(super) cells: &'a [Cell],
    pub(super) clients: &'a [Client],
    pub(super) skipped: &'a [(Client, String)],
    pub(super) samples: &'a Samples,
    pub(super) goals: &'a [Goal],
    /// File names of the pictures beside the report, with what they show.
    pub(super) plots: &'a [(String, String)],
    /// Sections of other measurements of the same run.
    pub(super) more: &'a str,
}

impl Report<'_> {
    pub(super) fn to_markdown(&self) -> String {
        let mut text = format!("# {}\n\n", self.title);
        let _ = writeln!(
            text,
            "Written by `{}`; how it is measured and how to read it says [the page on benchmarks](../src/benchmarks.md).\n\n\
             {} Peers: {}.\n\n{} interleaved round(s): medians (lowest to highest). CPU is that of the client's process, per message, \
             over the measured part. The floor is a bare socket loop that sends the producer's own frames.\n",
            self.command,
            self.machine.to_markdown(),
            self.machine.peers(),
            self.rounds,
        );
        for (client, reason) in self.skipped {
            let reason = reason.replace('\n', " ");
            let _ = writeln!(text, "**Skipped: {}.** {reason}\n", client.name());
        }
        if !self.goals.is_empty() {
            self.goals(&mut text);
        }
        for (file, what) in self.plots {
            let _ = writeln!(text, "![{what}]({file})\n");
        }
        let mut groups: Vec<(&str, u32)> = Vec::new();
        for cell in self.cells {
            let group = (cell.target.as_str(), cell.body);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        for (target, body) in groups {
            self.table(&mut text, target, body);
        }
        self.tails(&mut text);
        text.push_str(self.more);
        text.push_str(&failures(self.samples));
        // A new line at the end, and none doubled.
        text.trim_end().to_owned() + "\n"
    }

    fn goals(&self, text: &mut String) {
        let peers = self
            .clients
            .iter()
            .filter(|client| client.is_peer())
            .count();
        text.push_str(
            "## Targets\n\nRatios are taken round by round: (lowest to highest). A target is met when the interval \
             reaches it. Beside a ratio to the best peer stands that of the floor: what the machine and the broker leave to \
             any client.\n\n| what | target | measured | the floor | |\n|---|---|---|---|---|\n",
        );
        for goal in self.goals {
            let measured = goal.measured.show(|value| digits(value, 3));
            let floor = goal.floor.as_ref().and_then(Spread::median);
            let floor = floor.map_or_else(String::new, |value| digits(value, 3) + goal.unit);
            let _ = writeln!(
                text,
                "| {} | {} | {measured}{} | {floor} | {} |",
                goal.what,
                goal.aim.show(goal.unit),
                goal.unit,
                goal.verdict(peers >= 2)
            );
        }
        text.push('\n');
    }

    fn table(&self, text: &mut String, target: &str, body: u32) {
        let _ = writeln!(
            text,
            "## {target}, {body} B\n\n\
             | sends | in flight | client | messages/s | µs CPU per message | p50 µs | p99 µs | p99.9 µs | max µs | memory MiB | failed |\n\
             |---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|"
        );
        let cells = self
            .cells
            .iter()
            .filter(|cell| cell.target == target && cell.body == body);
        for cell in cells {
            for &client in self.clients {
                let spread = |field: &dyn Fn(&Run) -> Option<f64>| {
                    self.samples
                        .over_rounds(|round| field(self.samples.get(round, cell, client)?))
                };
                let rate = spread(&|run| Some(run.msgs_per_s));
                if rate.median().is_none() {
                    continue;
                }
                // A one-way send is not answered: the times are those of handing it over.
                let shown = |field: fn(&Run) -> f64, precision| {
                    let median = spread(&|run| Some(field(run))).median();
                    median.map_or_else(|| "–".to_owned(), |value| digits(value, precision))
                };
                let failed: u64 = self.failed(cell, client);
                let memory = spread(&|run| run.rss_mib).median();
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {failed} |",
                    cell.work.name(),
                    cell.in_flight,
                    client.name(),
                    rate.show(|value| format!("{value:.0}")),
                    spread(&|run| Some(run.cpu_us_per_msg)).show(|value| digits(value, 3)),
                    shown(|run| run.p50_us, 4),
                    shown(|run| run.p99_us, 4),
                    shown(|run| run.p999_us, 4),
                    shown(|run| run.max_us, 4),
                    memory.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}")),
                );
            }
        }
        text.push('\n');
    }

    fn failed(&self, cell: &Cell, client: Client) -> u64 {
        (1..=self.rounds)
            .filter_map(|round| self.samples.get(round, cell, client))
            .map(|run| run.failed)
            .sum()
    }

    fn tails(&self, text: &mut String) {
        let mut rows: Vec<(&str, Client)> = Vec::new();
        for sample in &self.samples.0 {
            if let Some(against) = sample.against {
                let row = (sample.cell.target.as_str(), against);
                if !rows.contains(&row) {
                    rows.push(row);
                }
            }
        }
        if rows.is_empty() {
            return;
        }
        text.push_str(
            "## Tails\n\nOpen loop, 256 B: messages come due at half of the peer's own maximum throughput, and \
             latency counts from when a message was due.\n\n\
             | target | rate | client | p50 µs | p99 µs | p99.9 µs | max µs | µs CPU per message | failed |\n\
             |---|---|---|---:|---:|---:|---:|---:|---:|\n",
        );
        for (target, against) in rows {
            let rate = self
                .samples
                .over_rounds(|round| self.rate(round, target, against));
            for client in [Client::Ours, against] {
                let spread = |field: fn(&Run) -> f64| {
                    self.samples.over_rounds(|round| {
                        self.samples.tail(round, target, client, against).map(field)
                    })
                };
                let shown = |field| spread(field).show(|value| digits(value, 4));
                let failed = spread(|run| run.failed as f64);
                let _ = writeln!(
                    text,
                    "| {target} | half of {}'s: {} | {} | {} | {} | {} | {} | {} | {} |",
                    against.name(),
                    rate.median()
                        .map_or_else(|| "–".to_owned(), |rate| format!("{rate:.0}/s")),
                    client.name(),
                    shown(|run| run.p50_us),
                    shown(|run| run.p99_us),
                    shown(|run| run.p999_us),
                    shown(|run| run.max_us),
                    shown(|run| run.cpu_us_per_msg),
                    failed
                        .high()
                        .map_or_else(|| "–".to_owned(), |failed| format!("{failed:.0}")),
                );
            }
        }
        text.push('\n');
    }

    fn rate(&self, round: usize, target: &str, against: Client) -> Option<f64> {
        self.samples.0.iter().find_map(|sample| {
            let same = sample.round == round
                && sample.cell.target == target
                && sample.against == Some(against);
            sample.rate.filter(|_| same)
        })
    }

    pub(super) fn to_json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Json<'a> {
            command: &'a str,
            machine: &'a Machine,
            skipped: Vec<(&'static str, &'a str)>,
            targets: Vec<JsonGoal<'a>>,
            samples: &'a [Sample],
        }
        #[derive(Serialize)]
        struct JsonGoal<'a> {
            what: &'a str,
            at_most: Option<f64>,
            at_least: Option<f64>,
            median: Option<f64>,
            lowest: Option<f64>,
            highest: Option<f64>,
            floor: Option<f64>,
        }
        let mut text = serde_json::to_string_pretty(&Json {
            command: self.command,
            machine: self.machine,
            skipped: self
                .skipped
                .iter()
                .map(|(client, reason)| (client.name(), reason.as_str()))
                .collect(),
            targets: self
                .goals
                .iter()
                .map(|goal| JsonGoal {
                    what: &goal.what,
                    at_most: match goal.aim {
                        Aim::AtMost(aim) => Some(aim),
                        _ => None,
                    },
                    at_least: match goal.aim {
                        Aim::AtLeast(aim) => Some(aim),
                        _ => None,
                    },
                    median: goal.measured.median(),
                    lowest: goal.measured.low(),
                    highest: goal.measured.high(),
                    floor: goal.floor.as_ref().and_then(Spread::median),
                })
                .collect(),
            samples: &self.samples.0,
        })?;
        text.push('\n');
        Ok(text)
    }
}

/// The section on runs that have no figures; nothing where there are none.
pub(super) fn failures(samples: &Samples) -> String {
    let mut lines = String::new();
    for sample in &samples.0 {
        if let RunResult::Error(error) = &sample.result {
            let _ = writeln!(
                lines,
                "- {}, {} B, {}, {} in flight, {}, round {}: {}",
                sample.cell.target,
                sample.cell.body,
                sample.cell.work.name(),
                sample.cell.in_flight,
                sample.client.name(),
                sample.round,
                error.replace('\n', " ")
            );
        }
    }
    if lines.is_empty() {
        return lines;
    }
    format!("## Runs that failed\n\n{lines}")
}

/// So many significant digits, but no less than the whole number.
pub(super) fn digits(value: f64, significant: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let whole = if value.abs() < 1.0 {
        0
    } else {
        value.abs().log10() as usize + 1
    };
    format!("{value:.*}", significant.saturating_sub(whole.max(1)))
}

/// The cells in which clients are compared, for the pictures.
pub(super) fn compared(cells: &[Cell]) -> impl Iterator<Item = &Cell> {
    cells
        .iter()
        .filter(|cell| matches!(cell.work, Work::Single | Work::Batch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_first_digits() {
        let shown = [1234.5, 12.345, 1.2345, 0.12345, 99.96].map(|value| digits(value, 3));
        assert_eq!(shown, ["1234", "12.3", "1.23", "0.12", "100.0"]);
        assert_eq!(digits(f64::NAN, 3), "–");
    }
}
