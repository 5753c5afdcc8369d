//! The part of the project's automation that tests use too: real Apache RocketMQ brokers, an independent reader, and
//! certificates.
//!
//! Nothing here depends on the crates of this workspace, so that what judges them shares no code with them.
//! Needs a Unix-like system (process groups, `sh`).
#![allow(
    clippy::print_stderr,
    reason = "a skipped test has to be visible on the terminal"
)]

pub mod apache;
pub mod authority;
pub mod paths;
pub mod process;
pub mod wait;
