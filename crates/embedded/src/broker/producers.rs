//! The producers that announce themselves by heartbeats.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocketmq_producer_remoting::protocol::HeartbeatData;
use rocketmq_producer_remoting::{LanguageCode, RemotingCommand, ResponseCode};
use serde_json::json;

use super::Broker;
use crate::server::{Peer, remark};

/// A producer group's connection to one broker, as its heartbeats declared it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerConnection {
    /// Name of the broker.
    pub broker_name: Arc<str>,
    /// Id of the client.
    pub client_id: String,
    /// Language of the client; `None` if the broker does not know it.
    pub language: Option<LanguageCode>,
    /// Version of the client, an ordinal of Java's `MQVersion`.
    pub version: i32,
    /// The client's end of the connection.
    pub address: SocketAddr,
}

type ByGroup = BTreeMap<String, BTreeMap<u64, (ProducerConnection, Peer)>>;

/// By group and connection.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    by_group: Mutex<ByGroup>,
    /// Where replies to a client go. As a real broker has it: noted when one of the client's groups is new on a
    /// connection, forgotten when one of them leaves.
    by_client: Mutex<BTreeMap<String, Peer>>,
}

impl Producers {
    /// The connections of a group, in the order in which they were opened.
    pub(crate) fn of_group(&self, group: &str) -> Vec<ProducerConnection> {
        let groups = self.lock();
        groups
            .get(group)
            .map(|connections| {
                let known = connections.values();
                known.map(|(connection, _)| connection.clone()).collect()
            })
            .unwrap_or_default()
    }

    /// The connection of a group that was opened last: one is as good as another.
    pub(crate) fn any_peer(&self, group: &str) -> Option<Peer> {
        let groups = self.lock();
        let (_, (_, peer)) = groups.get(group)?.last_key_value()?;
        Some(peer.clone())
    }

    /// The connection that replies to a client go to.
    pub(crate) fn client(&self, id: &str) -> Option<Peer> {
        self.clients().get(id).cloned()
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<String, Peer>> {
        self.by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn disconnected(&self, connection: u64) {
        self.clients().retain(|_, peer| peer.id != connection);
        self.lock().retain(|_, connections| {
            connections.remove(&connection);
            !connections.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, ByGroup> {
        self.by_group.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker {
    pub(super) fn heartbeat(&self, peer: &Peer, request: &RemotingCommand) -> RemotingCommand {
        let heartbeat = match HeartbeatData::decode(&request.body) {
            Ok(heartbeat) => heartbeat,
            Err(error) => return remark(ResponseCode::SYSTEM_ERROR, error.to_string()),
        };
        let mut groups = self.producers.lock();
        for group in heartbeat.groups() {
            let connection = ProducerConnection {
                broker_name: Arc::clone(&self.name),
                client_id: heartbeat.client_id.clone(),
                language: request.language,
                version: request.version,
                address: peer.address,
            };
            let known = groups
                .entry(group.to_owned())
                .or_default()
                .insert(peer.id, (connection, peer.clone()));
            if known.is_none() {
                let mut clients = self.producers.clients();
                clients.insert(heartbeat.client_id.clone(), peer.clone());
            }
        }
        RemotingCommand::response(ResponseCode::SUCCESS, 0, None)
            .with_field("IS_SUPPORT_HEART_BEAT_V2", "true")
            .with_field("IS_SUB_CHANGE", "true")
    }

    /// As a real broker does: the group's entry of this connection goes, whatever the client id.
    pub(super) fn unregister(&self, peer: &Peer, request: &RemotingCommand) -> RemotingCommand {
        if let Some(group) = request.field("producerGroup") {
            let mut groups = self.producers.lock();
            if let Some(connections) = groups.get_mut(group) {
                connections.remove(&peer.id);
                if let Some(client) = request.field("clientID") {
                    self.producers.clients().remove(client);
                }
                if connections.is_empty() {
                    groups.remove(group);
                }
            }
        }
        RemotingCommand::response(ResponseCode::SUCCESS, 0, None)
    }

    pub(super) fn producer_connection_list(&self, request: &RemotingCommand) -> RemotingCommand {
        let group = request.field("producerGroup").unwrap_or("null");
        let connections = self.producers.of_group(group);
        if connections.is_empty() {
            return remark(
                ResponseCode::SYSTEM_ERROR,
                format!("the producer group[{group}] not exist"),
            );
        }
        let set: Vec<_> = connections
            .iter()
            .map(|connection| {
                json!({
                    "clientAddr": connection.address.to_string(),
                    "clientId": connection.client_id,
                    "language": connection.language.and_then(LanguageCode::name),
                    "version": connection.version,
                })
            })
            .collect();
        RemotingCommand::response(ResponseCode::SUCCESS, 0, None)
            .with_body(json!({ "connectionSet": set }).to_string())
    }
}
