//! The half message of a transaction.

use super::{Message, MessageError};

/// Properties of messages that are delivered later, which no transaction can be.
const LATER: [&str; 5] = [
    "DELAY",
    "TIMER_DELAY_LEVEL",
    "TIMER_DELAY_MS",
    "TIMER_DELAY_SEC",
    "TIMER_DELIVER_MS",
];

/// The system flag of a half message. Java: `MessageSysFlag.TRANSACTION_PREPARED_TYPE`.
pub const TRANSACTION_PREPARED: i32 = 0x4;

/// Where brokers keep half messages. Java: `TopicValidator.RMQ_SYS_TRANS_HALF_TOPIC`.
pub const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";

/// Where brokers note which half messages are settled. Java: `TopicValidator.RMQ_SYS_TRANS_OP_HALF_TOPIC`.
pub const OP_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";

/// Whether brokers take the message for the half of a transaction. Java: `PROPERTY_TRANSACTION_PREPARED`.
pub const TRANSACTION_PREPARED_PROPERTY: &str = "TRAN_MSG";

/// The group that a broker asks for the state of the transaction. Java: `PROPERTY_PRODUCER_GROUP`.
pub const PRODUCER_GROUP_PROPERTY: &str = "PGROUP";

/// How often a broker has asked for the state of a transaction. Java: `PROPERTY_TRANSACTION_CHECK_TIMES`.
pub const CHECK_TIMES_PROPERTY: &str = "TRANSACTION_CHECK_TIMES";

impl Message {
    /// The message as the half of a transaction that brokers ask `group` about. Its system flag is
    /// [`TRANSACTION_PREPARED`].
    ///
    /// # Errors
    /// [`MessageError::DelayedTransaction`] if it is to be delivered later: brokers would forget that, or the
    /// transaction. Also when the properties become too long.
    pub fn into_half(mut self, group: &str) -> Result<Self, MessageError> {
        for name in LATER {
            if self.properties.get(name).is_some() {
                return Err(MessageError::DelayedTransaction { property: name });
            }
        }
        self.properties.set(TRANSACTION_PREPARED_PROPERTY, "true")?;
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
    use crate::message::property;

    #[test]
    fn a_half_message_names_its_group() {
        let half = Message::new("t", "b").unwrap().into_half("PG").unwrap();
        assert_eq!(half.property("TRAN_MSG"), Some("true"));
        assert_eq!(half.property("PGROUP"), Some("PG"));
        assert!(property::is_reserved("TRAN_MSG") && property::is_reserved("PGROUP"));
    }

    #[test]
    fn a_delayed_message_is_no_half_of_a_transaction() {
        for name in LATER {
            let mut message = Message::new("t", "b").unwrap();
            message.properties.set(name, "3").unwrap();
            let error = message.into_half("PG").unwrap_err();
            assert_eq!(error, MessageError::DelayedTransaction { property: name });
        }
    }
}
