//! The properties of a message as a broker stores them: the client's, then its own.

use rocketmq_producer_remoting::message::MessageIdGenerator;
use rocketmq_producer_remoting::message::property::{MSG_REGION, TRACE_ON, UNIQ_KEY};

/// Name of the cluster, set by the broker.
const CLUSTER: &str = "CLUSTER";
/// The region of a broker that is given none.
pub(super) const REGION: &str = "DefaultRegion";

/// A property string that is ready to be stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StoredProperties {
    pub(super) wire: String,
    /// The client's id, or the one made here.
    pub(super) message_id: String,
}

impl StoredProperties {
    /// Pieces that are no property are left out, and so are the client's values of what the
    /// broker sets itself.
    pub(super) fn of(client: &str, cluster: &str) -> Self {
        /// For what is added.
        const ROOM: usize = 160;

        let mut wire = String::with_capacity(client.len() + ROOM);
        let mut message_id = None;
        for (name, value) in clients(client) {
            if name == UNIQ_KEY {
                message_id = Some(value);
            }
            push(&mut wire, name, value);
        }
        let message_id = match message_id {
            Some(id) => id.to_owned(),
            None => {
                let id = MessageIdGenerator::shared().next_id();
                push(&mut wire, UNIQ_KEY, id.as_str());
                id.as_str().to_owned()
            }
        };
        push_own(&mut wire, cluster);
        Self { wire, message_id }
    }

    /// Those of a message in a batch: its own, then the batch's, which go before its own where the names are equal, then
    /// the broker's. A missing id is not made.
    pub(super) fn of_member(member: &str, batch: &str, cluster: &str) -> String {
        let mut wire = String::with_capacity(member.len() + batch.len());
        for (name, value) in clients(member) {
            if clients(batch).all(|(other, _)| other != name) {
                push(&mut wire, name, value);
            }
        }
        for (name, value) in clients(batch) {
            push(&mut wire, name, value);
        }
        push_own(&mut wire, cluster);
        wire
    }
}

/// The client's properties, without what the broker sets itself.
fn clients(wire: &str) -> impl Iterator<Item = (&str, &str)> {
    wire.split('\u{2}')
        .filter_map(|piece| piece.split_once('\u{1}'))
        .filter(|(name, value)| {
            !name.is_empty() && !value.is_empty() && ![MSG_REGION, TRACE_ON, CLUSTER].contains(name)
        })
}

fn push_own(wire: &mut String, cluster: &str) {
    push(wire, MSG_REGION, REGION);
    push(wire, TRACE_ON, "true");
    push(wire, CLUSTER, cluster);
}

fn push(wire: &mut String, name: &str, value: &str) {
    for part in [name, "\u{1}", value, "\u{2}"] {
        wire.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_adds_its_own_and_keeps_the_clients() {
        let client = "KEYS\u{1}a b\u{2}CLUSTER\u{1}forged\u{2}broken\u{2}UNIQ_KEY\u{1}7F00\u{2}";
        let stored = StoredProperties::of(client, "C");
        assert_eq!(stored.message_id, "7F00");
        assert_eq!(
            stored.wire,
            "KEYS\u{1}a b\u{2}UNIQ_KEY\u{1}7F00\u{2}MSG_REGION\u{1}DefaultRegion\u{2}TRACE_ON\u{1}true\u{2}CLUSTER\u{1}C\u{2}"
        );
    }

    #[test]
    fn a_batch_gives_its_properties_to_every_message() {
        let member = "WAIT\u{1}true\u{2}UNIQ_KEY\u{1}OWN\u{2}a\u{1}1\u{2}";
        let wire =
            StoredProperties::of_member(member, "WAIT\u{1}true\u{2}UNIQ_KEY\u{1}ALL\u{2}", "C");
        let own = "MSG_REGION\u{1}DefaultRegion\u{2}TRACE_ON\u{1}true\u{2}CLUSTER\u{1}C\u{2}";
        assert_eq!(
            wire,
            format!("a\u{1}1\u{2}WAIT\u{1}true\u{2}UNIQ_KEY\u{1}ALL\u{2}{own}")
        );
    }

    #[test]
    fn a_missing_id_is_made() {
        let stored = StoredProperties::of("", "C");
        assert!(stored.message_id.len() >= 32);
        let piece = format!("UNIQ_KEY\u{1}{}\u{2}", stored.message_id);
        assert!(stored.wire.contains(&piece));
    }
}
