//! The figures of a run, as one line of JSON or as a table.

use std::time::Duration;

use serde::Serialize;

use super::load::Outcome;
use crate::args::BenchArgs;
use crate::latency::human;

/// The figures of a run, under the names that benchmarks of all peers share.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    peer: &'static str,
    mode: &'static str,
    body: u64,
    count: u64,
    concurrency: u32,
    /// Messages of each explicit batch; 1 unless batches are sent.
    batch: u32,
    acked: u64,
    failed: u64,
    secs: f64,
    msgs_per_s: f64,
    /// CPU time of this process while it measured; `null` where the system does not tell.
    cpu_s: Option<f64>,
    cpu_us_per_msg: Option<f64>,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    /// Resident memory at the end of the run; `null` where the system does not tell.
    rss_mib: Option<f64>,
    /// From the beginning of `main` to the first acknowledgement.
    first_ack_ms: f64,
}

impl Report {
    pub(super) fn new(
        args: &BenchArgs,
        outcome: &Outcome,
        cpu: Option<Duration>,
        resident_bytes: Option<u64>,
        first_ack: Duration,
    ) -> Self {
        let secs = outcome.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        let cpu_s = cpu.map(|cpu| cpu.as_secs_f64());
        let sent = (outcome.acked + outcome.failed).max(1) as f64;
        let micros = |quantile| round(outcome.latency.at(quantile) as f64 / 1e3);
        Self {
            peer: "rocketmq-producer",
            mode: args.mode.as_str(),
            body: args.body.as_u64(),
            count: args.count,
            concurrency: args.concurrency,
            batch: args.per_call(),
            acked: outcome.acked,
            failed: outcome.failed,
            secs: round(secs),
            msgs_per_s: round(outcome.acked as f64 / secs),
            cpu_s: cpu_s.map(round),
            cpu_us_per_msg: cpu_s.map(|cpu| round(cpu * 1e6 / sent)),
            p50_us: micros(0.5),
            p99_us: micros(0.99),
            p999_us: micros(0.999),
            max_us: round(outcome.latency.max() as f64 / 1e3),
            rss_mib: resident_bytes.map(|bytes| round(bytes as f64 / 1_048_576.0)),
            first_ack_ms: round(first_ack.as_secs_f64() * 1e3),
        }
    }

    /// What was sent and how, in one line.
    pub(super) fn title(&self) -> String {
        let batches = match self.batch {
            1 => String::new(),
            batch => format!(" in batches of {batch}"),
        };
        format!(
            "{} sends of {} B{batches}, {} in flight",
            self.mode, self.body, self.concurrency
        )
    }

    pub(super) fn to_json(&self) -> String {
        // Numbers and strings: serde_json cannot fail on these.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn to_text(&self, topic: &str, headers: &str, rate: Option<f64>) -> String {
        let known = |value: Option<f64>, digits: usize, unit: &str| {
            value.map_or_else(
                || "not known".to_owned(),
                |value| format!("{value:.digits$} {unit}"),
            )
        };
        let time = |micros: f64| human((micros * 1e3) as u64);
        let pace = rate.map_or_else(String::new, |rate| format!(", {rate} due per second"));
        format!(
            "{} to topic {topic}, {headers} headers{pace}\n\n\
             messages    {} acked, {} failed, in {:.2} s\n\
             throughput  {:.0} messages/s\n\
             CPU         {}, {}\n\
             latency     p50 {}, p99 {}, p99.9 {}, max {}\n\
             memory      {}\n\
             start       {:.2} ms to the first acknowledgement",
            self.title(),
            self.acked,
            self.failed,
            self.secs,
            self.msgs_per_s,
            known(self.cpu_s, 2, "s"),
            known(self.cpu_us_per_msg, 2, "µs per message"),
            time(self.p50_us),
            time(self.p99_us),
            time(self.p999_us),
            time(self.max_us),
            known(self.rss_mib, 1, "MiB resident"),
            self.first_ack_ms,
        )
    }
}

/// To a thousandth.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
