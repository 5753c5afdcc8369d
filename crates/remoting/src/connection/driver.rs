//! The task that owns a connection's socket: reading, writing and deadlines advance together.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep};
use tokio_util::io::poll_read_buf;
use tracing::{debug, trace};

use super::Server;
use super::error::CloseReason;
use super::outgoing::Outgoing;
use super::shared::{Answer, Shared, Work};
use super::stats::count;
use crate::command::{RemotingCommand, peek, peek_stored};
use crate::frame::{Bounds, Frame, FrameError, decode_frame};

/// Room made for reads, once less than a quarter of it is left.
const READ_ROOM: usize = 64 * 1024;

/// Reads in a row before writing gets its turn.
const READS_PER_TURN: usize = 8;

/// How long the end of the stream may take to be told to the peer.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(1);

/// Runs a connection until it ends; every pending request has its outcome then, even if the
/// future is dropped before it was ever polled.
pub(super) fn drive<S>(
    stream: S,
    shared: Arc<Shared>,
    server: Server,
    frame_limit: usize,
) -> impl Future<Output = CloseReason> + Send + use<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    // If the task is dropped at a shutdown of its runtime, waiting requests still learn of it.
    let closer = CloseOnDrop(shared);
    run(stream, closer, server, frame_limit)
}

async fn run<S>(stream: S, closer: CloseOnDrop, server: Server, frame_limit: usize) -> CloseReason
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let mut driver = Driver {
        stream,
        shared: Arc::clone(&closer.0),
        server,
        frame_limit,
        incoming: BytesMut::new(),
        answers: Vec::new(),
        keeps_answers: false,
        served: false,
        batch: Outgoing::default(),
        wakers: Vec::new(),
        timer: None,
        gathering: false,
    };
    let reason = poll_fn(|cx| driver.poll(cx)).await;
    debug!(peer = %driver.shared.peer, %reason, "connection closed");
    driver.shared.closed(reason.clone());
    count(&driver.shared.counters.closed_connections, 1);
    // Tells the peer that nothing more comes; it may be gone already, and a stream with bytes of
    // its own to flush (TLS) may wait for a peer that reads nothing.
    let _ = tokio::time::timeout(SHUTDOWN_LIMIT, driver.stream.shutdown()).await;
    reason
}

struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.closed(CloseReason::Local);
    }
}

struct Driver<S> {
    stream: S,
    shared: Arc<Shared>,
    server: Server,
    frame_limit: usize,
    incoming: BytesMut,
    /// Answers of one turn, completed together.
    answers: Vec<Answer>,
    /// A request waits that wants its answer as it comes.
    keeps_answers: bool,
    /// The server has sent a request of its own in this turn.
    served: bool,
    /// Bytes being written.
    batch: Outgoing,
    /// Owners of requests that were completed in this turn.
    wakers: Vec<Waker>,
    timer: Option<Pin<Box<Sleep>>>,
    /// The task has stepped aside once, so that other callers could add their frames.
    gathering: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let turn = self.turn(cx);
        self.wake_owners();
        match turn {
            Ok(()) => Poll::Pending,
            Err(reason) => Poll::Ready(reason),
        }
    }

    fn wake_owners(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        self.read(cx)?;
        // Before the write, so that another thread can already use the answers.
        self.wake_owners();
        let deadline = self.write(cx)?;
        self.expire(deadline, cx);
        Ok(())
    }

    /// Reads what is there, a few buffers at most.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        for _ in 0..READS_PER_TURN {
            if self.incoming.capacity() - self.incoming.len() < READ_ROOM / 4 {
                self.incoming.reserve(READ_ROOM);
            }
            match poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.incoming) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) if self.incoming.is_empty() => {
                    return Err(CloseReason::PeerClosed);
                }
                Poll::Ready(Ok(0)) => {
                    return Err(CloseReason::Protocol(FrameError::UnexpectedEnd));
                }
                Poll::Ready(Ok(bytes)) => {
                    count(&self.shared.counters.bytes_read, bytes);
                    let cut = self.cut_frames();
                    // Answers that came before a bad frame are still good.
                    let served = std::mem::take(&mut self.served);
                    self.shared
                        .complete(&mut self.answers, served, &mut self.wakers);
                    cut.map_err(CloseReason::Protocol)?;
                }
                Poll::Ready(Err(error)) => return Err(CloseReason::Io(Arc::new(error))),
            }
        }
        // More may be there; writing and other tasks come first.
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn cut_frames(&mut self) -> Result<(), FrameError> {
        let mut frames = 0_usize;
        loop {
            frames += self.take_receipts();
            let Some(frame) = decode_frame(&mut self.incoming, self.frame_limit)? else {
                break;
            };
            frames += 1;
            let head = peek(&frame)?;
            if head.is_response() {
                self.answers.push(Answer::Frame(head, frame));
            } else {
                self.serve(frame)?;
                self.served = true;
            }
        }
        count(&self.shared.counters.frames_read, frames);
        Ok(())
    }

    /// Reads receipts where they lie, up to the first frame that is something else; returns how
    /// many.
    fn take_receipts(&mut self) -> usize {
        let (mut receipts, mut taken) = (0, 0);
        while !self.keeps_answers {
            let rest = self.incoming.get(taken..).unwrap_or_default();
            let Ok(Some(bounds)) = Bounds::read(rest, self.frame_limit) else {
                break;
            };
            let header = bounds.header(rest);
            let read = header.and_then(|header| peek_stored(bounds.encoding, header));
            let Some((head, stored)) = read else { break };
            self.answers.push(Answer::Stored(head.opaque, stored));
            receipts += 1;
            taken += bounds.total;
        }
        self.incoming.advance(taken);
        receipts
    }

    /// Hands a request of the server to the handler.
    fn serve(&self, frame: Frame) -> Result<(), FrameError> {
        let request = RemotingCommand::decode(frame)?;
        trace!(peer = %self.shared.peer, code = request.code, "server request");
        count(&self.shared.counters.server_requests, 1);
        let reply = self.server.serve(&request);
        if let Some(reply) = reply.filter(|_| !request.is_oneway()) {
            self.shared.reply(&reply);
        }
        Ok(())
    }

    /// Writes until the socket takes no more or nothing is left; returns the next deadline.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<Option<Instant>, CloseReason> {
        loop {
            let (gathered, keeps) = (self.gathering, &mut self.keeps_answers);
            let work = self.shared.next_work(&mut self.batch, gathered, keeps, cx);
            let deadline = match work {
                Work::Close(reason) => return Err(reason),
                Work::Idle(deadline) => return self.flush(cx).map(|()| deadline),
                Work::Gather(deadline) => {
                    // One trip through the scheduler: callers that are ready to run add their
                    // frames meanwhile, and all leave in one system call.
                    self.gathering = true;
                    cx.waker().wake_by_ref();
                    return Ok(deadline);
                }
                Work::Write(deadline) => deadline,
            };
            self.gathering = false;
            let stream = Pin::new(&mut self.stream);
            let taken = match self.batch.only_slice() {
                Some(slice) => stream.poll_write(cx, slice),
                None => {
                    let mut slices = Outgoing::no_slices();
                    let filled = self.batch.slices(&mut slices);
                    let slices = slices.get(..filled).unwrap_or_default();
                    stream.poll_write_vectored(cx, slices)
                }
            };
            match taken {
                Poll::Pending => return Ok(deadline),
                Poll::Ready(Ok(0)) => {
                    let error = io::Error::from(io::ErrorKind::WriteZero);
                    return Err(CloseReason::Io(Arc::new(error)));
                }
                Poll::Ready(Ok(bytes)) => {
                    self.batch.advance(bytes);
                    count(&self.shared.counters.writes, 1);
                    count(&self.shared.counters.bytes_written, bytes);
                    self.shared.note_written(bytes, &mut self.wakers);
                }
                Poll::Ready(Err(error)) => return Err(CloseReason::Io(Arc::new(error))),
            }
        }
    }

    /// Pushes bytes out that a buffering stream (TLS) still holds.
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(CloseReason::Io(Arc::new(error))),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Ends requests whose deadline has come and arranges to be woken at the next one.
    fn expire(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) {
        let Some(deadline) = deadline else { return };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        // A timer that comes too early is left alone: one needless turn is cheaper than to set it
        // anew with every answer.
        if timer.is_elapsed() || deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        if timer.as_mut().poll(cx).is_ready() {
            self.shared
                .expire(Instant::now(), &mut self.batch, &mut self.wakers);
            // The next turn finds the next deadline, or that the time to close has come.
            cx.waker().wake_by_ref();
        }
    }
}
