//! `cargo xtask bench --growth`: how costs grow, as `growth.md`, `growth.json` and `growth.svg` in `docs/benchmarks`.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;
use xtask::paths;

use super::goals::{Aim, NOT_MEASURED, Reached};
use super::machine::Machine;
use super::pictures;
use super::sample::Spread;
use crate::faults::program;

/// By a program of the tests' package, since this one must not use the producer.
pub(crate) fn run(idle_seconds: u64, command: &str) -> Result<()> {
    let mut growth = program("growth");
    growth.args(["--idle-seconds", &idle_seconds.to_string()]);
    // What it says meanwhile is shown as it comes.
    let output = growth
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    anyhow::ensure!(output.status.success(), "growth: {}", output.status);
    let figures: Value = serde_json::from_slice(&output.stdout)?;
    let tables = tables(&figures);
    println!("\n{tables}");
    let folder = paths::workspace().join("docs/benchmarks");
    fs::create_dir_all(&folder)?;
    let json = serde_json::to_string_pretty(&figures)? + "\n";
    let text = format!(
        "# Growth\n\nWritten by `{command}`; how it is measured and how to read it says [the page on \
         benchmarks](../src/benchmarks.md).\n\n{}\n\n{tables}\n![CPU per message](growth.svg)\n",
        Machine::describe().to_markdown(),
    );
    for (name, text) in [("growth.json", json), ("growth.md", text)] {
        let file = folder.join(name);
        fs::write(&file, text)?;
        println!("written to {}", file.display());
    }
    for (picture, _) in pictures::growth(&folder)? {
        println!("written to {}", folder.join(picture).display());
    }
    Ok(())
}

fn tables(figures: &Value) -> String {
    let mut text = String::from(
        "Cost per message, all on embedded null brokers in a process of their own, on a runtime with one thread. Ratios are \
         to the first line of a series, round by round: median (lowest to highest). A target is met when the interval \
         reaches it.\n\n\
         | series | topics | brokers | in flight | µs CPU per message | writes per message | ratio | target | |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---|\n",
    );
    for row in rows(figures, "cost") {
        let target = number(row, "ratio_target");
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {:.2} | {:.3} | {:.2} ({:.2} to {:.2}) | ≤ {target:.2} | {} |",
            row["series"].as_str().unwrap_or_default(),
            row["topics"],
            row["brokers"],
            row["in_flight"],
            number(row, "cpu_ns") / 1e3,
            number(row, "writes"),
            number(row, "ratio"),
            number(row, "ratio_min"),
            number(row, "ratio_max"),
            verdict(number(row, "ratio"), number(row, "ratio_min"), target),
        );
    }
    text += "\n| sends in flight | heap KiB | bytes per send |\n|---:|---:|---:|\n";
    for row in rows(figures, "memory") {
        let _ = writeln!(
            text,
            "| {} | {:.0} | {} |",
            row["in_flight"],
            number(row, "heap") / 1024.0,
            row["heap_per_send"]
        );
    }
    let (start, idle) = (&figures["start"], &figures["idle"]);
    let (median, least) = (number(start, "median_ms"), number(start, "min_ms"));
    let percent = number(idle, "percent");
    let _ = write!(
        text,
        "\n| what | target | measured | |\n|---|---|---|---|\n\
         | from `main` to the first receipt, {} processes | ≤ {} ms | {median:.2} ({least:.2} to {:.2}) ms | {} |\n\
         | CPU of an idle producer that knows {} topics, watched for {:.0} s | ≤ {} % of a core | {percent:.3} % ({:.1} ms, {} \
         answers of name servers) | {} |\n",
        start["runs"],
        start["target_ms"],
        number(start, "max_ms"),
        verdict(median, least, number(start, "target_ms")),
        idle["topics"],
        number(idle, "seconds"),
        idle["percent_target"],
        number(idle, "cpu_ms"),
        idle["routes_asked"],
        verdict(percent, percent, number(idle, "percent_target")),
    );
    text
}

fn verdict(median: f64, least: f64, target: f64) -> &'static str {
    // The most does not matter for what should be small.
    let measured = Spread::of(vec![least, median, median]);
    let reached = Aim::AtMost(target).reached_by(&measured);
    reached.map_or(NOT_MEASURED, Reached::verdict)
}

fn rows<'a>(figures: &'a Value, name: &str) -> &'a [Value] {
    figures[name].as_array().map_or(&[], Vec::as_slice)
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_target_is_met_when_the_interval_reaches_it() {
        assert_eq!(verdict(1.0, 0.9, 1.1), "met");
        assert_eq!(
            verdict(1.2, 1.1, 1.1),
            "met by the interval, not by the median"
        );
        assert_eq!(verdict(1.2, 1.11, 1.1), "**missed**");
    }

    #[test]
    fn every_figure_has_its_place() {
        let cost = json!({
            "series": "topics", "topics": 1000, "brokers": 1, "in_flight": 64, "cpu_ns": 1406.0, "writes": 0.5,
            "ratio": 1.23, "ratio_min": 1.13, "ratio_max": 1.53, "ratio_target": 1.1,
        });
        let memory = json!({ "in_flight": 1000, "heap": 2_852_864, "heap_per_send": 2852 });
        let start = json!({ "median_ms": 1.55, "min_ms": 1.45, "max_ms": 2.34, "runs": 21, "target_ms": 5.0 });
        let idle = json!({
            "topics": 1000, "cpu_ms": 37.4, "seconds": 65.0, "percent": 0.058, "percent_target": 0.1, "routes_asked": 2000,
        });
        let text =
            tables(&json!({ "cost": [cost], "memory": [memory], "start": start, "idle": idle }));
        for part in [
            "| topics | 1000 | 1 | 64 | 1.41 | 0.500 | 1.23 (1.13 to 1.53) | ≤ 1.10 | **missed** |",
            "| 1000 | 2786 | 2852 |",
            "21 processes | ≤ 5.0 ms | 1.55 (1.45 to 2.34) ms | met |",
            "1000 topics, watched for 65 s | ≤ 0.1 % of a core | 0.058 % (37.4 ms, 2000 answers of name servers) | met |",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
