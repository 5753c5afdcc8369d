//! The one way every message goes: validate, admit, stamp, then attempt until it is stored or given
//! up, and report what each attempt says about its broker.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;
use tracing::debug;

use crate::attempt::Attempt;
use crate::config::routing::remoting::message::{MessageId, SystemClock, WallClock};
use crate::config::routing::remoting::protocol::{
    SendMessageRequestHeader, SendMessageResponseHeader,
};
use crate::config::routing::remoting::{
    CloseReason, ConnectFailure, Delivery, HealthEffect, Message, RequestFailure, ResponseClass,
};
use crate::config::routing::{
    Incident, KeyedFailover, MessageQueue, RouteRequest, RoutedBy, Routing, RoutingError,
    TopicEntry,
};
use crate::core::Core;
use crate::error::{SendError, SendFailure};
use crate::gate::{Pass, Refusal};
use crate::lifecycle::State;
use crate::options::{SendOptions, Target};
use crate::receipt::{SendReceipt, SendStatus};
use crate::retry::{Next, RetryState};

/// A broker is not blamed for silence that lasted less than this: the caller was too impatient.
const PATIENCE: Duration = Duration::from_millis(50);

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
        let outcome = match send.run().await {
            Ok((_pass, delivered)) => send.receipt(delivered),
            Err(cause) => Err(send.error(cause)),
        };
        self.counters.record(&outcome);
        outcome
    }

    /// Sends a message without asking for an answer.
    pub(crate) async fn send_oneway(
        &self,
        message: &Message,
        options: &SendOptions,
    ) -> Result<MessageId, SendError> {
        let mut send = Send::new(self, message, options, Mode::OneWay);
        let outcome = match send.run().await {
            Ok((_pass, delivered)) => send.written(&delivered),
            Err(cause) => Err(send.error(cause)),
        };
        match &outcome {
            Ok(_) => self.counters.count_oneway(),
            Err(error) => self.counters.record_failure(error),
        }
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
            deadline: began + timeout,
            id: None,
            born: 0,
            attempts: Vec::new(),
        }
    }

    async fn run(&mut self) -> Result<(Pass<'a>, Delivered), SendFailure> {
        let config = &self.core.config;
        let state = self.core.state.get();
        if state != State::Running {
            return Err(SendFailure::State(state));
        }
        self.message
            .check_limits(config.max_message_size, config.property_margin.as_usize())
            .map_err(SendFailure::Message)?;
        let pass = match self.core.gate.enter(self.deadline).await {
            Ok(pass) => pass,
            Err(Refusal::Closed) => return Err(SendFailure::State(self.core.state.get())),
            Err(Refusal::Full) => {
                let limit = self.core.gate.limit();
                return Err(SendFailure::QueueFull { limit });
            }
        };
        let born = SystemClock.epoch_millis();
        let id = self.core.ids.next_id_at(born);
        self.id = Some(id);
        // Saturates in the year 292 278 994.
        self.born = i64::try_from(born).unwrap_or(i64::MAX);
        let delivered = self.deliver(&id).await?;
        Ok((pass, delivered))
    }

    /// Attempts until the message is stored or there is no point in going on.
    async fn deliver(&mut self, id: &MessageId) -> Result<Delivered, SendFailure> {
        let core = self.core;
        let mapping = core.router.mapping();
        let entry = mapping
            .topic(self.message.topic(), self.deadline)
            .await
            .map_err(SendFailure::Routing)?;
        let retry_times = core.config.retry_times;
        let mut retry = RetryState::new(self.deadline, retry_times);
        let mut cause = SendFailure::Deadline;
        let mut only_elsewhere = false;
        // A receipt with a weaker promise than asked for, kept while a better one is tried for.
        let mut weaker: Option<Delivered> = None;
        while retry.may_try(Instant::now()) {
            let routing = match self.choose(&entry, retry.tried()).await {
                Ok(routing) => routing,
                // What the last attempt met says more than that there is nowhere else to go.
                Err(_) if !self.attempts.is_empty() => break,
                Err(error) => return Err(SendFailure::Routing(error)),
            };
            let broker = Arc::clone(routing.broker().name());
            if retry.tried().contains(&broker) {
                if only_elsewhere || weaker.is_some() {
                    break;
                }
                let jitter = rand::rng().random::<f64>();
                let Some(pause) = retry.pause(Instant::now(), jitter) else {
                    break;
                };
                tokio::time::sleep(pause).await;
            }
            let elsewhere = self.may_go_elsewhere(&routing, retry.tried());
            let began = Instant::now();
            let until = retry.begin_attempt(began, elsewhere);
            let result = self.attempt(&routing, id, until).await;
            let mut attempt = self.note(&routing, began);
            match result {
                Ok(stored) => {
                    let latency = attempt.elapsed;
                    core.router
                        .report_routing_result(&routing, Some(latency), Instant::now());
                    let strong = stored.as_ref().is_none_or(|stored| {
                        stored.status == SendStatus::SendOk
                            || !core.config.retry_another_broker_when_not_store_ok
                    });
                    let delivered = Delivered {
                        routing,
                        stored,
                        attempt,
                    };
                    if strong {
                        return Ok(delivered);
                    }
                    retry.avoid(&broker);
                    if let Some(earlier) = weaker.replace(delivered) {
                        self.attempts.push(earlier.attempt);
                    }
                }
                Err(failure) => {
                    self.blame(&routing, &failure, attempt.elapsed);
                    attempt.failure = Some(failure.clone());
                    self.attempts.push(attempt);
                    if self.mode == Mode::OneWay && failure.delivery() != Delivery::NotSent {
                        return Err(failure);
                    }
                    let next = retry.failed(&broker, &failure);
                    cause = failure;
                    match next {
                        Next::GiveUp => break,
                        Next::Again {
                            refresh,
                            only_elsewhere: elsewhere,
                        } => {
                            only_elsewhere = elsewhere;
                            self.renew_route(&entry, &routing, refresh).await;
                        }
                    }
                }
            }
        }
        weaker.ok_or(cause)
    }

    /// Chooses queue and broker of the next attempt.
    async fn choose(
        &self,
        entry: &Arc<TopicEntry>,
        tried: &[Arc<str>],
    ) -> Result<Routing, RoutingError> {
        let router = &self.core.router;
        let request = RouteRequest::of(self.message).avoiding(tried);
        let now = Instant::now();
        match &self.options.target {
            Target::Strategy => router.route(entry, &request, now),
            Target::Queue(queue) => router.route(entry, &request.to_queue(queue), now),
            Target::Selector(selector, argument) => {
                let request = request.with_selector(&**selector, argument);
                router.route(entry, &request, now)
            }
            Target::AsyncSelector(selector, argument) => {
                let choice = router.route_async(entry, self.message, &**selector, argument, now);
                match tokio::time::timeout_at(self.deadline, choice).await {
                    Ok(choice) => choice,
                    Err(_) => Err(RoutingError::DeadlineExceeded {
                        topic: Arc::clone(entry.topic()),
                    }),
                }
            }
        }
    }

    /// One try at one broker.
    async fn attempt(
        &self,
        routing: &Routing,
        id: &MessageId,
        until: Instant,
    ) -> Result<Option<Stored>, SendFailure> {
        let endpoint = self.core.brokers.endpoint(routing.address());
        let connection = match endpoint.current() {
            Some(connection) => connection,
            None => endpoint
                .connection(until)
                .await
                .map_err(SendFailure::Connect)?,
        };
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
        header.unique_key = Some(id.as_str());
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

    /// Tells routing about a failure, if it is the broker's own.
    fn blame(&self, routing: &Routing, failure: &SendFailure, elapsed: Duration) {
        let incident = match failure {
            SendFailure::Refused { code, remark } => {
                let class = ResponseClass::of(*code, Some(remark));
                (class.health() == HealthEffect::Failure).then_some(Incident::Single)
            }
            SendFailure::Answer(_) => Some(Incident::Single),
            SendFailure::Request(error) => match error.failure() {
                RequestFailure::Frame(_) | RequestFailure::PendingFull { .. } => None,
                // We closed it, or the broker left in good order.
                RequestFailure::ConnectionLost(reason)
                    if matches!(**reason, CloseReason::Local | CloseReason::GoAway) =>
                {
                    None
                }
                RequestFailure::DeadlineExceeded | RequestFailure::WriteBufferFull
                    if elapsed < PATIENCE =>
                {
                    None
                }
                _ => Some(Incident::of_request(error)),
            },
            SendFailure::Connect(error) => match error.failure() {
                ConnectFailure::PoolClosed => None,
                ConnectFailure::DeadlineExceeded if elapsed < PATIENCE => None,
                _ => Some(Incident::of_connect(error)),
            },
            _ => None,
        };
        let broker = routing.broker();
        debug!(broker = %broker.name(), address = %broker.address(), %failure, "attempt failed");
        if let Some(incident) = incident {
            let error = failure.to_string();
            self.core
                .router
                .report_routing_failure(routing, &incident, &error, Instant::now());
        }
    }

    /// Fetches the route anew, at once if it was at fault, else in the background.
    async fn renew_route(&self, entry: &Arc<TopicEntry>, routing: &Routing, refresh: bool) {
        let mapping = self.core.router.mapping();
        if refresh {
            // Without a newer route the next attempt uses the one at hand.
            if let Err(error) = mapping.force_refresh(entry.topic(), self.deadline).await {
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
        if self.core.config.debug_enabled {
            debug!(message_id = ?self.id, queue = %delivered.routing.queue(), "message written");
        }
        self.id.ok_or_else(|| self.error(SendFailure::Deadline))
    }

    fn error(&mut self, cause: SendFailure) -> SendError {
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
