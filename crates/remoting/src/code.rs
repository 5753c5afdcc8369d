//! Request and response codes. Newtypes, so that a code of a newer broker survives unharmed.

use std::fmt;

macro_rules! codes {
    ($(#[$type_doc:meta])* $type:ident { $($(#[$doc:meta])* $name:ident = $value:literal,)+ }) => {
        $(#[$type_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(clippy::exhaustive_structs, reason = "a transparent number of the protocol")]
        pub struct $type(pub i32);

        impl $type {
            $($(#[$doc])* pub const $name: Self = Self($value);)+

            /// The constant's name in Apache RocketMQ, if this code is known here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => write!(f, "{name} ({})", self.0),
                    None => write!(f, "code {}", self.0),
                }
            }
        }
    };
}

codes! {
    /// What a request asks for (Java: `RequestCode`).
    RequestCode {
        /// Send one message, long field names.
        SEND_MESSAGE = 10,
        /// Messages with a key, by the broker's index.
        QUERY_MESSAGE = 12,
        /// Create or change a topic.
        UPDATE_AND_CREATE_TOPIC = 17,
        /// Settings of a running broker; also a cheap sign that it serves requests.
        GET_BROKER_RUNTIME_INFO = 28,
        /// Offset in a queue by time.
        SEARCH_OFFSET_BY_TIMESTAMP = 29,
        /// Largest offset of a queue.
        GET_MAX_OFFSET = 30,
        /// Smallest offset of a queue.
        GET_MIN_OFFSET = 31,
        /// One message by its place in the commit log.
        VIEW_MESSAGE_BY_ID = 33,
        /// Announce the groups of a client on a connection.
        HEART_BEAT = 34,
        /// Take a group of a client back.
        UNREGISTER_CLIENT = 35,
        /// Commit or roll back a transaction.
        END_TRANSACTION = 37,
        /// Broker asks for the state of a transaction.
        CHECK_TRANSACTION_STATE = 39,
        /// Broker tells that the members of a consumer group changed.
        NOTIFY_CONSUMER_IDS_CHANGED = 40,
        /// Route of a topic, asked of a name server.
        GET_ROUTEINFO_BY_TOPIC = 105,
        /// All brokers that a name server knows.
        GET_BROKER_CLUSTER_INFO = 106,
        /// Offsets of a topic's queues on a broker.
        GET_TOPIC_STATS_INFO = 202,
        /// Connections of a producer group.
        GET_PRODUCER_CONNECTION_LIST = 204,
        /// Names of all topics that a name server knows.
        GET_ALL_TOPIC_LIST_FROM_NAMESERVER = 206,
        /// Broker asks a consumer to reset its offset.
        RESET_CONSUMER_CLIENT_OFFSET = 220,
        /// Broker asks a consumer for its state.
        GET_CONSUMER_STATUS_FROM_CLIENT = 221,
        /// Broker asks a consumer for its running state.
        GET_CONSUMER_RUNNING_INFO = 307,
        /// Broker hands a message to a consumer directly.
        CONSUME_MESSAGE_DIRECTLY = 309,
        /// Send one message, one-letter field names.
        SEND_MESSAGE_V2 = 310,
        /// Send a batch.
        SEND_BATCH_MESSAGE = 320,
        /// Send a reply, long field names.
        SEND_REPLY_MESSAGE = 324,
        /// Send a reply, one-letter field names.
        SEND_REPLY_MESSAGE_V2 = 325,
        /// Broker hands a reply to the requester.
        PUSH_REPLY_MESSAGE_TO_CLIENT = 326,
        /// Settings of a topic on a broker; 5.x only.
        GET_TOPIC_CONFIG = 351,
        /// Take a timer message back.
        RECALL_MESSAGE = 370,
    }
}

codes! {
    /// How a request ended (Java: `ResponseCode`, `RemotingSysResponseCode`).
    ResponseCode {
        /// Done; a message is stored.
        SUCCESS = 0,
        /// Failed for a reason that only the remark tells.
        SYSTEM_ERROR = 1,
        /// The broker is overloaded and did not store the message.
        SYSTEM_BUSY = 2,
        /// The peer does not know the request code.
        REQUEST_CODE_NOT_SUPPORTED = 3,
        /// The transaction could not be opened.
        TRANSACTION_FAILED = 4,
        /// Stored in memory; the disk flush was late.
        FLUSH_DISK_TIMEOUT = 10,
        /// Stored; no slave was there to copy it to.
        SLAVE_NOT_AVAILABLE = 11,
        /// Stored; replication was late.
        FLUSH_SLAVE_TIMEOUT = 12,
        /// The message breaks a rule of the broker.
        MESSAGE_ILLEGAL = 13,
        /// The broker cannot store now: full disk, slave, or shutting down.
        SERVICE_NOT_AVAILABLE = 14,
        /// The broker does not speak this version.
        VERSION_NOT_SUPPORTED = 15,
        /// Credentials refused, or topic or broker not writable.
        NO_PERMISSION = 16,
        /// No such topic.
        TOPIC_NOT_EXIST = 17,
        /// No message has the key.
        QUERY_NOT_FOUND = 22,
        /// An illegal queue id or topic name.
        INVALID_PARAMETER = 29,
        /// The message lacks a buyer id.
        NO_BUYER_ID = 204,
        /// The message belongs to another unit.
        NOT_IN_CURRENT_UNIT = 205,
        /// A quota is used up.
        FLOW_CONTROL = 215,
        /// The static topic's queue has moved to another broker.
        NOT_LEADER_FOR_QUEUE = 501,
        /// The operation is not allowed here.
        ILLEGAL_OPERATION = 604,
        /// The server is leaving; reconnect.
        GO_AWAY = 1500,
    }
}

impl ResponseCode {
    /// The code, and after it the words that came with it, if any: `SYSTEM_BUSY (2): [REJECTREQUEST]system busy`.
    #[must_use]
    pub fn with_remark(self, remark: &str) -> String {
        match remark.trim() {
            "" => self.to_string(),
            words => format!("{self}: {words}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_without_words_prints_itself_alone() {
        let code = ResponseCode::REQUEST_CODE_NOT_SUPPORTED;
        assert_eq!(
            code.with_remark(" request type 310 not supported"),
            "REQUEST_CODE_NOT_SUPPORTED (3): request type 310 not supported"
        );
        assert_eq!(ResponseCode(4711).with_remark(" "), "code 4711");
    }

    #[test]
    fn known_and_unknown_codes_print_themselves() {
        assert_eq!(ResponseCode::SYSTEM_BUSY.to_string(), "SYSTEM_BUSY (2)");
        assert_eq!(ResponseCode(4711).to_string(), "code 4711");
        assert_eq!(RequestCode(310), RequestCode::SEND_MESSAGE_V2);
    }
}
