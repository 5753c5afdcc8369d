//! Why one attempt, or a send before its first attempt, failed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::ErrorKind;
use crate::batch::BatchRule;
use crate::config::routing::remoting::message::CompressionError;
use crate::config::routing::remoting::{
    CloseReason, ConnectError, ConnectFailure, Delivery, FrameError, HookError, MessageError,
    ProxyError, ProxyFailure, RequestError, RequestFailure, ResponseClass, ResponseCode, RetryRule,
    TlsFailure, with_causes,
};
use crate::config::routing::{AttemptCause, NameServerError, QueueProblem, RoutingError};
use crate::lanes::Lane;
use crate::lifecycle::State;

/// Why one attempt, or a send before its first attempt, failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SendFailure {
    /// The broker's answer cannot be read, so it is unknown whether it stored the message.
    #[error("broker's answer cannot be read")]
    Answer(#[source] FrameError),
    /// The messages given to one [`send_batch`](crate::Producer::send_batch) cannot go together; none was sent.
    #[error("messages cannot be sent as a batch")]
    Batch(#[source] BatchRule),
    /// A blocking call could not wait for its outcome.
    #[error(transparent)]
    Blocking(BlockingFailure),
    /// The only broker that the message could go to was away until the deadline.
    #[error("broker did not come back within {waited:.1?}")]
    BrokerAway {
        /// How long its return was waited for.
        waited: Duration,
        /// The address, and what the last dial met.
        #[source]
        cause: ConnectError,
    },
    /// The body could not be compressed.
    #[error("body cannot be compressed")]
    Compression(#[source] CompressionError),
    /// The broker could not be dialled.
    #[error("broker cannot be reached")]
    Connect(#[source] ConnectError),
    /// The deadline passed before an attempt could begin.
    #[error("no time was left for an attempt")]
    Deadline,
    /// A hook did not let the message pass; nothing of it was sent at this place.
    #[error("a hook stands in the way")]
    Hook(#[source] HookError),
    /// An earlier message of the same key or queue was under way (setting `ordered`) until the deadline, or when a send
    /// that does not wait was called.
    #[error("an earlier message of {0} was still under way")]
    LaneBusy(Lane),
    /// The outcome of an earlier message of the same key or queue is unknown, and nothing is sent after it (settings
    /// `ordered` and `ordered_on_unknown`) until [`Producer::resume_lane`](crate::Producer::resume_lane).
    #[error("an earlier message of {0} may or may not be stored")]
    LaneStopped(Lane),
    /// The message breaks a rule.
    #[error("message breaks a rule")]
    Message(#[source] MessageError),
    /// Another attempt beside it was answered first (setting `hedge_percentile`), so this one was let go. It may have
    /// stored the message too.
    #[error("let go, since another attempt was answered first")]
    Overtaken,
    /// No place became free before the deadline, or there was none for a send that does not wait.
    #[error("{limit} {bound} {} already", bound.what_they_do())]
    QueueFull {
        /// Which bound it is.
        bound: FullBound,
        /// The bound.
        limit: u64,
    },
    /// The broker answered with a code that is no receipt. Mostly it says that the message was not stored; after some
    /// codes it may be, see [`delivery`](Self::delivery).
    #[error("broker answered {}", code.with_remark(remark))]
    Refused {
        /// The broker's code.
        code: ResponseCode,
        /// The broker's words.
        remark: Arc<str>,
    },
    /// The request got no answer.
    #[error("broker did not answer")]
    Request(#[source] RequestError),
    /// No queue could be chosen.
    #[error("no queue could be chosen")]
    Routing(#[source] RoutingError),
    /// The producer was shut down, and the time for what was under way was over.
    #[error("producer was shut down meanwhile")]
    Shutdown,
    /// The producer takes no messages in its state.
    #[error("producer is {0}")]
    State(State),
}

const HOOK_ADVICE: &str = "see what the hook says; it is part of the program that sends";

/// What bounds the sends under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FullBound {
    /// The setting `broker_share`: the one broker that the message is bound to holds its share of the sends or bytes.
    BrokerShare,
    /// The setting `max_in_flight_bytes`.
    Bytes,
    /// The setting `oneway_rate`.
    OnewayRate,
    /// The setting `async_send_semaphore`.
    Sends,
}

impl fmt::Display for FullBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BrokerShare => "sends, or bytes in proportion, at the message's broker",
            Self::Bytes => "bytes",
            Self::OnewayRate => "one-way messages a second",
            Self::Sends => "sends",
        })
    }
}

impl FullBound {
    const fn what_they_do(self) -> &'static str {
        match self {
            Self::OnewayRate => "go out",
            _ => "are under way",
        }
    }
}

/// Why a blocking call could not wait for its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockingFailure {
    /// The runtime that runs the producer ended, or the call panicked on it, before its outcome
    /// was known.
    #[error("the runtime that runs the producer ended before the outcome was known")]
    Interrupted,
    /// The runtime that runs the producer has ended.
    #[error("the runtime that runs the producer has ended")]
    RuntimeGone,
    /// The runtime did no work on the call until well after its deadline.
    #[error("the runtime that runs the producer was blocked until after the deadline")]
    Stalled,
    /// The call was made on the only thread of the runtime that would have to do the work.
    #[error("blocking call on the only thread of the runtime that runs the producer")]
    WouldDeadlock,
}

impl SendFailure {
    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Answer(_) => ErrorKind::Serialization,
            Self::Blocking(BlockingFailure::Stalled) | Self::Deadline | Self::Overtaken => {
                ErrorKind::Timeout
            }
            Self::Hook(_) => ErrorKind::Hook,
            Self::LaneStopped(_) => ErrorKind::LaneStopped,
            Self::Blocking(BlockingFailure::WouldDeadlock) => ErrorKind::Blocking,
            Self::Blocking(_) | Self::State(_) => ErrorKind::NotRunning,
            Self::BrokerAway { .. } | Self::Connect(_) => ErrorKind::BrokerNotAvailable,
            Self::Compression(_) => ErrorKind::Compression,
            Self::Batch(_) | Self::Message(_) => ErrorKind::MessageValidation,
            Self::LaneBusy(_) | Self::QueueFull { .. } => ErrorKind::QueueFull,
            Self::Refused { .. } => ErrorKind::MessageSend,
            Self::Request(error) => match error.failure() {
                RequestFailure::DeadlineExceeded | RequestFailure::WriteBufferFull => {
                    ErrorKind::Timeout
                }
                RequestFailure::Frame(_) => ErrorKind::Serialization,
                RequestFailure::Hook(_) => ErrorKind::Hook,
                _ => ErrorKind::BrokerNotAvailable,
            },
            Self::Routing(error) => match error {
                RoutingError::TopicNotFound { .. } => ErrorKind::RouteNotFound,
                RoutingError::NameServer { cause, .. } => match cause {
                    NameServerError::InvalidRoute { .. } => ErrorKind::RouteUpdate,
                    _ => ErrorKind::NameServer,
                },
                RoutingError::Closed => ErrorKind::Shutdown,
                RoutingError::DeadlineExceeded { .. } => ErrorKind::Timeout,
                _ => ErrorKind::QueueNotAvailable,
            },
            Self::Shutdown => ErrorKind::Shutdown,
        }
    }

    /// What is known about the message after an attempt that failed so.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Answer(_)
            | Self::Overtaken
            | Self::Blocking(BlockingFailure::Interrupted | BlockingFailure::Stalled) => {
                Delivery::Unknown
            }
            Self::Refused { code, remark } => ResponseClass::of(*code, Some(remark))
                .delivery()
                .unwrap_or(Delivery::Unknown),
            Self::Request(error) => error.delivery(),
            Self::Batch(_)
            | Self::Blocking(_)
            | Self::BrokerAway { .. }
            | Self::Compression(_)
            | Self::Connect(_)
            | Self::Deadline
            | Self::Hook(_)
            | Self::LaneBusy(_)
            | Self::LaneStopped(_)
            | Self::Message(_)
            | Self::QueueFull { .. }
            | Self::Routing(_)
            | Self::Shutdown
            | Self::State(_) => Delivery::NotSent,
        }
    }

    /// The failure and its causes in one line, for logs and health records.
    pub(crate) fn with_causes(&self) -> String {
        with_causes(self)
    }

    /// One sentence on what to do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Batch(_) => {
                "give messages of one topic, and send those of other kinds by themselves"
            }
            Self::Answer(_) => "check that the address is that of a RocketMQ broker",
            Self::Blocking(BlockingFailure::WouldDeadlock) => {
                "await `send`, or call from a thread outside the runtime"
            }
            Self::Blocking(BlockingFailure::Stalled) => {
                "leave the producer's runtime a thread that is not blocked, or use `start_blocking`"
            }
            Self::Blocking(_) => {
                "keep the runtime alive for as long as the producer, or use `start_blocking`"
            }
            Self::BrokerAway { cause: error, .. } | Self::Connect(error) => match error.failure() {
                failure if failure.tls().is_some() => tls_advice(failure.tls()),
                failure if failure.proxy().is_some() => proxy_advice(failure.proxy()),
                failure if failure.dialled_as().is_some() => {
                    "check the rules of address_map, and vip_channel: the error names the address \
                     that was dialled"
                }
                failure if failure.closed_without_a_word() => {
                    "check that a RocketMQ broker listens there, and whether it takes TLS only \
                     (setting tls)"
                }
                ConnectFailure::TimedOut(_) => {
                    "check that the broker's advertised address (brokerIP1) is reachable from here"
                }
                _ => {
                    "check that the broker runs and that its advertised address (brokerIP1) is \
                     reachable from here"
                }
            },
            Self::Compression(_) => {
                "send it with compress_type none, and report what the codec says"
            }
            Self::Request(error)
                if error
                    .failure()
                    .lost()
                    .is_some_and(|lost| lost.tls().is_some()) =>
            {
                tls_advice(error.failure().lost().and_then(CloseReason::tls))
            }
            Self::Hook(_) => HOOK_ADVICE,
            Self::Request(error) if matches!(error.failure(), RequestFailure::Hook(_)) => {
                HOOK_ADVICE
            }
            Self::Deadline | Self::Overtaken | Self::Request(_) => {
                "see the attempts for where the time went; a longer send_msg_timeout gives \
                 retries their turn"
            }
            Self::LaneBusy(_) => {
                "send less at a time with one key, or give more time with send_msg_timeout"
            }
            Self::LaneStopped(_) => {
                "find out whether the earlier message is stored, then call `resume_lane`"
            }
            Self::Message(_) => "correct the message; sending it again as it is cannot succeed",
            Self::QueueFull { bound, .. } => match bound {
                FullBound::Bytes => {
                    "slow down, or raise max_in_flight_bytes if brokers and memory can take more"
                }
                FullBound::BrokerShare => {
                    "this broker is slow while others are not: see its health, or raise broker_share"
                }
                FullBound::OnewayRate => {
                    "slow down, or raise oneway_rate if brokers store what they get"
                }
                FullBound::Sends => {
                    "slow down, or raise async_send_semaphore if brokers can take more"
                }
            },
            Self::Refused { code, remark } => {
                match (*code, ResponseClass::of(*code, Some(remark)).retry()) {
                    (ResponseCode::MESSAGE_ILLEGAL, _) => {
                        "correct the message as the broker's words say"
                    }
                    (
                        ResponseCode::NO_PERMISSION | ResponseCode::SYSTEM_ERROR,
                        RetryRule::Never,
                    ) => {
                        "the broker refuses the credentials or their rights: read its words, check \
                         access_key and secret_key, and ask its operator for the right to publish"
                    }
                    (ResponseCode::NO_PERMISSION | ResponseCode::SYSTEM_ERROR, _) => {
                        "read the broker's words; for credentials or permissions ask its operator"
                    }
                    (ResponseCode::TOPIC_NOT_EXIST, _) => "create the topic on the broker",
                    (
                        ResponseCode::REQUEST_CODE_NOT_SUPPORTED
                        | ResponseCode::VERSION_NOT_SUPPORTED,
                        _,
                    ) => {
                        "check that the address is that of a broker, and not of a name server, and \
                         that its version knows such messages"
                    }
                    (ResponseCode::SERVICE_NOT_AVAILABLE, _) => {
                        "read the broker's words: its disk is full, it takes no writes, or it is \
                         leaving; send again later"
                    }
                    (ResponseCode::FLOW_CONTROL, _) => {
                        "a quota is used up: send less, or have the broker's operator raise it"
                    }
                    (ResponseCode::SYSTEM_BUSY | ResponseCode::GO_AWAY, _) => {
                        "the broker is overloaded or leaving; send again later"
                    }
                    (_, RetryRule::RefreshRouteThenAgain) => {
                        "send again: the route has changed, and is asked for anew"
                    }
                    _ => "read the broker's words",
                }
            }
            Self::Routing(error) => match error {
                RoutingError::TopicNotFound { .. } => {
                    "create the topic, or correct its name or the name server address"
                }
                RoutingError::NameServer { cause, .. } if tls_of(cause).is_some() => {
                    tls_advice(tls_of(cause))
                }
                RoutingError::NameServer {
                    cause: NameServerError::Discovery(_),
                    ..
                } => {
                    "check that namesrv_addr names a page whose first line is host:port;host:port, \
                     and what the page's server says"
                }
                RoutingError::NameServer { cause, .. } if proxy_of(cause).is_some() => {
                    proxy_advice(proxy_of(cause))
                }
                RoutingError::NameServer { cause, .. } if was_closed(cause) => {
                    "check that a name server listens at namesrv_addr, and whether it takes TLS only \
                     (setting tls)"
                }
                RoutingError::NameServer {
                    cause: NameServerError::Refused { .. },
                    ..
                } => {
                    "read what it answered, and check the port in namesrv_addr: 9876 is usual, and \
                     a broker is no name server"
                }
                RoutingError::NameServer { .. } => {
                    "check namesrv_addr and that a name server listens there"
                }
                RoutingError::NoMaster { .. } => "bring a master of the topic's brokers back",
                RoutingError::NothingWritable { .. } => {
                    "give the topic write permission (perm 6) on a broker"
                }
                RoutingError::BrokersSuspended { .. } => "resume a broker of the topic",
                RoutingError::QueueNotAvailable {
                    reason: QueueProblem::Unknown,
                    ..
                } => "name a queue that the topic has: `rocketmq-producer route TOPIC` lists them",
                RoutingError::SelectorOutOfRange { .. } | RoutingError::SelectorRefused { .. } => {
                    "correct the selector: it must choose one of the queues that it is given"
                }
                RoutingError::DeadlineExceeded { .. } => {
                    "check namesrv_addr: the error names the address that was silent, for instance \
                     behind a firewall"
                }
                _ => "see the topic's route: `rocketmq-producer route TOPIC` shows it",
            },
            Self::Shutdown => "give the shutdown more time, or end sends before it",
            Self::State(State::Created) => "start the producer before sending",
            Self::State(_) => "build a new producer; one that was shut down does not start again",
        }
    }
}

/// How TLS failed with a name server, if it did.
fn tls_of(error: &NameServerError) -> Option<&TlsFailure> {
    error
        .attempts()
        .iter()
        .find_map(|attempt| match &attempt.cause {
            AttemptCause::Connect(error) => error.failure().tls(),
            AttemptCause::Request(error) => error.failure().lost()?.tls(),
            _ => None,
        })
}

/// How the proxy failed to bring a connection to a name server, if it did.
fn proxy_of(error: &NameServerError) -> Option<&ProxyError> {
    let mut attempts = error.attempts().iter();
    attempts.find_map(|attempt| match &attempt.cause {
        AttemptCause::Connect(error) => error.failure().proxy(),
        _ => None,
    })
}

/// Whether a name server closed the connection without an answer.
fn was_closed(error: &NameServerError) -> bool {
    error.attempts().iter().any(|attempt| match &attempt.cause {
        AttemptCause::Connect(error) => error.failure().closed_without_a_word(),
        AttemptCause::Request(error) => error.failure().lost().is_some_and(CloseReason::is_by_peer),
        _ => false,
    })
}

/// What to do when a proxy brought no connection.
fn proxy_advice(error: Option<&ProxyError>) -> &'static str {
    match error.map(ProxyError::failure) {
        Some(ProxyFailure::LoginRequired | ProxyFailure::LoginRefused) => {
            "check socks_user and socks_password"
        }
        Some(ProxyFailure::Forbidden { .. }) => {
            "have the proxy's rules allow connections to this server"
        }
        Some(ProxyFailure::TargetUnreachable { .. }) => {
            "check that the server runs, and that its address is reachable from the proxy"
        }
        _ => "check socks_proxy and that a SOCKS5 proxy listens there",
    }
}

/// What to do when TLS has failed.
fn tls_advice(failure: Option<&TlsFailure>) -> &'static str {
    failure.map_or("check the certificates of both sides", TlsFailure::advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(code: ResponseCode, remark: &str) -> &'static str {
        let remark = remark.into();
        SendFailure::Refused { code, remark }.advice()
    }

    #[test]
    fn the_advice_on_a_refusal_speaks_of_what_the_broker_said() {
        for (code, remark, words) in [
            (
                ResponseCode::SYSTEM_BUSY,
                "[REJECTREQUEST]system busy",
                "overloaded",
            ),
            (
                ResponseCode::SERVICE_NOT_AVAILABLE,
                "the broker's disk is full [CL: 0.95]",
                "disk",
            ),
            (
                ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
                " request type 310 not supported",
                "name server",
            ),
            (ResponseCode::NOT_LEADER_FOR_QUEUE, "", "route"),
            (ResponseCode(4242), "what", "broker's words"),
        ] {
            let advice = advice(code, remark);
            assert!(advice.contains(words), "{code}: {advice}");
        }
    }

    #[test]
    fn a_broker_is_called_overloaded_only_where_it_says_so() {
        let all = (0..=5000).map(ResponseCode);
        let said = all.filter(|code| advice(*code, "").contains("overloaded"));
        assert_eq!(
            said.collect::<Vec<_>>(),
            [ResponseCode::SYSTEM_BUSY, ResponseCode::GO_AWAY]
        );
    }
}
