//! Looking up messages that brokers have stored.

use tokio::time::Instant;

use super::{ANSWER_LIMIT, Admin, AdminError, BODY_LIMIT};
use crate::config::routing::remoting::ResponseCode;
use crate::config::routing::remoting::message::{MessageExt, OffsetMessageId};
use crate::config::routing::remoting::protocol::{
    BrokerData, QueryMessageRequestHeader, ViewMessageRequestHeader,
};

/// Which messages with a key are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyQuery {
    /// Most messages that each broker gives, the newest ones; 32 by default. Brokers give 64 at most (Java:
    /// `maxMsgsNumBatch`).
    pub max_per_broker: i32,
    /// Earliest time of storing, in milliseconds since 1970 by the broker's clock; 0 by default.
    pub begin: i64,
    /// Latest time of storing; the end of time by default.
    pub end: i64,
}

impl Default for KeyQuery {
    fn default() -> Self {
        Self {
            max_per_broker: 32,
            begin: 0,
            end: i64::MAX,
        }
    }
}

impl KeyQuery {
    /// Messages of all times, 32 of each broker.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many messages each broker gives at most.
    #[must_use]
    pub const fn max_per_broker(mut self, count: i32) -> Self {
        self.max_per_broker = count;
        self
    }

    /// Sets the time of storing, both ends included.
    #[must_use]
    pub const fn between(mut self, begin: i64, end: i64) -> Self {
        self.begin = begin;
        self.end = end;
        self
    }
}

/// Messages that were found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FoundMessages {
    /// The messages, the oldest first. One that was sent twice, by a retry, is there twice.
    pub messages: Vec<MessageExt>,
    /// Brokers of the topic that did not answer, and why: there may be more messages.
    pub failed: Vec<(String, AdminError)>,
}

impl Admin {
    /// The message at the place that an offset message id names; none if no message begins there, or it is of another
    /// topic. Java: `MQAdmin.viewMessage`.
    ///
    /// The broker is asked at the address in the id, which is the one that it has stored for itself.
    ///
    /// # Errors
    /// If the broker gives no answer.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn view_message(
        &self,
        topic: &str,
        id: OffsetMessageId,
    ) -> Result<Option<MessageExt>, AdminError> {
        let address = id.address.to_string();
        let full = &*self.full_name(topic);
        let header = ViewMessageRequestHeader::new(full, id.offset);
        let answer = match self.success(&address, &header, self.deadline()).await {
            Err(AdminError::Refused { remark, .. })
                if ViewMessageRequestHeader::is_not_found(&remark) =>
            {
                return Ok(None);
            }
            answer => answer?,
        };
        let message = MessageExt::decode(answer.body(), BODY_LIMIT)
            .map_err(|error| AdminError::malformed(&address, &error))?;
        Ok(Some(message)
            .filter(|message| message.topic == full)
            .map(|message| named(message, topic)))
    }

    /// The messages with a message id, as it stands in receipts and as consumers see it. Java:
    /// `MQAdmin.queryMessageByUniqKey`.
    ///
    /// Brokers find a message through their index, which follows a moment after the message is stored.
    ///
    /// # Errors
    /// If the topic has no route, or none of its brokers answers.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn find_by_message_id(
        &self,
        topic: &str,
        id: &str,
    ) -> Result<FoundMessages, AdminError> {
        let query = KeyQuery::new();
        let is_meant = |message: &MessageExt| message.unique_key() == Some(id);
        self.find(topic, id, true, query, is_meant).await
    }

    /// The messages of a topic with a key. Java: `MQAdmin.queryMessage`.
    ///
    /// Brokers find a message through their index, which follows a moment after the message is stored. The index keeps
    /// hashes; messages of other keys with the same hash are left out of what is returned but count among those that a
    /// broker gives.
    ///
    /// # Errors
    /// As [`find_by_message_id`](Self::find_by_message_id).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn find_by_key(
        &self,
        topic: &str,
        key: &str,
        query: KeyQuery,
    ) -> Result<FoundMessages, AdminError> {
        let is_meant = |message: &MessageExt| message.keys().any(|other| other == key);
        self.find(topic, key, false, query, is_meant).await
    }

    async fn find(
        &self,
        topic: &str,
        key: &str,
        is_unique_key: bool,
        query: KeyQuery,
        is_meant: impl Fn(&MessageExt) -> bool,
    ) -> Result<FoundMessages, AdminError> {
        let full = &*self.full_name(topic);
        let deadline = self.deadline();
        let route = self.route_before(full, deadline).await?;
        let mut brokers: Vec<_> = route.broker_datas.iter().filter_map(any_address).collect();
        brokers.sort();
        if brokers.is_empty() {
            return Err(AdminError::NoMaster(format!("topic {topic}").into()));
        }
        let header = QueryMessageRequestHeader::new(full, key, query.max_per_broker)
            .between(query.begin, query.end)
            .unique_key(is_unique_key);
        let answers = Self::at_each(brokers, |_, address| async move {
            match self.query(&address, header, deadline).await {
                // Brokers of 4.9 with ACL sign all fields but this one. It only says how many messages are wanted.
                Err(error) if is_unique_key && error.is_denied() => {
                    let header = header.unique_key(false);
                    self.query(&address, header, deadline).await
                }
                answer => answer,
            }
        });
        let mut found = FoundMessages {
            messages: Vec::new(),
            failed: Vec::new(),
        };
        let mut answered = false;
        for (name, answer) in answers.await {
            match answer {
                Ok(messages) => {
                    answered = true;
                    let meant = |message: &MessageExt| message.topic == full && is_meant(message);
                    let messages = messages.into_iter().filter(meant);
                    found
                        .messages
                        .extend(messages.map(|message| named(message, topic)));
                }
                Err(error) => found.failed.push((name, error)),
            }
        }
        found
            .messages
            .sort_by_key(|message| (message.store_timestamp, message.queue_offset));
        match found.failed.first() {
            Some((_, error)) if !answered => Err(error.clone()),
            _ => Ok(found),
        }
    }

    /// What one broker's index has.
    async fn query(
        &self,
        address: &str,
        header: QueryMessageRequestHeader<'_>,
        deadline: Instant,
    ) -> Result<Vec<MessageExt>, AdminError> {
        let answer = match self.success(address, &header, deadline).await {
            Err(AdminError::Refused { code, .. }) if code == ResponseCode::QUERY_NOT_FOUND => {
                return Ok(Vec::new());
            }
            answer => answer?,
        };
        let messages: Result<Vec<_>, _> =
            MessageExt::decode_all(answer.body(), ANSWER_LIMIT).collect();
        messages.map_err(|error| AdminError::malformed(address, &error))
    }
}

/// The message under the name of its topic that the caller knows, without a namespace. Java does so too.
fn named(mut message: MessageExt, topic: &str) -> MessageExt {
    topic.clone_into(&mut message.topic);
    message
}

/// Name and address of a broker's master, or of a slave if it has none. Java: `BrokerData.selectBrokerAddr`.
fn any_address(broker: &BrokerData) -> Option<(String, String)> {
    let address = broker
        .master()
        .or_else(|| broker.broker_addrs.values().next().map(String::as_str))?;
    Some((broker.broker_name.clone(), address.to_owned()))
}
