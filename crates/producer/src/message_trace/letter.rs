//! A trace message in the making.

use std::collections::HashSet;

use super::Record;
use crate::config::routing::remoting::message::trace::MAX_TRACE_BODY;
use crate::config::routing::remoting::{Message, MessageError};

/// The longest string of keys: a property must leave room for others.
const MAX_KEYS: usize = 16 * 1024;

/// Records that go in one message.
#[derive(Debug, Default)]
pub(super) struct Letter {
    body: String,
    keys: String,
    known: HashSet<String>,
    pub(super) records: u64,
}

impl Letter {
    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Whether the record would make it too long. The first one never does.
    pub(super) fn has_room(&self, record: &Record) -> bool {
        let keys = self.keys.len() + record.keys.len() < MAX_KEYS;
        self.is_empty() || (keys && self.body.len() + record.text.len() <= MAX_TRACE_BODY)
    }

    pub(super) fn add(&mut self, record: &Record) {
        self.body.push_str(&record.text);
        self.records += 1;
        for key in record.keys.split(' ').filter(|key| !key.is_empty()) {
            // Those of a single message may be too many; its record is found by the first ones.
            let has_room = self.keys.len() + key.len() < MAX_KEYS;
            if has_room && self.known.insert(key.to_owned()) {
                if !self.keys.is_empty() {
                    self.keys.push(' ');
                }
                self.keys.push_str(key);
            }
        }
    }

    /// The message.
    pub(super) fn into_message(self, topic: &str) -> Result<Message, MessageError> {
        let message = Message::new(topic, self.body)?;
        message.with_keys(self.keys.split(' ').filter(|key| !key.is_empty()))
    }
}
