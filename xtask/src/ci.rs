//! `cargo xtask ci`: everything that a change has to pass.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;
use xtask::wait;

use crate::metadata::Metadata;
use crate::shell::{cargo, run as sh};
use crate::{bench, demo, test, tidy};

type Step = (&'static str, fn() -> Result<()>);

/// In the order of what fails fastest. The doc tests are among the tests.
const STEPS: [Step; 10] = [
    ("format", format),
    ("tidy", tidy::run),
    ("clippy", clippy),
    ("build", build),
    ("tests", tests),
    ("docs", docs),
    ("examples", examples),
    ("package", package),
    ("demo", demo),
    ("bench", counts),
];

/// What to do.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these steps; all of them when none is given.
    #[arg(value_parser = PossibleValuesParser::new(STEPS.map(|(name, _)| name)))]
    steps: Vec<String>,
}

/// Stops at the first step that fails; the table shows what was done either way.
pub(crate) fn run(options: &Options) -> Result<()> {
    let wanted = |name: &str| options.steps.is_empty() || options.steps.iter().any(|s| s == name);
    let mut done: Vec<(&str, Duration, &str)> = Vec::new();
    let mut failure = None;
    for (name, step) in STEPS.into_iter().filter(|(name, _)| wanted(name)) {
        println!("\n== {name}");
        let start = wait::now();
        let outcome = step();
        let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
        done.push((name, start.elapsed(), verdict));
        if let Err(error) = outcome {
            failure = Some((name, error));
            break;
        }
    }
    println!("\n{:<10} {:>8}  result", "step", "seconds");
    for (name, elapsed, verdict) in &done {
        println!("{name:<10} {:>8.1}  {verdict}", elapsed.as_secs_f64());
    }
    let total: Duration = done.iter().map(|(_, elapsed, _)| *elapsed).sum();
    println!("{:<10} {:>8.1}", "total", total.as_secs_f64());
    match failure {
        None => Ok(()),
        Some((name, error)) => bail!("{name}: {error:#}"),
    }
}

fn format() -> Result<()> {
    sh(&mut cargo(["fmt", "--all", "--check"]))
}

/// Each crate by itself: together, the features that one asks for would hide what another forgot to ask for.
fn clippy() -> Result<()> {
    for package in Metadata::load()?.members() {
        let lint = |options: &[&str]| {
            let mut command = cargo(["clippy", "--quiet", "-p", &package.name]);
            sh(command.args(options).args(["--", "-D", "warnings"]))
        };
        lint(&["--all-targets"])?;
        let by_default = package.features.get("default");
        if by_default.is_some_and(|features| !features.is_empty()) {
            lint(&["--no-default-features"])?;
        }
    }
    Ok(())
}

fn build() -> Result<()> {
    sh(&mut cargo(["build", "--workspace", "--all-targets"]))
}

fn tests() -> Result<()> {
    if !test::run(&test::Options::default())? {
        bail!("see the tests above");
    }
    Ok(())
}

fn docs() -> Result<()> {
    sh(cargo(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Without an address in the environment every example starts its own embedded cluster. One that would serve until it is
/// interrupted ends by itself when told `once`; the others take no argument.
fn examples() -> Result<()> {
    for package in Metadata::load()?.members() {
        for (example, features) in package.examples() {
            let mut command = cargo(["run", "--quiet", "-p", &package.name, "--example", example]);
            command.args(["--features", &features.join(","), "--", "once"]);
            sh(command.env_remove("NAMESRV_ADDR"))?;
        }
    }
    Ok(())
}

fn package() -> Result<()> {
    let metadata = Metadata::load()?;
    // Each crate is built from its package, with the packages of those beneath it.
    let mut command = cargo(["package", "--quiet", "--allow-dirty"]);
    for package in metadata.members().iter().filter(|p| p.is_published()) {
        command.args(["-p", &package.name]);
    }
    sh(&mut command)
}

fn demo() -> Result<()> {
    demo::run(&demo::Options::default())
}

/// Instructions only: they are the same on a busy machine.
fn counts() -> Result<()> {
    bench::check::run(false)
}
