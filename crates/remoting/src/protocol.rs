//! Typed headers and bodies of the requests that a producer makes, and of their answers.
//!
//! A new request code goes here: one file with its header (and body), its number in
//! [`RequestCode`](crate::RequestCode).

mod bare_keys;
pub mod check_transaction;
pub mod cluster;
pub mod end_transaction;
pub mod heartbeat;
pub(crate) mod lenient;
pub mod prepared;
pub mod route;
pub mod route_request;
pub mod send;
pub mod stored;
pub mod unregister;

pub use check_transaction::CheckTransactionStateRequestHeader;
pub use cluster::ClusterInfo;
pub use end_transaction::{EndTransactionRequestHeader, TransactionEnd};
pub use heartbeat::{HeartbeatData, HeartbeatRequestHeader};
pub use prepared::PreparedSend;
pub use route::{
    BrokerData, Permission, QueueData, RouteParseError, TopicQueueMappingInfo, TopicRouteData,
};
pub use route_request::GetRouteInfoRequestHeader;
pub use send::{SendMessageRequestHeader, SendMessageRequestHeaderV1, SendMessageResponseHeader};
pub use stored::{StoredMessage, TransactionId};
pub use unregister::UnregisterClientRequestHeader;
