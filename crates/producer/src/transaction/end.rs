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
                Ok(()) if way(core, topic, half, connection.peer()).ends_at(place.address) => {
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

/// Whom an end was told to. All addresses are those that name servers tell: where an address map, the VIP channel or a
/// SOCKS5 proxy leads to is not looked at.
struct Way<'a> {
    /// Where the half message was sent to.
    half_at: &'a str,
    /// Where its broker is now.
    peer: &'a str,
    /// Whether the route has further brokers there, as a proxy says of all brokers.
    is_shared: bool,
}

impl Way<'_> {
    /// Whether the answer is that of the broker itself, which stored the half message as `stored_at`.
    fn ends_at(&self, stored_at: SocketAddr) -> bool {
        if let Ok(peer) = self.peer.parse::<SocketAddr>()
            && is_same(peer, stored_at)
        {
            return true;
        }
        // A broker whose half message came without anything between has another master since.
        !self.is_shared && (may_be(self.peer, stored_at) || may_be(self.half_at, stored_at))
    }
}

/// Whether an address is this one. A name is not resolved for this: its port has to do.
fn may_be(address: &str, stored_at: SocketAddr) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(address) => is_same(address, stored_at),
        Err(_) => address.rsplit(':').next() == Some(&*stored_at.port().to_string()),
    }
}

/// Java writes IPv4 addresses in the form of IPv6 as IPv4.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip().to_canonical(), one.port()) == (other.ip().to_canonical(), other.port())
}

fn way<'a>(core: &Core, topic: &str, half: &'a SendReceipt, peer: &'a str) -> Way<'a> {
    let route = core.router.mapping().route_info(topic);
    let there = route.iter().flat_map(|route| route.brokers());
    Way {
        half_at: half.attempt.place.address(),
        peer,
        is_shared: there.filter(|it| it.endpoint().address() == peer).count() > 1,
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

    fn ends_at_its_broker(half_at: &str, peer: &str, is_shared: bool) -> bool {
        let way = Way {
            half_at,
            peer,
            is_shared,
        };
        way.ends_at(SocketAddr::from(([10, 0, 0, 7], 10_911)))
    }

    #[test]
    fn a_proxys_word_is_not_its_brokers() {
        for (peer, is_its_broker) in [
            ("10.0.0.7:10911", true),
            ("[::ffff:10.0.0.7]:10911", true),
            ("mq.internal:10911", true),
            ("10.0.0.7:8080", false),
            ("10.0.0.8:10911", false),
            ("proxy.internal:8080", false),
            ("", false),
        ] {
            assert_eq!(
                ends_at_its_broker(peer, peer, false),
                is_its_broker,
                "{peer}"
            );
        }
        assert!(!ends_at_its_broker("mq:10911", "mq:10911", true));
        assert!(ends_at_its_broker("10.0.0.7:10911", "10.0.0.7:10911", true));
    }

    #[test]
    fn a_master_that_took_over_is_believed_if_the_one_before_was_no_proxy() {
        let new = "10.0.0.8:10911";
        assert!(ends_at_its_broker("10.0.0.7:10911", new, false));
        assert!(!ends_at_its_broker("10.0.0.9:8080", new, false));
        assert!(!ends_at_its_broker("10.0.0.7:10911", "10.0.0.9:8080", true));
    }
}
