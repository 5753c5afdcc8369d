//! The parts of a running producer, its start and its end.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use crate::admin::Admin;
use crate::blocking::Home;
use crate::compression::Compression;
use crate::config::ProducerConfig;
use crate::config::routing::MessageRouter;
use crate::config::routing::remoting::message::{MessageIdGenerator, Namespace};
use crate::context::{Client, Membership, Seat};
use crate::deadline;
use crate::error::StartError;
use crate::gate::Gate;
use crate::hooks::Hooks;
use crate::lanes::Lanes;
use crate::ledger::Ledger;
use crate::lifecycle::{State, StateCell};
use crate::message_trace::Tracer;
use crate::metrics::Metrics;
use crate::namespace;
use crate::pace::Pacer;
use crate::pipeline::Gatherer;
use crate::preheat::{Preheat, PreheatReport};
use crate::report::{FlushReport, ShutdownReport};
use crate::retry::RetryRules;
use crate::stats::ProducerStats;
use crate::transaction::{Transactions, announce};

/// Part of a shutdown's time kept for saying goodbye to brokers.
const GOODBYE_SHARE: u32 = 4;

/// Longest time for connections to write what they were given when a shutdown closes them.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Everything behind a [`Producer`](crate::Producer).
pub(crate) struct Core {
    pub(crate) config: ProducerConfig,
    pub(crate) group: Arc<str>,
    /// What topics and the group are wrapped in, if anything.
    pub(crate) namespace: Option<Namespace>,
    /// What it shares with others, or has for itself.
    pub(crate) client: Arc<Client>,
    pub(crate) state: StateCell,
    pub(crate) ledger: Ledger,
    pub(crate) lanes: Lanes,
    pub(crate) retry_rules: RetryRules,
    pub(crate) compression: Compression,
    pub(crate) hooks: Hooks,
    pub(crate) metrics: Metrics,
    /// How often they are published, if they are.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(dead_code, reason = "published by that feature")
    )]
    publish_metrics: Option<Duration>,
    /// Writes message traces, if they are on.
    pub(crate) tracer: Option<Arc<Tracer>>,
    /// Spaces one-way messages, if they are bounded.
    pub(crate) oneway_pace: Option<Pacer>,
    pub(crate) ids: &'static MessageIdGenerator,
    pub(crate) router: MessageRouter,
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
    /// Of a transactional producer.
    pub(crate) transactions: OnceLock<Arc<Transactions>>,
    preheat: Preheat,
    /// Places of requests that wait for replies.
    pub(crate) requests: Semaphore,
    /// Tasks of sends.
    pub(crate) tasks: TaskTracker,
    /// What keeps the client for this producer until it ends.
    seat: Mutex<Option<Seat>>,
    /// What has the group named in heartbeats while it runs.
    membership: Mutex<Option<Membership>>,
    started: OnceCell<PreheatReport>,
    stopped: OnceCell<ShutdownReport>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("group", &self.group)
            .field("client_id", &self.client.id)
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
        client: Arc<Client>,
        mut hooks: Hooks,
        publish_metrics: Option<Duration>,
    ) -> Self {
        let namespace = namespace::of(&config);
        let group = namespace::wrapped(namespace.as_ref(), &config.producer_group);
        // Records are about the names as the program knows them.
        let tracer = Tracer::of(&config, &Arc::from(config.producer_group.as_str()));
        hooks.tracer.clone_from(&tracer);
        let cancel = client.cancel.child_token();
        let mapping = client.mapping.clone();
        let router = MessageRouter::with_options(mapping, &config.routing_options());
        let seat = Mutex::new(Some(Seat::new(&client)));
        let limit = usize::try_from(config.async_send_semaphore).unwrap_or(usize::MAX);
        Self {
            namespace,
            state: StateCell::new(),
            lanes: Lanes::new(config.ordered, config.ordered_on_unknown),
            retry_rules: RetryRules::of(&config),
            compression: Compression::of(&config),
            hooks,
            metrics: Metrics::default(),
            publish_metrics,
            tracer,
            oneway_pace: Pacer::new(config.oneway_rate),
            closing: cancel.child_token(),
            ledger: Ledger::new(Gate::new(limit, config.max_in_flight_bytes.as_u64())),
            ids: MessageIdGenerator::shared(),
            router,
            refusals: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            hedges: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            batched: AtomicU64::new(0),
            gatherer: Gatherer::of(&config),
            transactions: OnceLock::new(),
            preheat,
            requests: Semaphore::new(limit.min(Semaphore::MAX_PERMITS)),
            tasks: TaskTracker::new(),
            cancel,
            seat,
            membership: Mutex::default(),
            client,
            started: OnceCell::new(),
            stopped: OnceCell::new(),
            home: Mutex::default(),
            group,
            config,
        }
    }

    /// Starts once; every other call waits for that start and returns the same.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<PreheatReport, StartError> {
        let report = self.started.get_or_try_init(async || {
            let state = self.state.get();
            if state != State::Created {
                return Err(StartError::State(state));
            }
            // Known before anything is opened, so that a blocking shutdown can close it. A start that failed may be
            // followed by one on another runtime.
            self.set_home(Home::here(&self.tasks).await);
            // From here on heartbeats name the group.
            let gate = self.ledger.gate();
            let bytes = self.config.max_in_flight_bytes.as_u64();
            let desk = self.transactions.get().map(|it| it.desk());
            let (client, group) = (&self.client, &self.group);
            let membership = Membership::join(client, group, desk, gate.limit(), bytes)?;
            let report = self.preheat.run(self).await;
            let state = self.state.get();
            if state != State::Created {
                return Err(StartError::State(state));
            }
            let report = report?;
            // Without an await from here on: a start that is dropped midway leaves nothing behind.
            // In its place before anybody can see the producer run, so that every shutdown finds it there.
            *lock(&self.membership) = Some(membership);
            let before = self.state.advance(State::Running);
            if before != State::Created {
                let membership = lock(&self.membership).take();
                drop(membership);
                return Err(StartError::State(before));
            }
            self.client.begin_background_work();
            self.begin_announcing();
            #[cfg(feature = "metrics")]
            if let Some(every) = self.publish_metrics {
                let core = Arc::downgrade(self);
                self.spawn(crate::metrics::publish(core, every, self.cancel.clone()));
            }
            if let Some(tracer) = &self.tracer {
                let (task, cancel) = (tracer.task(Arc::downgrade(self)), self.cancel.clone());
                self.spawn(async move {
                    cancel.run_until_cancelled(task).await;
                });
            }
            info!(group = %self.group, client_id = %self.client.id, "producer started");
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
        lock(&self.home).clone()
    }

    fn set_home(&self, here: Home) {
        *lock(&self.home) = Some(here);
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
            drop(lock(&self.seat).take());
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
        if let Some(transactions) = self.transactions.get() {
            let ended = transactions.wait_until_none_open();
            let _ = tokio::time::timeout_at(drain_until, ended).await;
        }
        let _ = tokio::time::timeout_at(drain_until, self.ledger.gate().wait_until_empty()).await;
        let open_transactions = self.transactions.get().map_or(0, |it| it.open());
        let abandoned = self.ledger.gate().under_way();
        if let Some(tracer) = &self.tracer {
            let now = Instant::now();
            tracer
                .flush(now + deadline.saturating_duration_since(now) / 2)
                .await;
        }
        let membership = lock(&self.membership).take();
        let unregistered = match membership {
            Some(membership) => membership.leave(deadline).await,
            None => 0,
        };
        self.cancel.cancel();
        let left = deadline.saturating_duration_since(Instant::now());
        let seat = lock(&self.seat).take();
        if let Some(seat) = seat {
            seat.leave(left.min(CLOSE_PATIENCE)).await;
        }
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
            open_transactions,
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
        if let Some(home) = &*lock(&self.home) {
            self.tasks.spawn_on(task, home.handle());
        }
    }

    /// Administration over the same connections.
    pub(crate) fn admin(&self) -> Admin {
        let admin = self.client.admin(&self.group);
        admin.in_namespace(self.namespace.clone())
    }

    pub(crate) fn stats(&self) -> ProducerStats {
        let outcomes = self.ledger.ended();
        let not_sent = outcomes.not_sent + self.refusals.load(Relaxed);
        let (lanes, stopped_lanes) = self.lanes.counts();
        let replies = self.client.requests.replies().counts();
        let tracer = self.tracer.as_ref();
        let (traces_sent, traces_dropped) = tracer.map_or((0, 0), |tracer| tracer.counts());
        let (heartbeats_succeeded, heartbeats_failed) = self.client.heartbeats.counts();
        ProducerStats {
            state: self.state.get(),
            producer_group: Arc::clone(&self.group),
            client_id: Arc::clone(&self.client.id),
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
            traces_sent,
            traces_dropped,
            under_way: self.ledger.gate().under_way(),
            bytes_under_way: self.ledger.gate().bytes_under_way(),
            lanes,
            stopped_lanes,
            cached_topics: self.router.mapping().cache_stats().topics,
            replies: replies.received,
            late_replies: replies.late,
            unknown_replies: replies.unknown,
            heartbeats_succeeded,
            heartbeats_failed,
            brokers: self.client.brokers.stats(),
            name_servers: self.client.name_servers.stats(),
        }
    }

    /// Makes a transactional producer known to the brokers that have half messages.
    fn begin_announcing(&self) {
        if self.transactions.get().is_some() {
            let announcing = announce(
                self.client.source.clone(),
                self.router.mapping().clone(),
                self.client.brokers.clone(),
                self.config.request_timeout,
                self.config.poll_name_server_interval,
            );
            let cancel = self.cancel.clone();
            self.tasks
                .spawn(async move { cancel.run_until_cancelled(announcing).await });
        }
    }
}

/// The value behind a lock that no panic can leave half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
