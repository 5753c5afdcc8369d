//! The time from `main` to the first receipt.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer::{Message, Producer};
use serde::Serialize;
use tokio::time::Instant;

use super::{median, server};

/// Processes that are started for it.
const RUNS: usize = 21;

/// How long it took.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct Start {
    /// Processes.
    pub runs: usize,
    /// In milliseconds.
    pub median_ms: f64,
    /// In milliseconds.
    pub min_ms: f64,
    /// In milliseconds.
    pub max_ms: f64,
    /// The most that the median should be.
    pub target_ms: f64,
}

/// Starts this same program as `PROGRAM first ADDRESS`, which is to call [`first`], again and again.
///
/// # Errors
/// When one of them fails.
pub fn start(name_servers: &str, tell: fn(&str)) -> Result<Start> {
    tell(&format!("start: {RUNS} processes"));
    let mut values = Vec::new();
    for _ in 0..RUNS {
        let output = Command::new(std::env::current_exe()?)
            .args(["first", name_servers])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let millis: f64 = text.trim().parse().with_context(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            format!("no time but {text}{complaint}")
        })?;
        values.push(millis);
    }
    Ok(Start {
        runs: RUNS,
        min_ms: values.iter().copied().fold(f64::INFINITY, f64::min),
        max_ms: values.iter().copied().fold(0.0, f64::max),
        median_ms: median(values),
        target_ms: 5.0,
    })
}

/// Sends one message as a program does that has just begun, at `main`; gives the milliseconds until its receipt.
///
/// # Errors
/// When the message is not acknowledged.
pub fn first(main: Instant, name_servers: &str) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let producer = Producer::builder("growth")
            .name_servers(name_servers)
            .start()
            .await?;
        let message = Message::new(server::topic(0), "first")?;
        producer.send(message).await?;
        let took = main.elapsed();
        producer.shutdown(Duration::from_secs(1)).await;
        Ok(took.as_secs_f64() * 1e3)
    })
}
