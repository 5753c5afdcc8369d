//! Running rows on one cluster.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Cell, Entry, Ground, Row};

/// Rows beside each other: they wait more than they work.
const BESIDE: usize = 4;
/// Of one row. The slowest shut a broker down in an orderly way, and wait for transactions to be asked after.
const PATIENCE: Duration = Duration::from_secs(240);

/// Runs rows and calls `progress` with each as it ends; the result is in the order of `rows`.
///
/// # Cancel safety
/// Dropped midway, rows under way are aborted.
pub async fn run(
    ground: &Arc<Ground>,
    rows: &[&'static Row],
    progress: impl Fn(&Entry) + Send + Sync,
) -> Vec<Entry> {
    let mut entries: Vec<Option<Entry>> = vec![None; rows.len()];
    let mut under_way = JoinSet::new();
    let beside = rows.iter().enumerate().filter(|(_, row)| !row.alone);
    let alone = rows.iter().enumerate().filter(|(_, row)| row.alone);
    let mut take = |(index, entry): (usize, Entry)| {
        progress(&entry);
        if let Some(place) = entries.get_mut(index) {
            *place = Some(entry);
        }
    };
    for (index, &row) in beside {
        if under_way.len() >= BESIDE
            && let Some(Ok(done)) = under_way.join_next().await
        {
            take(done);
        }
        let ground = Arc::clone(ground);
        under_way.spawn(async move { (index, one(row, ground).await) });
    }
    while let Some(done) = under_way.join_next().await {
        if let Ok(done) = done {
            take(done);
        }
    }
    for (index, row) in alone {
        take((index, one(row, Arc::clone(ground)).await));
    }
    let missing = |row: &&Row| Entry::new(row.name, Err(anyhow!("its task was lost")), 0);
    let entries = entries.into_iter().zip(rows);
    entries
        .map(|(entry, row)| entry.unwrap_or_else(|| missing(row)))
        .collect()
}

async fn one(row: &Row, ground: Arc<Ground>) -> Entry {
    let start = Instant::now();
    let found = timeout(PATIENCE, caught((row.run)(ground))).await;
    let found = found.unwrap_or_else(|_| Err(anyhow!("not done within {PATIENCE:?}")));
    let ms = start.elapsed().as_millis();
    Entry::new(row.name, found, u64::try_from(ms).unwrap_or(u64::MAX))
}

/// A panic of one row is its failure and no more.
async fn caught(row: impl Future<Output = Result<Cell>>) -> Result<Cell> {
    let mut row = Box::pin(row);
    std::future::poll_fn(|context| {
        let poll = std::panic::catch_unwind(AssertUnwindSafe(|| row.as_mut().poll(context)));
        poll.unwrap_or_else(|_| std::task::Poll::Ready(Err(anyhow!("panicked"))))
    })
    .await
}
