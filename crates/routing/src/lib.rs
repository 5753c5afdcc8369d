#![doc = include_str!("../README.md")]
//!
//! # How it fits together
//!
//! [`NameServerClient`] asks name servers for routes; [`TopicBrokerMapping`] keeps
//! them, each prepared as a [`RouteInfo`]; [`MessageRouter`] chooses a queue of one,
//! by a [`RoutingStrategy`] or a [`QueueSelector`], and consults [`BrokerHealth`],
//! which learns from what became of earlier messages.
//!
//! A new selector goes into `selector/`, a new rule of health into
//! `health/machine.rs`, a new setting into `options.rs`.

#[cfg(feature = "discovery-http")]
pub use name_server::HttpDiscovery;
#[doc(hidden)]
pub use name_server::read_page;
pub use rocketmq_producer_remoting as remoting;

mod auto_create;
mod broker;
mod error;
mod health;
mod load;
mod mapping;
mod name_server;
mod nanos;
mod options;
mod queue;
mod route;
mod router;
mod selector;
mod strategy;
#[cfg(test)]
mod test_support;

pub use self::{
    auto_create::DEFAULT_TOPIC,
    broker::Broker,
    error::{QueueProblem, RoutingError},
    health::{
        BrokerCondition, BrokerHealth, BrokerHealthInfo, BrokerRegistry, BrokerState, HealthCause,
        HealthEvent, HealthEvents, HealthEventsError, Incident, IncidentId,
    },
    load::{Occupancy, Occupied},
    mapping::{
        CacheStats, SelectionResult, TopicBrokerMapping, TopicEntry, TopicHasher, TopicHashing,
    },
    name_server::{
        AddressProblem, AttemptCause, DiscoveryError, DiscoveryStatus, DiscoveryUrl, HttpFailure,
        NameServerAddresses, NameServerAttempt, NameServerClient, NameServerDiscovery,
        NameServerError, NameServerSource, ParseAddressesError, ParseSourceError, RouteAnswer,
        RouteProgress, RouteQuestion, RouteSource,
    },
    options::{BrokerAvoidance, HealthOptions, KeyedFailover, RoutingOptions, TopicCreation},
    queue::{MessageQueue, QueuePlace},
    route::{
        ExcludedQueues, ExclusionReason, QueueTarget, RouteInfo, RouteKind, RouteOrigin,
        RoutedQueue,
    },
    router::{MessageRouter, RouteRequest, RoutedBy, Routing, RoutingStats},
    selector::{
        AsyncQueueSelector, MessageHashSelector, QueueSelector, RandomSelector, RoundRobinSelector,
        SelectorArgument, hash_index, java_hash_code,
    },
    strategy::{RoutingStrategy, UnknownStrategy},
};
