//! What goes before the load: messages that make a cold JVM warm, and count for nothing.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use rocketmq_producer::{Message, Producer, SendError, SendReceipt};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::payload::noise;

/// Messages at least.
const LEAST: u64 = 2000;
/// Messages in a row whose only attempt was acknowledged: then the brokers count as warm.
const IN_A_ROW: usize = 500;
/// Messages under way.
const AT_A_TIME: usize = 32;
/// A cluster that is not warm by then is measured as it is.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends until every broker answers at once; tells how it went.
pub(super) async fn warm_up(producer: &Producer, topic: &str, brokers: &[&str]) -> Result<String> {
    let began = Instant::now();
    let (mut sends, mut row) = (JoinSet::new(), Row::default());
    let (mut count, mut failures) = (0, 0_u64);
    while (count < LEAST || !row.is_warm(brokers)) && began.elapsed() < PATIENCE {
        while sends.len() < AT_A_TIME {
            let (producer, message) = (producer.clone(), Message::new(topic, noise(count, 256))?);
            sends.spawn(async move { producer.send(message).await });
            count += 1;
        }
        if let Some(outcome) = sends.join_next().await {
            failures += u64::from(!row.note(&outcome?));
        }
    }
    while let Some(outcome) = sends.join_next().await {
        failures += u64::from(!row.note(&outcome?));
    }
    let took = began.elapsed().as_secs_f64();
    let warm = if row.is_warm(brokers) {
        ""
    } else {
        ", and is not warm"
    };
    Ok(format!(
        "warmed up by {count} messages in {took:.1} s, {failures} needed another attempt{warm}"
    ))
}

/// Messages in a row that nothing was wrong with, by broker.
#[derive(Default)]
struct Row(HashMap<String, usize>);

impl Row {
    fn note(&mut self, outcome: &Result<SendReceipt, SendError>) -> bool {
        let receipt = outcome.as_ref().ok();
        let at_once = receipt.filter(|receipt| receipt.attempts().count() == 1);
        if let Some(receipt) = at_once {
            let name = receipt.queue().broker_name().to_string();
            *self.0.entry(name).or_default() += 1;
        } else {
            self.0.clear();
        }
        at_once.is_some()
    }

    /// Long enough, and each broker had a part in it worth the name.
    fn is_warm(&self, brokers: &[&str]) -> bool {
        let part = IN_A_ROW / (2 * brokers.len().max(1));
        let of = |name: &str| self.0.get(name).copied().unwrap_or(0);
        self.0.values().sum::<usize>() >= IN_A_ROW && brokers.iter().all(|name| of(name) >= part)
    }
}
