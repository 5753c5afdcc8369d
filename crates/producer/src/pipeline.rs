//! The one way every message goes: validate, admit, stamp, then attempt until it is stored or given
//! up, and report what each attempt says about its broker.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;
use tracing::debug;

use crate::attempt::Attempt;
use crate::blame::incident;
use crate::config::routing::remoting::message::{MessageId, SystemClock, WallClock};
use crate::config::routing::remoting::protocol::{
    SendMessageRequestHeader, SendMessageResponseHeader,
};
use crate::config::routing::remoting::{Delivery, Message, ResponseClass};
use crate::config::routing::{
    KeyedFailover, MessageQueue, RouteRequest, RoutedBy, Routing, RoutingError, TopicEntry,
};
use crate::core::Core;
use crate::deadline;
use crate::error::{SendError, SendFailure};
use crate::gate::{Pass, Refusal};
use crate::lifecycle::State;
use crate::options::{SendOptions, Target};
use crate::outcome::Outcome;
use crate::receipt::{SendReceipt, SendStatus};
use crate::retry::{Next, RetryState};

/// Whether an answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    TwoWay,
    OneWay,
}

/// What the broker's answer says about where the message is.
#[derive(Debug)]
struct Stored {
    status: SendStatus,
    queue_id: i32,
    queue_offset: i64,
    offset_message_id: Option<crate::config::routing::remoting::message::OffsetMessageId>,
    transaction_id: Option<Arc<str>>,
}

/// A message that was delivered, as far as its mode can tell.
struct Delivered {
    routing: Routing,
    /// The answer, in two-way mode.
    stored: Option<Stored>,
    attempt: Attempt,
}

/// One send from its call to its outcome.
struct Send<'a> {
    core: &'a Core,
    message: &'a Message,
    options: &'a SendOptions,
    mode: Mode,
    began: Instant,
    deadline: Instant,
    id: Option<MessageId>,
    /// When the message was stamped, in milliseconds since 1970.
    born: i64,
    /// What a selector chose. It is asked once, so that a retry does not move the message.
    selected: Option<MessageQueue>,
    attempts: Vec<Attempt>,
}

impl Core {
    /// Sends a message and waits for the receipt.
    pub(crate) async fn send(
        &self,
        message: &Message,
        options: &SendOptions,
    ) -> Result<SendReceipt, SendError> {
        let mut send = Send::new(self, message, options, Mode::TwoWay);
        let pass = send.admit().await.map_err(|cause| send.refused(cause))?;
        let outcome = match send.deliver().await {
            Ok(delivered) => send.receipt(delivered),
            Err(cause) => Err(send.error(cause)),
        };
        pass.end(match &outcome {
            Ok(_) => Outcome::Acked,
            Err(error) => Outcome::Failed(error.delivery()),
        });
        outcome
    }

    /// Sends a message without asking for an answer.
    pub(crate) async fn send_oneway(
        &self,
        message: &Message,
        options: &SendOptions,
    ) -> Result<MessageId, SendError> {
        let mut send = Send::new(self, message, options, Mode::OneWay);
        let pass = send.admit().await.map_err(|cause| send.refused(cause))?;
        let outcome = match send.deliver().await {
            Ok(delivered) => send.written(&delivered),
            Err(cause) => Err(send.error(cause)),
        };
        pass.end(match &outcome {
            Ok(_) => Outcome::OnewayWritten,
            Err(error) => Outcome::Failed(error.delivery()),
        });
        outcome
    }
}

impl<'a> Send<'a> {
    fn new(core: &'a Core, message: &'a Message, options: &'a SendOptions, mode: Mode) -> Self {
        let began = Instant::now();
        let timeout = options.timeout.unwrap_or(core.config.send_msg_timeout);
        Self {
            core,
            message,
            options,
            mode,
            began,
            deadline: deadline::after(began, timeout),
            id: None,
            born: 0,
            selected: None,
            attempts: Vec::new(),
        }
    }

    /// Checks the message, waits for a place and stamps the message.
    async fn admit(&mut self) -> Result<Pass<'a>, SendFailure> {
        let (core, config) = (self.core, &self.core.config);
        let state = core.state.get();
        if state != State::Running {
            return Err(SendFailure::State(state));
        }
        self.message
            .check_limits(config.max_message_size, config.property_margin.as_usize())
            .map_err(SendFailure::Message)?;
        let pass = match core.gate.enter(self.deadline).await {
            Ok(pass) => pass,
            Err(Refusal::Closed) => return Err(SendFailure::State(core.state.get())),
            Err(Refusal::Full) => {
                let limit = core.gate.limit();
                return Err(SendFailure::QueueFull { limit });
            }
        };
        let born = SystemClock.epoch_millis();
        self.id = Some(core.ids.next_id_at(born));
        // Saturates in the year 292 278 994.
        self.born = i64::try_from(born).unwrap_or(i64::MAX);
        Ok(pass)
    }

    /// Attempts until the message is stored or there is no point in going on.
    async fn deliver(&mut self) -> Result<Delivered, SendFailure> {
        let core = self.core;
        let mut entry = self.topic().await?;
        let mut retry = RetryState::new(self.deadline, core.config.retry_times);
        let mut cause = SendFailure::Deadline;
        // A receipt with a weaker promise than asked for, kept while a better one is tried for,
        // and the place of its attempt.
        let mut weaker: Option<(usize, Delivered)> = None;
        while retry.may_try(Instant::now()) {
            let routing = match self.next_place(&mut entry, &mut retry).await {
                Ok(Some(routing)) => routing,
                Ok(None) => break,
                Err(failure) => {
                    // What an attempt met says more than that there is nowhere else to go.
                    if self.attempts.is_empty() || matches!(failure, SendFailure::Shutdown) {
                        cause = failure;
                    }
                    break;
                }
            };
            let elsewhere = self.may_go_elsewhere(&routing, retry.tried());
            let began = Instant::now();
            let until = retry.begin_attempt(began, elsewhere);
            let result = self.attempt(&routing, until).await;
            let mut attempt = self.note(&routing, began);
            let failure = match result {
                Ok(stored) => {
                    let latency = attempt.elapsed;
                    core.router
                        .report_routing_result(&routing, Some(latency), Instant::now());
                    let strong = stored.as_ref().is_none_or(|stored| {
                        stored.status == SendStatus::SendOk
                            || !core.config.retry_another_broker_when_not_store_ok
                    });
                    if !strong {
                        retry.stored(routing.broker().name());
                        self.attempts.push(attempt.clone());
                    }
                    let delivered = Delivered {
                        routing,
                        stored,
                        attempt,
                    };
                    if strong {
                        return Ok(delivered);
                    }
                    weaker = Some((self.attempts.len() - 1, delivered));
                    continue;
                }
                Err(failure) => failure,
            };
            self.blame(&routing, &failure, until.duration_since(began));
            attempt.failure = Some(failure.clone());
            self.attempts.push(attempt);
            let may_be_written = failure.delivery() != Delivery::NotSent;
            let next = retry.failed(routing.broker().name(), &failure);
            cause = failure;
            match next {
                // A second copy of a one-way message could not be told from the first.
                Next::Again { .. } if self.mode == Mode::OneWay && may_be_written => break,
                Next::Again { .. } if core.cancel.is_cancelled() => {
                    cause = SendFailure::Shutdown;
                    break;
                }
                Next::Again { refresh } => self.renew_route(&entry, &routing, refresh).await,
                Next::GiveUp => break,
            }
        }
        let (place, delivered) = weaker.ok_or(cause)?;
        // It is the one that brought the receipt after all.
        self.attempts.remove(place);
        Ok(delivered)
    }

    /// The topic with a route.
    async fn topic(&self) -> Result<Arc<TopicEntry>, SendFailure> {
        let mapping = self.core.router.mapping();
        mapping
            .topic(self.message.topic(), self.deadline)
            .await
            .map_err(SendFailure::Routing)
    }

    /// Where the next attempt goes, after a pause if that broker failed before; nothing if no
    /// broker is left that may do better.
    async fn next_place(
        &mut self,
        entry: &mut Arc<TopicEntry>,
        retry: &mut RetryState,
    ) -> Result<Option<Routing>, SendFailure> {
        let mut routing = self.choose(entry, retry.tried()).await?;
        if !retry.tried().contains(routing.broker().name()) {
            return Ok(Some(routing));
        }
        if !retry.ruled_out().is_empty() {
            // All were tried; some of them may do better in a moment.
            routing = self.choose(entry, retry.ruled_out()).await?;
        }
        if retry.is_stored() || retry.ruled_out().contains(routing.broker().name()) {
            return Ok(None);
        }
        let jitter = rand::rng().random::<f64>();
        let Some(pause) = retry.pause(Instant::now(), jitter) else {
            return Ok(None);
        };
        let pause = tokio::time::sleep(pause);
        match self.core.cancel.run_until_cancelled(pause).await {
            Some(()) => Ok(Some(routing)),
            None => Err(SendFailure::Shutdown),
        }
    }

    /// Chooses queue and broker, with a new route if the one at hand was dropped from the cache.
    async fn choose(
        &mut self,
        entry: &mut Arc<TopicEntry>,
        avoid: &[Arc<str>],
    ) -> Result<Routing, SendFailure> {
        loop {
            match self.decide(entry, avoid).await {
                Err(SendFailure::Routing(RoutingError::RouteRemoved { .. }))
                    if Instant::now() < self.deadline =>
                {
                    *entry = self.topic().await?;
                }
                decided => return decided,
            }
        }
    }

    async fn decide(
        &mut self,
        entry: &TopicEntry,
        avoid: &[Arc<str>],
    ) -> Result<Routing, SendFailure> {
        let router = &self.core.router;
        let request = RouteRequest::of(self.message).avoiding(avoid);
        let now = Instant::now();
        let routing = match (&self.options.target, &self.selected) {
            (Target::Strategy, _) => return route(router.route(entry, &request, now)),
            (Target::Queue(queue), _) | (_, Some(queue)) => {
                return route(router.route(entry, &request.to_queue(queue), now));
            }
            (Target::Selector(selector, argument), None) => {
                let request = request.with_selector(&**selector, argument);
                route(router.route(entry, &request, now))?
            }
            (Target::AsyncSelector(selector, argument), None) => {
                let choice = router.route_async(entry, self.message, &**selector, argument, now);
                let choice = self.core.cancel.run_until_cancelled(choice);
                match tokio::time::timeout_at(self.deadline, choice).await {
                    Ok(Some(choice)) => route(choice)?,
                    Ok(None) => return Err(SendFailure::Shutdown),
                    Err(_) => return Err(SendFailure::Deadline),
                }
            }
        };
        self.selected = Some(routing.queue().clone());
        Ok(routing)
    }

    /// One try at one broker.
    async fn attempt(
        &self,
        routing: &Routing,
        until: Instant,
    ) -> Result<Option<Stored>, SendFailure> {
        let endpoint = self.core.brokers.endpoint(routing.address());
        let connection = endpoint.connection(until).await;
        let connection = connection.map_err(SendFailure::Connect)?;
        let queue = routing.queue();
        let mut header = SendMessageRequestHeader::new(
            &self.core.group,
            self.message.topic(),
            queue.queue_id(),
            self.born,
        );
        // The setting is bounded to 65 535.
        let queues = i32::try_from(self.core.config.default_topic_queue_nums);
        header.default_topic_queue_nums = queues.unwrap_or(i32::MAX);
        header.flag = self.message.flag();
        header.properties = self.message.properties().as_wire();
        header.unique_key = self.id.as_ref().map(MessageId::as_str);
        // A static topic's queue bears a name of its own; the broker answers to its real one.
        header.broker_name = Some(routing.broker().name());
        let body = self.message.body();
        if self.mode == Mode::OneWay {
            let written = connection.oneway(&header, body, until).await;
            return written.map(|()| None).map_err(SendFailure::Request);
        }
        let response = connection
            .request(&header, body, until)
            .await
            .map_err(SendFailure::Request)?;
        let code = response.code();
        if !ResponseClass::of(code, None).is_receipt() {
            let remark = Arc::from(response.remark().unwrap_or_default());
            return Err(SendFailure::Refused { code, remark });
        }
        let answer =
            SendMessageResponseHeader::read(response.frame()).map_err(SendFailure::Answer)?;
        Ok(Some(Stored {
            status: SendStatus::of(code),
            queue_id: answer.queue_id,
            queue_offset: answer.queue_offset,
            // A proxy may give an id of another form; the receipt is good without it.
            offset_message_id: answer.msg_id.as_deref().and_then(|id| id.parse().ok()),
            transaction_id: answer.transaction_id.as_deref().map(Arc::from),
        }))
    }

    fn note(&self, routing: &Routing, began: Instant) -> Attempt {
        Attempt {
            broker: Arc::clone(routing.broker().name()),
            address: Arc::clone(routing.address()),
            queue_id: routing.queue().queue_id(),
            began_after: began.duration_since(self.began),
            elapsed: began.elapsed(),
            failure: None,
        }
    }

    /// Tells routing about the failure of an attempt that was given `time`, if it is the broker's
    /// own.
    fn blame(&self, routing: &Routing, failure: &SendFailure, time: Duration) {
        let text = failure.with_causes();
        let broker = routing.broker();
        debug!(broker = %broker.name(), address = %broker.address(), failure = text, "attempt failed");
        if let Some(incident) = incident(failure, time) {
            self.core
                .router
                .report_routing_failure(routing, &incident, &text, Instant::now());
        }
    }

    /// Fetches the route anew, at once if it was at fault, else in the background.
    async fn renew_route(&mut self, entry: &Arc<TopicEntry>, routing: &Routing, refresh: bool) {
        let mapping = self.core.router.mapping();
        if refresh {
            // The selector chose from a route that was wrong.
            self.selected = None;
            // Without a newer route the next attempt uses the one at hand, in the other half of
            // the time.
            let now = Instant::now();
            let until = now + self.deadline.saturating_duration_since(now) / 2;
            if let Err(error) = mapping.force_refresh(entry.topic(), until).await {
                debug!(topic = %entry.topic(), %error, "route not refreshed");
            }
        } else {
            let generation = routing.route().generation();
            mapping.hint_refresh(entry, generation, Instant::now());
        }
    }

    fn receipt(&mut self, delivered: Delivered) -> Result<SendReceipt, SendError> {
        let Delivered {
            routing,
            stored,
            attempt,
        } = delivered;
        let (Some(stored), Some(message_id)) = (stored, self.id) else {
            // Two-way attempts always bring an answer, and ids are given before the first one.
            return Err(self.error(SendFailure::Deadline));
        };
        self.core.count_retries(self.attempts.len());
        let latency = self.began.elapsed();
        let mut queue = routing.queue().clone();
        if queue.queue_id() != stored.queue_id {
            // A static topic's queue has another number at the broker that stores it.
            let broker = Arc::clone(queue.broker_name());
            queue = MessageQueue::new(Arc::clone(queue.topic()), broker, stored.queue_id);
        }
        if self.core.config.debug_enabled {
            debug!(
                message_id = %message_id, queue = %queue, offset = stored.queue_offset,
                status = %stored.status, ?latency, "message stored"
            );
        }
        Ok(SendReceipt {
            status: stored.status,
            message_id,
            queue,
            queue_offset: stored.queue_offset,
            offset_message_id: stored.offset_message_id,
            transaction_id: stored.transaction_id,
            latency,
            earlier_attempts: std::mem::take(&mut self.attempts),
            attempt,
        })
    }

    fn written(&mut self, delivered: &Delivered) -> Result<MessageId, SendError> {
        self.core.count_retries(self.attempts.len());
        if self.core.config.debug_enabled {
            debug!(message_id = ?self.id, queue = %delivered.routing.queue(), "message written");
        }
        self.id.ok_or_else(|| self.error(SendFailure::Deadline))
    }

    /// The error of a send that was not admitted.
    #[cold]
    fn refused(&mut self, cause: SendFailure) -> SendError {
        self.core.count_refusal();
        self.error(cause)
    }

    fn error(&mut self, cause: SendFailure) -> SendError {
        self.core
            .count_retries(self.attempts.len().saturating_sub(1));
        let error = SendError::new(
            Arc::clone(self.message.topic_shared()),
            self.id,
            self.began.elapsed(),
            std::mem::take(&mut self.attempts),
            cause,
        );
        if self.core.config.debug_enabled {
            debug!(message_id = ?self.id, %error, "send failed");
        }
        error
    }

    /// Whether a failure of this attempt could be made good at another broker.
    fn may_go_elsewhere(&self, routing: &Routing, tried: &[Arc<str>]) -> bool {
        let bound_to_queue = match routing.routed_by() {
            RoutedBy::GivenQueue | RoutedBy::Selector(_) => true,
            RoutedBy::MessageHash => self.core.config.keyed_failover == KeyedFailover::Stay,
            _ => false,
        };
        let here = routing.broker().name();
        !bound_to_queue
            && routing
                .route()
                .usable_queues()
                .filter_map(|queue| queue.broker())
                .any(|broker| broker.name() != here && !tried.contains(broker.name()))
    }
}

fn route(routing: Result<Routing, RoutingError>) -> Result<Routing, SendFailure> {
    routing.map_err(SendFailure::Routing)
}
