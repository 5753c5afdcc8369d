//! Telling whoever wants to know when a broker's condition changes.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rocketmq_producer_remoting::Connectivity;
use tokio::{
    sync::broadcast::{self, error::RecvError, error::TryRecvError},
    time::Instant,
};

use super::{BrokerState, HealthCause};

/// Events kept for a reader that is slow; the oldest go first.
const KEPT_EVENTS: usize = 256;

/// The two signals by which a broker is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BrokerCondition {
    /// What became of requests.
    pub state: BrokerState,
    /// What the connection tells.
    pub connectivity: Connectivity,
}

impl fmt::Display for BrokerCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.state, self.connectivity)
    }
}

/// A change of a broker's condition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthEvent {
    /// The broker's name.
    pub broker_name: Arc<str>,
    /// The address its record is about.
    pub address: Arc<str>,
    /// Its condition before.
    pub from: BrokerCondition,
    /// Its condition since.
    pub to: BrokerCondition,
    /// What changed it.
    pub cause: HealthCause,
    /// When.
    pub at: Instant,
}

impl fmt::Display for HealthEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            broker_name,
            address,
            from,
            to,
            cause,
            ..
        } = self;
        write!(f, "{broker_name} at {address}: {from} -> {to}: {cause}")
    }
}

/// The changes of all brokers from the moment it was asked for, in their order per
/// broker.
///
/// Of a reader that falls behind, the oldest events are dropped beyond 256, and it is
/// told how many.
#[derive(Debug)]
pub struct HealthEvents {
    receiver: broadcast::Receiver<HealthEvent>,
}

/// Why there is no next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthEventsError {
    /// The brokers are watched no more; nothing will come.
    Closed,
    /// So many events were dropped because they were not read in time. Later ones
    /// follow.
    Lagged(u64),
}

impl fmt::Display for HealthEventsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("broker health is watched no more"),
            Self::Lagged(count) => write!(f, "{count} health events were not read in time"),
        }
    }
}

impl Error for HealthEventsError {}

impl HealthEvents {
    /// The next event.
    ///
    /// # Errors
    /// [`HealthEventsError::Lagged`] where events were dropped, after which reading may
    /// go on; [`HealthEventsError::Closed`] at the end.
    ///
    /// # Cancel safety
    /// Safe: no event is lost.
    pub async fn next(&mut self) -> Result<HealthEvent, HealthEventsError> {
        self.receiver.recv().await.map_err(|error| match error {
            RecvError::Closed => HealthEventsError::Closed,
            RecvError::Lagged(count) => HealthEventsError::Lagged(count),
        })
    }

    /// The next event if there is one already.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn try_next(&mut self) -> Result<Option<HealthEvent>, HealthEventsError> {
        match self.receiver.try_recv() {
            Ok(event) => Ok(Some(event)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Closed) => Err(HealthEventsError::Closed),
            Err(TryRecvError::Lagged(count)) => Err(HealthEventsError::Lagged(count)),
        }
    }
}

/// Where events go. Costs nothing until somebody reads them.
#[derive(Debug, Default)]
pub(super) struct EventHub {
    /// How many events there were, read or not.
    count: AtomicU64,
    sender: OnceLock<broadcast::Sender<HealthEvent>>,
}

impl EventHub {
    pub(super) fn subscribe(&self) -> HealthEvents {
        let sender = self
            .sender
            .get_or_init(|| broadcast::Sender::new(KEPT_EVENTS));
        HealthEvents {
            receiver: sender.subscribe(),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    pub(super) fn send(&self, event: impl FnOnce() -> HealthEvent) {
        self.count.fetch_add(1, Relaxed);
        if let Some(sender) = self.sender.get() {
            if sender.receiver_count() > 0 {
                // The last reader may have gone in between.
                let _ = sender.send(event());
            }
        }
    }
}
