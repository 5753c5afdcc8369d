//! Asking the name servers for routes.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rocketmq_producer_remoting::{
    ConnectionPool, ResponseCode, protocol::GetRouteInfoRequestHeader, random, with_causes,
};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod addresses;
mod ask;
mod discovery;
mod error;
mod http;
mod question;
mod servers;
mod source;

pub(crate) use self::error::describe;
#[cfg(feature = "discovery-http")]
pub use self::http::HttpDiscovery;
pub use self::{
    addresses::{AddressProblem, NameServerAddresses, ParseAddressesError},
    discovery::{DiscoveryError, DiscoveryStatus, NameServerDiscovery},
    error::{AttemptCause, NameServerAttempt, NameServerError},
    http::{HttpFailure, read_page},
    question::{RouteAnswer, RouteProgress, RouteQuestion},
    source::{DiscoveryUrl, NameServerSource, ParseSourceError},
};
use self::{
    discovery::Discovery,
    servers::{Server, Servers},
};

/// Where routes come from: the name servers, or a table in a test.
#[async_trait]
pub trait RouteSource: fmt::Debug + Send + Sync {
    /// The route of a topic as bytes, so that unchanged ones need not be parsed.
    ///
    /// # Errors
    /// A [`NameServerError`] that says what each address did.
    ///
    /// # Cancel safety
    /// Safe: asking has no effect.
    async fn topic_route(
        &self,
        question: &RouteQuestion<'_>,
    ) -> Result<RouteAnswer, NameServerError>;
}

/// Until the next address is asked as well, at most. What is slow may still answer first.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long "no such topic" of one address waits for what the others say, at most.
const PATIENCE_WITH_ANSWER: Duration = Duration::from_secs(1);

/// Until discovery that has brought no address yet is tried again, at first.
const FIRST_DISCOVERY_PAUSE: Duration = Duration::from_secs(1);

/// A client of one or more name servers.
///
/// * It stays with one address while that one answers, and passes over those that are
///   suspect ([`Connectivity`](crate::remoting::Connectivity)) at first. The order is shuffled at the
///   start, so that many producers do not all ask the same one.
/// * An address that fails, refuses or answers with something that is no route is
///   followed by the next within the same question. One that is silent is followed
///   too, after its share of the time and 500 ms at most; if it answers after all, and
///   first, its answer counts.
/// * "No such topic" is believed when no other address says otherwise, which is waited
///   for 1 s and half of the time left at most: a name server that has just started
///   knows no topic.
///
/// Clones share addresses and choice.
#[derive(Clone)]
pub struct NameServerClient {
    shared: Arc<Shared>,
}

struct Shared {
    servers: ArcSwap<Servers>,
    /// Held while the list is replaced, so that no change is lost.
    changing: Mutex<()>,
    discovery: Option<Discovery>,
    pool: ConnectionPool,
}

impl NameServerClient {
    /// A client over the connections of `pool`. Does no I/O.
    #[must_use]
    pub fn new(addresses: &NameServerAddresses, pool: ConnectionPool) -> Self {
        Self::of(Servers::new(addresses, &pool), None, pool)
    }

    /// A client that learns its addresses from `discovery`. Does no I/O.
    ///
    /// `addresses`, if given, are used until discovery brings others. Without them the
    /// first question asks discovery, within its own deadline;
    /// [`start_discovery`](Self::start_discovery) keeps them fresh.
    #[must_use]
    pub fn with_discovery(
        addresses: Option<&NameServerAddresses>,
        discovery: Arc<dyn NameServerDiscovery>,
        pool: ConnectionPool,
    ) -> Self {
        Self::with_source(addresses, Some(discovery), pool)
    }

    /// A client of what is given: addresses, a discovery, or both. With neither, every question fails with
    /// [`NameServerError::NoAddress`]. Does no I/O.
    #[must_use]
    pub fn with_source(
        addresses: Option<&NameServerAddresses>,
        discovery: Option<Arc<dyn NameServerDiscovery>>,
        pool: ConnectionPool,
    ) -> Self {
        let servers =
            addresses.map_or_else(Servers::default, |addresses| Servers::new(addresses, &pool));
        Self::of(servers, discovery.map(Discovery::new), pool)
    }

    fn of(servers: Servers, discovery: Option<Discovery>, pool: ConnectionPool) -> Self {
        Self {
            shared: Arc::new(Shared {
                servers: ArcSwap::from_pointee(servers),
                changing: Mutex::new(()),
                discovery,
                pool,
            }),
        }
    }

    /// The addresses, in the order in which they are tried.
    #[must_use]
    pub fn addresses(&self) -> Vec<Arc<str>> {
        let servers = self.shared.servers.load();
        servers
            .in_turn()
            .map(|(_, server)| Arc::clone(&server.address))
            .collect()
    }

    /// The address that is asked first.
    #[must_use]
    pub fn current_address(&self) -> Option<Arc<str>> {
        let servers = self.shared.servers.load();
        let (_, server) = servers.in_turn().next()?;
        Some(Arc::clone(&server.address))
    }

    /// Replaces the addresses, and says whether anything changed.
    ///
    /// The present choice stays if it is among them. Questions under way end as they
    /// began; the connections of the pool that nobody holds or uses are closed.
    pub fn set_addresses(&self, addresses: &NameServerAddresses) -> bool {
        let shared = &*self.shared;
        let _changing = shared
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let old = shared.servers.load_full();
        let Some(next) = old.replaced(addresses, &shared.pool) else {
            return false;
        };
        shared.servers.store(Arc::new(next));
        drop(old);
        shared.pool.prune();
        true
    }

    /// How discovery goes; nothing without one.
    #[must_use]
    pub fn discovery_status(&self) -> Option<DiscoveryStatus> {
        self.shared.discovery.as_ref().map(Discovery::status)
    }

    /// Asks discovery now and takes over the addresses it gives. Returns whether they
    /// are others than before. Calls at the same time wait for each other.
    ///
    /// # Errors
    /// The [`DiscoveryError`]; the addresses stay as they were. Without a discovery too.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn discover(&self) -> Result<bool, Arc<DiscoveryError>> {
        let Some(discovery) = &self.shared.discovery else {
            return Err(Arc::new(DiscoveryError::new("no discovery configured")));
        };
        let _turn = discovery.turn().await;
        self.discover_in_turn(discovery).await
    }

    async fn discover_in_turn(&self, discovery: &Discovery) -> Result<bool, Arc<DiscoveryError>> {
        let addresses = discovery.ask().await.inspect_err(|error| {
            tracing::warn!(
                error = %with_causes(&**error),
                kept = self.shared.servers.load().len(),
                "name server addresses not discovered; the last ones are kept"
            );
        })?;
        let changed = self.set_addresses(&addresses);
        if changed {
            tracing::info!(%addresses, "name server addresses changed");
        }
        Ok(changed)
    }

    /// Asks discovery now and then every `interval`, on a task of `tasks` until
    /// `cancel`. Each wait is shortened at random by up to a tenth; while no address
    /// is known at all the waits begin with 1 s and double. Call it once, within a
    /// runtime; without a discovery it does nothing.
    pub fn start_discovery(
        &self,
        interval: Duration,
        tasks: &TaskTracker,
        cancel: CancellationToken,
    ) {
        if self.shared.discovery.is_none() {
            return;
        }
        let client = self.clone();
        tasks.spawn(async move {
            let discovering = async {
                let mut pause = FIRST_DISCOVERY_PAUSE;
                loop {
                    // It has warned, and its status tells.
                    let _ = client.discover().await;
                    // Questions that were under way at a change have ended meanwhile.
                    client.shared.pool.prune();
                    let wait = if client.shared.servers.load().len() == 0 {
                        let wait = pause.min(interval);
                        pause = pause.saturating_mul(2);
                        wait
                    } else {
                        interval
                    };
                    let jitter = 1.0 - 0.1 * random::unit();
                    sleep(wait.mul_f64(jitter)).await;
                }
            };
            cancel.run_until_cancelled(discovering).await;
        });
    }

    /// The servers to ask, discovered first if there are none.
    async fn servers(&self, deadline: Instant) -> Result<Arc<Servers>, NameServerError> {
        let servers = self.shared.servers.load_full();
        if servers.len() > 0 {
            return Ok(servers);
        }
        let Some(discovery) = &self.shared.discovery else {
            return Err(NameServerError::NoAddress);
        };
        let discovering = async {
            let _turn = discovery.turn().await;
            // Whoever had the turn before may have found some.
            if self.shared.servers.load().len() == 0 {
                self.discover_in_turn(discovery).await?;
            }
            Ok(())
        };
        match timeout_at(deadline, discovering).await {
            Ok(Ok(())) => Ok(self.shared.servers.load_full()),
            Ok(Err(error)) => Err(NameServerError::Discovery(error)),
            Err(_) => {
                let late = DiscoveryError::new("no answer before the deadline");
                Err(NameServerError::Discovery(Arc::new(late)))
            }
        }
    }
}

/// Asks one address.
async fn ask(
    place: usize,
    server: &Server,
    question: &RouteQuestion<'_>,
) -> (usize, Result<RouteAnswer, AttemptCause>) {
    (place, answer_of(server, question).await)
}

async fn answer_of(
    server: &Server,
    question: &RouteQuestion<'_>,
) -> Result<RouteAnswer, AttemptCause> {
    let connection = server
        .endpoint()
        .connection(question.deadline)
        .await
        .map_err(AttemptCause::Connect)?;
    let header = GetRouteInfoRequestHeader::new(question.topic);
    let response = connection
        .request(&header, &Bytes::new(), question.deadline)
        .await
        .map_err(AttemptCause::Request)?;
    let code = response.code();
    let remark = || Arc::from(response.remark().unwrap_or_default());
    match code {
        ResponseCode::SUCCESS => {
            let body = response.body();
            let answer = RouteAnswer::new(Arc::clone(&server.address), body.clone());
            if question.known == Some(body) {
                return Ok(answer);
            }
            let data = answer.parsed()?;
            Ok(answer.with_data(data))
        }
        ResponseCode::TOPIC_NOT_EXIST => Err(AttemptCause::TopicNotFound),
        code if is_not_ready(code) => Err(AttemptCause::NotReady {
            code,
            remark: remark(),
        }),
        code => Err(AttemptCause::Refused {
            code,
            remark: remark(),
        }),
    }
}

#[async_trait]
impl RouteSource for NameServerClient {
    async fn topic_route(
        &self,
        question: &RouteQuestion<'_>,
    ) -> Result<RouteAnswer, NameServerError> {
        let servers = self.servers(question.deadline).await?;
        let progress = &question.progress;
        let mut queue = servers.in_turn();
        let mut asking = FuturesUnordered::new();
        // When the next address is asked, even if the others have not answered.
        let mut next = Instant::now();
        let mut end = question.deadline;
        let mut not_found: Option<(usize, Arc<str>)> = None;
        loop {
            let now = Instant::now();
            if asking.is_empty() || now >= next {
                let waiting = queue.len();
                match queue.next() {
                    Some((_, server)) if now >= end => {
                        progress.failed(&server.address, AttemptCause::TooLate);
                        continue;
                    }
                    Some((place, server)) => {
                        progress.asked(&server.address);
                        asking.push(ask(place, server, question));
                        let left = end.saturating_duration_since(now);
                        next = now + fair_share(left, waiting).min(PATIENCE);
                    }
                    None if asking.is_empty() => break,
                    None => {}
                }
            }
            let until = if queue.len() > 0 { next.min(end) } else { end };
            let (place, outcome) = tokio::select! {
                biased;
                Some(answered) = asking.next() => answered,
                () = sleep_until(until) => {
                    // With an answer in hand the rest is not waited for any longer.
                    if not_found.is_some() && Instant::now() >= end {
                        break;
                    }
                    if queue.len() > 0 || not_found.is_some() {
                        continue;
                    }
                    // The requests themselves end at the deadline, and say how.
                    match asking.next().await {
                        Some(answered) => answered,
                        None => break,
                    }
                }
            };
            let cause = match outcome {
                Ok(answer) => {
                    // Later questions begin where this one was answered.
                    servers.stay_at(place);
                    return Ok(answer);
                }
                Err(cause) => cause,
            };
            let Some(server) = servers.get(place) else {
                continue;
            };
            if matches!(cause, AttemptCause::TopicNotFound) && not_found.is_none() {
                not_found = Some((place, Arc::clone(&server.address)));
                let now = Instant::now();
                let left = end.saturating_duration_since(now);
                end = now + (left / 2).min(PATIENCE_WITH_ANSWER);
            }
            progress.failed(&server.address, cause);
            next = Instant::now();
        }
        if let Some((place, address)) = not_found {
            servers.stay_at(place);
            return Err(NameServerError::TopicNotFound {
                topic: Arc::from(question.topic),
                address,
            });
        }
        servers.go_on();
        Err(NameServerError::of(progress.attempts()))
    }
}

impl fmt::Debug for NameServerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameServerClient")
            .field("addresses", &self.addresses())
            .field("discovery", &self.shared.discovery)
            .finish_non_exhaustive()
    }
}

/// Codes of a name server that is starting, stopping or overloaded.
fn is_not_ready(code: ResponseCode) -> bool {
    matches!(
        code,
        ResponseCode::SYSTEM_ERROR
            | ResponseCode::SYSTEM_BUSY
            | ResponseCode::SERVICE_NOT_AVAILABLE
            | ResponseCode::GO_AWAY
    )
}

/// What one of `addresses` still to try may take of the time that remains.
fn fair_share(remaining: Duration, addresses: usize) -> Duration {
    let addresses = u32::try_from(addresses).unwrap_or(u32::MAX).max(1);
    remaining / addresses
}

#[cfg(test)]
mod tests;
