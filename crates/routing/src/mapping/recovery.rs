//! Frequent refreshes of the routes whose brokers are in trouble.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rocketmq_producer_remoting::random;
use tokio::time::{Instant, sleep};

use super::{TopicBrokerMapping, TopicEntry, entry::Scope};
use crate::route::{QueueTarget, RouteInfo};

/// Topics that are asked for in one second, all together.
const PER_SECOND: f64 = 16.0;

/// Since when each address is suspect.
type Suspects = HashMap<Arc<str>, Instant>;

/// A topic in trouble, and what its turn depends on.
struct Troubled {
    entry: Arc<TopicEntry>,
    used: Instant,
    begun: Option<Instant>,
}

impl TopicBrokerMapping {
    /// Refreshes the routes that name a vanished or suspect broker on a short interval,
    /// while their trouble is young.
    pub(super) async fn recover(&self) {
        let interval = self.shared.options.recovery_refresh_interval;
        let mut suspects = Suspects::new();
        loop {
            // Never shorter than the interval, so that the bound per second holds.
            let jitter = 1.0 + 0.1 * random::unit();
            sleep(interval.mul_f64(jitter)).await;
            let now = Instant::now();
            let bound = if self.is_unreachable() {
                // One question shows when they are back.
                1
            } else {
                per_round(interval)
            };
            for entry in in_turn(self.troubled(&mut suspects, now), bound) {
                self.begin_refresh(&entry, Scope::Options, now);
            }
        }
    }

    /// The topics in trouble that were not asked for a moment ago.
    fn troubled(&self, suspects: &mut Suspects, now: Instant) -> Vec<Troubled> {
        let options = &self.shared.options;
        let pause = options.recovery_refresh_interval / 2;
        let entries = self.entries();
        let routes: Vec<_> = entries.iter().map(|entry| entry.route()).collect();
        note_suspects(suspects, routes.iter().flatten(), now);
        let mut troubled = Vec::new();
        for (entry, route) in entries.into_iter().zip(routes) {
            let Some(route) = route else { continue };
            let young =
                |since: Instant| now.saturating_duration_since(since) < options.recovery_phase;
            if !troubles(&route, suspects).any(young) {
                continue;
            }
            let begun = entry.refresh().begun;
            if begun.is_some_and(|begun| now.saturating_duration_since(begun) < pause) {
                continue;
            }
            troubled.push(Troubled {
                used: entry.last_used(),
                begun,
                entry,
            });
        }
        troubled
    }
}

/// Topics of one round.
fn per_round(interval: Duration) -> usize {
    let count = (PER_SECOND * interval.as_secs_f64()).clamp(1.0, PER_SECOND);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 1..=16"
    )]
    let count = count as usize;
    count
}

/// Half of the places go to the topics used last, the others to those that have waited
/// longest for their turn.
fn in_turn(mut troubled: Vec<Troubled>, bound: usize) -> Vec<Arc<TopicEntry>> {
    // By name too, so that a simulation can repeat a run.
    troubled.sort_by(|one, other| {
        let by_name = || one.entry.topic().cmp(other.entry.topic());
        other.used.cmp(&one.used).then_with(by_name)
    });
    if troubled.len() > bound {
        if let Some(rest) = troubled.get_mut(bound / 2..) {
            // Stable: of those that never had a turn, the one used last is first.
            rest.sort_by_key(|topic| topic.begun);
        }
        troubled.truncate(bound);
    }
    troubled.into_iter().map(|topic| topic.entry).collect()
}

/// When each trouble of a route began.
fn troubles<'a>(route: &'a RouteInfo, suspects: &'a Suspects) -> impl Iterator<Item = Instant> {
    let vanished = route.groups().iter().filter_map(|group| {
        let first = route.queues().get(*group.queues.first()? as usize)?;
        match first.target() {
            QueueTarget::Vanished { since, .. } => Some(*since),
            _ => None,
        }
    });
    let suspect = route
        .brokers()
        .filter_map(|broker| suspects.get(broker.address()).copied());
    vanished.chain(suspect)
}

/// Takes in new suspects and drops those that are none any more.
fn note_suspects<'a>(
    suspects: &mut Suspects,
    routes: impl Iterator<Item = &'a Arc<RouteInfo>>,
    now: Instant,
) {
    let mut present = Suspects::new();
    for broker in routes.flat_map(|route| route.brokers()) {
        let is_suspect = broker.endpoint().connectivity().is_suspect();
        if is_suspect && !present.contains_key(broker.address()) {
            let since = suspects.get(broker.address()).copied().unwrap_or(now);
            present.insert(Arc::clone(broker.address()), since);
        }
    }
    *suspects = present;
}
