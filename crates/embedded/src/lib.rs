#![doc = include_str!("../README.md")]

mod broker;
mod builder;
mod cluster;
mod error;
mod fault;
mod name_server;
mod network;
mod null;
mod server;
mod stored_message;
#[cfg(feature = "tls")]
mod tls;

pub use broker::ProducerConnection;
pub use builder::ClusterBuilder;
pub use cluster::{BrokerAddress, EmbeddedCluster, Registration};
pub use error::EmbeddedError;
pub use fault::{ArmedFault, Condition, Fault, FaultPlan, Reaction};
pub use network::MemoryNetwork;
pub use stored_message::StoredMessage;
#[cfg(feature = "tls")]
pub use tls::ServerTls;
