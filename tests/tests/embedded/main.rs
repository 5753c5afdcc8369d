//! What takes many messages, many producers or several processes, on the embedded cluster.
//!
//! Finer promises are shown where they are kept, in the crates' own tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy does not see that the helpers of an integration test are tests"
)]

mod access;
mod batches;
mod burst;
mod discovery;
mod doctor;
mod errors;
mod lifecycle;
mod metrics;
mod networks;
mod outcome_table;
mod secrets;
mod settlements;
mod shares;
mod spans;
mod support;
mod tls;
mod unique_ids;
