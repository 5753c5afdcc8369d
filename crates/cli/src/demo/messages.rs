//! The messages of the demo: orders that are created, paid and shipped.

use std::sync::Arc;

use bytes::Bytes;
use rocketmq_producer::remoting::message::{Message, MessageError};

use crate::input::{Entry, Item};

/// Customers, each of which has a sharding key of its own.
const CUSTOMERS: u64 = 97;

/// The first `count` messages.
pub(super) fn all(topic: String, count: u64) -> impl Iterator<Item = Item> {
    let topic: Arc<str> = Arc::from(topic);
    (0..count).map(move |seq| Item::Message(Box::new(entry(&topic, seq))))
}

/// Message number `seq`: the same on every call, so that it can be checked against what was stored.
pub(super) fn message(topic: &Arc<str>, seq: u64) -> Result<Message, MessageError> {
    let mut message = Message::new(Arc::clone(topic), body(seq))?;
    if let Some(customer) = customer(seq) {
        message = message.with_sharding_key(&customer)?;
    }
    if let Some(tag) = tag(seq) {
        message = message.with_tags(tag)?;
    }
    if let Some(key) = key(seq) {
        message = message.with_keys([key, format!("invoice-{seq}")])?;
    }
    if seq.is_multiple_of(7) {
        message =
            message.with_property("region", if seq.is_multiple_of(2) { "eu" } else { "us" })?;
    }
    Ok(message)
}

fn entry(topic: &Arc<str>, seq: u64) -> Entry {
    Entry {
        line: seq + 1,
        id: format!("demo-{seq}").into(),
        key: key(seq),
        shard: customer(seq),
        transaction: None,
        request: None,
        body: body(seq),
        message: message(topic, seq),
    }
}

/// 60 to 300 bytes.
fn body(seq: u64) -> Bytes {
    const NOTE: &str = "please ring twice and leave it with the neighbours, ";
    let note = NOTE.repeat((seq % 5) as usize);
    Bytes::from(format!(
        r#"{{"order":{seq},"cents":{},"note":"{note}"}}"#,
        seq * 7919 % 100_000
    ))
}

fn customer(seq: u64) -> Option<String> {
    seq.is_multiple_of(4)
        .then(|| format!("customer-{}", seq / 4 % CUSTOMERS))
}

fn tag(seq: u64) -> Option<&'static str> {
    match seq % 6 {
        0 => Some("created"),
        2 => Some("paid"),
        4 => Some("shipped"),
        _ => None,
    }
}

fn key(seq: u64) -> Option<String> {
    seq.is_multiple_of(5).then(|| format!("order-{seq}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_valid_and_no_two_bodies_are_equal() {
        let topic = Arc::from("t");
        let bodies: std::collections::HashSet<Bytes> = (0..10_000)
            .map(|seq| message(&topic, seq).unwrap().body().clone())
            .collect();
        assert_eq!(bodies.len(), 10_000);
    }
}
