//! Why the cluster cannot do what is asked of it.

use std::io;
use std::sync::Arc;

use rocketmq_producer_remoting::FrameError;
use thiserror::Error;

/// Why an [`EmbeddedCluster`](crate::EmbeddedCluster) refuses.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// A port cannot be listened on.
    #[error("cannot listen on 127.0.0.1:{port} for {server}")]
    Listen {
        /// Which server.
        server: String,
        /// The port; 0 stands for any free one.
        port: u16,
        /// What the operating system says.
        #[source]
        source: Arc<io::Error>,
    },
    /// A request cannot be written as a frame.
    #[error("the request is no valid frame")]
    Frame(#[from] FrameError),
    /// The settings describe no cluster.
    #[error("a cluster needs at least one {0}")]
    Nothing(&'static str),
    /// The files of servers that are to speak TLS cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// No broker has this name.
    #[error("no broker is named {name:?}, there are {known}")]
    UnknownBroker {
        /// The name.
        name: String,
        /// Names of the brokers that exist.
        known: String,
    },
    /// No name server has this number.
    #[error("there is no name server number {index}, they count from 0 and are {count}")]
    UnknownNameServer {
        /// The number.
        index: usize,
        /// How many there are.
        count: usize,
    },
}
