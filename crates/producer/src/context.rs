//! A client that several producers share.

mod client;
mod names;

use std::fmt;
use std::sync::Arc;

use crate::admin::Admin;
use crate::builder::ProducerBuilder;
use crate::config::routing::remoting::{CredentialsProvider, Dialer, NetworkStats, RequestHook};
use crate::config::routing::{
    BrokerHealthInfo, HealthEvents, NameServerClient, NameServerDiscovery, TopicBrokerMapping,
};
use crate::config::{ProducerConfig, ProducerConfigBuilder, Template};
use crate::error::BuildError;
use crate::heartbeat::HeartbeatReport;
use crate::namespace;
use crate::network::Network;

use self::client::Share;
pub(crate) use self::client::{Client, Membership, Seat};

/// The group in the settings of a context, which has none of its own (Java: `MixAll.CLIENT_INNER_PRODUCER_GROUP`).
const INNER_GROUP: &str = "CLIENT_INNER_PRODUCER";

/// Requests that may wait for an answer on one connection of a shared context. Each producer in it keeps bounds of its
/// own far below.
const MAX_PENDING: usize = 1 << 20;

/// What producers of one process may share: name servers, routes, connections, broker health, and one heartbeat that
/// names all their groups (Java: `MQClientInstance`). Clones are handles to the same context.
///
/// A producer without one makes one of its own. What stays with each producer: how queues are chosen, retries, bounds,
/// order, statistics of sends.
///
/// ```no_run
/// use rocketmq_producer_core::{ClientContext, Producer};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let context = ClientContext::builder().name_servers("127.0.0.1:9876").build()?;
/// let orders = Producer::builder("orders").context(&context).start().await?;
/// let audit = Producer::builder("audit").context(&context).start().await?;
/// # let _ = (orders, audit);
/// # Ok(())
/// # }
/// ```
///
/// # Lifetime
/// Background work begins with the first producer that starts, on its runtime; keep that runtime alive, or start the
/// next producer on another, which then takes the work over. Connections close when the last producer has been shut
/// down or dropped, and open again for the next one while a handle of the context is left. When the last handle and the
/// last producer are gone, background work ends.
#[derive(Clone)]
pub struct ClientContext {
    share: Arc<Share>,
}

impl fmt::Debug for ClientContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientContext")
            .field("client_id", &self.client_id())
            .field("groups", &self.groups())
            .finish_non_exhaustive()
    }
}

impl ClientContext {
    /// Begins a context. Its settings have the layers of a producer's; only those that concern what is shared
    /// ([`CONTEXT_SETTINGS`](crate::config::CONTEXT_SETTINGS)) count.
    pub fn builder() -> ClientContextBuilder {
        ClientContextBuilder {
            inner: ProducerBuilder::new(INNER_GROUP),
        }
    }

    /// Begins a context with settings that were resolved before.
    pub fn from_config(config: ProducerConfig) -> ClientContextBuilder {
        ClientContextBuilder {
            inner: ProducerBuilder::from_config(config),
        }
    }

    /// Begins a producer in this context.
    pub fn producer(&self, group: &str) -> ProducerBuilder {
        ProducerBuilder::new(group).context(self)
    }

    /// The id that brokers know all producers of this context by.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client().id
    }

    /// The groups of the running producers, sorted: those that heartbeats name.
    #[must_use]
    pub fn groups(&self) -> Vec<Arc<str>> {
        self.client().groups()
    }

    /// The settings it was built with.
    #[must_use]
    pub fn config(&self) -> &ProducerConfig {
        &self.client().config
    }

    /// The name servers in use, and how their discovery goes.
    #[must_use]
    pub fn name_servers(&self) -> &NameServerClient {
        &self.client().source
    }

    /// The cache of topic routes.
    #[must_use]
    pub fn mapping(&self) -> &TopicBrokerMapping {
        &self.client().mapping
    }

    /// The health of every known broker at this moment; see
    /// [`Producer::broker_health`](crate::Producer::broker_health).
    #[must_use]
    pub fn broker_health(&self) -> Vec<BrokerHealthInfo> {
        self.client().registry.infos()
    }

    /// Every change of a broker's condition from now on.
    #[must_use]
    pub fn health_events(&self) -> HealthEvents {
        self.client().registry.events()
    }

    /// Counters over all connections to brokers.
    #[must_use]
    pub fn broker_connections(&self) -> NetworkStats {
        self.client().brokers.stats()
    }

    /// Sends a heartbeat with the groups of all running producers to the master of every broker in the cached routes,
    /// and waits for the answers. Background work does the same on its interval.
    ///
    /// # Cancel safety
    /// Safe; some heartbeats may have been sent.
    pub async fn send_heartbeat_to_all_brokers(&self) -> HeartbeatReport {
        self.client().heartbeat_all().await
    }

    /// Administration over the same connections.
    #[must_use]
    pub fn admin(&self) -> Admin {
        let admin = self.client().admin(&Arc::from(INNER_GROUP));
        admin.in_namespace(namespace::of(self.config()))
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        self.share.client()
    }
}

/// Collects the settings of a [`ClientContext`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct ClientContextBuilder {
    inner: ProducerBuilder,
}

impl ClientContextBuilder {
    fn map(self, change: impl FnOnce(ProducerBuilder) -> ProducerBuilder) -> Self {
        Self {
            inner: change(self.inner),
        }
    }

    /// Sets the addresses of the name servers: `host:port`, several separated by `;`.
    pub fn name_servers(self, addresses: &str) -> Self {
        self.map(|inner| inner.name_servers(addresses))
    }

    /// Sets the template that other settings start from.
    pub fn template(self, template: Template) -> Self {
        self.map(|inner| inner.template(template))
    }

    /// Changes any setting, as [`ProducerBuilder::configure`].
    pub fn configure(
        self,
        change: impl FnOnce(ProducerConfigBuilder) -> ProducerConfigBuilder,
    ) -> Self {
        self.map(|inner| inner.configure(change))
    }

    /// Sets the keys that every request is signed with, as [`ProducerBuilder::credentials`].
    pub fn credentials(self, access_key: &str, secret_key: &str) -> Self {
        self.map(|inner| inner.credentials(access_key, secret_key))
    }

    /// Sets what gives the credentials, as [`ProducerBuilder::credentials_provider`].
    pub fn credentials_provider(self, provider: Arc<dyn CredentialsProvider>) -> Self {
        self.map(|inner| inner.credentials_provider(provider))
    }

    /// Sets what opens connections, as [`ProducerBuilder::dialer`].
    pub fn dialer(self, dialer: Arc<dyn Dialer>) -> Self {
        self.map(|inner| inner.dialer(dialer))
    }

    /// Sets what tells the addresses of the name servers, as [`ProducerBuilder::name_server_discovery`].
    pub fn name_server_discovery(self, discovery: Arc<dyn NameServerDiscovery>) -> Self {
        self.map(|inner| inner.name_server_discovery(discovery))
    }

    /// Adds a hook that sees every request, as [`ProducerBuilder::request_hook`].
    pub fn request_hook(self, hook: Arc<dyn RequestHook>) -> Self {
        self.map(|inner| inner.request_hook(hook))
    }

    /// Checks everything and makes the context. Opens nothing; with `tls` it reads the files of certificates and keys.
    ///
    /// # Errors
    /// [`BuildError`], naming every setting that is wrong.
    pub fn build(self) -> Result<ClientContext, BuildError> {
        let (config, means) = self.inner.resolve()?;
        let mut network = Network::new(&config, means)?;
        network.options = network.options.with_max_pending(MAX_PENDING);
        let client = Client::new(config, network);
        Ok(ClientContext {
            share: Arc::new(Share::new(&client)),
        })
    }
}
