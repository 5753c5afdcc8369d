//! An automatic batch: its members, and how they learn their outcome.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Rules;
use crate::config::routing::remoting::Message;
use crate::error::SendError;
use crate::ledger::{self, Visit};
use crate::pipeline::joint::JointOutcome;
use crate::pipeline::parcel::Stamp;
use crate::receipt::SendReceipt;

/// The most bytes that a new batch has room for; it grows as needed.
const ROOM_AT_FIRST: usize = 64 * 1024;

/// The members that a new batch has room for; it grows as needed.
const USUAL_MEMBERS: usize = 64;

/// By how much a member may have been called for before the first one: callers overtake each other on their way in.
const OVERTAKEN: Duration = Duration::from_millis(1);

/// Messages that share a request.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) wait: bool,
    /// What every member is given from call to outcome: the same, so that none has to be given up early for another.
    pub(super) timeout: Duration,
    /// When its first member was stamped.
    pub(super) born: i64,
    /// When its first member was called for, and until when that one has time.
    pub(super) began: Instant,
    pub(super) deadline: Instant,
    /// Signalled when it is to leave.
    pub(super) leave: Notify,
    members: Mutex<Members>,
    outcome: OnceLock<JointOutcome>,
}

/// The members of a batch, and what they brought.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) body: BytesMut,
    pub(super) count: usize,
    /// What they count for among the bytes under way.
    pub(super) bytes: usize,
    pub(super) places: ledger::Joint,
    wakers: Vec<Waker>,
}

impl Members {
    fn push(&mut self, entrant: Entrant<'_>, rules: &Rules, waker: &Waker) -> (usize, bool) {
        let message = entrant.message;
        message.write_batch_member(Some(&entrant.stamp.id), &mut self.body);
        self.bytes += message.body().len() + message.properties().wire_len();
        entrant.visit.hand_over(&mut self.places);
        self.wakers.push(waker.clone());
        let index = self.count;
        self.count += 1;
        let is_full = self.count >= rules.messages || self.body.len() >= rules.bytes;
        (index, is_full)
    }
}

/// A message that was taken.
pub(super) struct Entrant<'a> {
    pub(super) visit: Visit<'a>,
    pub(super) message: &'a Message,
    pub(super) stamp: Stamp,
    pub(super) wait: bool,
    pub(super) timeout: Duration,
    pub(super) began: Instant,
    pub(super) deadline: Instant,
}

impl Entrant<'_> {
    /// What it takes in a batch.
    pub(super) fn length(&self) -> usize {
        self.message.batch_len(Some(&self.stamp.id))
    }
}

impl Batch {
    /// A batch that begins with this message, and whether it is full already.
    pub(super) fn begin(
        first: Entrant<'_>,
        length: usize,
        rules: &Rules,
        waker: &Waker,
    ) -> (Self, bool) {
        let mut batch = Self {
            wait: first.wait,
            timeout: first.timeout,
            born: first.stamp.born,
            began: first.began,
            deadline: first.deadline,
            leave: Notify::new(),
            members: Mutex::default(),
            outcome: OnceLock::new(),
        };
        let members = batch.members.get_mut();
        let members = members.unwrap_or_else(PoisonError::into_inner);
        // Others will be like it.
        let room = length.saturating_mul(rules.messages).min(rules.bytes);
        members.body.reserve(room.min(ROOM_AT_FIRST).max(length));
        let usual = rules.messages.min(USUAL_MEMBERS);
        members.wakers.reserve_exact(usual);
        let (_, is_full) = members.push(first, rules, waker);
        (batch, is_full)
    }

    /// Takes a member of so many bytes, if it may be one; returns its place, and whether the batch is full.
    #[expect(
        clippy::result_large_err,
        reason = "an entrant comes back once per batch, and stays on the stack"
    )]
    pub(super) fn add<'a>(
        &self,
        entrant: Entrant<'a>,
        length: usize,
        rules: &Rules,
        waker: &Waker,
    ) -> Result<(usize, bool), Entrant<'a>> {
        // All are given the same time, so that none has to be given up early for another; and one that came late, having
        // waited for its queue, is not held beyond its deadline.
        let is_late = entrant.deadline + OVERTAKEN < self.deadline;
        let is_alike = self.wait == entrant.wait && self.timeout == entrant.timeout && !is_late;
        let mut members = self.lock();
        if is_alike && members.body.len() + length <= rules.bytes {
            Ok(members.push(entrant, rules, waker))
        } else {
            Err(entrant)
        }
    }

    /// What the members brought, for the one who delivers it.
    pub(super) fn take(&self) -> Members {
        let mut guard = self.lock();
        let members = &mut *guard;
        Members {
            body: std::mem::take(&mut members.body),
            count: members.count,
            bytes: members.bytes,
            places: std::mem::take(&mut members.places),
            wakers: Vec::new(),
        }
    }

    /// Tells all members the outcome.
    pub(super) fn tell(&self, outcome: JointOutcome) {
        // Nobody else sets it.
        let _ = self.outcome.set(outcome);
        let wakers = std::mem::take(&mut self.lock().wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// What the member at `index` is told.
    pub(super) fn outcome_of(
        &self,
        topic: &Arc<str>,
        index: usize,
        stamp: &Stamp,
        began: Instant,
    ) -> Result<SendReceipt, SendError> {
        match self.outcome.get() {
            Some(outcome) => outcome.of(topic, index, stamp, began),
            // Not for a member, which has waited until it was there.
            None => JointOutcome::cut().of(topic, index, stamp, began),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the outcome of a batch. Dropped, the message stays in it.
pub(super) struct Member {
    /// Until the outcome is there.
    batch: Option<Arc<Batch>>,
    index: usize,
    /// It entered a moment ago, with the task that polls it now as the one to be woken.
    is_new: bool,
}

impl Member {
    pub(super) const fn new(batch: Arc<Batch>, index: usize) -> Self {
        Self {
            batch: Some(batch),
            index,
            is_new: true,
        }
    }
}

impl Future for Member {
    type Output = (Arc<Batch>, usize);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (is_new, index) = (std::mem::take(&mut self.is_new), self.index);
        let Some(batch) = self.batch.take_if(|batch| {
            !is_new && (batch.outcome.get().is_some() || !batch.stay_awake(index, context))
        }) else {
            return Poll::Pending;
        };
        Poll::Ready((batch, index))
    }
}

impl Batch {
    /// Notes whom to wake for the member at `index`, unless the outcome is there.
    fn stay_awake(&self, index: usize, context: &Context<'_>) -> bool {
        let mut members = self.lock();
        // It is set before the lock is taken to wake all.
        if self.outcome.get().is_some() {
            return false;
        }
        if let Some(waker) = members.wakers.get_mut(index) {
            waker.clone_from(context.waker());
        }
        true
    }
}
