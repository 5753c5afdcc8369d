//! Telling brokers that this client lives, with the groups of all its producers.
//!
//! Brokers keep a producer by its connection, not by its id, and forget a connection that sent no
//! heartbeat for 120 s; so every new connection gets one at once, and every known master one per
//! interval. They are sent as two-way requests in parallel: only an answer shows that the broker
//! took it, and a refusal shows wrong credentials early.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use tokio::task::{self, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::config::routing::remoting::protocol::{
    HeartbeatData, HeartbeatRequestHeader, UnregisterClientRequestHeader,
};
use crate::config::routing::remoting::{
    Connection, ConnectionHandler, ConnectionPool, Connectivity, Endpoint, RemotingCommand,
    ResponseCode,
};
use crate::config::routing::{BrokerRegistry, TopicBrokerMapping};
use crate::error::SendFailure;
use crate::server_requests::ServerRequests;

/// How a round of heartbeats went.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct HeartbeatReport {
    /// Addresses of brokers that accepted it.
    pub succeeded: Vec<Arc<str>>,
    /// Addresses of brokers that did not, and why.
    pub failed: Vec<(Arc<str>, SendFailure)>,
}

/// Sends heartbeats, and is told of each new connection.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    client_id: Arc<str>,
    /// Names the groups of the producers that run now.
    body: Mutex<Bytes>,
    timeout: Duration,
    /// Passes on to it what connections tell. It holds no connection, hence no circle.
    registry: Arc<BrokerRegistry>,
    /// Takes what brokers ask by themselves.
    requests: Arc<ServerRequests>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    counts: Arc<Counts>,
    failing: Arc<Failing>,
}

#[derive(Debug, Default)]
struct Counts {
    succeeded: AtomicU64,
    failed: AtomicU64,
}

/// Brokers whose last heartbeat failed. A broker that closes each connection is dialled again and again, and a warning for
/// each would drown all others.
#[derive(Debug, Default)]
struct Failing(Mutex<HashSet<Arc<str>>>);

impl Failing {
    /// Notes how one ended; whether that is another end than the one before.
    fn note(&self, peer: &str, is_failure: bool) -> bool {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_failure {
            !failing.contains(peer) && failing.insert(Arc::from(peer))
        } else {
            failing.remove(peer)
        }
    }

    /// Forgets all but these.
    fn keep(&self, addresses: &[Arc<str>]) {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failing.retain(|address| addresses.contains(address));
    }
}

impl ConnectionHandler for Heartbeats {
    fn handle_request(
        &self,
        connection: &Connection,
        request: &RemotingCommand,
    ) -> Option<RemotingCommand> {
        self.requests.handle(connection, request)
    }

    fn connected(&self, connection: &Connection) {
        let beat = self.beat(connection.clone(), self.deadline());
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                _ = beat => {}
            }
        });
    }

    fn probe_body(&self) -> Bytes {
        // So that a connection that takes over is known as this producer's.
        self.body()
    }

    fn connectivity_changed(&self, address: &str, connectivity: Connectivity) {
        self.registry
            .connectivity_changed(address, connectivity, Instant::now());
    }
}

impl Heartbeats {
    pub(crate) fn new(
        client_id: Arc<str>,
        timeout: Duration,
        registry: Arc<BrokerRegistry>,
        requests: Arc<ServerRequests>,
        tasks: TaskTracker,
        cancel: CancellationToken,
    ) -> Self {
        let nobody: [&str; 0] = [];
        let body = HeartbeatData::producer(&*client_id, nobody).encode();
        Self {
            client_id,
            body: Mutex::new(body),
            timeout,
            registry,
            requests,
            tasks,
            cancel,
            counts: Arc::default(),
            failing: Arc::default(),
        }
    }

    /// Names these groups from now on.
    pub(crate) fn name_groups<'a>(&self, groups: impl IntoIterator<Item = &'a Arc<str>>) {
        let groups = groups.into_iter().map(|group| &**group);
        let body = HeartbeatData::producer(&*self.client_id, groups).encode();
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = body;
    }

    fn body(&self) -> Bytes {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        body.clone()
    }

    /// Sends one on every open connection, and does not wait for it. Must be called within a runtime.
    pub(crate) fn announce(&self, pool: &ConnectionPool) {
        for connection in pool.open_connections() {
            self.connected(&connection);
        }
    }

    /// Whether replies of brokers are waited for.
    pub(crate) fn takes_replies(&self) -> bool {
        self.requests.replies().are_used()
    }

    /// Heartbeats that succeeded and failed so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let Counts { succeeded, failed } = &*self.counts;
        (succeeded.load(Relaxed), failed.load(Relaxed))
    }

    /// Sends heartbeats on the interval, and drops addresses that no route names any more.
    ///
    /// A broker that has not answered yet is left out, so one that hangs delays no other.
    pub(crate) async fn run(
        self: Arc<Self>,
        pool: ConnectionPool,
        mapping: TopicBrokerMapping,
        interval: Duration,
    ) {
        // At the start nothing is due: connections open with a heartbeat.
        let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beats = JoinSet::new();
        // By their tasks, so that one that panics is forgotten too.
        let mut under_way: HashMap<task::Id, Arc<str>> = HashMap::new();
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => {
                    // Each route holds the addresses of its brokers.
                    pool.prune();
                    let addresses = mapping.broker_addresses();
                    self.failing.keep(&addresses);
                    for address in addresses {
                        if under_way.values().all(|other| *other != address) {
                            let beat = Arc::clone(&self).beat_at(pool.endpoint(&address));
                            let beat = beats.spawn(async move {
                                let _ = beat.await;
                            });
                            under_way.insert(beat.id(), address);
                        }
                    }
                }
                Some(ended) = beats.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    under_way.remove(&id);
                }
            }
        }
    }

    /// Sends one to each of `addresses`, dialling where need be. One broker's failure does not
    /// touch the others.
    pub(crate) async fn beat_all(
        self: &Arc<Self>,
        pool: &ConnectionPool,
        addresses: Vec<Arc<str>>,
    ) -> HeartbeatReport {
        let mut beats = JoinSet::new();
        for address in addresses {
            let beat = Arc::clone(self).beat_at(pool.endpoint(&address));
            beats.spawn(async move { (address, beat.await) });
        }
        let mut report = HeartbeatReport::default();
        while let Some(beat) = beats.join_next().await {
            match beat {
                Ok((address, Ok(()))) => report.succeeded.push(address),
                Ok((address, Err(failure))) => report.failed.push((address, failure)),
                // Only if the runtime ends meanwhile.
                Err(error) => debug!(%error, "heartbeat task ended early"),
            }
        }
        report
    }

    /// One heartbeat at one address, dialled if need be; and one on each further connection to it.
    async fn beat_at(self: Arc<Self>, endpoint: Endpoint) -> Result<(), SendFailure> {
        let deadline = self.deadline();
        match endpoint.connection(deadline).await {
            Ok(connection) => {
                // Brokers know producers by their connections.
                let further = endpoint.all_current().into_iter().skip(1);
                let further = join_all(further.map(|further| self.beat(further, deadline)));
                join(self.beat(connection, deadline), further).await.0
            }
            Err(error) => {
                debug!(%error, "no heartbeat");
                self.counts.failed.fetch_add(1, Relaxed);
                Err(SendFailure::Connect(error))
            }
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Takes a group back from each open connection; returns how many brokers confirmed.
    pub(crate) async fn unregister_all(
        &self,
        group: &Arc<str>,
        pool: &ConnectionPool,
        deadline: Instant,
    ) -> usize {
        let mut goodbyes = JoinSet::new();
        for connection in pool.open_connections() {
            let (client_id, group) = (Arc::clone(&self.client_id), Arc::clone(group));
            let deadline = deadline.min(Instant::now() + self.timeout);
            goodbyes.spawn(async move {
                let header = UnregisterClientRequestHeader::new(&client_id, &group);
                let answer = connection.request(&header, &Bytes::new(), deadline).await;
                answer.is_ok_and(|response| response.code() == ResponseCode::SUCCESS)
            });
        }
        let mut confirmed = 0;
        while let Some(goodbye) = goodbyes.join_next().await {
            confirmed += usize::from(goodbye.unwrap_or(false));
        }
        confirmed
    }

    /// One heartbeat on one connection. The future owns what it needs, so it can be spawned from a
    /// borrowed handler.
    fn beat(
        &self,
        connection: Connection,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), SendFailure>> + Send + use<> {
        let body = self.body();
        let counts = Arc::clone(&self.counts);
        let failing = Arc::clone(&self.failing);
        async move {
            let request = connection.request(&HeartbeatRequestHeader, &body, deadline);
            let result = match request.await {
                Ok(response) if response.code() == ResponseCode::SUCCESS => Ok(()),
                Ok(response) => Err(SendFailure::Refused {
                    code: response.code(),
                    remark: Arc::from(response.remark().unwrap_or_default()),
                }),
                Err(error) => Err(SendFailure::Request(error)),
            };
            let is_new = failing.note(connection.peer(), result.is_err());
            match &result {
                Ok(()) => {
                    if is_new {
                        debug!(broker = connection.peer(), "heartbeats succeed again");
                    }
                    counts.succeeded.fetch_add(1, Relaxed)
                }
                Err(failure) => {
                    let failure = failure.with_causes();
                    if is_new {
                        warn!(broker = connection.peer(), failure, "heartbeat failed");
                    } else {
                        debug!(
                            broker = connection.peer(),
                            failure, "heartbeat failed again"
                        );
                    }
                    counts.failed.fetch_add(1, Relaxed)
                }
            };
            result
        }
    }
}
