//! Asking avoided brokers for a sign of life, so that no user's message has to try them out.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use rocketmq_producer_remoting::{
    CloseReason, ConnectFailure, RequestFailure, ResponseCode, protocol::HeartbeatRequestHeader,
    random,
};
use tokio::{
    task::{self, JoinSet},
    time::{Instant, sleep},
};

use super::MessageRouter;
use crate::{broker::Broker, health::Incident};

/// How long a broker may take to answer, dial included.
const PATIENCE: Duration = Duration::from_secs(3);

/// A heartbeat that names no group: brokers answer it and enter nothing.
const NOBODY: Bytes = Bytes::from_static(b"{}");

impl MessageRouter {
    /// Starts the rounds of [`active_detector`](crate::RoutingOptions::active_detector)
    /// if they are on. Call it once, within a runtime.
    ///
    /// Each round asks every avoided broker once. Left out are those that an operator
    /// suspended, those that vanished, and those whose connection is suspect: the pool tries
    /// the connections of these by itself.
    pub fn start_detector(&self) {
        let Some(interval) = self.mapping().options().active_detector else {
            return;
        };
        let router = self.clone();
        let (tasks, cancel) = self.mapping().tasks();
        let cancel = cancel.clone();
        tasks.spawn(async move { cancel.run_until_cancelled(router.detect(interval)).await });
    }

    /// A broker that has not answered yet is left out, so one that hangs delays no other.
    async fn detect(&self, interval: Duration) {
        let mut questions = JoinSet::new();
        // By their tasks, so that one that panics is forgotten too.
        let mut under_way: HashMap<task::Id, Arc<Broker>> = HashMap::new();
        loop {
            // Shortened by up to a tenth, so that producers do not ask in step.
            let pause = sleep(interval.mul_f64(1.0 - 0.1 * random::unit()));
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    biased;
                    () = &mut pause => break,
                    Some(ended) = questions.join_next_with_id() => {
                        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                        under_way.remove(&id);
                    }
                }
            }
            for broker in self.avoided_brokers() {
                if !under_way.values().any(|other| same(other, &broker)) {
                    let question = questions.spawn(ask(Arc::clone(&broker)));
                    under_way.insert(question.id(), broker);
                }
            }
        }
    }

    /// The brokers to ask, each once, sorted by name and address.
    fn avoided_brokers(&self) -> Vec<Arc<Broker>> {
        if self.mapping().health().all_usable() {
            return Vec::new();
        }
        let mut brokers = Vec::new();
        for route in self.mapping().entries().iter().filter_map(|it| it.route()) {
            let listed = route.groups().iter().filter(|group| !group.vanished);
            let avoided = listed.filter(|it| it.broker.health().verdict().may_be_probed());
            brokers.extend(avoided.map(|group| Arc::clone(&group.broker)));
        }
        brokers.sort_by(|one, other| {
            let key =
                |broker: &Arc<Broker>| (Arc::clone(broker.name()), Arc::clone(broker.address()));
            key(one).cmp(&key(other))
        });
        brokers.dedup_by(|one, other| same(one, other));
        brokers
    }
}

/// Whether both have the same health record: each route has brokers of its own.
fn same(one: &Broker, other: &Broker) -> bool {
    Arc::ptr_eq(one.health(), other.health())
}

/// Asks one broker and reports to its record.
async fn ask(broker: Arc<Broker>) {
    let health = broker.health();
    match answer(&broker).await {
        Answer::Alive => health.report_success(None, Instant::now()),
        Answer::Failed(incident, error) => {
            health.report_failure(&incident, &error, Instant::now());
        }
        Answer::None => {}
    }
}

/// What came of a question.
enum Answer {
    /// Answered. A refusal for want of credentials is one too: if it were not, a broker
    /// that demands them of heartbeats would never come back.
    Alive,
    Failed(Incident, String),
    /// Nothing that says anything about the broker.
    None,
}

async fn answer(broker: &Broker) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    let connection = match broker.endpoint().connection(deadline).await {
        Ok(connection) => connection,
        Err(error) => {
            return match error.failure() {
                ConnectFailure::PoolClosed => Answer::None,
                _ => Answer::Failed(Incident::of_connect(&error), error.to_string()),
            };
        }
    };
    let body = NOBODY;
    let request = connection.request(&HeartbeatRequestHeader, &body, deadline);
    match request.await {
        Ok(answer) => match answer.code() {
            code @ (ResponseCode::SYSTEM_BUSY | ResponseCode::SERVICE_NOT_AVAILABLE) => {
                let error = format!("heartbeat was answered with code {code}");
                Answer::Failed(Incident::Single, error)
            }
            _ => Answer::Alive,
        },
        Err(error) => match error.failure() {
            // We closed it, or the broker left in good order.
            RequestFailure::ConnectionLost(reason)
                if matches!(**reason, CloseReason::Local | CloseReason::GoAway) =>
            {
                Answer::None
            }
            RequestFailure::Hook(_) => Answer::None,
            _ => Answer::Failed(Incident::of_request(&error), error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests;
