#![doc = include_str!("../README.md")]

mod admin;
mod attempt;
mod batch;
mod blame;
mod blocking;
mod builder;
mod client_id;
mod compression;
mod context;
mod core;
mod deadline;
mod dialers;
mod discovery;
mod error;
mod gate;
mod heartbeat;
mod hooks;
mod kind;
mod lanes;
mod ledger;
mod lifecycle;
mod message_trace;
mod metrics;
mod namespace;
mod network;
mod options;
mod outcome;
mod pace;
mod pipeline;
mod preheat;
mod producer;
mod rank;
mod recall;
mod receipt;
mod reply;
mod report;
mod request;
mod retry;
mod server_requests;
mod spans;
mod stats;
mod stream;
mod transaction;
mod transaction_state;

pub use rocketmq_producer_config as config;

pub use admin::{
    Admin, AdminError, BrokerPing, FoundMessages, GroupConnection, KeyQuery, SendProbe,
    TopicChange, TopicStatus, TopicTarget,
};
pub use attempt::Attempt;
pub use batch::{BatchError, BatchRule};
pub use blocking::BlockingProducer;
pub use builder::ProducerBuilder;
pub use context::{ClientContext, ClientContextBuilder};
pub use error::{
    BlockingFailure, BuildError, ErrorKind, FullBound, SendError, SendFailure, StartError,
};
pub use heartbeat::HeartbeatReport;
pub use hooks::{
    CheckForbiddenContext, CheckForbiddenHook, EndTransactionContext, EndTransactionHook,
    SendContext, SendHook, SendOutcome, TraceContextHook,
};
pub use kind::Via;
pub use lanes::Lane;
pub use lifecycle::State;
pub use metrics::{
    LatencyBucket, LatencyHistogram, METRICS, MetricKind, MetricName, MetricsSnapshot,
    RuntimeSnapshot,
};
pub use options::SendOptions;
pub use preheat::PreheatReport;
pub use producer::{Producer, create_producer};
pub use rank::InstanceRank;
pub use recall::RecallError;
pub use receipt::{SendReceipt, SendStatus};
pub use reply::Reply;
pub use report::{FlushReport, ShutdownReport};
pub use request::RequestError;
pub use stats::ProducerStats;
pub use stream::{SendAll, SendAllAsCompleted, SendProgress, SendSink};
pub use transaction::{
    BlockingTransactionalProducer, CheckedMessage, HalfMessage, OpenTransaction, Settlement,
    TransactionChecker, TransactionError, TransactionReceipt, TransactionStats,
    TransactionalProducer,
};
pub use transaction_state::LocalTransactionState;
