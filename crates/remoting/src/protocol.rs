//! Typed headers and bodies of the requests that a producer makes, and of their answers.
//!
//! A new request code goes here: one file with its header (and body), its number in
//! [`RequestCode`](crate::RequestCode).

mod bare_keys;
pub mod broker_info;
pub mod check_transaction;
pub mod cluster;
pub mod end_transaction;
pub mod heartbeat;
pub(crate) mod lenient;
mod object_keys;
pub mod offset_query;
pub mod prepared;
pub mod producer_connections;
pub mod push_reply;
pub mod query_message;
pub mod recall;
pub mod route;
pub mod route_request;
pub mod send;
pub mod stored;
pub mod topic_config;
pub mod topic_list;
pub mod topic_stats;
pub mod unregister;

pub use broker_info::BrokerInfo;
pub use check_transaction::CheckTransactionStateRequestHeader;
pub use cluster::ClusterInfo;
pub use end_transaction::{EndTransactionRequestHeader, TransactionEnd};
pub use heartbeat::{HeartbeatData, HeartbeatRequestHeader};
pub use offset_query::{Boundary, GetOffsetRequestHeader, QueueEnd, SearchOffsetRequestHeader};
pub use prepared::PreparedSend;
pub use producer_connections::{
    ClientConnection, GetProducerConnectionListRequestHeader, ProducerConnections,
};
pub use push_reply::{PushedReplyError, read_pushed_reply};
pub use query_message::{QueryMessageRequestHeader, ViewMessageRequestHeader};
pub use recall::{RecallMessageRequestHeader, RecallMessageResponseHeader};
pub use route::{
    BrokerData, Permission, QueueData, RouteParseError, TopicQueueMappingInfo, TopicRouteData,
};
pub use route_request::GetRouteInfoRequestHeader;
pub use send::{SendMessageRequestHeader, SendMessageRequestHeaderV1, SendMessageResponseHeader};
pub use stored::{StoredMessage, TransactionId};
pub use topic_config::{CreateTopicRequestHeader, GetTopicConfigRequestHeader, TopicConfig};
pub use topic_list::TopicList;
pub use topic_stats::{GetTopicStatsRequestHeader, QueueStats, TopicStats};
pub use unregister::UnregisterClientRequestHeader;
