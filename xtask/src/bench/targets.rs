//! What is sent to: a null broker in a process of its own, and real brokers.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask::apache::{Cluster, ClusterSpec, Permission, PortBlock, Version, ask};
use xtask::process::{Process, tail};
use xtask::{paths, wait};

pub(super) const TOPIC: &str = "bench";
/// Of the topic, on the one broker.
const QUEUES: u16 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Answers at once and stores nothing.
    Null,
    /// Apache's broker.
    Real,
}

/// A broker to send to; it ends when dropped.
pub(super) struct Target {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) name_servers: String,
    /// The broker that the route leads to, for the floor.
    pub(super) broker: String,
    _server: Server,
}

#[expect(
    dead_code,
    reason = "held only so that they end together with the target"
)]
enum Server {
    Null(Process),
    Real(Cluster),
}

/// What to start as a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Null,
    Real(Version),
}

impl Choice {
    pub(super) fn name(self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Real(version) => format!("Apache {version}"),
        }
    }

    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Real(_) => Kind::Real,
        }
    }

    /// Starts it, with the topic, and waits until its route can be asked for.
    pub(super) fn start(self, cli: &Path) -> Result<Target> {
        let (name_servers, server) = match self {
            Self::Null => null(cli)?,
            Self::Real(version) => real(version)?,
        };
        Ok(Target {
            name: self.name(),
            kind: self.kind(),
            broker: broker_of(&route(&name_servers)?)?,
            name_servers,
            _server: server,
        })
    }
}

fn null(cli: &Path) -> Result<(String, Server)> {
    let ports = PortBlock::free()?;
    let address = format!("127.0.0.1:{}", ports.first());
    let mut command = Command::new(cli);
    command
        .args(["serve", "--null", "--brokers", "1", "--port"])
        .arg(ports.first().to_string())
        .args(["--topic", &format!("{TOPIC}:{QUEUES}")]);
    let log = paths::target().join("bench-serve.log");
    let mut process = Process::spawn(&mut command, &log)?;
    let up = wait::until(Duration::from_secs(20), || {
        match (TcpStream::connect(&address), process.exited()) {
            (Ok(_), _) => Some(true),
            (_, Ok(None)) => None,
            _ => Some(false),
        }
    });
    if up != Some(true) {
        bail!("the null broker does not start:\n{}", tail(&log, 20));
    }
    Ok((address, Server::Null(process)))
}

fn real(version: Version) -> Result<(String, Server)> {
    let cluster = Cluster::start(&ClusterSpec::new(version))?;
    cluster.create_topic(TOPIC, u32::from(QUEUES), Permission::READ_WRITE)?;
    Ok((cluster.name_server_addr(), Server::Real(cluster)))
}

/// The body of the topic's route.
pub(super) fn route(name_servers: &str) -> Result<serde_json::Value> {
    let fields = [("topic", TOPIC), ("acceptStandardJsonOnly", "true")];
    let answer = ask(name_servers, 105, &fields, Duration::from_secs(3))?.ok()?;
    Ok(serde_json::from_slice(&answer.body)?)
}

/// The address of the broker that a route names first.
fn broker_of(route: &serde_json::Value) -> Result<String> {
    let address = route["brokerDatas"][0]["brokerAddrs"]["0"].as_str();
    Ok(address.context("the route has no master")?.to_owned())
}
