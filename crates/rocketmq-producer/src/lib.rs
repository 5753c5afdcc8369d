#![doc = include_str!("../README.md")]

pub use rocketmq_producer_core::config;
pub use rocketmq_producer_core::config::routing;
pub use rocketmq_producer_core::config::routing::remoting;

pub use rocketmq_producer_core::{
    Admin, AdminError, Attempt, BatchError, BatchRule, BlockingFailure, BlockingProducer,
    BrokerPing, BuildError, ErrorKind, FlushReport, FoundMessages, FullBound, GroupConnection,
    HeartbeatReport, KeyQuery, Lane, PreheatReport, Producer, ProducerBuilder, ProducerStats,
    RecallError, SendAll, SendAllAsCompleted, SendError, SendFailure, SendOptions, SendProbe,
    SendProgress, SendReceipt, SendSink, SendStatus, ShutdownReport, StartError, State,
    TopicChange, TopicStatus, TopicTarget, create_producer,
};
// Metrics.
pub use rocketmq_producer_core::{
    LatencyBucket, LatencyHistogram, METRICS, MetricKind, MetricName, MetricsSnapshot,
    RuntimeSnapshot,
};
// Producers that share a client; requests.
pub use rocketmq_producer_core::{
    ClientContext, ClientContextBuilder, InstanceRank, Reply, RequestError,
};
// Hooks.
pub use rocketmq_producer_core::{
    CheckForbiddenContext, CheckForbiddenHook, EndTransactionContext, EndTransactionHook,
    LocalTransactionState, SendContext, SendHook, SendOutcome, TraceContextHook,
};

pub use rocketmq_producer_core::{
    BlockingTransactionalProducer, CheckedMessage, HalfMessage, OpenTransaction, Settlement,
    TransactionChecker, TransactionError, TransactionReceipt, TransactionStats,
    TransactionalProducer, Via,
};

pub use config::{
    BatchSplit, ConfigError, DeliveryGuarantee, Ordered, OrderedOnUnknown, ProducerConfig,
    Template, WeakHalf, create_custom_config, get_config,
};
pub use remoting::message::MessageId;
pub use remoting::{
    AddedFieldError, HookError, HookFailure, HookResult, RequestContext, RequestHook,
    RequestOutcome,
};
pub use remoting::{Delivery, Message, MessageError};
pub use routing::{
    AsyncQueueSelector, BrokerHealthInfo, HealthEvent, HealthEvents, MessageQueue,
    NameServerDiscovery, QueueSelector, RoutingStrategy, SelectorArgument,
};

/// What most programs need: `use rocketmq_producer::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Delivery, ErrorKind, Message, Producer, SendError, SendOptions, SendReceipt, SendStatus,
    };
}
