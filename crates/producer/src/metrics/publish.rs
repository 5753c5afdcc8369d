//! Publishing snapshots through the `metrics` facade, to whatever recorder the program has installed.

use std::sync::Weak;
use std::time::Duration;

use metrics::{Label, counter, gauge, histogram};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::table as names;
use super::{LatencyHistogram, MetricsSnapshot};
use crate::config::routing::remoting::NetworkStats;
use crate::core::Core;

/// The shortest time between two snapshots.
const SHORTEST: Duration = Duration::from_millis(10);

/// Publishes one producer's metrics, and knows what it has published before.
#[derive(Debug)]
struct Publisher {
    group: String,
    latency: Option<LatencyHistogram>,
    wait: Option<LatencyHistogram>,
}

impl Publisher {
    fn new(group: &str) -> Self {
        names::METRICS.iter().for_each(describe);
        Self {
            group: group.to_owned(),
            latency: None,
            wait: None,
        }
    }

    /// Publishes a snapshot. Counters are set to it, and of histograms what came since the last one is added.
    fn publish(&mut self, snapshot: &MetricsSnapshot) {
        let stats = &snapshot.stats;
        for (outcome, count) in [
            ("stored", stats.total_sent),
            ("written", stats.oneway_written),
            ("rejected", stats.rejected),
            ("not_sent", stats.not_sent),
            ("unknown", stats.unknown),
            ("dropped", stats.dropped),
        ] {
            self.count(names::SENDS, &[("outcome", outcome)], count);
        }
        self.count(names::RETRIES, &[], stats.retries);
        self.count(names::HEDGES, &[], stats.hedges);
        self.count(names::BATCHES, &[], stats.batches);
        self.count(names::BATCHED, &[], stats.batched);
        self.count(names::TRACES, &[("outcome", "stored")], stats.traces_sent);
        self.count(
            names::TRACES,
            &[("outcome", "dropped")],
            stats.traces_dropped,
        );
        let beats = [
            ("succeeded", stats.heartbeats_succeeded),
            ("failed", stats.heartbeats_failed),
        ];
        for (outcome, count) in beats {
            self.count(names::HEARTBEATS, &[("outcome", outcome)], count);
        }
        self.set(names::UNDER_WAY, &[], stats.under_way as f64);
        self.set(names::BYTES_UNDER_WAY, &[], stats.bytes_under_way as f64);
        self.set(names::LANES_STOPPED, &[], stats.stopped_lanes as f64);
        self.add(
            names::LATENCY,
            &snapshot.send_latency,
            self.latency.as_ref(),
        );
        self.add(names::WAIT, &snapshot.queue_wait, self.wait.as_ref());
        self.latency = Some(snapshot.send_latency.clone());
        self.wait = Some(snapshot.queue_wait.clone());
        self.set(names::TOPICS, &[], snapshot.routes.topics as f64);
        self.set(names::ROUTE_AGE, &[], snapshot.routes.oldest.as_secs_f64());
        self.count(names::TRANSITIONS, &[], snapshot.health_transitions);
        for broker in &snapshot.brokers {
            let labels = [
                ("broker", &*broker.broker_name),
                ("address", &*broker.address),
            ];
            self.set(
                names::AVAILABLE,
                &labels,
                f64::from(u8::from(broker.is_available)),
            );
            let latency = broker.smoothed_latency.unwrap_or_default();
            self.set(names::BROKER_LATENCY, &labels, latency.as_secs_f64());
            self.set(names::BROKER_IN_FLIGHT, &labels, broker.in_flight as f64);
        }
        self.network("broker", &stats.brokers);
        self.network("name_server", &stats.name_servers);
        if let Some(runtime) = snapshot.runtime {
            self.set(names::RUNTIME_WORKERS, &[], runtime.workers as f64);
            self.set(names::RUNTIME_TASKS, &[], runtime.alive_tasks as f64);
            self.set(names::RUNTIME_QUEUE, &[], runtime.queued_tasks as f64);
        }
    }

    fn network(&self, server: &str, stats: &NetworkStats) {
        let server = ("server", server);
        let succeeded = stats.dials.saturating_sub(stats.failed_dials);
        self.count(names::DIALS, &[server, ("outcome", "succeeded")], succeeded);
        self.count(
            names::DIALS,
            &[server, ("outcome", "failed")],
            stats.failed_dials,
        );
        self.count(names::CLOSED, &[server], stats.closed_connections);
        self.count(names::REPLACED, &[server], stats.replaced_connections);
        self.count(
            names::BYTES,
            &[server, ("direction", "out")],
            stats.bytes_written,
        );
        self.count(
            names::BYTES,
            &[server, ("direction", "in")],
            stats.bytes_read,
        );
        self.count(names::WRITES, &[server], stats.writes);
        self.count(names::FRAMES, &[server], stats.frames_read);
        self.count(names::TIMEOUTS, &[server], stats.timeouts);
        self.count(names::UNMATCHED, &[server], stats.unmatched_responses);
    }

    fn labels(&self, labels: &[(&'static str, &str)]) -> Vec<Label> {
        let group = Label::new("group", self.group.clone());
        let own = labels
            .iter()
            .map(|(name, value)| Label::new(*name, (*value).to_owned()));
        std::iter::once(group).chain(own).collect()
    }

    fn count(&self, name: &'static str, labels: &[(&'static str, &str)], count: u64) {
        counter!(name, self.labels(labels)).absolute(count);
    }

    fn set(&self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        gauge!(name, self.labels(labels)).set(value);
    }

    fn add(&self, name: &'static str, now: &LatencyHistogram, before: Option<&LatencyHistogram>) {
        let new = before.map_or_else(|| now.clone(), |before| now.since(before));
        let histogram = histogram!(name, self.labels(&[]));
        for (time, times) in new.middles() {
            let times = usize::try_from(times).unwrap_or(usize::MAX);
            histogram.record_many(time.as_secs_f64(), times);
        }
    }
}

fn describe(metric: &names::MetricName) {
    match metric.kind {
        names::MetricKind::Counter => metrics::describe_counter!(metric.name, metric.help),
        names::MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
        names::MetricKind::Histogram => {
            metrics::describe_histogram!(metric.name, metrics::Unit::Seconds, metric.help)
        }
    }
}

/// Publishes the metrics of a producer until `cancel`, and a last time then.
pub(crate) async fn publish(core: Weak<Core>, every: Duration, cancel: CancellationToken) {
    let mut ticks = tokio::time::interval(every.max(SHORTEST));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut publisher: Option<Publisher> = None;
    loop {
        let is_last = cancel.run_until_cancelled(ticks.tick()).await.is_none();
        let Some(core) = core.upgrade() else { return };
        let publisher = publisher.get_or_insert_with(|| Publisher::new(&core.group));
        publisher.publish(&MetricsSnapshot::of(&core));
        if is_last {
            return;
        }
    }
}
