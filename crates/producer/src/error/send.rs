//! The final error of a send: what, where, after how many attempts, and what to do.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{ErrorKind, SendFailure};
use crate::attempt::Attempt;
use crate::config::routing::remoting::Delivery;
use crate::config::routing::remoting::message::MessageId;

/// A message that got no receipt.
///
/// [`delivery`](Self::delivery) says whether it may be stored all the same, [`kind`](Self::kind)
/// why, [`attempts`](Self::attempts) what was tried, and [`advice`](Self::advice) what to do.
#[derive(Clone)]
pub struct SendError {
    inner: Box<Inner>,
}

#[derive(Clone)]
struct Inner {
    topic: Arc<str>,
    message_id: Option<MessageId>,
    elapsed: Duration,
    attempts: Vec<Attempt>,
    /// What ended the send; the last attempt's failure, if there was one.
    cause: SendFailure,
}

impl SendError {
    /// The error of a send that failed before its first attempt, or ended with `cause` after some.
    pub(crate) fn new(
        topic: Arc<str>,
        message_id: Option<MessageId>,
        elapsed: Duration,
        attempts: Vec<Attempt>,
        cause: SendFailure,
    ) -> Self {
        Self {
            inner: Box::new(Inner {
                topic,
                message_id,
                elapsed,
                attempts,
                cause,
            }),
        }
    }

    /// The error of a message of that topic.
    pub(crate) fn with_topic(mut self, topic: &Arc<str>) -> Self {
        self.inner.topic = Arc::clone(topic);
        self
    }

    /// The kind of the decisive cause; [`ErrorKind::RetryExhausted`] only when attempts ended with
    /// different kinds of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        let kind = self.inner.cause.kind();
        if kind == ErrorKind::Shutdown {
            return kind;
        }
        let mut failures = self.inner.attempts.iter().filter_map(Attempt::failure);
        if failures.any(|failure| failure.kind() != kind) {
            ErrorKind::RetryExhausted
        } else {
            kind
        }
    }

    /// The number of the matching pyrocketmq error.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.kind().code()
    }

    /// What is known about the message. One attempt whose outcome is unknown makes the whole send
    /// unknown; of the rest, one refusal makes it rejected.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        let failures = self.inner.attempts.iter().filter_map(Attempt::failure);
        let all = failures
            .chain([&self.inner.cause])
            .map(SendFailure::delivery);
        // NotSent < Rejected < Unknown.
        all.max().unwrap_or(Delivery::NotSent)
    }

    /// Whether sending the same message again may succeed without changing anything.
    ///
    /// If [`delivery`](Self::delivery) is [`Delivery::Unknown`] it may then be stored twice.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        use crate::config::routing::remoting::{ResponseClass, RetryRule};

        match &self.inner.cause {
            SendFailure::Batch(_)
            | SendFailure::Blocking(_)
            | SendFailure::Hook(_)
            | SendFailure::LaneStopped(_)
            | SendFailure::Message(_)
            | SendFailure::State(_) => false,
            SendFailure::Refused { code, remark } => {
                ResponseClass::of(*code, Some(remark)).retry() != RetryRule::Never
            }
            _ => !matches!(
                self.kind(),
                ErrorKind::Hook | ErrorKind::Serialization | ErrorKind::Shutdown
            ),
        }
    }

    /// One sentence on what to do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self.inner.cause {
            SendFailure::Deadline if self.inner.attempts.is_empty() => {
                "give the send more time, with send_msg_timeout or the timeout of the call"
            }
            ref cause => cause.advice(),
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.inner.topic
    }

    /// The id the message was given, by which to look for it; none if it was refused before.
    #[must_use]
    pub fn message_id(&self) -> Option<&MessageId> {
        self.inner.message_id.as_ref()
    }

    /// Every attempt that was made, in order.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.inner.attempts
    }

    /// What ended the send.
    #[must_use]
    pub fn cause(&self) -> &SendFailure {
        &self.inner.cause
    }

    /// Time from the call to the outcome.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.inner.elapsed
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            topic,
            attempts,
            elapsed,
            ..
        } = &*self.inner;
        write!(f, "send to topic {topic} failed: {} (", self.kind())?;
        match attempts.len() {
            0 => f.write_str("no attempt")?,
            1 => f.write_str("1 attempt")?,
            more => write!(f, "{more} attempts")?,
        }
        write!(
            f,
            " in {elapsed:.1?}, message {})",
            match self.delivery() {
                Delivery::NotSent => "not sent",
                Delivery::Rejected => "rejected",
                Delivery::Unknown => "possibly stored",
            }
        )
    }
}

impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError")
            .field("kind", &self.kind())
            .field("delivery", &self.delivery())
            .field("topic", &self.inner.topic)
            .field("message_id", &self.inner.message_id)
            .field("elapsed", &self.inner.elapsed)
            .field("cause", &self.inner.cause)
            .field("attempts", &self.inner.attempts)
            .finish()
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.inner.cause)
    }
}
