//! A bound on messages a second, evenly spaced, in order of arrival.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// How far a start may lag behind its time and the next ones still make up for it. The timer wakes to the millisecond
/// only, and a busy machine later; what is missed by more than this is gone, so that a pause is not followed by a burst.
const CATCH_UP: Duration = Duration::from_millis(10);

/// Lets one through at a time, each no earlier than its turn.
#[derive(Debug)]
pub(crate) struct Pacer {
    interval: Duration,
    /// When the next one may go. Whoever waits for that moment holds the lock, and others line up behind.
    next: Mutex<Instant>,
}

impl Pacer {
    /// None if there is no bound.
    pub(crate) fn new(per_second: u32) -> Option<Self> {
        let interval = Duration::from_secs(1).checked_div(per_second)?;
        Some(Self {
            interval,
            next: Mutex::new(Instant::now()),
        })
    }

    /// Waits for a turn. Dropped while waiting, it takes none.
    pub(crate) async fn turn(&self) {
        let mut next = self.next.lock().await;
        tokio::time::sleep_until(*next).await;
        let oldest = Instant::now().checked_sub(CATCH_UP);
        let begin = oldest.map_or(*next, |oldest| oldest.max(*next));
        *next = begin + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const RATE: u32 = 1000;

    fn pacer() -> Pacer {
        Pacer::new(RATE).unwrap()
    }

    #[test]
    fn zero_sets_no_bound() {
        assert!(Pacer::new(0).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_at_the_rate_one_after_the_other_and_many_at_once() {
        let (pacer, began) = (Arc::new(pacer()), Instant::now());
        for _ in 0..RATE {
            pacer.turn().await;
        }
        let alone = began.elapsed();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..RATE {
            let pacer = Arc::clone(&pacer);
            tasks.spawn(async move { pacer.turn().await });
        }
        tasks.join_all().await;
        let second = Duration::from_secs(1);
        for took in [alone, began.elapsed() - alone] {
            assert!(took.abs_diff(second) < 2 * CATCH_UP, "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_span_of_time_sees_more_than_its_rate_and_a_moment_to_catch_up() {
        let pacer = Pacer::new(50_000).unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut at = Vec::new();
        for _ in 0..20_000 {
            pacer.turn().await;
            at.push(Instant::now());
        }
        // 10 ms of 50 a millisecond, and what one more millisecond of the timer makes of it.
        for span in [1, 10, 100] {
            let count = (50 * span + 50 * 12) as usize;
            for window in at.windows(count) {
                let took = window[count - 1] - window[0];
                assert!(took >= Duration::from_millis(span), "{span} ms: {took:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_takes_no_turn_and_the_rest_keep_their_order() {
        let (pacer, began) = (Arc::new(Pacer::new(10).unwrap()), Instant::now());
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        let mut given_up = Vec::new();
        for number in 0..30 {
            let (pacer, order) = (Arc::clone(&pacer), Arc::clone(&order));
            let task = tasks.spawn(async move {
                pacer.turn().await;
                order.lock().unwrap().push(number);
            });
            if number % 3 == 1 {
                given_up.push(task);
            }
            tokio::task::yield_now().await;
        }
        given_up.into_iter().for_each(|task| task.abort());
        while tasks.join_next().await.is_some() {}
        let order = order.lock().unwrap();
        assert!(order.is_sorted(), "{order:?}");
        assert_eq!(order.len(), 20);
        let took = began.elapsed();
        assert!(took < Duration::from_millis(2100), "{took:?}");
    }
}
