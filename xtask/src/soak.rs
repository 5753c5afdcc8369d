//! `cargo xtask soak`: load under faults drawn from a seed, and an oracle that reads everything back.

use anyhow::Result;
use clap::Args;

use crate::faults::program;
use crate::shell;

/// How long, where, and with which faults.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many minutes; 1 unless --seconds is given.
    #[arg(long)]
    minutes: Option<u64>,
    /// How many seconds, besides the minutes.
    #[arg(long)]
    seconds: Option<u64>,
    /// On real brokers instead of the embedded cluster.
    #[arg(long)]
    apache: bool,
    /// What the faults are drawn from; another one each time by default. It is printed.
    #[arg(long)]
    seed: Option<u64>,
}

/// By a program of the tests' package, since this one must not use the producer.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut command = program("soak");
    let numbers = [
        ("--minutes", options.minutes),
        ("--seconds", options.seconds),
        ("--seed", options.seed),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            command.args([name, &number.to_string()]);
        }
    }
    if options.apache {
        command.arg("--apache");
    }
    shell::run(&mut command)
}
