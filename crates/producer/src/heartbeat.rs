//! Telling brokers that this producer lives.
//!
//! Brokers keep a producer by its connection, not by its id, and forget a connection that sent no
//! heartbeat for 120 s; so every new connection gets one at once, and every known master one per
//! interval. They are sent as two-way requests in parallel: only an answer shows that the broker
//! took it, and a refusal shows wrong credentials early.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::config::routing::remoting::protocol::{
    HeartbeatData, HeartbeatRequestHeader, UnregisterClientRequestHeader,
};
use crate::config::routing::remoting::{
    Connection, ConnectionHandler, ConnectionPool, ResponseCode,
};
use crate::error::SendFailure;

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
    group: Arc<str>,
    body: Bytes,
    timeout: Duration,
    tasks: TaskTracker,
    cancel: CancellationToken,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl ConnectionHandler for Heartbeats {
    fn connected(&self, connection: &Connection) {
        let beat = self.beat(connection.clone());
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                _ = beat => {}
                () = cancel.cancelled() => {}
            }
        });
    }
}

impl Heartbeats {
    pub(crate) fn new(
        client_id: Arc<str>,
        group: Arc<str>,
        timeout: Duration,
        tasks: TaskTracker,
        cancel: CancellationToken,
    ) -> Self {
        let body = HeartbeatData::producer(&*client_id, [&*group]).encode();
        Self {
            client_id,
            group,
            body,
            timeout,
            tasks,
            cancel,
            counts: Arc::default(),
        }
    }

    /// Heartbeats that succeeded and failed so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let Counts { succeeded, failed } = &*self.counts;
        (succeeded.load(Relaxed), failed.load(Relaxed))
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
            let (heartbeats, endpoint) = (Arc::clone(self), pool.endpoint(&address));
            beats.spawn(async move {
                let deadline = Instant::now() + heartbeats.timeout;
                let result = match endpoint.connection(deadline).await {
                    Ok(connection) => heartbeats.beat(connection).await,
                    Err(error) => {
                        heartbeats.counts.failed.fetch_add(1, Relaxed);
                        Err(SendFailure::Connect(error))
                    }
                };
                (address, result)
            });
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

    /// Takes the group back from each open connection; returns how many brokers confirmed.
    pub(crate) async fn unregister_all(&self, pool: &ConnectionPool, deadline: Instant) -> usize {
        let mut goodbyes = JoinSet::new();
        for connection in pool.open_connections() {
            let (client_id, group) = (Arc::clone(&self.client_id), Arc::clone(&self.group));
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
    ) -> impl Future<Output = Result<(), SendFailure>> + Send + use<> {
        let (body, deadline) = (self.body.clone(), Instant::now() + self.timeout);
        let counts = Arc::clone(&self.counts);
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
            match &result {
                Ok(()) => counts.succeeded.fetch_add(1, Relaxed),
                Err(failure) => {
                    warn!(broker = connection.peer(), %failure, "heartbeat failed");
                    counts.failed.fetch_add(1, Relaxed)
                }
            };
            result
        }
    }
}
