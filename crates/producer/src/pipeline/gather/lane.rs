//! A lane: what is under way, what gathers, and what waits for its turn.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::batch::{Batch, Entrant, Member};
use super::{Rules, task};
use crate::config::routing::MessageQueue;
use crate::core::Core;

/// Requests of a topic that are under way while a batch that is not full stays back: with one more on its way, the
/// brokers are never idle.
const BUSY: usize = 2;

/// Messages that may share requests.
#[derive(Debug)]
pub(super) struct Lane {
    topic: Arc<str>,
    /// Where all of them go, one request at a time, if it is the lane of a queue.
    queue: Option<MessageQueue>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Requests whose outcome is not known, those that were told to leave included.
    under_way: usize,
    open: Option<Arc<Batch>>,
    /// Whether the open batch was told to leave. It may take members until it does.
    open_leaves: bool,
    /// Batches that wait for their turn, in order.
    ready: VecDeque<Arc<Batch>>,
    /// It was dropped from the lanes, and another one takes its place.
    is_retired: bool,
}

/// How a message goes on.
pub(super) enum Entry<'a> {
    /// By itself, counted as a request under way.
    Alone(Entrant<'a>),
    /// In a batch.
    Member(Member),
    /// In another lane, since this one was dropped.
    Retired(Entrant<'a>),
}

/// What a batch whose waiting is over does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// It waits for its turn.
    Later,
    /// It leaves, and is counted as under way.
    Now,
}

impl Lane {
    pub(super) fn new(topic: Arc<str>, queue: Option<MessageQueue>) -> Arc<Self> {
        let state = Mutex::default();
        Arc::new(Self {
            topic,
            queue,
            state,
        })
    }

    pub(super) const fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    pub(super) const fn queue(&self) -> Option<&MessageQueue> {
        self.queue.as_ref()
    }

    /// Takes a message into the open batch, or lets it go by itself.
    pub(super) fn enter<'a>(
        self: &Arc<Self>,
        core: &Arc<Core>,
        rules: &Rules,
        mut entrant: Entrant<'a>,
        waker: &Waker,
    ) -> Entry<'a> {
        let length = entrant.length();
        let mut state = self.lock();
        if state.is_retired {
            return Entry::Retired(entrant);
        }
        let is_lone = rules.linger.is_zero() && state.is_idle();
        // The copy would cost more than the request.
        let is_large = length > rules.bytes && self.queue.is_none();
        if is_lone || is_large {
            state.under_way += 1;
            return Entry::Alone(entrant);
        }
        if let Some(open) = &state.open {
            entrant = match open.add(entrant, length, rules, waker) {
                Ok((index, is_full)) => {
                    let member = Member::new(Arc::clone(open), index);
                    if is_full {
                        self.close(&mut state);
                    }
                    return Entry::Member(member);
                }
                Err(entrant) => entrant,
            };
            self.close(&mut state);
        }
        let (batch, is_full) = Batch::begin(entrant, length, rules, waker);
        let batch = Arc::new(batch);
        state.open = Some(Arc::clone(&batch));
        state.open_leaves = false;
        if is_full {
            self.close(&mut state);
        } else if rules.linger.is_zero() && self.queue.is_none() && state.under_way < BUSY {
            // It leaves with those that are about to come, woken by the same answer: its task lets them run first. If it
            // waited for the other request, there would be one under way only; on a broker of 5.5.0 that took a fifth of
            // the messages per second with 64 sends at a time and room for all of them in a batch.
            state.open_leaves = true;
            state.under_way += 1;
            batch.leave.notify_one();
        }
        drop(state);
        task::begin(core, Arc::clone(self), Arc::clone(&batch), rules);
        Entry::Member(Member::new(batch, 0))
    }

    /// Lets nobody into the open batch any more; it leaves now, or when its turn comes.
    fn close(&self, state: &mut State) {
        let Some(batch) = state.open.take() else {
            return;
        };
        if std::mem::take(&mut state.open_leaves) {
            return;
        }
        if self.queue.is_some() && (state.under_way > 0 || !state.ready.is_empty()) {
            state.ready.push_back(batch);
        } else {
            state.under_way += 1;
            batch.leave.notify_one();
        }
    }

    /// Has the open batch leave as soon as it may.
    pub(super) fn release(&self) {
        self.close(&mut self.lock());
    }

    /// A batch takes nobody any more, having been told to leave or having waited long enough.
    pub(super) fn depart(&self, batch: &Arc<Batch>) -> Departure {
        let mut state = self.lock();
        if state.open.as_ref().is_some_and(|it| Arc::ptr_eq(it, batch)) {
            self.close(&mut state);
        }
        if state.ready.iter().any(|it| Arc::ptr_eq(it, batch)) {
            Departure::Later
        } else {
            Departure::Now
        }
    }

    /// Takes a batch out of those that wait for their turn, unless its turn has come.
    pub(super) fn withdraw(&self, batch: &Arc<Batch>) -> bool {
        let mut state = self.lock();
        let before = state.ready.len();
        state.ready.retain(|it| !Arc::ptr_eq(it, batch));
        state.ready.len() < before
    }

    /// A request has its outcome, so that others may leave. Returns whether the lane is idle now.
    pub(super) fn ended(&self, rules: &Rules) -> bool {
        let mut state = self.lock();
        state.under_way = state.under_way.saturating_sub(1);
        let is_serial = self.queue.is_some();
        if is_serial && state.under_way == 0 {
            if let Some(next) = state.ready.pop_front() {
                state.under_way = 1;
                next.leave.notify_one();
                return false;
            }
        }
        let most = if is_serial { 1 } else { BUSY };
        if rules.linger.is_zero() && state.under_way < most && !state.open_leaves {
            if let Some(open) = &state.open {
                open.leave.notify_one();
                state.open_leaves = true;
                state.under_way += 1;
            }
        }
        state.is_idle()
    }

    /// Refuses all who come, if the lane is idle.
    pub(super) fn retire(&self) -> bool {
        let mut state = self.lock();
        state.is_retired = state.is_idle();
        state.is_retired
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.under_way == 0 && self.open.is_none() && self.ready.is_empty()
    }
}
