//! The requests of one connection that wait for an outcome: a pure table, driven by the connection.
//!
//! A request's number (`opaque`) runs from 0 to 2³¹ − 1 and its slot is the number modulo the
//! table's size. Numbers therefore repeat only after 2³¹ requests, so a late or duplicate answer
//! finds either an empty slot or another number, never a newer request.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::Response;
use super::error::{RequestError, RequestFailure};
use crate::delivery::Delivery;
use crate::protocol::StoredMessage;

/// Numbers wrap here, so they are never negative on the wire.
const OPAQUE_MASK: u32 = 0x7fff_ffff;

/// Slots of a new table; it doubles when half full.
const INITIAL_SLOTS: usize = 64;

/// How a request ended well.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "one for each thing to want")]
pub enum Completion {
    /// The peer answered.
    Answered(Response),
    /// The broker stored the message: a plain receipt, which did not have to be kept as it came.
    Stored(StoredMessage),
    /// A one-way request has been handed to the operating system whole.
    Written,
}

/// What ends a request well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the ends that a request can have")]
pub enum Wants {
    /// The answer as it comes.
    Answer,
    /// The answer to a send, of which a plain receipt need not be kept as it came: it ends as [`Completion::Stored`]
    /// then.
    Receipt,
    /// The last of its bytes being written. An answer bearing its number is none of its own.
    Written,
}

impl Wants {
    const fn accepts(self, outcome: &Outcome) -> bool {
        match outcome {
            Ok(Completion::Answered(_)) => matches!(self, Self::Answer | Self::Receipt),
            Ok(Completion::Stored(_)) => matches!(self, Self::Receipt),
            Ok(Completion::Written) => matches!(self, Self::Written),
            Err(_) => true,
        }
    }
}

pub(super) type Outcome = Result<Completion, RequestError>;

#[derive(Debug)]
struct Waiting {
    /// Where the request's frame lies in the stream of all bytes of the connection.
    frame: Range<u64>,
    deadline: Instant,
    waker: Option<Waker>,
    wants: Wants,
    /// Left unanswered it shows that the peer is silent: a two-way request that has not shown it
    /// before.
    asks: bool,
}

#[derive(Debug)]
enum State {
    Free,
    Waiting(Waiting),
    /// Boxed errors keep the slot small; the owner has not collected it yet.
    Done(Outcome),
}

#[derive(Debug)]
struct Slot {
    opaque: u32,
    state: State,
}

impl Slot {
    const FREE: Self = Self {
        opaque: 0,
        state: State::Free,
    };
}

/// The table is at its bound.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// What came of an answer.
#[derive(Debug)]
pub(super) enum Matched {
    /// A request took it; its owner is to be woken.
    Completed(Option<Waker>),
    /// No request waits for it: it is late, a duplicate, made up, or bears the number of a one-way
    /// request.
    Nobody,
}

/// How often requests have ended: tells without the table's lock that none has since.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends(Arc<AtomicU64>);

impl Ends {
    /// Who was told of an end has been told of its number too: being woken comes after it.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One writer at a time: whoever holds the table.
    fn note(&mut self) {
        let next = self.count().wrapping_add(1);
        self.0.store(next, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(super) struct Pending {
    slots: Vec<Slot>,
    next: u32,
    occupied: usize,
    waiting: usize,
    /// Those among them that do not ask.
    excused: usize,
    /// Those among them that want their answers as they come.
    wants_answer: usize,
    limit: usize,
    ends: Ends,
    /// No deadline lies before this; it may be too early, since answered requests stay counted.
    earliest: Option<Instant>,
}

impl Pending {
    /// A table of at most `limit` requests.
    pub(super) fn new(limit: usize) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(INITIAL_SLOTS, || Slot::FREE);
        Self {
            slots,
            next: 0,
            occupied: 0,
            waiting: 0,
            excused: 0,
            wants_answer: 0,
            limit,
            ends: Ends::default(),
            earliest: None,
        }
    }

    /// Counts the requests that end, one by one or several at once.
    pub(super) const fn ends(&self) -> &Ends {
        &self.ends
    }

    /// The number the next [`insert`](Self::insert) will give, so that the frame can be encoded
    /// before the request is entered.
    pub(super) fn reserve(&mut self) -> Result<i32, Full> {
        if self.occupied >= self.limit {
            return Err(Full);
        }
        if self.occupied.saturating_mul(2) >= self.slots.len() {
            self.grow();
        }
        // At most half of the slots are taken, so a free one is near.
        while !matches!(self.slot(self.next).state, State::Free) {
            self.next = self.next.wrapping_add(1) & OPAQUE_MASK;
        }
        Ok(self.next as i32)
    }

    /// Enters the request that was numbered by [`reserve`](Self::reserve).
    pub(super) fn insert(
        &mut self,
        frame: Range<u64>,
        deadline: Instant,
        wants: Wants,
        waker: Option<Waker>,
    ) {
        let opaque = self.next;
        let asks = wants != Wants::Written;
        self.next = opaque.wrapping_add(1) & OPAQUE_MASK;
        *self.slot_mut(opaque) = Slot {
            opaque,
            state: State::Waiting(Waiting {
                frame,
                deadline,
                waker,
                wants,
                asks,
            }),
        };
        if !asks {
            self.excused = self.excused.saturating_add(1);
        }
        if wants == Wants::Answer {
            self.wants_answer = self.wants_answer.saturating_add(1);
        }
        self.occupied = self.occupied.saturating_add(1);
        self.waiting = self.waiting.saturating_add(1);
        if self.earliest.is_none_or(|earliest| deadline < earliest) {
            self.earliest = Some(deadline);
        }
    }

    /// Looks for the outcome of a request; taking it frees the slot.
    pub(super) fn poll(&mut self, opaque: i32, cx: &Context<'_>) -> Poll<Outcome> {
        let opaque = opaque as u32;
        let slot = self.slot_mut(opaque);
        match &mut slot.state {
            State::Waiting(waiting) if slot.opaque == opaque => {
                match &mut waiting.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            State::Done(_) if slot.opaque == opaque => {
                let state = std::mem::replace(&mut slot.state, State::Free);
                self.occupied = self.occupied.saturating_sub(1);
                match state {
                    State::Done(outcome) => Poll::Ready(outcome),
                    State::Free | State::Waiting(_) => Poll::Pending,
                }
            }
            // The owner polls only until it has its outcome, and nobody else frees the slot.
            State::Free | State::Waiting(_) | State::Done(_) => Poll::Pending,
        }
    }

    /// Forgets a request whose owner has gone.
    pub(super) fn remove(&mut self, opaque: i32) {
        let opaque = opaque as u32;
        let slot = self.slot_mut(opaque);
        if slot.opaque != opaque {
            return;
        }
        let was = std::mem::replace(&mut slot.state, State::Free);
        match was {
            State::Free => return,
            State::Waiting(waiting) => self.count_out(waiting.asks, waiting.wants),
            State::Done(_) => {}
        }
        self.occupied = self.occupied.saturating_sub(1);
    }

    /// Hands an outcome to the request numbered `opaque`.
    pub(super) fn complete(&mut self, opaque: i32, outcome: Outcome) -> Matched {
        let opaque = opaque as u32;
        let slot = self.slot_mut(opaque);
        match &mut slot.state {
            State::Waiting(waiting) if slot.opaque == opaque && waiting.wants.accepts(&outcome) => {
                let waker = waiting.waker.take();
                let (asked, wants) = (waiting.asks, waiting.wants);
                slot.state = State::Done(outcome);
                self.ends.note();
                self.count_out(asked, wants);
                Matched::Completed(waker)
            }
            State::Free | State::Waiting(_) | State::Done(_) => Matched::Nobody,
        }
    }

    /// Ends every request whose deadline has come. Those whose frame begins at or after `written` never left: their
    /// frames are to be taken back, and go to `unwritten`. Returns how many requests it were.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        written: u64,
        error: impl Fn(Delivery) -> RequestError,
        unwritten: &mut Vec<Range<u64>>,
        wakers: &mut Vec<Waker>,
    ) -> usize {
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return 0;
        }
        self.earliest = None;
        let mut expired = 0_usize;
        for slot in &mut self.slots {
            let State::Waiting(waiting) = &mut slot.state else {
                continue;
            };
            if waiting.deadline <= now {
                if !waiting.asks {
                    self.excused = self.excused.saturating_sub(1);
                }
                if waiting.wants == Wants::Answer {
                    self.wants_answer = self.wants_answer.saturating_sub(1);
                }
                wakers.extend(waiting.waker.take());
                let delivery = if waiting.frame.start >= written {
                    unwritten.push(waiting.frame.clone());
                    Delivery::NotSent
                } else {
                    Delivery::Unknown
                };
                slot.state = State::Done(Err(error(delivery)));
                expired = expired.saturating_add(1);
            } else if self
                .earliest
                .is_none_or(|earliest| waiting.deadline < earliest)
            {
                self.earliest = Some(waiting.deadline);
            }
        }
        self.ends.note();
        self.waiting = self.waiting.saturating_sub(expired);
        expired
    }

    /// Ends every request because the connection is gone. Those whose frame begins at or after
    /// `written`, the number of bytes the operating system took, certainly never left.
    pub(super) fn fail_all(
        &mut self,
        failure: &RequestFailure,
        peer: &Arc<str>,
        written: u64,
        wakers: &mut Vec<Waker>,
    ) {
        for slot in &mut self.slots {
            let State::Waiting(waiting) = &mut slot.state else {
                continue;
            };
            let delivery = if waiting.frame.start >= written {
                Delivery::NotSent
            } else {
                Delivery::Unknown
            };
            wakers.extend(waiting.waker.take());
            let error = RequestError::new(Arc::clone(peer), delivery, failure.clone());
            slot.state = State::Done(Err(error));
        }
        self.ends.note();
        self.waiting = 0;
        self.excused = 0;
        self.wants_answer = 0;
        self.earliest = None;
    }

    /// Whether a request waits that wants its answer as it comes.
    pub(super) fn wants_answer(&self) -> bool {
        self.wants_answer > 0
    }

    /// A request no longer waits.
    fn count_out(&mut self, asked: bool, wants: Wants) {
        self.waiting = self.waiting.saturating_sub(1);
        if !asked {
            self.excused = self.excused.saturating_sub(1);
        }
        if wants == Wants::Answer {
            self.wants_answer = self.wants_answer.saturating_sub(1);
        }
    }

    /// Whether a request waits that shows a silent peer by staying unanswered.
    pub(super) fn is_asking(&self) -> bool {
        self.waiting > self.excused
    }

    /// The requests that wait have shown that the peer is silent; they do not show it again.
    pub(super) fn excuse(&mut self) {
        for slot in &mut self.slots {
            if let State::Waiting(waiting) = &mut slot.state {
                waiting.asks = false;
            }
        }
        self.excused = self.waiting;
    }

    /// A time before which no request expires. It may be the deadline of a request that has long
    /// been answered: one needless look per deadline is cheaper than a timer per request.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.earliest
    }

    /// Requests without an outcome.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    fn index(&self, opaque: u32) -> usize {
        // The length is a power of two.
        (opaque as usize) & self.slots.len().saturating_sub(1)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "index() masks by the table's length"
    )]
    fn slot(&self, opaque: u32) -> &Slot {
        &self.slots[self.index(opaque)]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "index() masks by the table's length"
    )]
    fn slot_mut(&mut self, opaque: u32) -> &mut Slot {
        let index = self.index(opaque);
        &mut self.slots[index]
    }

    fn grow(&mut self) {
        let mut slots = Vec::new();
        slots.resize_with(self.slots.len().saturating_mul(2), || Slot::FREE);
        for slot in std::mem::replace(&mut self.slots, slots) {
            if !matches!(slot.state, State::Free) {
                // Numbers that had slots of their own keep them in a table twice the size.
                let opaque = slot.opaque;
                *self.slot_mut(opaque) = slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::command::CommandHead;
    use crate::frame::{Frame, HeaderEncoding};

    fn answer(opaque: i32) -> Outcome {
        Ok(Completion::Answered(Response::new(
            CommandHead {
                code: 0,
                flag: 1,
                opaque,
            },
            Frame::new(HeaderEncoding::Json, Bytes::new(), Bytes::new()),
        )))
    }

    fn insert(pending: &mut Pending, start: u64, deadline: Instant) -> i32 {
        let opaque = pending.reserve().unwrap();
        pending.insert(start..start + 1, deadline, Wants::Answer, None);
        opaque
    }

    fn poll(pending: &mut Pending, opaque: i32) -> Poll<Outcome> {
        pending.poll(opaque, &Context::from_waker(Waker::noop()))
    }

    fn timeout(delivery: Delivery) -> RequestError {
        RequestError::new(
            Arc::from("peer"),
            delivery,
            RequestFailure::DeadlineExceeded,
        )
    }

    /// How many requests ended, and which frames are to be taken back.
    fn expire(pending: &mut Pending, now: Instant, written: u64) -> (usize, Vec<Range<u64>>) {
        let mut unwritten = Vec::new();
        let mut wakers = Vec::new();
        let expired = pending.expire(now, written, timeout, &mut unwritten, &mut wakers);
        (expired, unwritten)
    }

    #[tokio::test]
    async fn each_request_gets_its_own_answer_whatever_the_order() {
        let mut pending = Pending::new(1000);
        let later = Instant::now() + Duration::from_secs(3);
        let opaques: Vec<i32> = (0..500).map(|n| insert(&mut pending, n, later)).collect();
        for &opaque in opaques.iter().rev() {
            assert!(poll(&mut pending, opaque).is_pending());
            assert!(matches!(
                pending.complete(opaque, answer(opaque)),
                Matched::Completed(Some(_))
            ));
        }
        for &opaque in &opaques {
            let Poll::Ready(Ok(Completion::Answered(response))) = poll(&mut pending, opaque) else {
                panic!("request {opaque} has no answer");
            };
            assert_eq!(response.head().opaque, opaque);
        }
        assert_eq!((pending.occupied, pending.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn an_answer_after_the_slot_was_reused_matches_nobody() {
        let mut pending = Pending::new(1000);
        let later = Instant::now() + Duration::from_secs(3);
        let first = insert(&mut pending, 0, later);
        pending.remove(first);
        for _ in 0..INITIAL_SLOTS - 1 {
            let opaque = insert(&mut pending, 0, later);
            pending.remove(opaque);
        }
        let same_slot = insert(&mut pending, 0, later);
        assert_eq!(pending.index(first as u32), pending.index(same_slot as u32));
        assert!(matches!(
            pending.complete(first, answer(first)),
            Matched::Nobody
        ));
        assert!(poll(&mut pending, same_slot).is_pending());
    }

    #[tokio::test]
    async fn a_duplicate_answer_changes_nothing() {
        let mut pending = Pending::new(10);
        let opaque = insert(&mut pending, 0, Instant::now() + Duration::from_secs(3));
        assert!(matches!(
            pending.complete(opaque, answer(7)),
            Matched::Completed(_)
        ));
        assert!(matches!(
            pending.complete(opaque, answer(8)),
            Matched::Nobody
        ));
        let Poll::Ready(Ok(Completion::Answered(response))) = poll(&mut pending, opaque) else {
            panic!("no answer");
        };
        assert_eq!(response.head().opaque, 7);
        assert!(matches!(
            pending.complete(opaque, answer(9)),
            Matched::Nobody
        ));
    }

    #[tokio::test]
    async fn an_answer_with_the_number_of_a_one_way_request_does_not_make_it_written() {
        let mut pending = Pending::new(10);
        let opaque = pending.reserve().unwrap();
        pending.insert(
            0..1,
            Instant::now() + Duration::from_secs(3),
            Wants::Written,
            None,
        );
        let answered = pending.complete(opaque, answer(opaque));
        assert!(matches!(answered, Matched::Nobody));
        assert!(poll(&mut pending, opaque).is_pending());
        let written = pending.complete(opaque, Ok(Completion::Written));
        assert!(matches!(written, Matched::Completed(_)));
    }

    #[tokio::test]
    async fn a_request_that_nobody_answers_does_not_block_the_numbers_after_it() {
        let mut pending = Pending::new(10);
        let later = Instant::now() + Duration::from_secs(3);
        let stuck = insert(&mut pending, 0, later);
        for _ in 0..10_000 {
            let opaque = insert(&mut pending, 0, later);
            assert_ne!(opaque, stuck);
            pending.remove(opaque);
        }
        assert!(matches!(
            pending.complete(stuck, answer(stuck)),
            Matched::Completed(_)
        ));
    }

    #[tokio::test]
    async fn the_bound_holds_and_is_given_back() {
        let mut pending = Pending::new(100);
        let later = Instant::now() + Duration::from_secs(3);
        let opaques: Vec<i32> = (0..100).map(|n| insert(&mut pending, n, later)).collect();
        assert_eq!(pending.reserve(), Err(Full));
        pending.remove(opaques[50]);
        assert!(pending.reserve().is_ok());
    }

    #[tokio::test]
    async fn deadlines_end_exactly_the_requests_that_reached_them() {
        let mut pending = Pending::new(100);
        let start = Instant::now();
        let soon = insert(&mut pending, 0, start + Duration::from_secs(1));
        let late = insert(&mut pending, 0, start + Duration::from_secs(2));
        assert_eq!(
            pending.next_deadline(),
            Some(start + Duration::from_secs(1))
        );
        assert_eq!(expire(&mut pending, start, 1), (0, vec![]));
        let first = expire(&mut pending, start + Duration::from_secs(1), 1);
        assert_eq!(first, (1, vec![]));
        assert!(matches!(poll(&mut pending, soon), Poll::Ready(Err(_))));
        assert!(poll(&mut pending, late).is_pending());
        assert_eq!(
            pending.next_deadline(),
            Some(start + Duration::from_secs(2))
        );
    }

    #[tokio::test]
    async fn a_deadline_tells_unsent_requests_from_those_that_may_have_left() {
        let mut pending = Pending::new(100);
        let deadline = Instant::now() + Duration::from_secs(1);
        let partly = insert(&mut pending, 99, deadline);
        let unsent = insert(&mut pending, 100, deadline);
        let frame = 100..101;
        assert_eq!(expire(&mut pending, deadline, 100), (2, Vec::from([frame])));
        for (opaque, delivery) in [(partly, Delivery::Unknown), (unsent, Delivery::NotSent)] {
            let Poll::Ready(Err(error)) = poll(&mut pending, opaque) else {
                panic!("request {opaque} has no outcome");
            };
            assert_eq!(error.delivery(), delivery);
        }
    }

    #[tokio::test]
    async fn only_two_way_requests_that_were_not_counted_yet_ask() {
        let mut pending = Pending::new(100);
        let later = Instant::now() + Duration::from_secs(3);
        let oneway = pending.reserve().unwrap();
        pending.insert(0..1, later, Wants::Written, None);
        assert!(!pending.is_asking());
        let first = insert(&mut pending, 0, later);
        assert!(pending.is_asking());
        pending.excuse();
        assert!(!pending.is_asking());
        let second = insert(&mut pending, 0, later);
        assert!(pending.is_asking());
        pending.remove(oneway);
        pending.complete(first, answer(first));
        assert!(pending.is_asking());
        pending.complete(second, answer(second));
        assert!(!pending.is_asking());
        insert(&mut pending, 0, later);
        pending.excuse();
        expire(&mut pending, later, 1);
        assert_eq!((pending.waiting(), pending.excused), (0, 0));
    }

    #[tokio::test]
    async fn a_break_tells_unsent_requests_from_those_that_may_have_left() {
        let mut pending = Pending::new(100);
        let later = Instant::now() + Duration::from_secs(3);
        let written = insert(&mut pending, 0, later);
        let partly = insert(&mut pending, 99, later);
        let unsent = insert(&mut pending, 100, later);
        let mut wakers = Vec::new();
        let failure = RequestFailure::DeadlineExceeded;
        pending.fail_all(&failure, &Arc::from("peer"), 100, &mut wakers);
        for (opaque, delivery) in [
            (written, Delivery::Unknown),
            (partly, Delivery::Unknown),
            (unsent, Delivery::NotSent),
        ] {
            let Poll::Ready(Err(error)) = poll(&mut pending, opaque) else {
                panic!("request {opaque} has no outcome");
            };
            assert_eq!(error.delivery(), delivery);
        }
    }
}
