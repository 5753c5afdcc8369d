//! `cargo xtask faults`: what faults of real brokers do to a steady load, as a table.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::shell;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Handed to the program: --brokers 2, --cases a,b, --in-flight 64,1024, --keyed, --mixed, --seconds 60,
    /// --rate 2000, --out FILE.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTIONS"
    )]
    rest: Vec<String>,
}

/// By a program of the tests' package, since this one must not use the producer.
pub(crate) fn run(options: &Options) -> Result<()> {
    shell::run(program("faults").args(&options.rest))
}

/// A program of the tests' package, optimised as a user's program is.
pub(crate) fn program(name: &str) -> Command {
    let package = "rocketmq-producer-tests";
    let mut command = shell::cargo(["run", "--release", "--quiet", "-p", package, "--bin", name]);
    command.arg("--");
    command
}
