//! The results of a comparison as Markdown and as JSON.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::{CPU, Field, Figures, P50, P99, RATE, Variant};
use crate::bench::machine::Machine;
use crate::bench::report::{digits, failures};
use crate::bench::sample::{Cell, Sample};

impl Figures<'_> {
    pub(in crate::bench) fn to_markdown(&self, command: &str, machine: &Machine) -> Result<String> {
        let text = format!(
            "# {}\n\nWritten by `{command}`; how it is measured and how to read it says \
             [the page on benchmarks](../src/benchmarks.md).\n\n{}\n\n{}{}",
            self.comparison.title,
            machine.to_markdown(),
            self.sections()?,
            failures(self.samples),
        );
        Ok(text.trim_end().to_owned() + "\n")
    }

    /// All but what tells of the run itself.
    pub(in crate::bench) fn sections(&self) -> Result<String> {
        let mut text = format!(
            "{} Of {} interleaved round(s): medians (lowest to highest). Ratios are taken within a round.\n\n{}",
            self.comparison.about,
            self.rounds,
            (self.comparison.conclusion)(self)?
        );
        let mut groups: Vec<(String, u32)> = Vec::new();
        for cell in self.cells() {
            let group = (cell.target, cell.body);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        for (target, body) in groups {
            let _ = writeln!(
                text,
                "## {}: {target}, {body} B\n\n\
                 | sends | in flight | variant | µs CPU per message | × | messages/s | × | p50 µs | p99 µs | p99 × | failed |\n\
                 |---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|",
                self.comparison.title
            );
            let cells = self.cells().into_iter();
            for cell in cells.filter(|cell| cell.target == target && cell.body == body) {
                for variant in &self.comparison.variants {
                    self.row(&mut text, &cell, *variant);
                }
            }
            text.push('\n');
        }
        Ok(text)
    }

    fn row(&self, text: &mut String, cell: &Cell, variant: Variant) {
        let of = |field: Field| self.over_rounds(cell, variant.client(), field);
        if !variant.takes_part(cell) || of(RATE).median().is_none() {
            return;
        }
        let ratio = |field: Field| {
            if variant.name == variant.base {
                return "1".to_owned();
            }
            let ratio = self.ratio(cell, variant, field);
            ratio.show(|value| digits(value, 3))
        };
        let median = |field: Field| {
            let median = of(field).median();
            median.map_or_else(|| "–".to_owned(), |value| digits(value, 4))
        };
        let failed: u64 = (1..=self.rounds)
            .filter_map(|round| self.samples.get(round, cell, variant.client()))
            .map(|run| run.failed)
            .sum();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {failed} |",
            cell.work.name(),
            cell.in_flight,
            variant.name,
            of(CPU).show(|value| digits(value, 3)),
            ratio(CPU),
            of(RATE).show(|value| format!("{value:.0}")),
            ratio(RATE),
            median(P50),
            median(P99),
            ratio(P99),
        );
    }

    pub(in crate::bench) fn to_json(&self, command: &str, machine: &Machine) -> Result<String> {
        #[derive(Serialize)]
        struct Json<'a> {
            command: &'a str,
            machine: &'a Machine,
            samples: &'a [Sample],
        }
        let json = Json {
            command,
            machine,
            samples: &self.samples.0,
        };
        Ok(serde_json::to_string_pretty(&json)? + "\n")
    }
}
