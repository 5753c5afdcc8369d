//! The load itself: so many sends, so many at once, timed one by one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rocketmq_producer::{Message, Producer, SendError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::args::Mode;
use crate::console::Progress;
use crate::failure::Failure;
use crate::latency::{Latencies, nanos};

/// What to send and how.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) producer: Producer,
    pub(super) message: Message,
    pub(super) mode: Mode,
    pub(super) concurrency: u32,
    /// Messages of an explicit batch; 1 unless batches are sent.
    pub(super) batch: u32,
    /// Messages per second; as fast as answers come if `None`.
    pub(super) rate: Option<f64>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) acked: u64,
    pub(super) failed: u64,
    /// Of the acknowledged ones.
    pub(super) latency: Latencies,
    pub(super) first_error: Option<SendError>,
    pub(super) elapsed: Duration,
}

impl Outcome {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            acked: 0,
            failed: 0,
            latency: Latencies::new()?,
            first_error: None,
            elapsed: Duration::ZERO,
        })
    }
}

/// Collects what one worker sees and hands it on in small lots: a histogram for each of a thousand
/// workers would outweigh the producer, and a lock for each send would show in its cost.
#[derive(Debug)]
struct Recorder {
    total: Arc<Mutex<Outcome>>,
    /// Latencies in nanoseconds, each with the number of messages that shared it.
    lot: Vec<(u64, u64)>,
}

impl Recorder {
    const LOT: usize = 32;

    fn new(total: &Arc<Mutex<Outcome>>) -> Self {
        Self {
            total: Arc::clone(total),
            lot: Vec::with_capacity(Self::LOT),
        }
    }

    fn record(&mut self, since: Instant, result: Sent) {
        if result.acked > 0 {
            self.lot.push((nanos(since.elapsed()), result.acked));
            if self.lot.len() == Self::LOT {
                self.hand_on();
            }
        }
        if result.failed > 0 {
            let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
            total.failed += result.failed;
            if let Some(error) = result.error {
                total.first_error.get_or_insert(error);
            }
        }
    }

    fn hand_on(&mut self) {
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        for (latency, messages) in self.lot.drain(..) {
            total.acked += messages;
            total.latency.record_nanos(latency, messages);
        }
    }
}

/// What became of one call.
#[derive(Debug)]
struct Sent {
    acked: u64,
    failed: u64,
    error: Option<SendError>,
}

impl Sent {
    fn one(result: Result<(), SendError>) -> Self {
        let error = result.err();
        Self {
            acked: u64::from(error.is_none()),
            failed: u64::from(error.is_some()),
            error,
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.hand_on();
    }
}

impl Load {
    /// Sends `count` messages and waits for all of them.
    pub(super) async fn run(self, count: u64, progress: &Progress) -> Result<Outcome, Failure> {
        let began = Instant::now();
        let turns = Arc::new(Turns::new(count, self.batch, self.rate, began));
        let pacer = turns.start_pacer(self.concurrency)?;
        let total = Arc::new(Mutex::new(Outcome::new()?));
        let mut workers = JoinSet::new();
        match self.mode {
            // One task, all sends in one stream of futures.
            Mode::Async => {
                workers.spawn(stream(
                    self.clone(),
                    Arc::clone(&turns),
                    Recorder::new(&total),
                ));
            }
            Mode::Batch | Mode::Oneway | Mode::Sync => {
                let load = Arc::new(self.clone());
                for _ in 0..self.concurrency {
                    let recorder = Recorder::new(&total);
                    let (load, turns) = (Arc::clone(&load), Arc::clone(&turns));
                    workers.spawn(one_after_another(load, turns, recorder));
                }
            }
        }
        while let Some(joined) = turns.watch(&mut workers, progress).await {
            joined.map_err(|error| Failure::failed("a send ended in a panic", error))?;
        }
        let elapsed = began.elapsed();
        drop(pacer);
        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = std::mem::replace(&mut *total, Outcome::new()?);
        Ok(Outcome { elapsed, ..outcome })
    }

    async fn send(&self, messages: u64) -> Sent {
        match self.mode {
            // Boxed, or each of a thousand workers would have room for whichever call is the largest.
            Mode::Batch => Box::pin(self.send_batch(messages)).await,
            Mode::Oneway => {
                let sent = Box::pin(self.producer.send_oneway(self.message.clone())).await;
                Sent::one(sent.map(drop))
            }
            Mode::Async | Mode::Sync => {
                Sent::one(self.producer.send(self.message.clone()).await.map(drop))
            }
        }
    }

    async fn send_batch(&self, messages: u64) -> Sent {
        let batch = (0..messages).map(|_| self.message.clone());
        match self.producer.send_batch(batch).await {
            Ok(_) => Sent {
                acked: messages,
                failed: 0,
                error: None,
            },
            Err(error) => {
                let results = error.into_results();
                let acked = results.iter().filter(|result| result.is_ok()).count() as u64;
                Sent {
                    acked,
                    failed: messages.saturating_sub(acked),
                    error: results.into_iter().find_map(Result::err),
                }
            }
        }
    }
}

#[expect(
    clippy::manual_async_fn,
    reason = "the future of an async fn has room for each argument twice"
)]
fn one_after_another(
    load: Arc<Load>,
    turns: Arc<Turns>,
    mut recorder: Recorder,
) -> impl Future<Output = ()> + Send {
    async move {
        while let Some((since, messages)) = turns.next().await {
            recorder.record(since, load.send(messages).await);
        }
    }
}

async fn stream(load: Load, turns: Arc<Turns>, mut recorder: Recorder) {
    let mut under_way = FuturesUnordered::new();
    let mut more = true;
    let send = async |since, messages| (since, load.send(messages).await);
    loop {
        let room = more && under_way.len() < load.concurrency as usize;
        tokio::select! {
            biased;
            turn = turns.next(), if room => match turn {
                Some((since, messages)) => under_way.push(send(since, messages)),
                None => more = false,
            },
            Some((since, result)) = under_way.next(), if !under_way.is_empty() => {
                recorder.record(since, result);
            }
            else => return,
        }
    }
}

/// Hands out turns to send, each with the moment that its latency counts from and its number of messages.
#[derive(Debug)]
struct Turns {
    /// Messages in all.
    messages: u64,
    /// Of each turn but the last.
    batch: u64,
    /// Turns in all.
    count: u64,
    taken: AtomicU64,
    schedule: Option<Schedule>,
}

/// An open loop: turns come by the clock, whatever the answers do. A turn that nobody was free to
/// take counts from when it was due, so that a stall shows in every send it held up.
#[derive(Debug)]
struct Schedule {
    began: Instant,
    interval: f64,
    due: Semaphore,
}

impl Turns {
    fn new(messages: u64, batch: u32, rate: Option<f64>, began: Instant) -> Self {
        let batch = u64::from(batch.max(1));
        Self {
            messages,
            batch,
            count: messages.div_ceil(batch),
            taken: AtomicU64::new(0),
            schedule: rate.map(|rate| Schedule {
                began,
                interval: batch as f64 / rate,
                due: Semaphore::new(0),
            }),
        }
    }

    async fn next(&self) -> Option<(Instant, u64)> {
        if let Some(schedule) = &self.schedule {
            // Closed by nobody.
            schedule.due.acquire().await.ok()?.forget();
        }
        let turn = self.taken.fetch_add(1, Ordering::Relaxed);
        if turn >= self.count {
            return None;
        }
        let since = match &self.schedule {
            Some(schedule) => schedule.due_at(turn),
            None => Instant::now(),
        };
        let left = self
            .messages
            .saturating_sub(turn.saturating_mul(self.batch));
        Some((since, left.min(self.batch)))
    }

    /// A thread that makes turns due: it sleeps to some ten microseconds, the runtime's timer only
    /// to a millisecond.
    fn start_pacer(self: &Arc<Self>, workers: u32) -> Result<Option<Pacer>, Failure> {
        if self.schedule.is_none() {
            return Ok(None);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (turns, stopped) = (Arc::clone(self), Arc::clone(&stop));
        std::thread::Builder::new()
            .name("pacer".to_owned())
            .spawn(move || turns.pace(workers, &stopped))
            .map_err(|error| Failure::failed("the pacer's thread cannot be started", error))?;
        Ok(Some(Pacer { stop }))
    }

    fn pace(&self, workers: u32, stopped: &AtomicBool) {
        let Some(schedule) = &self.schedule else {
            return;
        };
        // So that it ends soon after the load does.
        const LONGEST: Duration = Duration::from_millis(100);
        let mut turn = 0;
        while turn < self.count && !stopped.load(Ordering::Relaxed) {
            let now = Instant::now();
            let due = schedule.due_at(turn);
            if due > now {
                std::thread::sleep(due.duration_since(now).min(LONGEST));
                continue;
            }
            schedule.due.add_permits(1);
            turn += 1;
        }
        // Every worker learns that there are no more turns.
        schedule.due.add_permits(workers as usize);
    }

    /// The next worker that ends; meanwhile the progress is shown.
    async fn watch<T: 'static>(
        &self,
        workers: &mut JoinSet<T>,
        progress: &Progress,
    ) -> Option<Result<T, tokio::task::JoinError>> {
        const REDRAW: Duration = Duration::from_millis(200);
        if progress.is_hidden() {
            return workers.join_next().await;
        }
        loop {
            tokio::select! {
                joined = workers.join_next() => return joined,
                () = sleep(REDRAW) => {
                    let taken = self.taken.load(Ordering::Relaxed).saturating_mul(self.batch);
                    progress.set(taken.min(self.messages));
                }
            }
        }
    }
}

impl Schedule {
    fn due_at(&self, turn: u64) -> Instant {
        // As a product, not a sum: no error adds up. What does not fit is never due.
        let offset = Duration::try_from_secs_f64(self.interval * turn as f64);
        let far = Duration::from_secs(86_400 * 365);
        self.began + offset.unwrap_or(far).min(far)
    }
}

/// Stops the pacer's thread.
#[derive(Debug)]
struct Pacer {
    stop: Arc<AtomicBool>,
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_turn_is_given_once_and_then_none() {
        let turns = Turns::new(3, 1, None, Instant::now());
        for _ in 0..3 {
            assert_eq!(turns.next().await.map(|(_, messages)| messages), Some(1));
        }
        assert_eq!(turns.next().await, None);
    }

    #[tokio::test]
    async fn the_last_batch_is_as_large_as_is_left() {
        let turns = Turns::new(70, 32, None, Instant::now());
        let mut messages = Vec::new();
        while let Some((_, batch)) = turns.next().await {
            messages.push(batch);
        }
        assert_eq!(messages, [32, 32, 6]);
    }

    /// There are as many workers as sends under way, and they count as memory of the client.
    #[tokio::test]
    async fn a_worker_needs_little_more_room_than_a_send() {
        let producer = Producer::builder("bench").name_servers("127.0.0.1:1");
        let load = Load {
            producer: producer.build().unwrap(),
            message: Message::new("bench", "body").unwrap(),
            mode: Mode::Sync,
            concurrency: 1,
            batch: 1,
            rate: None,
        };
        let send = size_of_val(&load.producer.send(load.message.clone()));
        let turns = Arc::new(Turns::new(1, 1, None, Instant::now()));
        let recorder = Recorder::new(&Arc::new(Mutex::new(Outcome::new().unwrap())));
        let worker = size_of_val(&one_after_another(load.into(), turns, recorder));
        assert!(
            worker < send + 512,
            "{worker} bytes, of which a send {send}"
        );
    }

    #[tokio::test]
    async fn a_turn_taken_late_counts_from_when_it_was_due() {
        let began = Instant::now() - Duration::from_secs(60);
        let turns = Arc::new(Turns::new(3, 1, Some(10.0), began));
        let pacer = turns.start_pacer(1).unwrap();
        for turn in 0..3 {
            let due = began + Duration::from_millis(100 * turn);
            assert_eq!(turns.next().await, Some((due, 1)));
        }
        assert_eq!(turns.next().await, None);
        drop(pacer);
    }
}
