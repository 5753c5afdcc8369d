//! The embedded cluster as its clients see it: raw commands over TCP, and remoting's pool.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step ends its test"
)]

mod faults;
mod lifecycle;
mod null;
mod pool;
mod raw;
mod routes;
mod sends;
