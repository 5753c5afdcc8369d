//! [`ResponseClass`]: what an answer to a send means, in one table, so that layers cannot disagree.

use crate::code::ResponseCode;
use crate::delivery::Delivery;

/// What follows from the code and the remark of an answer to a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseClass {
    delivery: Option<Delivery>,
    retry: RetryRule,
    health: HealthEffect,
}

/// How a send may be tried again after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryRule {
    /// On another broker if there is one, else on the same after a pause.
    Elsewhere,
    /// Not at all: the next broker would say the same.
    Never,
    /// On another broker only.
    OtherBroker,
    /// On another broker only, and only once in the whole send.
    OtherBrokerOnce,
    /// Not needed: the message is stored.
    Receipt,
    /// After the route was refreshed, on any broker of the new route, once in the whole send.
    RefreshRouteThenAgain,
    /// After the route was refreshed, on another broker of the new route.
    RefreshRouteThenOtherBroker,
}

/// Whether an answer counts against the health of the broker that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a yes or no with names")]
pub enum HealthEffect {
    /// The broker is in trouble.
    Failure,
    /// The broker does its work; message, topic, route or credentials are at fault.
    Neutral,
    /// The broker stored the message.
    Success,
}

/// Codes whose meaning does not depend on the remark.
const TABLE: [(ResponseCode, ResponseClass); 20] = {
    use Delivery::Rejected;
    use HealthEffect::{Failure, Neutral};
    use RetryRule as Retry;
    const fn refused(retry: RetryRule, health: HealthEffect) -> ResponseClass {
        ResponseClass::new(Some(Rejected), retry, health)
    }
    [
        (ResponseCode::SUCCESS, ResponseClass::RECEIPT),
        (ResponseCode::FLUSH_DISK_TIMEOUT, ResponseClass::RECEIPT),
        (ResponseCode::SLAVE_NOT_AVAILABLE, ResponseClass::RECEIPT),
        (ResponseCode::FLUSH_SLAVE_TIMEOUT, ResponseClass::RECEIPT),
        (
            ResponseCode::SYSTEM_BUSY,
            refused(Retry::Elsewhere, Failure),
        ),
        (
            ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
            refused(Retry::Never, Neutral),
        ),
        (
            ResponseCode::TRANSACTION_FAILED,
            refused(Retry::Never, Neutral),
        ),
        (
            ResponseCode::MESSAGE_ILLEGAL,
            refused(Retry::Never, Neutral),
        ),
        (
            ResponseCode::SERVICE_NOT_AVAILABLE,
            refused(Retry::Elsewhere, Failure),
        ),
        (
            ResponseCode::VERSION_NOT_SUPPORTED,
            refused(Retry::Never, Neutral),
        ),
        (
            ResponseCode::NO_PERMISSION,
            refused(Retry::OtherBroker, Neutral),
        ),
        (
            ResponseCode::TOPIC_NOT_EXIST,
            refused(Retry::RefreshRouteThenOtherBroker, Neutral),
        ),
        (
            ResponseCode::INVALID_PARAMETER,
            refused(Retry::RefreshRouteThenAgain, Neutral),
        ),
        (
            ResponseCode::NO_BUYER_ID,
            refused(Retry::OtherBroker, Neutral),
        ),
        (
            ResponseCode::NOT_IN_CURRENT_UNIT,
            refused(Retry::OtherBroker, Neutral),
        ),
        (ResponseCode::FLOW_CONTROL, refused(Retry::Never, Neutral)),
        (
            ResponseCode::NOT_LEADER_FOR_QUEUE,
            refused(Retry::RefreshRouteThenAgain, Neutral),
        ),
        (
            ResponseCode::ILLEGAL_OPERATION,
            refused(Retry::Never, Neutral),
        ),
        // The server leaves in good order, and the connection is replaced: no sign of bad health.
        (ResponseCode::GO_AWAY, refused(Retry::Elsewhere, Neutral)),
        // Its remark says more, see `of`. Not said is whether the message was stored.
        (
            ResponseCode::SYSTEM_ERROR,
            ResponseClass::new(Some(Delivery::Unknown), Retry::OtherBrokerOnce, Failure),
        ),
    ]
};

impl ResponseClass {
    const RECEIPT: Self = Self::new(None, RetryRule::Receipt, HealthEffect::Success);

    const CREDENTIALS_REFUSED: Self = Self::new(
        Some(Delivery::Rejected),
        RetryRule::Never,
        HealthEffect::Neutral,
    );

    /// As `MESSAGE_ILLEGAL`, which is the answer to a single message that is too large.
    const TOO_LARGE: Self = Self::new(
        Some(Delivery::Rejected),
        RetryRule::Never,
        HealthEffect::Neutral,
    );

    /// Refused before anything was appended, for a reason of that broker: its settings, or a bound of one of its parts.
    const NOT_HERE: Self = Self::new(
        Some(Delivery::Rejected),
        RetryRule::OtherBroker,
        HealthEffect::Neutral,
    );

    const STALE_ROUTE: Self = Self::new(
        Some(Delivery::Rejected),
        RetryRule::RefreshRouteThenAgain,
        HealthEffect::Neutral,
    );

    /// Overloaded like any other busy broker, but the message may be in its log.
    const BUSY_AFTER_APPEND: Self = Self::new(
        Some(Delivery::Unknown),
        RetryRule::Elsewhere,
        HealthEffect::Failure,
    );

    /// A code that is not known: it may mean anything, so nothing is claimed and nothing repeated.
    const UNKNOWN_CODE: Self = Self::new(
        Some(Delivery::Unknown),
        RetryRule::Never,
        HealthEffect::Neutral,
    );

    const fn new(delivery: Option<Delivery>, retry: RetryRule, health: HealthEffect) -> Self {
        Self {
            delivery,
            retry,
            health,
        }
    }

    /// The class of an answer.
    #[must_use]
    pub fn of(code: ResponseCode, remark: Option<&str>) -> Self {
        let remark = remark.unwrap_or_default();
        match code {
            ResponseCode::SYSTEM_ERROR if is_acl_exception(remark) => Self::CREDENTIALS_REFUSED,
            ResponseCode::SYSTEM_ERROR if remark.starts_with("request queueId[") => {
                Self::STALE_ROUTE
            }
            ResponseCode::SYSTEM_ERROR if is_too_large(remark) => Self::TOO_LARGE,
            ResponseCode::SYSTEM_ERROR if is_kind_refused(remark) => Self::NOT_HERE,
            ResponseCode::NO_PERMISSION if is_credentials_refusal(remark) => {
                Self::CREDENTIALS_REFUSED
            }
            ResponseCode::SYSTEM_BUSY if may_be_appended(remark) => Self::BUSY_AFTER_APPEND,
            _ => TABLE
                .iter()
                .find(|(known, _)| *known == code)
                .map_or(Self::UNKNOWN_CODE, |(_, class)| *class),
        }
    }

    /// Whether the message is stored, be it with a weaker promise (10, 11, 12).
    #[must_use]
    pub const fn is_receipt(self) -> bool {
        matches!(self.retry, RetryRule::Receipt)
    }

    /// What is known about the message; `None` for a receipt.
    #[must_use]
    pub const fn delivery(self) -> Option<Delivery> {
        self.delivery
    }

    /// How the send may be tried again.
    #[must_use]
    pub const fn retry(self) -> RetryRule {
        self.retry
    }

    /// What the answer says about the health of the broker.
    #[must_use]
    pub const fn health(self) -> HealthEffect {
        self.health
    }
}

/// Refused credentials of a 4.x broker, which prints the exception. No topic name has a colon, so
/// none that is quoted in another remark can look like this.
fn is_acl_exception(remark: &str) -> bool {
    remark.contains("AclException:")
}

/// A batch that is too large for a broker of 5.x, which prints the exception of its encoder. It encodes a batch before it
/// appends any of it. No topic name has a full stop. Java: `MessageExtEncoder.encode(MessageExtBatch, …)`.
fn is_too_large(remark: &str) -> bool {
    remark.contains(" size exceeded") && remark.contains("store.MessageExtEncoder.encode(")
}

/// A broker without timers, with too many for one moment, or with too many light queues. No topic name has a space, and
/// none begins with a bracket. Java: `SendMessageProcessor.handlePutMessageResult`.
fn is_kind_refused(remark: &str) -> bool {
    remark.starts_with("accurate timer message is not enabled")
        || remark.starts_with("timer message is under flow control")
        || remark.starts_with("[LMQ_CONSUME_QUEUE_NUM_EXCEEDED]")
}

/// Whether code 16 speaks of credentials. The other meaning, that topic or broker are not
/// writable, always says `… is forbidden`; a topic name has no space, so quoting one cannot.
fn is_credentials_refusal(remark: &str) -> bool {
    is_acl_exception(remark) || (!remark.is_empty() && !remark.contains(" is forbidden"))
}

/// Whether a busy broker may hold the message all the same. A leader of 4.x in `DLedger` mode says
/// the same words when the quorum's acknowledgement of an appended message was late as another
/// says before it appends anything.
fn may_be_appended(remark: &str) -> bool {
    remark.contains("[PC_SYNCHRONIZED]")
}

#[cfg(test)]
mod tests {
    use super::{HealthEffect, ResponseClass, RetryRule};
    use crate::code::ResponseCode;
    use crate::delivery::Delivery;

    fn class(code: i32, remark: &str) -> (Option<Delivery>, RetryRule, HealthEffect) {
        let class = ResponseClass::of(ResponseCode(code), Some(remark).filter(|r| !r.is_empty()));
        (class.delivery(), class.retry(), class.health())
    }

    #[test]
    fn stored_with_a_weaker_promise_is_still_a_receipt() {
        for code in [0, 10, 11, 12] {
            assert!(
                ResponseClass::of(ResponseCode(code), None).is_receipt(),
                "{code}"
            );
            assert_eq!(
                class(code, ""),
                (None, RetryRule::Receipt, HealthEffect::Success)
            );
        }
    }

    #[test]
    fn every_failure_has_the_rule_of_the_design() {
        use Delivery::{Rejected, Unknown};
        use HealthEffect::{Failure, Neutral};
        use RetryRule::{
            Elsewhere, Never, OtherBroker, OtherBrokerOnce, RefreshRouteThenAgain,
            RefreshRouteThenOtherBroker,
        };
        for (code, remark, delivery, retry, health) in [
            (1, "boom", Unknown, OtherBrokerOnce, Failure),
            (1, "", Unknown, OtherBrokerOnce, Failure),
            (
                1,
                "java.lang.RuntimeException: message body size exceeded, org.apache.rocketmq.store.MessageExtEncoder.encode(MessageExtEncoder.java:290)",
                Rejected,
                Never,
                Neutral,
            ),
            (
                1,
                "accurate timer message is not enabled, timerWheelEnable is false",
                Rejected,
                OtherBroker,
                Neutral,
            ),
            (
                1,
                "timer message is under flow control, max num limit is 80000000 or the current value is greater than 40000000 and less than 80000000, trigger random flow control",
                Rejected,
                OtherBroker,
                Neutral,
            ),
            (
                1,
                "[LMQ_CONSUME_QUEUE_NUM_EXCEEDED]broker config enableLmq and enableMultiDispatch, lmq consumeQueue num exceed maxLmqConsumeQueueNum config num, default limit 2w.",
                Rejected,
                OtherBroker,
                Neutral,
            ),
            (
                1,
                "message body size exceeded",
                Unknown,
                OtherBrokerOnce,
                Failure,
            ),
            (
                1,
                "request queueId[9] is illegal, topicConfig",
                Rejected,
                RefreshRouteThenAgain,
                Neutral,
            ),
            (
                1,
                "org.apache.rocketmq.acl.common.AclException: [10015:signature-failed] x",
                Rejected,
                Never,
                Neutral,
            ),
            (
                2,
                "[TIMEOUT_CLEAN_QUEUE]broker busy",
                Rejected,
                Elsewhere,
                Failure,
            ),
            (
                2,
                "[REJECTREQUEST]system busy, start flow control for a while",
                Rejected,
                Elsewhere,
                Failure,
            ),
            (
                2,
                "[PC_SYNCHRONIZED]broker busy, start flow control for a while",
                Unknown,
                Elsewhere,
                Failure,
            ),
            (
                3,
                " request type 310 not supported",
                Rejected,
                Never,
                Neutral,
            ),
            (13, "the message is illegal", Rejected, Never, Neutral),
            (
                14,
                "service not available now",
                Rejected,
                Elsewhere,
                Failure,
            ),
            (
                16,
                "the broker[127.0.0.1] sending message is forbidden",
                Rejected,
                OtherBroker,
                Neutral,
            ),
            (16, "", Rejected, OtherBroker, Neutral),
            (
                16,
                "User:poor has no permission to access Topic:forbidden from 127.0.0.1",
                Rejected,
                Never,
                Neutral,
            ),
            (
                1,
                "java.lang.RuntimeException: topic AclException",
                Unknown,
                OtherBrokerOnce,
                Failure,
            ),
            (16, "check signature failed.", Rejected, Never, Neutral),
            (16, "username cannot be null.", Rejected, Never, Neutral),
            (
                16,
                "User:poor has no permission to access Topic:T from 127.0.0.1, no matched policies.",
                Rejected,
                Never,
                Neutral,
            ),
            (
                17,
                "topic[X] not exist",
                Rejected,
                RefreshRouteThenOtherBroker,
                Neutral,
            ),
            (
                29,
                "request queueId[9] is illegal",
                Rejected,
                RefreshRouteThenAgain,
                Neutral,
            ),
            (204, "", Rejected, OtherBroker, Neutral),
            (205, "", Rejected, OtherBroker, Neutral),
            (215, "", Rejected, Never, Neutral),
            (501, "x", Rejected, RefreshRouteThenAgain, Neutral),
            (604, "", Rejected, Never, Neutral),
            (1500, "please go away", Rejected, Elsewhere, Neutral),
            (4711, "", Unknown, Never, Neutral),
            (-1, "", Unknown, Never, Neutral),
        ] {
            assert_eq!(
                class(code, remark),
                (Some(delivery), retry, health),
                "{code} {remark}"
            );
        }
    }
}
