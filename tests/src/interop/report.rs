//! What the rows found on one cluster, as it is kept between runs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use xtask::paths;

use super::{Cell, Column};

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The feature works.
    Passed,
    /// The refusal that belongs there came.
    Refused,
    /// The cluster does not have it.
    NotOffered,
    /// Something else happened.
    Failed,
}

/// A row on one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// The row's name.
    pub row: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What there is to say about it; may be empty.
    pub note: String,
    /// How long it took in milliseconds.
    pub ms: u64,
}

impl Entry {
    pub(super) fn new(row: &str, found: Result<Cell>, ms: u64) -> Self {
        let (outcome, note) = match found {
            Ok(Cell::Passed) => (Outcome::Passed, String::new()),
            Ok(Cell::PassedBut(note)) => (Outcome::Passed, note),
            Ok(Cell::Refused(note)) => (Outcome::Refused, note),
            Ok(Cell::NotOffered(note)) => (Outcome::NotOffered, note),
            Err(error) => (Outcome::Failed, format!("{error:#}")),
        };
        Self {
            row: row.to_owned(),
            outcome,
            note,
            ms,
        }
    }
}

/// A whole column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The column's name.
    pub column: String,
    /// When it was run.
    pub date: String,
    /// Of what it was built.
    pub commit: String,
    /// How long it took in seconds, the boot included.
    pub seconds: u64,
    /// A result for each row.
    pub entries: Vec<Entry>,
}

impl Report {
    /// What was found just now.
    #[must_use]
    pub fn new(column: Column, seconds: u64, entries: Vec<Entry>) -> Self {
        let changed = !git(&["status", "--porcelain", "--untracked-files=no"]).is_empty();
        Self {
            column: column.name().to_owned(),
            date: first_line(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])),
            commit: git(&["rev-parse", "--short=12", "HEAD"])
                + if changed { " with changes" } else { "" },
            seconds,
            entries,
        }
    }

    /// Adds what an earlier run of the column found for rows that this one did not have; the date is that of this run.
    #[must_use]
    pub fn completed(mut self, earlier: Option<Self>) -> Self {
        let here = |row: &str| self.entries.iter().any(|entry| entry.row == row);
        let others = earlier.map(|report| report.entries).unwrap_or_default();
        let others = others.into_iter().filter(|entry| !here(&entry.row));
        let others: Vec<_> = others.collect();
        self.entries.extend(others);
        self
    }

    /// Keeps it for the table.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self) -> Result<()> {
        let file = file(&self.column);
        std::fs::create_dir_all(file.parent().unwrap_or(&file))?;
        std::fs::write(&file, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// The last one of a column, if there is one.
    #[must_use]
    pub fn load(column: Column) -> Option<Self> {
        let bytes = std::fs::read(file(column.name())).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

fn file(column: &str) -> PathBuf {
    paths::target()
        .join("interop")
        .join(format!("{column}.json"))
}

/// The machine, in one sentence.
pub(super) fn machine() -> String {
    let file = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = file("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or_else(
            || "a processor that is not known".to_owned(),
            |rest| rest.trim_start_matches([' ', '\t', ':']).to_owned(),
        );
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = first_line(Command::new("uname").arg("-sr"));
    let rustc = first_line(
        Command::new("rustc")
            .arg("--version")
            .current_dir(paths::workspace()),
    );
    let java = first_line(Command::new("java").arg("--version"));
    format!("{cpu} ({cores} cores), {kernel}; {rustc}; {java}")
}

fn git(arguments: &[&str]) -> String {
    first_line(
        Command::new("git")
            .args(arguments)
            .current_dir(paths::workspace()),
    )
}

/// Of what a program prints, or nothing where it is missing.
fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout);
    let text = String::from_utf8_lossy(&output.unwrap_or_default()).into_owned();
    text.lines().next().unwrap_or_default().trim().to_owned()
}
