//! Why a producer could not be built or started.

use std::sync::Arc;

use crate::config::ConfigError;
use crate::config::routing::RoutingError;
use crate::config::routing::remoting::{CredentialsError, TlsOptionsError};
use crate::lifecycle::State;

/// Why a producer could not be built. Nothing was sent or opened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting was changed on a builder made from settings that were resolved before: their
    /// layers are gone. Change them before, or in the [`ProducerConfig`](crate::config::ProducerConfig).
    #[error("settings that were resolved before cannot be changed on the builder")]
    AlreadyResolved,
    /// A setting is missing or wrong (pyrocketmq: `ConfigurationError`, 5001).
    #[error("invalid configuration")]
    Configuration(#[source] Arc<ConfigError>),
    /// A credential, changed in the resolved configuration, cannot be one.
    #[error("credentials cannot be used")]
    Credentials(#[source] Arc<CredentialsError>),
    /// The setting `namesrv_addr` names a page, and this program was built without the feature `discovery-http`.
    #[error("this program was built without the feature `discovery-http`")]
    DiscoveryLeftOut,
    /// The setting `socks_proxy` is given, and this program was built without the feature `socks5`.
    #[error("this program was built without the feature `socks5`")]
    Socks5LeftOut,
    /// These settings, or means such as a dialer, were given to a producer in a shared context and belong to the
    /// context: the producer cannot have others.
    #[error("in a shared context {} must be given to the context", settings.join(", "))]
    OfContext {
        /// Their names.
        settings: Vec<&'static str>,
    },
    /// What the settings of TLS name cannot be used, such as a file of certificates.
    #[error("TLS cannot be set up")]
    Tls(#[source] Arc<TlsOptionsError>),
    /// The setting `tls` is on, and this program was built without the feature `tls`.
    #[error("this program was built without the feature `tls`")]
    TlsLeftOut,
    /// A topic to preheat has a name that no message could be sent to.
    #[error("topic {topic:?} cannot be preheated")]
    Topic {
        /// The name.
        topic: Arc<str>,
        /// The rule it breaks.
        #[source]
        cause: crate::config::routing::remoting::message::TopicError,
    },
}

/// Why a producer could not start (pyrocketmq: `ProducerStartError`, 1001).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It could not be built.
    #[error("producer cannot be built")]
    Build(#[from] BuildError),
    /// A topic that must be preheated has no usable route.
    #[error("topic {topic} cannot be preheated")]
    Preheat {
        /// The topic.
        topic: Arc<str>,
        /// Why.
        #[source]
        cause: RoutingError,
    },
    /// A topic that must be preheated does not exist; a broker would have to create it.
    #[error("topic {topic} cannot be preheated: it does not exist")]
    UnknownTopic {
        /// The topic.
        topic: Arc<str>,
    },
    /// Another producer of this process runs with the same group and client id; brokers could not tell the two apart.
    /// Clone that one, or choose another `producer_group` or `client_id`.
    #[error("a producer of group {group} with client id {client_id} is running in this process")]
    GroupInUse {
        /// The group.
        group: Arc<str>,
        /// The client id.
        client_id: Arc<str>,
    },
    /// The runtime for a blocking producer could not be made.
    #[error("runtime for the blocking producer cannot be made")]
    Runtime(#[source] Arc<std::io::Error>),
    /// A producer that was shut down does not start again; build a new one.
    #[error("producer is {0}")]
    State(State),
    /// A blocking start could not wait for its outcome.
    #[error(transparent)]
    Blocking(super::BlockingFailure),
}

impl StartError {
    /// The number of the matching pyrocketmq error.
    #[must_use]
    pub const fn code(&self) -> i32 {
        match self {
            Self::Build(
                BuildError::AlreadyResolved
                | BuildError::Configuration(_)
                | BuildError::Credentials(_)
                | BuildError::DiscoveryLeftOut
                | BuildError::Socks5LeftOut
                | BuildError::OfContext { .. }
                | BuildError::Tls(_)
                | BuildError::TlsLeftOut,
            ) => 5001,
            Self::State(_) => 1003,
            _ => 1001,
        }
    }
}
