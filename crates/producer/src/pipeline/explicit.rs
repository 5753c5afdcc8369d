//! Explicit batches: checked as brokers check them, grouped where order asks for it, cut into requests.

use std::collections::HashMap;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::BytesMut;
use tokio::time::Instant;

use super::exchange::TwoWay;
use super::joint::{Joint, JointOutcome};
use super::parcel::{Errand, Stamp};
use super::single::Entrance;
use super::{Call, Pledge};
use crate::batch::{BatchError, BatchRule};
use crate::config::routing::remoting::Message;
use crate::config::routing::remoting::message::property::MAX_PROPERTIES_LENGTH;
use crate::config::routing::{KeyedFailover, MessageQueue};
use crate::config::{BatchSplit, Ordered, ProducerConfig};
use crate::core::Core;
use crate::deadline;
use crate::error::{SendError, SendFailure};
use crate::lanes::Lane;
use crate::lifecycle::State;
use crate::options::{SendOptions, Target};
use crate::outcome::Outcome;
use crate::receipt::SendReceipt;

/// The longest that a message id takes as a property.
const ID_ROOM: usize = 68;

/// Requests of one call that are under way at once.
const PARALLEL: usize = 32;

/// Places in the call, and what became of the messages there.
type Results = Vec<(usize, Result<SendReceipt, SendError>)>;

/// What hooks refused messages with, by their places in the call.
pub(super) type Refused = HashMap<usize, SendFailure>;

/// One call of `send_batch`.
#[derive(Clone, Copy)]
struct Batch<'a> {
    core: &'a Arc<Core>,
    messages: &'a [Message],
    options: &'a SendOptions,
    refused: &'a Refused,
    wait: bool,
    began: Instant,
    deadline: Instant,
}

/// Messages that are sent one request after the other.
struct Group {
    /// Their places in the call, in order.
    members: Vec<usize>,
    target: GroupTarget,
    lane: Option<Lane>,
}

enum GroupTarget {
    /// Any queue.
    Free,
    /// The queue of the first message's key.
    Key,
    Queue(Target),
}

/// What became of a request whose messages were taken, with what they were marked with.
type Carried = (JointOutcome, Vec<Stamp>);

impl Core {
    /// Sends messages in as few requests as possible; each gets an outcome of its own.
    pub(crate) async fn send_batch(
        self: &Arc<Self>,
        messages: &[Message],
        options: &SendOptions,
    ) -> Result<Vec<SendReceipt>, BatchError> {
        if let Some(namespace) = self.namespace_for(options) {
            return self.send_batch_in(namespace, messages, options).await;
        }
        if self.is_watched() {
            return Box::pin(self.send_batch_watched(messages, options)).await;
        }
        let refused = Refused::default();
        self.send_batch_plain(messages, options, Instant::now(), &refused)
            .await
    }

    /// Sends messages of which some were refused by hooks.
    pub(super) async fn send_batch_plain(
        self: &Arc<Self>,
        messages: &[Message],
        options: &SendOptions,
        began: Instant,
        refused: &Refused,
    ) -> Result<Vec<SendReceipt>, BatchError> {
        let timeout = options.timeout.unwrap_or(self.config.send_msg_timeout);
        let wait = match check(messages) {
            Ok(wait) => wait,
            Err(rule) => {
                let results = self.refuse_all(messages, began, &SendFailure::Batch(rule.clone()));
                return Err(BatchError::of_rule(rule, results));
            }
        };
        let state = self.state.get();
        if state != State::Running {
            let results = self.refuse_all(messages, began, &SendFailure::State(state));
            return Err(BatchError::of_results(results));
        }
        let batch = Batch {
            core: self,
            messages,
            options,
            refused,
            wait,
            began,
            deadline: deadline::after(began, timeout),
        };
        batch.send().await
    }

    fn refuse_all(
        &self,
        messages: &[Message],
        began: Instant,
        cause: &SendFailure,
    ) -> Vec<Result<SendReceipt, SendError>> {
        let refuse = |message: &Message| {
            self.count_refusal();
            let topic = Arc::clone(message.topic_shared());
            Err(SendError::new(
                topic,
                None,
                began.elapsed(),
                Vec::new(),
                cause.clone(),
            ))
        };
        messages.iter().map(refuse).collect()
    }
}

/// What a broker would refuse as a whole, or a client must; else the `WAIT` of all.
fn check(messages: &[Message]) -> Result<bool, BatchRule> {
    let first = messages.first().ok_or(BatchRule::Empty)?;
    let mut common = None;
    for (index, message) in messages.iter().enumerate() {
        let wait = message
            .batch_wait()
            .map_err(|reason| BatchRule::Kind { index, reason })?;
        let same_topic = Arc::ptr_eq(message.topic_shared(), first.topic_shared())
            || message.topic() == first.topic();
        if !same_topic {
            return Err(BatchRule::Topic { index });
        }
        if *common.get_or_insert(wait) != wait {
            return Err(BatchRule::Wait { index });
        }
    }
    Ok(common.unwrap_or(true))
}

/// Whether a message may travel with others; one with very long properties has no room for its id there.
pub(super) fn fits(message: &Message) -> bool {
    message.properties().wire_len() + ID_ROOM <= MAX_PROPERTIES_LENGTH
}

/// The most bytes of a batch.
pub(super) fn byte_limit(config: &ProducerConfig) -> usize {
    let most = config.batch_max_bytes.min(config.max_message_size);
    most.as_usize()
}

impl<'a> Batch<'a> {
    async fn send(self) -> Result<Vec<SendReceipt>, BatchError> {
        let mut results = Results::new();
        let mut able = Vec::with_capacity(self.messages.len());
        for (index, message) in self.messages.iter().enumerate() {
            let refusal = self.refused.get(&index);
            match refusal.map_or_else(|| self.call_of(message).check(), |it| Err(it.clone())) {
                Ok(()) => able.push(index),
                Err(cause) => {
                    self.core.count_refusal();
                    results.push((index, Err(self.error(index, cause))));
                }
            }
        }
        let groups = if able.iter().all(|index| self.is_free(*index)) {
            vec![Group {
                members: able,
                target: GroupTarget::Free,
                lane: None,
            }]
        } else {
            Box::pin(self.group(able, &mut results)).await
        };
        let mut requests = Vec::new();
        for group in &groups {
            let chunks = self.cut(&group.members);
            if matches!(group.target, GroupTarget::Free) {
                // Without order among them.
                requests.extend(chunks.into_iter().map(|chunk| (group, vec![chunk])));
            } else {
                requests.push((group, chunks));
            }
        }
        match &*requests {
            [(group, chunks)] => match &**chunks {
                [chunk] if chunk.len() == self.messages.len() && chunk.len() > 1 => {
                    // All of them in one request, as it is mostly.
                    let members = &*group.members;
                    match self.send_chunk(group, members).await {
                        Ok((JointOutcome::Stored(stored), stamps)) => {
                            let receipts = stamps.iter().enumerate();
                            let receipt = |(place, stamp)| stored.receipt(place, stamp, self.began);
                            return Ok(receipts.map(receipt).collect());
                        }
                        carried => self.tell(&carried, members, &mut results),
                    }
                }
                chunks => self.send_group(group, chunks, &mut results).await,
            },
            _ => {
                let requests = requests.into_iter().map(|(group, chunks)| async move {
                    let mut results = Results::new();
                    self.send_group(group, &chunks, &mut results).await;
                    results
                });
                results.extend(all(requests).await.into_iter().flatten());
            }
        }
        // Every message has its result now.
        if !results.is_sorted_by_key(|(index, _)| *index) {
            results.sort_by_key(|(index, _)| *index);
        }
        if results.iter().all(|(_, result)| result.is_ok()) {
            let receipts = results.into_iter().filter_map(|(_, result)| result.ok());
            return Ok(receipts.collect());
        }
        let results = results.into_iter().map(|(_, result)| result).collect();
        Err(BatchError::of_results(results))
    }

    fn call(self, index: usize) -> Option<Call<'a>> {
        Some(self.call_of(self.messages.get(index)?))
    }

    fn call_of(self, message: &'a Message) -> Call<'a> {
        // One reading of the clock for all.
        let Self {
            core,
            options,
            began,
            deadline,
            ..
        } = self;
        Call {
            core,
            message,
            options,
            began,
            deadline,
        }
    }

    fn is_free(self, index: usize) -> bool {
        self.call(index).is_none_or(|call| {
            matches!(call.options.target, Target::Strategy) && call.key().is_none()
        })
    }

    fn error(self, index: usize, cause: SendFailure) -> SendError {
        let topic = self
            .messages
            .get(index)
            .map(|it| Arc::clone(it.topic_shared()));
        let topic = topic.unwrap_or_else(|| Arc::from(""));
        SendError::new(topic, None, self.began.elapsed(), Vec::new(), cause)
    }

    /// Groups messages by their queues, so that those of one key stay in order; those of no queue are one group. Messages
    /// whose queue cannot be found get their outcome.
    async fn group(self, able: Vec<usize>, results: &mut Results) -> Vec<Group> {
        let core = self.core;
        let by_key = core.lanes.ordered() == Ordered::Key;
        let mut free = Vec::new();
        let mut bound: Vec<(Group, Option<&str>)> = Vec::new();
        let mut places: HashMap<(MessageQueue, Option<&str>), usize> = HashMap::new();
        for index in able {
            let Some(call) = self.call(index) else {
                continue;
            };
            if self.is_free(index) {
                free.push(index);
                continue;
            }
            let found = core.closing.run_until_cancelled(call.errand().find()).await;
            let queue = match found {
                Some(Ok((_, routing))) => routing.queue().clone(),
                Some(Err(cause)) => {
                    core.count_refusal();
                    results.push((index, Err(self.error(index, cause))));
                    continue;
                }
                None => {
                    core.count_refusal();
                    let cause = SendFailure::State(core.state.get());
                    results.push((index, Err(self.error(index, cause))));
                    continue;
                }
            };
            let is_keyed = matches!(call.options.target, Target::Strategy);
            let key = call.key().filter(|_| is_keyed);
            // One at a time by key: a group for each.
            let place = (queue, key.filter(|_| by_key));
            let next = bound.len();
            let at = *places.entry(place.clone()).or_insert(next);
            if at == next {
                let (queue, _) = place;
                let topic = Arc::clone(call.message.topic_shared());
                let lane = match core.lanes.ordered() {
                    Ordered::Key => key.map(|key| Lane::of_key(topic, key)),
                    Ordered::Queue if call.is_bound() => Some(Lane::of_queue(queue.clone())),
                    _ => None,
                };
                let group = Group {
                    members: Vec::new(),
                    target: GroupTarget::Queue(Target::Queue(queue)),
                    lane,
                };
                bound.push((group, key));
            }
            if let Some((group, first_key)) = bound.get_mut(at) {
                if *first_key != key {
                    *first_key = None;
                }
                group.members.push(index);
            }
        }
        let mut groups: Vec<_> = bound
            .into_iter()
            .map(|(mut group, key)| {
                if key.is_some() && core.lanes.ordered() != Ordered::Queue {
                    group.target = GroupTarget::Key;
                }
                group
            })
            .collect();
        if !free.is_empty() {
            groups.push(Group {
                members: free,
                target: GroupTarget::Free,
                lane: None,
            });
        }
        groups
    }

    /// Cuts messages into requests.
    fn cut(self, members: &[usize]) -> Vec<Range<usize>> {
        let config = &self.core.config;
        let most_bytes = byte_limit(config);
        let most = match config.batch_split_type {
            BatchSplit::ByCount => usize::try_from(config.batch_size).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        let mut chunks = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (at, index) in members.iter().enumerate() {
            let Some(message) = self.messages.get(*index) else {
                continue;
            };
            let length = if fits(message) {
                message.batch_len(None) + ID_ROOM
            } else {
                // Alone.
                usize::MAX
            };
            let is_full = at - start >= most || bytes > most_bytes.saturating_sub(length);
            if at > start && is_full {
                chunks.push(start..at);
                (start, bytes) = (at, 0);
            }
            bytes = bytes.saturating_add(length);
        }
        if start < members.len() {
            chunks.push(start..members.len());
        }
        chunks
    }

    /// Sends the requests of a group one after the other.
    async fn send_group(self, group: &Group, chunks: &[Range<usize>], results: &mut Results) {
        for chunk in chunks {
            let members = group.members.get(chunk.clone()).unwrap_or_default();
            match members {
                // As it is: a single message may be larger, and compressed.
                [index] => {
                    let Some(message) = self.messages.get(*index) else {
                        continue;
                    };
                    let result = self.send_single(group, message).await;
                    results.push((*index, result));
                }
                _ => {
                    let carried = self.send_chunk(group, members).await;
                    self.tell(&carried, members, results);
                }
            }
        }
    }

    async fn send_single(self, group: &Group, message: &Message) -> Result<SendReceipt, SendError> {
        let mut options = self.options.clone();
        match (&group.target, &mut options.target) {
            (GroupTarget::Queue(_), Target::Strategy) => {}
            // Chosen already: a selector that is asked again may say something else.
            (GroupTarget::Queue(chosen), target) => *target = chosen.clone(),
            (GroupTarget::Free | GroupTarget::Key, _) => {}
        }
        options.timeout = Some(self.deadline.saturating_duration_since(Instant::now()));
        let entrance = Entrance {
            joins: false,
            is_front: false,
            began: None,
        };
        let send = (self.core).send_single::<TwoWay>(message, &options, &entrance);
        Box::pin(send).await
    }

    /// Sends messages in one request.
    async fn send_chunk(self, group: &Group, members: &[usize]) -> Result<Carried, SendFailure> {
        let core = self.core;
        let messages = || {
            let indices = members.iter();
            indices.filter_map(|index| self.messages.get(*index))
        };
        let Some(first) = messages().next() else {
            return Err(SendFailure::Batch(BatchRule::Empty));
        };
        let is_bound = match group.target {
            GroupTarget::Free => false,
            GroupTarget::Key => core.config.keyed_failover == KeyedFailover::Stay,
            GroupTarget::Queue(_) => true,
        };
        let errand = Errand {
            core,
            topic: first.topic_shared(),
            message: matches!(group.target, GroupTarget::Key).then_some(first),
            target: match &group.target {
                GroupTarget::Queue(target) => target,
                GroupTarget::Free | GroupTarget::Key => &Target::Strategy,
            },
            is_immediate: false,
            sends: members.len(),
            bytes: messages()
                .map(|it| it.body().len() + it.properties().wire_len())
                .sum(),
            began: self.began,
            deadline: self.deadline,
        };
        let mut visit = core.ledger.begin_many(members.len());
        let mut turn = None;
        let mut refusal = None;
        if let Some(lane) = &group.lane {
            match Box::pin(core.take_turn(lane.clone(), Some(errand.start_by()))).await {
                Ok(taken) => turn = Some(taken),
                Err(cause) => refusal = Some(cause),
            }
        }
        if refusal.is_none() {
            let entered = visit.enter(errand.bytes, errand.start_by()).await;
            refusal = entered.err().map(|refusal| core.refused(refusal));
        }
        if let Some(cause) = refusal {
            visit.end(Outcome::Failed(cause.delivery()));
            return Err(cause);
        }
        let mut body =
            BytesMut::with_capacity(messages().map(|it| it.batch_len(None) + ID_ROOM).sum());
        let stamps = core.stamps(members.len());
        for (message, stamp) in messages().zip(&stamps) {
            message.write_batch_member(Some(&stamp.id), &mut body);
        }
        let body = body.freeze();
        let joint = Joint {
            errand,
            body: &body,
            wait: self.wait,
            born: stamps.first().map_or(0, |stamp| stamp.born),
            is_bound,
        };
        let outcome = joint.deliver(turn.as_ref(), &core.cancel).await;
        core.count_batch(members.len());
        if let JointOutcome::Stored(stored) = &outcome {
            let latency = stored.latency(self.began);
            core.metrics.stored_together(latency, members.len());
        }
        if core.config.debug_enabled {
            outcome.log(members.len());
        }
        Pledge { visit, turn }.end(outcome.outcome());
        Ok((outcome, stamps))
    }

    fn tell(
        self,
        carried: &Result<Carried, SendFailure>,
        members: &[usize],
        results: &mut Results,
    ) {
        results.reserve(members.len());
        match carried {
            Ok((outcome, stamps)) => {
                let members = members.iter().zip(stamps).enumerate();
                for (place, (index, stamp)) in members {
                    let Some(message) = self.messages.get(*index) else {
                        continue;
                    };
                    let topic = message.topic_shared();
                    let result = outcome.of(topic, place, stamp, self.began);
                    results.push((*index, result));
                }
            }
            Err(cause) => {
                for index in members {
                    results.push((*index, Err(self.error(*index, cause.clone()))));
                }
            }
        }
    }
}

/// All outputs, in order; so many of the futures at once as may be.
async fn all<F: Future + Send>(futures: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F::Output: Send,
{
    let mut waiting = futures.map(Box::pin);
    let mut outputs = Vec::new();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    std::future::poll_fn(|context| {
        loop {
            while running.len() < PARALLEL {
                let Some(next) = waiting.next() else { break };
                running.push((outputs.len(), next));
                outputs.push(None);
            }
            let before = running.len();
            running.retain_mut(|(place, future)| match future.as_mut().poll(context) {
                Poll::Ready(output) => {
                    if let Some(slot) = outputs.get_mut(*place) {
                        *slot = Some(output);
                    }
                    false
                }
                Poll::Pending => true,
            });
            if running.is_empty() && before == 0 {
                return Poll::Ready(());
            }
            if running.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
