//! `docs/interop.md`.

use std::fmt::{self, Write};

use super::report::machine;
use super::{Column, Entry, Group, Outcome, Report, groups};

/// A cell that no report has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missing {
    /// The column.
    pub column: Column,
    /// The row's name.
    pub row: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.row, self.column)
    }
}

/// Whether there is an entry of every row for every column; else what is missing.
///
/// # Errors
/// The missing cells.
pub fn complete(reports: &[Report]) -> Result<(), Vec<Missing>> {
    let mut missing = Vec::new();
    for column in Column::ALL {
        for row in groups().iter().flat_map(|group| group.rows) {
            if entry(reports, column, row.name).is_none() {
                missing.push(Missing {
                    column,
                    row: row.name,
                });
            }
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(missing)
    }
}

fn entry<'a>(reports: &'a [Report], column: Column, row: &str) -> Option<&'a Entry> {
    let mut of_column = reports.iter().filter(|r| r.column == column.name());
    of_column
        .next()?
        .entries
        .iter()
        .find(|entry| entry.row == row)
}

const INTRODUCTION: &str = "\
# Interoperability

<!-- Written by `cargo xtask interop`; do not edit. -->

Every feature on every kind of cluster, each cell from a run on a cluster that was booted for it. What is stored is read
back by Apache's own Java client of the cluster's version, past any proxy.

- **passed**: the feature works there, as the Java client sees it.
- **refused**: what must be refused was refused, and the producer reported it as its documentation says.
- **not offered**: the cluster does not have what the feature needs; the note says what the run showed instead.

Some rows of a column can be repeated by themselves (`--rows`): date, commit and seconds below are those of its last run.
";

/// The document of these reports, with the columns that they have.
#[must_use]
pub fn markdown(reports: &[Report]) -> String {
    let columns: Vec<Column> = Column::ALL
        .into_iter()
        .filter(|column| reports.iter().any(|r| r.column == column.name()))
        .collect();
    let mut text = INTRODUCTION.to_owned();
    summary(&mut text, reports, &columns);
    for group in groups() {
        table(&mut text, reports, &columns, group);
    }
    text
}

fn summary(text: &mut String, reports: &[Report], columns: &[Column]) {
    let all = || reports.iter().flat_map(|report| &report.entries);
    let count = |outcome| all().filter(|entry| entry.outcome == outcome).count();
    let failed = count(Outcome::Failed);
    let _ = writeln!(
        text,
        "\n{} cells: {} passed, {} refused as it should be, {} not offered, {failed} failed. Made by `cargo xtask \
         interop` on {}.\n",
        all().count(),
        count(Outcome::Passed),
        count(Outcome::Refused),
        count(Outcome::NotOffered),
        machine(),
    );
    text.push_str("| column | cluster | run | commit | seconds |\n|---|---|---|---|---|\n");
    for column in columns {
        let of_column = |report: &&Report| report.column == column.name();
        if let Some(report) = reports.iter().find(of_column) {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                column.title(),
                column.about(),
                report.date,
                report.commit,
                report.seconds
            );
        }
    }
}

fn table(text: &mut String, reports: &[Report], columns: &[Column], group: &Group) {
    let _ = write!(text, "\n## {}\n\n| |", group.title);
    for column in columns {
        let _ = write!(text, " {} |", column.title());
    }
    let _ = write!(text, "\n|---|{}\n", "---|".repeat(columns.len()));
    let mut notes: Vec<&str> = Vec::new();
    for row in group.rows {
        let _ = write!(text, "| **{}**: {} |", row.name, row.proves);
        for column in columns {
            let Some(entry) = entry(reports, *column, row.name) else {
                text.push_str(" untested |");
                continue;
            };
            let _ = write!(text, " {}", word(entry.outcome));
            if !entry.note.is_empty() {
                let note = entry.note.as_str();
                let number = notes.iter().position(|known| *known == note);
                let number = number.unwrap_or_else(|| {
                    notes.push(note);
                    notes.len() - 1
                });
                let _ = write!(text, "<sup>{}</sup>", number + 1);
            }
            text.push_str(" |");
        }
        text.push('\n');
    }
    for (index, note) in notes.iter().enumerate() {
        let gap = if index == 0 { "\n" } else { "" };
        let _ = writeln!(text, "{gap}{}. {}", index + 1, one_line(note));
    }
}

const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Refused => "refused",
        Outcome::NotOffered => "not offered",
        Outcome::Failed => "**FAILED**",
    }
}

/// Nothing that a Markdown reader would take for its own.
fn one_line(note: &str) -> String {
    let escaped = note.replace('<', "&lt;");
    escaped.split_whitespace().collect::<Vec<_>>().join(" ")
}
