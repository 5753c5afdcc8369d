//! A cluster of the test's own, and the command as a process.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rocketmq_producer_embedded::{ClusterBuilder, EmbeddedCluster, StoredMessage};
use serde_json::Value;
use tokio::runtime::Runtime;

/// More than anything here takes, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An embedded cluster that runs in threads beside the test's.
pub(crate) struct Cluster {
    runtime: Runtime,
    pub(crate) inner: EmbeddedCluster,
}

impl Cluster {
    pub(crate) fn start(settings: impl FnOnce(ClusterBuilder) -> ClusterBuilder) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let builder = settings(EmbeddedCluster::builder());
        let inner = runtime.block_on(builder.start()).expect("a cluster");
        Self { runtime, inner }
    }

    pub(crate) fn with_orders() -> Self {
        Self::start(|builder| builder.brokers(2).topic("orders", 4))
    }

    pub(crate) fn address(&self) -> String {
        self.inner.name_servers()
    }

    pub(crate) fn wait_for(&self, topic: &str, count: usize) -> Vec<StoredMessage> {
        self.wait(self.inner.wait_for_messages(topic, count))
    }

    pub(crate) fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, what).await })
            .expect("it happens in time")
    }

    /// `send --topic orders` and these flags.
    pub(crate) fn send(&self, flags: &[&str]) -> Command {
        let mut command = command(&["send", "--topic", "orders", "--namesrv", &self.address()]);
        command.args(flags);
        command
    }
}

/// The command, away from whatever the environment of the test sets.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocketmq-producer"));
    command.args(arguments).env_clear();
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    command
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self {
            status: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

pub(crate) fn run(command: &mut Command) -> Ended {
    run_with(command, b"")
}

/// Runs the command to its end with this input.
pub(crate) fn run_with(command: &mut Command, input: &[u8]) -> Ended {
    let mut child = command.spawn().expect("the command starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A command that does not read its input to the end breaks the pipe.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the command ends");
    feeder.join().expect("the input is given");
    output.into()
}

/// Kills its process when the test ends, however it ends.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the command starts"))
    }

    pub(crate) fn write(&mut self, input: &str) {
        let stdin = self.0.stdin.as_mut().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("it reads");
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.0.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// The status of a process that ends by itself.
    pub(crate) fn status(&mut self) -> Option<i32> {
        self.0.wait().expect("it ends").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines of a ledger.
pub(crate) fn ledger(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a ledger");
    assert!(text.is_empty() || text.ends_with('\n'), "whole lines");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}
