//! Embedded null brokers in a process of their own, so that what they cost is not the client's.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use rocketmq_producer::remoting::protocol::Permission;
use rocketmq_producer_embedded::EmbeddedCluster;

/// As many brokers as are ever used.
const BROKERS: usize = 64;
/// Topics `topic-0` and so on, each on the first broker.
const TOPICS: usize = 1000;
/// Queues of a topic on a broker.
const QUEUES: u16 = 4;
/// What may be done with a topic.
const READ_WRITE: Permission = Permission(Permission::READ.0 | Permission::WRITE.0);

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// The address of its name server.
    pub name_servers: String,
}

impl Server {
    /// Starts this same program as `PROGRAM serve`, which is to call [`serve`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn spawn() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let mut name_servers = String::new();
        BufReader::new(stdout).read_line(&mut name_servers)?;
        Ok(Self {
            child,
            name_servers: name_servers.trim().to_owned(),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its end of input ends it; without one it would be of no use either.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The name of the topic that is on so many brokers.
pub(super) fn topic_on(brokers: usize) -> String {
    format!("on-{brokers}")
}

/// The name of a topic on one broker.
pub(super) fn topic(index: usize) -> String {
    format!("topic-{index}")
}

/// Serves until the end of the input; prints the address of the name server once all is ready.
///
/// # Errors
/// When a server cannot be started.
#[expect(
    clippy::print_stdout,
    reason = "that is how the parent learns the address"
)]
pub fn serve() -> Result<()> {
    let runtime = super::runtime()?;
    let cluster = runtime.block_on(
        EmbeddedCluster::builder()
            .brokers(BROKERS)
            .auto_create_topics(false)
            .null_broker(true)
            .start(),
    )?;
    let brokers = cluster.brokers();
    let first = &brokers.first().context("no broker")?.name;
    for index in 0..TOPICS {
        cluster.create_topic_on(first, &topic(index), QUEUES, READ_WRITE)?;
    }
    for count in [1, 4, 16, 64] {
        for broker in brokers.iter().take(count) {
            let name = topic_on(count);
            cluster.create_topic_on(&broker.name, &name, QUEUES, READ_WRITE)?;
        }
    }
    println!("{}", cluster.name_servers());
    runtime.block_on(async {
        let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        // Either way there is nobody to serve any more.
        let _ = end.await;
        cluster.shutdown().await;
    });
    Ok(())
}
