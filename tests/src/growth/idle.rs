//! CPU time of a producer that knows many topics and sends nothing: heartbeats and polls.

use std::time::Duration;

use anyhow::Result;
use rocketmq_producer::Producer;
use serde::Serialize;
use tokio::time::Instant;

use super::{cpu, runtime, server};

/// Topics that the producer knows.
const TOPICS: usize = 1000;

/// What it spent.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct Idle {
    /// Topics known.
    pub topics: usize,
    /// How long it was watched; a poll of all routes and a heartbeat come every 30 s.
    pub seconds: f64,
    /// Routes that name servers were asked for meanwhile.
    pub routes_asked: u64,
    /// CPU time, in milliseconds.
    pub cpu_ms: f64,
    /// Of one core.
    pub percent: f64,
    /// The most that `percent` should be.
    pub percent_target: f64,
}

/// Watches a producer with its default intervals for so long.
///
/// # Errors
/// When it does not start.
pub fn idle(name_servers: &str, time: Duration, tell: fn(&str)) -> Result<Idle> {
    tell(&format!("idle: {} s with {TOPICS} topics", time.as_secs()));
    runtime()?.block_on(async {
        let producer = Producer::builder("growth")
            .name_servers(name_servers)
            .preheat((0..TOPICS).map(server::topic))
            .require_preheat()
            .start()
            .await?;
        let asked = || producer.stats().name_servers.frames_read;
        let (began, before, asked_before) = (Instant::now(), cpu::time()?, asked());
        tokio::time::sleep(time).await;
        let spent = cpu::time()?.saturating_sub(before);
        let seconds = began.elapsed().as_secs_f64();
        let routes_asked = asked() - asked_before;
        producer.shutdown(Duration::from_secs(1)).await;
        Ok(Idle {
            topics: TOPICS,
            seconds,
            routes_asked,
            cpu_ms: spent.as_secs_f64() * 1e3,
            percent: spent.as_secs_f64() / seconds * 100.0,
            percent_target: 0.1,
        })
    })
}
