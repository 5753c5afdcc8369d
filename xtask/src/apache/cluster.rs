//! A cluster of name servers and brokers, each a Java process of its own with a small heap.

mod files;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::jars::proxy_jars;
use super::node::{Launch, Node};
use super::ports::{PortBlock, STEP};
use super::{Access, ClusterSpec, Version, jars, probe};
use crate::{paths, wait};
use files::Role;

/// `UPDATE_AND_CREATE_TOPIC`, sent to a broker.
const CREATE_TOPIC: i32 = 17;
/// `GET_ROUTEINFO_BY_TOPIC`, sent to a name server.
const TOPIC_ROUTE: i32 = 105;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What a topic's queues may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Permission(pub u8);

impl Permission {
    /// 6: the usual one.
    pub const READ_WRITE: Self = Self(6);
    /// 4: producers see no queue.
    pub const READ_ONLY: Self = Self(4);
}

/// Running name servers, master brokers and what a specification asks for beyond them; dropping it kills them and removes their files.
///
/// They also end when the process that started them does, however it ends.
#[derive(Debug)]
pub struct Cluster {
    version: Version,
    brokers: Vec<Node>,
    slaves: Vec<Node>,
    proxy: Vec<Node>,
    name_servers: Vec<Node>,
    dir: PathBuf,
    detached: bool,
    keep_files: bool,
    _ports: Vec<PortBlock>,
}

impl Cluster {
    /// Starts the cluster and waits until every broker is registered with every name server and answers.
    ///
    /// The jars are fetched first if they are not there. Takes 4 to 40 s, by the load of the machine.
    ///
    /// # Errors
    /// When Java or Maven is missing, or a server does not start; the error shows the end of its output.
    pub fn start(spec: &ClusterSpec) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let run = paths::apache().join("run");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = run.join(format!("cluster-{}-{count}", std::process::id()));
        Self::start_in(spec, &dir)
    }

    /// Starts a cluster that lives on after this process, with its files in `dir`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_detached(spec: &ClusterSpec, dir: &Path) -> Result<Self> {
        // Only once it has started: a failed start leaves nothing behind.
        let mut cluster = Self::start_in(spec, dir)?;
        cluster.detached = true;
        Ok(cluster)
    }

    fn start_in(spec: &ClusterSpec, dir: &Path) -> Result<Self> {
        if spec.name_servers == 0 {
            bail!("a cluster needs a name server");
        }
        let lib = jars(spec.version)?;
        files::remove_abandoned(&paths::apache().join("run"));
        if dir.exists() {
            std::fs::remove_dir_all(dir)
                .with_context(|| format!("cannot clear {}", dir.display()))?;
        }
        let ports = ports(spec)?;
        let mut blocks = ports.iter();
        let files = files::Files { spec, lib, dir };
        let mut name_servers = Vec::new();
        for (index, block) in blocks.by_ref().take(spec.name_servers).enumerate() {
            let name = format!("namesrv-{index}");
            let port = block.first();
            let (home, java) = files.name_server(&name, port)?;
            let launch = launch(spec, home, java);
            name_servers.push(Node::new(name, format!("127.0.0.1:{port}"), launch));
        }
        let registers_with: Vec<String> = addresses(&name_servers);
        let broker = |index: usize, role: Role, block: &PortBlock| -> Result<Node> {
            let name = broker_name(index);
            // The broker takes two below its own port as well, and is told to take the one above.
            let port = block.first() + 2;
            let (home, java) = files.broker(&name, role, port, &registers_with.join(";"))?;
            let launch = Launch {
                registers_with: registers_with.clone(),
                ..launch(spec, home, java)
            };
            Ok(Node::new(name, format!("127.0.0.1:{port}"), launch))
        };
        let (mut brokers, mut slaves) = (Vec::new(), Vec::new());
        let master = if spec.slaves {
            Role::SyncMaster
        } else {
            Role::Master
        };
        for (index, block) in blocks.by_ref().take(spec.brokers).enumerate() {
            brokers.push(broker(index, master, block)?);
        }
        if spec.slaves {
            for (index, block) in blocks.by_ref().take(spec.brokers).enumerate() {
                slaves.push(broker(index, Role::Slave, block)?);
            }
        }
        let proxies = blocks.map(|block| proxy(spec, &files, block, &registers_with));
        let proxy: Result<_> = proxies.collect();
        let mut cluster = Self {
            version: spec.version,
            brokers,
            slaves,
            proxy: proxy?,
            name_servers,
            dir: dir.to_path_buf(),
            detached: false,
            keep_files: false,
            _ports: ports,
        };
        let started = cluster.start_all();
        // The error names the folder with the logs.
        cluster.keep_files = started.is_err();
        started.map(|()| cluster)
    }

    fn start_all(&self) -> Result<()> {
        // A broker whose first registration fails tries again only after its period of up to 30 s.
        for nodes in [&self.name_servers, &self.brokers, &self.slaves, &self.proxy] {
            nodes.iter().try_for_each(Node::spawn)?;
            nodes.iter().try_for_each(Node::wait_ready)?;
        }
        Ok(())
    }

    /// The version of every server.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The addresses of all name servers, as clients are given them: `127.0.0.1:20000;127.0.0.1:20010`.
    #[must_use]
    pub fn name_server_addr(&self) -> String {
        addresses(&self.name_servers).join(";")
    }

    /// The name servers, in the order of their addresses.
    #[must_use]
    pub fn name_servers(&self) -> &[Node] {
        &self.name_servers
    }

    /// The master brokers, in the order of their names.
    #[must_use]
    pub fn brokers(&self) -> &[Node] {
        &self.brokers
    }

    /// The slaves, in the order of their masters, whose names they bear.
    #[must_use]
    pub fn slaves(&self) -> &[Node] {
        &self.slaves
    }

    /// The proxy. Its address is what a remoting client takes for that of a name server.
    #[must_use]
    pub fn proxy(&self) -> Option<&Node> {
        self.proxy.first()
    }

    /// The master of that name.
    #[must_use]
    pub fn broker(&self, name: &str) -> Option<&Node> {
        self.brokers.iter().find(|broker| broker.name() == name)
    }

    /// Creates a topic with `queues` read and write queues on every broker, and waits until every name server's route
    /// shows it on each of them.
    ///
    /// # Errors
    /// When a broker refuses it or does not answer.
    pub fn create_topic(&self, topic: &str, queues: u32, permission: Permission) -> Result<()> {
        for broker in &self.brokers {
            create_on(broker, topic, queues, permission)?;
        }
        for name_server in &self.name_servers {
            self.wait_in_route(topic, name_server)?;
        }
        Ok(())
    }

    fn wait_in_route(&self, topic: &str, name_server: &Node) -> Result<()> {
        let shows_all = || -> Result<bool> {
            let fields = [("topic", topic)];
            let answer = probe::ask(name_server.address(), TOPIC_ROUTE, &fields, REQUEST_TIMEOUT)?;
            let route = String::from_utf8_lossy(&answer.body).into_owned();
            let shows = |broker: &Node| route.contains(&format!("\"{}\"", broker.address()));
            Ok(answer.code == 0 && self.brokers.iter().all(shows))
        };
        wait::until(REQUEST_TIMEOUT, || match shows_all() {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        })
        .with_context(|| format!("{} does not show topic {topic}", name_server.name()))?
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.detached {
            self.proxy.iter().for_each(Node::detach);
            self.slaves.iter().for_each(Node::detach);
            self.brokers.iter().for_each(Node::detach);
            self.name_servers.iter().for_each(Node::detach);
            return;
        }
        // The brokers before the name servers: they have no one to tell that they are gone.
        self.proxy.clear();
        self.slaves.clear();
        self.brokers.clear();
        self.name_servers.clear();
        if std::thread::panicking() {
            eprintln!("the brokers' logs are kept in {}", self.dir.display());
        } else if !self.keep_files {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// Of a server that registers with none.
fn launch(spec: &ClusterSpec, home: PathBuf, java: Vec<String>) -> Launch {
    Launch {
        java,
        home,
        registers_with: Vec::new(),
        access: spec.access,
        says: "boot success",
    }
}

fn proxy(
    spec: &ClusterSpec,
    files: &files::Files<'_>,
    block: &PortBlock,
    name_servers: &[String],
) -> Result<Node> {
    let (name, port) = ("proxy", block.first());
    let lib = proxy_jars(spec.version)?;
    let (home, java) = files.proxy(&lib, name, port, &name_servers.join(";"))?;
    let launch = Launch {
        // It answers neither of the requests by which the other servers are asked.
        access: Access::Encrypted,
        says: "rocketmq-proxy startup successfully",
        ..launch(spec, home, java)
    };
    Ok(Node::new(
        name.to_owned(),
        format!("127.0.0.1:{port}"),
        launch,
    ))
}

fn create_on(broker: &Node, topic: &str, queues: u32, permission: Permission) -> Result<()> {
    let queues = queues.to_string();
    let permission = permission.0.to_string();
    let fields = [
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", &queues),
        ("writeQueueNums", &queues),
        ("perm", &permission),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
    ];
    probe::ask(broker.address(), CREATE_TOPIC, &fields, REQUEST_TIMEOUT)
        .and_then(probe::Answer::ok)
        .with_context(|| format!("cannot create topic {topic} on {}", broker.name()))?;
    Ok(())
}

fn addresses(nodes: &[Node]) -> Vec<String> {
    nodes.iter().map(|node| node.address().to_owned()).collect()
}

fn broker_name(index: usize) -> String {
    let letter = u8::try_from(index)
        .ok()
        .filter(|i| *i < 26)
        .map(|i| char::from(b'a' + i));
    letter.map_or_else(|| format!("broker-{index}"), |c| format!("broker-{c}"))
}

fn ports(spec: &ClusterSpec) -> Result<Vec<PortBlock>> {
    let mut next = spec.port;
    let per_name = if spec.slaves { 2 } else { 1 };
    (0..spec.name_servers + spec.brokers * per_name + usize::from(spec.proxy))
        .map(|_| {
            let Some(port) = next else {
                return PortBlock::free();
            };
            next = port.checked_add(STEP);
            PortBlock::at(port)
        })
        .collect()
}
