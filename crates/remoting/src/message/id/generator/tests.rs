//! Tests of the id generator: layout against Java, uniqueness under a clock that misbehaves.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::tz::{self, TimeZone};

use super::{IdTail, MessageIdGenerator, Parts, host_address};
use crate::message::clock::WallClock;

struct ManualClock(AtomicU64);

impl WallClock for ManualClock {
    fn epoch_millis(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn clock(millis: u64) -> Arc<ManualClock> {
    Arc::new(ManualClock(AtomicU64::new(millis)))
}

fn generator(
    ip: &str,
    counter: u16,
    zone: TimeZone,
    clock: &Arc<ManualClock>,
) -> MessageIdGenerator {
    MessageIdGenerator::with_parts(Parts {
        ip: ip.parse().unwrap(),
        process_id: 3712,
        instance: 0x18B4_AAC2,
        counter,
        zone,
        clock: Arc::<ManualClock>::clone(clock),
    })
}

fn millis(time: &str) -> u64 {
    let time: jiff::Timestamp = time.parse().unwrap();
    time.as_millisecond().try_into().unwrap()
}

#[test]
fn ids_have_javas_layout() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/message_id.json"
    );
    let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let month = millis("2026-11-01T00:00:00Z");
    let mut checked = 0;
    for entry in vectors["entries"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let inputs = &entry["inputs"];
        let (Some(since_month), Some(counter)) = (
            inputs["msSinceMonthStart"].as_i64(),
            inputs["counter"].as_i64(),
        ) else {
            continue;
        };
        checked += 1;
        // A time before the month cannot occur here: the tail alone shows that it would clamp to 0.
        if since_month < 0 {
            let tail = IdTail {
                instance: 0x18B4_AAC2,
                elapsed: 0,
                counter: 0,
            };
            let id = entry["id"].as_str().unwrap();
            assert!(id.as_bytes().ends_with(&tail.digits()), "{name}");
            continue;
        }
        // November has 30 days; the vector with 31 needs a month that long.
        let month = if since_month > 2_592_000_000 {
            millis("2026-12-01T00:00:00Z")
        } else {
            month
        };
        let now = month + u64::try_from(since_month).unwrap();
        let before = (counter - 1) as u16;
        let generator = generator(
            inputs["ip"].as_str().unwrap(),
            before,
            TimeZone::UTC,
            &clock(now),
        );
        assert_eq!(
            generator.next_id().as_str(),
            entry["id"].as_str().unwrap(),
            "{name}"
        );
    }
    assert_eq!(checked, 12);
}

#[test]
fn more_than_65536_ids_of_one_millisecond_are_all_different() {
    let clock = clock(millis("2026-11-22T10:00:00Z"));
    let generator = generator("127.0.0.1", 65_000, TimeZone::UTC, &clock);
    let ids: HashSet<_> = (0..200_000).map(|_| generator.next_id()).collect();
    assert_eq!(ids.len(), 200_000);
}

#[test]
fn a_clock_set_back_repeats_nothing() {
    let clock = clock(millis("2026-11-22T10:00:00Z"));
    let generator = generator("127.0.0.1", 0, TimeZone::UTC, &clock);
    let mut ids = HashSet::new();
    for step in 0..20_000_u64 {
        // Two steps forward, one far back.
        let back = if step % 3 == 2 { 500_000 } else { 0 };
        clock.0.store(
            millis("2026-11-22T10:00:00Z") + step - back,
            Ordering::Relaxed,
        );
        assert!(ids.insert(generator.next_id()));
    }
}

#[test]
fn threads_never_get_the_same_id() {
    let generator = MessageIdGenerator::new();
    let ids: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..50_000).map(|_| generator.next_id()).collect::<Vec<_>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect()
    });
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 200_000);
}

#[test]
fn the_month_begins_at_local_midnight_and_moves_on() {
    let west = TimeZone::fixed(tz::offset(-8));
    let clock = clock(millis("2026-12-01T07:59:59.999Z"));
    let generator = generator("127.0.0.1", 0, west, &clock);
    let last = generator.next_id();
    // Still November in the west: 30 days less one millisecond.
    let elapsed = |id: &str| u32::from_str_radix(&id[20..28], 16).unwrap();
    assert_eq!(elapsed(last.as_str()), 30 * 86_400_000_u64 as u32 - 1);
    clock.0.fetch_add(1, Ordering::Relaxed);
    let first = generator.next_id();
    assert_eq!(elapsed(first.as_str()), 0);
    // The random bytes grow with the month, so that ids of two months cannot meet.
    assert_eq!(&last.as_str()[12..20], "18B4AAC2");
    assert_eq!(&first.as_str()[12..20], "18B4AAC3");
}

#[test]
fn ids_of_two_months_at_the_same_moment_of_the_month_differ() {
    let clock = clock(millis("2026-10-05T00:00:00Z"));
    let generator = generator("127.0.0.1", 0, TimeZone::UTC, &clock);
    let first = generator.next_id();
    for _ in 0..65_535 {
        generator.next_id();
    }
    clock
        .0
        .store(millis("2026-11-05T00:00:00Z"), Ordering::Relaxed);
    let ids: HashSet<_> = (0..65_536).map(|_| generator.next_id()).collect();
    assert!(!ids.contains(&first));
}

#[test]
fn extreme_clocks_do_no_harm() {
    for now in [0, 1, u64::MAX, u64::MAX >> 16, 253_402_300_800_000] {
        let clock = clock(now);
        let generator = generator("127.0.0.1", u16::MAX, TimeZone::UTC, &clock);
        let (a, b) = (generator.next_id(), generator.next_id());
        assert_ne!(a, b, "{now}");
        assert_eq!(a.as_str().len(), 32);
    }
}

#[test]
fn the_host_address_is_found_without_sending() {
    assert!(!host_address().is_unspecified());
    let id = MessageIdGenerator::shared().next_id();
    let digits = match host_address() {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 56,
    };
    assert_eq!(id.as_str().len(), digits);
}
