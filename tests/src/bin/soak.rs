//! `soak`: load, faults at random and the oracle; see `docs/src/faults.md`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use rocketmq_producer_tests::soak::{Apache, Embedded, Plan, run};
use rocketmq_producer_tests::transactions::{self, CHILD, Task, send};
use xtask::apache::Availability;

/// Sends under faults drawn from a seed and checks that every promise is kept.
#[derive(Debug, Parser)]
struct Options {
    /// How long; 1 unless --seconds is given.
    #[arg(long)]
    minutes: Option<u64>,
    /// How long, besides the minutes.
    #[arg(long)]
    seconds: Option<u64>,
    /// On real brokers instead of the embedded cluster.
    #[arg(long)]
    apache: bool,
    /// With automatic batches.
    #[arg(long)]
    auto_batch: bool,
    /// So many transactions instead, on a real broker, with processes that are killed.
    #[arg(long, value_name = "N")]
    transactions: Option<u64>,
    /// Transactions with the broker's own check interval, no kills, and half messages that are tried once.
    #[arg(long, requires = "transactions")]
    default_interval: bool,
    /// What the faults are drawn from; another one each time by default.
    #[arg(long)]
    seed: Option<u64>,
}

/// Counts what is in use. Resident memory would not do: what a round's judge needed stays with the allocator.
#[global_allocator]
static HEAP: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == CHILD) {
        runtime()?.block_on(send(Task::parse(&arguments)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::parse();
    if let Some(transactions) = options.transactions {
        return soak_transactions(&options, transactions);
    }
    let seconds = match (options.minutes, options.seconds) {
        (None, None) => 60,
        (minutes, seconds) => minutes.unwrap_or(0) * 60 + seconds.unwrap_or(0),
    };
    let plan = Plan {
        seed: seed(&options),
        time: Duration::from_secs(seconds),
        auto_batch: options.auto_batch,
        tell: |text| eprintln!("{text}"),
        memory: Some(|| (HEAP.allocated() / 1024) as u64),
    };
    eprintln!("seed {}, {seconds} s", plan.seed);
    let report = runtime()?.block_on(async {
        if !options.apache {
            return run(Embedded::start().await?, &plan).await;
        }
        check_availability()?;
        run(Apache::start().await?, &plan).await
    })?;
    println!("{report}");
    Ok(if report.breaches().is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn seed(options: &Options) -> u64 {
    let any = || RandomState::new().hash_one(0) % 1_000_000;
    options.seed.unwrap_or_else(any)
}

fn check_availability() -> Result<()> {
    if let Availability::Missing(reason) = Availability::check() {
        bail!("no real broker: {reason}");
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}

fn soak_transactions(options: &Options, transactions: u64) -> Result<ExitCode> {
    check_availability()?;
    let plan = transactions::Plan {
        seed: seed(options),
        transactions,
        is_calm: options.default_interval,
        program: std::env::current_exe()?,
        tell: |text| eprintln!("{text}"),
    };
    eprintln!("seed {}, {transactions} transactions", plan.seed);
    let report = runtime()?.block_on(transactions::soak(&plan))?;
    println!("{report}");
    Ok(if report.judgement.wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
