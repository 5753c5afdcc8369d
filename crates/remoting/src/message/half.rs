//! The half message of a transaction.

use super::property::TRAN_MSG;
use super::{Message, MessageError};

/// The system flag of a half message. Java: `MessageSysFlag.TRANSACTION_PREPARED_TYPE`.
pub const TRANSACTION_PREPARED: i32 = 0x4;

/// Where brokers keep half messages. Java: `TopicValidator.RMQ_SYS_TRANS_HALF_TOPIC`.
pub const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";

/// Where brokers note which half messages are settled. Java: `TopicValidator.RMQ_SYS_TRANS_OP_HALF_TOPIC`.
pub const OP_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";

/// The group that a broker asks for the state of the transaction. Java: `PROPERTY_PRODUCER_GROUP`.
pub const PRODUCER_GROUP_PROPERTY: &str = "PGROUP";

/// How often a broker has asked for the state of a transaction. Java: `PROPERTY_TRANSACTION_CHECK_TIMES`.
pub const CHECK_TIMES_PROPERTY: &str = "TRANSACTION_CHECK_TIMES";

impl Message {
    /// The message as the half of a transaction that brokers ask `group` about. Its system flag is
    /// [`TRANSACTION_PREPARED`].
    ///
    /// # Errors
    /// [`TimingError::Transaction`](super::TimingError::Transaction) if it is to be delivered later: brokers would forget
    /// that, or the transaction. Also when the properties become too long.
    pub fn into_half(mut self, group: &str) -> Result<Self, MessageError> {
        self.check_transaction_timing()?;
        self.properties.set(TRAN_MSG, "true")?;
        self.properties.set(PRODUCER_GROUP_PROPERTY, group)?;
        Ok(self)
    }
}

/// How often a broker has asked about this half message, this time included.
#[must_use]
pub fn check_times(properties: &super::Properties) -> u32 {
    let times = properties.get(CHECK_TIMES_PROPERTY);
    times.and_then(|times| times.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{TimingError, property};

    #[test]
    fn a_half_message_names_its_group() {
        let half = Message::new("t", "b").unwrap().into_half("PG").unwrap();
        assert_eq!(half.property("TRAN_MSG"), Some("true"));
        assert_eq!(half.property("PGROUP"), Some("PG"));
        assert!(property::is_reserved("TRAN_MSG") && property::is_reserved("PGROUP"));
    }

    #[test]
    fn a_delayed_message_is_no_half_of_a_transaction() {
        let message = || Message::new("t", "b").unwrap();
        let delayed = [
            message().with_delay_level(3),
            message().with_delay(std::time::Duration::from_secs(3)),
            message().with_deliver_at_millis(1),
        ];
        for message in delayed {
            let error = message.unwrap().into_half("PG").unwrap_err();
            assert_eq!(error, MessageError::Timing(TimingError::Transaction));
        }
    }
}
