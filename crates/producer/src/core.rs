//! The parts of a running producer and the work in its background.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use crate::admin::Admin;
use crate::blocking::Home;
use crate::client_id;
use crate::compression::Compression;
use crate::config::ProducerConfig;
use crate::config::routing::remoting::message::MessageIdGenerator;
use crate::config::routing::remoting::{ConnectionOptions, ConnectionPool, NoConsumer};
use crate::config::routing::{
    BrokerRegistry, MessageRouter, NameServerClient, NameServerDiscovery, TopicBrokerMapping,
};
use crate::deadline;
use crate::dialers::Dialers;
use crate::error::StartError;
use crate::gate::Gate;
use crate::heartbeat::{HeartbeatReport, Heartbeats};
use crate::hooks::Hooks;
use crate::lanes::Lanes;
use crate::ledger::Ledger;
use crate::lifecycle::{State, StateCell};
use crate::pace::Pacer;
use crate::pipeline::Gatherer;
use crate::preheat::{Preheat, PreheatReport};
use crate::report::{FlushReport, ShutdownReport};
use crate::retry::RetryRules;
use crate::server_requests::ServerRequests;
use crate::stats::ProducerStats;

/// Part of a shutdown's time kept for saying goodbye to brokers.
const GOODBYE_SHARE: u32 = 4;

/// Longest time for connections to write what they were given when a shutdown closes them.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// How the producer reaches servers.
pub(crate) struct Network {
    pub(crate) options: ConnectionOptions,
    pub(crate) dialers: Dialers,
    pub(crate) discovery: Option<Arc<dyn NameServerDiscovery>>,
}

/// Everything behind a [`Producer`](crate::Producer).
pub(crate) struct Core {
    pub(crate) config: ProducerConfig,
    pub(crate) group: Arc<str>,
    pub(crate) client_id: Arc<str>,
    pub(crate) state: StateCell,
    pub(crate) ledger: Ledger,
    pub(crate) lanes: Lanes,
    pub(crate) retry_rules: RetryRules,
    pub(crate) compression: Compression,
    pub(crate) hooks: Hooks,
    /// Spaces one-way messages, if they are bounded.
    pub(crate) oneway_pace: Option<Pacer>,
    pub(crate) ids: &'static MessageIdGenerator,
    pub(crate) router: MessageRouter,
    pub(crate) registry: Arc<BrokerRegistry>,
    pub(crate) source: NameServerClient,
    pub(crate) brokers: ConnectionPool,
    /// Cancelled when no message is taken any more.
    pub(crate) closing: CancellationToken,
    /// Cancelled when the time for what is under way is over; implies `closing`.
    pub(crate) cancel: CancellationToken,
    /// Where the producer was started, for blocking calls.
    home: Mutex<Option<Home>>,
    refusals: AtomicU64,
    retries: AtomicU64,
    hedges: AtomicU64,
    batches: AtomicU64,
    batched: AtomicU64,
    /// Gathers messages that are sent at the same time, if that is on.
    pub(crate) gatherer: Option<Gatherer>,
    name_servers: ConnectionPool,
    heartbeats: Arc<Heartbeats>,
    /// Takes what brokers ask by themselves.
    pub(crate) server_requests: Arc<ServerRequests>,
    preheat: Preheat,
    pub(crate) tasks: TaskTracker,
    started: OnceCell<PreheatReport>,
    stopped: OnceCell<ShutdownReport>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("group", &self.group)
            .field("client_id", &self.client_id)
            .field("state", &self.state.get())
            .field("under_way", &self.ledger.gate().under_way())
            .finish_non_exhaustive()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Background tasks hold none of the core, so the last handle ends them all.
        self.cancel.cancel();
        if self.state.get() == State::Running {
            debug!(group = %self.group, "producer dropped without shutdown; brokers were not told");
        }
    }
}

impl Core {
    /// Puts the parts together. Does no I/O and starts no task.
    pub(crate) fn new(
        config: ProducerConfig,
        preheat: Preheat,
        network: Network,
        hooks: Hooks,
    ) -> Self {
        let Network {
            options,
            dialers,
            discovery,
        } = network;
        let group: Arc<str> = Arc::from(config.producer_group.as_str());
        let client_id: Arc<str> = match &config.client_id {
            Some(given) => Arc::from(given.as_str()),
            None => Arc::from(client_id::generate()),
        };
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        // Made first: connections tell it what they meet, and routes read it.
        let routing = config.routing_options();
        let registry = Arc::new(BrokerRegistry::new(routing.health.clone()));
        let server_requests = Arc::<ServerRequests>::default();
        let heartbeats = Arc::new(Heartbeats::new(
            Arc::clone(&client_id),
            Arc::clone(&group),
            config.request_timeout,
            Arc::clone(&registry),
            Arc::clone(&server_requests),
            tasks.clone(),
            cancel.clone(),
        ));
        let handler = Arc::clone(&heartbeats);
        let brokers = ConnectionPool::with_dialer(options.clone(), handler, dialers.brokers);
        let options = options.with_connections(1);
        let name_servers =
            ConnectionPool::with_dialer(options, Arc::new(NoConsumer), dialers.name_servers);
        let pool = name_servers.clone();
        let source = match discovery {
            None => NameServerClient::new(&config.namesrv_addr, pool),
            Some(discovery) => {
                // The default address is a guess, which discovery makes needless.
                let given = config.is_given("namesrv_addr");
                let given = given.then_some(&config.namesrv_addr);
                NameServerClient::with_discovery(given, discovery, pool)
            }
        };
        let mapping = TopicBrokerMapping::new(
            Arc::new(source.clone()),
            routing,
            Arc::clone(&registry),
            brokers.clone(),
            tasks.clone(),
            cancel.clone(),
        );
        let limit = usize::try_from(config.async_send_semaphore).unwrap_or(usize::MAX);
        Self {
            group,
            client_id,
            state: StateCell::new(),
            lanes: Lanes::new(config.ordered, config.ordered_on_unknown),
            retry_rules: RetryRules::of(&config),
            compression: Compression::of(&config),
            hooks,
            oneway_pace: Pacer::new(config.oneway_rate),
            closing: cancel.child_token(),
            ledger: Ledger::new(Gate::new(limit, config.max_in_flight_bytes.as_u64())),
            ids: MessageIdGenerator::shared(),
            router: MessageRouter::new(mapping),
            registry,
            source,
            brokers,
            refusals: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            hedges: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            batched: AtomicU64::new(0),
            gatherer: Gatherer::of(&config),
            name_servers,
            heartbeats,
            server_requests,
            preheat,
            tasks,
            cancel,
            started: OnceCell::new(),
            stopped: OnceCell::new(),
            home: Mutex::default(),
            config,
        }
    }

    /// Starts once; every other call waits for that start and returns the same.
    pub(crate) async fn start(&self) -> Result<PreheatReport, StartError> {
        let report = self.started.get_or_try_init(async || {
            let state = self.state.get();
            if state != State::Created {
                return Err(StartError::State(state));
            }
            // Known before anything is opened, so that a blocking shutdown can close it. A start that failed may be
            // followed by one on another runtime.
            self.set_home(Home::here(&self.tasks).await);
            let report = self.preheat.run(self).await;
            let state = self.state.get();
            if state != State::Created {
                return Err(StartError::State(state));
            }
            let report = report?;
            // Without an await from here on: a start that is dropped midway leaves nothing behind.
            let before = self.state.advance(State::Running);
            if before != State::Created {
                return Err(StartError::State(before));
            }
            self.begin_background_work();
            info!(group = %self.group, client_id = %self.client_id, "producer started");
            Ok(report)
        });
        let report = report.await?;
        match self.state.get() {
            State::Running => Ok(report.clone()),
            state => Err(StartError::State(state)),
        }
    }

    /// The runtime of the last start that began.
    pub(crate) fn home(&self) -> Option<Home> {
        let home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        home.clone()
    }

    fn set_home(&self, here: Home) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = Some(here);
    }

    /// Shuts down once; every other call waits for that shutdown and returns the same report.
    pub(crate) async fn shutdown(&self, patience: Duration) -> ShutdownReport {
        *self
            .stopped
            .get_or_init(async || self.run_shutdown(patience).await)
            .await
    }

    /// Shuts down a producer that was never started, which takes no waiting.
    pub(crate) fn shutdown_unstarted(&self) -> Option<ShutdownReport> {
        if self.state.end_unstarted() {
            self.close_entrances();
            self.cancel.cancel();
            let report = ShutdownReport::of(self.ledger.ended_after_close(), 0);
            // Another call may have been first.
            let _ = self.stopped.set(report);
        }
        self.stopped.get().copied()
    }

    async fn run_shutdown(&self, patience: Duration) -> ShutdownReport {
        let began = Instant::now();
        let deadline = deadline::after(began, patience);
        self.state.advance(State::Stopping);
        self.close_entrances();
        // Some time is kept for the goodbye, unless the sends under way are done before.
        let drain_until = deadline - deadline.duration_since(began) / GOODBYE_SHARE;
        let _ = tokio::time::timeout_at(drain_until, self.ledger.gate().wait_until_empty()).await;
        let abandoned = self.ledger.gate().under_way();
        let unregistered = self
            .heartbeats
            .unregister_all(&self.brokers, deadline)
            .await;
        self.server_requests.forget_group(&self.group);
        self.cancel.cancel();
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = left.min(CLOSE_PATIENCE);
        tokio::join!(
            self.brokers.close(patience),
            self.name_servers.close(patience)
        );
        if abandoned > 0 {
            // Their connections are gone, so their callers learn the outcome now.
            let at_once = Instant::now() + CLOSE_PATIENCE;
            let _ = tokio::time::timeout_at(at_once, self.ledger.gate().wait_until_empty()).await;
        }
        self.tasks.close();
        self.tasks.wait().await;
        self.state.advance(State::Stopped);
        let unresolved = self.ledger.gate().under_way();
        let report = ShutdownReport {
            abandoned,
            unregistered,
            elapsed: began.elapsed(),
            ..ShutdownReport::of(self.ledger.ended_after_close(), unresolved)
        };
        info!(group = %self.group, ?report, "producer shut down");
        report
    }

    /// Takes no message any more, and refuses those that wait to be taken.
    fn close_entrances(&self) {
        self.ledger.gate().close();
        self.lanes.close();
        self.closing.cancel();
    }

    /// Waits until every send that was called before has its outcome.
    pub(crate) async fn flush(&self, deadline: Instant) -> FlushReport {
        if let Some(gatherer) = &self.gatherer {
            gatherer.release();
        }
        self.ledger.flush(deadline).await
    }

    /// Counts a send that was not admitted.
    pub(crate) fn count_refusal(&self) {
        self.refusals.fetch_add(1, Relaxed);
    }

    /// Counts attempts beyond the first of their send.
    pub(crate) fn count_retries(&self, retries: usize) {
        if retries > 0 {
            self.retries.fetch_add(retries as u64, Relaxed);
        }
    }

    /// Counts an attempt beside another one.
    pub(crate) fn count_hedge(&self) {
        self.hedges.fetch_add(1, Relaxed);
    }

    /// Counts a request with so many messages, if it is a batch.
    pub(crate) fn count_batch(&self, messages: usize) {
        if messages > 1 {
            self.batches.fetch_add(1, Relaxed);
            self.batched.fetch_add(messages as u64, Relaxed);
        }
    }

    /// Runs a task where the producer was started.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(home) = &*home {
            self.tasks.spawn_on(task, home.handle());
        }
    }

    /// Administration over the same connections.
    pub(crate) fn admin(&self) -> Admin {
        Admin::new(
            Arc::clone(&self.group),
            Arc::clone(&self.client_id),
            self.source.clone(),
            self.brokers.clone(),
        )
    }

    /// Sends a heartbeat to the master of every known broker.
    pub(crate) async fn heartbeat_all(&self) -> HeartbeatReport {
        let addresses = self.router.mapping().broker_addresses();
        self.heartbeats.beat_all(&self.brokers, addresses).await
    }

    pub(crate) fn stats(&self) -> ProducerStats {
        let outcomes = self.ledger.ended();
        let not_sent = outcomes.not_sent + self.refusals.load(Relaxed);
        let (lanes, stopped_lanes) = self.lanes.counts();
        let (heartbeats_succeeded, heartbeats_failed) = self.heartbeats.counts();
        ProducerStats {
            state: self.state.get(),
            producer_group: Arc::clone(&self.group),
            client_id: Arc::clone(&self.client_id),
            total_sent: outcomes.acked,
            total_failed: outcomes.rejected + not_sent + outcomes.unknown,
            rejected: outcomes.rejected,
            not_sent,
            unknown: outcomes.unknown,
            oneway_written: outcomes.oneway_written,
            dropped: outcomes.dropped,
            retries: self.retries.load(Relaxed),
            hedges: self.hedges.load(Relaxed),
            batches: self.batches.load(Relaxed),
            batched: self.batched.load(Relaxed),
            under_way: self.ledger.gate().under_way(),
            bytes_under_way: self.ledger.gate().bytes_under_way(),
            lanes,
            stopped_lanes,
            cached_topics: self.router.mapping().cache_stats().topics,
            heartbeats_succeeded,
            heartbeats_failed,
            brokers: self.brokers.stats(),
            name_servers: self.name_servers.stats(),
        }
    }

    fn begin_background_work(&self) {
        self.router.mapping().start_polling();
        self.router.start_stats_reset();
        self.router.start_detector();
        self.source.start_discovery(
            self.config.poll_name_server_interval,
            &self.tasks,
            self.cancel.clone(),
        );
        let beats = Arc::clone(&self.heartbeats).run(
            self.brokers.clone(),
            self.router.mapping().clone(),
            self.config.heartbeat_broker_interval,
        );
        let cancel = self.cancel.clone();
        self.tasks
            .spawn(async move { cancel.run_until_cancelled(beats).await });
    }
}
