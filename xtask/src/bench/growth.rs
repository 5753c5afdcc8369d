//! `cargo xtask bench --growth`: how costs grow, as a table and as `docs/benchmarks/growth.json`.

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;
use xtask::paths;

use crate::faults::program;

/// By a program of the tests' package, since this one must not use the producer.
pub(crate) fn run(idle_seconds: u64) -> Result<()> {
    let mut command = program("growth");
    command.args(["--idle-seconds", &idle_seconds.to_string()]);
    // What it says meanwhile is shown as it comes.
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    anyhow::ensure!(output.status.success(), "growth: {}", output.status);
    let figures: Value = serde_json::from_slice(&output.stdout)?;
    print(&figures);
    let file = paths::workspace().join("docs/benchmarks/growth.json");
    fs::create_dir_all(file.parent().unwrap_or(&file))?;
    fs::write(&file, serde_json::to_string_pretty(&figures)? + "\n")?;
    println!("\nwritten to {}", file.display());
    Ok(())
}

fn print(figures: &Value) {
    println!(
        "\n{:<24} {:>7} {:>8} {:>10} {:>12} {:>8} {:>27}",
        "cost per message", "topics", "brokers", "in flight", "CPU", "writes", "ratio (target)"
    );
    for row in rows(figures, "cost") {
        let spread = format!(
            "{:.2}, {:.2} to {:.2} ({:.2})",
            number(row, "ratio"),
            number(row, "ratio_min"),
            number(row, "ratio_max"),
            number(row, "ratio_target")
        );
        println!(
            "{:<24} {:>7} {:>8} {:>10} {:>9.2} µs {:>8.3} {spread:>27}",
            row["series"].as_str().unwrap_or_default(),
            row["topics"],
            row["brokers"],
            row["in_flight"],
            number(row, "cpu_ns") / 1e3,
            number(row, "writes")
        );
    }
    println!("\n{:<24} {:>12} {:>12}", "in flight", "heap", "per send");
    for row in rows(figures, "memory") {
        println!(
            "{:<24} {:>8.0} KiB {:>10} B",
            row["in_flight"],
            number(row, "heap") / 1024.0,
            row["heap_per_send"]
        );
    }
    let start = &figures["start"];
    println!(
        "\nfrom main to the first receipt: {:.2} ms, {:.2} to {:.2} in {} runs (target: {} ms)",
        number(start, "median_ms"),
        number(start, "min_ms"),
        number(start, "max_ms"),
        start["runs"],
        start["target_ms"]
    );
    let idle = &figures["idle"];
    println!(
        "idle with {} topics: {:.1} ms of CPU in {:.0} s, {:.3} % of a core (target: {} %), {} answers of name servers",
        idle["topics"],
        number(idle, "cpu_ms"),
        number(idle, "seconds"),
        number(idle, "percent"),
        idle["percent_target"],
        idle["routes_asked"]
    );
}

fn rows<'a>(figures: &'a Value, name: &str) -> &'a [Value] {
    figures[name].as_array().map_or(&[], Vec::as_slice)
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or(f64::NAN)
}
