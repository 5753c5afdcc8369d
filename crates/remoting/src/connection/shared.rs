//! What callers and the connection's task share, behind one short lock.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::{CloseReason, RequestError, RequestFailure};
use super::outgoing::Outgoing;
use super::pending::{Completion, Ends, Matched, Outcome, Pending, Wants};
use super::sign::{Sign, Watch};
use super::silence::Silence;
use super::stats::{Counters, count};
use super::withdrawn::Withdrawn;
use super::{ConnectionOptions, Response};
use crate::auth::Signer;
use crate::code::ResponseCode;
use crate::command::{CommandHead, RemotingCommand, RequestMode, encode_request};
use crate::delivery::Delivery;
use crate::frame::{Frame, FrameError, HeaderEncoding};
use crate::header::RequestHeader;
use crate::hook::RequestHooks;
use crate::protocol::StoredMessage;

/// How long a closing connection may still write what it was given.
const CLOSE_LINGER: Duration = Duration::from_secs(1);

pub(super) struct Shared {
    pub(super) peer: Arc<str>,
    pub(super) counters: Arc<Counters>,
    /// Signalled when written bytes have made room.
    pub(super) room: Notify,
    /// What is done to requests before they are entered, if anything is.
    pub(super) extras: Option<Box<Extras>>,
    encoding: HeaderEncoding,
    max_pending: usize,
    max_unsent: usize,
    /// Copy of "state.phase is open", so that asking costs no lock.
    open: AtomicBool,
    /// The peer has sent a frame that is no GO_AWAY.
    heard: AtomicBool,
    /// Who is told about the peer.
    watch: Option<Watch>,
    ends: Ends,
    state: Mutex<State>,
}

/// What is done to a request on its way, beside encoding it.
pub(super) struct Extras {
    pub(super) hooks: RequestHooks,
    /// What every request names in fields of its own.
    pub(super) namespace: Option<Arc<str>>,
    pub(super) signer: Option<Signer>,
}

impl Extras {
    fn of(options: &ConnectionOptions) -> Option<Box<Self>> {
        let ConnectionOptions {
            request_hooks,
            namespace,
            signer,
            ..
        } = options;
        let is_plain = request_hooks.is_empty() && namespace.is_none() && signer.is_none();
        (!is_plain).then(|| {
            Box::new(Self {
                hooks: request_hooks.clone(),
                namespace: namespace.clone(),
                signer: signer.clone(),
            })
        })
    }
}

struct State {
    phase: Phase,
    pending: Pending,
    silence: Silence,
    outgoing: Outgoing,
    /// Bytes ever appended, hence where the next frame begins in the stream.
    appended: u64,
    /// Bytes the operating system has taken, or that were taken back.
    written: u64,
    /// Frames that were taken back, and whose place in the stream is not reached yet.
    withdrawn: Withdrawn,
    /// Ends of one-way frames, in order, with the request to complete once written.
    oneway_ends: VecDeque<(u64, i32)>,
    /// The task, taken by whoever wakes it; it registers again in each turn.
    task: Option<Waker>,
    /// The task has nothing to write, so new frames must wake it. While it waits for the socket
    /// they need not.
    is_idle: bool,
    /// When the task looks at deadlines again; a request with an earlier one must wake it.
    alarm: Option<Instant>,
    /// Someone waits for [`Shared::room`].
    wants_room: bool,
}

impl State {
    /// Bytes that wait to be written.
    fn unsent(&self) -> u64 {
        let distance = self.appended.saturating_sub(self.written);
        distance.saturating_sub(self.withdrawn.len())
    }

    /// Takes unwritten frames back, from what is being written and from what comes after it.
    fn withdraw(&mut self, frames: Vec<Range<u64>>, batch: &mut Outgoing) {
        let mut ends: Vec<u64> = frames.iter().map(|frame| frame.end).collect();
        ends.sort_unstable();
        self.oneway_ends
            .retain(|(end, _)| ends.binary_search(end).is_err());
        let places = self.withdrawn.add(frames, self.written);
        let place = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
        let mut later: Vec<_> = places
            .into_iter()
            .map(|range| place(range.start)..place(range.end))
            .collect();
        // No frame lies in both.
        let first = later.partition_point(|range| range.start < batch.len());
        let mut now = later;
        later = now.split_off(first);
        for range in &mut later {
            *range = range.start.saturating_sub(batch.len())..range.end.saturating_sub(batch.len());
        }
        batch.cut(&now);
        self.outgoing.cut(&later);
        self.written = self.withdrawn.pass(self.written, 0);
    }
}

enum Phase {
    Open,
    /// GO_AWAY was received: what is pending may finish, nothing new is taken.
    Draining,
    /// No request waits after GO_AWAY, the last handle has gone, or close was asked for;
    /// unwritten bytes may leave until then.
    Closing {
        until: Instant,
        reason: CloseReason,
    },
    Closed(Arc<CloseReason>),
    /// The peer sent something that cannot be read.
    Distrusted(FrameError),
}

impl Phase {
    /// Why no request is taken, if so.
    fn refusal(&self) -> Option<Arc<CloseReason>> {
        match self {
            Self::Open => None,
            Self::Draining => Some(Arc::new(CloseReason::GoAway)),
            Self::Closing { reason, .. } => Some(Arc::new(reason.clone())),
            Self::Closed(reason) => Some(Arc::clone(reason)),
            Self::Distrusted(error) => Some(Arc::new(CloseReason::Protocol(error.clone()))),
        }
    }
}

/// Whether a request found room.
pub(super) enum Submitted {
    Entered {
        opaque: i32,
        /// How many requests of the connection had ended by then.
        ends: u64,
    },
    NoRoom,
}

/// An answer that was read.
pub(super) enum Answer {
    Frame(CommandHead, Frame),
    /// The receipt of the request with this number.
    Stored(i32, StoredMessage),
}

/// What the task finds when it looks for work.
pub(super) enum Work {
    /// The connection is to end, with this reason.
    Close(CloseReason),
    /// Nothing more to write for now; wake up at the deadline at the latest.
    Idle(Option<Instant>),
    /// Bytes wait, but more may be added if the task steps aside once.
    Gather(Option<Instant>),
    /// The batch holds bytes to write.
    Write(Option<Instant>),
}

impl Shared {
    pub(super) fn new(
        peer: Arc<str>,
        options: &ConnectionOptions,
        counters: Arc<Counters>,
        watch: Option<Watch>,
    ) -> Self {
        let max_pending = options.max_pending.max(1);
        let pending = Pending::new(max_pending);
        Self {
            peer,
            counters,
            room: Notify::new(),
            extras: Extras::of(options),
            encoding: options.header_encoding,
            max_pending,
            max_unsent: options.max_unsent.as_usize(),
            open: AtomicBool::new(true),
            heard: AtomicBool::new(false),
            watch,
            ends: pending.ends().clone(),
            state: Mutex::new(State {
                phase: Phase::Open,
                pending,
                silence: Silence::default(),
                outgoing: Outgoing::default(),
                appended: 0,
                written: 0,
                withdrawn: Withdrawn::default(),
                oneway_ends: VecDeque::new(),
                task: None,
                is_idle: false,
                alarm: None,
                wants_room: false,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, the state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(super) fn heard(&self) -> bool {
        self.heard.load(Ordering::Acquire)
    }

    pub(super) fn refusal(&self) -> Option<Arc<CloseReason>> {
        self.lock().phase.refusal()
    }

    pub(super) fn pending(&self) -> usize {
        self.lock().pending.waiting()
    }

    pub(super) fn error(&self, delivery: Delivery, failure: RequestFailure) -> RequestError {
        RequestError::new(Arc::clone(&self.peer), delivery, failure)
    }

    /// Encodes a request into the write buffer and enters it into the pending table, with the
    /// owner to be woken when it has its outcome.
    pub(super) fn submit<H: RequestHeader>(
        &self,
        header: &H,
        body: &Bytes,
        wants: Wants,
        deadline: Instant,
        owner: &Waker,
    ) -> Result<Submitted, RequestError> {
        let mode = match wants {
            Wants::Answer | Wants::Receipt => RequestMode::TwoWay,
            Wants::Written => RequestMode::OneWay,
        };
        let mut guard = self.lock();
        let state = &mut *guard;
        if let Some(reason) = state.phase.refusal() {
            let failure = RequestFailure::ConnectionLost(reason);
            return Err(self.error(Delivery::NotSent, failure));
        }
        let unsent = usize::try_from(state.unsent()).unwrap_or(usize::MAX);
        if unsent > 0 && unsent.saturating_add(body.len()) > self.max_unsent {
            state.wants_room = true;
            return Ok(Submitted::NoRoom);
        }
        let opaque = state.pending.reserve().map_err(|_| {
            let limit = self.max_pending;
            self.error(Delivery::NotSent, RequestFailure::PendingFull { limit })
        })?;
        let tail = state.outgoing.tail(body.len());
        let before = tail.len();
        encode_request(header, opaque, mode, self.encoding, body.len(), tail)
            .map_err(|error| self.error(Delivery::NotSent, RequestFailure::Frame(error)))?;
        let frame = state.outgoing.append_body(before, body);
        let owner = Some(owner.clone());
        let frame = state.appended..state.appended.saturating_add(frame as u64);
        state.appended = frame.end;
        state.pending.insert(frame, deadline, wants, owner);
        if mode == RequestMode::OneWay {
            state.oneway_ends.push_back((state.appended, opaque));
        }
        let mut wakes = std::mem::take(&mut state.is_idle);
        if state.alarm.is_none_or(|alarm| deadline < alarm) {
            // The task may wait for the socket until a later time than this.
            state.alarm = Some(deadline);
            wakes = true;
        }
        let task = if wakes { state.task.take() } else { None };
        let ends = self.ends.count();
        drop(guard);
        wake(task);
        Ok(Submitted::Entered { opaque, ends })
    }

    /// Whether no request has ended since this many had.
    pub(super) fn is_unchanged_since(&self, ends: u64) -> bool {
        self.ends.count() == ends
    }

    pub(super) fn poll_outcome(&self, opaque: i32, cx: &Context<'_>) -> Poll<Outcome> {
        self.lock().pending.poll(opaque, cx)
    }

    pub(super) fn forget(&self, opaque: i32) {
        let mut state = self.lock();
        state.pending.remove(opaque);
        // A draining connection may have waited for just this one.
        let task = match state.phase {
            Phase::Draining => state.task.take(),
            _ => None,
        };
        drop(state);
        wake(task);
    }

    /// Asks the task to end once everything handed over is written.
    pub(super) fn request_close(&self) {
        self.leave(|phase| match phase {
            Phase::Open | Phase::Draining => Some(Phase::Closing {
                until: Instant::now() + CLOSE_LINGER,
                reason: CloseReason::Local,
            }),
            _ => None,
        });
    }

    /// Asks the task to end at once, because what the peer says cannot be read.
    pub(super) fn distrust(&self, error: FrameError) {
        self.leave(|phase| match phase {
            Phase::Closed(_) | Phase::Distrusted(_) => None,
            _ => Some(Phase::Distrusted(error)),
        });
    }

    /// Changes to a phase without new requests, if `next` gives one, and wakes the task.
    fn leave(&self, next: impl FnOnce(&Phase) -> Option<Phase>) {
        let mut state = self.lock();
        if let Some(phase) = next(&state.phase) {
            state.phase = phase;
            self.open.store(false, Ordering::Release);
        }
        let task = state.task.take();
        drop(state);
        // Those who wait for room can go elsewhere at once.
        self.room.notify_waiters();
        wake(task);
    }

    /// Answers a request of the server. Dropped if the peer does not even read what it was sent.
    pub(super) fn reply(&self, reply: &RemotingCommand) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.outgoing.len() > self.max_unsent {
            return;
        }
        let tail = state.outgoing.tail(reply.body.len());
        let before = tail.len();
        if reply.encode(self.encoding, tail).is_err() {
            return;
        }
        let frame = state.outgoing.append_body(before, &Bytes::new());
        state.appended = state.appended.saturating_add(frame as u64);
    }

    /// Gives answers to the requests they belong to, all under one lock. `served` says that the
    /// peer also sent requests of its own.
    pub(super) fn complete(
        &self,
        answers: &mut Vec<Answer>,
        served: bool,
        wakers: &mut Vec<Waker>,
    ) {
        if answers.is_empty() && !served {
            return;
        }
        let mut unmatched = 0_usize;
        let mut leaving = false;
        let proof = served
            || answers.iter().any(|answer| match answer {
                Answer::Frame(head, _) => head.code != ResponseCode::GO_AWAY.0,
                Answer::Stored(..) => true,
            });
        let mut state = self.lock();
        let mut is_news = state.silence.heard();
        if proof && !self.heard.load(Ordering::Relaxed) {
            // Before GO_AWAY closes the connection to new requests: whoever sees it closed also
            // sees that it was good.
            self.heard.store(true, Ordering::Release);
            is_news = true;
        }
        for answer in answers.drain(..) {
            let (opaque, completion) = match answer {
                Answer::Stored(opaque, stored) => (opaque, Completion::Stored(stored)),
                Answer::Frame(head, frame) => {
                    if head.code == ResponseCode::GO_AWAY.0 {
                        count(&self.counters.go_aways, 1);
                        if matches!(state.phase, Phase::Open) {
                            state.phase = Phase::Draining;
                            self.open.store(false, Ordering::Release);
                            leaving = true;
                        }
                    }
                    let response = Response::new(head, frame);
                    (head.opaque, Completion::Answered(response))
                }
            };
            match state.pending.complete(opaque, Ok(completion)) {
                Matched::Completed(waker) => wakers.extend(waker),
                Matched::Nobody => unmatched += 1,
            }
        }
        drop(state);
        if is_news && proof {
            self.tell(Sign::Heard);
        }
        if leaving {
            self.tell(Sign::Leaving);
            // Those who wait for room can go elsewhere at once.
            self.room.notify_waiters();
        }
        if unmatched > 0 {
            count(&self.counters.unmatched_responses, unmatched);
        }
    }

    /// Notes that `count` more bytes were taken, completing one-way requests.
    pub(super) fn note_written(&self, bytes: usize, wakers: &mut Vec<Waker>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.written = state.withdrawn.pass(state.written, bytes as u64);
        while let Some(&(end, opaque)) = state.oneway_ends.front() {
            if end > state.written {
                break;
            }
            state.oneway_ends.pop_front();
            match state.pending.complete(opaque, Ok(Completion::Written)) {
                Matched::Completed(waker) => wakers.extend(waker),
                Matched::Nobody => {}
            }
        }
        if std::mem::take(&mut state.wants_room) {
            self.room.notify_waiters();
        }
    }

    /// Ends requests that reached their deadline, and notes if the peer has been silent for long.
    ///
    /// Frames of which no byte has left are taken back, from `batch` too, which holds what is being written. So their
    /// requests certainly were not sent, and a peer that reads again later does not get what nobody waits for.
    pub(super) fn expire(&self, now: Instant, batch: &mut Outgoing, wakers: &mut Vec<Waker>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let is_silent =
            (self.watch.as_ref()).is_some_and(|watch| state.silence.begins(now, watch.limit.get()));
        if is_silent {
            state.pending.excuse();
        }
        let error = |delivery| self.error(delivery, RequestFailure::DeadlineExceeded);
        let mut unwritten = Vec::new();
        let expired = (state.pending).expire(now, state.written, error, &mut unwritten, wakers);
        if !unwritten.is_empty() {
            state.withdraw(unwritten, batch);
            if std::mem::take(&mut state.wants_room) {
                self.room.notify_waiters();
            }
        }
        drop(guard);
        count(&self.counters.timeouts, expired);
        if is_silent {
            count(&self.counters.silences, 1);
            self.tell(Sign::Silent);
        }
    }

    fn tell(&self, sign: Sign) {
        if let Some(watch) = &self.watch {
            watch.observer.noticed(sign);
        }
    }

    /// Looks for work: moves unsent bytes into `batch` if it is empty, or else registers the task
    /// to be woken. `gathered` says that the task has just stepped aside for more bytes.
    ///
    /// `keeps_answers` is set if a request waits that wants its answer as it comes. None is
    /// answered before it is written, so whoever writes knows of it in time.
    pub(super) fn next_work(
        &self,
        batch: &mut Outgoing,
        gathered: bool,
        keeps_answers: &mut bool,
        cx: &Context<'_>,
    ) -> Work {
        let mut state = self.lock();
        state.is_idle = false;
        *keeps_answers = state.pending.wants_answer();
        match &mut state.task {
            Some(task) => task.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        if matches!(state.phase, Phase::Draining) && state.pending.waiting() == 0 {
            // Bytes that nobody waits for any more must not keep the connection.
            state.phase = Phase::Closing {
                until: Instant::now() + CLOSE_LINGER,
                reason: CloseReason::GoAway,
            };
        }
        let mut deadline = state.pending.next_deadline();
        if let Some(watch) = &self.watch {
            let asking = state.pending.is_asking();
            let look = state
                .silence
                .next_look(asking, watch.limit.get(), Instant::now);
            deadline = deadline.into_iter().chain(look).min();
        }
        match &state.phase {
            Phase::Closing { until, reason } => {
                let spent = batch.is_empty() && state.outgoing.is_empty();
                if spent || Instant::now() >= *until {
                    return Work::Close(reason.clone());
                }
                deadline = Some(deadline.map_or(*until, |deadline| deadline.min(*until)));
            }
            Phase::Distrusted(error) => {
                return Work::Close(CloseReason::Protocol(error.clone()));
            }
            Phase::Open | Phase::Draining | Phase::Closed(_) => {}
        }
        state.alarm = deadline;
        if !batch.is_empty() {
            return Work::Write(deadline);
        }
        if !state.outgoing.is_empty() {
            // A lone request is not delayed: nobody else is about to add to it.
            if !gathered && state.pending.waiting() > 1 {
                return Work::Gather(deadline);
            }
            state.outgoing.take_into(batch);
            return Work::Write(deadline);
        }
        state.is_idle = true;
        Work::Idle(deadline)
    }

    /// Ends every request; later ones are refused with the same cause. The first cause holds.
    pub(super) fn closed(&self, reason: CloseReason) {
        let reason = Arc::new(reason);
        let mut wakers = Vec::new();
        self.open.store(false, Ordering::Release);
        let mut guard = self.lock();
        let state = &mut *guard;
        if matches!(state.phase, Phase::Closed(_)) {
            return;
        }
        state.phase = Phase::Closed(Arc::clone(&reason));
        let failure = RequestFailure::ConnectionLost(reason);
        let written = state.written;
        state
            .pending
            .fail_all(&failure, &self.peer, written, &mut wakers);
        state.outgoing = Outgoing::default();
        state.withdrawn = Withdrawn::default();
        state.oneway_ends.clear();
        drop(guard);
        // Those who wait for room find the connection closed.
        self.room.notify_waiters();
        for waker in wakers {
            waker.wake();
        }
    }
}

/// Wakes the task, if it is to be woken.
fn wake(task: Option<Waker>) {
    if let Some(task) = task {
        task.wake();
    }
}
