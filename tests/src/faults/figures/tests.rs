//! Figures of loads whose figures are known.

use super::*;

const RATE: f64 = 200.0;
const BUDGET: Duration = Duration::from_secs(3);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One attempt at a broker that took so long and was acknowledged, or failed.
fn one(begun: u64, broker: &str, took: u64, failed: bool) -> Observed {
    let (begun, ended) = (ms(begun), ms(begun + took));
    Observed {
        key: None,
        begun,
        ended,
        outcome: if failed {
            Err(Delivery::Unknown)
        } else {
            Ok((broker.to_owned(), 0))
        },
        tries: vec![Try {
            broker: broker.to_owned(),
            begun,
            ended,
            failed,
        }],
    }
}

/// Messages every 5 ms, alternately at `a` and `b`, from one time to another.
fn steady(from: u64, to: u64) -> Vec<Observed> {
    let times = (from..to).step_by(5);
    times
        .map(|at| one(at, if at % 10 == 0 { "a" } else { "b" }, 1, false))
        .collect()
}

fn window(begun: u64, back: u64, end: u64) -> Window {
    Window {
        broker: Some("a".to_owned()),
        begun: ms(begun),
        lifted: ms(back),
        back: ms(back),
        suspected: None,
        end: ms(end),
    }
}

#[test]
fn a_calm_load_has_no_dip_and_nothing_to_avoid() {
    let figures = Figures::of(
        &steady(0, 10_000),
        &window(5_000, 6_000, 10_000),
        RATE,
        BUDGET,
    );
    assert_eq!((figures.acked, figures.all_failed()), (2000, 0));
    assert_eq!((figures.dip, figures.longest), (Duration::ZERO, ms(1)));
    assert_eq!((figures.avoided, figures.late), (None, None));
    assert_eq!(
        figures.recovered,
        Some(ms(1)),
        "at its first acknowledgement"
    );
}

#[test]
fn avoidance_counts_from_the_first_failed_attempt_to_the_last_crowd_and_probes_apart() {
    let mut sent = steady(0, 5_000);
    // Fails first at 5.1 s; goes on in crowds until 5.39 s.
    sent.extend((5_000..5_400).step_by(10).map(|at| one(at, "a", 100, true)));
    sent.push(one(7_000, "a", 100, true));
    let figures = Figures::of(&sent, &window(5_000, 9_000, 10_000), RATE, BUDGET);
    assert_eq!(figures.avoided, Some(ms(290)));
    assert_eq!((figures.tried_later, figures.failed_tries), (1, 41));
}

#[test]
fn the_producer_s_own_suspicion_counts_as_a_sign() {
    let mut sent = steady(0, 5_000);
    sent.extend(
        (5_000..5_400)
            .step_by(10)
            .map(|at| one(at, "a", 3_000, true)),
    );
    let mut window = window(5_000, 9_000, 10_000);
    window.suspected = Some(ms(5_200));
    let figures = Figures::of(&sent, &window, RATE, BUDGET);
    assert_eq!(figures.avoided, Some(ms(190)));
}

#[test]
fn a_broker_that_answers_before_it_is_seen_to_be_back_is_no_longer_bad() {
    let mut sent = steady(0, 5_000);
    sent.push(one(5_000, "a", 100, true));
    sent.extend(steady(8_500, 10_000));
    let mut window = window(5_000, 9_000, 10_000);
    window.lifted = ms(8_400);
    let figures = Figures::of(&sent, &window, RATE, BUDGET);
    assert_eq!((figures.avoided, figures.tried_later), (Some(ms(0)), 0));
}

#[test]
fn the_dip_is_the_longest_time_under_half_the_rate() {
    let mut sent = steady(0, 5_000);
    sent.extend(steady(6_500, 10_000));
    let figures = Figures::of(&sent, &window(5_000, 6_000, 10_000), RATE, BUDGET);
    assert_eq!(figures.dip, ms(1_500));
}

#[test]
fn recovery_counts_from_the_return_to_the_first_half_second_with_the_broker_s_share() {
    let mut sent = steady(0, 5_000);
    sent.extend((5_000..8_000).step_by(5).map(|at| one(at, "b", 1, false)));
    sent.push(one(7_200, "a", 1, false));
    sent.extend(steady(8_000, 10_000));
    let figures = Figures::of(&sent, &window(5_000, 7_000, 10_000), RATE, BUDGET);
    assert_eq!(figures.first_ack, Some(ms(201)));
    assert_eq!(
        figures.recovered,
        Some(ms(900)),
        "four of five bins are full"
    );
}

#[test]
fn lateness_is_that_of_failed_sends_beyond_the_deadline() {
    let mut sent: Vec<_> = (0..99).map(|at| one(at, "a", 3_010, true)).collect();
    sent.push(one(99, "a", 3_200, true));
    sent.push(one(100, "a", 2_000, true));
    let figures = Figures::of(&sent, &window(0, 5_000, 10_000), RATE, BUDGET);
    assert_eq!(figures.late, Some((ms(10), ms(200))));
    assert_eq!(
        (figures.early, figures.failed),
        (Some(ms(1_000)), [0, 0, 101])
    );
}

#[test]
fn a_key_in_two_queues_has_moved_and_other_keys_are_judged_apart() {
    let keyed = |key: u32, mut one: Observed| {
        one.key = Some(key);
        one
    };
    let sent = [
        keyed(1, one(3_000, "a", 1, false)),
        keyed(1, one(3_100, "b", 1, false)),
        keyed(2, one(3_000, "b", 7, false)),
        keyed(2, one(3_100, "b", 5, true)),
        keyed(3, one(3_100, "a", 900, true)),
    ];
    let figures = Figures::of(&sent, &window(2_000, 4_000, 5_000), RATE, BUDGET);
    let keys = figures.keyed.expect("there are keys");
    assert_eq!((keys.moved, keys.others_failed), (1, 2));
    assert_eq!(keys.others_longest, ms(900));
}
