//! Which failures say something about the health of a broker: a pure decision.

use std::time::Duration;

use crate::config::routing::Incident;
use crate::config::routing::remoting::{
    CloseReason, ConnectFailure, HealthEffect, RequestFailure, ResponseClass,
};
use crate::error::SendFailure;

/// A broker is not blamed for silence if it was given less than this: the caller was too impatient.
const PATIENCE: Duration = Duration::from_millis(50);

/// What to hold against the broker at which an attempt failed that was given `time`; nothing if it
/// was not at fault.
pub(crate) fn incident(failure: &SendFailure, time: Duration) -> Option<Incident> {
    match failure {
        SendFailure::Refused { code, remark } => {
            let class = ResponseClass::of(*code, Some(remark));
            (class.health() == HealthEffect::Failure).then_some(Incident::Single)
        }
        SendFailure::Answer(_) => Some(Incident::Single),
        SendFailure::Request(error) => match error.failure() {
            RequestFailure::Frame(_)
            | RequestFailure::Hook(_)
            | RequestFailure::PendingFull { .. } => None,
            // We closed it, or the broker left in good order.
            RequestFailure::ConnectionLost(reason)
                if matches!(**reason, CloseReason::Local | CloseReason::GoAway) =>
            {
                None
            }
            RequestFailure::DeadlineExceeded | RequestFailure::WriteBufferFull
                if time < PATIENCE =>
            {
                None
            }
            _ => Some(Incident::of_request(error)),
        },
        SendFailure::Connect(error) => match error.failure() {
            ConnectFailure::PoolClosed => None,
            ConnectFailure::DeadlineExceeded if time < PATIENCE => None,
            _ => Some(Incident::of_connect(error)),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::routing::remoting::{FrameError, ResponseCode};

    #[test]
    fn a_broker_is_blamed_for_its_own_failures_only() {
        let refused = |code, remark: &str| SendFailure::Refused {
            code: ResponseCode(code),
            remark: Arc::from(remark),
        };
        let second = Duration::from_secs(1);
        for (failure, blamed) in [
            (refused(2, "busy"), true),
            (refused(14, "disk full"), true),
            (refused(1, "boom"), true),
            (refused(13, "illegal"), false),
            (refused(16, "check signature failed."), false),
            (refused(17, "no topic"), false),
            (refused(29, "queue"), false),
            (refused(1500, "leaving"), false),
            (SendFailure::Answer(FrameError::UnexpectedEnd), true),
            (SendFailure::Deadline, false),
            (SendFailure::Shutdown, false),
        ] {
            assert_eq!(incident(&failure, second).is_some(), blamed, "{failure}");
        }
    }
}
