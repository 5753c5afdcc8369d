//! Who is under way and how each send ended, by generations, so that a flush waits for those before it and for no
//! later one.
//!
//! There are two generations at a time. A flush waits until the older one is empty, lets a new one begin in its place,
//! and waits until the one before that is empty too. So a send costs a flush nothing but a number.

use std::mem::ManuallyDrop;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use crate::gate::{Gate, Pass, Refusal};
use crate::outcome::{Outcome, Outcomes, Tally};
use crate::report::FlushReport;

/// All sends of a producer: those under way, and how the others have ended.
#[derive(Debug)]
pub(crate) struct Ledger {
    gate: Gate,
    /// The number of the generation that sends begin in; its lowest bit is its place.
    generation: AtomicUsize,
    generations: [Generation; 2],
    /// How those have ended that were admitted when the gate was closed.
    ended_after_close: Tally,
    /// Flushes that wait.
    flushes: AtomicUsize,
    /// Signalled when a generation becomes empty while a flush waits.
    emptied: Notify,
    /// Flushes begin new generations one after the other.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct Generation {
    shards: [Shard; SHARDS],
}

/// Sends are counted where their threads count, so that these do not wait for each other's caches. A send may end in
/// another shard than it began in: only the sums mean something.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    begun: AtomicUsize,
    left: AtomicUsize,
    ended: Tally,
}

pub(crate) const SHARDS: usize = 8;

/// Where the calling thread counts, below [`SHARDS`].
pub(crate) fn place() -> usize {
    // Not found while the thread ends and its locals are gone.
    PLACE.try_with(|place| *place).unwrap_or_default()
}

thread_local! {
    /// Where this thread counts.
    static PLACE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed) % SHARDS
    };
}

impl Generation {
    fn shard(&self) -> &Shard {
        let [first, ..] = &self.shards;
        self.shards.get(place()).unwrap_or(first)
    }

    /// Never less than there are at some moment of the call: who left is counted first.
    fn under_way(&self) -> usize {
        let sum = |counter: fn(&Shard) -> &AtomicUsize| -> usize {
            let counts = self.shards.iter().map(|shard| counter(shard).load(SeqCst));
            counts.fold(0, usize::wrapping_add)
        };
        let left = sum(|shard| &shard.left);
        sum(|shard| &shard.begun).wrapping_sub(left)
    }

    fn ended(&self) -> Outcomes {
        let shards = self.shards.iter().map(|shard| shard.ended.snapshot());
        shards.fold(Outcomes::default(), Outcomes::plus)
    }
}

/// Sends with one outcome, mostly one, from their call to that outcome, which is counted when this is dropped, however
/// they end.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    ledger: &'a Ledger,
    generation: &'a Generation,
    sends: usize,
    pass: Option<Pass<'a>>,
    /// None while there is none: then the caller has dropped the send.
    outcome: Option<Outcome>,
}

impl Visit<'_> {
    /// Waits until `deadline` for places among the sends under way, of so many bytes together.
    pub(crate) async fn enter(&mut self, bytes: usize, deadline: Instant) -> Result<(), Refusal> {
        let gate = &self.ledger.gate;
        self.pass = Some(gate.enter(self.sends, bytes, deadline).await?);
        Ok(())
    }

    /// Takes a place among the sends under way if nobody has to wait for it.
    pub(crate) fn try_enter(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.pass = Some(self.ledger.gate.try_enter(bytes)?);
        Ok(())
    }

    /// Adds the admitted sends to others that will have the same outcome. The ledger is told of it by
    /// [`Ledger::settle`].
    pub(crate) fn hand_over(self, to: &mut Joint) {
        // Its end is counted by the ledger.
        let mut visit = ManuallyDrop::new(self);
        let [even, _] = &visit.ledger.generations;
        let place = usize::from(!std::ptr::eq(visit.generation, even));
        if let Some(sends) = to.sends.get_mut(place) {
            *sends += visit.sends;
        }
        to.weight += visit.pass.take().map_or(0, Pass::into_weight);
    }

    /// Counts the outcome and gives the place back. A visit that is just dropped counts as [`Outcome::Dropped`] if it
    /// was admitted.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let ledger = self.ledger;
        let dropped = self.pass.is_some().then_some(Outcome::Dropped);
        // Before the place is given back, so that whoever finds the gate empty finds all outcomes.
        if let Some(outcome) = self.outcome.or(dropped) {
            self.generation.shard().ended.count(outcome, self.sends);
            if self.pass.is_some() && ledger.gate.is_closed() {
                ledger.ended_after_close.count(outcome, self.sends);
            }
        }
        self.pass = None;
        ledger.leave(self.generation, self.sends);
    }
}

/// Admitted sends that will have one outcome, whoever still waits for it.
#[derive(Debug, Default)]
pub(crate) struct Joint {
    /// By the place of their generation.
    sends: [usize; 2],
    /// Their places at the gate.
    weight: u64,
}

/// A flush that waits.
struct Flushing<'a>(&'a Ledger);

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.0.flushes.fetch_sub(1, SeqCst);
    }
}

impl Ledger {
    pub(crate) fn new(gate: Gate) -> Self {
        Self {
            gate,
            generation: AtomicUsize::new(0),
            generations: [Generation::default(), Generation::default()],
            ended_after_close: Tally::default(),
            flushes: AtomicUsize::new(0),
            emptied: Notify::new(),
            turn: Mutex::new(()),
        }
    }

    pub(crate) const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// A send begins.
    pub(crate) fn begin(&self) -> Visit<'_> {
        self.begin_many(1)
    }

    /// Sends begin that will have one outcome.
    pub(crate) fn begin_many(&self, sends: usize) -> Visit<'_> {
        let (generation, _) = self.places();
        generation.shard().begun.fetch_add(sends, SeqCst);
        Visit {
            ledger: self,
            generation,
            sends,
            pass: None,
            outcome: None,
        }
    }

    /// Counts the outcome of joint sends and gives their places back.
    pub(crate) fn settle(&self, joint: Joint, outcome: Outcome) {
        for (generation, sends) in self.generations.iter().zip(joint.sends) {
            if sends == 0 {
                continue;
            }
            generation.shard().ended.count(outcome, sends);
            if self.gate.is_closed() {
                self.ended_after_close.count(outcome, sends);
            }
        }
        self.gate.leave(joint.weight);
        for (generation, sends) in self.generations.iter().zip(joint.sends) {
            if sends > 0 {
                self.leave(generation, sends);
            }
        }
    }

    fn leave(&self, generation: &Generation, sends: usize) {
        // Either the flush that begins now sees the generation empty, or this sees the flush.
        generation.shard().left.fetch_add(sends, SeqCst);
        if self.flushes.load(SeqCst) > 0 && generation.under_way() == 0 {
            self.emptied.notify_waiters();
        }
    }

    /// How sends have ended.
    pub(crate) fn ended(&self) -> Outcomes {
        let [one, two] = &self.generations;
        one.ended().plus(two.ended())
    }

    /// How sends have ended that were admitted when the gate was closed.
    pub(crate) fn ended_after_close(&self) -> Outcomes {
        self.ended_after_close.snapshot()
    }

    /// Waits until every send that has begun before has ended, `deadline` at most.
    pub(crate) async fn flush(&self, deadline: Instant) -> FlushReport {
        let began = Instant::now();
        self.flushes.fetch_add(1, SeqCst);
        let _waiting = Flushing(self);
        let before = self.ended();
        let flushed = tokio::time::timeout_at(deadline, self.wait_for_generations()).await;
        let (ended, under_way) = match flushed {
            Ok(ended) => (ended, 0),
            Err(_) => {
                let under_way = self.generations.iter();
                let under_way = under_way.map(Generation::under_way);
                (self.ended().minus(before), under_way.sum())
            }
        };
        FlushReport::of(ended, under_way, began.elapsed())
    }

    /// How those ended that were under way at the beginning.
    async fn wait_for_generations(&self) -> Outcomes {
        // Another flush may be at it; what ends meanwhile is what both wait for.
        let [one, two] = &self.generations;
        let before = [one.ended(), two.ended()];
        let _turn = self.turn.lock().await;
        let (present, older) = self.places();
        let [present_before, older_before] = if std::ptr::eq(present, one) {
            before
        } else {
            [before[1], before[0]]
        };
        self.wait_until_empty(older).await;
        // Taken before the next sends begin there.
        let older_ended = older.ended().minus(older_before);
        self.generation.fetch_add(1, SeqCst);
        self.wait_until_empty(present).await;
        let present_ended = present.ended().minus(present_before);
        present_ended.plus(older_ended)
    }

    async fn wait_until_empty(&self, generation: &Generation) {
        loop {
            let emptied = self.emptied.notified();
            if generation.under_way() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// The present generation and the one before.
    fn places(&self) -> (&Generation, &Generation) {
        let [even, odd] = &self.generations;
        if self.generation.load(SeqCst) % 2 == 0 {
            (even, odd)
        } else {
            (odd, even)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::routing::remoting::Delivery;

    fn ledger() -> Ledger {
        Ledger::new(Gate::new(100, 100))
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    async fn admitted(ledger: &Ledger) -> Visit<'_> {
        let mut visit = ledger.begin();
        visit.enter(1, far()).await.unwrap();
        visit
    }

    #[tokio::test]
    async fn outcomes_before_and_after_the_closing_are_told_apart() {
        let ledger = ledger();
        admitted(&ledger).await.end(Outcome::Acked);
        let (one, two) = (admitted(&ledger).await, admitted(&ledger).await);
        ledger.gate().close();
        one.end(Outcome::Failed(Delivery::Unknown));
        drop(two);
        let mut late = ledger.begin();
        assert_eq!(late.enter(1, far()).await, Err(Refusal::Closed));
        late.end(Outcome::Failed(Delivery::NotSent));
        let after = ledger.ended_after_close();
        assert_eq!((after.acked, after.unknown, after.dropped), (0, 1, 1));
        assert_eq!((after.total(), ledger.ended().total()), (2, 4));
    }

    #[tokio::test]
    async fn a_send_that_is_dropped_while_it_waits_is_no_outcome() {
        let ledger = ledger();
        drop(ledger.begin());
        assert_eq!(ledger.ended().total(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_waits_for_the_sends_before_it_and_for_no_later_one() {
        let ledger = ledger();
        admitted(&ledger).await.end(Outcome::Acked);
        // The second flush finds the generations the other way round.
        for _ in 0..3 {
            let (one, waiting) = (admitted(&ledger).await, ledger.begin());
            let later = async {
                let later = admitted(&ledger).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                one.end(Outcome::OnewayWritten);
                admitted(&ledger).await.end(Outcome::Acked);
                tokio::time::sleep(Duration::from_secs(1)).await;
                waiting.end(Outcome::Failed(Delivery::NotSent));
                later
            };
            let (report, later) = tokio::join!(biased; ledger.flush(far()), later);
            assert_eq!(report.elapsed, Duration::from_secs(2));
            assert_eq!((report.oneway_written, report.not_sent), (1, 1));
            assert_eq!((report.acked, report.under_way), (0, 0), "{report:?}");
            later.end(Outcome::Acked);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_ends_at_its_deadline_and_tells_what_is_left() {
        let ledger = ledger();
        let (one, two) = (admitted(&ledger).await, admitted(&ledger).await);
        one.end(Outcome::Acked);
        let deadline = Instant::now() + Duration::from_secs(1);
        let (first, second) = tokio::join!(ledger.flush(deadline), ledger.flush(deadline));
        assert_eq!(Instant::now(), deadline);
        assert_eq!((first.under_way, second.under_way), (1, 1));
        assert_eq!(first.acked, 0, "it had ended before");
        // Cut short, a flush leaves nothing behind that would trouble the next.
        two.end(Outcome::Acked);
        assert_eq!(ledger.flush(far()).await.under_way, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn many_flushes_at_once_all_end() {
        let ledger = ledger();
        let visit = admitted(&ledger).await;
        let flush = || ledger.flush(far());
        let leave = async { visit.end(Outcome::Acked) };
        let (one, two, three, ()) = tokio::join!(flush(), flush(), flush(), leave);
        for report in [one, two, three] {
            assert_eq!((report.acked, report.under_way), (1, 0), "{report:?}");
        }
    }
}
