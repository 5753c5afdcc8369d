//! The built command against an embedded cluster: what it sends, prints, writes, and exits with.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and nobody depends on it"
)]

mod bench;
mod config;
mod demo;
mod doctor;
mod harness;
mod interrupt;
mod requests;
mod route;
mod send;
mod serve;
mod topic;
mod travel;
