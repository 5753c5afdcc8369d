//! `cargo xtask fuzz`: random and mutated input for every decoder.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;
use xtask::paths;

use crate::faults::program;
use crate::shell;

/// How long a run of libFuzzer takes when neither time nor inputs are given.
const DEFAULT_SECONDS: u64 = 60;
/// Inputs per target, for the seeded mutator, when neither time nor inputs are given.
const DEFAULT_ITERATIONS: u64 = 10_000_000;

/// What to feed and how much.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One target; all of them when not given.
    target: Option<String>,
    /// Go on for so long per target (60 under cargo-fuzz when no --iterations are given).
    #[arg(long)]
    seconds: Option<u64>,
    /// Inputs per target (10 million for the seeded mutator when no --seconds are given).
    #[arg(long)]
    iterations: Option<u64>,
    /// Seed of the seeded mutator: the same seed feeds the same inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Use the seeded mutator also where cargo-fuzz is installed.
    #[arg(long)]
    seeded: bool,
}

/// By cargo-fuzz (coverage-guided, nightly) where it is installed, else by the same targets with a seeded mutator under
/// the pinned toolchain. Every target is fed, also after one has failed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let guided = !options.seeded
        && cargo_fuzz(&["--version"])
            .output()
            .is_ok_and(|output| output.status.success());
    if !guided && !options.seeded {
        println!("cargo-fuzz with a nightly toolchain is not installed: using the seeded mutator");
    }
    let list = shell::capture(&mut seeded(&["--list"]))?;
    let targets: Vec<&str> = list.lines().map(str::trim).collect();
    let chosen = match &options.target {
        None => targets,
        Some(wanted) if targets.contains(&wanted.as_str()) => vec![wanted.as_str()],
        Some(wanted) => bail!("no target {wanted:?}: one of {}", targets.join(", ")),
    };
    let mut failed = Vec::new();
    for target in chosen {
        let result = if guided {
            fuzz_guided(target, options)
        } else {
            fuzz_seeded(target, options)
        };
        if let Err(error) = result {
            eprintln!("{error}");
            failed.push(target);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// New finds go to the first folder, under `target/`; the others are only read.
fn fuzz_guided(target: &str, options: &Options) -> Result<()> {
    let seeds = paths::target().join("fuzz/seeds");
    let found = paths::target().join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&found)?;
    shell::run(seeded(&[target, "--write-seeds"]).arg(&seeds))?;

    let mut command = cargo_fuzz(&["run", "--fuzz-dir", "tests/fuzz", target]);
    command.args([found, seeds.join(target)] as [PathBuf; 2]);
    command.arg("--");
    if let Some(iterations) = options.iterations {
        command.arg(format!("-runs={iterations}"));
    }
    let seconds = options
        .seconds
        .or_else(|| options.iterations.is_none().then_some(DEFAULT_SECONDS));
    if let Some(seconds) = seconds {
        command.arg(format!("-max_total_time={seconds}"));
    }
    shell::run(&mut command)
}

fn fuzz_seeded(target: &str, options: &Options) -> Result<()> {
    let unbounded = options.seconds.map_or(DEFAULT_ITERATIONS, |_| u64::MAX);
    let iterations = options.iterations.unwrap_or(unbounded).to_string();
    let seed = options.seed.to_string();
    let mut command = seeded(&[target, "--iterations", &iterations, "--seed", &seed]);
    if let Some(seconds) = options.seconds {
        command.args(["--seconds", &seconds.to_string()]);
    }
    shell::run(&mut command)
}

fn cargo_fuzz(arguments: &[&str]) -> Command {
    let mut command = shell::cargo(["+nightly", "fuzz"]);
    command.args(arguments);
    command
}

fn seeded(arguments: &[&str]) -> Command {
    let mut command = program("fuzz");
    command.args(arguments);
    command
}
