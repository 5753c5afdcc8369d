//! How name servers fail to give a route.

use std::sync::Arc;

use rocketmq_producer_remoting::{
    ConnectError, RequestError, ResponseCode, protocol::RouteParseError,
};
use thiserror::Error;

/// Why no route came from the name servers.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum NameServerError {
    /// The body of the answer is no route.
    #[error("name server {address} sent no valid route")]
    InvalidRoute {
        /// The name server.
        address: Arc<str>,
        /// What is wrong with it.
        #[source]
        cause: Arc<RouteParseError>,
    },
    /// There is no address to ask.
    #[error("no name server address known")]
    NoAddress,
    /// A name server answered with a code that another address will not change.
    #[error("name server {address} refused with {code}: {remark}")]
    Refused {
        /// The name server.
        address: Arc<str>,
        /// Its code.
        code: ResponseCode,
        /// Its remark, possibly empty.
        remark: Arc<str>,
    },
    /// A name server answered that it does not know the topic, and no other knows it.
    #[error("name server {address} knows no topic {topic}")]
    TopicNotFound {
        /// The topic.
        topic: Arc<str>,
        /// The first name server that said so.
        address: Arc<str>,
    },
    /// No name server gave an answer that could be used.
    #[error("no name server reachable: {}", describe(attempts))]
    Unreachable {
        /// Each address that was tried, in that order, and what came of it.
        attempts: Arc<[NameServerAttempt]>,
    },
}

/// One address that was asked in vain.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NameServerAttempt {
    /// The address.
    pub address: Arc<str>,
    /// What came of it.
    pub cause: AttemptCause,
}

/// What came of asking one address.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum AttemptCause {
    /// It could not be connected to.
    #[error(transparent)]
    Connect(ConnectError),
    /// It is there but does not serve requests at the moment.
    #[error("not ready, {code}: {remark}")]
    NotReady {
        /// Its code.
        code: ResponseCode,
        /// Its remark, possibly empty.
        remark: Arc<str>,
    },
    /// It did not answer.
    #[error(transparent)]
    Request(RequestError),
    /// The deadline passed before its turn.
    #[error("not asked before the deadline")]
    TooLate,
}

fn describe(attempts: &[NameServerAttempt]) -> String {
    let attempts: Vec<String> = attempts
        .iter()
        .map(|attempt| format!("{} ({})", attempt.address, attempt.cause))
        .collect();
    attempts.join(", ")
}
