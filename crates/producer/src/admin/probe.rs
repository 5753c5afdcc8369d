//! Whether a broker lives, and whether it would take a message.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Admin, AdminError};
use crate::config::routing::remoting::message::{SystemClock, WallClock as _};
use crate::config::routing::remoting::protocol::{
    BrokerInfo, HeartbeatData, HeartbeatRequestHeader, SendMessageRequestHeader,
};
use crate::config::routing::remoting::{NoFields, RequestCode, ResponseCode};

/// A broker's answer to a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerPing {
    /// The broker's version, an ordinal of Java's `MQVersion`; 513 is 5.5.0.
    pub version: i32,
    /// From the request to its answer, without what connecting took.
    pub round_trip: Duration,
}

/// What came of asking whether a message would be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendProbe {
    /// The broker would have taken a message for a queue that it has. Nothing was stored.
    WouldTake,
    /// The server stored the probe all the same, an empty-handed message with the tag `rocketmq-producer-probe`. No
    /// broker of Apache does.
    Stored,
}

/// The largest queue number there is: no topic has it.
const NO_QUEUE: i32 = i32::MAX;

/// What brokers answer that have checked all but the queue. Java: `AbstractSendMessageProcessor.msgCheck`.
const NO_SUCH_QUEUE: &str = "request queueId[";

impl Admin {
    /// Sends a heartbeat without a group to the broker at `address`: it changes nothing there, and a broker with
    /// access control checks the credentials.
    ///
    /// # Errors
    /// If the broker gives no answer, or refuses the credentials ([`AdminError::is_denied`]).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ping(&self, address: &str) -> Result<BrokerPing, AdminError> {
        let deadline = self.deadline();
        let connection = self.brokers.connection(address, deadline).await?;
        let body = HeartbeatData::producer(&*self.client_id, [] as [&str; 0]).encode();
        let began = Instant::now();
        let request = connection.request(&HeartbeatRequestHeader, &body, deadline);
        let answer = request.await?;
        let round_trip = began.elapsed();
        if answer.code() != ResponseCode::SUCCESS {
            return Err(AdminError::refused(address, &answer));
        }
        match answer.command() {
            Ok(command) => Ok(BrokerPing {
                version: command.version,
                round_trip,
            }),
            Err(error) => Err(AdminError::malformed(address, &error)),
        }
    }

    /// What the broker at `address` says about itself: version, clock, and much else by name.
    ///
    /// # Errors
    /// If the broker gives no answer; with access control it may be for operators only.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn broker_info(&self, address: &str) -> Result<BrokerInfo, AdminError> {
        let header = NoFields(RequestCode::GET_BROKER_RUNTIME_INFO);
        let answer = self.success(address, &header, self.deadline()).await?;
        BrokerInfo::parse(answer.body()).map_err(|error| AdminError::malformed(address, &error))
    }

    /// Whether the `broker` at `address` would take a message of this producer's group for a topic that it has, found out
    /// without storing one.
    ///
    /// It sends a message for a queue that no topic has. A broker checks signature, the right to publish, the topic, and
    /// last the queue, and refuses: that it got as far shows that all else is well. What it cannot show is whether the
    /// broker can store now: full disk, overload, a slave in its place.
    ///
    /// # Errors
    /// As the broker says, if it refuses for any other reason, or gives no answer.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn probe_send(
        &self,
        topic: &str,
        broker: &str,
        address: &str,
    ) -> Result<SendProbe, AdminError> {
        let topic = &*self.full_name(topic);
        let now = i64::try_from(SystemClock.epoch_millis()).unwrap_or(i64::MAX);
        let mut header = SendMessageRequestHeader::new(&self.group, topic, NO_QUEUE, now);
        header.properties = "TAGS\u{1}rocketmq-producer-probe\u{2}";
        // So that the broker creates no topic for it: the one to be like does not exist either then.
        header.default_topic = topic;
        // A proxy that stands at the address hands it on by this name.
        header.broker_name = Some(broker);
        let body = Bytes::from_static(b"probe");
        let answer = self
            .answer(address, &header, &body, self.deadline())
            .await?;
        if answer.code() == ResponseCode::SUCCESS {
            return Ok(SendProbe::Stored);
        }
        let refusal = AdminError::refused(address, &answer);
        match &refusal {
            AdminError::Refused { remark, .. } if remark.starts_with(NO_SUCH_QUEUE) => {
                Ok(SendProbe::WouldTake)
            }
            _ => Err(refusal),
        }
    }
}
