//! Taking a timer message back before its time.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::debug;

use crate::config::routing::remoting::message::{
    RecallHandle, RecallHandleError, TopicError, validate_topic_for_send,
};
use crate::config::routing::remoting::protocol::{
    RecallMessageRequestHeader, RecallMessageResponseHeader,
};
use crate::config::routing::remoting::{Endpoint, ResponseCode};
use crate::core::Core;
use crate::deadline::{self, Cut};
use crate::error::SendFailure;
use crate::lifecycle::State;

/// Topics of messages that consumers want again, or gave up; no producer's message is there.
const CONSUMERS_TOPICS: [&str; 2] = ["%RETRY%", "%DLQ%"];

/// Why a message was not taken back, as far as is known.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RecallError {
    /// The text is no recall handle. Nothing was sent.
    #[error("the handle is none")]
    Handle(#[from] RecallHandleError),
    /// The handle is of a message of another topic. Nothing was sent.
    #[error("the handle is of topic {of:?}, not of {given:?}")]
    OtherTopic {
        /// The topic that was given, as brokers know it.
        given: Arc<str>,
        /// The topic in the handle.
        of: Arc<str>,
    },
    /// The topic is none that a message could be sent to. Nothing was sent.
    #[error("the topic cannot have a message to take back")]
    Topic(#[from] TopicError),
    /// The topic is one of consumers, whose messages cannot be taken back. Nothing was sent.
    #[error("messages of topic {topic:?} cannot be taken back")]
    ConsumersTopic {
        /// The topic.
        topic: Arc<str>,
    },
    /// The broker that holds the message has no address in the route of the topic now. Nothing was sent.
    #[error("broker {broker_name:?}, which holds the message, is not in the route of its topic")]
    BrokerUnknown {
        /// Name of the broker.
        broker_name: Arc<str>,
    },
    /// The broker does not take messages back: its setting `recallMessageEnable` is off, as it is unless changed.
    #[error("broker {broker_name:?} does not take messages back: {remark}")]
    Disabled {
        /// Name of the broker.
        broker_name: Arc<str>,
        /// Its words.
        remark: Arc<str>,
    },
    /// The broker is older than 5.3 and knows no such request.
    #[error("broker {broker_name:?} is too old to take messages back")]
    NotOffered {
        /// Name of the broker.
        broker_name: Arc<str>,
    },
    /// The broker refuses this handle; mostly since the message's time has come.
    #[error("broker {broker_name:?} does not take the message back: {remark}")]
    Refused {
        /// Name of the broker.
        broker_name: Arc<str>,
        /// Its words.
        remark: Arc<str>,
    },
    /// The request could not be made, or its answer is not known.
    #[error("no answer of a broker that takes the message back")]
    Failed(#[source] SendFailure),
}

impl RecallError {
    /// One sentence on what to do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Handle(_) => "give the text of the receipt's `recall_handle` as it was",
            Self::OtherTopic { .. } => "give the topic that the message was sent to",
            Self::Topic(_) | Self::ConsumersTopic { .. } => {
                "give the topic that the message was sent to"
            }
            Self::BrokerUnknown { .. } => {
                "call again once the broker is back: the message waits there"
            }
            Self::Disabled { .. } => {
                "have the broker's operator set recallMessageEnable=true, which needs no restart"
            }
            Self::NotOffered { .. } => "use brokers of 5.3 or later",
            Self::Refused { .. } => {
                "read the broker's words; a message whose time has come cannot be taken back"
            }
            Self::Failed(failure) => failure.advice(),
        }
    }
}

impl Core {
    /// Takes a timer message back; returns its id.
    pub(crate) async fn recall(&self, topic: &str, handle: &str) -> Result<String, RecallError> {
        let state = self.state.get();
        if state != State::Running {
            return Err(RecallError::Failed(SendFailure::State(state)));
        }
        let handle: RecallHandle = handle.parse()?;
        validate_topic_for_send(topic)?;
        if CONSUMERS_TOPICS.iter().any(|it| topic.starts_with(it)) {
            return Err(RecallError::ConsumersTopic {
                topic: Arc::from(topic),
            });
        }
        let topic = self.topic_name(topic);
        if *handle.topic() != *topic {
            return Err(RecallError::OtherTopic {
                given: Arc::from(&*topic),
                of: Arc::from(handle.topic()),
            });
        }
        let deadline = deadline::after(Instant::now(), self.config.send_msg_timeout);
        let ask = self.recall_at(&topic, &handle, deadline);
        match Cut::until(deadline, &self.cancel, ask).await {
            Ok(recalled) => recalled,
            Err(Cut::Cancelled) => Err(RecallError::Failed(SendFailure::Shutdown)),
            Err(Cut::Deadline) => Err(RecallError::Failed(SendFailure::Deadline)),
        }
    }

    async fn recall_at(
        &self,
        topic: &str,
        handle: &RecallHandle,
        deadline: Instant,
    ) -> Result<String, RecallError> {
        let broker_name: Arc<str> = Arc::from(handle.broker_name());
        let endpoint = self.endpoint_of(topic, &broker_name, deadline).await?;
        let connection = endpoint
            .connection(deadline)
            .await
            .map_err(|error| RecallError::Failed(SendFailure::Connect(error)))?;
        let header =
            RecallMessageRequestHeader::new(&self.group, &broker_name, topic, handle.as_str());
        let answer = connection.request(&header, &Bytes::new(), deadline).await;
        let answer = answer.map_err(|error| RecallError::Failed(SendFailure::Request(error)))?;
        let code = answer.code();
        if let Some(tracer) = &self.tracer {
            // Whatever was answered; a header that cannot be read is dealt with below. Java: `DefaultRecallMessageTraceHook`.
            let header = RecallMessageResponseHeader::read(answer.frame());
            if let Some(region) = header.ok().and_then(|header| header.region) {
                let is_success = code == ResponseCode::SUCCESS;
                tracer.recalled(&region, topic, handle.message_id(), is_success);
            }
        }
        if code == ResponseCode::SUCCESS {
            let header = RecallMessageResponseHeader::read(answer.frame())
                .map_err(|error| RecallError::Failed(SendFailure::Answer(error)))?;
            debug!(topic, %handle, "message taken back");
            return Ok(header
                .msg_id
                .unwrap_or_else(|| handle.message_id().to_owned()));
        }
        let remark: Arc<str> = Arc::from(answer.remark().unwrap_or_default());
        Err(match code {
            // Else it speaks of credentials. Java: `RecallMessageProcessor`.
            ResponseCode::NO_PERMISSION if remark.contains("operation is forbidden") => {
                RecallError::Disabled {
                    broker_name,
                    remark,
                }
            }
            ResponseCode::REQUEST_CODE_NOT_SUPPORTED => RecallError::NotOffered { broker_name },
            ResponseCode::ILLEGAL_OPERATION => RecallError::Refused {
                broker_name,
                remark,
            },
            _ => RecallError::Failed(SendFailure::Refused { code, remark }),
        })
    }

    /// Where the broker is, asking for the route anew if the one at hand does not name it.
    async fn endpoint_of(
        &self,
        topic: &str,
        broker_name: &str,
        deadline: Instant,
    ) -> Result<Endpoint, RecallError> {
        let mapping = self.router.mapping();
        let routing = |error| RecallError::Failed(SendFailure::Routing(error));
        let entry = mapping.topic(topic, deadline).await.map_err(routing)?;
        let find = || {
            let route = entry.route()?;
            let broker = route
                .brokers()
                .find(|broker| **broker.name() == *broker_name)?;
            Some(broker.endpoint().clone())
        };
        if let Some(endpoint) = find() {
            return Ok(endpoint);
        }
        mapping
            .force_refresh(entry.topic(), deadline)
            .await
            .map_err(routing)?;
        find().ok_or_else(|| RecallError::BrokerUnknown {
            broker_name: Arc::from(broker_name),
        })
    }
}
