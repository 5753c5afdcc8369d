//! The background refresh of all known topics.

use std::{sync::Arc, time::Duration};

use rocketmq_producer_remoting::random;
use tokio::time::{Instant, sleep};

use super::{TopicBrokerMapping, TopicEntry, entry::Scope};
use crate::error::RoutingError;

/// Topics that are asked for at the same time in one round.
const PARALLEL: usize = 8;

/// How a round over all topics ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Done,
    Unreachable,
}

impl TopicBrokerMapping {
    /// Starts the background refresh on the tracker handed in. It ends with the
    /// token. Call it once; it must be called within a runtime.
    pub fn start_polling(&self) {
        let mapping = self.clone();
        self.shared.tasks.spawn(async move {
            let cancel = mapping.shared.cancel.clone();
            let work = async { tokio::join!(mapping.poll(), mapping.recover()) };
            cancel.run_until_cancelled(work).await;
        });
    }

    async fn poll(&self) {
        let options = &self.shared.options;
        let mut wait = options.update_topic_route_info_interval;
        loop {
            sleep(jittered(wait)).await;
            wait = match self.poll_round(Instant::now()).await {
                Round::Done => options.update_topic_route_info_interval,
                Round::Unreachable => options.poll_name_server_interval,
            };
            self.shared.health.prune();
        }
    }

    async fn poll_round(&self, now: Instant) -> Round {
        self.forget_unknown(now);
        let fresh = self.shared.options.update_topic_route_info_interval / 2;
        let mut due: Vec<Arc<TopicEntry>> = self
            .entries()
            .into_iter()
            .filter(|entry| entry.route().is_some_and(|route| route.age(now) >= fresh))
            .collect();
        // In the same order each time, so that a simulation can repeat a run.
        due.sort_by(|one, other| one.topic().cmp(other.topic()));
        for chunk in due.chunks(PARALLEL) {
            let now = Instant::now();
            let flights: Vec<_> = chunk
                .iter()
                .filter_map(|entry| self.begin_refresh(entry, Scope::Options, now))
                .collect();
            for flight in flights {
                if let Some(Err(RoutingError::NameServer { cause, .. })) =
                    flight.outcome.wait().await
                    && cause.is_unreachable()
                {
                    // No use in asking for the other topics now.
                    tracing::warn!(%cause, "no name server answers; the routes known are kept");
                    return Round::Unreachable;
                }
            }
        }
        Round::Done
    }

    /// Drops the entries of topics that were not found and have not been asked for
    /// since.
    fn forget_unknown(&self, now: Instant) {
        let keep = self.shared.options.update_topic_route_info_interval;
        self.remove_where(|entry| {
            entry.route().is_none()
                && entry.refresh().flight.is_none()
                && now.saturating_duration_since(entry.last_used()) >= keep
        });
    }
}

/// The wait shortened by up to a tenth, so that producers do not poll in step.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 - 0.1 * random::unit())
}
