//! [`AdminError`]: why an administrative call failed.

use std::error::Error;
use std::sync::Arc;

use crate::config::routing::NameServerError;
use crate::config::routing::RoutingError;
use crate::config::routing::remoting::{ConnectError, RequestError, Response, ResponseCode};
use crate::error::SendFailure;

/// Why an administrative call failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// A broker could not be connected to.
    #[error("no connection to the broker")]
    Connect(#[from] ConnectError),
    /// What was asked for cannot be; nothing was sent.
    #[error("{0}")]
    Invalid(Arc<str>),
    /// A server sent something that is no answer to the request.
    #[error("answer of {address} cannot be read: {reason}")]
    Malformed {
        /// The server.
        address: Arc<str>,
        /// What is wrong with it.
        reason: Arc<str>,
    },
    /// The name servers did not answer, refused, or do not know the topic.
    #[error("the name servers gave no usable answer")]
    NameServer(#[from] NameServerError),
    /// The name servers know no master for it.
    #[error("no master for {0}")]
    NoMaster(Arc<str>),
    /// A broker refused.
    #[error("{address} answered {}", code.with_remark(remark))]
    Refused {
        /// The broker.
        address: Arc<str>,
        /// Its code.
        code: ResponseCode,
        /// Its words, possibly empty.
        remark: Arc<str>,
    },
    /// A broker did not answer.
    #[error("no answer of the broker")]
    Request(#[from] RequestError),
}

impl AdminError {
    pub(super) fn malformed(address: &str, reason: &dyn Error) -> Self {
        Self::Malformed {
            address: address.into(),
            reason: reason.to_string().into(),
        }
    }

    pub(super) fn refused(address: &str, response: &Response) -> Self {
        Self::Refused {
            address: address.into(),
            code: response.code(),
            remark: response.remark().unwrap_or_default().into(),
        }
    }

    /// Whether a name server or a broker says that there is no such topic.
    #[must_use]
    pub fn is_topic_not_found(&self) -> bool {
        matches!(
            self,
            Self::NameServer(NameServerError::TopicNotFound { .. })
                | Self::Refused {
                    code: ResponseCode::TOPIC_NOT_EXIST,
                    ..
                }
        )
    }

    /// Whether the server is too old to know the request.
    #[must_use]
    pub fn is_not_supported(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
                ..
            }
        )
    }

    /// Whether a broker refused the credentials, or what they may do.
    ///
    /// Brokers of 5.x have a code for it, which also stands for topics and brokers that are not writable; those of 4.x
    /// only have words.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Refused { code, remark, .. } => match *code {
                ResponseCode::NO_PERMISSION => true,
                ResponseCode::SYSTEM_ERROR => remark.contains("AclException"),
                _ => false,
            },
            _ => false,
        }
    }

    /// One sentence on what to do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Connect(error) => SendFailure::Connect(error.clone()).advice(),
            Self::Invalid(_) => "correct what was asked for",
            Self::Malformed { .. } => "check that the address is that of a RocketMQ server",
            Self::NameServer(NameServerError::TopicNotFound { .. }) => {
                "create the topic, or correct its name or the name server address"
            }
            Self::NameServer(error) => SendFailure::Routing(RoutingError::NameServer {
                topic: Arc::from(""),
                cause: error.clone(),
            })
            .advice(),
            Self::NoMaster(_) => "bring a master back, or correct the name of broker or cluster",
            Self::Refused { .. } if self.is_not_supported() => {
                "ask a broker of 5.x: older ones do not know this request"
            }
            Self::Refused { .. } if self.is_denied() => {
                "check access_key and secret_key, and ask the broker's operator for the right to do this"
            }
            Self::Refused { .. } if self.is_topic_not_found() => "create the topic on the broker",
            Self::Refused { .. } => "read the broker's words",
            Self::Request(error) => SendFailure::Request(error.clone()).advice(),
        }
    }
}
