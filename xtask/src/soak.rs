//! `cargo xtask soak`: load under faults drawn from a seed, and an oracle that reads everything back.

use anyhow::Result;
use clap::Args;

use crate::faults::program;
use crate::shell;

/// How long, where, and with which faults.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Handed to the program: --minutes M, --seconds N, --apache, --seed S, --transactions N; see `cargo xtask soak -- --help`.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTIONS"
    )]
    rest: Vec<String>,
}

/// By a program of the tests' package, since this one must not use the producer.
pub(crate) fn run(options: &Options) -> Result<()> {
    shell::run(program("soak").args(&options.rest))
}
