//! `--security`: what signing and TLS cost, and whether they cost anything while they are off.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::Value;
use xtask::apache::Version;
use xtask::paths;

use super::{CPU, Comparison, Figures, RATE, Variant};
use crate::bench::report::digits;
use crate::bench::sample::{Cell, Client, Spread, Work};
use crate::bench::targets::Choice;

const PLAIN: &str = "plain";
const PLAIN_JSON: &str = "plain, JSON";

pub(in crate::bench) fn security() -> Comparison {
    let plain = Variant::new(PLAIN, PLAIN);
    let json = Variant {
        settings: &[("header_encoding", "json")],
        small_only: true,
        ..Variant::new(PLAIN_JSON, PLAIN_JSON)
    };
    let variants = vec![
        plain,
        Variant {
            name: "ACL",
            signs: true,
            ..plain
        },
        Variant {
            name: "TLS",
            tls: true,
            ..plain
        },
        Variant {
            name: "ACL and TLS",
            signs: true,
            tls: true,
            ..plain
        },
        json,
        Variant {
            name: "ACL, JSON",
            signs: true,
            ..json
        },
    ];
    let singles = [256, 4096]
        .into_iter()
        .flat_map(|body| [64, 1024].map(|in_flight| (body, Work::Single, in_flight)));
    Comparison {
        name: "security",
        title: "What security costs",
        about: "Ratios are to the plain client with the same headers; they are the cost. ACL signs every request; the null \
                broker looks at no signature, Apache's checks all. TLS is 1.3, and servers are verified.",
        variants,
        choices: vec![Choice::Null, Choice::Real(Version::V5_5_0)],
        loads: singles.chain([(256, Work::Auto, 1024)]).collect(),
        conclusion: with_both_off,
    }
}

/// The plain column beside the results of record.
fn with_both_off(figures: &Figures<'_>) -> Result<String> {
    let Ok(text) = std::fs::read_to_string(paths::workspace().join("docs/benchmarks/results.json"))
    else {
        return Ok(String::new());
    };
    let recorded: Value = serde_json::from_str(&text)?;
    let mut section = format!(
        "## With both off\n\nThe plain client beside ours in [the last full run](results.md) of {} at commit {}: two runs on \
         two days, which on a shared machine differ for many reasons. What the code of a plain send costs is told by \
         `cargo xtask bench --check`, which counts instructions.\n\n\
         | target | body | sends | in flight | µs CPU now | then | × | messages/s now | then | × |\n\
         |---|---:|---|---:|---:|---:|---:|---:|---:|---:|\n",
        recorded["machine"]["date"]
            .as_str()
            .unwrap_or("an unknown day"),
        recorded["machine"]["commit"].as_str().unwrap_or("unknown"),
    );
    for cell in figures.cells() {
        let _ = write!(
            section,
            "| {} | {} B | {} | {} |",
            cell.target,
            cell.body,
            cell.work.name(),
            cell.in_flight
        );
        for (field, key) in [(CPU, "cpu_us_per_msg"), (RATE, "msgs_per_s")] {
            let now = figures.over_rounds(&cell, Client::Variant(PLAIN), field);
            let (now, then) = (now.median(), then(&recorded, &cell, key).median());
            let ratio = now.zip(then).map(|(now, then)| now / then);
            let show =
                |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| digits(value, 3));
            let _ = write!(
                section,
                " {} | {} | {} |",
                show(now),
                show(then),
                show(ratio)
            );
        }
        section.push('\n');
    }
    section.push('\n');
    Ok(section)
}

/// A figure of our client in the closed loops of the results of record.
fn then(recorded: &Value, cell: &Cell, key: &str) -> Spread {
    let work = serde_json::to_value(cell.work).unwrap_or_default();
    let samples = recorded["samples"].as_array().into_iter().flatten();
    let same = samples.filter(|sample| {
        sample["client"] == "ours"
            && sample["against"].is_null()
            && sample["target"] == cell.target.as_str()
            && sample["body"] == cell.body
            && sample["work"] == work
            && sample["in_flight"] == cell.in_flight
    });
    Spread::of(
        same.filter_map(|sample| sample["run"][key].as_f64())
            .collect(),
    )
}
