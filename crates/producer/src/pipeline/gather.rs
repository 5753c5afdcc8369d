//! Automatic batches: sends that run at the same time share requests.
//!
//! Messages of one lane gather in one open batch: those of a topic that may go to any queue, and those of one queue.
//! A message that finds nothing under way in its lane goes at once, by itself. What comes meanwhile gathers, and leaves
//! when that is answered or when the batch is full. A lane of a queue has one request under way at a time, so that its
//! messages are stored in the order of their calls.
//!
//! A caller encodes its message into the open batch under one short lock, and then only waits. The batch's task holds
//! the places of all its messages until their outcome, whoever still waits for it.

mod batch;
mod lane;
mod task;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use self::batch::{Entrant, Member};
use self::lane::{Entry, Lane};
use super::Call;
use super::entrance::{Admitted, Bound};
use super::explicit::{byte_limit, fits};
use super::place::Places;
use crate::config::routing::{MessageQueue, Routing, TopicHashing};
use crate::config::{Ordered, ProducerConfig};
use crate::core::Core;
use crate::error::{SendError, SendFailure};
use crate::ledger::Visit;
use crate::options::Target;
use crate::outcome::Outcome;
use crate::receipt::SendReceipt;

/// Lanes that are kept while nothing is in them, so that they need not be made for every message.
const MAX_IDLE_LANES: usize = 1024;

/// All lanes of a producer, and the rules of their batches.
#[derive(Debug)]
pub(crate) struct Gatherer {
    rules: Rules,
    topics: DashMap<Arc<str>, Arc<Lane>, TopicHashing>,
    queues: DashMap<MessageQueue, Arc<Lane>>,
}

/// When a batch is full.
#[derive(Debug, Clone, Copy)]
struct Rules {
    messages: usize,
    bytes: usize,
    /// How long a batch waits for more; zero: as long as something is under way.
    linger: Duration,
}

impl Gatherer {
    /// The gatherer of a producer that is to have one.
    pub(crate) fn of(config: &ProducerConfig) -> Option<Self> {
        let messages = usize::try_from(config.batch_size).unwrap_or(usize::MAX);
        if !config.auto_batch || messages < 2 {
            return None;
        }
        Some(Self {
            rules: Rules {
                messages,
                bytes: byte_limit(config),
                linger: config.batch_linger,
            },
            topics: DashMap::with_hasher(TopicHashing::default()),
            queues: DashMap::new(),
        })
    }

    /// Has all open batches leave without waiting for more.
    pub(crate) fn release(&self) {
        let topics = self.topics.iter().map(|lane| Arc::clone(&lane));
        let queues = self.queues.iter().map(|lane| Arc::clone(&lane));
        // First all out of the maps, so that no two locks are held.
        let mut lanes: Vec<_> = topics.chain(queues).collect();
        // Whose order is one of chance: a simulated run is to repeat itself.
        lanes.sort_by_cached_key(|lane| {
            let queue = lane.queue().map(MessageQueue::full_name);
            (Arc::clone(lane.topic()), queue)
        });
        lanes.iter().for_each(|lane| lane.release());
    }

    fn lane(&self, topic: &Arc<str>, queue: Option<&MessageQueue>) -> Arc<Lane> {
        match queue {
            None => match self.topics.get(topic) {
                Some(lane) => Arc::clone(&lane),
                None => {
                    let lane = self.topics.entry(Arc::clone(topic));
                    Arc::clone(&lane.or_insert_with(|| Lane::new(Arc::clone(topic), None)))
                }
            },
            Some(queue) => match self.queues.get(queue) {
                Some(lane) => Arc::clone(&lane),
                None => {
                    let lane = self.queues.entry(queue.clone());
                    let new = || Lane::new(Arc::clone(topic), Some(queue.clone()));
                    Arc::clone(&lane.or_insert_with(new))
                }
            },
        }
    }

    /// Takes a message into its lane: it goes by itself, or becomes a member of a batch.
    fn enter<'a>(
        &self,
        core: &Arc<Core>,
        topic: &Arc<str>,
        queue: Option<&MessageQueue>,
        mut entrant: Entrant<'a>,
        waker: Waker,
    ) -> (Arc<Lane>, Result<Visit<'a>, Member>) {
        loop {
            let lane = self.lane(topic, queue);
            entrant = match lane.enter(core, &self.rules, entrant, &waker) {
                // Another one takes its place.
                Entry::Retired(entrant) => entrant,
                Entry::Alone(entrant) => return (lane, Ok(entrant.visit)),
                Entry::Member(member) => return (lane, Err(member)),
            };
        }
    }

    /// A request of the lane has its outcome.
    fn ended(&self, lane: &Arc<Lane>) {
        let is_idle = lane.ended(&self.rules);
        if is_idle && self.topics.len() + self.queues.len() > MAX_IDLE_LANES && lane.retire() {
            match lane.queue() {
                None => drop(
                    self.topics
                        .remove_if(lane.topic(), |_, it| Arc::ptr_eq(it, lane)),
                ),
                Some(queue) => drop(self.queues.remove_if(queue, |_, it| Arc::ptr_eq(it, lane))),
            }
        }
    }
}

/// What became of a message that was to be sent with others.
pub(super) enum Gathered<'a> {
    /// There were none: it goes by itself.
    Alone(Admitted<'a>, Alone<'a>),
    /// It has its outcome.
    Ended(Result<SendReceipt, SendError>),
}

impl Gathered<'_> {
    fn ended(result: Result<SendReceipt, SendError>) -> Self {
        Self::Ended(result)
    }
}

/// A message under way by itself in a lane where others gather behind it.
pub(super) struct Alone<'a> {
    gatherer: &'a Gatherer,
    lane: Arc<Lane>,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.gatherer.ended(&self.lane);
    }
}

impl<'a> Call<'a> {
    /// Where the message may travel with others, and its `WAIT`; none if it goes by itself.
    pub(super) fn may_join(self) -> Option<(&'a Gatherer, bool)> {
        let core = self.core;
        let gatherer = core.gatherer.as_ref()?;
        // Lanes of ordered messages let one message go at a time.
        if core.lanes.ordered() != Ordered::None && self.has_order() {
            return None;
        }
        // Larger ones may only go compressed, which no message of a batch is.
        if self.message.body().len() > core.config.max_message_size.as_usize() {
            return None;
        }
        let wait = self.message.batch_wait().ok()?;
        fits(self.message).then_some((gatherer, wait))
    }

    fn has_order(self) -> bool {
        self.key().is_some() || !matches!(self.options.target, Target::Strategy)
    }
}

impl Core {
    /// Admits a message and sends it with others that are sent at the same time, if there are some.
    pub(super) async fn gather<'a>(
        self: &'a Arc<Self>,
        call: Call<'a>,
        (gatherer, wait): (&'a Gatherer, bool),
    ) -> Gathered<'a> {
        if let Err(cause) = call.check() {
            self.count_refusal();
            return Gathered::ended(Err(call.error(None, cause, Vec::new())));
        }
        let mut visit = self.ledger.begin();
        let found = match self.take_in(call, &mut visit).await {
            Ok(found) => found,
            Err(cause) => {
                let error = call.error(None, cause, Vec::new());
                visit.end(Outcome::Failed(error.delivery()));
                return Gathered::ended(Err(error));
            }
        };
        let topic = call.message.topic_shared();
        let queue = found.as_ref().map(|found| found.1.queue());
        let stamp = self.stamp();
        let entrant = Entrant {
            visit,
            message: call.message,
            stamp,
            wait,
            timeout: call.deadline.duration_since(call.began),
            began: call.began,
            deadline: call.deadline,
        };
        // The batch wakes the caller without another look at this future.
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        let (lane, entered) = gatherer.enter(self, topic, queue, entrant, waker);
        let visit = match entered {
            Ok(visit) => visit,
            Err(member) => {
                drop((lane, found));
                let (batch, index) = member.await;
                let outcome = batch.outcome_of(topic, index, &stamp, call.began);
                if let Ok(receipt) = &outcome {
                    self.metrics.stored(receipt.latency);
                }
                return Gathered::ended(outcome);
            }
        };
        let alone = Alone { gatherer, lane };
        let mut admitted = Admitted {
            visit,
            stamp,
            turn: None,
            bound: None,
            at: Instant::now(),
        };
        if let Some(found) = found {
            let (mut places, routing) = *found;
            places.pin(&routing);
            let room = call.errand().take_room(&routing, &self.closing);
            match Box::pin(room).await {
                Ok(held) => admitted.bound = Some(Box::new(Bound { places, held })),
                Err(cause) => {
                    let (pledge, ..) = admitted.split();
                    pledge.end(Outcome::Failed(cause.delivery()));
                    let error = call.error(Some(stamp.id), cause, Vec::new());
                    return Gathered::ended(Err(error));
                }
            }
        }
        Gathered::Alone(admitted, alone)
    }

    /// Finds the queue of a message that has one, and takes a place among all sends under way.
    async fn take_in<'a>(
        &self,
        call: Call<'a>,
        visit: &mut Visit<'_>,
    ) -> Result<Option<Box<(Places<'a>, Routing)>>, SendFailure> {
        let mut found = None;
        if call.has_order() {
            let find = Box::pin(self.closing.run_until_cancelled(call.errand().find()));
            let place = find.await;
            let place = place.ok_or_else(|| SendFailure::State(self.state.get()))??;
            found = Some(Box::new(place));
        }
        let entered = if call.options.is_immediate {
            visit.try_enter(call.bytes())
        } else {
            visit.enter(call.bytes(), call.start_by()).await
        };
        entered.map_err(|refusal| self.refused(refusal))?;
        Ok(found)
    }
}
