//! How name servers fail to give a route.

use std::{sync::Arc, time::Duration};

use rocketmq_producer_remoting::{
    ConnectError, RequestError, ResponseCode, protocol::RouteParseError,
};
use thiserror::Error;

use super::discovery::DiscoveryError;

/// Why no route came from the name servers.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum NameServerError {
    /// No address is known, and asking for some failed.
    #[error("name server addresses could not be discovered")]
    Discovery(#[source] Arc<DiscoveryError>),
    /// A name server sent something that is no route, and no other sent one.
    #[error("no valid route from the name servers: {}", describe(attempts))]
    InvalidRoute {
        /// The first name server that did.
        address: Arc<str>,
        /// Each address that was asked and what came of it.
        attempts: Arc<[NameServerAttempt]>,
    },
    /// There is no address to ask.
    #[error("no name server address known")]
    NoAddress,
    /// A name server answered with a code that is neither a route nor "no such topic",
    /// and no other answered better.
    #[error("refused by the name servers: {}", describe(attempts))]
    Refused {
        /// The first name server that did.
        address: Arc<str>,
        /// Each address that was asked and what came of it.
        attempts: Arc<[NameServerAttempt]>,
    },
    /// A name server answered that it does not know the topic, and no other knows it.
    #[error("name server {address} knows no topic {topic}")]
    TopicNotFound {
        /// The topic.
        topic: Arc<str>,
        /// The first name server that said so.
        address: Arc<str>,
    },
    /// No name server answered, or none is ready to.
    #[error("no name server reachable: {}", describe(attempts))]
    Unreachable {
        /// Each address that was asked and what came of it.
        attempts: Arc<[NameServerAttempt]>,
    },
}

impl NameServerError {
    /// The error of a question that every address failed.
    #[must_use]
    pub(super) fn of(attempts: Arc<[NameServerAttempt]>) -> Self {
        let first = |wanted: fn(&AttemptCause) -> bool| {
            let attempt = attempts.iter().find(|attempt| wanted(&attempt.cause))?;
            Some(Arc::clone(&attempt.address))
        };
        if attempts.is_empty() {
            Self::NoAddress
        } else if let Some(address) = first(|cause| matches!(cause, AttemptCause::Refused { .. })) {
            Self::Refused { address, attempts }
        } else if let Some(address) = first(|cause| matches!(cause, AttemptCause::InvalidRoute(_)))
        {
            Self::InvalidRoute { address, attempts }
        } else {
            Self::Unreachable { attempts }
        }
    }

    /// Whether no name server answered at all: another question would fare no better now.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Discovery(_) | Self::NoAddress | Self::Unreachable { .. }
        )
    }

    /// Each address that was asked and what came of it; empty where that is not told.
    #[must_use]
    pub fn attempts(&self) -> &[NameServerAttempt] {
        match self {
            Self::InvalidRoute { attempts, .. }
            | Self::Refused { attempts, .. }
            | Self::Unreachable { attempts } => attempts,
            Self::Discovery(_) | Self::NoAddress | Self::TopicNotFound { .. } => &[],
        }
    }
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

impl NameServerAttempt {
    /// An attempt, for name servers in tests.
    #[must_use]
    pub fn new(address: impl Into<Arc<str>>, cause: AttemptCause) -> Self {
        Self {
            address: address.into(),
            cause,
        }
    }
}

/// What came of asking one address.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum AttemptCause {
    /// It could not be connected to.
    #[error(transparent)]
    Connect(ConnectError),
    /// The body of its answer is no route.
    #[error("no valid route: {0}")]
    InvalidRoute(Arc<RouteParseError>),
    /// It is there but does not serve requests at the moment.
    #[error("not ready, {}", code.with_remark(remark))]
    NotReady {
        /// Its code.
        code: ResponseCode,
        /// Its remark, possibly empty.
        remark: Arc<str>,
    },
    /// It answered with a code that says neither route nor "no such topic".
    #[error("refused with {}", code.with_remark(remark))]
    Refused {
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
    /// It does not know the topic.
    #[error("knows no such topic")]
    TopicNotFound,
    /// It had not answered when the caller gave up.
    #[error("no answer for {} ms", elapsed.as_millis())]
    Waiting {
        /// For how long.
        elapsed: Duration,
    },
}

/// The attempts in one line.
pub(crate) fn describe(attempts: &[NameServerAttempt]) -> String {
    let attempts: Vec<String> = attempts
        .iter()
        .map(|attempt| format!("{} ({})", attempt.address, attempt.cause))
        .collect();
    attempts.join(", ")
}
