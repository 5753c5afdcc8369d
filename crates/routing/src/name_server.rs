//! Asking the name servers for routes.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use rand::seq::SliceRandom as _;
use rocketmq_producer_remoting::{
    ConnectionPool, Response, ResponseCode, protocol::GetRouteInfoRequestHeader,
};
use tokio::time::Instant;

mod addresses;
mod error;

pub use self::{
    addresses::{AddressProblem, NameServerAddresses, ParseAddressesError},
    error::{AttemptCause, NameServerAttempt, NameServerError},
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
        topic: &str,
        deadline: Instant,
    ) -> Result<RouteAnswer, NameServerError>;
}

/// The body of a route answer and who gave it.
#[derive(Clone, Debug)]
pub struct RouteAnswer {
    address: Arc<str>,
    body: Bytes,
}

impl RouteAnswer {
    /// An answer of a name server.
    #[must_use]
    pub fn new(address: impl Into<Arc<str>>, body: impl Into<Bytes>) -> Self {
        Self {
            address: address.into(),
            body: body.into(),
        }
    }

    /// The name server.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// The route as it came.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

/// A client of one or more name servers.
///
/// It stays with one address while that one answers, and goes on to the next within
/// the same request when it does not. The order is shuffled at the start, so that
/// many producers do not all ask the same one. Clones share the choice.
#[derive(Clone)]
pub struct NameServerClient {
    addresses: Arc<[Arc<str>]>,
    /// The place to begin at.
    current: Arc<AtomicUsize>,
    pool: ConnectionPool,
}

impl NameServerClient {
    /// A client over the connections of `pool`. Does no I/O.
    #[must_use]
    pub fn new(addresses: &NameServerAddresses, pool: ConnectionPool) -> Self {
        let mut shuffled: Vec<Arc<str>> = addresses.iter().map(Arc::clone).collect();
        shuffled.shuffle(&mut rand::rng());
        Self {
            addresses: shuffled.into(),
            current: Arc::new(AtomicUsize::new(0)),
            pool,
        }
    }

    /// The addresses, in the order in which they are tried.
    #[must_use]
    pub fn addresses(&self) -> &[Arc<str>] {
        &self.addresses
    }

    /// The address that is asked first.
    #[must_use]
    pub fn current_address(&self) -> Option<&Arc<str>> {
        self.addresses.get(self.current.load(Ordering::Relaxed))
    }

    async fn ask(
        &self,
        address: &str,
        topic: &str,
        deadline: Instant,
    ) -> Result<Response, AttemptCause> {
        let connection = self
            .pool
            .connection(address, deadline)
            .await
            .map_err(AttemptCause::Connect)?;
        connection
            .request(
                &GetRouteInfoRequestHeader::new(topic),
                &Bytes::new(),
                deadline,
            )
            .await
            .map_err(AttemptCause::Request)
    }
}

#[async_trait]
impl RouteSource for NameServerClient {
    async fn topic_route(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<RouteAnswer, NameServerError> {
        let count = self.addresses.len();
        let start = self.current.load(Ordering::Relaxed);
        let mut attempts = Vec::new();
        let mut not_found = None;
        for turn in 0..count {
            let place = (start + turn) % count;
            let Some(address) = self.addresses.get(place) else {
                break;
            };
            let now = Instant::now();
            let failed = |cause| NameServerAttempt {
                address: Arc::clone(address),
                cause,
            };
            if now >= deadline {
                attempts.push(failed(AttemptCause::TooLate));
                continue;
            }
            let share = fair_share(deadline.saturating_duration_since(now), count - turn);
            let response = match self.ask(address, topic, now + share).await {
                Ok(response) => response,
                Err(cause) => {
                    attempts.push(failed(cause));
                    continue;
                }
            };
            match response.code() {
                ResponseCode::SUCCESS => {
                    // Later requests begin where this one was answered.
                    self.current.store(place, Ordering::Relaxed);
                    return Ok(RouteAnswer::new(
                        Arc::clone(address),
                        response.body().clone(),
                    ));
                }
                // One that has just started knows no topic: another may.
                ResponseCode::TOPIC_NOT_EXIST => {
                    not_found.get_or_insert_with(|| (Arc::clone(address), place));
                }
                code => {
                    let remark = Arc::from(response.remark().unwrap_or_default());
                    if is_not_ready(code) {
                        attempts.push(failed(AttemptCause::NotReady { code, remark }));
                    } else {
                        return Err(NameServerError::Refused {
                            address: Arc::clone(address),
                            code,
                            remark,
                        });
                    }
                }
            }
        }
        if let Some((address, place)) = not_found {
            self.current.store(place, Ordering::Relaxed);
            return Err(NameServerError::TopicNotFound {
                topic: Arc::from(topic),
                address,
            });
        }
        if count == 0 {
            return Err(NameServerError::NoAddress);
        }
        self.current.store((start + 1) % count, Ordering::Relaxed);
        Err(NameServerError::Unreachable {
            attempts: attempts.into(),
        })
    }
}

impl fmt::Debug for NameServerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameServerClient")
            .field("addresses", &self.addresses)
            .field("current", &self.current_address())
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
