//! `--connections`: what the default of `connections_per_broker` is chosen by.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use xtask::apache::Version;

use super::{CPU, Comparison, Field, Figures, P99, RATE, Variant};
use crate::bench::report::digits;
use crate::bench::sample::Work;
use crate::bench::targets::Choice;
use crate::shell;

const SETTING: &str = "connections_per_broker";
/// Further connections have to bring so much more throughput, and no cell may lose as much.
const WORTH: f64 = 1.05;

pub(in crate::bench) fn connections() -> Comparison {
    let with = |name, settings| Variant {
        settings,
        ..Variant::new(name, "1")
    };
    Comparison {
        name: "connections",
        title: "Connections per broker",
        about: "Ratios are to one connection.",
        variants: vec![
            with("1", &[(SETTING, "1")]),
            with("2", &[(SETTING, "2")]),
            with("4", &[(SETTING, "4")]),
        ],
        choices: vec![Choice::Null, Choice::Real(Version::V5_5_0)],
        loads: [256, 4096]
            .into_iter()
            .flat_map(|body| [64, 1024].map(|in_flight| (body, Work::Single, in_flight)))
            .collect(),
        conclusion: choose,
    }
}

/// The rule, and what it chooses.
fn choose(figures: &Figures<'_>) -> Result<String> {
    let mut section = format!(
        "## The default\n\nOne connection is the default unless a higher number earns its place: over all cells (geometric \
         mean of the medians) throughput rises by at least {:.0} % and by at least as much as CPU per message does, and in \
         no cell does throughput fall by more than that. Of those that do, the lowest number.\n\n\
         | connections | throughput × | in its worst cell × | CPU per message × | p99 × | earns its place |\n\
         |---:|---:|---:|---:|---:|---|\n",
        (WORTH - 1.0) * 100.0
    );
    let mut chosen = "1";
    for variant in figures
        .comparison
        .variants
        .iter()
        .filter(|v| v.name != v.base)
    {
        let gain = Gain::of(figures, *variant);
        let earns = gain.earns_its_place();
        if earns && chosen == "1" {
            chosen = variant.name;
        }
        let _ = writeln!(
            section,
            "| {} | {} | {} | {} | {} | {} |",
            variant.name,
            digits(gain.rate, 3),
            digits(gain.worst, 3),
            digits(gain.cpu, 3),
            digits(gain.p99, 3),
            if earns { "yes" } else { "no" }
        );
    }
    let default = default(figures)?;
    let verdict = if default == chosen {
        "as it is"
    } else {
        "**which it is not**"
    };
    let _ = writeln!(
        section,
        "\nBy this run the default is {chosen}, {verdict}: `{SETTING} = {default}`.\n"
    );
    Ok(section)
}

fn default(figures: &Figures<'_>) -> Result<String> {
    let settings = shell::capture(Command::new(figures.cli).args(["config", "--json"]))?;
    let settings: Value = serde_json::from_str(&settings)?;
    let mut entries = settings.as_array().into_iter().flatten();
    let entry = entries.find(|entry| entry["key"] == SETTING);
    let value = entry.and_then(|entry| entry["value"].as_str());
    Ok(value.context("the setting is gone")?.to_owned())
}

/// Ratios to one connection, over all cells.
#[derive(Debug, Clone, Copy)]
struct Gain {
    rate: f64,
    /// The lowest of all cells.
    worst: f64,
    cpu: f64,
    p99: f64,
}

impl Gain {
    fn of(figures: &Figures<'_>, variant: Variant) -> Self {
        let medians = |field: Field| -> Vec<f64> {
            let cells = figures.cells().into_iter();
            cells
                .filter_map(|cell| figures.ratio(&cell, variant, field).median())
                .collect()
        };
        let rates = medians(RATE);
        Self {
            worst: rates.iter().copied().fold(f64::NAN, f64::min),
            rate: geometric_mean(&rates),
            cpu: geometric_mean(&medians(CPU)),
            p99: geometric_mean(&medians(P99)),
        }
    }

    /// Never where nothing was measured.
    fn earns_its_place(self) -> bool {
        self.rate >= WORTH && self.rate >= self.cpu && self.worst >= 2.0 - WORTH
    }
}

/// Not a number where there is none.
fn geometric_mean(values: &[f64]) -> f64 {
    let logarithms: f64 = values.iter().map(|value| value.ln()).sum();
    (logarithms / values.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_earned_by_throughput_that_costs_no_more_than_it_brings() {
        let gain = Gain {
            rate: 1.06,
            worst: 0.96,
            cpu: 1.05,
            p99: 1.2,
        };
        assert!(gain.earns_its_place());
        assert!(!Gain { rate: 1.04, ..gain }.earns_its_place());
        assert!(!Gain { cpu: 1.07, ..gain }.earns_its_place());
        assert!(!Gain { worst: 0.9, ..gain }.earns_its_place());
        let nothing = geometric_mean(&[]);
        assert!(
            !Gain {
                rate: nothing,
                ..gain
            }
            .earns_its_place()
        );
    }

    #[test]
    fn a_doubling_and_a_halving_cancel_out() {
        assert!((geometric_mean(&[2.0, 0.5]) - 1.0).abs() < 1e-9);
    }
}
