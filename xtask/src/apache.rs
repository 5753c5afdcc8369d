//! Real Apache RocketMQ: jars by Maven, clusters as child processes, and a reader in Java on Apache's own client.
//!
//! ```no_run
//! use xtask::apache::{Cluster, ClusterSpec, Permission, Reader, Version};
//! # fn main() -> anyhow::Result<()> {
//! let cluster = Cluster::start(&ClusterSpec::new(Version::V5_5_0).brokers(2))?;
//! cluster.create_topic("orders", 4, Permission::READ_WRITE)?;
//! // ... send to cluster.name_server_addr() ...
//! let stored = Reader::new(cluster.version())?.read_topic(&cluster.name_server_addr(), "orders")?;
//! # drop(stored); Ok(()) }
//! ```

mod availability;
mod cluster;
mod jars;
mod node;
mod ports;
mod probe;
mod reader;
mod spec;
mod version;

pub use availability::{Availability, require};
pub use cluster::{Cluster, Permission};
pub use jars::jars;
pub use node::Node;
pub use ports::PortBlock;
pub use probe::{Answer, ask};
pub use reader::{
    FindBy, JavaSend, ProducerConnection, ReadMessage, ReadOptions, Reader, SentMessage,
};
pub use spec::{Access, ClusterSpec, ServerTls};
pub use version::Version;
