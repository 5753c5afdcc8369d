//! `rocketmq-producer`: sends messages to Apache RocketMQ, measures it, and shows what the producer sees.

mod args;
mod bench;
mod clock;
mod config;
mod console;
mod demo;
mod doctor;
mod exit;
mod failure;
mod input;
mod interrupt;
mod latency;
mod ledger;
mod message;
mod pace;
mod process;
mod route;
mod send;
mod serve;
mod settings;
mod table;
mod time;
mod topic;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};
use exit::Exit;
use failure::Failure;

fn main() -> ExitCode {
    let began = Instant::now();
    let cli = Cli::parse();
    log_to_stderr(cli.verbose, matches!(cli.command, Command::Doctor(_)));
    let exit = run(cli.command, began).unwrap_or_else(|failure| {
        console::complain(&failure.to_string());
        failure.exit()
    });
    exit.into()
}

fn run(command: Command, began: Instant) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("the runtime cannot be made", error))?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Send(args) => send::run(args).await,
            Command::Bench(args) => bench::run(args, began).await,
            Command::Route(args) => route::run(&args).await,
            Command::Serve(args) => serve::run(&args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Config(args) => config::run(&args),
            Command::Doctor(args) => doctor::run(args).await,
            Command::Message(args) => message::run(args).await,
            Command::Topic(args) => topic::run(args).await,
        }
    });
    // Everything of ours has ended by now; what may be left is a read of standard input, which
    // nothing but input ends.
    runtime.shutdown_background();
    outcome
}

/// `RUST_LOG` decides if it is set, else the number of `-v`.
fn log_to_stderr(verbose: u8, is_doctor: bool) {
    let level = match verbose {
        // The doctor says itself what is wrong.
        0 if is_doctor => "off",
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
