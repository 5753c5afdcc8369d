//! What is sent to: a null broker in a process of its own, and real brokers.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask::apache::{Access, Cluster, ClusterSpec, PortBlock, ServerTls, Version, ask};
use xtask::authority::{Authority, Signed, Validity, text};
use xtask::process::{Process, tail};
use xtask::{paths, wait};

use super::clients::setting;
use crate::shell;

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
    /// It speaks TLS only.
    NullTls,
    Real(Version),
    /// It takes signed requests only.
    RealAcl(Version),
}

impl Choice {
    /// Of the same kind, the one for clients that sign or speak TLS. The null broker looks at no signature; Apache's serves
    /// TLS and plain text side by side.
    pub(super) const fn serving(self, signs: bool, tls: bool) -> Self {
        match self {
            Self::Null if tls => Self::NullTls,
            Self::Real(version) if signs => Self::RealAcl(version),
            other => other,
        }
    }

    /// Of the kind: what differs in security bears the same name.
    pub(super) fn name(self) -> String {
        match self {
            Self::Null | Self::NullTls => "null".to_owned(),
            Self::Real(version) | Self::RealAcl(version) => format!("Apache {version}"),
        }
    }

    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Null | Self::NullTls => Kind::Null,
            Self::Real(_) | Self::RealAcl(_) => Kind::Real,
        }
    }

    /// Starts it, with the topic, and waits until its route can be asked for. Where clients sign or speak TLS, `keys` has
    /// what for.
    pub(super) fn start(self, cli: &Path, keys: Option<&Keys>) -> Result<Target> {
        let (name_servers, server) = match self {
            Self::Null => null(cli, None)?,
            Self::NullTls => null(cli, Some(keys.context("no certificate")?))?,
            Self::Real(version) => real(cli, ClusterSpec::new(version), keys)?,
            Self::RealAcl(version) => {
                let spec = ClusterSpec::new(version).acl(ACCESS_KEY, SECRET_KEY, "");
                real(cli, spec, keys)?
            }
        };
        let broker = match self {
            // Only the floor asks, which speaks no TLS.
            Self::NullTls => String::new(),
            _ => broker_of(&route(&name_servers)?)?,
        };
        Ok(Target {
            name: self.name(),
            kind: self.kind(),
            broker,
            name_servers,
            _server: server,
        })
    }
}

fn null(cli: &Path, keys: Option<&Keys>) -> Result<(String, Server)> {
    let ports = PortBlock::free()?;
    let address = format!("127.0.0.1:{}", ports.first());
    let mut command = Command::new(cli);
    command
        .args(["serve", "--null", "--brokers", "1", "--port"])
        .arg(ports.first().to_string())
        .args(["--topic", &format!("{TOPIC}:{QUEUES}")]);
    if let Some(keys) = keys {
        command.arg("--tls-cert").arg(&keys.server.cert);
        command.arg("--tls-key").arg(&keys.server.key);
    }
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

fn real(cli: &Path, mut spec: ClusterSpec, keys: Option<&Keys>) -> Result<(String, Server)> {
    if let Some(keys) = keys {
        spec = spec.tls(&keys.java());
    }
    let cluster = Cluster::start(&spec)?;
    let name_servers = cluster.name_server_addr();
    let mut command = Command::new(cli);
    if spec.access == Access::Signed {
        sign(&mut command);
    }
    command.args(["topic", "create", TOPIC, "--namesrv", &name_servers]);
    command.args(["--queues", &QUEUES.to_string()]);
    shell::capture(&mut command)?;
    wait::until(Duration::from_secs(10), || route(&name_servers).ok())
        .context("the topic has no route")?;
    Ok((name_servers, Server::Real(cluster)))
}

/// The one account, which may do everything.
const ACCESS_KEY: &str = "bench";
const SECRET_KEY: &str = "benchSecret";

/// Has a command of ours sign its requests.
pub(super) fn sign(command: &mut Command) {
    setting(command, "access_key", ACCESS_KEY);
    setting(command, "secret_key", SECRET_KEY);
}

/// What servers prove themselves with; its files are gone when it is dropped.
pub(super) struct Keys {
    authority: Authority,
    server: Signed,
}

impl Keys {
    pub(super) fn new() -> Result<Self> {
        let authority = Authority::new("bench")?;
        let server = authority.sign("server", &["127.0.0.1"], Validity::Now)?;
        Ok(Self { authority, server })
    }

    /// Has a command of ours speak TLS to these servers and verify them.
    pub(super) fn speak(&self, command: &mut Command) {
        setting(command, "tls", "true");
        setting(command, "tls_ca", text(&self.authority.ca()));
    }

    fn java(&self) -> ServerTls {
        let Signed { cert, key, .. } = &self.server;
        ServerTls::new(cert, key, self.authority.ca()).permissive(true)
    }
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
