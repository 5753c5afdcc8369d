//! One connection: requests of many callers, multiplexed over one socket that one task owns.
//!
//! Callers encode their frame straight into a shared buffer under a short lock and wait in the
//! pending table; the task ([`driver`]) swaps the buffer out and writes it, so the frames of many
//! callers leave in one system call. Nothing holds the lock across a system call or an `.await`.
//!
//! Every request has exactly one outcome: answered, or failed with a [`RequestError`] that says
//! whether a byte of it may have left.

mod completed;
mod driver;
mod error;
mod exchange;
mod handler;
mod options;
mod outgoing;
mod pending;
mod shared;
mod sign;
mod silence;
mod stats;
#[cfg(test)]
mod tests;
mod withdrawn;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

pub use self::error::{CloseReason, ConnectError, ConnectFailure, RequestError, RequestFailure};
pub use self::exchange::InFlight;
pub use self::handler::{ConnectionHandler, NoConsumer};
pub use self::options::ConnectionOptions;
pub use self::pending::{Completion, Wants};
use self::shared::Shared;
pub(crate) use self::sign::{Observer, Sign, Watch};
pub(crate) use self::silence::SilenceLimit;
pub use self::stats::NetworkStats;
pub(crate) use self::stats::{Counters, count};
use crate::code::ResponseCode;
use crate::command::{CommandHead, RemotingCommand};
use crate::frame::{Frame, FrameError};
use crate::header::RequestHeader;

/// The answer to a request, its header still encoded.
#[derive(Debug, Clone)]
pub struct Response {
    head: CommandHead,
    frame: Frame,
}

impl Response {
    pub(crate) const fn new(head: CommandHead, frame: Frame) -> Self {
        Self { head, frame }
    }

    /// How the request ended.
    #[must_use]
    pub const fn code(&self) -> ResponseCode {
        ResponseCode(self.head.code)
    }

    /// Code, flag and number of the answer.
    #[must_use]
    pub const fn head(&self) -> CommandHead {
        self.head
    }

    /// The frame as it came, for typed readers such as
    /// [`SendMessageResponseHeader`](crate::protocol::SendMessageResponseHeader).
    #[must_use]
    pub const fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The body, possibly empty.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.frame.body
    }

    /// Decodes every field of the answer.
    ///
    /// # Errors
    /// A [`FrameError`] if a field is malformed.
    pub fn command(&self) -> Result<RemotingCommand, FrameError> {
        RemotingCommand::decode(self.frame.clone())
    }

    /// The remark, if there is one that can be read.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        self.command().ok()?.remark
    }
}

/// A handle to an open connection. Clones share the connection; it closes when the last handle is
/// dropped, after the bytes that were already handed over have been written.
#[derive(Clone)]
pub struct Connection {
    handle: Arc<Handle>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.handle.shared.peer)
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}

/// Serves the requests of the other side.
struct Server {
    handler: Arc<dyn ConnectionHandler>,
    /// Not kept alive by the task: the connection ends with its last user.
    handle: Weak<Handle>,
}

impl Server {
    /// The answer to a request; none either when nobody uses the connection any more.
    fn serve(&self, request: &RemotingCommand) -> Option<RemotingCommand> {
        let handle = self.handle.upgrade()?;
        self.handler.handle_request(&Connection { handle }, request)
    }
}

/// Ends the connection's task when the last user has gone.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.request_close();
    }
}

impl Connection {
    /// Takes over a connected stream. The returned future is the connection's task: it does all
    /// reading and writing and must be spawned; it ends when the connection does.
    ///
    /// `peer` names the other side in errors. The pool calls this; it is public for streams of
    /// other kinds (a proxy, an in-memory pipe in a test).
    pub fn new<S>(
        stream: S,
        peer: Arc<str>,
        options: &ConnectionOptions,
        handler: Arc<dyn ConnectionHandler>,
    ) -> (Self, impl Future<Output = CloseReason> + Send + use<S>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        Self::watched(stream, peer, options, handler, Arc::default(), None)
    }

    /// Takes over a stream of a pool, which counts and watches.
    pub(crate) fn watched<S>(
        stream: S,
        peer: Arc<str>,
        options: &ConnectionOptions,
        handler: Arc<dyn ConnectionHandler>,
        counters: Arc<Counters>,
        watch: Option<Watch>,
    ) -> (Self, impl Future<Output = CloseReason> + Send + use<S>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let shared = Arc::new(Shared::new(peer, options, counters, watch));
        let handle = Arc::new(Handle {
            shared: Arc::clone(&shared),
        });
        let server = Server {
            handler,
            handle: Arc::downgrade(&handle),
        };
        let driver = driver::drive(stream, shared, server, options.frame_limit());
        (Self { handle }, driver)
    }

    /// The address of the other side.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.handle.shared.peer
    }

    /// Whether new requests are taken: not after the connection broke, was closed, or was told
    /// GO_AWAY.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.handle.shared.is_open()
    }

    /// Whether the peer has sent a frame that is no GO_AWAY.
    pub(crate) fn heard(&self) -> bool {
        self.handle.shared.heard()
    }

    /// Why it takes no new requests, if so.
    pub(crate) fn end(&self) -> Option<Arc<CloseReason>> {
        self.handle.shared.refusal()
    }

    /// How many handles there are.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.handle)
    }

    /// Requests that wait for an answer.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.handle.shared.pending()
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// A [`RequestError`] if no answer came before `deadline`; it says whether a byte of the
    /// request may have left. An answer with a failure code is `Ok`.
    ///
    /// # Cancel safety
    /// Dropped before the first poll, nothing is sent. Dropped later, the request may be sent and
    /// its answer is ignored.
    pub async fn request<H: RequestHeader + Sync>(
        &self,
        header: &H,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<Response, RequestError> {
        match self.exchange(header, body, Wants::Answer, deadline).await? {
            Completion::Answered(response) => Ok(response),
            Completion::Stored(_) | Completion::Written => Err(self.no_answer()),
        }
    }

    /// The error of a request that ended with something else than it wants. That cannot be: the table completes a
    /// request with what it wants only.
    #[cold]
    #[must_use]
    pub fn no_answer(&self) -> RequestError {
        let failure = RequestFailure::DeadlineExceeded;
        self.handle.shared.error(crate::Delivery::Unknown, failure)
    }

    /// Sends a one-way request and waits until the operating system has taken all of its bytes.
    ///
    /// # Errors
    /// A [`RequestError`] if that did not happen before `deadline`.
    ///
    /// # Cancel safety
    /// Dropped before the first poll, nothing is sent. Dropped later, the request may be sent.
    pub async fn oneway<H: RequestHeader + Sync>(
        &self,
        header: &H,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<(), RequestError> {
        self.exchange(header, body, Wants::Written, deadline)
            .await?;
        Ok(())
    }

    /// Stops taking requests and closes the connection once everything handed over is written.
    /// Requests that still wait fail with [`CloseReason::Local`].
    pub fn close(&self) {
        self.handle.shared.request_close();
    }

    /// Does what [`close`](Self::close) does, without being a handle that keeps the connection.
    pub(crate) fn closer(&self) -> impl FnOnce() + Send + use<> {
        let shared = Arc::clone(&self.handle.shared);
        move || shared.request_close()
    }

    /// Closes the connection because an answer on it could not be read, so that nothing that
    /// follows can be trusted. Requests that still wait fail with [`CloseReason::Protocol`].
    pub fn distrust(&self, error: FrameError) {
        self.handle.shared.distrust(error);
    }
}
