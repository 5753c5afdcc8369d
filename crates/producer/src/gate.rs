//! Admission: a bounded number of sends and of their bytes under way, in order of arrival, until the gate closes.
//!
//! One word holds both counts, so that a send which finds room takes it with one atomic change. Only sends that have
//! to wait, and those that leave while others wait, take the lock of the queue.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// Somebody waits in the queue, so nobody may pass it.
const WAITING: u64 = 1 << 63;
/// Nobody is let in any more.
const CLOSED: u64 = 1 << 62;
/// One send; the bits above those of the bytes count them.
const ONE: u64 = 1 << BYTE_BITS;
const BYTE_BITS: u32 = 41;
const BYTES: u64 = ONE - 1;
const COUNT: u64 = CLOSED - ONE;

/// Why a send was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Closed,
    /// As many sends as allowed are under way.
    TooMany,
    /// As many bytes as allowed are under way.
    TooLarge,
}

/// Lets in at most so many sends with at most so many bytes. On cache lines of its own: every send changes the word
/// twice.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Gate {
    state: AtomicU64,
    limit: u64,
    byte_limit: u64,
    queue: Mutex<Queue>,
    /// Signalled when a place is given back after the gate was closed.
    returned: Notify,
}

/// Those who wait, by their tickets, which are numbered in order of arrival.
#[derive(Debug, Default)]
struct Queue {
    waiting: BTreeMap<u64, Waiter>,
    /// Let in, but not awake yet. Their places are taken already.
    granted: BTreeSet<u64>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Waiter {
    weight: u64,
    waker: Option<Waker>,
}

/// Places among the sends under way, given back when dropped.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    weight: u64,
}

impl Pass<'_> {
    /// Keeps the places; whoever takes the weight gives it back by [`Gate::leave`].
    pub(crate) fn into_weight(self) -> u64 {
        ManuallyDrop::new(self).weight
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.gate.leave(self.weight);
    }
}

impl Gate {
    /// The most sends that a gate can be made for.
    const MAX_LIMIT: u64 = COUNT / ONE;

    pub(crate) fn new(limit: usize, byte_limit: u64) -> Self {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        Self {
            state: AtomicU64::new(0),
            limit: limit.clamp(1, Self::MAX_LIMIT),
            byte_limit: byte_limit.clamp(1, BYTES),
            queue: Mutex::default(),
            returned: Notify::new(),
        }
    }

    /// The bound on sends.
    pub(crate) fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    /// The bound on bytes.
    pub(crate) const fn byte_limit(&self) -> u64 {
        self.byte_limit
    }

    /// Sends under way.
    pub(crate) fn under_way(&self) -> usize {
        usize::try_from(count(self.state.load(SeqCst))).unwrap_or(usize::MAX)
    }

    /// Their bytes.
    pub(crate) fn bytes_under_way(&self) -> u64 {
        self.state.load(SeqCst) & BYTES
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(SeqCst) & CLOSED != 0
    }

    /// Waits until `deadline` for places for so many sends of so many bytes together; more than all that is allowed go
    /// alone. Dropped while waiting, nothing is taken.
    pub(crate) async fn enter(
        &self,
        sends: usize,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Pass<'_>, Refusal> {
        let sends = u64::try_from(sends).unwrap_or(u64::MAX).min(self.limit);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let weight = sends * ONE + bytes.min(self.byte_limit);
        if self.take(weight, WAITING) {
            return Ok(Pass { gate: self, weight });
        }
        let waiting = Waiting::join(self, weight)?;
        match tokio::time::timeout_at(deadline, waiting).await {
            Ok(admitted) => admitted,
            Err(_) if count(self.state.load(SeqCst)) + sends > self.limit => Err(Refusal::TooMany),
            Err(_) => Err(Refusal::TooLarge),
        }
    }

    /// Takes a place if there is one and nobody waits for it.
    pub(crate) fn try_enter(&self, bytes: usize) -> Result<Pass<'_>, Refusal> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let weight = ONE + bytes.min(self.byte_limit);
        if self.take(weight, WAITING) {
            return Ok(Pass { gate: self, weight });
        }
        Err(match self.state.load(SeqCst) {
            state if state & CLOSED != 0 => Refusal::Closed,
            state if count(state) >= self.limit => Refusal::TooMany,
            _ => Refusal::TooLarge,
        })
    }

    /// Admits nobody from now on; those who wait are refused.
    pub(crate) fn close(&self) {
        let waiting = {
            let mut queue = self.lock();
            self.state.fetch_or(CLOSED, SeqCst);
            self.state.fetch_and(!WAITING, SeqCst);
            std::mem::take(&mut queue.waiting)
        };
        let wakers = waiting.into_values().filter_map(|waiter| waiter.waker);
        wakers.for_each(Waker::wake);
    }

    /// Waits until everybody inside has left. The gate must be closed.
    pub(crate) async fn wait_until_empty(&self) {
        loop {
            let returned = self.returned.notified();
            if self.under_way() == 0 {
                return;
            }
            returned.await;
        }
    }

    /// Takes a place if there is one, the gate is open, and none of `unless` is set.
    fn take(&self, weight: u64, unless: u64) -> bool {
        let (sends, bytes) = (count(weight), weight & BYTES);
        let taken = self.state.fetch_update(SeqCst, SeqCst, |state| {
            let free = state & (CLOSED | unless) == 0
                && count(state) + sends <= self.limit
                && (state & BYTES) + bytes <= self.byte_limit;
            free.then(|| state + weight)
        });
        taken.is_ok()
    }

    /// Gives back the places of one pass or of several.
    pub(crate) fn leave(&self, weight: u64) {
        let before = self.state.fetch_sub(weight, SeqCst);
        if before & WAITING != 0 {
            self.change_queue(|_| ());
        }
        if before & CLOSED != 0 {
            self.returned.notify_waiters();
        }
    }

    /// Changes the queue, then lets in all at its head for whom there is room now.
    fn change_queue<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut awake = Vec::new();
        let mut queue = self.lock();
        let changed = change(&mut queue);
        while let Some(first) = queue.waiting.first_entry() {
            if !self.take(first.get().weight, 0) {
                break;
            }
            let (ticket, waiter) = first.remove_entry();
            queue.granted.insert(ticket);
            awake.extend(waiter.waker);
        }
        if queue.waiting.is_empty() {
            self.state.fetch_and(!WAITING, SeqCst);
        }
        drop(queue);
        awake.into_iter().for_each(Waker::wake);
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn count(state: u64) -> u64 {
    (state & COUNT) >> BYTE_BITS
}

/// A send in the queue.
struct Waiting<'a> {
    gate: &'a Gate,
    ticket: u64,
    weight: u64,
    /// It has left the queue, with or without a place.
    done: bool,
}

impl<'a> Waiting<'a> {
    fn join(gate: &'a Gate, weight: u64) -> Result<Self, Refusal> {
        let ticket = gate.change_queue(|queue| {
            // Whoever leaves from here on sees this and looks into the queue; who left before is seen here.
            if gate.state.fetch_or(WAITING, SeqCst) & CLOSED != 0 {
                return None;
            }
            let ticket = queue.next_ticket;
            queue.next_ticket += 1;
            let waker = None;
            queue.waiting.insert(ticket, Waiter { weight, waker });
            Some(ticket)
        });
        Ok(Self {
            gate,
            ticket: ticket.ok_or(Refusal::Closed)?,
            weight,
            done: false,
        })
    }
}

impl<'a> Future for Waiting<'a> {
    type Output = Result<Pass<'a>, Refusal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (gate, weight) = (self.gate, self.weight);
        let mut queue = gate.lock();
        if queue.granted.remove(&self.ticket) {
            drop(queue);
            self.done = true;
            return Poll::Ready(Ok(Pass { gate, weight }));
        }
        match queue.waiting.get_mut(&self.ticket) {
            Some(waiter) => {
                waiter.waker = Some(context.waker().clone());
                Poll::Pending
            }
            None => {
                drop(queue);
                self.done = true;
                Poll::Ready(Err(Refusal::Closed))
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // Behind a large one that gives up there may be room for smaller ones.
        let had_place = self.gate.change_queue(|queue| {
            queue.waiting.remove(&self.ticket);
            queue.granted.remove(&self.ticket)
        });
        if had_place {
            self.gate.leave(self.weight);
        }
    }
}
