//! Names of the properties that clients and brokers give a meaning to, and the checks of a property.

use thiserror::Error;

/// Keys of the message, separated by spaces; indexed by the broker. Java: `PROPERTY_KEYS`.
pub const KEYS: &str = "KEYS";
/// Tag that consumers filter by. Java: `PROPERTY_TAGS`.
pub const TAGS: &str = "TAGS";
/// Whether the broker answers only once the message is as safe as it is set up to make it.
/// Java: `PROPERTY_WAIT_STORE_MSG_OK`.
pub const WAIT: &str = "WAIT";
/// The client's id of the message. Java: `PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX`.
pub const UNIQ_KEY: &str = "UNIQ_KEY";
/// The key whose messages stay in order in one queue. Java: `PROPERTY_SHARDING_KEY`.
pub const SHARDING_KEY: &str = "__SHARDINGKEY";
/// Name under which pyrocketmq and the Go client carry the sharding key: read, never written.
pub const SHARDING_KEY_ALIAS: &str = "SHARDING_KEY";
/// Region that the broker stamps on messages and answers. Java: `PROPERTY_MSG_REGION`.
pub const MSG_REGION: &str = "MSG_REGION";
/// Whether the broker wants the message traced. Java: `PROPERTY_TRACE_SWITCH`.
pub const TRACE_ON: &str = "TRACE_ON";

/// Delay level: a number into the broker's list of delays. Java: `PROPERTY_DELAY_TIME_LEVEL`.
pub const DELAY: &str = "DELAY";
/// Delay of a timer message in seconds. Java: `PROPERTY_TIMER_DELAY_SEC`.
pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
/// Delay of a timer message in milliseconds. Java: `PROPERTY_TIMER_DELAY_MS`.
pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
/// When a timer message is delivered, in milliseconds since 1970. Java: `PROPERTY_TIMER_DELIVER_MS`.
pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
/// Whether the message is half of a transaction. Java: `PROPERTY_TRANSACTION_PREPARED`.
pub const TRAN_MSG: &str = "TRAN_MSG";
/// What ties a reply to its request. Java: `PROPERTY_CORRELATION_ID`.
pub const CORRELATION_ID: &str = "CORRELATION_ID";
/// The client that waits for a reply. Java: `PROPERTY_MESSAGE_REPLY_TO_CLIENT`.
pub const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
/// How long a reply is waited for, in milliseconds. Java: `PROPERTY_MESSAGE_TTL`.
pub const TTL: &str = "TTL";
/// The namespace of the topic. Java: `PROPERTY_INSTANCE_ID`.
pub const INSTANCE_ID: &str = "INSTANCE_ID";
/// Light queues that a broker puts the message into as well. Java: `PROPERTY_INNER_MULTI_DISPATCH`.
pub const INNER_MULTI_DISPATCH: &str = "INNER_MULTI_DISPATCH";

/// Separates the name of a property from its value on the wire.
pub const NAME_VALUE_SEPARATOR: char = '\u{1}';
/// Ends a property on the wire.
pub const PROPERTY_SEPARATOR: char = '\u{2}';

/// Longest property string that a message can carry, in bytes: its length field is an `i16`.
pub const MAX_PROPERTIES_LENGTH: usize = 32_767;

/// Names that RocketMQ keeps for itself, sorted. Java: `MessageConst.STRING_HASH_SET`.
pub const RESERVED: [&str; 54] = [
    "1ST_POP_TIME",
    "ARRIVE_TIME",
    "BORN_TIMESTAMP",
    "BUYER_ID",
    "CLUSTER",
    "CONSUME_START_TIME",
    "CORRECTION_FLAG",
    "CORRELATION_ID",
    "DELAY",
    "DLQ_ORIGIN_MESSAGE_ID",
    "DLQ_ORIGIN_TOPIC",
    "DUP_INFO",
    "EXTEND_UNIQ_INFO",
    "INNER_MULTI_QUEUE_OFFSET",
    "INSTANCE_ID",
    "KEYS",
    "MAX_OFFSET",
    "MAX_RECONSUME_TIMES",
    "MIN_OFFSET",
    "MQ2_FLAG",
    "MSG_REGION",
    "MSG_TYPE",
    "ORIGIN_GROUP",
    "ORIGIN_MESSAGE_ID",
    "PGROUP",
    "POP_CK",
    "POP_CK_OFFSET",
    "PUSH_REPLY_TIME",
    "REAL_QID",
    "REAL_TOPIC",
    "RECONSUME_TIME",
    "REPLY_TO_CLIENT",
    "RETRY_TOPIC",
    "TAGS",
    "TIMER_DELAY_LEVEL",
    "TIMER_DELAY_MS",
    "TIMER_DELAY_SEC",
    "TIMER_DELIVER_MS",
    "TIMER_DEL_UNIQKEY",
    "TIMER_DEQUEUE_MS",
    "TIMER_ENQUEUE_MS",
    "TIMER_OUT_MS",
    "TIMER_ROLL_TIMES",
    "TRACE_ON",
    "TRANSFER_FLAG",
    "TRAN_MSG",
    "TRAN_PREPARED_QUEUE_OFFSET",
    "TTL",
    "UNIQ_KEY",
    "WAIT",
    "_SYS_MSG_PRIORITY_",
    "__BORNHOST",
    "__CRC32#",
    "__LITE_TOPIC",
];

/// Whether RocketMQ keeps `name` for itself, so that a user may not set it freely.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED.binary_search(&name).is_ok()
}

/// Checks that a property can be carried: name and value not blank, no separator in either.
///
/// # Errors
/// The rule that is broken. Values never appear in the error.
pub fn check(name: &str, value: &str) -> Result<(), PropertyError> {
    if name.trim().is_empty() {
        return Err(PropertyError::BlankName);
    }
    if value.trim().is_empty() {
        return Err(PropertyError::BlankValue {
            name: name.to_owned(),
        });
    }
    if has_separator(name) {
        return Err(PropertyError::SeparatorInName {
            name: name.to_owned(),
        });
    }
    if has_separator(value) {
        return Err(PropertyError::SeparatorInValue {
            name: name.to_owned(),
        });
    }
    Ok(())
}

fn has_separator(text: &str) -> bool {
    text.bytes().any(|b| b == 1 || b == 2)
}

/// Why a property is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PropertyError {
    /// The name is empty or white space.
    #[error("the name of a property is blank")]
    BlankName,
    /// The value is empty or white space.
    #[error("the value of property {name:?} is blank")]
    BlankValue {
        /// Name of the property.
        name: String,
    },
    /// RocketMQ keeps this name for itself.
    #[error("property name {name:?} is reserved by RocketMQ, choose another")]
    Reserved {
        /// Name of the property.
        name: String,
    },
    /// The name holds one of the characters that separate properties on the wire.
    #[error("property name {name:?} holds U+0001 or U+0002, which separate properties on the wire")]
    SeparatorInName {
        /// Name of the property.
        name: String,
    },
    /// The value holds one of the characters that separate properties on the wire.
    #[error(
        "the value of property {name:?} holds U+0001 or U+0002, which separate properties on the wire"
    )]
    SeparatorInValue {
        /// Name of the property.
        name: String,
    },
    /// With this property, all properties together would be longer than a message can carry.
    #[error(
        "with property {name:?} the properties take {length} bytes encoded, at most {limit} are possible"
    )]
    TooLong {
        /// Name of the property.
        name: String,
        /// Encoded length with the property, in bytes.
        length: usize,
        /// Longest possible, in bytes.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::{PropertyError, RESERVED, check, is_reserved};

    #[test]
    fn the_reserved_list_is_sorted_for_the_binary_search() {
        assert!(RESERVED.is_sorted());
        for name in RESERVED {
            assert!(is_reserved(name), "{name}");
        }
        assert!(!is_reserved("__SHARDINGKEY"));
        assert!(!is_reserved("wait"));
    }

    #[test]
    fn each_rule_has_its_own_error() {
        assert_eq!(check("a", "b"), Ok(()));
        assert_eq!(check(" ", "b"), Err(PropertyError::BlankName));
        assert!(matches!(
            check("a", "\t"),
            Err(PropertyError::BlankValue { .. })
        ));
        assert!(matches!(
            check("a\u{1}", "b"),
            Err(PropertyError::SeparatorInName { .. })
        ));
        assert!(matches!(
            check("a", "b\u{2}c"),
            Err(PropertyError::SeparatorInValue { .. })
        ));
    }
}
