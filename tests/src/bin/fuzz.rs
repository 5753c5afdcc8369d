//! `fuzz TARGET|all`: the targets of the table under a seeded mutator.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use rocketmq_producer_tests::fuzz::bytes::{from_hex, to_hex};
use rocketmq_producer_tests::fuzz::corpus::{Corpus, pick, seeds};
use rocketmq_producer_tests::fuzz::mutate::Mutator;
use rocketmq_producer_tests::fuzz::run::{Plan, feed, run};
use rocketmq_producer_tests::fuzz::{TARGETS, Target, target};
use sha2::{Digest as _, Sha256};

/// Feeds random and mutated input to a decoder and checks what must hold for any input.
#[derive(Debug, Parser)]
struct Options {
    /// Name of a target, or all.
    #[arg(required_unless_present = "list")]
    target: Option<String>,
    /// Print the names of all targets.
    #[arg(long)]
    list: bool,
    /// Inputs per target.
    #[arg(long, default_value_t = 1_000_000)]
    iterations: u64,
    /// The same seed makes the same inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of the first input, to repeat a failure without what came before it.
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// Stop after so many seconds per target, if that is sooner.
    #[arg(long)]
    seconds: Option<u64>,
    /// Feed only this input, in hexadecimal digits.
    #[arg(long)]
    input: Option<String>,
    /// Print the inputs in hexadecimal digits instead of feeding them: to look at a slow one.
    #[arg(long)]
    show: bool,
    /// Write the inputs to start from as files into this folder, one folder per target; feed nothing.
    #[arg(long)]
    write_seeds: Option<PathBuf>,
    /// Write inputs that are worth keeping as files into this folder, one folder per target, out of --iterations many.
    #[arg(long)]
    write_corpus: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if options.list {
        for target in &TARGETS {
            println!("{}", target.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let corpus = Corpus::of_vectors();
    let mut failed = false;
    for target in chosen(options.target.as_deref().unwrap_or_default())? {
        let seeds = seeds(target, &corpus);
        if let Some(folder) = &options.write_seeds {
            write_seeds(&folder.join(target.name), &seeds)?;
        } else if let Some(folder) = &options.write_corpus {
            let kept = pick(target, &seeds, options.seed, options.iterations);
            write_corpus(&folder.join(target.name), &kept)?;
        } else if let Some(hex) = &options.input {
            let input = from_hex(hex).context("--input takes pairs of hexadecimal digits")?;
            match feed(target, &input) {
                Ok(verdict) => println!("{:13} {verdict:?}", target.name),
                Err(message) => {
                    failed = true;
                    eprintln!("{}: {message}", target.name);
                }
            }
        } else if options.show {
            let mutator = Mutator::new(target.name, options.seed, &seeds, target.tokens);
            let mut input = Vec::new();
            for iteration in options.start..options.start.saturating_add(options.iterations) {
                mutator.make(iteration, &mut input);
                println!("{}", to_hex(&input));
            }
        } else {
            let plan = Plan {
                seed: options.seed,
                start: options.start,
                iterations: options.iterations,
                time: options.seconds.map(Duration::from_secs),
            };
            match run(target, &seeds, plan) {
                Ok(report) => println!("{:13} {report}", target.name),
                Err(failure) => {
                    failed = true;
                    eprintln!("{failure}");
                }
            }
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn chosen(name: &str) -> Result<Vec<&'static Target>> {
    if name == "all" {
        return Ok(TARGETS.iter().collect());
    }
    let Some(target) = target(name) else {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        bail!("no target {name:?}: all, or one of {}", names.join(", "));
    };
    Ok(vec![target])
}

fn write_seeds(folder: &Path, seeds: &[Vec<u8>]) -> Result<()> {
    fs::create_dir_all(folder)?;
    for (index, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{index:04}")), seed)?;
    }
    Ok(())
}

/// Under names that tell the contents, so that the same input is not kept twice.
fn write_corpus(folder: &Path, inputs: &[Vec<u8>]) -> Result<()> {
    fs::create_dir_all(folder)?;
    for input in inputs {
        let mut name = to_hex(&Sha256::digest(input));
        name.truncate(16);
        fs::write(folder.join(name), input)?;
    }
    Ok(())
}
