//! [`EmbeddedCluster`]: the name servers and brokers, and what can be done to them and seen.

mod name_servers;
mod replies;
mod transactions;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use rocketmq_producer_remoting::protocol::Permission;
use rocketmq_producer_remoting::{RemotingCommand, RequestCode};
use tokio::sync::Notify;
use tokio_util::sync::DropGuard;

use self::name_servers::NameServers;
pub use self::name_servers::Registration;
use crate::broker::{Broker, ProducerConnection, Registrar, Role, TopicConfig};
use crate::builder::ClusterBuilder;
use crate::error::EmbeddedError;
use crate::fault::FaultPlan;
use crate::name_server::BrokerEntry;
use crate::null::BrokerService;
use crate::server::{Desk, Server};
use crate::stored_message::StoredMessage;

/// A RocketMQ cluster inside this process, speaking the real protocol over loopback TCP.
///
/// Dropping it stops every task and frees every socket and message without waiting for that;
/// [`shutdown`](Self::shutdown) waits.
pub struct EmbeddedCluster {
    name_servers: Arc<NameServers>,
    brokers: Vec<Node>,
    changed: Arc<Notify>,
    /// Ends the tasks of the cluster itself.
    _checks: Option<DropGuard>,
}

/// A broker and its slaves.
struct Node {
    name: Arc<str>,
    cluster: Arc<str>,
    master: Server<BrokerService>,
    slaves: Vec<Server<BrokerService>>,
}

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerAddress {
    /// Name of the broker.
    pub name: Arc<str>,
    /// Address of the master.
    pub address: SocketAddr,
    /// Addresses of the slaves, beginning with id 1.
    pub slaves: Vec<SocketAddr>,
    /// Whether the master listens.
    pub is_running: bool,
}

impl fmt::Debug for EmbeddedCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedCluster")
            .field("name_servers", &self.name_servers())
            .field("brokers", &self.brokers())
            .finish_non_exhaustive()
    }
}

impl EmbeddedCluster {
    /// Settings for a new cluster.
    #[must_use]
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    pub(crate) fn start(builder: &ClusterBuilder) -> Result<Self, EmbeddedError> {
        if builder.brokers == 0 {
            return Err(EmbeddedError::Nothing("broker"));
        }
        let changed = Arc::new(Notify::new());
        let name_servers = Arc::new(NameServers::bind(builder, &changed)?);
        let brokers = (0..builder.brokers)
            .map(|index| Node::bind(index, builder, &name_servers, &changed))
            .collect::<Result<Vec<_>, _>>()?;
        for (topic, queues, perm) in &builder.topics {
            let topic: Arc<str> = topic.as_str().into();
            for node in &brokers {
                node.broker()
                    .store
                    .put_topic(&topic, TopicConfig::new(*queues, *perm));
            }
        }
        for node in &brokers {
            node.start_all()?;
        }
        name_servers.start_all()?;
        let checks = builder
            .checks_transactions
            .then(|| transactions::check_regularly(&brokers, builder));
        let cluster = Self {
            name_servers,
            brokers,
            changed,
            _checks: checks,
        };
        cluster.register_brokers();
        Ok(cluster)
    }

    /// Addresses of all name servers, separated by `;`, stopped ones included.
    #[must_use]
    pub fn name_servers(&self) -> String {
        let addresses: Vec<_> = self
            .name_servers
            .addresses()
            .map(|a| a.to_string())
            .collect();
        addresses.join(";")
    }

    /// The brokers, in the order of their names.
    #[must_use]
    pub fn brokers(&self) -> Vec<BrokerAddress> {
        let addresses = |node: &Node| BrokerAddress {
            name: Arc::clone(&node.name),
            address: node.master.address(),
            slaves: node.slaves.iter().map(Server::address).collect(),
            is_running: node.master.is_running(),
        };
        self.brokers.iter().map(addresses).collect()
    }

    /// Every message of a topic: by broker, queue and offset.
    #[must_use]
    pub fn messages(&self, topic: &str) -> Vec<StoredMessage> {
        let mut messages = Vec::with_capacity(self.message_count(topic));
        for node in &self.brokers {
            node.broker().deliver_due();
            node.broker().store.messages(topic, &mut messages);
        }
        messages
    }

    /// How many messages a topic has.
    #[must_use]
    pub fn message_count(&self, topic: &str) -> usize {
        let count = |node: &Node| {
            node.broker().deliver_due();
            node.broker().store.message_count(topic)
        };
        self.brokers.iter().map(count).sum()
    }

    /// Waits until a topic has at least `count` messages, then returns them all. For one-way
    /// sends, whose end the client does not see. Waits without end if they never come: put a
    /// timeout around it.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn wait_for_messages(&self, topic: &str, count: usize) -> Vec<StoredMessage> {
        self.wait_until(|cluster| cluster.message_count(topic) >= count)
            .await;
        self.messages(topic)
    }

    /// Waits until `condition` holds. It is looked at after every read that a server has served,
    /// when a connection ends, and when a delayed message is due.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn wait_until(&self, mut condition: impl FnMut(&Self) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Before the look, so that a change right after it is not missed.
            changed.as_mut().enable();
            if condition(self) {
                return;
            }
            let due = self.brokers.iter().filter_map(|it| it.broker().next_due());
            match due.min() {
                None => changed.await,
                // Either way there is something new to look at.
                Some(due) => drop(tokio::time::timeout_at(due, changed).await),
            }
        }
    }

    /// The connections of a producer group, by broker and then in the order of opening, as
    /// heartbeats declared them.
    #[must_use]
    pub fn producer_connections(&self, group: &str) -> Vec<ProducerConnection> {
        let of_broker = |node: &Node| node.broker().producers.of_group(group);
        self.brokers.iter().flat_map(of_broker).collect()
    }

    /// Creates a topic on every broker, or changes it and keeps its messages. The route has it at
    /// once. Bits of `perm`: see [`Permission`]; like a real broker this one stores what is sent
    /// to a topic without write permission, only the route keeps producers away.
    pub fn create_topic(&self, name: &str, queues: u16, perm: Permission) {
        for node in &self.brokers {
            self.put_topic(node, name, TopicConfig::new(i32::from(queues), perm));
        }
    }

    /// The same on one broker only.
    ///
    /// # Errors
    /// When there is no such broker.
    pub fn create_topic_on(
        &self,
        broker: &str,
        name: &str,
        queues: u16,
        perm: Permission,
    ) -> Result<(), EmbeddedError> {
        let node = self.node(broker)?;
        self.put_topic(node, name, TopicConfig::new(i32::from(queues), perm));
        Ok(())
    }

    /// Removes a topic and its messages everywhere; nothing happens if there is none.
    pub fn delete_topic(&self, name: &str) {
        for node in &self.brokers {
            node.broker().store.remove_topic(name);
            self.name_servers
                .each_running(|table| table.unregister_topic(&node.name, name));
        }
    }

    /// Sets the queues of an ordered topic, `broker:queues;broker:queues`, or takes them back.
    /// Routes carry it as `orderTopicConf`. It survives a restart of the name servers.
    pub fn set_order_configuration(&self, topic: &str, configuration: Option<&str>) {
        self.name_servers
            .each(|table| table.set_order(topic, configuration));
    }

    /// Stops a broker as if it was killed: its connections break, its port refuses, and the name
    /// servers forget it at once, as real ones do when the broker's connection ends. Its messages
    /// stay. Slaves go on. Nothing happens if it is stopped.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the broker stopped but still in the route.
    pub async fn stop_broker(&self, name: &str) -> Result<(), EmbeddedError> {
        let node = self.node(name)?;
        node.master.stop().await;
        self.name_servers
            .each_running(|table| table.unregister_broker(name, 0));
        Ok(())
    }

    /// Stops a broker and leaves it in the route, as when its machine is cut off: real name
    /// servers take two minutes to notice that.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the broker as it was or stopped.
    pub async fn stop_broker_unnoticed(&self, name: &str) -> Result<(), EmbeddedError> {
        self.node(name)?.master.stop().await;
        Ok(())
    }

    /// Starts a stopped broker on its old port, with its messages; it registers at once.
    ///
    /// # Errors
    /// When there is no such broker, or its port is taken by now.
    ///
    /// # Cancel safety
    /// There is nothing to wait for: it is done at the first poll.
    pub async fn start_broker(&self, name: &str) -> Result<(), EmbeddedError> {
        let node = self.node(name)?;
        start(&node.master, &node.name)?;
        self.register(node);
        Ok(())
    }

    /// Stops a name server: its connections break, its port refuses, and it forgets every broker
    /// and topic. They are counted from 0.
    ///
    /// # Errors
    /// When there is no such name server.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the name server as it was or stopped.
    pub async fn stop_name_server(&self, index: usize) -> Result<(), EmbeddedError> {
        self.name_servers.stop(index).await
    }

    /// Starts a stopped name server on its old port.
    ///
    /// # Errors
    /// When there is no such name server, or its port is taken by now.
    ///
    /// # Cancel safety
    /// There is nothing to wait for: it is done at the first poll.
    pub async fn start_name_server(
        &self,
        index: usize,
        registration: Registration,
    ) -> Result<(), EmbeddedError> {
        self.name_servers.start(index)?;
        if registration == Registration::AtOnce {
            self.register_brokers();
        }
        Ok(())
    }

    /// Lets every running broker register with every running name server, as real ones do every
    /// 30 seconds.
    pub fn register_brokers(&self) {
        for node in &self.brokers {
            self.register(node);
        }
    }

    /// The faults of a broker.
    ///
    /// # Errors
    /// When there is no such broker.
    pub fn faults(&self, broker: &str) -> Result<FaultPlan, EmbeddedError> {
        Ok(self.node(broker)?.desk().faults.clone())
    }

    /// The faults of a name server; they are counted from 0.
    ///
    /// # Errors
    /// When there is no such name server.
    pub fn name_server_faults(&self, index: usize) -> Result<FaultPlan, EmbeddedError> {
        Ok(self.name_servers.desk(index)?.faults.clone())
    }

    /// Makes a request of a broker to each of its clients, with a number of its own; how many
    /// connections that are. A connection that has 1024 frames waiting misses it.
    ///
    /// # Errors
    /// When there is no such broker, or the request is longer than a frame may be.
    pub fn request_clients(
        &self,
        broker: &str,
        request: RemotingCommand,
    ) -> Result<usize, EmbeddedError> {
        let node = self.node(broker)?;
        let request = node.desk().own_request(request)?;
        Ok(node.master.push_to_all(&request))
    }

    /// What clients answered to requests of a broker, the newest 256.
    ///
    /// # Errors
    /// When there is no such broker.
    pub fn responses(&self, broker: &str) -> Result<Vec<RemotingCommand>, EmbeddedError> {
        Ok(self.node(broker)?.desk().responses())
    }

    /// How many requests of a code a broker has got, those met by a fault included.
    ///
    /// # Errors
    /// When there is no such broker.
    pub fn requests(&self, broker: &str, code: RequestCode) -> Result<u64, EmbeddedError> {
        Ok(self.node(broker)?.desk().received(code))
    }

    /// How many requests of a code the slaves of a broker have got.
    ///
    /// # Errors
    /// When there is no such broker.
    pub fn slave_requests(&self, broker: &str, code: RequestCode) -> Result<u64, EmbeddedError> {
        let slaves = self.node(broker)?.slaves.iter();
        Ok(slaves.map(|slave| slave.service.desk.received(code)).sum())
    }

    /// How many requests of a code a name server has got; they are counted from 0.
    ///
    /// # Errors
    /// When there is no such name server.
    pub fn name_server_requests(
        &self,
        index: usize,
        code: RequestCode,
    ) -> Result<u64, EmbeddedError> {
        Ok(self.name_servers.desk(index)?.received(code))
    }

    /// How many connections a broker has open.
    ///
    /// # Errors
    /// When there is no such broker.
    pub fn connections(&self, broker: &str) -> Result<usize, EmbeddedError> {
        Ok(self.node(broker)?.master.connections())
    }

    /// How many connections a name server has open; they are counted from 0.
    ///
    /// # Errors
    /// When there is no such name server.
    pub fn name_server_connections(&self, index: usize) -> Result<usize, EmbeddedError> {
        self.name_servers.connections(index)
    }

    /// Stops everything and waits until every socket is closed.
    ///
    /// # Cancel safety
    /// Dropping the future is the same as dropping the cluster.
    pub async fn shutdown(self) {
        for node in &self.brokers {
            node.master.stop().await;
            for slave in &node.slaves {
                slave.stop().await;
            }
        }
        self.name_servers.stop_all().await;
    }

    fn put_topic(&self, node: &Node, name: &str, config: TopicConfig) {
        let topic: Arc<str> = name.into();
        node.broker().store.put_topic(&topic, config);
        if node.master.is_running() {
            self.name_servers.topic_created(&node.name, &topic, config);
        }
    }

    fn register(&self, node: &Node) {
        let masters = std::iter::once((0, &node.master));
        let addresses: BTreeMap<_, _> = masters
            .chain((1..).zip(&node.slaves))
            .filter(|(_, server)| server.is_running())
            .map(|(id, server)| (id, server.address()))
            .collect();
        if addresses.is_empty() {
            return;
        }
        let entry = BrokerEntry {
            cluster: Arc::clone(&node.cluster),
            name: Arc::clone(&node.name),
            addresses,
        };
        let topics = node.broker().store.topics();
        self.name_servers.each_running(|table| {
            table.register_broker(&entry);
            for (topic, config) in &topics {
                table.register_topic(&node.name, topic, config.entry());
            }
        });
    }

    fn node(&self, name: &str) -> Result<&Node, EmbeddedError> {
        let node = self.brokers.iter().find(|node| *node.name == *name);
        node.ok_or_else(|| {
            let known: Vec<_> = self.brokers.iter().map(|node| &*node.name).collect();
            EmbeddedError::UnknownBroker {
                name: name.to_owned(),
                known: known.join(", "),
            }
        })
    }
}

impl Node {
    fn bind(
        index: usize,
        builder: &ClusterBuilder,
        name_servers: &Arc<NameServers>,
        changed: &Arc<Notify>,
    ) -> Result<Self, EmbeddedError> {
        let name: Arc<str> = match u8::try_from(index) {
            Ok(letter @ 0..26) => format!("broker-{}", char::from(b'a' + letter)).into(),
            _ => format!("broker-{index}").into(),
        };
        let server = |role| {
            let make = |address| {
                let settings = builder.settings.clone();
                let registrar: Arc<dyn Registrar> = Arc::<NameServers>::clone(name_servers);
                let broker = Broker::new(Arc::clone(&name), address, role, settings, registrar);
                if builder.auto_create_topics {
                    broker.allow_auto_create();
                }
                let desk = Desk::new(broker, builder.encoding, Arc::clone(changed));
                if builder.is_null {
                    BrokerService::null(desk)
                } else {
                    BrokerService::new(desk)
                }
            };
            Server::bind(&builder.site, 0, make).map_err(|source| EmbeddedError::Listen {
                server: (*name).to_owned(),
                port: 0,
                source: Arc::new(source),
            })
        };
        Ok(Self {
            master: server(Role::Master)?,
            slaves: (0..builder.slaves)
                .map(|_| server(Role::Slave))
                .collect::<Result<_, _>>()?,
            cluster: Arc::clone(&builder.settings.cluster),
            name,
        })
    }

    fn start_all(&self) -> Result<(), EmbeddedError> {
        start(&self.master, &self.name)?;
        self.slaves
            .iter()
            .try_for_each(|slave| start(slave, &self.name))
    }

    fn desk(&self) -> &Desk<Broker> {
        &self.master.service.desk
    }

    fn broker(&self) -> &Broker {
        &self.desk().handler
    }
}

fn start(server: &Server<BrokerService>, name: &str) -> Result<(), EmbeddedError> {
    server.start().map_err(|source| EmbeddedError::Listen {
        server: name.to_owned(),
        port: server.address().port(),
        source: Arc::new(source),
    })
}
