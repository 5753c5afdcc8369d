//! The names under which metrics are published. The reference (`docs/src/observability.md`) is checked against it.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Times, in seconds.
    Histogram,
}

/// A metric as it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricName {
    /// The name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: MetricKind,
    /// The labels beside `group`, separated by commas; mostly none.
    pub labels: &'static str,
    /// What it says.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal $labels:literal $help:literal;)+) => {
        $(
            #[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "published by that feature"))]
            pub(super) const $constant: &str = $name;
        )+

        /// All metrics that are published.
        pub static METRICS: &[MetricName] = &[$(
            MetricName { name: $name, kind: MetricKind::$kind, labels: $labels, help: $help },
        )+];
    };
}

metrics! {
    SENDS: Counter "rocketmq_producer_sends_total" "outcome"
        "Messages by outcome: stored, written (one-way), rejected, not_sent, unknown, dropped.";
    RETRIES: Counter "rocketmq_producer_retries_total" ""
        "Attempts beyond the first of their send.";
    HEDGES: Counter "rocketmq_producer_hedges_total" ""
        "Attempts beside another one that took long.";
    BATCHES: Counter "rocketmq_producer_batches_total" ""
        "Batches that had their outcome.";
    BATCHED: Counter "rocketmq_producer_batched_messages_total" ""
        "Messages in those batches.";
    LATENCY: Histogram "rocketmq_producer_send_latency_seconds" ""
        "Time from the call to the receipt of messages that were stored.";
    WAIT: Histogram "rocketmq_producer_queue_wait_seconds" ""
        "Time that messages waited for their place; those that found one at once are not in it.";
    UNDER_WAY: Gauge "rocketmq_producer_in_flight" ""
        "Messages under way.";
    BYTES_UNDER_WAY: Gauge "rocketmq_producer_in_flight_bytes" ""
        "Bytes of their bodies and properties.";
    LANES_STOPPED: Gauge "rocketmq_producer_stopped_lanes" ""
        "Lanes of ordered messages that an unknown outcome has stopped.";
    TRACES: Counter "rocketmq_producer_traces_total" "outcome"
        "Records of message traces: stored, dropped.";
    HEARTBEATS: Counter "rocketmq_producer_heartbeats_total" "outcome"
        "Heartbeats: succeeded, failed.";
    TOPICS: Gauge "rocketmq_routing_topics" ""
        "Topics whose route is cached.";
    ROUTE_AGE: Gauge "rocketmq_routing_oldest_route_seconds" ""
        "Age of the route that no name server has confirmed for longest.";
    TRANSITIONS: Counter "rocketmq_routing_health_transitions_total" ""
        "Changes of a broker's condition.";
    AVAILABLE: Gauge "rocketmq_routing_broker_available" "broker, address"
        "Whether the broker is one to use: 1 or 0.";
    BROKER_LATENCY: Gauge "rocketmq_routing_broker_latency_seconds" "broker, address"
        "Smoothed latency of the broker's answers.";
    BROKER_IN_FLIGHT: Gauge "rocketmq_routing_broker_in_flight" "broker, address"
        "Messages under way at the broker.";
    DIALS: Counter "rocketmq_remoting_dials_total" "server, outcome"
        "Dials: succeeded, failed. Beyond the first of an address they are reconnects.";
    CLOSED: Counter "rocketmq_remoting_closed_connections_total" "server"
        "Connections that ended.";
    REPLACED: Counter "rocketmq_remoting_replaced_connections_total" "server"
        "Silent connections that gave way to a new one.";
    BYTES: Counter "rocketmq_remoting_bytes_total" "server, direction"
        "Bytes: out, in.";
    WRITES: Counter "rocketmq_remoting_writes_total" "server"
        "Write calls.";
    FRAMES: Counter "rocketmq_remoting_frames_read_total" "server"
        "Frames read.";
    TIMEOUTS: Counter "rocketmq_remoting_timeouts_total" "server"
        "Requests that reached their deadline.";
    UNMATCHED: Counter "rocketmq_remoting_unmatched_responses_total" "server"
        "Answers that no request waited for.";
    RUNTIME_WORKERS: Gauge "rocketmq_runtime_workers" ""
        "Threads of the runtime.";
    RUNTIME_TASKS: Gauge "rocketmq_runtime_alive_tasks" ""
        "Tasks of the runtime that have not ended.";
    RUNTIME_QUEUE: Gauge "rocketmq_runtime_queued_tasks" ""
        "Tasks that wait for any worker.";
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The rows of the reference.
    fn reference() -> String {
        let rows = METRICS.iter().map(|metric| {
            let labels = if metric.labels.is_empty() {
                "–"
            } else {
                metric.labels
            };
            let kind = format!("{:?}", metric.kind).to_lowercase();
            format!(
                "| `{}` | {kind} | {labels} | {} |\n",
                metric.name, metric.help
            )
        });
        rows.collect()
    }

    #[test]
    fn the_reference_has_every_metric_as_it_is() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/observability.md");
        let page = std::fs::read_to_string(path).unwrap();
        let page: String = page
            .lines()
            .filter(|line| line.starts_with("| `rocketmq_") && !line.contains("::"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(page, reference());
    }

    #[test]
    fn the_dashboard_asks_for_metrics_that_there_are() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/grafana-dashboard.json");
        let text = std::fs::read_to_string(path).unwrap();
        let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
        let mut asked = 0;
        for word in text
            .split(|c| !is_part(c))
            .filter(|word| word.starts_with("rocketmq_"))
        {
            let name = ["_bucket", "_sum", "_count"]
                .into_iter()
                .find_map(|end| word.strip_suffix(end));
            let is_known = |name: &str| METRICS.iter().any(|metric| metric.name == name);
            assert!(is_known(word) || name.is_some_and(is_known), "{word}");
            asked += 1;
        }
        assert!(asked > 10);
    }
}
