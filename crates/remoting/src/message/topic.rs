//! Checks of topic and group names, the same as Java's `Validators` and `TopicValidator` make.

use thiserror::Error;

/// Longest topic name, in characters. Java: `TopicValidator.TOPIC_MAX_LENGTH`.
pub const TOPIC_MAX_LENGTH: usize = 127;
/// Longest group name, in characters. Java: `Validators.CHARACTER_MAX_LENGTH`.
pub const GROUP_MAX_LENGTH: usize = 120;
/// Topic whose settings a broker copies when it creates a topic on demand.
pub const AUTO_CREATE_TOPIC: &str = "TBW102";
/// Name of the group that Java's producer has when none is given; refused, as Java does.
pub const DEFAULT_PRODUCER_GROUP: &str = "DEFAULT_PRODUCER";

/// System topics that producers may not send to; other system topics are allowed.
/// Java: `TopicValidator.NOT_ALLOWED_SEND_TOPIC_SET`.
pub const FORBIDDEN_TOPICS: [&str; 6] = [
    "OFFSET_MOVED_EVENT",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "SCHEDULE_TOPIC_XXXX",
    "SELF_TEST_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
];

/// Checks that a message may be sent to `topic`.
///
/// # Errors
/// The rule that is broken.
pub fn validate_topic_for_send(topic: &str) -> Result<(), TopicError> {
    if topic.trim().is_empty() {
        return Err(TopicError::Blank);
    }
    if let Some(character) = illegal_character(topic) {
        return Err(TopicError::IllegalCharacter {
            topic: topic.to_owned(),
            character,
        });
    }
    // From here on the name is ASCII: bytes are characters.
    if topic.len() > TOPIC_MAX_LENGTH {
        return Err(TopicError::TooLong {
            topic: topic.to_owned(),
            length: topic.len(),
        });
    }
    if FORBIDDEN_TOPICS.contains(&topic) {
        return Err(TopicError::Forbidden {
            topic: topic.to_owned(),
        });
    }
    Ok(())
}

/// Checks that a producer may take the name `group`.
///
/// # Errors
/// The rule that is broken.
pub fn validate_group(group: &str) -> Result<(), GroupError> {
    if group.trim().is_empty() {
        return Err(GroupError::Blank);
    }
    if let Some(character) = illegal_character(group) {
        return Err(GroupError::IllegalCharacter {
            group: group.to_owned(),
            character,
        });
    }
    if group.len() > GROUP_MAX_LENGTH {
        return Err(GroupError::TooLong {
            group: group.to_owned(),
            length: group.len(),
        });
    }
    if group == DEFAULT_PRODUCER_GROUP {
        return Err(GroupError::DefaultName);
    }
    Ok(())
}

/// First character outside `^[%|a-zA-Z0-9_-]+$`.
fn illegal_character(name: &str) -> Option<char> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'%' | b'|' | b'_' | b'-');
    if name.bytes().all(legal) {
        return None;
    }
    name.chars().find(|c| !u8::try_from(*c).is_ok_and(legal))
}

/// Why a topic is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The topic is empty or white space.
    #[error("the topic is blank")]
    Blank,
    /// Producers may not send to this system topic.
    #[error("topic {topic:?} is a system topic that producers may not send to")]
    Forbidden {
        /// The topic.
        topic: String,
    },
    /// The topic holds a character that topics may not hold.
    #[error("topic {topic:?} holds {character:?}, allowed is ^[%|a-zA-Z0-9_-]+$")]
    IllegalCharacter {
        /// The topic.
        topic: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// The topic is longer than 127 characters.
    #[error("topic {topic:?} has {length} characters, at most {TOPIC_MAX_LENGTH} are allowed")]
    TooLong {
        /// The topic.
        topic: String,
        /// Its length in characters.
        length: usize,
    },
}

/// Why a producer group is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The group is empty or white space.
    #[error("the producer group is blank")]
    Blank,
    /// The group has the name that Java's producer has when none is given.
    #[error(
        "producer group {DEFAULT_PRODUCER_GROUP:?} is the name of no group in particular, choose another"
    )]
    DefaultName,
    /// The group holds a character that groups may not hold.
    #[error("producer group {group:?} holds {character:?}, allowed is ^[%|a-zA-Z0-9_-]+$")]
    IllegalCharacter {
        /// The group.
        group: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// The group is longer than 120 characters.
    #[error(
        "producer group {group:?} has {length} characters, at most {GROUP_MAX_LENGTH} are allowed"
    )]
    TooLong {
        /// The group.
        group: String,
        /// Its length in characters.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::{GroupError, TopicError, validate_group, validate_topic_for_send};

    #[test]
    fn topics_of_127_characters_pass_and_128_do_not() {
        assert_eq!(validate_topic_for_send(&"t".repeat(127)), Ok(()));
        assert!(matches!(
            validate_topic_for_send(&"t".repeat(128)),
            Err(TopicError::TooLong { length: 128, .. })
        ));
    }

    #[test]
    fn the_half_topic_is_forbidden_and_the_trace_topic_is_not() {
        assert!(matches!(
            validate_topic_for_send("RMQ_SYS_TRANS_HALF_TOPIC"),
            Err(TopicError::Forbidden { .. })
        ));
        assert_eq!(validate_topic_for_send("RMQ_SYS_TRACE_TOPIC"), Ok(()));
    }

    #[test]
    fn the_first_illegal_character_is_named() {
        assert_eq!(
            validate_topic_for_send("ab主c"),
            Err(TopicError::IllegalCharacter {
                topic: "ab主c".into(),
                character: '主'
            })
        );
        assert_eq!(
            validate_group("a b"),
            Err(GroupError::IllegalCharacter {
                group: "a b".into(),
                character: ' '
            })
        );
    }

    #[test]
    fn the_default_group_name_is_refused() {
        assert_eq!(
            validate_group("DEFAULT_PRODUCER"),
            Err(GroupError::DefaultName)
        );
    }
}
