//! One try at one broker.

use std::future::{self, Ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::time::Instant;
use tracing::Instrument;

use super::delivery::Delivery;
use super::exchange::Exchange;
use super::parcel::Errand;
use crate::config::routing::Routing;
use crate::config::routing::remoting::message::MessageId;
use crate::config::routing::remoting::protocol::{PreparedSend, SendMessageRequestHeader};
use crate::config::routing::remoting::{Connection, InFlight, RequestError, Wants};
use crate::error::SendFailure;
use crate::hooks::CheckForbiddenContext;
use crate::lanes::Turn;
use crate::spans;

/// An attempt under way.
pub(super) enum Begun<'d, X: Exchange> {
    /// The request is with the connection.
    Request(InFlight),
    /// The connection did not take it.
    Refused(Ready<RequestError>),
    /// Something has to be waited for first. Rare, so boxed: the future of a send should be small.
    Later(Pin<Box<dyn Future<Output = Result<X::Answer, SendFailure>> + Send + 'd>>),
}

impl<X: Exchange> Future for Begun<'_, X> {
    type Output = Result<X::Answer, SendFailure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Request(request) => {
                let ended = ready!(Pin::new(&mut *request).poll(cx));
                Poll::Ready(match ended {
                    Ok(completion) => X::answer(completion, request.connection()),
                    Err(error) => Err(SendFailure::Request(error)),
                })
            }
            Self::Refused(error) => Pin::new(error)
                .poll(cx)
                .map(|error| Err(SendFailure::Request(error))),
            Self::Later(attempt) => attempt.as_mut().poll(cx),
        }
    }
}

impl<X: Exchange> Delivery<'_, X> {
    /// An open connection to the broker: always the same one for messages of one queue.
    fn current(&self, routing: &Routing) -> Option<Connection> {
        let endpoint = routing.broker().endpoint();
        if self.is_bound {
            endpoint.current()
        } else {
            endpoint.any_current()
        }
    }

    /// Begins an attempt. Mostly nothing has to be waited for, and its request is in the write buffer at once, for
    /// `owner` to be told of the outcome.
    pub(super) fn begin<'d>(
        &'d self,
        routing: &'d Routing,
        turn: Option<&'d Turn<'_>>,
        until: Instant,
        owner: &Waker,
    ) -> Begun<'d, X> {
        match self.begin_now(routing, turn, until, owner) {
            Some(Ok(request)) => Begun::Request(request),
            Some(Err(error)) => Begun::Refused(future::ready(error)),
            None => Begun::Later(Box::pin(self.attempt(routing, turn, until))),
        }
    }

    /// Begins an attempt, if nothing has to be waited for before its bytes can leave: mostly so. `None`: nothing has
    /// been done, and [`attempt`](Self::attempt) must be made.
    fn begin_now(
        &self,
        routing: &Routing,
        turn: Option<&Turn<'_>>,
        until: Instant,
        owner: &Waker,
    ) -> Option<Result<InFlight, RequestError>> {
        if !self.core().hooks.forbidden.is_empty() || spans::are_attempts_on() {
            return None;
        }
        let header = self.header(routing);
        let connection = self.current(routing)?;
        let begun = connection.begin(&header, self.parcel.body, self.wants(), until, owner)?;
        if let Some(turn) = turn {
            // From here on bytes may leave, also if the caller drops the send.
            turn.set_doubt(true);
        }
        Some(begun)
    }

    /// One try at one broker.
    pub(super) async fn attempt(
        &self,
        routing: &Routing,
        turn: Option<&Turn<'_>>,
        until: Instant,
    ) -> Result<X::Answer, SendFailure> {
        let connection = match self.current(routing) {
            Some(connection) => connection,
            None => match routing.broker().endpoint().connection(until).await {
                Ok(connection) => connection,
                Err(error) => return Err(SendFailure::Connect(error)),
            },
        };
        if !self.core().hooks.forbidden.is_empty() {
            self.check_forbidden(routing, until).await?;
        }
        if let Some(turn) = turn {
            // From here on bytes may leave, also if the caller drops the send.
            turn.set_doubt(true);
        }
        let header = self.header(routing);
        let exchange = async {
            let body = self.parcel.body;
            let exchange = connection.exchange(&header, body, self.wants(), until);
            X::answer(exchange.await.map_err(SendFailure::Request)?, &connection)
        };
        if spans::are_attempts_on() {
            let span = spans::attempt(routing);
            let outcome = exchange.instrument(span.clone()).await;
            spans::attempted(&span, &outcome);
            return outcome;
        }
        exchange.await
    }

    /// What ends an attempt's request: with message traces the whole answer, since it tells the region.
    fn wants(&self) -> Wants {
        match X::WANTS {
            Wants::Receipt if self.core().tracer.is_some() => Wants::Answer,
            wants => wants,
        }
    }

    fn header<'h>(&'h self, routing: &'h Routing) -> SendMessageRequestHeader<'h> {
        let Errand { core, topic, .. } = self.errand;
        let parcel = &self.parcel;
        let queue_id = routing.queue().queue_id();
        let mut header = SendMessageRequestHeader::new(&core.group, topic, queue_id, parcel.born);
        // The setting is bounded to 65 535.
        let queues = i32::try_from(core.config.default_topic_queue_nums);
        header.default_topic_queue_nums = queues.unwrap_or(i32::MAX);
        header.unit_mode = core.config.unit_name.is_some();
        // A static topic's queue bears a name of its own; the broker answers to its real one.
        header.broker_name = Some(routing.broker().name());
        // A producer sends to a queue with one group and one set of settings. Of several that share the place, the first one.
        let prepared = routing.place().prepared(|| PreparedSend::new(&header));
        header.prepared = Some(prepared);
        header.code = parcel.code;
        header.batch = parcel.is_batch;
        header.sys_flag = parcel.sys_flag;
        header.flag = parcel.flag;
        header.properties = parcel.properties;
        header.unique_key = parcel.id.map(MessageId::as_str);
        header
    }

    /// Asks the hooks whether an attempt may be made.
    async fn check_forbidden(&self, routing: &Routing, until: Instant) -> Result<(), SendFailure> {
        let Errand { core, message, .. } = self.errand;
        let context = CheckForbiddenContext {
            group: &core.group,
            queue: routing.queue(),
            address: routing.broker().address(),
            message,
            message_id: self.parcel.id,
            messages: self.errand.sends,
        };
        let checked = core.hooks.check_forbidden(&context, until).await;
        checked.map_err(SendFailure::Hook)
    }
}
