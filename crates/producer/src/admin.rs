//! [`Admin`]: what the owner of a producer asks of name servers and brokers beside sending.

mod error;
mod messages;
mod offsets;
mod probe;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;

pub use self::error::AdminError;
pub use self::messages::{FoundMessages, KeyQuery};
pub use self::probe::{BrokerPing, SendProbe};
pub use self::topics::{GroupConnection, TopicChange, TopicStatus, TopicTarget};
use crate::config::routing::remoting::message::Namespace;
use crate::config::routing::remoting::protocol::{ClusterInfo, TopicRouteData};
use crate::config::routing::remoting::{
    ByteSize, ConnectionPool, NoFields, RequestCode, RequestHeader, Response, ResponseCode,
};
use crate::config::routing::{NameServerClient, RouteQuestion, RouteSource as _};
use crate::deadline;
use crate::namespace::wrapped;

/// Longest time of a call unless it is set. Java: `MQAdminImpl.timeoutMillis`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(6);

/// Largest body of a message that is looked up, once it is no longer compressed: what fits a frame.
const BODY_LIMIT: ByteSize = ByteSize::mib(16);

/// The most that the messages of one answer are unpacked to: 64 bodies, as many as a broker gives, of the usual limit.
const ANSWER_LIMIT: ByteSize = ByteSize::mib(256);

/// Administration over a producer's connections, with its credentials and its TLS. Java: `MQAdmin`.
///
/// It comes from [`Producer::admin`](crate::Producer::admin), works from then on until the producer is shut down, and
/// takes no part in sending: nothing here waits for a place among the sends, or retries. Each call ends within the
/// [timeout](Self::with_timeout). Clones share the connections.
///
/// ```no_run
/// # use rocketmq_producer_core::{AdminError, Producer};
/// # async fn example(producer: Producer) -> Result<(), AdminError> {
/// let status = producer.admin().topic_status("orders").await?;
/// for queue in &status.queues {
///     println!("{} {}: {} messages", queue.broker_name, queue.queue_id, queue.messages());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Admin {
    group: Arc<str>,
    client_id: Arc<str>,
    source: NameServerClient,
    brokers: ConnectionPool,
    timeout: Duration,
    namespace: Option<Namespace>,
}

impl Admin {
    pub(crate) fn new(
        group: Arc<str>,
        client_id: Arc<str>,
        source: NameServerClient,
        brokers: ConnectionPool,
    ) -> Self {
        Self {
            group,
            client_id,
            source,
            brokers,
            timeout: DEFAULT_TIMEOUT,
            namespace: None,
        }
    }

    /// Puts names of topics and groups into a namespace, as sends do.
    pub(crate) fn in_namespace(mut self, namespace: Option<Namespace>) -> Self {
        self.namespace = namespace;
        self
    }

    /// The name by which brokers know a topic or a group: with the namespace before it, if there is one (setting
    /// `namespace`). All calls here take either name.
    #[must_use]
    pub fn full_name(&self, plain: &str) -> Arc<str> {
        wrapped(self.namespace.as_ref(), plain)
    }

    /// Sets the longest time of a call, 6 s by default.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The name servers that are asked.
    #[must_use]
    pub const fn name_servers(&self) -> &NameServerClient {
        &self.source
    }

    /// The route of a topic as the name servers tell it now; nothing is cached.
    ///
    /// # Errors
    /// [`AdminError::NameServer`], also if no name server knows the topic.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn route(&self, topic: &str) -> Result<Arc<TopicRouteData>, AdminError> {
        self.route_before(&self.full_name(topic), self.deadline())
            .await
    }

    /// All brokers that a name server knows.
    ///
    /// # Errors
    /// [`AdminError::NameServer`] if none answers.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn cluster(&self) -> Result<ClusterInfo, AdminError> {
        self.cluster_before(self.deadline()).await
    }

    async fn route_before(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<Arc<TopicRouteData>, AdminError> {
        let question = RouteQuestion::new(topic, deadline);
        let answer = self.source.topic_route(&question).await?;
        match TopicRouteData::parse(answer.body()) {
            Ok(route) => Ok(Arc::new(route)),
            Err(error) => Err(AdminError::malformed(answer.address(), &error)),
        }
    }

    async fn cluster_before(&self, deadline: Instant) -> Result<ClusterInfo, AdminError> {
        let header = NoFields(RequestCode::GET_BROKER_CLUSTER_INFO);
        let (address, answer) = self.source.ask(&header, deadline).await?;
        ClusterInfo::parse(answer.body()).map_err(|error| AdminError::malformed(&address, &error))
    }

    fn deadline(&self) -> Instant {
        deadline::after(Instant::now(), self.timeout)
    }

    /// Asks one broker; any answer is one.
    async fn answer<H: RequestHeader + Sync>(
        &self,
        address: &str,
        header: &H,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<Response, AdminError> {
        let connection = self.brokers.connection(address, deadline).await?;
        Ok(connection.request(header, body, deadline).await?)
    }

    /// Asks one broker and takes success for an answer only.
    async fn success<H: RequestHeader + Sync>(
        &self,
        address: &str,
        header: &H,
        deadline: Instant,
    ) -> Result<Response, AdminError> {
        let response = self
            .answer(address, header, &Bytes::new(), deadline)
            .await?;
        match response.code() {
            ResponseCode::SUCCESS => Ok(response),
            _ => Err(AdminError::refused(address, &response)),
        }
    }

    /// Does the same at several brokers at once; what came of it with each name, in the order of `brokers`.
    async fn at_each<T, F: Future<Output = Result<T, AdminError>>>(
        brokers: impl IntoIterator<Item = (String, String)>,
        ask: impl Fn(String, String) -> F,
    ) -> Vec<(String, Result<T, AdminError>)> {
        let asked = brokers.into_iter().map(|(name, address)| {
            let answer = ask(name.clone(), address);
            async move { (name, answer.await) }
        });
        join_all(asked).await
    }
}

/// Name and address of each master of a route, in the order of the names.
fn masters(route: &TopicRouteData) -> Vec<(String, String)> {
    let brokers = route.broker_datas.iter();
    let mut masters: Vec<_> = brokers
        .filter_map(|broker| Some((broker.broker_name.clone(), broker.master()?.to_owned())))
        .collect();
    masters.sort();
    masters
}
