//! The embedded cluster as its clients see it: raw commands over TCP, and remoting's connections and pool.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step ends its test"
)]

mod connections;
mod faults;
mod lifecycle;
mod null;
mod pool;
mod raw;
mod routes;
mod sends;
