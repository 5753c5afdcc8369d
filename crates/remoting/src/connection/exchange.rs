//! From a request to its outcome: entered at once where nothing is in the way, else after what has to be waited for.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, RawWakerVTable, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::Connection;
use super::completed::Completed;
use super::error::{RequestError, RequestFailure};
use super::pending::{Completion, Outcome, Wants};
use super::shared::{Extras, Shared, Submitted};
use crate::delivery::Delivery;
use crate::header::RequestHeader;
use crate::hook::{Extended, RequestOutcome};

impl Connection {
    /// Sends a request and waits for what it `wants`.
    ///
    /// # Errors
    /// A [`RequestError`] if that did not come before `deadline`; it says whether a byte of the
    /// request may have left. An answer with a failure code is `Ok`.
    ///
    /// # Cancel safety
    /// Dropped before the first poll, nothing is sent. Dropped later, the request may be sent and
    /// its answer is ignored.
    pub async fn exchange<H: RequestHeader + Sync>(
        &self,
        header: &H,
        body: &Bytes,
        wants: Wants,
        deadline: Instant,
    ) -> Result<Completion, RequestError> {
        let begun = poll_fn(|cx| {
            let connection = self.clone();
            Poll::Ready(connection.begin(header, body, wants, deadline, cx.waker()))
        });
        match begun.await {
            Some(under_way) => under_way?.await,
            // Rare, so boxed: the future of a request should be small.
            None => Box::pin(self.exchange_later(header, body, wants, deadline)).await,
        }
    }

    /// Begins what [`exchange`](Self::exchange) does, if nothing has to be waited for first: when this returns, the
    /// request is in the write buffer. Neither header nor body is needed any more then, so that whoever awaits the
    /// outcome need not keep them.
    ///
    /// `owner` is told of the outcome, unless another task polls the future.
    ///
    /// `None`: hooks or a full write buffer are in the way, and nothing has been done.
    ///
    /// # Errors
    /// A [`RequestError`] if the request cannot be sent; no byte of it has left.
    pub fn begin<H: RequestHeader>(
        self,
        header: &H,
        body: &Bytes,
        wants: Wants,
        deadline: Instant,
        owner: &Waker,
    ) -> Option<Result<InFlight, RequestError>> {
        let shared = &self.handle.shared;
        let submitted = match &shared.extras {
            None => shared.submit(header, body, wants, deadline, owner),
            Some(extras) if extras.hooks.is_empty() => {
                let header = Completed::new(extras, header, body);
                shared.submit(&header, body, wants, deadline, owner)
            }
            Some(_) => return None,
        };
        match submitted {
            Ok(Submitted::Entered { opaque, ends }) => Some(Ok(InFlight {
                connection: self,
                entry: Some(Entry::of(owner, ends)),
                opaque,
                ended: false,
            })),
            Ok(Submitted::NoRoom) => None,
            Err(error) => Some(Err(error)),
        }
    }

    async fn exchange_later<H: RequestHeader + Sync>(
        &self,
        header: &H,
        body: &Bytes,
        wants: Wants,
        deadline: Instant,
    ) -> Outcome {
        let shared = &*self.handle.shared;
        let opaque = match &shared.extras {
            None => shared.submit_later(header, body, wants, deadline).await?,
            Some(extras) if extras.hooks.is_empty() => {
                let header = Completed::new(extras, header, body);
                shared.submit_later(&header, body, wants, deadline).await?
            }
            Some(extras) => {
                let hooked = self.exchange_hooked(extras, header, body, wants, deadline);
                return hooked.await;
            }
        };
        InFlight::entered(self, opaque).await
    }

    /// A request that hooks see: enters it with the fields that they add, waits for its outcome, and tells them.
    async fn exchange_hooked<H: RequestHeader + Sync>(
        &self,
        extras: &Extras,
        header: &H,
        body: &Bytes,
        wants: Wants,
        deadline: Instant,
    ) -> Outcome {
        let (shared, hooks) = (&*self.handle.shared, &extras.hooks);
        let is_oneway = matches!(wants, Wants::Written);
        let begun = hooks.before(&shared.peer, header, body, is_oneway, deadline);
        let request = begun
            .await
            .map_err(|error| shared.error(Delivery::NotSent, RequestFailure::Hook(error)))?;
        // Hooks are shown the answer as it came.
        let wants = if is_oneway { wants } else { Wants::Answer };
        let header = &Extended::new(header, &request);
        let header = Completed::new(extras, header, body);
        let submit = shared.submit_later(&header, body, wants, deadline);
        let outcome = match submit.await {
            Ok(opaque) => InFlight::entered(self, opaque).await,
            Err(error) => Err(error),
        };
        let told = match &outcome {
            Ok(Completion::Answered(response)) => RequestOutcome::Answered(response),
            // The latter is not asked for.
            Ok(Completion::Written | Completion::Stored(_)) => RequestOutcome::Written,
            Err(error) => RequestOutcome::Failed(error),
        };
        hooks.after(&request, told, deadline).await;
        outcome
    }
}

impl Shared {
    /// Enters a request once there is room for it.
    async fn submit_later<H: RequestHeader + Sync>(
        &self,
        header: &H,
        body: &Bytes,
        wants: Wants,
        deadline: Instant,
    ) -> Result<i32, RequestError> {
        loop {
            // Registered before the check, so room made in between is not missed.
            let room = self.room.notified();
            let submit =
                |cx: &mut Context<'_>| self.submit(header, body, wants, deadline, cx.waker());
            match poll_fn(|cx| Poll::Ready(submit(cx))).await? {
                Submitted::Entered { opaque, .. } => return Ok(opaque),
                Submitted::NoRoom => {}
            }
            let waited = tokio::time::timeout_at(deadline, room).await;
            // Room that comes with the deadline is that of requests which have ended by it.
            if waited.is_err() || Instant::now() >= deadline {
                let failure = RequestFailure::WriteBufferFull;
                return Err(self.error(Delivery::NotSent, failure));
            }
        }
    }
}

/// A request under way, from [`Connection::begin`]: resolves to what it wants, or to why that did not come, at its
/// deadline at the latest. Nothing comes of polling it once more after that.
///
/// Dropped, the request may still be sent, and its answer is ignored.
#[must_use = "futures do nothing unless polled"]
pub struct InFlight {
    connection: Connection,
    /// How it was entered, until the first poll.
    entry: Option<Entry>,
    opaque: i32,
    /// The outcome has been taken, and with it the place in the table.
    ended: bool,
}

/// The state in which a request was entered.
#[derive(Clone, Copy)]
struct Entry {
    /// Data and table of the waker to be woken, to tell it from others.
    owner: (usize, usize),
    /// How many requests of the connection had ended.
    ends: u64,
}

impl Entry {
    fn of(owner: &Waker, ends: u64) -> Self {
        let owner = parts(owner);
        Self { owner, ends }
    }
}

fn parts(waker: &Waker) -> (usize, usize) {
    let vtable: *const RawWakerVTable = waker.vtable();
    (waker.data().addr(), vtable.addr())
}

impl InFlight {
    fn entered(connection: &Connection, opaque: i32) -> Self {
        Self {
            connection: connection.clone(),
            entry: None,
            opaque,
            ended: false,
        }
    }

    /// The connection that the request went to.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("connection", &self.connection)
            .field("opaque", &self.opaque)
            .finish_non_exhaustive()
    }
}

impl Future for InFlight {
    type Output = Result<Completion, RequestError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let shared = &self.connection.handle.shared;
        // Mostly the task that is to be woken awaits it at once, and there is nothing to look for in the table.
        if let Some(entry) = self.entry
            && entry.owner == parts(cx.waker())
            && shared.is_unchanged_since(entry.ends)
        {
            return Poll::Pending;
        }
        self.entry = None;
        if self.ended {
            return Poll::Pending;
        }
        let outcome = self.connection.handle.shared.poll_outcome(self.opaque, cx);
        self.ended = outcome.is_ready();
        outcome
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.handle.shared.forget(self.opaque);
        }
    }
}
