//! What stands behind the producers of one client id (Java: `MQClientInstance`): name servers, routes, connections,
//! heartbeats.
//!
//! A producer has one of its own, or several share one. Its tasks hold its parts and never the client itself, so it
//! ends with the last user, whichever way that one goes:
//!
//! * A [`Seat`] is a producer that was built and not yet shut down or dropped; a [`Share`] is a handle of the program's
//!   by which more producers may come. Without either the client is closed.
//! * A [`Membership`] is a producer that runs: its group is named in heartbeats.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::names::Claim;
use crate::admin::Admin;
use crate::blocking::OwnRuntime;
use crate::client_id;
use crate::config::ProducerConfig;
use crate::config::routing::remoting::{ConnectionPool, NoConsumer};
use crate::config::routing::{
    BrokerRegistry, MessageRouter, NameServerClient, RoutingOptions, TopicBrokerMapping,
};
use crate::error::StartError;
use crate::heartbeat::{HeartbeatReport, Heartbeats};
use crate::network::Network;
use crate::server_requests::{ServerRequests, TransactionDesk};

/// What producers of one client id share.
pub(crate) struct Client {
    pub(crate) config: ProducerConfig,
    pub(crate) id: Arc<str>,
    pub(crate) source: NameServerClient,
    pub(crate) mapping: TopicBrokerMapping,
    pub(crate) registry: Arc<BrokerRegistry>,
    pub(crate) brokers: ConnectionPool,
    pub(crate) name_servers: ConnectionPool,
    pub(crate) heartbeats: Arc<Heartbeats>,
    /// Takes what brokers ask by themselves.
    pub(crate) requests: Arc<ServerRequests>,
    /// Ended when the client is.
    pub(crate) cancel: CancellationToken,
    tasks: TaskTracker,
    network: usize,
    users: Mutex<Users>,
}

/// Who uses a client.
#[derive(Default)]
struct Users {
    /// Handles by which more producers may come.
    shares: usize,
    /// Producers that were built and not shut down.
    seats: usize,
    /// Groups of running producers, with how much each may have under way.
    groups: BTreeMap<Arc<str>, InFlight>,
    /// The task of heartbeats, which lives as long as the runtime of the background work.
    beats: Option<JoinHandle<()>>,
    /// Where background work runs.
    runtime: Option<Handle>,
    /// The runtime of blocking producers that share this client.
    own_runtime: Option<Arc<OwnRuntime>>,
}

impl Users {
    fn is_nobody(&self) -> bool {
        self.shares == 0 && self.seats == 0
    }
}

/// How much a producer may have under way.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    sends: usize,
    bytes: u64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("groups", &self.groups())
            .finish_non_exhaustive()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Should a task have taken it over the end.
        self.cancel.cancel();
    }
}

impl Client {
    /// Puts the parts together. Does no I/O and starts no task.
    pub(crate) fn new(config: ProducerConfig, network: Network) -> Arc<Self> {
        let Network {
            options,
            dialers,
            discovery,
            id: network,
        } = network;
        let id: Arc<str> = match &config.client_id {
            Some(given) => Arc::from(given.as_str()),
            None => Arc::from(client_id::generate(config.unit_name.as_deref())),
        };
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        // Made first: connections tell it what they meet, and routes read it.
        let routing = config.routing_options();
        let registry = Arc::new(BrokerRegistry::new(routing.health.clone()));
        let requests = Arc::<ServerRequests>::default();
        let heartbeats = Arc::new(Heartbeats::new(
            Arc::clone(&id),
            config.request_timeout,
            Arc::clone(&registry),
            Arc::clone(&requests),
            tasks.clone(),
            cancel.clone(),
        ));
        let handler = Arc::clone(&heartbeats);
        let brokers = ConnectionPool::with_dialer(options.clone(), handler, dialers.brokers);
        let options = options.with_connections(1);
        let name_servers =
            ConnectionPool::with_dialer(options, Arc::new(NoConsumer), dialers.name_servers);
        let pool = name_servers.clone();
        // The default address is a guess, which discovery makes needless.
        let is_wanted = discovery.is_none() || config.is_given("namesrv_addr");
        let given = config.namesrv_addr.addresses().filter(|_| is_wanted);
        let source = NameServerClient::with_source(given, discovery, pool);
        let mapping = TopicBrokerMapping::new(
            Arc::new(source.clone()),
            routing,
            Arc::clone(&registry),
            brokers.clone(),
            tasks.clone(),
            cancel.clone(),
        );
        Arc::new(Self {
            config,
            id,
            source,
            mapping,
            registry,
            brokers,
            name_servers,
            heartbeats,
            requests,
            cancel,
            tasks,
            network,
            users: Mutex::default(),
        })
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The groups of the running producers, sorted.
    pub(crate) fn groups(&self) -> Vec<Arc<str>> {
        self.users().groups.keys().cloned().collect()
    }

    /// Administration over the connections, in the name of a group.
    pub(crate) fn admin(&self, group: &Arc<str>) -> Admin {
        Admin::new(
            Arc::clone(group),
            Arc::clone(&self.id),
            self.source.clone(),
            self.brokers.clone(),
        )
    }

    /// Sends a heartbeat to the master of every known broker.
    pub(crate) async fn heartbeat_all(&self) -> HeartbeatReport {
        let addresses = self.mapping.broker_addresses();
        self.heartbeats.beat_all(&self.brokers, addresses).await
    }

    /// The runtime of the blocking producers that share this client, made by the first of them.
    pub(crate) fn own_runtime(
        &self,
        make: impl FnOnce() -> Result<OwnRuntime, StartError>,
    ) -> Result<Arc<OwnRuntime>, StartError> {
        let mut users = self.users();
        if let Some(runtime) = &users.own_runtime {
            return Ok(Arc::clone(runtime));
        }
        let runtime = Arc::new(make()?);
        if users.shares > 0 || users.seats > 1 {
            users.own_runtime = Some(Arc::clone(&runtime));
        }
        Ok(runtime)
    }

    /// Begins background work, unless it runs. Must be called within a runtime, which then runs it.
    pub(crate) fn begin_background_work(&self) {
        let mut users = self.users();
        let runs = users
            .beats
            .as_ref()
            .is_some_and(|beats| !beats.is_finished());
        if runs || self.cancel.is_cancelled() {
            return;
        }
        self.mapping.start_polling();
        let router = MessageRouter::new(self.mapping.clone());
        router.start_stats_reset();
        router.start_detector();
        self.source.start_discovery(
            self.config.namesrv_discovery_interval,
            &self.tasks,
            self.cancel.clone(),
        );
        let beats = Arc::clone(&self.heartbeats).run(
            self.brokers.clone(),
            self.mapping.clone(),
            self.config.heartbeat_broker_interval,
        );
        let cancel = self.cancel.clone();
        users.beats = Some(self.tasks.spawn(async move {
            cancel.run_until_cancelled(beats).await;
        }));
        users.runtime = Handle::try_current().ok();
    }

    /// Sees to it that heartbeats name the groups that are there, and that brokers share out what these may send.
    fn regroup(&self, users: &Users) {
        self.heartbeats.name_groups(users.groups.keys());
        if users.groups.is_empty() {
            return;
        }
        let sum = users.groups.values().fold((0, 0), |(sends, bytes), it| {
            (
                it.sends.saturating_add(sends),
                it.bytes.saturating_add(bytes),
            )
        });
        let options: RoutingOptions = self.mapping.options().clone();
        self.registry
            .set_share(&options.with_in_flight_limits(sum.0, sum.1));
    }

    /// Gives a seat back; returns whether nobody is left. Connections that only those need who may still come are
    /// closed.
    fn lose_seat(&self) -> bool {
        let mut users = self.users();
        users.seats = users.seats.saturating_sub(1);
        if users.seats == 0 && users.shares > 0 {
            // Under the lock, so that the next producer's connections are not among them.
            self.drop_connections();
        }
        users.is_nobody()
    }

    fn drop_connections(&self) {
        self.brokers.retain_addresses(|_| false);
        self.name_servers.retain_addresses(|_| false);
    }

    /// Ends all tasks and closes all connections without waiting, since nobody is left.
    fn end(&self) {
        self.cancel.cancel();
        self.drop_connections();
    }

    /// Closes all connections and ends all tasks, since nobody is left.
    async fn close(&self, patience: Duration) {
        self.cancel.cancel();
        tokio::join!(
            self.brokers.close(patience),
            self.name_servers.close(patience)
        );
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A handle by which producers may come to a client.
#[derive(Debug)]
pub(crate) struct Share(Arc<Client>);

impl Share {
    pub(crate) fn new(client: &Arc<Client>) -> Self {
        client.users().shares += 1;
        Self(Arc::clone(client))
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.0
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut users = self.0.users();
        users.shares = users.shares.saturating_sub(1);
        if users.is_nobody() {
            drop(users);
            self.0.end();
        }
    }
}

/// A producer's place at a client, until its shutdown ends or it is dropped.
#[derive(Debug)]
pub(crate) struct Seat(Option<Arc<Client>>);

impl Seat {
    pub(crate) fn new(client: &Arc<Client>) -> Self {
        client.users().seats += 1;
        Self(Some(Arc::clone(client)))
    }

    /// Leaves. The last one closes all connections, for good unless more producers may come, and waits for it,
    /// `patience` at most.
    pub(crate) async fn leave(mut self, patience: Duration) {
        let Some(client) = self.0.take() else { return };
        if client.lose_seat() {
            client.close(patience).await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            if client.lose_seat() {
                client.end();
            }
        }
    }
}

/// A running producer: its group is named in heartbeats, and asked for its transactions, as long as this lives.
#[derive(Debug)]
pub(crate) struct Membership {
    client: Arc<Client>,
    group: Arc<str>,
    _claim: Claim,
    /// Whether brokers were told of its end.
    left: bool,
}

impl Membership {
    /// Names a group in all heartbeats from now on, beginning with one on every open connection. Its transactions are
    /// asked for at `desk`. The producer may have so many sends and bytes under way.
    ///
    /// Must be called within a runtime.
    pub(crate) fn join(
        client: &Arc<Client>,
        group: &Arc<str>,
        desk: Option<Arc<dyn TransactionDesk>>,
        sends: usize,
        bytes: u64,
    ) -> Result<Self, StartError> {
        let claim = Claim::new(client.network, &client.id, group);
        let claim = claim.ok_or_else(|| StartError::GroupInUse {
            group: Arc::clone(group),
            client_id: Arc::clone(&client.id),
        })?;
        if let Some(desk) = desk {
            client.requests.register_transactions(group, desk);
        }
        let mut users = client.users();
        let flight = InFlight { sends, bytes };
        users.groups.insert(Arc::clone(group), flight);
        client.regroup(&users);
        drop(users);
        client.heartbeats.announce(&client.brokers);
        Ok(Self {
            client: Arc::clone(client),
            group: Arc::clone(group),
            _claim: claim,
            left: false,
        })
    }

    /// Takes the group back from every open connection; returns how many brokers confirmed.
    pub(crate) async fn leave(mut self, deadline: Instant) -> usize {
        // First, so that no heartbeat after the goodbye names it again.
        self.forget();
        self.left = true;
        let client = &self.client;
        let goodbye = client
            .heartbeats
            .unregister_all(&self.group, &client.brokers, deadline);
        let confirmed = goodbye.await;
        if let Some(other) = client.groups().first() {
            reintroduce(&client.heartbeats, &client.brokers, other, deadline).await;
        }
        confirmed
    }

    fn forget(&self) {
        let mut users = self.client.users();
        users.groups.remove(&self.group);
        self.client.regroup(&users);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // As long as it has the claim, no other producer has a desk of this group.
        self.client.requests.forget_group(&self.group);
        if self.left {
            return;
        }
        self.forget();
        let client = &self.client;
        let (other, runtime) = {
            let users = client.users();
            (users.groups.keys().next().cloned(), users.runtime.clone())
        };
        // Others keep the connections open, so brokers would go on asking for this group, and close the connections
        // once it has not been named for two minutes.
        if let (Some(other), Some(runtime)) = (other, runtime) {
            let (heartbeats, group) = (Arc::clone(&client.heartbeats), Arc::clone(&self.group));
            let (pool, cancel) = (client.brokers.clone(), client.cancel.clone());
            let deadline = Instant::now() + client.config.request_timeout;
            let goodbye = async move {
                let goodbye = async {
                    heartbeats.unregister_all(&group, &pool, deadline).await;
                    reintroduce(&heartbeats, &pool, &other, deadline).await;
                };
                cancel.run_until_cancelled(goodbye).await;
            };
            client.tasks.spawn_on(goodbye, &runtime);
        }
    }
}

/// Makes brokers find this client by its id again, for replies: they forget it with any of its groups that leaves, and
/// note it only when a group is new to them (Java: `ProducerManager`).
async fn reintroduce(
    heartbeats: &Heartbeats,
    pool: &ConnectionPool,
    group: &Arc<str>,
    deadline: Instant,
) {
    if heartbeats.takes_replies() {
        heartbeats.unregister_all(group, pool, deadline).await;
        heartbeats.announce(pool);
    }
}
