//! Light queues (LMQ): one message stored once and found in many queues, of which a broker may have tens of thousands.
//!
//! Java: property `INNER_MULTI_DISPATCH`, for brokers with `enableLmq` and `enableMultiDispatch`; others keep the property
//! and do nothing with it.

use thiserror::Error;

use super::property::INNER_MULTI_DISPATCH;
use super::{Message, MessageError};

/// Names of light queues begin with this. Java: `MixAll.LMQ_PREFIX`.
pub const LMQ_PREFIX: &str = "%LMQ%";

/// Stands between the names. Java: `MixAll.LMQ_DISPATCH_SEPARATOR`.
const SEPARATOR: char = ',';

impl Message {
    /// Has the broker put the message into these light queues too; none by default, and none at all takes those away
    /// that were set before. `%LMQ%` is put before a name that lacks it. Such a message travels by itself, never in a
    /// batch.
    ///
    /// # Errors
    /// When a name is blank or holds a comma, which separates names, or a slash, which a broker could not store, or
    /// when the properties become too long.
    pub fn with_lmq<I, S>(mut self, queues: I) -> Result<Self, MessageError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let mut joined = String::new();
        for (index, name) in queues.into_iter().enumerate() {
            let name = name.as_ref();
            let plain = name.strip_prefix(LMQ_PREFIX).unwrap_or(name);
            if plain.trim().is_empty() {
                return Err(LmqError::Blank { index }.into());
            }
            if let Some(character) = plain.chars().find(|c| [SEPARATOR, '/', '\\'].contains(c)) {
                return Err(LmqError::IllegalCharacter { index, character }.into());
            }
            if !joined.is_empty() {
                joined.push(SEPARATOR);
            }
            joined.push_str(LMQ_PREFIX);
            joined.push_str(plain);
        }
        if joined.is_empty() {
            self.properties.remove(INNER_MULTI_DISPATCH);
        } else {
            self.properties.set(INNER_MULTI_DISPATCH, &joined)?;
        }
        Ok(self)
    }

    /// The light queues that the message goes into, with their prefix.
    pub fn lmq(&self) -> impl Iterator<Item = &str> {
        self.properties
            .get(INNER_MULTI_DISPATCH)
            .unwrap_or_default()
            .split(SEPARATOR)
            .filter(|name| !name.is_empty())
    }
}

/// Why a light queue is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LmqError {
    /// The name is empty or white space.
    #[error("the name of light queue number {index} (from 0) is blank")]
    Blank {
        /// Position of the name, from 0.
        index: usize,
    },
    /// The name holds a character that it may not hold.
    #[error("the name of light queue number {index} (from 0) holds {character:?}")]
    IllegalCharacter {
        /// Position of the name, from 0.
        index: usize,
        /// The first such character.
        character: char,
    },
}

#[cfg(test)]
mod tests {
    use super::LmqError;
    use crate::message::{Message, MessageError};

    #[test]
    fn names_are_joined_with_their_prefix_and_read_back() {
        let message = Message::new("t", "x").unwrap();
        let m = message.clone().with_lmq(["a", "%LMQ%b"]).unwrap();
        assert_eq!(m.property("INNER_MULTI_DISPATCH"), Some("%LMQ%a,%LMQ%b"));
        assert_eq!(m.lmq().collect::<Vec<_>>(), ["%LMQ%a", "%LMQ%b"]);
        assert!(m.batch_wait().is_err(), "brokers would leave them out");
        assert_eq!(m.with_lmq(Vec::<String>::new()).unwrap(), message);
    }

    #[test]
    fn names_that_a_broker_would_read_otherwise_are_refused() {
        for (name, error) in [
            ("%LMQ%", LmqError::Blank { index: 0 }),
            (
                "a,b",
                LmqError::IllegalCharacter {
                    index: 0,
                    character: ',',
                },
            ),
            (
                "a/b",
                LmqError::IllegalCharacter {
                    index: 0,
                    character: '/',
                },
            ),
        ] {
            let refused = Message::new("t", "x").unwrap().with_lmq([name]);
            assert_eq!(refused, Err(MessageError::Lmq(error)));
        }
    }
}
