//! `cargo xtask fuzz`: random and mutated input for every decoder.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use xtask::{paths, wait};

use crate::shell;

/// How long a run of libFuzzer takes when no time is given.
const DEFAULT_SECONDS: u64 = 60;
/// Inputs between two looks at the clock.
const ROUND: u64 = 1_000_000;

/// What to feed and how much.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One target; all of them when not given.
    target: Option<String>,
    /// Go on for so long per target.
    #[arg(long)]
    seconds: Option<u64>,
    /// Inputs per target, for the seeded mutator.
    #[arg(long, default_value_t = 10_000_000, conflicts_with = "seconds")]
    iterations: u64,
    /// Seed of the seeded mutator: the same seed feeds the same inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Use the seeded mutator also where cargo-fuzz is installed.
    #[arg(long)]
    seeded: bool,
}

/// By cargo-fuzz (coverage-guided, nightly) where it is installed, else by the same targets with a seeded mutator under
/// the pinned toolchain.
pub(crate) fn run(options: &Options) -> Result<()> {
    let guided = !options.seeded
        && paths::workspace().join("tests/fuzz/Cargo.toml").exists()
        && cargo_fuzz(&["--version"])
            .output()
            .is_ok_and(|o| o.status.success());
    let list = if guided {
        shell::capture(&mut cargo_fuzz(&["list", "--fuzz-dir", "tests/fuzz"]))?
    } else {
        println!("cargo-fuzz with a nightly toolchain is not installed: using the seeded mutator");
        shell::capture(&mut seeded(&["--list"]))?
    };
    let targets: Vec<&str> = list
        .lines()
        .map(str::trim)
        .filter(|t| !t.is_empty())
        .collect();
    let chosen = match &options.target {
        None => targets,
        Some(wanted) if targets.contains(&wanted.as_str()) => vec![wanted.as_str()],
        Some(wanted) => bail!("no target {wanted:?}: one of {}", targets.join(", ")),
    };
    for target in chosen {
        if guided {
            fuzz_guided(target, options)?;
        } else {
            fuzz_seeded(target, options)?;
        }
    }
    Ok(())
}

fn fuzz_guided(target: &str, options: &Options) -> Result<()> {
    let seconds = options.seconds.unwrap_or(DEFAULT_SECONDS);
    let mut command = cargo_fuzz(&["run", "--fuzz-dir", "tests/fuzz", target, "--"]);
    shell::run(command.arg(format!("-max_total_time={seconds}")))
}

fn fuzz_seeded(target: &str, options: &Options) -> Result<()> {
    let round = |iterations: u64, seed: u64| {
        let (iterations, seed) = (iterations.to_string(), seed.to_string());
        shell::run(&mut seeded(&[
            target,
            "--iterations",
            &iterations,
            "--seed",
            &seed,
        ]))
    };
    let Some(seconds) = options.seconds else {
        return round(options.iterations, options.seed);
    };
    let start = wait::now();
    let mut seed = options.seed;
    while start.elapsed() < Duration::from_secs(seconds) {
        round(ROUND, seed)?;
        seed += 1;
    }
    Ok(())
}

fn cargo_fuzz(arguments: &[&str]) -> Command {
    let mut command = shell::cargo(["+nightly", "fuzz"]);
    command.args(arguments);
    command
}

fn seeded(arguments: &[&str]) -> Command {
    let package = "rocketmq-producer-tests";
    let mut command = shell::cargo([
        "run",
        "--release",
        "--quiet",
        "-p",
        package,
        "--bin",
        "fuzz",
    ]);
    command.arg("--").args(arguments);
    command
}
