//! Who is in which lane, and whose turn it is: pure.

use std::collections::{BTreeMap, HashMap};
use std::task::Waker;

use super::Lane;

/// Lanes by name. A lane is here only while somebody is in it, or it is stopped.
#[derive(Debug)]
pub(super) struct Table {
    lanes: HashMap<Lane, State>,
    /// Stopped lanes in the order in which they stopped.
    stopped: BTreeMap<u64, Lane>,
    max_stopped: usize,
    /// Numbers for tickets and stops, never used twice.
    next: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct State {
    /// The ticket whose turn it is.
    turn: Option<u64>,
    /// Those behind it, in order of arrival.
    waiting: BTreeMap<u64, Option<Waker>>,
    /// The number of the stop.
    stopped: Option<u64>,
}

/// Where the holder of a ticket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Turn,
    Waiting,
    /// Out, since the lane is stopped.
    Stopped,
    /// Out, since everything is closed.
    Closed,
}

/// What follows from leaving.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Those who have to look again.
    pub(super) wake: Vec<Waker>,
    /// A lane that is no longer stopped because too many are.
    pub(super) forgotten: Option<Lane>,
}

impl Table {
    pub(super) fn new(max_stopped: usize) -> Self {
        Self {
            lanes: HashMap::new(),
            stopped: BTreeMap::new(),
            max_stopped,
            next: 0,
            closed: false,
        }
    }

    /// Joins the end of a lane; the place is learned by a look.
    pub(super) fn join(&mut self, lane: &Lane) -> u64 {
        let ticket = self.number();
        if self.closed {
            return ticket;
        }
        let state = self.lanes.entry(lane.clone()).or_default();
        if state.stopped.is_none() {
            if state.turn.is_none() {
                state.turn = Some(ticket);
            } else {
                state.waiting.insert(ticket, None);
            }
        }
        ticket
    }

    /// Where a ticket is; if it waits, `waker` is called when that changes.
    pub(super) fn look(&mut self, lane: &Lane, ticket: u64, waker: &Waker) -> Place {
        if let Some(state) = self.lanes.get_mut(lane) {
            if state.turn == Some(ticket) {
                return Place::Turn;
            }
            if let Some(waiting) = state.waiting.get_mut(&ticket) {
                *waiting = Some(waker.clone());
                return Place::Waiting;
            }
        }
        if self.closed {
            Place::Closed
        } else {
            Place::Stopped
        }
    }

    /// Leaves a lane from whatever place; with `stop`, and if it had its turn, nobody follows.
    pub(super) fn leave(&mut self, lane: &Lane, ticket: u64, stop: bool) -> Left {
        let mut left = Left::default();
        let number = self.number();
        let Some(state) = self.lanes.get_mut(lane) else {
            return left;
        };
        if state.turn != Some(ticket) {
            state.waiting.remove(&ticket);
            return left;
        }
        state.turn = None;
        if stop {
            let waiting = std::mem::take(&mut state.waiting);
            left.wake.extend(waiting.into_values().flatten());
            state.stopped = Some(number);
            self.stopped.insert(number, lane.clone());
            if self.stopped.len() > self.max_stopped {
                left.forgotten = self.forget();
            }
        } else if let Some((next, waker)) = state.waiting.pop_first() {
            state.turn = Some(next);
            left.wake.extend(waker);
        } else {
            self.lanes.remove(lane);
        }
        left
    }

    /// Lets a stopped lane go on.
    pub(super) fn resume(&mut self, lane: &Lane) -> bool {
        let stopped = self.lanes.get(lane).and_then(|state| state.stopped);
        let Some(number) = stopped else {
            return false;
        };
        self.stopped.remove(&number);
        self.lanes.remove(lane);
        true
    }

    /// Lets the lane go on that was stopped first.
    fn forget(&mut self) -> Option<Lane> {
        let (_, lane) = self.stopped.pop_first()?;
        self.lanes.remove(&lane);
        Some(lane)
    }

    pub(super) fn stopped(&self) -> Vec<Lane> {
        self.stopped.values().cloned().collect()
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        (self.lanes.len(), self.stopped.len())
    }

    /// Sends away all who wait.
    pub(super) fn close(&mut self) -> Vec<Waker> {
        self.closed = true;
        let waiting = self.lanes.values_mut();
        let waiting = waiting.flat_map(|state| std::mem::take(&mut state.waiting).into_values());
        waiting.flatten().collect()
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}
