//! Bounds, fairness, and places that are never lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn far() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[tokio::test(start_paused = true)]
async fn a_full_gate_refuses_at_the_deadline_says_why_and_keeps_no_place() {
    for (limit, bytes, refusal) in [(1, 100, Refusal::TooMany), (9, 100, Refusal::TooLarge)] {
        let gate = Gate::new(limit, bytes);
        let deadline = Instant::now() + Duration::from_secs(1);
        let pass = gate.enter(1, 60, deadline).await.unwrap();
        assert_eq!(gate.enter(1, 60, deadline).await.unwrap_err(), refusal);
        assert_eq!(Instant::now(), deadline);
        drop(pass);
        assert!(gate.enter(1, 60, deadline).await.is_ok());
        assert_eq!((gate.under_way(), gate.bytes_under_way()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_larger_than_the_whole_bound_goes_alone() {
    let gate = Gate::new(9, 100);
    let small = gate.enter(1, 1, far()).await.unwrap();
    let (large, ()) = tokio::join!(gate.enter(1, 1000, far()), async { drop(small) });
    let large = large.unwrap();
    let soon = Instant::now() + Duration::from_millis(1);
    assert_eq!(gate.enter(1, 1, soon).await.unwrap_err(), Refusal::TooLarge);
    drop(large);
    assert!(gate.enter(1, 1, soon).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_small_message_does_not_overtake_a_large_one_that_waits() {
    let gate = Gate::new(9, 100);
    let first = gate.enter(1, 60, far()).await.unwrap();
    let soon = Instant::now() + Duration::from_millis(1);
    let large = gate.enter(1, 60, far());
    tokio::pin!(large);
    assert!(futures_are_pending(&mut large));
    assert_eq!(gate.enter(1, 1, soon).await.unwrap_err(), Refusal::TooLarge);
    drop(first);
    drop(large.await.unwrap());
    assert!(gate.enter(1, 1, soon).await.is_ok());
}

fn futures_are_pending<T>(future: &mut Pin<&mut impl Future<Output = T>>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    future.as_mut().poll(&mut context).is_pending()
}

#[tokio::test(start_paused = true)]
async fn closing_refuses_those_who_wait_and_waits_for_those_inside() {
    let gate = Gate::new(1, 100);
    let pass = gate.enter(1, 1, far()).await.unwrap();
    let (waiting, ()) = tokio::join!(gate.enter(1, 1, far()), async { gate.close() });
    assert_eq!(waiting.unwrap_err(), Refusal::Closed);
    assert_eq!(gate.enter(1, 1, far()).await.unwrap_err(), Refusal::Closed);
    let empty = gate.wait_until_empty();
    tokio::pin!(empty);
    let early = tokio::time::timeout(Duration::from_secs(1), &mut empty).await;
    assert!(early.is_err(), "one is still inside");
    drop(pass);
    empty.await;
}

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A send of so many bytes arrives.
    Arrive(usize, usize),
    /// One of those inside leaves.
    Leave(usize),
    /// One of those who wait is dropped.
    Cancel(usize),
    /// All that were woken look again.
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1usize..5, 0usize..150).prop_map(|(sends, bytes)| Step::Arrive(sends, bytes)),
        (0usize..8).prop_map(Step::Leave),
        (0usize..8).prop_map(Step::Cancel),
        Just(Step::Look),
    ];
    proptest::collection::vec(step, 0..80)
}

type Line<'a> = VecDeque<(Pin<Box<Waiting<'a>>>, Arc<Bell>)>;

/// Everybody in the line looks again; those whose turn it is come in.
fn look<'a>(waiting: &mut Line<'a>) -> Vec<Pass<'a>> {
    let mut admitted = Vec::new();
    waiting.retain_mut(|(place, bell)| {
        let rung = bell.0.swap(0, SeqCst) > 0;
        let waker = Waker::from(Arc::clone(bell));
        match place.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(pass) => {
                assert!(rung, "let in without being told");
                admitted.extend(pass.ok());
                false
            }
            Poll::Pending => true,
        }
    });
    admitted
}

proptest! {
    #[test]
    fn places_are_bounded_fair_and_never_lost_whoever_gives_up(steps in steps(), close in any::<bool>()) {
        const LIMIT: usize = 3;
        const BYTE_LIMIT: u64 = 100;
        let gate = Gate::new(LIMIT, BYTE_LIMIT);
        let mut inside: Vec<Pass<'_>> = Vec::new();
        let mut waiting = Line::new();
        for step in steps {
            match step {
                Step::Arrive(sends, bytes) => {
                    let weight = sends.min(LIMIT) as u64 * ONE + (bytes as u64).min(BYTE_LIMIT);
                    if gate.take(weight, WAITING) {
                        // Who was let in but has not looked yet was there before.
                        prop_assert!(gate.lock().waiting.is_empty(), "overtook the queue");
                        inside.push(Pass { gate: &gate, weight });
                    } else {
                        let (mut place, bell) = (Box::pin(Waiting::join(&gate, weight).unwrap()), Arc::new(Bell::default()));
                        let waker = Waker::from(Arc::clone(&bell));
                        match place.as_mut().poll(&mut Context::from_waker(&waker)) {
                            Poll::Ready(pass) => inside.extend(pass.ok()),
                            Poll::Pending => waiting.push_back((place, bell)),
                        }
                    }
                }
                Step::Leave(index) if index < inside.len() => drop(inside.swap_remove(index)),
                Step::Cancel(index) => drop(waiting.remove(index)),
                Step::Look => inside.extend(look(&mut waiting)),
                Step::Leave(_) => {}
            }
            prop_assert!(gate.under_way() <= LIMIT);
            prop_assert!(gate.bytes_under_way() <= BYTE_LIMIT);
            let held: u64 = inside.iter().map(|pass| count(pass.weight)).sum();
            prop_assert!(gate.under_way() as u64 >= held);
            if gate.lock().granted.is_empty() {
                prop_assert_eq!(gate.under_way() as u64, held);
            }
            if let Some((_, first)) = gate.lock().waiting.first_key_value() {
                let sends = gate.under_way() as u64 + count(first.weight);
                let bytes = gate.bytes_under_way() + (first.weight & BYTES);
                let fits = sends <= LIMIT as u64 && bytes <= BYTE_LIMIT;
                prop_assert!(!fits, "there is room for the first who waits");
            }
        }
        if close {
            gate.close();
        }
        while !waiting.is_empty() {
            let admitted = look(&mut waiting);
            prop_assert!(!admitted.is_empty() || !inside.is_empty() || close, "somebody waits forever");
            inside.clear();
            drop(admitted);
        }
        inside.clear();
        prop_assert_eq!((gate.under_way(), gate.bytes_under_way()), (0, 0));
        prop_assert_eq!(gate.state.load(SeqCst) & WAITING, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_place_is_lost_between_threads() {
    let gate = Arc::new(Gate::new(3, 100));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..64usize {
        let gate = Arc::clone(&gate);
        tasks.spawn(async move {
            for round in 0..200usize {
                let deadline = if (number + round) % 7 == 0 {
                    Instant::now()
                } else {
                    far()
                };
                if let Ok(pass) = gate.enter(1, (number * 31 + round) % 120, deadline).await {
                    tokio::task::yield_now().await;
                    drop(pass);
                }
            }
        });
    }
    tasks.join_all().await;
    assert_eq!((gate.under_way(), gate.bytes_under_way()), (0, 0));
}
