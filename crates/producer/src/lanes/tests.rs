//! Turns in order of arrival, stops, and nothing kept of empty lanes.

use std::sync::atomic::AtomicUsize;
use std::task::Wake;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn lanes() -> Lanes {
    Lanes::new(Ordered::Key, OrderedOnUnknown::Stop)
}

fn key(key: &str) -> Lane {
    Lane::of_key("orders", key)
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[tokio::test(start_paused = true)]
async fn one_lane_waits_and_another_does_not() {
    let lanes = lanes();
    let first = lanes.join(key("a"), far()).await.unwrap();
    let other = lanes.join(key("b"), far()).await.unwrap();
    let soon = Instant::now() + Duration::from_secs(1);
    let second = lanes.join(key("a"), soon).await;
    assert_eq!(second.unwrap_err(), Barred::Deadline);
    assert_eq!(Instant::now(), soon);
    drop((first, other));
    assert_eq!(lanes.counts(), (0, 0), "nothing is kept of an empty lane");
}

#[tokio::test(start_paused = true)]
async fn a_doubt_stops_the_lane_for_those_who_wait_and_come_until_it_is_resumed() {
    let lanes = lanes();
    let first = lanes.join(key("a"), far()).await.unwrap();
    let waiting = lanes.join(key("a"), far());
    first.set_doubt(true);
    drop(first);
    assert_eq!(waiting.await.unwrap_err(), Barred::Stopped);
    let late = lanes.join(key("a"), far()).await;
    assert_eq!(late.unwrap_err(), Barred::Stopped);
    assert_eq!(lanes.stopped(), [key("a")]);
    assert!(lanes.join(key("b"), far()).await.is_ok());
    assert!(lanes.resume(&key("a")) && !lanes.resume(&key("a")));
    assert!(lanes.join(key("a"), far()).await.is_ok());
    assert_eq!(lanes.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_doubt_stops_nothing_if_the_lane_is_to_go_on() {
    let lanes = Lanes::new(Ordered::Key, OrderedOnUnknown::Continue);
    let first = lanes.join(key("a"), far()).await.unwrap();
    first.set_doubt(true);
    let waiting = lanes.join(key("a"), far());
    drop(first);
    assert!(waiting.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn closing_refuses_those_who_wait_and_come() {
    let lanes = lanes();
    let first = lanes.join(key("a"), far()).await.unwrap();
    let waiting = lanes.join(key("a"), far());
    lanes.close();
    assert_eq!(waiting.await.unwrap_err(), Barred::Closed);
    let late = lanes.join(key("b"), far()).await;
    assert_eq!(late.unwrap_err(), Barred::Closed);
    drop(first);
    assert_eq!(lanes.counts(), (0, 0));
}

#[test]
fn of_too_many_stopped_lanes_the_first_goes_on() {
    let mut table = Table::new(2);
    for (name, forgotten) in [("a", None), ("b", None), ("c", Some(key("a")))] {
        let ticket = table.join(&key(name));
        let left = table.leave(&key(name), ticket, true);
        assert_eq!(left.forgotten, forgotten);
    }
    assert_eq!(table.counts(), (2, 2));
    let ticket = table.join(&key("a"));
    assert_eq!(table.look(&key("a"), ticket, Waker::noop()), Place::Turn);
}

/// Counts warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn beyond_the_bound_of_stopped_lanes_the_first_go_on_with_a_warning_each() {
    const KEYS: usize = MAX_STOPPED + MAX_STOPPED / 8;
    let lanes = lanes();
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), || {
        for name in 0..KEYS {
            lanes
                .try_join(key(&name.to_string()))
                .unwrap()
                .set_doubt(true);
        }
    });
    let (used, stopped) = lanes.counts();
    assert_eq!(used, stopped);
    // A part of them may be full a little before all are.
    assert!(
        (MAX_STOPPED * 15 / 16..=MAX_STOPPED).contains(&stopped),
        "{stopped}"
    );
    assert_eq!(warnings.0.load(Relaxed), KEYS - stopped);
    assert!(lanes.try_join(key("0")).is_ok(), "it goes on");
    let last = key(&(KEYS - 1).to_string());
    assert_eq!(lanes.try_join(last.clone()).unwrap_err(), Barred::Stopped);
    assert!(lanes.resume(&last));
    assert_eq!(lanes.counts().1, stopped - 1);
}

#[test]
fn a_lane_does_not_show_its_key() {
    let lane = key("card-4711");
    assert!(!format!("{lane} {lane:?}").contains("4711"));
    assert_eq!((lane.topic(), lane.key()), ("orders", Some("card-4711")));
}

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Join {
        lane: u8,
    },
    /// Somebody leaves, with or without a doubt.
    Leave {
        who: usize,
        stop: bool,
    },
    Resume {
        lane: u8,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u8..2).prop_map(|lane| Step::Join { lane }),
        4 => (0usize..12, prop::bool::weighted(0.2)).prop_map(|(who, stop)| Step::Leave { who, stop }),
        1 => (0u8..2).prop_map(|lane| Step::Resume { lane }),
    ];
    proptest::collection::vec(step, 0..100)
}

proptest! {
    /// Against the plainest model there is: a list per lane.
    #[test]
    fn turns_come_in_order_of_arrival_and_nobody_is_forgotten(steps in steps()) {
        let mut table = Table::new(10);
        let names = [key("a"), key("b")];
        // Lane, ticket, bell and the place last seen.
        let mut inside: Vec<(usize, u64, Arc<Bell>, Place)> = Vec::new();
        let mut stopped = [false; 2];
        for step in steps {
            match step {
                Step::Join { lane } => {
                    let lane = usize::from(lane);
                    let ticket = table.join(&names[lane]);
                    let bell = Arc::new(Bell::default());
                    let waker = Waker::from(Arc::clone(&bell));
                    let place = table.look(&names[lane], ticket, &waker);
                    if stopped[lane] {
                        prop_assert_eq!(place, Place::Stopped);
                    } else {
                        let first = inside.iter().all(|(other, ..)| *other != lane);
                        prop_assert_eq!(place, if first { Place::Turn } else { Place::Waiting });
                        inside.push((lane, ticket, bell, place));
                    }
                }
                Step::Leave { who, stop } if who < inside.len() => {
                    let (lane, ticket, _, place) = inside.remove(who);
                    let left = table.leave(&names[lane], ticket, stop);
                    left.wake.into_iter().for_each(Waker::wake);
                    stopped[lane] |= stop && place == Place::Turn;
                }
                Step::Leave { .. } => {}
                Step::Resume { lane } => {
                    let lane = usize::from(lane);
                    prop_assert_eq!(table.resume(&names[lane]), stopped[lane]);
                    stopped[lane] = false;
                }
            }
            // Whoever has a new place was told, and it is the right one.
            let mut seen = [false; 2];
            let mut out = Vec::new();
            for (at, (lane, ticket, bell, place)) in inside.iter_mut().enumerate() {
                let now = table.look(&names[*lane], *ticket, &Waker::from(Arc::clone(bell)));
                let expected = match (stopped[*lane], seen[*lane]) {
                    (true, _) => Place::Stopped,
                    (false, false) => Place::Turn,
                    (false, true) => Place::Waiting,
                };
                seen[*lane] = true;
                prop_assert_eq!(now, expected);
                if now != *place {
                    prop_assert!(bell.0.swap(0, Relaxed) > 0, "{:?} was not told of {:?}", place, now);
                    *place = now;
                }
                if now == Place::Stopped {
                    out.push(at);
                }
            }
            for at in out.into_iter().rev() {
                let (lane, ticket, ..) = inside.remove(at);
                prop_assert!(table.leave(&names[lane], ticket, true).wake.is_empty());
            }
            let used = [0, 1].map(|lane| stopped[lane] || inside.iter().any(|(at, ..)| *at == lane));
            prop_assert_eq!(table.counts().0, used.into_iter().filter(|used| *used).count());
        }
    }
}
