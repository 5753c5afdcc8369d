//! The clusters that are tried.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, bail};
use xtask::apache::{ClusterSpec, Version};

/// A cluster of Apache's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(
    clippy::exhaustive_enums,
    reason = "rows match on every column on purpose"
)]
pub enum Column {
    /// 5.5.0, two masters.
    V550,
    /// 5.1.4, two masters.
    V514,
    /// 4.9.7, two masters.
    V497,
    /// 5.5.0 with authentication and authorization.
    Acl2,
    /// 4.9.7 with its access control.
    Acl1,
    /// 5.5.0 that speaks TLS only.
    Tls,
    /// 5.5.0, a master and a slave, replicated before the answer.
    SyncSlave,
    /// 5.5.0 behind `rocketmq-proxy`, by its remoting port.
    Proxy,
}

impl Column {
    /// In the order of the table.
    pub const ALL: [Self; 8] = [
        Self::V550,
        Self::V514,
        Self::V497,
        Self::Acl2,
        Self::Acl1,
        Self::Tls,
        Self::SyncSlave,
        Self::Proxy,
    ];

    /// As the command line names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V550 => "5.5.0",
            Self::V514 => "5.1.4",
            Self::V497 => "4.9.7",
            Self::Acl2 => "acl2",
            Self::Acl1 => "acl1",
            Self::Tls => "tls",
            Self::SyncSlave => "slave",
            Self::Proxy => "proxy",
        }
    }

    /// As the table's head names it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::V550 => "5.5.0",
            Self::V514 => "5.1.4",
            Self::V497 => "4.9.7",
            Self::Acl2 => "5.5.0, ACL 2.0",
            Self::Acl1 => "4.9.7, ACL 1.0",
            Self::Tls => "5.5.0, TLS enforced",
            Self::SyncSlave => "5.5.0, synchronous slave",
            Self::Proxy => "5.5.0 behind its proxy",
        }
    }

    /// What the cluster is made of.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::V550 => "two masters; recall is switched on",
            Self::V514 | Self::V497 => "two masters",
            Self::Acl2 => {
                "two masters that check signatures and rights, the name server does not; recall is switched on"
            }
            Self::Acl1 => "two masters that check signatures and rights, the name server does not",
            Self::Tls => {
                "two masters; name server and brokers refuse plain text, and clients without a certificate"
            }
            Self::SyncSlave => {
                "one master with one slave, `SEND_OK` only once the slave has the message too"
            }
            Self::Proxy => {
                "two masters; the producer knows only the proxy's remoting port (cluster mode), \
                 Apache's client reads from the brokers; recall is switched on"
            }
        }
    }

    /// The version of every server.
    #[must_use]
    pub const fn version(self) -> Version {
        match self {
            Self::V497 | Self::Acl1 => Version::V4_9_7,
            Self::V514 => Version::V5_1_4,
            Self::V550 | Self::Acl2 | Self::Tls | Self::SyncSlave | Self::Proxy => Version::V5_5_0,
        }
    }

    /// Whether brokers check signatures and rights.
    #[must_use]
    pub const fn checks_access(self) -> bool {
        matches!(self, Self::Acl1 | Self::Acl2)
    }

    /// Master brokers.
    #[must_use]
    pub const fn masters(self) -> usize {
        match self {
            Self::SyncSlave => 1,
            _ => 2,
        }
    }

    /// Whether brokers let delayed messages be called back.
    #[must_use]
    pub const fn recalls(self) -> bool {
        matches!(self, Self::V550 | Self::Acl2 | Self::Proxy)
    }

    pub(super) fn spec(self) -> ClusterSpec {
        let spec = ClusterSpec::new(self.version())
            .brokers(self.masters())
            .auto_create_topics(true)
            .broker_heap_mib(384)
            .slaves(self == Self::SyncSlave)
            .proxy(self == Self::Proxy)
            // On a busy machine a broker sheds load after 200 ms, one-way messages without a word.
            .broker_conf("waitTimeMillsInSendQueue=15000")
            .broker_conf("osPageCacheBusyTimeOutMills=15000")
            // Transactions are asked after within seconds instead of a minute.
            .broker_conf("transactionCheckInterval=3000")
            .broker_conf("transactionTimeOut=3000")
            // 5.3 and later: who still sends to a broker that shuts down is told GO_AWAY for so long.
            .broker_conf("enableShutdownGracefully=true")
            .broker_conf("shutdownWaitTimeSeconds=2")
            .broker_conf("traceTopicEnable=true")
            .broker_conf("enableLmq=true")
            .broker_conf("enableMultiDispatch=true");
        let spec = if self.recalls() {
            spec.broker_conf("recallMessageEnable=true")
        } else {
            spec
        };
        if self == Self::Proxy {
            // The proxy looks at the types of topics; this allows topics for messages of every kind.
            spec.broker_conf("enableMixedMessageType=true")
        } else {
            spec
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Column {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match Self::ALL.into_iter().find(|column| column.name() == text) {
            Some(column) => Ok(column),
            None => bail!(
                "unknown column {text:?}: one of {}",
                Self::ALL.map(Self::name).join(", ")
            ),
        }
    }
}
