//! The producer's promises, each held against a cluster inside this process over real TCP.
#![allow(
    clippy::disallowed_methods,
    reason = "tests spawn callers that belong to nobody, and block threads without a runtime"
)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]
#![allow(
    clippy::wildcard_imports,
    reason = "every module uses most of the support module"
)]

mod admin;
mod admission;
mod answers;
mod batches;
mod blocking;
mod bound;
mod build;
mod compression;
mod context;
mod errors;
mod health;
mod heartbeats;
mod hedge;
mod hooks;
mod kinds;
mod lifecycle;
mod message_trace;
mod metrics;
mod name_servers;
mod oneway;
mod ordered;
mod permits;
mod preheat;
mod rank;
mod requests;
mod retries;
mod scripted;
mod stats;
mod stream;
mod support;
mod targets;
mod timeouts;
mod transactions;
mod try_send;
mod validation;
