//! `cargo xtask demo`: the command's own demo, or the same against real brokers with an independent check.

mod verdict;

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use xtask::apache::{Cluster, ClusterSpec, Permission, ReadOptions, Reader, Version};
use xtask::{paths, wait};

use crate::shell;
use verdict::Verdict;

const TOPIC: &str = "demo";

/// What to show.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Use two real Apache RocketMQ brokers, and read back by Apache's own client.
    #[arg(long)]
    apache: bool,
    /// The version of the real brokers: 5.5.0, 5.1.4 or 4.9.7.
    #[arg(long, default_value_t = Version::V5_5_0, requires = "apache")]
    version: Version,
    /// How many messages to send.
    #[arg(long, default_value_t = 100_000)]
    messages: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            apache: false,
            version: Version::V5_5_0,
            messages: 100_000,
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let cli = shell::producer_cli()?;
    let mut command = Command::new(cli);
    command.args(["demo", "--messages", &options.messages.to_string()]);
    if options.apache {
        on_apache(&mut command, options)
    } else {
        shell::run(&mut command)
    }
}

fn on_apache(command: &mut Command, options: &Options) -> Result<()> {
    let version = options.version;
    println!("starting a name server and two brokers of Apache RocketMQ {version}");
    let start = wait::now();
    let cluster = Cluster::start(&ClusterSpec::new(version).brokers(2))?;
    cluster.create_topic(TOPIC, 4, Permission::READ_WRITE)?;
    let name_servers = cluster.name_server_addr();
    println!(
        "ready after {:.1} s: {name_servers}",
        start.elapsed().as_secs_f64()
    );

    let ledger = paths::target().join("demo-ledger.jsonl");
    if ledger.exists() {
        fs::remove_file(&ledger)?;
    }
    command.args(["--namesrv", &name_servers, "--topic", TOPIC, "--ledger"]);
    let sent = shell::run(command.arg(&ledger));

    println!("\nreading the topic by Apache's own consumer");
    let start = wait::now();
    let text = fs::read_to_string(&ledger)
        .with_context(|| format!("no ledger in {}", ledger.display()))?;
    let options = ReadOptions::new().digest_only().at_least(options.messages);
    let stored = Reader::new(version)?.read_topic_with(&name_servers, TOPIC, &options)?;
    println!(
        "{} messages read in {:.1} s",
        stored.len(),
        start.elapsed().as_secs_f64()
    );
    let verdict = Verdict::of(&text, &stored)?;
    println!("{verdict}");
    sent?;
    if !verdict.is_good() {
        bail!("the ledger {} and the brokers disagree", ledger.display());
    }
    Ok(())
}
