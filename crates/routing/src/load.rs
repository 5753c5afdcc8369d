//! What is under way at a broker, how long it takes to answer, and its share of all sends.
//!
//! Everything is kept in atomics on cache lines of their own: routing reads it for
//! every decision, and every send writes it twice.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::{health::BrokerHealth, nanos::nanos, options::RoutingOptions};

/// Binary logarithm of the time in nanoseconds in which the smoothed latency of an
/// unused broker halves: 537 ms.
///
/// The imbalance guard leaves a broker alone whose latency is within twice the
/// others' and [`SLACK`](crate::router) of 10 ms. From 100 ms down to there it takes
/// three and a half halvings, hence a broker that was once that slow is tried again
/// after less than 2 s, and one that was slow for a second after less than 4 s; each
/// trial costs about one message. The latency is forgotten by halves, not by a fixed
/// amount, so that ten times the slowness delays the trial by three halvings only.
const HALF_LIFE_BITS: u32 = 29;

/// Weight of what was known before against one more latency, of [`WHOLE`]: 7/8. With
/// this a broker that slows down is known after a dozen answers, while one late
/// answer among good ones is lost in the slack.
const KEPT: u64 = WHOLE / 8 * 7;

/// One in weights.
const WHOLE: u64 = 1 << 16;

/// The longest latency worth telling apart.
const LONGEST_LATENCY: Duration = Duration::from_secs(3600);

/// How much one broker may hold while there is another.
#[derive(Debug)]
pub(crate) struct Share {
    in_flight: AtomicUsize,
    bytes: AtomicU64,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            in_flight: AtomicUsize::new(usize::MAX),
            bytes: AtomicU64::new(u64::MAX),
        }
    }
}

impl Share {
    /// Takes the limits from the options.
    pub(crate) fn set(&self, options: &RoutingOptions) {
        let (mut in_flight, mut bytes) = (usize::MAX, u64::MAX);
        if options.broker_share < 1.0 {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a limit need not be exact, and casts from floats saturate"
            )]
            {
                in_flight = (options.in_flight_limit as f64 * options.broker_share) as usize;
                bytes = (options.in_flight_bytes_limit as f64 * options.broker_share) as u64;
            }
        }
        self.in_flight.store(in_flight.max(1), Ordering::Relaxed);
        self.bytes.store(bytes.max(1), Ordering::Relaxed);
    }

    fn limits(&self) -> (usize, u64) {
        (
            self.in_flight.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }
}

/// Sends and bytes under way, in one word, so that a send costs one addition and one
/// subtraction: below are the bytes, above [`BYTE_BITS`] the sends.
///
/// More than 8 TiB, or 2 million sends, would spill over; whatever was added is taken
/// away again in the end, so the word would be right once less is under way.
#[derive(Clone, Copy, Debug)]
struct Held(u64);

/// The most sends of one request, far above what is ever set.
const MOST_SENDS: u64 = 1 << 18;

/// Room for the bytes: 8 TiB. The rest is room for 2 million sends.
const BYTE_BITS: u32 = 43;

impl Held {
    /// So many sends of so many bytes together.
    fn of(sends: usize, bytes: usize) -> u64 {
        let sends = u64::try_from(sends).unwrap_or(u64::MAX).min(MOST_SENDS);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        (sends << BYTE_BITS) | bytes.min((1 << BYTE_BITS) - 1)
    }

    fn sends(self) -> usize {
        usize::try_from(self.0 >> BYTE_BITS).unwrap_or(usize::MAX)
    }

    fn bytes(self) -> u64 {
        self.0 & ((1 << BYTE_BITS) - 1)
    }

    fn is_full(self, (sends, bytes): (usize, u64)) -> bool {
        self.sends() >= sends || self.bytes() >= bytes
    }
}

/// The load of one broker. Times are nanoseconds since an epoch of its record's.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Load {
    /// As [`Held`] has it. It says nothing about other memory, so `Relaxed` does, but for
    /// the agreement with those who wait for room (see [`leave`](Self::leave)).
    held: AtomicU64,
    /// Smoothed latency in nanoseconds at `sampled`; 0 while none is known.
    smoothed: AtomicU64,
    sampled: AtomicU64,
    /// When the broker last answered, or had nothing to answer.
    progress: AtomicU64,
    /// How many wait for room, so that leaving costs nothing while nobody does.
    waiting: AtomicUsize,
    room: Notify,
}

impl Load {
    fn held(&self, order: Ordering) -> Held {
        Held(self.held.load(order))
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.held(Ordering::Relaxed).sends()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.held(Ordering::Relaxed).bytes()
    }

    /// Whether the broker holds its share. Only a look: it may change at once.
    pub(crate) fn is_full(&self, share: &Share) -> bool {
        self.held(Ordering::Relaxed).is_full(share.limits())
    }

    /// As [`is_full`](Self::is_full), for those who wait for room.
    pub(crate) fn is_still_full(&self, share: &Share) -> bool {
        self.held(Ordering::SeqCst).is_full(share.limits())
    }

    /// Counts more, as [`Held`] has them; returns whether they are the only ones.
    fn enter(&self, added: u64) -> bool {
        let before = self.held.fetch_add(added, Ordering::Relaxed);
        Held(before).sends() == 0
    }

    /// Counts more if the share is not used up; the last ones may go beyond it, so that
    /// no message or batch is too large for ever. Returns whether they are the only
    /// ones.
    fn try_enter(&self, added: u64, share: &Share) -> Option<bool> {
        let limits = share.limits();
        let more = |held: u64| {
            let more = held.wrapping_add(added);
            (!Held(held).is_full(limits)).then_some(more)
        };
        let before = self
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        if !Held(before.wrapping_add(added)).is_full(limits) {
            // Whoever was woken for this room may have found it taken, and gives it on.
            self.wake(false);
        }
        Some(Held(before).sends() == 0)
    }

    /// Counts less, as [`Held`] has it.
    ///
    /// Whoever waits first counts itself and then looks at what is held; here it is the
    /// other way round. All four are `SeqCst`, so in their one order either the look
    /// comes after this subtraction and finds the room, or the count comes before the
    /// look in [`wake`](Self::wake), which then wakes.
    fn leave(&self, taken: u64) {
        let before = self.held.fetch_sub(taken, Ordering::SeqCst);
        self.wake(Held(before).sends() == Held(taken).sends());
    }

    /// Wakes one who waits for room. All of them once nothing is under way: nobody
    /// else would wake those left over.
    fn wake(&self, all: bool) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        if all {
            self.room.notify_waiters();
        } else {
            self.room.notify_one();
        }
    }

    /// Waits until `has_room`, looking again whenever something has left.
    async fn room(&self, has_room: impl Fn() -> bool) {
        let _waiting = Waiting::new(self);
        loop {
            let left = self.room.notified();
            tokio::pin!(left);
            // Before the look, so that what leaves right after it is not missed.
            left.as_mut().enable();
            if has_room() {
                return;
            }
            left.await;
        }
    }

    fn began(&self, at: u64) {
        self.progress.fetch_max(at, Ordering::Relaxed);
    }

    /// The broker answered after `latency`. One call at a time.
    pub(crate) fn answered(&self, latency: Option<Duration>, at: u64) {
        self.progress.store(at, Ordering::Relaxed);
        let Some(latency) = latency else { return };
        let latency = nanos(latency.min(LONGEST_LATENCY)).max(1);
        let smoothed = match self.smoothed.load(Ordering::Relaxed) {
            0 => latency,
            old => {
                let unused = at.saturating_sub(self.sampled.load(Ordering::Relaxed));
                // An old latency counts for less the longer ago it was.
                let kept = halved(WHOLE, unused).min(KEPT);
                // An hour in nanoseconds has 42 bits, and a weight 17.
                ((old * kept + latency * (WHOLE - kept)) / WHOLE).max(1)
            }
        };
        self.smoothed.store(smoothed, Ordering::Relaxed);
        self.sampled.store(at, Ordering::Relaxed);
    }

    /// The latency to expect, in nanoseconds: the smoothed one, or how long a broker
    /// with something to answer has not answered, if that is longer. 0 while nothing
    /// is known.
    pub(crate) fn latency(&self, at: u64) -> u64 {
        let unused = at.saturating_sub(self.sampled.load(Ordering::Relaxed));
        let smoothed = halved(self.smoothed.load(Ordering::Relaxed), unused);
        if self.in_flight() == 0 {
            return smoothed;
        }
        smoothed.max(at.saturating_sub(self.progress.load(Ordering::Relaxed)))
    }

    /// How much a further message costs: expected latency times what is under way,
    /// itself included.
    pub(crate) fn cost(&self, at: u64) -> u64 {
        self.latency(at).saturating_mul(self.queue())
    }

    /// What would be under way with one more.
    pub(crate) fn queue(&self) -> u64 {
        u64::try_from(self.in_flight())
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }

    /// The smoothed latency, if one is known.
    pub(crate) fn smoothed(&self, at: u64) -> Option<Duration> {
        let smoothed = self.smoothed.load(Ordering::Relaxed);
        let unused = at.saturating_sub(self.sampled.load(Ordering::Relaxed));
        (smoothed > 0).then(|| Duration::from_nanos(halved(smoothed, unused)))
    }
}

/// Counts a waiter for as long as it waits.
struct Waiting<'a>(&'a Load);

impl<'a> Waiting<'a> {
    fn new(load: &'a Load) -> Self {
        load.waiting.fetch_add(1, Ordering::SeqCst);
        Self(load)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `value` after `elapsed` nanoseconds, falling by half per half-life, in a straight
/// line between the halvings.
fn halved(value: u64, elapsed: u64) -> u64 {
    let halvings = u32::try_from(elapsed >> HALF_LIFE_BITS).unwrap_or(u32::MAX);
    let Some(value) = value.checked_shr(halvings) else {
        return 0;
    };
    let rest = elapsed & ((1 << HALF_LIFE_BITS) - 1);
    let lost = (u128::from(value) * u128::from(rest)) >> (HALF_LIFE_BITS + 1);
    value - u64::try_from(lost).unwrap_or(value)
}

/// As [`Occupancy`], of a broker that lives longer by itself.
#[derive(Debug)]
#[must_use = "dropping it gives the places back at once"]
pub struct Occupied<'a> {
    health: &'a BrokerHealth,
    /// As [`Held`] has it.
    taken: u64,
}

impl<'a> Occupied<'a> {
    pub(crate) fn new(health: &'a BrokerHealth, sends: usize, bytes: usize, at: u64) -> Self {
        let taken = Held::of(sends, bytes);
        if health.load().enter(taken) {
            health.load().began(at);
        }
        Self { health, taken }
    }
}

impl Drop for Occupied<'_> {
    fn drop(&mut self) {
        self.health.load().leave(self.taken);
    }
}

/// Places among what is under way at a broker. Dropping it gives them back.
#[must_use = "dropping it gives the place back at once"]
pub struct Occupancy {
    health: Arc<BrokerHealth>,
    /// As [`Held`] has it.
    taken: u64,
}

impl Occupancy {
    /// Places, whatever the broker holds already. `at` may be a little old: it saves a look at
    /// the clock.
    pub(crate) fn new(health: &Arc<BrokerHealth>, sends: usize, bytes: usize, at: u64) -> Self {
        let taken = Held::of(sends, bytes);
        let is_first = health.load().enter(taken);
        Self::entered(health, taken, is_first, at)
    }

    /// Places within the broker's share.
    pub(crate) fn within_share(
        health: &Arc<BrokerHealth>,
        sends: usize,
        bytes: usize,
        at: u64,
    ) -> Option<Self> {
        let taken = Held::of(sends, bytes);
        let is_first = health.load().try_enter(taken, health.share())?;
        Some(Self::entered(health, taken, is_first, at))
    }

    fn entered(health: &Arc<BrokerHealth>, taken: u64, is_first: bool, at: u64) -> Self {
        if is_first {
            // Its silence begins now, not when it last had something to answer.
            health.load().began(at);
        }
        Self {
            health: Arc::clone(health),
            taken,
        }
    }
}

impl Drop for Occupancy {
    fn drop(&mut self) {
        self.health.load().leave(self.taken);
    }
}

impl fmt::Debug for Occupancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Occupancy")
            .field("broker", self.health.broker_name())
            .field("sends", &Held(self.taken).sends())
            .field("bytes", &Held(self.taken).bytes())
            .finish_non_exhaustive()
    }
}

/// Waits until the broker may have room in its share.
pub(crate) async fn wait_for_room(health: &BrokerHealth, has_room: impl Fn() -> bool) {
    health.load().room(has_room).await;
}

#[cfg(test)]
mod tests;
