//! Compares what the sends were told with what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rocketmq_producer_embedded::StoredMessage;

use super::senders::{End, Sent};
use crate::oracle::Oracle;

/// The runtime's timers count in milliseconds.
const GRAIN: Duration = Duration::from_millis(1);

/// Fails unless every promise was kept; returns how many copies there are beyond the first.
pub(super) fn judge(all: &[Sent], stored: &[StoredMessage]) -> Result<usize> {
    let mut oracle = Oracle::new();
    let mut dropped = BTreeSet::new();
    for sent in all {
        let Sent { name, timeout, .. } = sent;
        let late = sent.elapsed.saturating_sub(*timeout);
        ensure!(
            late <= GRAIN,
            "{name} ended {late:?} after its deadline: {sent}"
        );
        match (&sent.end, &sent.key) {
            (End::Acked(receipt), Some(key)) => oracle.acked_in_order(receipt, &sent.body, key),
            (End::Acked(receipt), None) => oracle.acked(receipt, &sent.body),
            (End::Failed(error), _) => oracle.failed(error),
            (End::Dropped, _) => {
                dropped.insert(name.as_str());
            }
        }
    }
    let mut copies: BTreeMap<&str, usize> = BTreeMap::new();
    for message in stored {
        *copies.entry(name_of(message)?).or_default() += 1;
    }
    for sent in all {
        let most = match &sent.end {
            End::Acked(_) => 1 + sent.doubts(),
            End::Failed(_) => sent.doubts(),
            // Nobody was told how many attempts there were; the setting allows three.
            End::Dropped => 3,
        };
        let copies = copies.remove(sent.name.as_str()).unwrap_or(0);
        ensure!(
            copies <= most,
            "stored {copies} times, {most} at most explained: {sent}"
        );
    }
    ensure!(copies.is_empty(), "stored but never sent: {copies:?}");
    let told = stored
        .iter()
        .filter(|message| name_of(message).is_ok_and(|name| !dropped.contains(name)));
    Ok(oracle.judge(told).kept()?.duplicates)
}

/// The name of the send that a message came from.
fn name_of(message: &StoredMessage) -> Result<&str> {
    let end = message.body.iter().position(|byte| *byte == b' ');
    let name = message.body.get(..end.unwrap_or(0)).unwrap_or_default();
    std::str::from_utf8(name).with_context(|| format!("{message:?} has a body nobody sent"))
}
