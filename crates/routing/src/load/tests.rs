//! What the load of a broker promises.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;
use tokio::{task::JoinSet, time::Instant};

use super::{Held, Load, Occupancy, halved, wait_for_room};
use crate::{
    health::BrokerHealth,
    options::{HealthOptions, RoutingOptions},
};

const HALF_LIFE: u64 = 1 << 29;
const MILLIS: u64 = 1_000_000;

fn record() -> Arc<BrokerHealth> {
    let options = HealthOptions::default();
    Arc::new(BrokerHealth::new("a", "h:1", options, Instant::now(), 1))
}

#[test]
fn a_value_halves_steadily_and_is_gone_in_the_end() {
    assert_eq!(halved(1024, 0), 1024);
    assert_eq!(halved(1024, HALF_LIFE / 2), 768);
    assert_eq!(halved(1024, HALF_LIFE), 512);
    assert_eq!(halved(1024, 10 * HALF_LIFE), 1);
    assert_eq!(halved(u64::MAX, u64::MAX), 0);
    let values: Vec<u64> = (0..100)
        .map(|n| halved(1 << 40, n * HALF_LIFE / 7))
        .collect();
    assert!(values.is_sorted_by(|a, b| a > b));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_counted_until_it_is_dropped() {
    let record = record();
    let one = Occupancy::new(&record, 1, 100, 0);
    let other = Occupancy::new(&record, 1, 20, 0);
    assert_eq!((record.load().in_flight(), record.load().bytes()), (2, 120));
    drop(one);
    assert_eq!((record.load().in_flight(), record.load().bytes()), (1, 20));
    drop(other);
    assert_eq!((record.load().in_flight(), record.load().bytes()), (0, 0));
}

#[test]
fn the_share_bounds_sends_and_bytes_and_lets_one_large_message_through() {
    let share = super::Share::default();
    let load = Load::default();
    assert!(!load.is_full(&share), "no limit until one is set");
    share.set(&RoutingOptions::default().with_in_flight_limits(4, 1000));
    assert!(load.try_enter(Held::of(1, 10_000), &share).is_some());
    assert!(
        load.try_enter(Held::of(1, 1), &share).is_none(),
        "bytes used up"
    );
    assert_eq!((load.in_flight(), load.bytes()), (1, 10_000));
    load.leave(Held::of(1, 10_000));
    assert!(load.try_enter(Held::of(1, 1), &share).is_some());
    assert!(load.try_enter(Held::of(1, 1), &share).is_some());
    assert!(load.is_full(&share));
    assert!(
        load.try_enter(Held::of(1, 1), &share).is_none(),
        "half of four"
    );
    share.set(&RoutingOptions::default().with_broker_share(1.0));
    assert!(load.try_enter(Held::of(1, 1), &share).is_some());
}

#[test]
fn a_slow_answer_counts_for_an_eighth_and_for_more_the_older_what_was_known() {
    let load = Load::default();
    assert_eq!((load.latency(0), load.smoothed(0)), (0, None));
    load.answered(Some(Duration::from_millis(8)), 0);
    load.answered(Some(Duration::from_millis(16)), 0);
    assert_eq!(load.smoothed(0), Some(Duration::from_millis(9)));
    load.answered(Some(Duration::from_millis(1)), 10 * HALF_LIFE);
    let fresh = load.smoothed(10 * HALF_LIFE).unwrap();
    assert!(fresh < Duration::from_micros(1010), "{fresh:?}");
}

#[test]
fn a_broker_with_something_to_answer_is_as_slow_as_its_silence() {
    let load = Load::default();
    load.answered(Some(Duration::from_millis(1)), 0);
    assert!(load.latency(500 * MILLIS) < MILLIS, "nothing to answer");
    assert!(load.enter(Held::of(1, 1)));
    load.began(500 * MILLIS);
    assert_eq!(load.latency(550 * MILLIS), 50 * MILLIS);
    assert_eq!(load.cost(550 * MILLIS), 100 * MILLIS);
    load.answered(Some(Duration::from_millis(50)), 550 * MILLIS);
    load.leave(Held::of(1, 1));
    assert!(load.latency(550 * MILLIS) < 50 * MILLIS);
}

/// What one of many senders does: it begins, is given up while it waits, and holds its
/// place, each at a time in milliseconds.
type Sender = (u64, Option<u64>, u64);

/// Runs senders that wait for room at one broker; returns how many had a place, and the
/// most places taken at once.
fn run(senders: &[Sender], limit: usize) -> (usize, usize, Arc<BrokerHealth>) {
    let share = RoutingOptions::default()
        .with_in_flight_limits(limit, 1 << 20)
        .with_broker_share(0.999);
    let record = record();
    record.share().set(&share);
    let served = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for &(begin, patience, hold) in senders {
            let (record, served, most) =
                (Arc::clone(&record), Arc::clone(&served), Arc::clone(&most));
            tasks.spawn(async move {
                let millis = Duration::from_millis;
                tokio::time::sleep(millis(begin)).await;
                let place = async {
                    loop {
                        if let Some(place) = Occupancy::within_share(&record, 1, 100, 0) {
                            return place;
                        }
                        wait_for_room(&record, || !record.load().is_full(record.share())).await;
                    }
                };
                // One without patience must get its turn in the end.
                let patience = millis(patience.unwrap_or(1_000_000));
                let Ok(place) = tokio::time::timeout(patience, place).await else {
                    return;
                };
                most.fetch_max(record.load().in_flight(), Ordering::SeqCst);
                served.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(millis(hold)).await;
                drop(place);
            });
        }
        tasks.join_all().await;
    });
    let (served, most) = (served.load(Ordering::SeqCst), most.load(Ordering::SeqCst));
    (served, most, record)
}

proptest! {
    #[test]
    fn no_place_leaks_and_nobody_waits_in_vain_whoever_gives_up(
        senders in prop::collection::vec((0_u64..50, prop::option::of(0_u64..40), 0_u64..30), 1..60),
        limit in 2_usize..6,
    ) {
        let (served, most, record) = run(&senders, limit);
        let patient = senders.iter().filter(|(_, patience, _)| patience.is_none()).count();
        prop_assert!(served >= patient, "{served} of {patient}");
        prop_assert!(most < limit, "{most}");
        let load = record.load();
        prop_assert_eq!((load.in_flight(), load.bytes()), (0, 0));
        prop_assert_eq!(load.waiting.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_are_handed_on_between_threads() {
    let record = record();
    let share = RoutingOptions::default().with_in_flight_limits(4, 1 << 20);
    record.share().set(&share);
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let record = Arc::clone(&record);
        tasks.spawn(async move {
            for _ in 0..500 {
                let place = loop {
                    if let Some(place) = Occupancy::within_share(&record, 1, 1, 0) {
                        break place;
                    }
                    wait_for_room(&record, || !record.load().is_full(record.share())).await;
                };
                tokio::task::yield_now().await;
                drop(place);
            }
        });
    }
    let all = tokio::time::timeout(Duration::from_secs(60), tasks.join_all()).await;
    assert!(all.is_ok(), "somebody was not woken");
    assert_eq!((record.load().in_flight(), record.load().bytes()), (0, 0));
}
