//! A row of the table, and what it finds on one cluster.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Result;

use super::{
    Ground, admin, batches, compression, content, contexts, faults, hooks, ids, lives, order,
    reach, requests, security, sends, special, times, tool, topics, transactions, watched,
};

/// What a row found; anything else is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cell {
    /// The feature works, as Apache's own client sees it.
    Passed,
    /// It works; the text says what is different here.
    PassedBut(String),
    /// The refusal that the row expects came, in the words that the text repeats.
    Refused(String),
    /// This cluster does not have what the feature needs, and the run has shown what happens instead.
    NotOffered(String),
}

impl Cell {
    pub(super) fn but(text: impl Into<String>) -> Result<Self> {
        Ok(Self::PassedBut(text.into()))
    }

    pub(super) fn refused(text: impl Into<String>) -> Result<Self> {
        Ok(Self::Refused(text.into()))
    }

    pub(super) fn not_offered(text: impl Into<String>) -> Result<Self> {
        Ok(Self::NotOffered(text.into()))
    }
}

type Running = Pin<Box<dyn Future<Output = Result<Cell>> + Send>>;

/// A feature.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Row {
    /// What it is called in the table.
    pub name: &'static str,
    /// What is looked at.
    pub proves: &'static str,
    /// Whether it does something to the cluster's servers, so that no other row may run beside it.
    pub alone: bool,
    pub(super) run: fn(Arc<Ground>) -> Running,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("name", &self.name)
            .field("alone", &self.alone)
            .finish_non_exhaustive()
    }
}

/// Rows that belong together.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Group {
    /// The heading.
    pub title: &'static str,
    /// In the order of the table.
    pub rows: &'static [Row],
}

impl Group {
    pub(super) const fn new(title: &'static str, rows: &'static [Row]) -> Self {
        Self { title, rows }
    }
}

/// The whole table, in the order in which it is printed and run.
#[must_use]
pub fn groups() -> &'static [Group] {
    &[
        sends::GROUP,
        content::GROUP,
        batches::GROUP,
        compression::GROUP,
        order::GROUP,
        times::GROUP,
        transactions::GROUP,
        requests::GROUP,
        topics::GROUP,
        special::GROUP,
        lives::GROUP,
        contexts::GROUP,
        ids::GROUP,
        admin::GROUP,
        security::GROUP,
        reach::GROUP,
        hooks::GROUP,
        watched::GROUP,
        tool::GROUP,
        faults::GROUP,
    ]
}

/// A row that may run beside others: `row!("name", "what it proves", function)`.
macro_rules! row {
    ($name:literal, $proves:literal, $run:path) => {
        crate::interop::Row {
            name: $name,
            proves: $proves,
            alone: false,
            run: |ground| Box::pin($run(ground)),
        }
    };
}
pub(super) use row;

/// A row that has the cluster for itself.
macro_rules! row_alone {
    ($name:literal, $proves:literal, $run:path) => {
        crate::interop::Row {
            name: $name,
            proves: $proves,
            alone: true,
            run: |ground| Box::pin($run(ground)),
        }
    };
}
pub(super) use row_alone;
