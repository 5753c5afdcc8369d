//! `cargo xtask interop`: every feature on every kind of Apache cluster, as the table of `docs/interop.md`.

use anyhow::Result;
use clap::Args;

use crate::shell::{cargo, run as sh};

/// Which cells to try; all of them by default.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only this column: 5.5.0, 5.1.4, 4.9.7, acl2, acl1, tls, slave or proxy; several with commas.
    #[arg(long, value_name = "COLUMN")]
    only: Option<String>,
    /// Only rows whose name or group contains this; several with commas.
    #[arg(long, value_name = "PATTERN")]
    rows: Option<String>,
}

/// By a program of the tests' package, since this one must not use the producer. Built as the tests are: nothing here
/// is measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    let package = "rocketmq-producer-tests";
    let mut command = cargo(["run", "--quiet", "-p", package, "--bin", "interop", "--"]);
    for (name, value) in [("--only", &options.only), ("--rows", &options.rows)] {
        if let Some(value) = value {
            command.args([name, value]);
        }
    }
    sh(&mut command)
}
