//! Ordered sending: messages of one lane go one after the other.
//!
//! A send joins its lane with its first poll, so that sends keep the order in which they were called, and leaves it
//! with its outcome. Nothing of a lane is kept while nobody is in it, unless it was stopped.

mod table;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;
use tracing::warn;

use self::table::{Place, Table};
use crate::config::routing::MessageQueue;
use crate::config::{Ordered, OrderedOnUnknown};

/// The most stopped lanes that are remembered, an equal part by each lock. Beyond it the one of that part that stopped
/// first goes on by itself, with a warning.
const MAX_STOPPED: usize = 65_536;

/// Messages that are sent one after the other: those of one topic and sharding key, or those of one queue.
///
/// `Display` and `Debug` do not show the key, which is a value of yours.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    name: Arc<Name>,
}

#[derive(PartialEq, Eq, Hash)]
enum Name {
    Key { topic: Arc<str>, key: Box<str> },
    Queue(MessageQueue),
}

impl Lane {
    /// The lane of a sharding key, with [`Ordered::Key`].
    #[must_use]
    pub fn of_key(topic: impl Into<Arc<str>>, key: &str) -> Self {
        let (topic, key) = (topic.into(), Box::from(key));
        Self {
            name: Arc::new(Name::Key { topic, key }),
        }
    }

    /// The lane of a queue, with [`Ordered::Queue`].
    #[must_use]
    pub fn of_queue(queue: MessageQueue) -> Self {
        Self {
            name: Arc::new(Name::Queue(queue)),
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        match &*self.name {
            Name::Key { topic, .. } => topic,
            Name::Queue(queue) => queue.topic(),
        }
    }

    /// The key, if it is the lane of one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match &*self.name {
            Name::Key { key, .. } => Some(key),
            Name::Queue(_) => None,
        }
    }

    /// The queue, if it is the lane of one.
    #[must_use]
    pub fn queue(&self) -> Option<&MessageQueue> {
        match &*self.name {
            Name::Key { .. } => None,
            Name::Queue(queue) => Some(queue),
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.name {
            Name::Key { topic, .. } => write!(f, "a key of topic {topic}"),
            Name::Queue(queue) => write!(f, "queue {queue}"),
        }
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lane({self})")
    }
}

/// Why a send did not get its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Barred {
    /// The producer was shut down.
    Closed,
    /// The deadline passed while it waited.
    Deadline,
    /// The outcome of an earlier message is unknown.
    Stopped,
}

/// How many locks the lanes are spread over.
const SHARDS: usize = 16;

/// The lanes of a producer.
#[derive(Debug)]
pub(crate) struct Lanes {
    ordered: Ordered,
    on_unknown: OrderedOnUnknown,
    hasher: RandomState,
    shards: [Mutex<Table>; SHARDS],
}

impl Lanes {
    pub(crate) fn new(ordered: Ordered, on_unknown: OrderedOnUnknown) -> Self {
        Self {
            ordered,
            on_unknown,
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::new(Table::new(MAX_STOPPED / SHARDS))),
        }
    }

    /// Which messages have lanes.
    pub(crate) const fn ordered(&self) -> Ordered {
        self.ordered
    }

    /// Joins the lane at once, and waits until everybody before has left it, `deadline` at most. Dropped while
    /// waiting, it leaves the lane.
    pub(crate) fn join(
        &self,
        lane: Lane,
        deadline: Instant,
    ) -> impl Future<Output = Result<Turn<'_>, Barred>> {
        let turn = self.line_up(lane);
        async move {
            let waiting = Waiting { turn: &turn };
            match tokio::time::timeout_at(deadline, waiting).await {
                Ok(Ok(())) => Ok(turn),
                Ok(Err(barred)) => Err(barred),
                Err(_) => Err(Barred::Deadline),
            }
        }
    }

    /// Takes the turn if nobody is in the lane.
    pub(crate) fn try_join(&self, lane: Lane) -> Result<Turn<'_>, Barred> {
        let turn = self.line_up(lane);
        let place = self
            .table(&turn.lane)
            .look(&turn.lane, turn.ticket, Waker::noop());
        match place {
            Place::Turn => Ok(turn),
            Place::Waiting => Err(Barred::Deadline),
            Place::Stopped => Err(Barred::Stopped),
            Place::Closed => Err(Barred::Closed),
        }
    }

    fn line_up(&self, lane: Lane) -> Turn<'_> {
        let ticket = self.table(&lane).join(&lane);
        Turn {
            lanes: self,
            lane,
            ticket,
            doubt: AtomicBool::new(false),
        }
    }

    /// Lets a stopped lane go on; returns whether it was stopped.
    pub(crate) fn resume(&self, lane: &Lane) -> bool {
        self.table(lane).resume(lane)
    }

    /// The stopped lanes.
    pub(crate) fn stopped(&self) -> Vec<Lane> {
        let tables = self.shards.iter().map(lock);
        tables.flat_map(|table| table.stopped()).collect()
    }

    /// Lanes in use, and how many are stopped.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let tables = self.shards.iter().map(|table| lock(table).counts());
        tables.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }

    /// Refuses all who wait, and who come.
    pub(crate) fn close(&self) {
        for table in &self.shards {
            let waiting = lock(table).close();
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    fn table(&self, lane: &Lane) -> MutexGuard<'_, Table> {
        let hash = self.hasher.hash_one(lane);
        let shard = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        #[expect(
            clippy::indexing_slicing,
            reason = "a remainder by the number of shards"
        )]
        lock(&self.shards[shard])
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A send's place in its lane, first in the queue, then at the head. Dropping it leaves the lane.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    lanes: &'a Lanes,
    lane: Lane,
    ticket: u64,
    /// Whether a message of this send may be stored although no receipt came.
    doubt: AtomicBool,
}

impl Turn<'_> {
    /// Notes whether the send, if it ended now, would leave its message in doubt.
    pub(crate) fn set_doubt(&self, doubt: bool) {
        self.doubt.store(doubt, Relaxed);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let stop = self.doubt.load(Relaxed) && self.lanes.on_unknown == OrderedOnUnknown::Stop;
        let left = self
            .lanes
            .table(&self.lane)
            .leave(&self.lane, self.ticket, stop);
        left.wake.into_iter().for_each(Waker::wake);
        if let Some(lane) = left.forgotten {
            warn!(%lane, "too many lanes are stopped: one goes on by itself");
        }
    }
}

/// Waits until a turn has come.
struct Waiting<'a, 'b> {
    turn: &'b Turn<'a>,
}

impl Future for Waiting<'_, '_> {
    type Output = Result<(), Barred>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Turn {
            lanes,
            lane,
            ticket,
            ..
        } = self.turn;
        match lanes.table(lane).look(lane, *ticket, context.waker()) {
            Place::Turn => Poll::Ready(Ok(())),
            Place::Waiting => Poll::Pending,
            Place::Stopped => Poll::Ready(Err(Barred::Stopped)),
            Place::Closed => Poll::Ready(Err(Barred::Closed)),
        }
    }
}

#[cfg(test)]
mod tests;
