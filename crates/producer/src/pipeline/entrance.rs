//! Before the first attempt: the checks, the turn in a lane, room at a bound message's broker, and the place among all
//! sends under way, in this order, so that whoever waits holds nothing that another could use.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::parcel::{Errand, Stamp};
use super::place::Places;
use super::{Call, LAST_CHANCE, Pledge};
use crate::config::Ordered;
use crate::config::routing::remoting::message::{SystemClock, WallClock, validate_topic_for_send};
use crate::config::routing::{Broker, Occupancy, Routing};
use crate::core::Core;
use crate::deadline::Cut;
use crate::error::{FullBound, SendError, SendFailure};
use crate::gate::Refusal;
use crate::kind;
use crate::lanes::{Barred, Lane, Turn};
use crate::ledger::Visit;
use crate::lifecycle::State;
use crate::outcome::Outcome;
use crate::pace::Pacer;

/// A message that was taken, with all that it holds until its outcome.
pub(super) struct Admitted<'a> {
    pub(super) visit: Visit<'a>,
    pub(super) stamp: Stamp,
    pub(super) turn: Option<Turn<'a>>,
    /// Boxed, since most messages are bound to nothing and futures should be small.
    pub(super) bound: Option<Box<Bound<'a>>>,
    /// When it was taken.
    pub(super) at: Instant,
}

impl<'a> Admitted<'a> {
    /// What the message holds until its outcome, what it was marked with, and the place that it is bound to.
    pub(super) fn split(self) -> (Pledge<'a>, Stamp, Option<Box<Bound<'a>>>) {
        let Self {
            visit,
            stamp,
            turn,
            bound,
            at: _,
        } = self;
        (Pledge { visit, turn }, stamp, bound)
    }
}

/// A message that is bound to a queue, with its place at the queue's broker.
pub(super) struct Bound<'a> {
    pub(super) places: Places<'a>,
    pub(super) held: Held,
}

/// A place among what is under way at a broker.
pub(super) struct Held {
    broker: Arc<Broker>,
    _occupancy: Occupancy,
}

impl Held {
    pub(super) fn new(routing: &Routing, occupancy: Occupancy) -> Self {
        Self {
            broker: Arc::clone(routing.broker()),
            _occupancy: occupancy,
        }
    }

    /// Whether it is at the broker of `routing`.
    pub(super) fn is_at(&self, routing: &Routing) -> bool {
        Arc::ptr_eq(self.broker.health(), routing.broker().health())
    }
}

impl<'a> Call<'a> {
    /// As [`admit`](Self::admit), if nothing is in the way: mostly so.
    pub(super) fn admit_now(self) -> Option<Admitted<'a>> {
        let core = self.core;
        let waits =
            self.pace().is_some() || core.lanes.ordered() != Ordered::None || self.is_bound();
        if waits || self.check().is_err() {
            return None;
        }
        let mut visit = core.ledger.begin();
        visit.try_enter(self.bytes()).ok()?;
        Some(Admitted {
            visit,
            stamp: core.stamp(),
            turn: None,
            bound: None,
            at: self.began,
        })
    }

    /// Checks the message, waits until it is its turn and there is room for it, and stamps it.
    pub(super) async fn admit(self) -> Result<Admitted<'a>, SendError> {
        let core = self.core;
        if let Err(cause) = self.check() {
            core.count_refusal();
            return Err(self.error(None, cause, Vec::new()));
        }
        let mut visit = core.ledger.begin();
        match self.enter(&mut visit).await {
            Ok((turn, bound)) => {
                let at = Instant::now();
                core.metrics.waited(at.duration_since(self.began));
                Ok(Admitted {
                    visit,
                    stamp: core.stamp(),
                    turn,
                    bound,
                    at,
                })
            }
            Err(cause) => {
                let error = self.error(None, cause, Vec::new());
                visit.end(Outcome::Failed(error.delivery()));
                Err(error)
            }
        }
    }

    pub(super) fn check(self) -> Result<(), SendFailure> {
        let (core, config) = (self.core, &self.core.config);
        let state = core.state.get();
        if state != State::Running {
            return Err(SendFailure::State(state));
        }
        if self.message.is_timed() {
            kind::check_timing(self.message, config, SystemClock.epoch_millis())
                .map_err(SendFailure::Message)?;
        }
        if core.namespace.is_some() {
            // The namespace may have made it too long.
            validate_topic_for_send(self.message.topic())
                .map_err(|error| SendFailure::Message(error.into()))?;
        }
        let max_body = core.compression.limit(self.message.body().len());
        self.message
            .check_limits(max_body, config.property_margin.as_usize())
            .map_err(SendFailure::Message)
    }

    async fn enter(
        self,
        visit: &mut Visit<'a>,
    ) -> Result<(Option<Turn<'a>>, Option<Box<Bound<'a>>>), SendFailure> {
        let mut turn = None;
        if let Some(pace) = self.pace() {
            Box::pin(self.keep_pace(pace)).await?;
        }
        // Before anything else is waited for, so that sends line up in the order of their calls.
        if let Some(lane) = self.key_lane() {
            turn = Some(Box::pin(self.core.take_turn(lane, self.turn_by())).await?);
        }
        let bound = if self.is_bound() {
            // Rare enough to be boxed: the future of a send should be small.
            let (queue_turn, bound) = Box::pin(self.bind()).await?;
            turn = turn.or(queue_turn);
            Some(Box::new(bound))
        } else {
            None
        };
        let entered = if self.options.is_immediate {
            visit.try_enter(self.bytes())
        } else {
            visit.enter(self.bytes(), self.start_by()).await
        };
        entered.map_err(|refusal| self.core.refused(refusal))?;
        Ok((turn, bound))
    }

    /// What spaces it from others, if anything does.
    fn pace(self) -> Option<&'a Pacer> {
        let pace = self.core.oneway_pace.as_ref();
        pace.filter(|_| self.options.is_oneway)
    }

    /// Waits until it may go out without exceeding the rate.
    async fn keep_pace(self, pace: &Pacer) -> Result<(), SendFailure> {
        let core = self.core;
        match Cut::until(self.start_by(), &core.closing, pace.turn()).await {
            Ok(()) => Ok(()),
            Err(Cut::Cancelled) => Err(SendFailure::State(core.state.get())),
            Err(Cut::Deadline) => Err(SendFailure::QueueFull {
                bound: FullBound::OnewayRate,
                limit: u64::from(core.config.oneway_rate),
            }),
        }
    }

    /// The lane of the message's key, if such are to be kept in order.
    fn key_lane(self) -> Option<Lane> {
        if self.core.lanes.ordered() != Ordered::Key {
            return None;
        }
        let topic = Arc::clone(self.message.topic_shared());
        Some(Lane::of_key(topic, self.key()?))
    }

    /// Until when it may wait for its turn; none if it may not wait.
    fn turn_by(self) -> Option<Instant> {
        (!self.options.is_immediate).then(|| self.start_by())
    }

    /// Finds the queue of a bound message, its turn there if order is kept by queue, and room at its broker.
    async fn bind(self) -> Result<(Option<Turn<'a>>, Bound<'a>), SendFailure> {
        let core = self.core;
        let errand = self.errand();
        let found = core.closing.run_until_cancelled(errand.find()).await;
        let (mut places, routing) = found.ok_or_else(|| SendFailure::State(core.state.get()))??;
        let mut turn = None;
        if core.lanes.ordered() == Ordered::Queue {
            places.pin(&routing);
            let lane = Lane::of_queue(routing.queue().clone());
            turn = Some(core.take_turn(lane, self.turn_by()).await?);
        }
        let held = errand.take_room(&routing, &core.closing).await?;
        Ok((turn, Bound { places, held }))
    }
}

impl<'a> Errand<'a> {
    /// Until when it may wait for its place. One that gets it later could not await its answer, and a crowd of such
    /// sends would keep a busy broker busy with messages that nobody waits for any more.
    pub(super) fn start_by(self) -> Instant {
        let budget = self.deadline.duration_since(self.began);
        self.deadline - (budget / 20).min(LAST_CHANCE)
    }

    /// Finds the route and the first place.
    pub(super) async fn find(self) -> Result<(Places<'a>, Routing), SendFailure> {
        let mut places = Places::find(self).await?;
        let routing = places.first().await?;
        Ok((places, routing))
    }

    /// Waits for room at a broker that holds its share while another could be used.
    pub(super) async fn take_room(
        self,
        routing: &Routing,
        cancel: &CancellationToken,
    ) -> Result<Held, SendFailure> {
        loop {
            if let Some(occupancy) = routing.try_occupy(self.sends, self.bytes) {
                return Ok(Held::new(routing, occupancy));
            }
            let (core, room) = (self.core, routing.room());
            let waited = if self.is_immediate {
                Err(Cut::Deadline)
            } else {
                Cut::until(self.start_by(), cancel, room).await
            };
            match waited {
                Ok(()) => {}
                Err(Cut::Cancelled) => return Err(SendFailure::State(core.state.get())),
                Err(Cut::Deadline) => {
                    let limit = core.ledger.gate().limit() as f64 * core.config.broker_share;
                    return Err(SendFailure::QueueFull {
                        bound: FullBound::BrokerShare,
                        limit: limit as u64,
                    });
                }
            }
        }
    }

    /// Finds the only place that it may go to, and room there.
    pub(super) async fn bind(self, cancel: &CancellationToken) -> Result<Bound<'a>, SendFailure> {
        let (places, routing) = self.find().await?;
        let held = self.take_room(&routing, cancel).await?;
        Ok(Bound { places, held })
    }
}

impl Core {
    /// Why the gate refused a send.
    pub(super) fn refused(&self, refusal: Refusal) -> SendFailure {
        let gate = self.ledger.gate();
        let (bound, limit) = match refusal {
            Refusal::Closed => return SendFailure::State(self.state.get()),
            Refusal::TooLarge => (FullBound::Bytes, gate.byte_limit()),
            Refusal::TooMany => (FullBound::Sends, gate.limit() as u64),
        };
        SendFailure::QueueFull { bound, limit }
    }

    /// Lines up in a lane, `until` at most, or looks whether it is free.
    pub(super) async fn take_turn(
        &self,
        lane: Lane,
        until: Option<Instant>,
    ) -> Result<Turn<'_>, SendFailure> {
        let turn = match until {
            Some(until) => self.lanes.join(lane.clone(), until).await,
            None => self.lanes.try_join(lane.clone()),
        };
        turn.map_err(|barred| match barred {
            Barred::Closed => SendFailure::State(self.state.get()),
            Barred::Deadline => SendFailure::LaneBusy(lane),
            Barred::Stopped => SendFailure::LaneStopped(lane),
        })
    }

    /// Marks a message that is taken now.
    pub(super) fn stamp(&self) -> Stamp {
        self.stamp_at(SystemClock.epoch_millis())
    }

    /// Marks messages that are taken now.
    pub(super) fn stamps(&self, count: usize) -> Vec<Stamp> {
        let millis = SystemClock.epoch_millis();
        (0..count).map(|_| self.stamp_at(millis)).collect()
    }

    fn stamp_at(&self, millis: u64) -> Stamp {
        Stamp {
            id: self.ids.next_id_at(millis),
            // Saturates in the year 292 278 994.
            born: i64::try_from(millis).unwrap_or(i64::MAX),
        }
    }
}
