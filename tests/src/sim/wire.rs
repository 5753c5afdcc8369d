//! One direction of a simulated connection, and the two ends that read and write it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::fuzz::random::Random;

/// Bytes that the two kernels hold for one direction.
const CAPACITY: usize = 64 * 1024;

/// How long bytes are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Latency {
    pub(super) least: Duration,
    pub(super) jitter: Duration,
}

impl Latency {
    /// A network in one building.
    pub(super) const USUAL: Self = Self {
        least: Duration::from_micros(200),
        jitter: Duration::from_micros(800),
    };

    pub(super) fn draw(&self, random: &mut Random) -> Duration {
        let micros = usize::try_from(self.jitter.as_micros()).unwrap_or(usize::MAX);
        self.least + Duration::from_micros(random.below(micros + 1) as u64)
    }
}

/// Bytes under way from one end to the other.
pub(super) struct Wire {
    state: Mutex<State>,
}

struct State {
    random: Random,
    latency: Latency,
    /// What is under way, and when it arrives.
    chunks: VecDeque<(Instant, Bytes)>,
    /// Bytes taken from the writer and not yet read, lost ones included: nobody confirms them.
    held: usize,
    /// When the last of it arrives: nothing overtakes.
    last: Option<Instant>,
    /// The writer has ended the stream; when the reader learns of it.
    end: Option<Instant>,
    /// Both ends learn at once that the connection is gone.
    is_reset: bool,
    /// What is written is lost.
    is_lost: bool,
    /// The process at the reading end does not run.
    reader_stopped: bool,
    /// The process at the writing end does not run.
    writer_stopped: bool,
    /// Nobody will ever read.
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Wire {
    pub(super) fn new(random: Random, latency: Latency) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                random,
                latency,
                chunks: VecDeque::new(),
                held: 0,
                last: None,
                end: None,
                is_reset: false,
                is_lost: false,
                reader_stopped: false,
                writer_stopped: false,
                reader_gone: false,
                reader: None,
                writer: None,
            }),
        })
    }

    pub(super) fn set_latency(&self, latency: Latency) {
        self.lock().latency = latency;
    }

    /// Whatever is written from now on is lost, and with `under_way` what is not yet there, too.
    pub(super) fn lose(&self, under_way: bool) {
        let mut state = self.lock();
        state.is_lost = true;
        if under_way {
            state.chunks.clear();
        }
    }

    pub(super) fn reset(&self) {
        let mut state = self.lock();
        state.is_reset = true;
        state.chunks.clear();
        state.wake();
    }

    pub(super) fn stop_reader(&self, stopped: bool) {
        let mut state = self.lock();
        state.reader_stopped = stopped;
        state.wake();
    }

    pub(super) fn stop_writer(&self, stopped: bool) {
        let mut state = self.lock();
        state.writer_stopped = stopped;
        state.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }

    fn arrival(&mut self) -> Instant {
        let due = Instant::now() + self.latency.draw(&mut self.random);
        let due = self.last.map_or(due, |last| last.max(due));
        self.last = Some(due);
        due
    }

    /// Takes a part of `bytes`, cut at a random place more often than not.
    fn write(&mut self, bytes: &[u8], cx: &Context<'_>) -> Poll<io::Result<usize>> {
        if self.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY.saturating_sub(self.held);
        if self.writer_stopped || (room == 0 && !bytes.is_empty()) {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = bytes.len().min(room);
        let count = if most > 1 && self.random.one_in(4) {
            1 + self.random.below(most)
        } else {
            most
        };
        let taken = bytes.get(..count).unwrap_or_default();
        if !self.reader_gone {
            self.held += count;
            if !self.is_lost {
                let due = self.arrival();
                self.chunks.push_back((due, Bytes::copy_from_slice(taken)));
                if let Some(reader) = self.reader.take() {
                    reader.wake();
                }
            }
        }
        Poll::Ready(Ok(count))
    }

    /// What is there for the reader, or when it may be.
    fn read(&mut self, buffer: &mut ReadBuf<'_>) -> Result<Read, io::Error> {
        if self.is_reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if self.reader_stopped {
            return Ok(Read::Wait(None));
        }
        let now = Instant::now();
        match self.chunks.front_mut() {
            Some((due, bytes)) if *due <= now => {
                let most = bytes.len().min(buffer.remaining());
                let count = if most > 1 && self.random.one_in(4) {
                    1 + self.random.below(most)
                } else {
                    most
                };
                buffer.put_slice(bytes.get(..count).unwrap_or_default());
                bytes.advance(count);
                if bytes.is_empty() {
                    self.chunks.pop_front();
                }
                self.held = self.held.saturating_sub(count);
                if let Some(writer) = self.writer.take() {
                    writer.wake();
                }
                Ok(Read::Done)
            }
            Some((due, _)) => Ok(Read::Wait(Some(*due))),
            None => match self.end {
                Some(end) if end <= now => Ok(Read::Done),
                end => Ok(Read::Wait(end)),
            },
        }
    }

    fn end(&mut self) {
        if self.end.is_none() {
            let due = self.arrival();
            // The end gets lost like anything else; the writer cannot tell.
            self.end = Some(if self.is_lost {
                due + Duration::from_secs(1 << 30)
            } else {
                due
            });
            self.wake();
        }
    }
}

enum Read {
    /// Bytes are in the buffer, or none, which is the end.
    Done,
    Wait(Option<Instant>),
}

/// One end of a simulated connection.
pub(super) struct End {
    incoming: Arc<Wire>,
    outgoing: Arc<Wire>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Counts the ends that are open.
    open: Option<Arc<AtomicUsize>>,
}

impl End {
    pub(super) fn new(
        incoming: Arc<Wire>,
        outgoing: Arc<Wire>,
        open: Option<Arc<AtomicUsize>>,
    ) -> Self {
        if let Some(open) = &open {
            open.fetch_add(1, Relaxed);
        }
        Self {
            incoming,
            outgoing,
            timer: None,
            open,
        }
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").finish_non_exhaustive()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.outgoing.lock().end();
        let mut incoming = self.incoming.lock();
        incoming.reader_gone = true;
        incoming.held = 0;
        incoming.chunks.clear();
        incoming.wake();
        if let Some(open) = &self.open {
            open.fetch_sub(1, Relaxed);
        }
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let due = {
                let mut incoming = this.incoming.lock();
                match incoming.read(buffer)? {
                    Read::Done => return Poll::Ready(Ok(())),
                    Read::Wait(due) => {
                        incoming.reader = Some(cx.waker().clone());
                        due
                    }
                }
            };
            let Some(due) = due else {
                return Poll::Pending;
            };
            let timer = this
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.outgoing.lock().write(bytes, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.lock().end();
        Poll::Ready(Ok(()))
    }
}
