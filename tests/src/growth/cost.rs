//! CPU time of the client per message, by how many topics it sends to and how many brokers they are on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use rocketmq_producer::{Message, Producer};
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;

use super::{cpu, median, runtime, server};

/// Rounds over all cases; one more before them warms up.
const ROUNDS: usize = 7;

/// Sends under way at once on one broker.
const PER_BROKER: usize = 16;

/// What one case cost.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Cost {
    /// Which cases belong together: `topics`, `brokers`, or `brokers one at a time`.
    pub series: &'static str,
    /// Topics sent to in turn, all known to the producer.
    pub topics: usize,
    /// Brokers that the topics are on.
    pub brokers: usize,
    /// Sends under way at once.
    pub in_flight: usize,
    /// CPU time per message, in nanoseconds: the median of all rounds.
    pub cpu_ns: f64,
    /// System calls that wrote, per message, over all rounds: what grows when sends spread over more connections.
    pub writes: f64,
    /// Against the first case of the series in the same round: the median, the least and the most.
    pub ratio: f64,
    /// See `ratio`.
    pub ratio_min: f64,
    /// See `ratio`.
    pub ratio_max: f64,
    /// The most that `ratio` should be.
    pub ratio_target: f64,
}

struct Case {
    series: &'static str,
    brokers: usize,
    in_flight: usize,
    messages: usize,
    topics: Arc<[String]>,
    runtime: Runtime,
    producer: Producer,
    cpu_ns: Vec<f64>,
}

/// Measures all cases in one interleaved run.
///
/// # Errors
/// When a message is not acknowledged.
pub fn cost(name_servers: &str, tell: fn(&str)) -> Result<Vec<Cost>> {
    let mut cases = Vec::new();
    for count in [1, 10, 100, 1000] {
        let topics = (0..count).map(server::topic).collect();
        cases.push(Case::new(name_servers, "topics", topics, 1, 64)?);
    }
    for brokers in [1, 4, 16, 64] {
        let topics = vec![server::topic_on(brokers)];
        let in_flight = PER_BROKER * brokers;
        cases.push(Case::new(
            name_servers,
            "brokers",
            topics,
            brokers,
            in_flight,
        )?);
    }
    for brokers in [1, 4, 16, 64] {
        let topics = vec![server::topic_on(brokers)];
        let series = "brokers, one at a time";
        cases.push(Case::new(name_servers, series, topics, brokers, 1)?);
    }
    for round in 0..=ROUNDS {
        tell(&format!("cost: round {round} of {ROUNDS}"));
        for case in &mut cases {
            let before = cpu::time()?;
            case.send()?;
            let spent = cpu::time()?.saturating_sub(before);
            if round > 0 {
                case.cpu_ns
                    .push(spent.as_nanos() as f64 / case.messages as f64);
            }
        }
    }
    let of = |case: &Case| {
        let base = cases.iter().find(|other| other.series == case.series);
        let base = base.context("a series has a first case")?;
        let ratios: Vec<f64> = case
            .cpu_ns
            .iter()
            .zip(&base.cpu_ns)
            .map(|(a, b)| a / b)
            .collect();
        Ok(Cost {
            series: case.series,
            topics: case.topics.len(),
            brokers: case.brokers,
            in_flight: case.in_flight,
            cpu_ns: median(case.cpu_ns.clone()).round(),
            writes: case.writes(),
            ratio: median(ratios.clone()),
            ratio_min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratio_max: ratios.iter().copied().fold(0.0, f64::max),
            ratio_target: 1.1,
        })
    };
    cases.iter().map(of).collect()
}

impl Case {
    fn new(
        name_servers: &str,
        series: &'static str,
        topics: Vec<String>,
        brokers: usize,
        in_flight: usize,
    ) -> Result<Self> {
        let runtime = runtime()?;
        let producer = runtime.block_on(
            Producer::builder("growth")
                .name_servers(name_servers)
                .configure(|settings| settings.send_msg_timeout(Duration::from_secs(30)))
                .preheat(&topics)
                .require_preheat()
                .start(),
        )?;
        Ok(Self {
            series,
            brokers,
            in_flight,
            messages: if in_flight == 1 { 8_000 } else { 65_536 },
            topics: topics.into(),
            runtime,
            producer,
            cpu_ns: Vec::new(),
        })
    }

    fn writes(&self) -> f64 {
        let stats = self.producer.stats();
        stats.brokers.writes as f64 / stats.total_sent as f64
    }

    fn send(&self) -> Result<()> {
        let tracker = TaskTracker::new();
        let body = Bytes::from(vec![b'x'; 256]);
        let each = self.messages / self.in_flight;
        self.runtime.block_on(async {
            let work = (0..self.in_flight).map(|task| {
                let (producer, body) = (self.producer.clone(), body.clone());
                let topics = Arc::clone(&self.topics);
                tracker.spawn(async move {
                    let from = topics.iter().cycle().skip(task * each % topics.len());
                    for topic in from.take(each) {
                        let message = Message::new(topic.as_str(), body.clone())?;
                        producer.send(message).await?;
                    }
                    anyhow::Ok(())
                })
            });
            for task in work.collect::<Vec<_>>() {
                task.await??;
            }
            Ok(())
        })
    }
}
