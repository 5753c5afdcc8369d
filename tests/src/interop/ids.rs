//! Apache's admin client finds our messages again.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rocketmq_producer::SendReceipt;
use tokio::time::{Duration, Instant, sleep};
use xtask::apache::{FindBy, ReadMessage};

use super::ground::{SOON, end};
use super::row::{Group, row};
use super::trial::{Trial, stored};
use super::{Cell, Column, Ground};

pub(super) const GROUP: Group = Group::new(
    "Finding messages again",
    &[
        row!(
            "by unique key",
            "Java's query by `UNIQ_KEY` finds the message",
            unique_key
        ),
        row!("by key", "Java's query by one of two keys", key),
        row!(
            "by offset message id",
            "Java views the message at the receipt's id",
            offset_id
        ),
    ],
);

enum By {
    Key,
    OffsetId,
    UniqueKey,
}

async fn unique_key(ground: Arc<Ground>) -> Result<Cell> {
    found(&ground, "find-unique-key", By::UniqueKey).await
}

async fn key(ground: Arc<Ground>) -> Result<Cell> {
    found(&ground, "find-key", By::Key).await
}

async fn offset_id(ground: Arc<Ground>) -> Result<Cell> {
    found(&ground, "find-offset-id", By::OffsetId).await
}

async fn found(ground: &Arc<Ground>, topic: &'static str, by: By) -> Result<Cell> {
    let trial = Trial::new(ground, topic).await?;
    let body = trial.body();
    let message = trial.message(&body)?.with_keys(["first", "second"])?;
    let receipt = trial.producer.send(message).await?;
    end(&trial.producer).await?;
    let value = match by {
        By::Key => "second".to_owned(),
        By::OffsetId => receipt.offset_message_id().context("no id")?.to_string(),
        By::UniqueKey => receipt.message_id().to_string(),
    };
    let patience = match ground.column() {
        Column::Acl1 => Duration::from_secs(10),
        _ => SOON,
    };
    let is_by_place = matches!(by, By::OffsetId);
    match search(ground, topic, by, value, patience).await {
        Ok(found) => check(&found, &receipt, &body),
        Err(_) if ground.column() == Column::Acl1 && !is_by_place => {
            let read = ground.read(topic, 1).await?;
            ensure!(stored(&read, &receipt)?.body == *body);
            Cell::not_offered(
                "the broker refuses the signature of its own version's client under this query; the message is stored \
                 with its keys",
            )
        }
        Err(error) => Err(error),
    }
}

/// Brokers index a message some time after they stored it.
async fn search(
    ground: &Arc<Ground>,
    topic: &'static str,
    by: By,
    value: String,
    patience: Duration,
) -> Result<Vec<ReadMessage>> {
    let by = Arc::new(by);
    let deadline = Instant::now() + patience;
    loop {
        let (by, value) = (Arc::clone(&by), value.clone());
        let found = ground
            .java(move |ground, java| {
                let by = match *by {
                    By::Key => FindBy::Key(&value),
                    By::OffsetId => FindBy::OffsetId(&value),
                    By::UniqueKey => FindBy::UniqueKey(&value),
                };
                java.find(&ground.direct(), topic, &by, Duration::ZERO)
            })
            .await;
        match found {
            Ok(found) if !found.is_empty() => return Ok(found),
            other if Instant::now() >= deadline => return other,
            _ => sleep(Duration::from_millis(200)).await,
        }
    }
}

fn check(found: &[ReadMessage], receipt: &SendReceipt, body: &[u8]) -> Result<Cell> {
    let [one] = found else {
        anyhow::bail!("found {found:?}");
    };
    ensure!(one.body == body, "{one:?}");
    ensure!(one.queue == receipt.queue().queue_id(), "{one:?}");
    ensure!(one.offset == receipt.queue_offset(), "{one:?}");
    Ok(Cell::Passed)
}
