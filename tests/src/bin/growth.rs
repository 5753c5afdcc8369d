//! `growth`: how costs grow with topics, brokers and sends in flight; prints JSON. See `cargo xtask bench --growth`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use rocketmq_producer_tests::growth::{self, Growth, Server};
use tokio::time::Instant;

/// Measures how what a producer costs grows.
#[derive(Debug, Parser)]
struct Options {
    /// How long an idle producer is watched.
    #[arg(long, default_value_t = 65)]
    idle_seconds: u64,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What the program starts itself for.
#[derive(Debug, Subcommand)]
enum Part {
    /// The servers, until the end of the input.
    Serve,
    /// One message from a process that has just begun; prints the milliseconds.
    First {
        /// Where the route is.
        name_servers: String,
    },
}

/// Counts what is in use.
#[global_allocator]
static HEAP: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

fn main() -> Result<()> {
    let main = Instant::now();
    let options = Options::parse();
    match options.part {
        Some(Part::Serve) => growth::serve(),
        Some(Part::First { name_servers }) => {
            println!("{}", growth::first(main, &name_servers)?);
            Ok(())
        }
        None => measure(Duration::from_secs(options.idle_seconds)),
    }
}

fn measure(idle: Duration) -> Result<()> {
    let tell = |text: &str| eprintln!("{text}");
    let server = Server::spawn()?;
    let name_servers = &server.name_servers;
    let figures = Growth::new(
        growth::cost(name_servers, tell)?,
        growth::memory(|| HEAP.allocated(), tell)?,
        growth::start(name_servers, tell)?,
        growth::idle(name_servers, idle, tell)?,
    );
    println!("{}", serde_json::to_string_pretty(&figures)?);
    Ok(())
}
