//! Settings of a cluster before it starts.

use std::sync::Arc;
use std::time::Duration;

use rocketmq_producer_remoting::message::timing::DEFAULT_LONGEST_DELAY;
use rocketmq_producer_remoting::protocol::Permission;
use rocketmq_producer_remoting::{ByteSize, Credentials, HeaderEncoding};

use crate::broker::{Accounts, BrokerSettings, TransactionSettings};
use crate::cluster::EmbeddedCluster;
use crate::error::EmbeddedError;
use crate::network::MemoryNetwork;
use crate::server::Site;

/// Settings of an [`EmbeddedCluster`]: by default one name server and one broker on free ports
/// of 127.0.0.1, which create topics on demand.
#[derive(Clone, Debug)]
pub struct ClusterBuilder {
    pub(crate) name_servers: usize,
    pub(crate) name_server_port: Option<u16>,
    pub(crate) brokers: usize,
    pub(crate) slaves: usize,
    pub(crate) topics: Vec<(String, i32, Permission)>,
    pub(crate) auto_create_topics: bool,
    pub(crate) is_null: bool,
    pub(crate) encoding: HeaderEncoding,
    pub(crate) site: Site,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::ServerTls>,
    pub(crate) settings: BrokerSettings,
    pub(crate) checks_transactions: bool,
}

impl Default for ClusterBuilder {
    fn default() -> Self {
        Self {
            name_servers: 1,
            name_server_port: None,
            brokers: 1,
            slaves: 0,
            topics: Vec::new(),
            auto_create_topics: true,
            is_null: false,
            encoding: HeaderEncoding::Json,
            site: Site::default(),
            #[cfg(feature = "tls")]
            tls: None,
            checks_transactions: false,
            settings: BrokerSettings {
                cluster: Arc::from("DefaultCluster"),
                max_message_size: ByteSize::mib(4),
                max_stored: ByteSize::mib(1024),
                default_topic_queue_nums: 8,
                accounts: Accounts::default(),
                clock_offset: 0,
                transactions: TransactionSettings::default(),
                recall_enabled: false,
                timer_max_delay: DEFAULT_LONGEST_DELAY,
            },
        }
    }
}

impl ClusterBuilder {
    /// How many name servers; 1 by default, at least 1.
    #[must_use]
    pub const fn name_servers(mut self, count: usize) -> Self {
        self.name_servers = count;
        self
    }

    /// The port of the first name server; any free one by default.
    #[must_use]
    pub const fn name_server_port(mut self, port: Option<u16>) -> Self {
        self.name_server_port = port;
        self
    }

    /// How many brokers; 1 by default, at least 1. Their names are `broker-a`, `broker-b` and so
    /// on, after `broker-z` `broker-26`, `broker-27`.
    #[must_use]
    pub const fn brokers(mut self, count: usize) -> Self {
        self.brokers = count;
        self
    }

    /// How many slaves each broker has in the route, with the ids 1, 2 and so on; none by
    /// default. A slave replicates nothing; it refuses sends as a real one does, with code 2.
    #[must_use]
    pub const fn slaves(mut self, per_broker: usize) -> Self {
        self.slaves = per_broker;
        self
    }

    /// A topic that exists from the start, with `queues` queues on each broker; none by default.
    #[must_use]
    pub fn topic(mut self, name: impl Into<String>, queues: u16) -> Self {
        let perm = Permission(Permission::READ.0 | Permission::WRITE.0);
        self.topics.push((name.into(), i32::from(queues), perm));
        self
    }

    /// Whether brokers create a topic when a message comes for it; `true` by default, as in
    /// Apache RocketMQ. Java: `autoCreateTopicEnable`.
    #[must_use]
    pub const fn auto_create_topics(mut self, enabled: bool) -> Self {
        self.auto_create_topics = enabled;
        self
    }

    /// Most queues of a topic created on demand, per broker; 8 by default. It gets as many as the
    /// client asks for, at most these. Java: `defaultTopicQueueNums`.
    #[must_use]
    pub fn default_topic_queue_nums(mut self, queues: u16) -> Self {
        self.settings.default_topic_queue_nums = i32::from(queues);
        self
    }

    /// Name of the cluster; `DefaultCluster` by default.
    #[must_use]
    pub fn cluster_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.settings.cluster = name.into();
        self
    }

    /// Longest body; 4 MiB by default. Java: `maxMessageSize`.
    #[must_use]
    pub const fn max_message_size(mut self, size: ByteSize) -> Self {
        self.settings.max_message_size = size;
        self
    }

    /// Most bytes that each broker keeps, counted as in a commit log; 1 GiB by default. A full
    /// broker refuses messages as one with a full disk does, with code 14, until a topic is
    /// deleted.
    #[must_use]
    pub const fn max_stored(mut self, size: ByteSize) -> Self {
        self.settings.max_stored = size;
        self
    }

    /// Whether brokers take timer messages back; `false` by default, as in Apache RocketMQ. Java:
    /// `recallMessageEnable`.
    #[must_use]
    pub const fn recall(mut self, enabled: bool) -> Self {
        self.settings.recall_enabled = enabled;
        self
    }

    /// The longest delay of a timer message; 3 days by default. Java: `timerMaxDelaySec`.
    #[must_use]
    pub const fn timer_max_delay(mut self, delay: Duration) -> Self {
        self.settings.timer_max_delay = delay;
        self
    }

    /// How all servers encode the headers of their answers, whatever the requests have; JSON by
    /// default, as in Apache RocketMQ. Java: `rocketmq.serialize.type`.
    #[must_use]
    pub const fn header_encoding(mut self, encoding: HeaderEncoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// How far the clocks of brokers are ahead of this machine's, in milliseconds; behind if negative, 0 by default.
    #[must_use]
    pub const fn clock_offset(mut self, millis: i64) -> Self {
        self.settings.clock_offset = millis;
        self
    }

    /// An account that may publish to every topic; none by default. With an account or more, brokers check the signature
    /// of each request and refuse what no account has signed, as those with ACL 2.0 do. Name servers check nothing.
    #[must_use]
    pub fn account(mut self, credentials: Credentials) -> Self {
        self.settings.accounts.add(credentials, None);
        self
    }

    /// An account that may publish to these topics only; see [`account`](Self::account).
    #[must_use]
    pub fn account_for<S: Into<String>>(
        mut self,
        credentials: Credentials,
        topics: impl IntoIterator<Item = S>,
    ) -> Self {
        let topics = topics.into_iter().map(Into::into).collect();
        self.settings.accounts.add(credentials, Some(topics));
        self
    }

    /// Whether brokers only pretend: every send is answered at once, in the request's encoding,
    /// with the same well-formed receipt, and nothing is checked, stored or created. For measuring
    /// what a client costs; `false` by default. Faults on sends do not fire.
    #[must_use]
    pub const fn null_broker(mut self, enabled: bool) -> Self {
        self.is_null = enabled;
        self
    }

    /// Lets brokers ask by themselves for transactions that are not ended: every `interval`, for half messages that are
    /// older than `timeout`. By default they ask only when [told to](EmbeddedCluster::check_transactions). Java:
    /// `transactionCheckInterval`, `transactionTimeOut`.
    #[must_use]
    pub const fn check_transactions_every(mut self, interval: Duration, timeout: Duration) -> Self {
        self.checks_transactions = true;
        self.settings.transactions.check_interval = interval;
        self.settings.transactions.timeout = timeout;
        self
    }

    /// How often a broker asks for one transaction; 15 by default. Then it gives it up. Java: `transactionCheckMax`.
    #[must_use]
    pub const fn transaction_check_max(mut self, times: u32) -> Self {
        self.settings.transactions.check_max = times;
        self
    }

    /// Lets all servers listen on `network` instead of on loopback TCP, for tests with a paused
    /// clock. Clients reach them by the same network, which is a
    /// [`Dialer`](rocketmq_producer_remoting::Dialer).
    #[must_use]
    pub fn in_memory(mut self, network: &MemoryNetwork) -> Self {
        self.site.network = Some(network.clone());
        self
    }

    /// Lets all servers speak TLS only, with the files of `tls`, read at the start. They speak plain text by default.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: crate::tls::ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    #[cfg(feature = "tls")]
    fn secured(mut self) -> Result<Self, EmbeddedError> {
        if let Some(tls) = &self.tls {
            self.site.security = crate::server::Security::tls(tls.acceptor()?);
        }
        Ok(self)
    }

    /// Where name servers listen.
    pub(crate) fn name_server_site(&self) -> Site {
        #[cfg(feature = "tls")]
        if self.tls.as_ref().is_some_and(|tls| !tls.name_servers) {
            return Site {
                network: self.site.network.clone(),
                ..Site::default()
            };
        }
        self.site.clone()
    }

    /// Starts the cluster on the current tokio runtime; once this returns, every server listens
    /// and every topic has its route.
    ///
    /// # Errors
    /// When there is nothing to start, a port cannot be listened on, or files of TLS cannot be used.
    ///
    /// # Cancel safety
    /// Dropping the future frees everything started so far.
    pub async fn start(self) -> Result<EmbeddedCluster, EmbeddedError> {
        #[cfg(feature = "tls")]
        let this = self.secured()?;
        #[cfg(not(feature = "tls"))]
        let this = self;
        EmbeddedCluster::start(&this)
    }
}
