//! The codecs against the bytes of Apache's own code, against themselves, and against bad input.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy does not see that the helpers of an integration test are tests"
)]

mod captured;
mod frames;
mod hostile;
mod message_rules;
mod requests;
mod responses;
mod round_trips;
mod routes;
mod support;
