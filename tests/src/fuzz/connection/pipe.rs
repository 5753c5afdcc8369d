//! The stream under a fuzzed connection: takes and gives as many bytes as it is told to.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use rocketmq_producer::remoting::command::peek;
use rocketmq_producer::remoting::{MAX_FRAME_LENGTH, decode_frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How the stream breaks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Break {
    /// The peer writes no more.
    End,
    Read(io::ErrorKind),
    Write(io::ErrorKind),
    WriteZero,
}

/// Both ends of the stream. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    /// Bytes that may still be taken.
    allowed: usize,
    /// Most bytes of one read or write.
    piece: usize,
    to_read: VecDeque<u8>,
    /// Bytes taken that are not yet a whole frame.
    tail: BytesMut,
    /// Number and contents of each request that was taken whole.
    asked: Vec<(i32, u32)>,
    broken: Option<Break>,
    wakers: Vec<Waker>,
}

impl Pipe {
    pub(super) fn new(allowed: usize, piece: usize) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                allowed,
                piece,
                to_read: VecDeque::new(),
                tail: BytesMut::new(),
                asked: Vec::new(),
                broken: None,
                wakers: Vec::new(),
            })),
        }
    }

    pub(super) fn put(&self, bytes: &[u8]) {
        self.change(|inner| inner.to_read.extend(bytes));
    }

    pub(super) fn allow(&self, count: usize) {
        self.change(|inner| inner.allowed = inner.allowed.saturating_add(count));
    }

    pub(super) fn set_piece(&self, piece: usize) {
        self.change(|inner| inner.piece = piece);
    }

    pub(super) fn set_broken(&self, broken: Break) {
        self.change(|inner| inner.broken = Some(broken));
    }

    /// Number and contents of each request that was taken whole.
    pub(super) fn asked(&self) -> Vec<(i32, u32)> {
        self.lock().asked.clone()
    }

    /// Bytes of a frame that was not taken whole.
    pub(super) fn tail(&self) -> usize {
        self.lock().tail.len()
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        change(&mut inner);
        for waker in inner.wakers.drain(..) {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.wakers.push(cx.waker().clone());
        Poll::Pending
    }

    fn take(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        while let Some(frame) =
            decode_frame(&mut self.tail, MAX_FRAME_LENGTH).expect("connections write frames")
        {
            let head = peek(&frame).expect("connections write headers");
            if !head.is_response() {
                let number = frame.body.first_chunk().expect("a number in each body");
                self.asked.push((head.opaque, u32::from_be_bytes(*number)));
            }
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        if let Some(Break::Read(kind)) = inner.broken {
            return Poll::Ready(Err(kind.into()));
        }
        if inner.to_read.is_empty() {
            return match inner.broken {
                Some(Break::End) => Poll::Ready(Ok(())),
                _ => inner.wait(cx),
            };
        }
        let count = inner.piece.min(inner.to_read.len()).min(buffer.remaining());
        let bytes: Vec<u8> = inner.to_read.drain(..count).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        match inner.broken {
            Some(Break::Write(kind)) => return Poll::Ready(Err(kind.into())),
            Some(Break::WriteZero) => return Poll::Ready(Ok(0)),
            _ => {}
        }
        let count = inner.piece.min(inner.allowed).min(bytes.len());
        if count == 0 && !bytes.is_empty() {
            return inner.wait(cx);
        }
        inner.allowed -= count;
        inner.take(bytes.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
