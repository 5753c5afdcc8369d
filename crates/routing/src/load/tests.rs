//! What the load of a broker promises.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Load, Occupancy, halved};
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
    let one = Occupancy::new(&record, 100);
    let other = Occupancy::new(&record, 20);
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
    assert!(load.try_enter(10_000, &share).is_some());
    assert!(load.try_enter(1, &share).is_none(), "bytes used up");
    assert_eq!((load.in_flight(), load.bytes()), (1, 10_000));
    load.leave(10_000);
    assert!(load.try_enter(1, &share).is_some());
    assert!(load.try_enter(1, &share).is_some());
    assert!(load.is_full(&share));
    assert!(load.try_enter(1, &share).is_none(), "half of four");
    share.set(&RoutingOptions::default().with_broker_share(1.0));
    assert!(load.try_enter(1, &share).is_some());
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
    assert!(load.enter(1));
    load.began(500 * MILLIS);
    assert_eq!(load.latency(550 * MILLIS), 50 * MILLIS);
    assert_eq!(load.cost(550 * MILLIS), 100 * MILLIS);
    load.answered(Some(Duration::from_millis(50)), 550 * MILLIS);
    load.leave(1);
    assert!(load.latency(550 * MILLIS) < 50 * MILLIS);
}
