//! What the processes saw: a line each, written at once, so that it outlives the process.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Writes a journal.
#[derive(Debug)]
pub(super) struct Journal(File);

impl Journal {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(file))
    }

    /// One write for a line, so that a process that is killed leaves whole lines.
    pub(super) fn note(&self, line: &str) -> Result<()> {
        let written = (&self.0).write_all(format!("{line}\n").as_bytes());
        written.context("the journal cannot be written")
    }
}

/// What is known of one transaction.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Evidence {
    /// It was begun.
    pub begun: bool,
    /// A broker took the half message.
    pub has_half: bool,
    /// Attempts to send the half message that may have stored one more.
    pub doubtful_halves: u64,
    /// The end came back to the caller.
    pub has_end: bool,
    /// The broker was told, and its answer did not come.
    pub is_unconfirmed: bool,
    /// How often the checkers were asked.
    pub checks: u64,
}

/// All journals.
#[derive(Debug, Default)]
pub struct Journals {
    /// With how far each was read.
    files: Vec<(PathBuf, u64)>,
    transactions: HashMap<u64, Evidence>,
    begun: u64,
    checks: u64,
    is_done: bool,
    failures: u64,
}

impl Journals {
    /// One more file, which need not exist yet.
    pub fn add(&mut self, path: &Path) {
        self.files.push((path.to_owned(), 0));
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// When a file cannot be read, or holds what no process writes.
    pub fn read(&mut self) -> Result<()> {
        let mut files = std::mem::take(&mut self.files);
        for (path, position) in &mut files {
            if !path.exists() {
                continue;
            }
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(*position))?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            // A line may be half written just now.
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            *position += whole as u64;
            for line in text.get(..whole).unwrap_or_default().lines() {
                self.note(line)
                    .with_context(|| format!("{line:?} in {}", path.display()))?;
            }
        }
        self.files = files;
        Ok(())
    }

    fn note(&mut self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split(' ').collect();
        if line == "done" {
            self.is_done = true;
            return Ok(());
        }
        let number = words.get(1).context("a number")?.parse()?;
        let evidence = self.transactions.entry(number).or_default();
        match (words.first().copied(), words.get(2..).unwrap_or_default()) {
            (Some("begin"), []) => {
                evidence.begun = true;
                self.begun = self.begun.max(number + 1);
            }
            (Some("half"), [doubtful]) => {
                evidence.has_half = true;
                evidence.doubtful_halves = doubtful.parse()?;
            }
            (Some("failed"), [doubtful]) => {
                evidence.has_end = true;
                evidence.doubtful_halves = doubtful.parse()?;
                self.failures += 1;
            }
            (Some("end"), [settlement]) => {
                evidence.has_end = true;
                evidence.is_unconfirmed = *settlement != "confirmed" && *settlement != "left";
            }
            (Some("check"), []) => {
                evidence.checks += 1;
                self.checks += 1;
            }
            _ => anyhow::bail!("no such line"),
        }
        Ok(())
    }

    /// The number after the last one that was begun.
    #[must_use]
    pub const fn begun(&self) -> u64 {
        self.begun
    }

    /// Questions that were put to checkers.
    #[must_use]
    pub const fn checks(&self) -> u64 {
        self.checks
    }

    /// Transactions whose half message got no receipt.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        self.failures
    }

    /// Whether a process has sent the last one.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.is_done
    }

    /// What is known of a transaction.
    #[must_use]
    pub fn of(&self, number: u64) -> Evidence {
        self.transactions.get(&number).cloned().unwrap_or_default()
    }
}
