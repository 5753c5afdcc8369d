//! What was acknowledged held against what is stored.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use rocketmq_producer::remoting::message::{Message, MessageId, property};
use rocketmq_producer::routing::MessageQueue;
use rocketmq_producer_embedded::StoredMessage;

use super::messages;

/// Where a broker said that it stored a message.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) seq: u64,
    pub(super) queue: MessageQueue,
    pub(super) offset: i64,
    pub(super) message_id: MessageId,
}

/// How receipts and store agree.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    acked: usize,
    stored: usize,
    /// At the place of the receipt lies exactly that message.
    correct: usize,
    missing: usize,
    different: usize,
    /// Stored where no receipt points to.
    extra: usize,
    /// Sharding keys, and those whose messages are not in one queue in order.
    keys: usize,
    keys_out_of_order: usize,
    /// The first few disagreements.
    examples: Vec<String>,
}

impl Verdict {
    pub(super) fn of(topic: &str, placed: &[Placed], stored: &[StoredMessage]) -> Self {
        let topic: Arc<str> = Arc::from(topic);
        let mut verdict = Self {
            acked: placed.len(),
            stored: stored.len(),
            ..Self::default()
        };
        let mut by_place: HashMap<(&str, i32, i64), &StoredMessage> = stored
            .iter()
            .map(|message| {
                (
                    (
                        &*message.broker_name,
                        message.queue_id,
                        message.queue_offset,
                    ),
                    message,
                )
            })
            .collect();
        // Messages of one key by queue and offset: their numbers must ascend.
        let mut by_key: BTreeMap<&str, Vec<(&MessageQueue, i64, u64)>> = BTreeMap::new();
        for receipt in placed {
            let queue = &receipt.queue;
            let place: (&str, i32, i64) = (queue.broker_name(), queue.queue_id(), receipt.offset);
            let Some(message) = by_place.remove(&place) else {
                verdict.missing += 1;
                verdict.example(receipt, "nothing is stored there");
                continue;
            };
            match difference(&topic, receipt, message) {
                None => verdict.correct += 1,
                Some(what) => {
                    verdict.different += 1;
                    verdict.example(receipt, what);
                }
            }
            if let Some(key) = message.property(property::SHARDING_KEY) {
                by_key
                    .entry(key)
                    .or_default()
                    .push((queue, receipt.offset, receipt.seq));
            }
        }
        verdict.extra = by_place.len();
        verdict.keys = by_key.len();
        verdict.keys_out_of_order = by_key.into_values().filter_map(out_of_order).count();
        verdict
    }

    pub(super) fn is_good(&self) -> bool {
        self.acked > 0
            && self.correct == self.acked
            && self.extra == 0
            && self.keys_out_of_order == 0
    }

    fn example(&mut self, receipt: &Placed, what: &str) {
        const SHOWN: usize = 5;
        if self.examples.len() < SHOWN {
            let Placed {
                seq, queue, offset, ..
            } = receipt;
            self.examples
                .push(format!("message {seq} at {queue} offset {offset}: {what}"));
        }
    }
}

/// What is not as it was sent.
fn difference(topic: &Arc<str>, receipt: &Placed, stored: &StoredMessage) -> Option<&'static str> {
    let Ok(sent) = messages::message(topic, receipt.seq) else {
        return Some("it could not have been sent");
    };
    let same_properties = same_properties(&sent, stored);
    [
        (
            stored.message_id() == receipt.message_id.as_str(),
            "another message id",
        ),
        (stored.body == sent.body(), "another body"),
        (same_properties, "other properties"),
    ]
    .into_iter()
    .find_map(|(same, what)| (!same).then_some(what))
}

/// Brokers and producer add properties; those that were set must be there.
fn same_properties(sent: &Message, stored: &StoredMessage) -> bool {
    sent.properties()
        .iter()
        .all(|(name, value)| stored.property(name) == Some(value))
}

/// Something if the messages of a key are not in one queue in the order they were sent.
fn out_of_order(mut messages: Vec<(&MessageQueue, i64, u64)>) -> Option<()> {
    messages.sort_unstable();
    let good = messages
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a.0 == b.0 && a.2 < b.2));
    (!good).then_some(())
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "read back   {} stored for {} receipts",
            self.stored, self.acked
        )?;
        writeln!(
            f,
            "            {} as sent at queue and offset of their receipt, {} missing, {} different, {} extra",
            self.correct, self.missing, self.different, self.extra
        )?;
        writeln!(
            f,
            "            {} of {} sharding keys in one queue and in order",
            self.keys - self.keys_out_of_order,
            self.keys
        )?;
        for example in &self.examples {
            writeln!(f, "            {example}")?;
        }
        f.write_str(if self.is_good() {
            "verdict     every message is where it was acknowledged, and nothing else is"
        } else {
            "verdict     receipts and brokers DISAGREE"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_order_only_in_one_queue_and_ascending() {
        let (a, b) = (
            MessageQueue::new("t", "a", 0),
            MessageQueue::new("t", "a", 1),
        );
        assert_eq!(out_of_order(vec![(&a, 2, 8), (&a, 1, 4), (&a, 0, 0)]), None);
        assert_eq!(out_of_order(vec![(&a, 0, 4), (&a, 1, 0)]), Some(()));
        assert_eq!(out_of_order(vec![(&a, 0, 0), (&b, 0, 4)]), Some(()));
    }
}
