//! Telling a broker the end of a transaction.
//!
//! Java sends it one-way and learns nothing. Brokers answer the same request when it is two-way (since 4.3, a commit or a
//! rollback; never an unknown): `EndTransactionProcessor` then tells whether the message is committed, and why not. So the
//! end is confirmed, and only repeated when it certainly was not carried out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::debug;

use super::receipt::Settlement;
use crate::config::routing::remoting::protocol::{EndTransactionRequestHeader, TransactionEnd};
use crate::config::routing::remoting::{Connection, Delivery, Endpoint, Message, ResponseCode};
use crate::core::Core;
use crate::error::SendFailure;
use crate::hooks::EndTransactionContext;
use crate::receipt::SendReceipt;
use crate::transaction_state::LocalTransactionState;

/// The pause before a broker that could not be told is tried again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Tells the broker at the other end of `connection`. Nothing is heard of an unknown.
pub(super) async fn tell(
    connection: &Connection,
    header: &EndTransactionRequestHeader<'_>,
    until: Instant,
) -> Result<(), SendFailure> {
    let body = Bytes::new();
    if header.end == TransactionEnd::Unknown {
        let written = connection.oneway(header, &body, until).await;
        return written.map_err(SendFailure::Request);
    }
    let response = connection.request(header, &body, until).await;
    let response = response.map_err(SendFailure::Request)?;
    match response.code() {
        ResponseCode::SUCCESS => Ok(()),
        code => Err(SendFailure::Refused {
            code,
            remark: Arc::from(response.remark().unwrap_or_default()),
        }),
    }
}

/// Whether the end certainly was not carried out, and telling it again may help.
fn may_repeat(failure: &SendFailure) -> bool {
    match failure {
        // Thrown out of the broker's queue before anything was done.
        SendFailure::Refused { code, .. } => *code == ResponseCode::SYSTEM_BUSY,
        _ => failure.delivery() == Delivery::NotSent,
    }
}

/// Tells the broker that stored `half`, wherever it is by now, as often as needed until `deadline`.
pub(super) async fn settle(
    core: &Core,
    message: &Message,
    half: &SendReceipt,
    end: TransactionEnd,
    deadline: Instant,
) -> Settlement {
    let topic = message.topic();
    let Some(place) = half.offset_message_id() else {
        return Settlement::NoPlace;
    };
    let mut header = EndTransactionRequestHeader::new(
        topic,
        &core.group,
        half.queue_offset(),
        place.offset,
        end,
        half.message_id().as_str(),
    );
    header.transaction_id = half.transaction_id();
    let broker = half.queue().broker_name();
    header.broker_name = Some(broker);
    if core.hooks.hears_of_ends() {
        let context = EndTransactionContext {
            group: &core.group,
            topic,
            properties: message.properties(),
            message_id: half.message_id().as_str(),
            transaction_id: half.transaction_id(),
            address: half.attempt.place.address(),
            state: LocalTransactionState::of(end),
            is_from_check: false,
        };
        Box::pin(core.hooks.end_transaction(&context, deadline)).await;
    }
    let mut pause = FIRST_PAUSE;
    loop {
        let failure = match broker_of(core, topic, half).connection(deadline).await {
            Ok(connection) => match tell(&connection, &header, deadline).await {
                Ok(()) if end == TransactionEnd::Unknown => return Settlement::LeftToCheck,
                Ok(()) if is_its_broker(connection.peer(), place.address) => {
                    return Settlement::Confirmed;
                }
                Ok(()) => return Settlement::Relayed,
                Err(failure) => failure,
            },
            Err(error) => SendFailure::Connect(error),
        };
        let text = failure.with_causes();
        debug!(%broker, message_id = %half.message_id(), failure = text, "end of transaction not confirmed");
        if end == TransactionEnd::Unknown {
            // The broker asks anyhow.
            return Settlement::LeftToCheck;
        }
        if !may_repeat(&failure) {
            return if failure.delivery() == Delivery::Unknown && !is_refusal(&failure) {
                Settlement::Unconfirmed(failure)
            } else {
                Settlement::NotTaken(failure)
            };
        }
        if deadline.saturating_duration_since(Instant::now()) <= pause || core.cancel.is_cancelled()
        {
            return Settlement::NotTaken(failure);
        }
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Whether `peer` is the server that stored the half message. A name is not resolved for this: its port has to do.
fn is_its_broker(peer: &str, stored_at: SocketAddr) -> bool {
    match peer.parse::<SocketAddr>() {
        Ok(peer) => peer == stored_at,
        Err(_) => peer.rsplit(':').next() == Some(&*stored_at.port().to_string()),
    }
}

const fn is_refusal(failure: &SendFailure) -> bool {
    matches!(failure, SendFailure::Refused { .. })
}

/// Where the broker of the half message is now: its master may have moved since.
fn broker_of(core: &Core, topic: &str, half: &SendReceipt) -> Endpoint {
    let name = half.queue().broker_name();
    let route = core.router.mapping().route_info(topic);
    let broker = route.as_ref().and_then(|route| {
        let mut brokers = route.brokers();
        brokers.find(|broker| broker.name() == name)
    });
    match broker {
        Some(broker) => broker.endpoint().clone(),
        None => core.client.brokers.endpoint(half.attempt.place.address()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_word_is_not_its_brokers() {
        let stored_at = SocketAddr::from(([10, 0, 0, 7], 10_911));
        for (peer, is_its_broker_) in [
            ("10.0.0.7:10911", true),
            ("mq.internal:10911", true),
            ("10.0.0.7:8080", false),
            ("10.0.0.8:10911", false),
            ("proxy.internal:8080", false),
            ("", false),
        ] {
            assert_eq!(is_its_broker(peer, stored_at), is_its_broker_, "{peer}");
        }
    }
}
