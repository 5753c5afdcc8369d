//! Where the next attempt goes: queue, broker, and whether to pause first.

use std::sync::Arc;
use std::task::Poll;

use tokio::time::Instant;

use super::parcel::Errand;
use crate::config::routing::remoting::{ConnectFailure, Connectivity, SuspectCause, random};
use crate::config::routing::{
    Broker, KeyedFailover, MessageQueue, QueueProblem, RouteRequest, RoutedBy, Routing,
    RoutingError, TopicEntry,
};
use crate::deadline::Cut;
use crate::error::SendFailure;
use crate::options::Target;
use crate::retry::RetryState;

/// The places of one parcel.
pub(super) struct Places<'a> {
    errand: Errand<'a>,
    entry: Arc<TopicEntry>,
    /// What a selector chose. It is asked once, so that a retry does not move the message.
    selected: Option<Box<MessageQueue>>,
    /// Whether the route was fetched anew because it lacks the given queue.
    looked_again: bool,
}

/// What to do next.
pub(super) enum Step {
    /// Wait for the return of that broker, or of another one that the message may go to.
    Await(Routing),
    /// No broker is left that may do better.
    End,
    Go {
        routing: Routing,
        /// Whether a failure there could be made good elsewhere.
        elsewhere: bool,
    },
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Return {
    Broker,
    /// Another route, which may have another broker.
    Route,
}

impl<'a> Places<'a> {
    /// Finds the topic's route.
    pub(super) async fn find(errand: Errand<'a>) -> Result<Self, SendFailure> {
        let entry = topic(errand).await?;
        Ok(Self {
            errand,
            entry,
            selected: None,
            looked_again: false,
        })
    }

    /// As [`find`](Self::find), if the route is at hand.
    pub(super) fn ready(errand: Errand<'a>, now: Instant) -> Option<Self> {
        let mapping = errand.core.router.mapping();
        Some(Self {
            entry: mapping.ready(errand.topic, now)?,
            errand,
            selected: None,
            looked_again: false,
        })
    }

    /// Where the first attempt goes.
    pub(super) async fn first(&mut self) -> Result<Routing, SendFailure> {
        self.choose(&[], None).await
    }

    /// What [`next`](Self::next) mostly finds, without an await: the first attempt, at a broker that can be reached.
    ///
    /// # Errors
    /// If it is not so simple, the decision for [`next`](Self::next) to go on with, if there is one.
    pub(super) fn next_now(
        &mut self,
        retry: &RetryState<'_>,
        now: Instant,
    ) -> Result<Step, Option<Result<Routing, SendFailure>>> {
        if !retry.is_first() {
            return Err(None);
        }
        match self.decide_now(&[], now) {
            Some(Ok(routing)) => {
                if routing.broker().endpoint().connectivity() != Connectivity::Live {
                    return Err(Some(Ok(routing)));
                }
                let elsewhere = self.is_elsewhere(&routing, &[]);
                Ok(Step::Go { routing, elsewhere })
            }
            decided => Err(decided),
        }
    }

    /// A place at another broker that is in order, for an attempt beside one at `routing`.
    pub(super) async fn beside(
        &mut self,
        routing: &Routing,
        tried: &[Arc<str>],
    ) -> Option<Routing> {
        let mut avoid = tried.to_vec();
        avoid.push(Arc::clone(routing.broker().name()));
        let other = self.choose(&avoid, None).await.ok()?;
        let broker = other.broker();
        (!avoid.contains(broker.name()) && !is_out(broker)).then_some(other)
    }

    /// Keeps to the queue of `routing` from now on.
    pub(super) fn pin(&mut self, routing: &Routing) {
        self.selected = Some(Box::new(routing.queue().clone()));
    }

    /// What to do next: an attempt, after a pause if that broker failed before, or waiting for a broker's return. With
    /// `returned` one was waited for, and it came. The first choice may be `decided` already.
    pub(super) async fn next(
        &mut self,
        retry: &mut RetryState<'_>,
        returned: bool,
        decided: Option<Result<Routing, SendFailure>>,
    ) -> Result<Step, SendFailure> {
        let mut routing = self.choose(retry.tried(), decided).await?;
        let was_tried = retry.tried().contains(routing.broker().name());
        if was_tried {
            // All were tried; some of them may do better in a moment, those that can be reached first.
            let mut avoid = retry.ruled_out().to_vec();
            if !self.is_bound(&routing) {
                avoid.extend(self.out(&routing));
            }
            if !avoid.is_empty() {
                routing = self.choose(&avoid, None).await?;
            }
        }
        if was_tried && (retry.is_stored() || retry.ruled_out().contains(routing.broker().name())) {
            return Ok(Step::End);
        }
        let elsewhere = self.is_elsewhere(&routing, retry.tried());
        let next = match Step::of(routing, elsewhere, returned) {
            // A second copy is worth a dial, but no waiting.
            Step::Await(routing) if retry.is_stored() && is_out(routing.broker()) => Step::End,
            Step::Await(routing) if retry.is_stored() => Step::Go { routing, elsewhere },
            next => next,
        };
        let pauses = match &next {
            Step::Go { routing, .. } => retry.needs_pause(routing.broker().name(), returned),
            _ => false,
        };
        if !pauses {
            return Ok(next);
        }
        let jitter = random::unit();
        let Some(pause) = retry.pause(Instant::now(), jitter) else {
            return Ok(Step::End);
        };
        let pause = tokio::time::sleep(pause);
        match self.errand.core.cancel.run_until_cancelled(pause).await {
            Some(()) => Ok(next),
            None => Err(SendFailure::Shutdown),
        }
    }

    /// Waits until a broker is back that the message may go to, or the route has changed. No attempt is made
    /// meanwhile, so the message stays unsent.
    pub(super) async fn await_return(
        &self,
        routing: &Routing,
        ruled_out: &[Arc<str>],
    ) -> Result<Return, SendFailure> {
        self.hint(routing);
        let began = Instant::now();
        let mut brokers = vec![routing.broker().endpoint().clone()];
        if !self.is_bound(routing) {
            brokers.extend(
                self.others(routing, ruled_out)
                    .map(|it| it.endpoint().clone()),
            );
        }
        let deadline = self.errand.deadline;
        let back = first_of(brokers, |endpoint| async move {
            endpoint.connected(deadline).await.map(|_| ())
        });
        let changed = self.entry.changed(routing.route().generation());
        let back_or_changed = async {
            tokio::select! {
                biased;
                back = back => back.map(|()| Return::Broker),
                () = changed => Ok(Return::Route),
            }
        };
        let cancel = &self.errand.core.cancel;
        match cancel.run_until_cancelled(back_or_changed).await {
            Some(Ok(back)) => Ok(back),
            Some(Err(cause)) if !matches!(cause.failure(), ConnectFailure::PoolClosed) => {
                let waited = began.elapsed();
                Err(SendFailure::BrokerAway { waited, cause })
            }
            Some(Err(_)) | None => Err(SendFailure::Shutdown),
        }
    }

    /// Whether a failure at this place could be made good at another broker, as far as is known.
    fn is_elsewhere(&self, routing: &Routing, tried: &[Arc<str>]) -> bool {
        !self.is_bound(routing) && self.others(routing, tried).any(|broker| !is_out(broker))
    }

    /// Whether the message may go to this place only.
    fn is_bound(&self, routing: &Routing) -> bool {
        self.selected.is_some()
            || match routing.routed_by() {
                RoutedBy::GivenQueue | RoutedBy::Selector(_) => true,
                RoutedBy::MessageHash => {
                    self.errand.core.config.keyed_failover == KeyedFailover::Stay
                }
                _ => false,
            }
    }

    /// The names of the brokers that would be asked in vain now.
    fn out(&self, routing: &Routing) -> Vec<Arc<str>> {
        let mut out: Vec<_> = self
            .others(routing, &[])
            .chain([routing.broker()])
            .filter(|broker| is_out(broker))
            .map(|broker| Arc::clone(broker.name()))
            .collect();
        // A broker has many queues.
        out.sort_unstable();
        out.dedup();
        out
    }

    /// The brokers of the route besides the chosen one and `except`.
    fn others<'r>(
        &self,
        routing: &'r Routing,
        except: &'r [Arc<str>],
    ) -> impl Iterator<Item = &'r Arc<Broker>> {
        let here = routing.broker().name();
        routing.route().usable_brokers().filter(move |broker| {
            let name = broker.name();
            name != here && !except.contains(name) && !broker.health().is_suspended()
        })
    }

    /// Fetches the route anew and waits for it, because it was at fault. Without a newer one the
    /// next attempt uses the one at hand, in the other half of the time.
    pub(super) async fn renew(&mut self) {
        // The selector chose from a route that was wrong.
        self.selected = None;
        let now = Instant::now();
        let until = now + self.errand.deadline.saturating_duration_since(now) / 2;
        let mapping = self.errand.core.router.mapping();
        if let Err(error) = mapping.force_refresh(self.entry.topic(), until).await {
            tracing::debug!(topic = %self.entry.topic(), %error, "route not refreshed");
        }
    }

    /// Has the route fetched anew in the background, because it may be at fault.
    pub(super) fn hint(&self, routing: &Routing) {
        let generation = routing.route().generation();
        let mapping = self.errand.core.router.mapping();
        mapping.hint_refresh(&self.entry, generation, Instant::now());
    }

    /// Chooses queue and broker, with a new route if the one at hand was dropped from the cache, or lacks the queue.
    /// The first choice may be `decided` already.
    async fn choose(
        &mut self,
        avoid: &[Arc<str>],
        mut decided: Option<Result<Routing, SendFailure>>,
    ) -> Result<Routing, SendFailure> {
        loop {
            let decided = match decided.take() {
                Some(decided) => decided,
                None => self.decide(avoid).await,
            };
            match decided {
                Err(SendFailure::Routing(RoutingError::RouteRemoved { .. }))
                    if Instant::now() < self.errand.deadline =>
                {
                    self.entry = Box::pin(topic(self.errand)).await?;
                }
                // The queue may be one that was added a moment ago.
                Err(SendFailure::Routing(RoutingError::QueueNotAvailable {
                    reason: QueueProblem::Unknown,
                    ..
                })) if !std::mem::replace(&mut self.looked_again, true) => {
                    Box::pin(self.renew()).await;
                }
                decided => return decided,
            }
        }
    }

    /// The decision, if it takes no selector.
    fn decide_now(&self, avoid: &[Arc<str>], now: Instant) -> Option<Result<Routing, SendFailure>> {
        let Errand { core, target, .. } = self.errand;
        let request = self.request(avoid);
        let request = match (target, self.selected.as_deref()) {
            (Target::Queue(queue), _) | (_, Some(queue)) => request.to_queue(queue),
            (Target::Strategy, None) => request,
            (Target::Selector(..) | Target::AsyncSelector(..), None) => return None,
        };
        Some(routed(core.router.route(&self.entry, &request, now)))
    }

    fn request<'r>(&self, avoid: &'r [Arc<str>]) -> RouteRequest<'r>
    where
        'a: 'r,
    {
        let message = self.errand.message;
        let request = message.map_or_else(RouteRequest::new, RouteRequest::of);
        request.avoiding(avoid)
    }

    async fn decide(&mut self, avoid: &[Arc<str>]) -> Result<Routing, SendFailure> {
        let now = Instant::now();
        if let Some(decided) = self.decide_now(avoid, now) {
            return decided;
        }
        let Errand {
            core,
            message,
            target,
            ..
        } = self.errand;
        let (router, entry) = (&core.router, &self.entry);
        let request = self.request(avoid);
        let routing = match target {
            Target::Queue(_) | Target::Strategy => {
                return routed(router.route(entry, &request, now));
            }
            Target::Selector(selector, argument) => {
                let request = request.with_selector(&**selector, argument);
                routed(router.route(entry, &request, now))?
            }
            Target::AsyncSelector(selector, argument) => {
                // Only a message by itself has a selector.
                let Some(message) = message else {
                    return routed(router.route(entry, &request, now));
                };
                let choice = router.route_async(entry, message, &**selector, argument, now);
                // Boxed, as all that is rare here, to keep the future of a send small.
                let choice = Box::pin(Cut::until(self.errand.deadline, &core.cancel, choice));
                match choice.await {
                    Ok(choice) => routed(choice)?,
                    Err(Cut::Cancelled) => return Err(SendFailure::Shutdown),
                    Err(Cut::Deadline) => return Err(SendFailure::Deadline),
                }
            }
        };
        self.selected = Some(Box::new(routing.queue().clone()));
        Ok(routing)
    }
}

impl Step {
    /// A pure decision: whether there is a point in an attempt now. While a message could still go elsewhere, a broker
    /// is dialled if need be, and a failure moves on. Where there is nowhere else to go, only the broker's return can
    /// help.
    const fn decide(connectivity: Connectivity, elsewhere: bool, returned: bool) -> Decision {
        match connectivity {
            Connectivity::Live => Decision::Go,
            _ if elsewhere || returned => Decision::Go,
            _ => Decision::Await,
        }
    }

    fn of(routing: Routing, elsewhere: bool, returned: bool) -> Self {
        let connectivity = routing.broker().endpoint().connectivity();
        match Self::decide(connectivity, elsewhere, returned) {
            Decision::Go => Self::Go { routing, elsewhere },
            Decision::Await => Self::Await(routing),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Await,
    Go,
}

/// Whether requests sent there now would wait in vain. A broker that is leaving has a successor at once.
fn is_out(broker: &Broker) -> bool {
    match broker.endpoint().connectivity() {
        Connectivity::Suspect(cause) => cause != SuspectCause::Leaving,
        _ => false,
    }
}

/// The first success of `work` on all `items`; the failure of the first item once all have failed.
async fn first_of<I, T, E, F>(items: Vec<I>, work: impl Fn(I) -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>> + Send,
{
    let mut all: Vec<_> = items
        .into_iter()
        .map(|item| Box::pin(work(item)))
        .enumerate()
        .collect();
    let mut failed: Option<(usize, E)> = None;
    std::future::poll_fn(|context| {
        let mut succeeded = None;
        // Each is polled, so that each is woken.
        all.retain_mut(|(index, one)| match one.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(Ok(outcome)) => {
                succeeded.get_or_insert(outcome);
                false
            }
            Poll::Ready(Err(error)) => {
                if failed.as_ref().is_none_or(|(earlier, _)| *index < *earlier) {
                    failed = Some((*index, error));
                }
                false
            }
        });
        match (succeeded, failed.take()) {
            (Some(outcome), _) => Poll::Ready(Ok(outcome)),
            (None, Some((_, error))) if all.is_empty() => Poll::Ready(Err(error)),
            (None, error) => {
                failed = error;
                Poll::Pending
            }
        }
    })
    .await
}

/// The errand's topic with a route.
async fn topic(errand: Errand<'_>) -> Result<Arc<TopicEntry>, SendFailure> {
    let mapping = errand.core.router.mapping();
    mapping
        .topic(errand.topic, errand.deadline)
        .await
        .map_err(SendFailure::Routing)
}

fn routed(routing: Result<Routing, RoutingError>) -> Result<Routing, SendFailure> {
    routing.map_err(SendFailure::Routing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_waits_for_its_broker_only_where_there_is_nowhere_else_to_go() {
        use Connectivity::{Idle, Live, Suspect};
        let failed = Suspect(SuspectCause::DialFailed);
        let silent = Suspect(SuspectCause::Silent);
        for (connectivity, elsewhere, returned, decision) in [
            (Live, false, false, Decision::Go),
            (Live, true, false, Decision::Go),
            (Idle, true, false, Decision::Go),
            (Idle, false, false, Decision::Await),
            (failed, true, false, Decision::Go),
            (failed, false, false, Decision::Await),
            (silent, false, false, Decision::Await),
            (silent, false, true, Decision::Go),
        ] {
            let decided = Step::decide(connectivity, elsewhere, returned);
            assert_eq!(decided, decision, "{connectivity:?} {elsewhere} {returned}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_success_wins_wherever_it_stands() {
        // The even ones fail.
        let work = |item: u64| async move {
            tokio::time::sleep(std::time::Duration::from_secs(item)).await;
            if item % 2 == 0 { Err(item) } else { Ok(item) }
        };
        for items in [[3, 5, 2], [2, 3, 5], [5, 2, 3]] {
            assert_eq!(first_of(items.to_vec(), work).await, Ok(3));
        }
        assert_eq!(first_of(vec![4, 2, 6], work).await, Err(4));
    }
}
