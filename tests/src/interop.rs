//! Every feature on every cluster that people run: the rows and columns of `docs/interop.md`.
//!
//! A [`Column`] is a cluster of Apache's, booted for the purpose; a [`Row`] is a feature, with a function that tries it
//! on that cluster and has Apache's own client read back what was stored. What a row finds is a [`Cell`].

mod admin;
mod batches;
mod column;
mod compression;
mod content;
mod contexts;
mod faults;
mod ground;
mod hooks;
mod ids;
mod lives;
mod order;
mod reach;
mod report;
mod requests;
mod row;
mod run;
mod security;
mod sends;
mod special;
mod table;
mod times;
mod tool;
mod topics;
mod transactions;
mod trial;
mod watched;

#[cfg(test)]
mod tests;

pub use column::Column;
pub use ground::Ground;
pub use report::{Entry, Outcome, Report};
pub use row::{Cell, Group, Row, groups};
pub use run::run;
pub use table::{Missing, complete, markdown};
