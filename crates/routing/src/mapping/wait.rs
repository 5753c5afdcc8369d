//! Waiting for a topic that does not exist yet, and for routes newer than the cached.

use std::{sync::Arc, time::Duration};

use rocketmq_producer_remoting::random;
use tokio::time::{Instant, sleep_until};

use super::{TopicBrokerMapping, TopicEntry, entry::Scope};
use crate::{
    error::RoutingError,
    route::{RouteInfo, RouteOrigin},
};

/// Pauses between two questions for a topic that is waited for.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Part of a pause by which it may be shortened.
const JITTER: f64 = 0.2;
/// Part of a pause for which an answer counts as fresh.
const FRESH: f64 = 0.75;

impl TopicBrokerMapping {
    /// Waits until the topic exists and has a broker to send to.
    ///
    /// It asks at once, and then again after pauses that grow from 100 ms to 1 s and are
    /// jittered. Callers that wait for the same topic share the questions. Only the
    /// topic's own route counts: that of `TBW102`, by which brokers create topics with
    /// the first message, is neither asked for nor accepted, whatever
    /// [`RoutingOptions::topic_creation`](crate::RoutingOptions::topic_creation) says.
    /// Where topics are to be created that way there is nothing to wait for: send.
    ///
    /// # Errors
    /// At the deadline, what stood in the way last: [`RoutingError::NameServer`],
    /// [`RoutingError::TopicNotFound`], [`RoutingError::NothingWritable`] or
    /// [`RoutingError::NoMaster`], and [`RoutingError::DeadlineExceeded`] if the first
    /// question was not answered until then. [`RoutingError::Closed`] at once.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn wait_for_topic(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<Arc<TopicEntry>, RoutingError> {
        let mut pause = FIRST_PAUSE;
        // How young another caller's answer must be to do. Less than the shortest wait,
        // so that one who waits alone asks each time.
        let mut fresh = FIRST_PAUSE.mul_f64(FRESH);
        let mut last = None;
        loop {
            let now = Instant::now();
            let entry = self.entry(topic, now);
            entry.touch(now);
            // Before the look at the route, so that no change after it is missed.
            let told = entry.next_change();
            if is_ready(&entry) {
                return Ok(Arc::clone(&entry));
            }
            let outcome = if entry.asked_within(fresh, now) && !entry.is_asking() {
                entry.refresh().failed.clone().map_or(Ok(()), Err)
            } else {
                let asked = self.wait_for_refresh(&entry, Scope::OwnRoute, deadline);
                asked.await.map(|_| ())
            };
            match (outcome, entry.route()) {
                (_, Some(_)) if is_ready(&entry) => return Ok(Arc::clone(&entry)),
                (Err(RoutingError::Closed), _) => return Err(RoutingError::Closed),
                (Err(late @ RoutingError::DeadlineExceeded { .. }), _) => {
                    // What was met before says more.
                    last.get_or_insert(late);
                }
                (Err(error), _) => last = Some(error),
                (Ok(()), Some(route)) if route.origin() == RouteOrigin::Topic => {
                    last = Some(RoutingError::nowhere(&route));
                }
                (Ok(()), _) => {}
            }
            if Instant::now() >= deadline {
                return Err(last.unwrap_or_else(|| self.late(&entry)));
            }
            let wait = pause.mul_f64(1.0 - JITTER * random::unit());
            let until = deadline.min(Instant::now() + wait);
            tokio::select! {
                biased;
                () = self.shared.cancel.cancelled() => return Err(RoutingError::Closed),
                () = told => {}
                () = sleep_until(until) => {}
            }
            fresh = pause.mul_f64(FRESH);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The route as a name server tells it now, for a caller who found that the cached
    /// one lacks something ([`RoutingError::may_be_outdated`]), such as a queue that was
    /// added a moment ago.
    ///
    /// A route that was confirmed less than
    /// [`RoutingOptions::refresh_hint_interval`](crate::RoutingOptions::refresh_hint_interval)
    /// ago is returned as it is, and so is a failure as recent: sends to a queue that
    /// does not exist ask no more often than that.
    ///
    /// # Errors
    /// As [`topic`](Self::topic). The cached route stays as it was then.
    ///
    /// # Cancel safety
    /// Safe: the refresh goes on.
    pub async fn newer_route(
        &self,
        entry: &Arc<TopicEntry>,
        deadline: Instant,
    ) -> Result<Arc<RouteInfo>, RoutingError> {
        let now = Instant::now();
        let bound = self.shared.options.refresh_hint_interval;
        if let Some(route) = entry.route()
            && route.age(now) < bound
        {
            return Ok(route);
        }
        if entry.asked_within(bound, now)
            && !entry.is_asking()
            && let Some(error) = entry.refresh().failed.clone()
        {
            return Err(error);
        }
        self.wait_for_refresh(entry, Scope::Options, deadline).await
    }
}

/// Whether the topic's own route names a broker.
fn is_ready(entry: &TopicEntry) -> bool {
    entry
        .route()
        .is_some_and(|route| route.origin() == RouteOrigin::Topic && !route.groups().is_empty())
}
