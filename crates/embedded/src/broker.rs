//! A broker: takes messages and keeps them, knows the clients that announce themselves.

mod access;
mod later;
mod producers;
mod queries;
mod queries_messages;
mod send;
mod send_fields;
mod store;
mod stored_properties;
mod transactions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rocketmq_producer_remoting::command::CommandHead;
use rocketmq_producer_remoting::message::{SystemClock, WallClock};
use rocketmq_producer_remoting::{
    ByteSize, Frame, FrameError, RemotingCommand, RequestCode, ResponseCode,
};

pub(crate) use self::access::Accounts;
use self::later::Later;
pub use self::producers::ProducerConnection;
use self::producers::Producers;
pub(crate) use self::store::{Store, TopicConfig};
use self::transactions::Halves;
pub(crate) use self::transactions::TransactionSettings;
use crate::server::{Handler, Peer, remark};

/// What real servers add to some remarks.
pub(crate) const FAQ: &str =
    "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

/// Whether a broker takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Master,
    Slave,
}

/// The settings of a broker.
#[derive(Clone, Debug)]
pub(crate) struct BrokerSettings {
    pub(crate) cluster: Arc<str>,
    pub(crate) max_message_size: ByteSize,
    pub(crate) max_stored: ByteSize,
    pub(crate) default_topic_queue_nums: i32,
    pub(crate) accounts: Accounts,
    /// What its clock is ahead of this machine's, in milliseconds.
    pub(crate) clock_offset: i64,
    pub(crate) transactions: TransactionSettings,
    pub(crate) recall_enabled: bool,
    pub(crate) timer_max_delay: Duration,
}

/// Told of topics that a broker creates on demand.
pub(crate) trait Registrar: Send + Sync {
    fn topic_created(&self, broker: &Arc<str>, topic: &Arc<str>, config: TopicConfig);
}

pub(crate) struct Broker {
    name: Arc<str>,
    address: SocketAddr,
    role: Role,
    settings: BrokerSettings,
    pub(crate) store: Store,
    pub(crate) producers: Producers,
    pub(crate) halves: Halves,
    later: Later,
    registrar: Arc<dyn Registrar>,
    clock: Arc<dyn WallClock>,
    /// When it was made, by its own clock.
    booted: i64,
}

impl Broker {
    pub(crate) fn new(
        name: Arc<str>,
        address: SocketAddr,
        role: Role,
        settings: BrokerSettings,
        registrar: Arc<dyn Registrar>,
    ) -> Self {
        let clock: Arc<dyn WallClock> = Arc::new(SystemClock);
        Self {
            booted: epoch_millis(&*clock).saturating_add(settings.clock_offset),
            store: Store::new(Arc::clone(&name), address, settings.max_stored),
            name,
            address,
            role,
            settings,
            producers: Producers::default(),
            halves: Halves::default(),
            later: Later::default(),
            registrar,
            clock,
        }
    }

    pub(crate) fn now(&self) -> i64 {
        epoch_millis(&*self.clock).saturating_add(self.settings.clock_offset)
    }
}

fn epoch_millis(clock: &dyn WallClock) -> i64 {
    i64::try_from(clock.epoch_millis()).unwrap_or(i64::MAX)
}

impl Handler for Broker {
    fn handle(
        &self,
        peer: &Peer,
        head: CommandHead,
        frame: &Frame,
    ) -> Result<RemotingCommand, FrameError> {
        let decode = || RemotingCommand::decode(frame.clone());
        if !self.settings.accounts.is_empty() {
            if let Some(refusal) = self.settings.accounts.refusal(peer, &decode()?) {
                return Ok(refusal);
            }
        }
        self.deliver_due();
        Ok(match RequestCode(head.code) {
            RequestCode::SEND_MESSAGE
            | RequestCode::SEND_MESSAGE_V2
            | RequestCode::SEND_BATCH_MESSAGE => self.send(peer, &decode()?),
            RequestCode::END_TRANSACTION => self.end_transaction(&decode()?),
            RequestCode::RECALL_MESSAGE => self.recall(&decode()?),
            RequestCode::HEART_BEAT => self.heartbeat(peer, &decode()?),
            RequestCode::UNREGISTER_CLIENT => self.unregister(peer, &decode()?),
            RequestCode::GET_PRODUCER_CONNECTION_LIST => self.producer_connection_list(&decode()?),
            RequestCode::GET_BROKER_RUNTIME_INFO => self.runtime_info(),
            RequestCode::GET_MIN_OFFSET => self.min_offset(&decode()?),
            RequestCode::GET_MAX_OFFSET => self.max_offset(&decode()?),
            RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => self.search_offset(&decode()?),
            RequestCode::UPDATE_AND_CREATE_TOPIC => self.update_and_create_topic(&decode()?),
            RequestCode::GET_TOPIC_CONFIG => self.topic_config(&decode()?),
            RequestCode::GET_TOPIC_STATS_INFO => self.topic_stats(&decode()?),
            RequestCode::QUERY_MESSAGE => self.query_message(&decode()?),
            RequestCode::VIEW_MESSAGE_BY_ID => self.view_message(&decode()?),
            RequestCode(code) => remark(
                ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
                format!(" request type {code} not supported"),
            ),
        })
    }

    fn disconnected(&self, peer: &Peer) {
        self.producers.disconnected(peer.id);
    }
}
