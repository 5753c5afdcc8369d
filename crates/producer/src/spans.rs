//! `tracing` spans around sends and attempts, named as OpenTelemetry names messaging.
//!
//! They are at debug level, with targets of their own, so that they are asked for by name. While they are not, a send
//! pays for one look at the level.

use tracing::field::Empty;
use tracing::{Level, Span, debug_span, span_enabled};

use crate::config::routing::Routing;
use crate::config::routing::remoting::Message;
use crate::error::{ErrorKind, SendFailure};
use crate::hooks::SendOutcome;

/// Target of the spans around sends.
const SEND: &str = "rocketmq_producer::send";
/// Target of the spans around attempts.
const ATTEMPT: &str = "rocketmq_producer::attempt";

/// Whether spans around sends are asked for.
#[inline]
pub(crate) fn is_on() -> bool {
    span_enabled!(target: SEND, Level::DEBUG)
}

/// Whether spans around attempts are asked for.
#[inline]
pub(crate) fn are_attempts_on() -> bool {
    span_enabled!(target: ATTEMPT, Level::DEBUG)
}

/// The span of a send, or of a call with several messages of which this is the first.
pub(crate) fn send(
    group: &str,
    client_id: &str,
    message: &Message,
    messages: Option<usize>,
) -> Span {
    let topic = message.topic();
    debug_span!(
        target: SEND,
        "send",
        "otel.name" = format_args!("send {topic}"),
        "otel.kind" = "producer",
        "otel.status_code" = Empty,
        "messaging.system" = "rocketmq",
        "messaging.operation.name" = "send",
        "messaging.operation.type" = "send",
        "messaging.destination.name" = topic,
        "messaging.client.id" = client_id,
        "messaging.batch.message_count" = messages,
        "messaging.message.id" = Empty,
        "messaging.message.body.size" = messages.is_none().then(|| message.body().len()),
        "messaging.rocketmq.client_group" = group,
        "messaging.rocketmq.message.type" = kind(message),
        "messaging.rocketmq.message.tag" = message.tags(),
        "messaging.rocketmq.send_status" = Empty,
        "messaging.destination.partition.id" = Empty,
        "messaging.rocketmq.queue_offset" = Empty,
        "error.type" = Empty,
    )
}

/// RocketMQ's kind of message, in the words of the conventions.
fn kind(message: &Message) -> &'static str {
    let has = |name| message.property(name).is_some();
    if has("TRAN_MSG") {
        "transaction"
    } else if [
        "DELAY",
        "TIMER_DELAY_MS",
        "TIMER_DELAY_SEC",
        "TIMER_DELIVER_MS",
    ]
    .into_iter()
    .any(has)
    {
        "delay"
    } else if message.sharding_key().is_some() {
        "fifo"
    } else {
        "normal"
    }
}

/// Notes in the span of a send what became of it.
pub(crate) fn ended(span: &Span, outcome: SendOutcome<'_>) {
    match outcome {
        SendOutcome::Stored(receipt) => {
            span.record("messaging.message.id", receipt.message_id().as_str());
            span.record("messaging.rocketmq.send_status", receipt.status().as_str());
            span.record(
                "messaging.destination.partition.id",
                partition(receipt.queue()),
            );
            span.record("messaging.rocketmq.queue_offset", receipt.queue_offset());
        }
        SendOutcome::Written(id) => {
            span.record("messaging.message.id", id.as_str());
        }
        SendOutcome::Failed(error) => {
            if let Some(id) = error.message_id() {
                span.record("messaging.message.id", id.as_str());
            }
            failed(span, error.kind());
        }
    }
}

/// Notes that a send, or an attempt, has failed.
pub(crate) fn failed(span: &Span, kind: ErrorKind) {
    span.record("error.type", tracing::field::debug(kind));
    span.record("otel.status_code", "ERROR");
}

/// The span of an attempt.
pub(crate) fn attempt(routing: &Routing) -> Span {
    let queue = routing.queue();
    let address = routing.broker().address();
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    debug_span!(
        target: ATTEMPT,
        "attempt",
        "otel.name" = format_args!("attempt {}", queue.topic()),
        "otel.kind" = "client",
        "otel.status_code" = Empty,
        "messaging.system" = "rocketmq",
        "messaging.destination.name" = %queue.topic(),
        "messaging.destination.partition.id" = partition(queue),
        "server.address" = host,
        "server.port" = port.parse::<u16>().ok(),
        "error.type" = Empty,
    )
}

/// Notes in the span of an attempt how it failed, if it did.
pub(crate) fn attempted<T>(span: &Span, outcome: &Result<T, SendFailure>) {
    if let Err(failure) = outcome {
        failed(span, failure.kind());
    }
}

/// A queue is one partition; its number alone is not unique.
fn partition(queue: &crate::config::routing::MessageQueue) -> String {
    format!("{}/{}", queue.broker_name(), queue.queue_id())
}
