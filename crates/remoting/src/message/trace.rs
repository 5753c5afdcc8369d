//! Records of message traces, as they stand in the body of a trace message. Java: `TraceDataEncoder`.
//!
//! A record is a line of fields with U+0001 between them and U+0002 at its end. Several make the body of a message to
//! the trace topic, whose keys are the ids and keys of all messages in it.

use std::fmt::Write as _;

/// The topic that traces go to unless another is set. Java: `TopicValidator.RMQ_SYS_TRACE_TOPIC`.
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";

/// The longest body that Java gives a trace message, in bytes.
pub const MAX_TRACE_BODY: usize = 128_000;

/// Region in the records of messages whose broker names none. Java: `MixAll.DEFAULT_TRACE_REGION_ID`.
pub const DEFAULT_TRACE_REGION: &str = "DefaultRegion";

const FIELD_END: char = '\u{1}';
const RECORD_END: char = '\u{2}';

/// The kind of a traced message. Java: `MessageType`, whose ordinal travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TracedKind {
    /// Neither of the others.
    #[default]
    Normal,
    /// The half message of a transaction.
    Half,
    /// The end of a transaction.
    TransactionEnd,
    /// Delayed by a level.
    Delayed,
    /// In order. No client writes it.
    Ordered,
}

impl TracedKind {
    const fn ordinal(self) -> i32 {
        match self {
            Self::Normal => 0,
            Self::Half => 1,
            Self::TransactionEnd => 2,
            Self::Delayed => 3,
            Self::Ordered => 4,
        }
    }
}

/// What all records say about their message.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a record of the protocol")]
pub struct TracedMessage<'a> {
    /// When it was sent, or its transaction ended, in milliseconds since 1970.
    pub timestamp: i64,
    /// Region of the broker.
    pub region: &'a str,
    /// The producer group.
    pub group: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The id that the producer gave.
    pub message_id: &'a str,
    /// The tag; none is written as `null`, as Java does.
    pub tags: Option<&'a str>,
    /// The keys, separated by spaces; none is written as `null`.
    pub keys: Option<&'a str>,
    /// Address of the broker, `host:port`.
    pub store_host: &'a str,
}

/// The record of a message that a broker stored. Java: type `Pub`, 14 fields.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a record of the protocol")]
pub struct PublishTrace<'a> {
    /// The message.
    pub message: TracedMessage<'a>,
    /// Bytes of the body as it travelled.
    pub body_length: usize,
    /// How long the request took, in milliseconds.
    pub cost_millis: u64,
    /// The kind of message.
    pub kind: TracedKind,
    /// Where the broker stored it; none is written as `null`.
    pub offset_message_id: Option<&'a str>,
    /// Whether it is stored as safely as was asked for: the status was `SEND_OK`.
    pub is_success: bool,
}

/// The record of the end of a transaction. Java: type `EndTransaction`, 13 fields.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a record of the protocol")]
pub struct EndTransactionTrace<'a> {
    /// The message.
    pub message: TracedMessage<'a>,
    /// The kind of message: [`TracedKind::TransactionEnd`] from Java's producer.
    pub kind: TracedKind,
    /// The broker's id of the transaction; none is written as `null`.
    pub transaction_id: Option<&'a str>,
    /// Java's name of the state: `COMMIT_MESSAGE`, `ROLLBACK_MESSAGE` or `UNKNOW`.
    pub state: &'a str,
    /// Whether a broker had asked.
    pub is_from_check: bool,
}

/// The record of a try to take a timer message back. Java: type `Recall`, 7 fields.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a record of the protocol")]
pub struct RecallTrace<'a> {
    /// When the answer came, in milliseconds since 1970.
    pub timestamp: i64,
    /// Region of the broker.
    pub region: &'a str,
    /// The producer group.
    pub group: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The id that the message's producer gave.
    pub message_id: &'a str,
    /// Whether the broker took it back.
    pub is_success: bool,
}

impl RecallTrace<'_> {
    /// Appends the record.
    pub fn write(&self, out: &mut String) {
        field(out, "Recall");
        number(out, self.timestamp);
        for text in [self.region, self.group, self.topic, self.message_id] {
            field(out, text);
        }
        end(out, self.is_success);
    }
}

impl PublishTrace<'_> {
    /// Appends the record.
    pub fn write(&self, out: &mut String) {
        self.message.write("Pub", out);
        number(out, self.body_length);
        number(out, self.cost_millis);
        number(out, self.kind.ordinal());
        field(out, self.offset_message_id.unwrap_or(NULL));
        end(out, self.is_success);
    }
}

impl EndTransactionTrace<'_> {
    /// Appends the record.
    pub fn write(&self, out: &mut String) {
        self.message.write("EndTransaction", out);
        number(out, self.kind.ordinal());
        field(out, self.transaction_id.unwrap_or(NULL));
        field(out, self.state);
        end(out, self.is_from_check);
    }
}

/// How Java writes what is not there.
const NULL: &str = "null";

impl TracedMessage<'_> {
    fn write(&self, kind: &str, out: &mut String) {
        field(out, kind);
        number(out, self.timestamp);
        field(out, self.region);
        field(out, self.group);
        field(out, self.topic);
        field(out, self.message_id);
        field(out, self.tags.unwrap_or(NULL));
        field(out, self.keys.unwrap_or(NULL));
        field(out, self.store_host);
    }
}

fn field(out: &mut String, text: &str) {
    // Some come from servers: none may end the field or the record.
    out.extend(
        text.chars()
            .filter(|c| !matches!(*c, FIELD_END | RECORD_END)),
    );
    out.push(FIELD_END);
}

fn number(out: &mut String, number: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{number}{FIELD_END}");
}

fn end(out: &mut String, flag: bool) {
    let _ = write!(out, "{flag}{RECORD_END}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    /// What Java wrote.
    fn java(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/trace.json");
        let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let entries = file["entries"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["name"] == name).unwrap();
        entry["text"].as_str().unwrap().to_owned()
    }

    const MESSAGE: TracedMessage<'_> = TracedMessage {
        timestamp: 1_700_000_000_000,
        region: DEFAULT_TRACE_REGION,
        group: "PID-test",
        topic: "topic-test",
        message_id: "AC1415116D1418B4AAC217FE1B4E0000",
        tags: Some("Tags"),
        keys: Some("Keys"),
        store_host: "127.0.0.1:10911",
    };

    const PUBLISH: PublishTrace<'_> = PublishTrace {
        message: MESSAGE,
        body_length: 26,
        cost_millis: 245,
        kind: TracedKind::Normal,
        offset_message_id: Some("0A9A002600002A9F0000000000002329"),
        is_success: true,
    };

    fn published(record: PublishTrace<'_>) -> String {
        let mut text = String::new();
        record.write(&mut text);
        text
    }

    fn with(tags: Option<&'static str>, keys: Option<&'static str>) -> PublishTrace<'static> {
        let message = TracedMessage {
            tags,
            keys,
            ..MESSAGE
        };
        PublishTrace { message, ..PUBLISH }
    }

    #[test]
    fn records_are_javas_byte_for_byte() {
        assert_eq!(published(PUBLISH), java("pub"));
        assert_eq!(published(with(None, None)), java("pub-null-tags-keys"));
        assert_eq!(
            published(with(Some(""), Some(""))),
            java("pub-empty-tags-keys")
        );
        assert_eq!(
            published(with(Some("标签"), Some("键 值"))),
            java("pub-utf8")
        );
        let failed = PublishTrace {
            kind: TracedKind::Half,
            offset_message_id: None,
            is_success: false,
            ..with(Some("Tags"), Some("k1 k2"))
        };
        assert_eq!(
            published(failed),
            java("pub-failed-half-two-keys-no-offset-id")
        );
        let end = EndTransactionTrace {
            message: MESSAGE,
            kind: TracedKind::Normal,
            transaction_id: Some(MESSAGE.message_id),
            state: "COMMIT_MESSAGE",
            is_from_check: false,
        };
        let mut text = String::new();
        end.write(&mut text);
        assert_eq!(text, java("end-transaction-commit"));
        let recall = RecallTrace {
            timestamp: MESSAGE.timestamp,
            region: MESSAGE.region,
            group: MESSAGE.group,
            topic: MESSAGE.topic,
            message_id: MESSAGE.message_id,
            is_success: true,
        };
        let mut text = String::new();
        recall.write(&mut text);
        assert_eq!(text, java("recall"));
        let mut text = String::new();
        let refused = RecallTrace {
            is_success: false,
            ..recall
        };
        refused.write(&mut text);
        assert_eq!(text, java("recall").replace("true", "false"));
        let mut two = published(PUBLISH);
        PUBLISH.write(&mut two);
        assert_eq!(two, java("decode-two-records"));
    }

    #[test]
    fn what_a_server_says_ends_no_field() {
        let message = TracedMessage {
            region: "a\u{1}b\u{2}c",
            ..MESSAGE
        };
        let record = published(PublishTrace { message, ..PUBLISH });
        assert_eq!(record.matches(FIELD_END).count(), 13);
        assert!(record.contains("\u{1}abc\u{1}"));
    }
}
