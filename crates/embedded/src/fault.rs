//! Faults on purpose: a [`Condition`] says for which requests, a [`Reaction`] what happens to them.

mod plan;

use std::time::Duration;

use bytes::Bytes;
pub use plan::{ArmedFault, FaultPlan};
use rocketmq_producer_remoting::{RemotingCommand, RequestCode, ResponseCode};

#[cfg(doc)]
use crate::EmbeddedCluster;

/// Which requests a fault concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    codes: Vec<RequestCode>,
    topic: Option<String>,
}

impl Condition {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests of one code.
    #[must_use]
    pub fn code(code: RequestCode) -> Self {
        Self {
            codes: vec![code],
            topic: None,
        }
    }

    /// Sends: SEND_MESSAGE, SEND_MESSAGE_V2 and SEND_BATCH_MESSAGE.
    #[must_use]
    pub fn sends() -> Self {
        Self {
            codes: vec![
                RequestCode::SEND_MESSAGE,
                RequestCode::SEND_MESSAGE_V2,
                RequestCode::SEND_BATCH_MESSAGE,
            ],
            topic: None,
        }
    }

    /// Of those, only requests that name `topic`.
    #[must_use]
    pub fn and_topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    fn wants_code(&self, code: RequestCode) -> bool {
        self.codes.is_empty() || self.codes.contains(&code)
    }
}

/// What happens to a request that a fault concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reaction {
    /// Not carried out; this answer is given instead.
    Answer {
        /// Response code.
        code: ResponseCode,
        /// Remark of the response.
        remark: String,
    },
    /// Not carried out; the connection is closed without an answer.
    CloseBefore,
    /// Carried out (a message is stored), then the connection is closed without an answer.
    CloseAfter,
    /// Carried out at once; the answer comes this much later. Other answers overtake it.
    Delay(Duration),
    /// Neither carried out nor answered, as if the request was lost on its way.
    Discard,
    /// Carried out; its answer comes twice.
    Duplicate,
    /// Carried out; these bytes are sent in place of the answer.
    Garbage(Bytes),
    /// From this request on the connection is dead without either side being told, as when a
    /// machine or a firewall between has gone: whatever comes on it is taken and forgotten,
    /// nothing is answered. Other connections are not concerned. Once the fault is lifted
    /// ([`ArmedFault::lift`], [`FaultPlan::clear`]) the connection is reset.
    HalfOpen,
    /// Carried out and answered; before the answer the server makes this request on each of its
    /// connections, with a number of its own. See [`EmbeddedCluster::responses`].
    Request(RemotingCommand),
    /// Not carried out; the connection is reset, so the client reads an error instead of an orderly
    /// end. In a [`MemoryNetwork`](crate::MemoryNetwork) it is closed.
    Reset,
    /// Carried out; the answer, and what else waits to be written on the connection, is written in
    /// pieces. Nothing else happens on the connection meanwhile.
    Split {
        /// Bytes of a piece; 0 counts as 1.
        piece: usize,
        /// The time between two pieces.
        pause: Duration,
    },
    /// Nothing more is read from the connection and nothing written, as if the server's process
    /// was stopped. Once the fault is lifted ([`ArmedFault::lift`], [`FaultPlan::clear`]) the
    /// request is carried out and answered as usual.
    Stall,
    /// Carried out (a message is stored); if it succeeds, the answer has this code instead of
    /// success: a receipt with a weaker promise, such as
    /// [`FLUSH_DISK_TIMEOUT`](ResponseCode::FLUSH_DISK_TIMEOUT).
    Status(ResponseCode),
    /// Carried out and answered; before the answer comes a success for a request never made.
    StrayResponse,
    /// Carried out (a message is stored); the answer is dropped.
    Swallow,
    /// Carried out (a message is stored); only this many bytes of the answer are written, then the
    /// connection is closed.
    Truncate(usize),
}

impl Reaction {
    /// Not carried out; answered with `code` and `remark`.
    #[must_use]
    pub fn answer(code: ResponseCode, remark: impl Into<String>) -> Self {
        Self::Answer {
            code,
            remark: remark.into(),
        }
    }

    /// The answer of a server that is shutting down: GO_AWAY (1500), not carried out.
    #[must_use]
    pub fn go_away() -> Self {
        Self::answer(ResponseCode::GO_AWAY, "please go away")
    }
}

/// A condition, what happens, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    condition: Condition,
    reaction: Reaction,
    times: Option<u64>,
}

impl Fault {
    /// A fault for every request of `condition` until it is lifted.
    #[must_use]
    pub const fn new(condition: Condition, reaction: Reaction) -> Self {
        Self {
            condition,
            reaction,
            times: None,
        }
    }

    /// A fault for the next request of `condition` only.
    #[must_use]
    pub const fn once(condition: Condition, reaction: Reaction) -> Self {
        Self::new(condition, reaction).times(1)
    }

    /// Limits it to the next `times` requests.
    #[must_use]
    pub const fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }
}
