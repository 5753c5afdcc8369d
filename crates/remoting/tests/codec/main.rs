//! The codecs against the bytes of Apache's own code and against themselves. Bad input is fed to them by `tests/src/fuzz.rs`
//! of the workspace, which has one target per decoder.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy does not see that the helpers of an integration test are tests"
)]

mod captured;
mod frames;
mod message_rules;
mod namespaces;
mod recall;
mod replies;
mod requests;
mod responses;
mod round_trips;
mod routes;
mod signatures;
mod support;
mod transactions;
