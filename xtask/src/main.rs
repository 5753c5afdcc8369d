//! `cargo xtask`: everything that is done to this project, one command each.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks to its terminal"
)]

mod bench;
mod broker;
mod ci;
mod demo;
mod faults;
mod fuzz;
mod interop;
mod metadata;
mod shell;
mod soak;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Everything that is done to this project, one command each.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Compare speed and cost of the producer on an embedded and on a real broker.
    Bench(bench::Options),
    /// Start, stop and show real Apache RocketMQ brokers on this machine.
    #[command(subcommand)]
    Broker(broker::Action),
    /// Do everything that a change has to pass, and print how long each step took.
    Ci(ci::Options),
    /// Send 100 000 messages through a cluster, read every one of them back and show the figures.
    Demo(demo::Options),
    /// Bring faults on real brokers under a steady load and print what became of it.
    Faults(faults::Options),
    /// Feed random and mutated input to every decoder.
    Fuzz(fuzz::Options),
    /// Try every feature on every kind of Apache cluster and write the table of docs/interop.md.
    Interop(interop::Options),
    /// Send under faults drawn from a seed, read everything back, and fail if any promise was broken.
    Soak(soak::Options),
    /// Run the tests of the whole workspace and count them.
    Test(test::Options),
    /// Check the rules that no compiler knows: layers, file sizes, manifests, links.
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Task::Bench(options) => bench::run(&options),
        Task::Broker(action) => broker::run(&action),
        Task::Ci(options) => ci::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Faults(options) => faults::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Interop(options) => interop::run(&options),
        Task::Soak(options) => soak::run(&options),
        Task::Test(options) => match test::run(&options) {
            // Its last line has said so, and stays the last.
            Ok(false) => return ExitCode::FAILURE,
            outcome => outcome.map(drop),
        },
        Task::Tidy => tidy::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
