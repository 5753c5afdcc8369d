//! The task of a batch: it waits until the batch is to leave, delivers it, and tells all members.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Rules;
use super::batch::Batch;
use super::lane::{Departure, Lane};
use crate::core::Core;
use crate::error::SendFailure;
use crate::ledger;
use crate::options::Target;
use crate::outcome::Outcome;
use crate::pipeline::LAST_CHANCE;
use crate::pipeline::joint::{Joint, JointOutcome};
use crate::pipeline::parcel::Errand;

/// The longest that a message of any queue waits behind others without a linger: one silent broker must not hold up
/// messages that could go elsewhere.
const LONGEST_STAY: Duration = Duration::from_millis(5);

/// Begins the task of a new batch.
pub(super) fn begin(core: &Arc<Core>, lane: Arc<Lane>, batch: Arc<Batch>, rules: &Rules) {
    // Something is kept of its time for the attempt, as sends do.
    let start_by = batch.deadline - (batch.timeout / 20).min(LAST_CHANCE);
    let stay = match (rules.linger, lane.queue()) {
        (Duration::ZERO, Some(_)) => start_by,
        (Duration::ZERO, None) => start_by.min(Instant::now() + LONGEST_STAY),
        (linger, _) => start_by.min(batch.began + linger),
    };
    let task = Task {
        core: Arc::downgrade(core),
        closing: core.closing.clone(),
        lane,
        batch,
        is_counted: false,
        is_told: false,
    };
    core.spawn(task.run(stay, start_by));
}

struct Task {
    /// Held only while the batch is under way, so that dropping the last handle ends the producer.
    core: Weak<Core>,
    closing: CancellationToken,
    lane: Arc<Lane>,
    batch: Arc<Batch>,
    /// Whether the lane counts it as under way.
    is_counted: bool,
    is_told: bool,
}

impl Task {
    async fn run(mut self, stay: Instant, start_by: Instant) {
        let batch = Arc::clone(&self.batch);
        tokio::select! {
            biased;
            () = batch.leave.notified() => {}
            () = self.closing.cancelled() => {}
            () = tokio::time::sleep_until(stay) => {}
        }
        // Callers that were woken by the same answer come along.
        tokio::task::yield_now().await;
        if self.lane.depart(&batch) == Departure::Later {
            let turn = tokio::time::timeout_at(start_by, batch.leave.notified());
            if turn.await.is_err() && self.lane.withdraw(&batch) {
                self.end(JointOutcome::failed(SendFailure::Deadline));
                return;
            }
        }
        self.is_counted = true;
        let outcome = self.deliver().await;
        self.end(outcome);
    }

    async fn deliver(&self) -> JointOutcome {
        let Some(core) = self.core.upgrade() else {
            // Nobody is left to be told.
            return JointOutcome::cut();
        };
        let (lane, batch) = (&self.lane, &self.batch);
        let members = batch.take();
        let body = members.body.freeze();
        let target = match lane.queue() {
            Some(queue) => Target::Queue(queue.clone()),
            None => Target::Strategy,
        };
        let joint = Joint {
            errand: Errand {
                core: &core,
                topic: lane.topic(),
                message: None,
                target: &target,
                is_immediate: false,
                sends: members.count,
                bytes: members.bytes,
                began: batch.began,
                deadline: batch.deadline,
            },
            body: &body,
            wait: batch.wait,
            born: batch.born,
            is_bound: lane.queue().is_some(),
        };
        let mut settling = Settling {
            core: &core,
            places: Some(members.places),
            outcome: Outcome::Dropped,
        };
        let outcome = joint.deliver(None, &core.cancel).await;
        core.count_batch(members.count);
        if core.config.debug_enabled {
            outcome.log(members.count);
        }
        settling.outcome = outcome.outcome();
        outcome
    }

    /// Tells all members, and lets others go on.
    fn end(&mut self, outcome: JointOutcome) {
        self.is_told = true;
        let core = self.core.upgrade();
        let places = self.batch.take().places;
        if let Some(core) = &core {
            // None unless it was not delivered.
            core.ledger.settle(places, outcome.outcome());
        }
        self.batch.tell(outcome);
        let gatherer = core.as_ref().and_then(|core| core.gatherer.as_ref());
        if let Some(gatherer) = gatherer.filter(|_| self.is_counted) {
            gatherer.ended(&self.lane);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.is_told {
            return;
        }
        // Its runtime has ended.
        if !self.is_counted {
            let is_later = self.lane.depart(&self.batch) == Departure::Later;
            self.is_counted = !(is_later && self.lane.withdraw(&self.batch));
        }
        self.end(JointOutcome::cut());
    }
}

/// Gives the places of the members back, also if the runtime ends in the middle.
struct Settling<'a> {
    core: &'a Core,
    places: Option<ledger::Joint>,
    outcome: Outcome,
}

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        if let Some(places) = self.places.take() {
            self.core.ledger.settle(places, self.outcome);
        }
    }
}
