//! The producer on real Apache brokers, judged by Apache's own client.
//!
//! Each version has one cluster for all tests of this program, booted by the first test that asks for it; it ends with
//! the program. Tests keep apart by topics and groups of their own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy does not see that the helpers of an integration test are tests"
)]

mod acl;
mod admin;
mod auto_create;
mod batches;
mod bodies;
mod clusters;
mod compression;
mod doctor;
mod errors;
mod faults;
mod java_client;
mod kinds;
mod load;
mod networks;
mod order;
mod preheat;
mod presence;
mod promises;
mod properties;
mod requests;
mod routing;
mod sends;
mod tls;
mod traces;
mod transactions;
mod unique_key;
