//! Putting a producer together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::blocking::BlockingProducer;
use crate::config::routing::NameServerDiscovery;
use crate::config::routing::remoting::message::topic::validate_topic_for_send;
use crate::config::routing::remoting::{CredentialsProvider, Dialer, RequestHook};
use crate::config::{ProducerConfig, ProducerConfigBuilder, Template};
use crate::context::{Client, ClientContext};
use crate::core::Core;
use crate::error::{BuildError, StartError};
use crate::hooks::{CheckForbiddenHook, EndTransactionHook, Hooks, SendHook};
use crate::network::{Means, Network};
use crate::preheat::Preheat;
use crate::producer::Producer;
use crate::transaction::{
    BlockingTransactionalProducer, TransactionChecker, TransactionalProducer,
};

/// Collects the settings of a [`Producer`].
///
/// Values come from the default, the template, files, the environment (`ROCKETMQ_PRODUCER_*` and
/// `NAMESRV_ADDR`) and code; of two the later in this list wins.
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct ProducerBuilder {
    settings: Settings,
    preheat: Vec<String>,
    preheat_required: bool,
    hooks: Hooks,
    publish_metrics: Option<Duration>,
    means: Means,
    context: Option<ClientContext>,
}

impl fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerBuilder")
            .field("settings", &self.settings)
            .field("preheat", &self.preheat)
            .field("preheat_required", &self.preheat_required)
            .field("hooks", &self.hooks)
            .field("means", &self.means)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
enum Settings {
    Layers(ProducerConfigBuilder),
    Resolved(Box<ProducerConfig>),
    /// Resolved, and then changed all the same.
    Muddled,
}

impl ProducerBuilder {
    pub(crate) fn new(group: &str) -> Self {
        let layers = ProducerConfig::builder()
            .environment()
            .producer_group(group);
        Self::with(Settings::Layers(layers))
    }

    pub(crate) fn from_config(config: ProducerConfig) -> Self {
        Self::with(Settings::Resolved(Box::new(config)))
    }

    fn with(settings: Settings) -> Self {
        Self {
            settings,
            preheat: Vec::new(),
            preheat_required: false,
            hooks: Hooks::default(),
            publish_metrics: None,
            means: Means::default(),
            context: None,
        }
    }

    /// Sets the addresses of the name servers: `host:port`, several separated by `;`.
    pub fn name_servers(self, addresses: &str) -> Self {
        self.configure(|settings| settings.name_servers(addresses))
    }

    /// Sets the template that other settings start from.
    pub fn template(self, template: Template) -> Self {
        self.configure(|settings| settings.template(template))
    }

    /// Changes any setting.
    ///
    /// Not for settings that were resolved before ([`Producer::from_config`]): then
    /// [`build`](Self::build) fails with [`BuildError::AlreadyResolved`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use rocketmq_producer_core::Producer;
    ///
    /// let producer = Producer::builder("order-service")
    ///     .name_servers("127.0.0.1:9876")
    ///     .configure(|settings| settings.send_msg_timeout(Duration::from_secs(1)).retry_times(5))
    ///     .build()?;
    /// assert_eq!(producer.config().retry_times, 5);
    /// # Ok::<(), rocketmq_producer_core::BuildError>(())
    /// ```
    pub fn configure(
        mut self,
        change: impl FnOnce(ProducerConfigBuilder) -> ProducerConfigBuilder,
    ) -> Self {
        self.settings = match self.settings {
            Settings::Layers(layers) => Settings::Layers(change(layers)),
            Settings::Resolved(_) | Settings::Muddled => Settings::Muddled,
        };
        self
    }

    /// Names topics to be made ready before `start` returns: their routes, connections to their
    /// brokers, and first heartbeats. An unknown topic, or one without a usable route, is reported and
    /// logged.
    pub fn preheat<S: Into<String>>(mut self, topics: impl IntoIterator<Item = S>) -> Self {
        self.preheat.extend(topics.into_iter().map(Into::into));
        self
    }

    /// Makes `start` fail if a topic to preheat does not exist or has no usable route.
    pub const fn require_preheat(mut self) -> Self {
        self.preheat_required = true;
        self
    }

    /// Sets the keys that every request is signed with, for servers with access control (ACL): the settings
    /// `access_key` and `secret_key`.
    pub fn credentials(self, access_key: &str, secret_key: &str) -> Self {
        self.configure(|settings| settings.access_key(access_key).secret_key(secret_key))
    }

    /// Sets what gives the credentials that requests are signed with, for those that change while the producer runs.
    /// It is asked for every request, and stands before the settings.
    ///
    /// [`RotatingCredentials`](crate::config::routing::remoting::RotatingCredentials) are one that is told of changes.
    pub fn credentials_provider(mut self, provider: Arc<dyn CredentialsProvider>) -> Self {
        self.means.credentials = Some(provider);
        self
    }

    /// Sets what opens connections to name servers and brokers: plain TCP by default. A dialer of
    /// one's own resolves names in its own way, or stays inside the process for a test. What the settings ask for, a
    /// proxy, other addresses and TLS, is done on what it opens.
    pub fn dialer(mut self, dialer: Arc<dyn Dialer>) -> Self {
        self.means.dialer = Some(dialer);
        self
    }

    /// Sets what tells the addresses of the name servers, for clusters where they change. It is asked at the start and
    /// then every `namesrv_discovery_interval`; while it fails the last addresses stay in use. A `namesrv_addr` that was
    /// given serves until discovery has brought others.
    pub fn name_server_discovery(mut self, discovery: Arc<dyn NameServerDiscovery>) -> Self {
        self.means.discovery = Some(discovery);
        self
    }

    /// Publishes the [metrics](Producer::metrics) through the `metrics` facade at this interval (at least 10 ms) while
    /// the producer runs, to whatever recorder the program has installed.
    #[cfg(feature = "metrics")]
    pub const fn publish_metrics(mut self, every: Duration) -> Self {
        self.publish_metrics = Some(every);
        self
    }

    /// Adds a hook that is called before and after every message, after those that were added before.
    pub fn send_hook(mut self, hook: Arc<dyn SendHook>) -> Self {
        self.hooks.send.push(hook);
        self
    }

    /// Adds a hook that is asked before every attempt whether it may be made.
    pub fn check_forbidden_hook(mut self, hook: Arc<dyn CheckForbiddenHook>) -> Self {
        self.hooks.forbidden.push(hook);
        self
    }

    /// Adds a hook that is told of the end of every transaction.
    pub fn end_transaction_hook(mut self, hook: Arc<dyn EndTransactionHook>) -> Self {
        self.hooks.end_transaction.push(hook);
        self
    }

    /// Adds a hook that sees every request to name servers and brokers before it is signed, and what became of it.
    pub fn request_hook(mut self, hook: Arc<dyn RequestHook>) -> Self {
        self.means.request_hooks.push(hook);
        self
    }

    /// Puts the producer into a context that it shares with others. The settings of what is shared
    /// ([`CONTEXT_SETTINGS`](crate::config::CONTEXT_SETTINGS)) come from there; so do dialer, discovery and
    /// credentials.
    pub fn context(mut self, context: &ClientContext) -> Self {
        self.context = Some(context.clone());
        self
    }

    /// The settings, checked, and the means.
    pub(crate) fn resolve(self) -> Result<(ProducerConfig, Means), BuildError> {
        let config = match self.settings {
            Settings::Layers(layers) => layers.build(),
            Settings::Muddled => return Err(BuildError::AlreadyResolved),
            Settings::Resolved(config) => config.validate().map(|()| *config),
        };
        let config = config.map_err(|error| BuildError::Configuration(Arc::new(error)))?;
        Ok((config, self.means))
    }

    /// Checks everything and makes the producer. Opens nothing; with `tls` it reads the files of certificates and keys.
    ///
    /// # Errors
    /// [`BuildError`], naming every setting that is wrong.
    pub fn build(mut self) -> Result<Producer, BuildError> {
        let context = self.context.take();
        let topics: Vec<Arc<str>> = std::mem::take(&mut self.preheat)
            .into_iter()
            .map(Arc::from)
            .collect();
        let (required, hooks) = (self.preheat_required, std::mem::take(&mut self.hooks));
        let publish_metrics = self.publish_metrics;
        let (mut config, means) = self.resolve()?;
        for topic in &topics {
            validate_topic_for_send(topic).map_err(|cause| BuildError::Topic {
                topic: Arc::clone(topic),
                cause,
            })?;
        }
        let client = match &context {
            None => Client::new(config.clone(), Network::new(&config, means)?),
            Some(context) => {
                let joined = config.join_context(context.config());
                let mut settings = joined.err().unwrap_or_default();
                settings.extend(means.given());
                if !settings.is_empty() {
                    return Err(BuildError::OfContext { settings });
                }
                Arc::clone(context.client())
            }
        };
        let preheat = Preheat { topics, required };
        Ok(Producer {
            core: Arc::new(Core::new(config, preheat, client, hooks, publish_metrics)),
        })
    }

    /// Makes the producer and starts it.
    ///
    /// # Errors
    /// As [`build`](Self::build) and [`Producer::start`].
    ///
    /// # Cancel safety
    /// Dropped midway, nothing is left behind.
    pub async fn start(self) -> Result<Producer, StartError> {
        let producer = self.build()?;
        producer.start().await?;
        Ok(producer)
    }

    /// Makes a producer of transactions. `checker` answers for those that were not ended, also of other processes of the
    /// group.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_transactional(
        self,
        checker: Arc<dyn TransactionChecker>,
    ) -> Result<TransactionalProducer, BuildError> {
        Ok(TransactionalProducer::new(self.build()?, checker))
    }

    /// Makes a producer of transactions and starts it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    /// Dropped midway, nothing is left behind.
    pub async fn start_transactional(
        self,
        checker: Arc<dyn TransactionChecker>,
    ) -> Result<TransactionalProducer, StartError> {
        let producer = self.build_transactional(checker)?;
        producer.start().await?;
        Ok(producer)
    }

    /// Makes a producer of transactions and starts it on a runtime of its own, for programs without one.
    ///
    /// # Errors
    /// As [`start_blocking`](Self::start_blocking).
    pub fn start_transactional_blocking(
        self,
        checker: Arc<dyn TransactionChecker>,
    ) -> Result<BlockingTransactionalProducer, StartError> {
        let producer = self.build_transactional(checker)?;
        let blocking = BlockingProducer::start(producer.producer().clone())?;
        Ok(BlockingTransactionalProducer::of(blocking, producer))
    }

    /// Makes the producer and starts it on a runtime of its own, for programs without one.
    ///
    /// # Errors
    /// As [`start`](Self::start), and [`StartError::Runtime`] if the runtime cannot be made.
    pub fn start_blocking(self) -> Result<BlockingProducer, StartError> {
        BlockingProducer::start(self.build()?)
    }
}
