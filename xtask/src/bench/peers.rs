//! The other clients, built from `tests/peers`: the official Java client, the Go client, the community's Rust client.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::apache::{Availability, Version, jars};
use xtask::paths;

use super::sample::{Cell, Client, Work};
use crate::shell;

/// The clients of other projects that could be built here.
#[derive(Debug, Default)]
pub(super) struct Peers {
    built: Vec<(Client, Vec<String>)>,
    /// Who could not be built, and why.
    pub(super) skipped: Vec<(Client, String)>,
}

impl Peers {
    /// Builds those of `wanted`; what is missing is said at once, and in the report again.
    pub(super) fn build(wanted: &[Client]) -> Self {
        let mut peers = Self::default();
        for &client in wanted.iter().filter(|client| client.is_peer()) {
            eprintln!("building the {} client", client.name());
            let built = match client {
                Client::Java => java(),
                Client::Go => go(),
                _ => rust(),
            };
            match built {
                Ok(command) => peers.built.push((client, command)),
                Err(error) => {
                    let reason = format!("{error:#}");
                    eprintln!("SKIPPED {}: {reason}", client.name());
                    peers.skipped.push((client, reason));
                }
            }
        }
        peers
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = Client> + '_ {
        self.built.iter().map(|(client, _)| *client)
    }

    /// The client's program, told how to send.
    pub(super) fn command(&self, client: Client, cell: &Cell) -> Result<Command> {
        let found = self.built.iter().find(|(built, _)| *built == client);
        let (_, words) = found.context("was not built")?;
        let (program, arguments) = words.split_first().context("no program")?;
        let mut command = Command::new(program);
        command.args(arguments).args(["--mode", mode(client, cell)]);
        Ok(command)
    }
}

/// The fastest way that was found for each client.
fn mode(client: Client, cell: &Cell) -> &'static str {
    match (cell.work, client) {
        (Work::Batch, _) => "batch",
        // A thread for each of a thousand sends costs Java more than its callbacks do.
        (_, Client::Java) if cell.in_flight > 64 => "async",
        _ => "sync",
    }
}

fn sources(name: &str) -> PathBuf {
    paths::workspace().join("tests/peers").join(name)
}

fn output(name: &str) -> Result<PathBuf> {
    let dir = paths::target().join("peers").join(name);
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

fn java() -> Result<Vec<String>> {
    if let Availability::Missing(reason) = Availability::check() {
        bail!("{reason}");
    }
    let lib = jars(Version::V5_5_0)?;
    let classes = output("java")?;
    let mut compiler = Command::new("javac");
    compiler
        .args(["-nowarn", "-encoding", "UTF-8", "-proc:none", "-cp"])
        .arg(format!("{}/*", lib.display()))
        .arg("-d")
        .arg(&classes)
        .arg(sources("java").join("Peer.java"));
    shell::capture(&mut compiler)?;
    let text = |path: &Path| path.display().to_string();
    Ok(vec![
        "java".to_owned(),
        "-Xmx1g".to_owned(),
        // Its log files belong here, not into the user's home.
        format!("-Duser.home={}", text(&classes)),
        "-Drocketmq.client.logLevel=ERROR".to_owned(),
        "-cp".to_owned(),
        format!("{}:{}/*", text(&classes), text(&lib)),
        "Peer".to_owned(),
    ])
}

fn go() -> Result<Vec<String>> {
    let program = output("go")?.join("peer");
    let mut compiler = Command::new("go");
    compiler
        .args(["build", "-buildvcs=false", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(sources("go"));
    shell::capture(&mut compiler)?;
    Ok(vec![program.display().to_string()])
}

fn rust() -> Result<Vec<String>> {
    let target = output("rust")?;
    let mut compiler = shell::cargo(["build", "--release", "--locked", "--quiet"]);
    compiler
        .arg("--target-dir")
        .arg(&target)
        .current_dir(sources("rust"));
    shell::capture(&mut compiler)?;
    let program = target.join("release/rocketmq-client-rust-peer");
    Ok(vec![program.display().to_string()])
}
