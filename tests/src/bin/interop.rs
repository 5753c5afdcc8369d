//! `interop`: every feature on every kind of Apache cluster; see `docs/interop.md`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use rocketmq_producer_tests::command;
use rocketmq_producer_tests::interop::{
    Column, Entry, Ground, Outcome, Report, Row, complete, groups, markdown, run,
};
use xtask::apache::Availability;
use xtask::{paths, wait};

/// Tries every feature on every kind of cluster and writes the table of `docs/interop.md`.
///
/// The table is written once there is a result of every column for every row. Results are kept in `target/interop`, so
/// that one column, or some rows of it, can be repeated by itself.
#[derive(Debug, Parser)]
struct Options {
    /// Only these columns: 5.5.0, 5.1.4, 4.9.7, acl2, acl1, tls, slave, proxy.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN")]
    only: Vec<Column>,
    /// Only rows whose name or group contains one of these, whatever the case.
    #[arg(long, value_delimiter = ',', value_name = "PATTERN")]
    rows: Vec<String>,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if let Availability::Missing(reason) = Availability::check() {
        bail!("no real broker: {reason}");
    }
    let rows = wanted(&options.rows);
    if rows.is_empty() {
        bail!("no row is called like that");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let columns = match options.only.as_slice() {
        [] => Column::ALL.to_vec(),
        some => some.to_vec(),
    };
    // No row is to wait for the compiler.
    command::path()?;
    let mut reports = Vec::new();
    for column in columns {
        let report = runtime.block_on(one(column, &rows))?;
        let kept = Report::load(column).filter(|_| !options.rows.is_empty());
        report.clone().completed(kept).save()?;
        reports.push(report);
    }
    // A row that hangs in a call of Apache's client must not keep the program.
    runtime.shutdown_timeout(Duration::from_secs(5));
    println!("{}", markdown(&reports));
    let failed = failures(&reports);
    write()?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn wanted(patterns: &[String]) -> Vec<&'static Row> {
    let has = |text: &str| {
        let text = text.to_lowercase();
        let mut patterns = patterns.iter().map(|pattern| pattern.to_lowercase());
        patterns.any(|pattern| text.contains(&pattern))
    };
    groups()
        .iter()
        .flat_map(|group| group.rows.iter().map(move |row| (group, row)))
        .filter(|(group, row)| patterns.is_empty() || has(group.title) || has(row.name))
        .map(|(_, row)| row)
        .collect()
}

async fn one(column: Column, rows: &[&'static Row]) -> Result<Report> {
    let start = wait::now();
    eprintln!("{column}: booting");
    let ground = tokio::task::spawn_blocking(move || Ground::boot(column)).await?;
    let ground = Arc::new(ground.with_context(|| format!("{column} does not start"))?);
    eprintln!("{column}: ready after {} s", start.elapsed().as_secs());
    let show = |entry: &Entry| {
        let (outcome, note) = (entry.outcome, &entry.note);
        eprintln!(
            "{column}: {outcome:?} {} ({} ms) {note}",
            entry.row, entry.ms
        );
    };
    let entries = run(&ground, rows, show).await;
    tokio::task::spawn_blocking(move || drop(ground)).await?;
    let seconds = start.elapsed().as_secs();
    eprintln!("{column}: done after {seconds} s");
    Ok(Report::new(column, seconds, entries))
}

fn failures(reports: &[Report]) -> usize {
    let mut failed = 0;
    for report in reports {
        for entry in &report.entries {
            if entry.outcome == Outcome::Failed {
                eprintln!("FAILED on {}: {}: {}", report.column, entry.row, entry.note);
                failed += 1;
            }
        }
    }
    failed
}

/// Writes the document if there is a result for every cell.
fn write() -> Result<()> {
    let reports: Vec<_> = Column::ALL.into_iter().filter_map(Report::load).collect();
    if let Err(missing) = complete(&reports) {
        let first = missing.first().map(ToString::to_string);
        eprintln!(
            "docs/interop.md stays as it is: {} cells have no result, such as {}",
            missing.len(),
            first.unwrap_or_default()
        );
        return Ok(());
    }
    let file = paths::workspace().join("docs/interop.md");
    std::fs::write(&file, markdown(&reports))
        .with_context(|| format!("cannot write {}", file.display()))
}
