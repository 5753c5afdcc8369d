//! `cargo xtask broker`: real brokers that live on after the command.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use xtask::apache::{Cluster, ClusterSpec, Node, Version};
use xtask::process::{self, Signal};
use xtask::{paths, wait};

/// What to do with the brokers.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Start a name server and brokers, and wait until they are ready.
    Up {
        /// 5.5.0, 5.1.4 or 4.9.7.
        #[arg(long, default_value_t = Version::V5_5_0)]
        version: Version,
        /// How many brokers, 1 to 9.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
        brokers: u8,
        /// Port of the name server, the brokers' in steps of 10 above it; free ports when not given.
        #[arg(long)]
        port: Option<u16>,
    },
    /// Kill what `up` started and remove its files.
    Down,
    /// Show what `up` started and whether it still runs.
    Status,
}

/// What `up` leaves for the other two.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    version: String,
    name_servers: String,
    servers: Vec<Server>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Server {
    name: String,
    address: String,
    pid: u32,
}

pub(crate) fn run(action: &Action) -> Result<()> {
    match action {
        Action::Up {
            version,
            brokers,
            port,
        } => {
            let mut spec = ClusterSpec::new(*version)
                .brokers(usize::from(*brokers))
                .auto_create_topics(true);
            spec.port = *port;
            up(&spec)
        }
        Action::Down => down(),
        Action::Status => status(),
    }
}

fn up(spec: &ClusterSpec) -> Result<()> {
    if let Some(state) = load()? {
        if state.servers.iter().any(Server::lives) {
            state.print();
            bail!("brokers are up already; `cargo xtask broker down` ends them");
        }
        down()?;
    }
    println!(
        "starting Apache RocketMQ {}: {} name server, {} broker(s)",
        spec.version, spec.name_servers, spec.brokers
    );
    let start = wait::now();
    let cluster = Cluster::start_detached(spec, &dir())?;
    let nodes = cluster.name_servers().iter().chain(cluster.brokers());
    let state = State {
        version: spec.version.to_string(),
        name_servers: cluster.name_server_addr(),
        servers: nodes.map(Server::of).collect::<Result<_>>()?,
    };
    fs::write(file(), serde_json::to_string_pretty(&state)?)?;
    println!("ready after {:.1} s", start.elapsed().as_secs_f64());
    state.print();
    Ok(())
}

fn down() -> Result<()> {
    let Some(state) = load()? else {
        println!("nothing is up");
        return Ok(());
    };
    for server in state.servers.iter().rev() {
        // A process id may have gone to another program since.
        if server.lives() {
            process::send(server.pid, Signal::Kill)?;
            println!("{} ended", server.name);
        }
    }
    fs::remove_file(file())?;
    if dir().exists() {
        fs::remove_dir_all(dir()).with_context(|| format!("cannot remove {}", dir().display()))?;
    }
    Ok(())
}

fn status() -> Result<()> {
    match load()? {
        None => println!("nothing is up; `cargo xtask broker up` starts brokers"),
        Some(state) => state.print(),
    }
    Ok(())
}

fn load() -> Result<Option<State>> {
    let file = file();
    if !file.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file)?;
    let state = serde_json::from_str(&text)
        .with_context(|| format!("{} cannot be read; remove it", file.display()))?;
    Ok(Some(state))
}

fn dir() -> PathBuf {
    paths::apache().join("run/up")
}

fn file() -> PathBuf {
    paths::apache().join("run/up.json")
}

impl State {
    fn print(&self) {
        println!(
            "Apache RocketMQ {}, files in {}",
            self.version,
            dir().display()
        );
        for server in &self.servers {
            let state = if server.lives() { "runs" } else { "is gone" };
            println!(
                "  {:<10} {:<22} pid {:<8} {state}",
                server.name, server.address, server.pid
            );
        }
        let address = &self.name_servers;
        println!("name server address: {address}\nto use it:");
        println!("  export NAMESRV_ADDR='{address}'");
        println!(
            "  echo hello | cargo run --release -p rocketmq-producer-cli -- send --namesrv '{address}' --topic test"
        );
    }
}

impl Server {
    fn of(node: &Node) -> Result<Self> {
        Ok(Self {
            name: node.name().to_owned(),
            address: node.address().to_owned(),
            pid: node
                .pid()
                .with_context(|| format!("{} does not run", node.name()))?,
        })
    }

    fn lives(&self) -> bool {
        let output = Command::new("ps")
            .args(["-o", "command=", "-p", &self.pid.to_string()])
            .output();
        output.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).contains("org.apache.rocketmq.")
        })
    }
}
