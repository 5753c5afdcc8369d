//! What health promises, whatever is reported.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{BrokerHealth, BrokerState, HealthCause, Incident, IncidentId, Verdict};
use crate::options::HealthOptions;

const LATENCY: Option<Duration> = Some(Duration::from_millis(2));

fn record(now: Instant) -> BrokerHealth {
    BrokerHealth::new("a", "h:1", HealthOptions::default(), now, 1)
}

fn fail(health: &BrokerHealth, times: usize, now: Instant) {
    for _ in 0..times {
        assert!(health.report_failure(&Incident::Single, "no answer", now));
    }
}

fn succeed(health: &BrokerHealth, times: usize, now: Instant) {
    for _ in 0..times {
        health.report_success(LATENCY, now);
    }
}

#[test]
fn a_broker_that_comes_and_goes_is_warned_of_once_in_ten_seconds() {
    let now = Instant::now();
    let health = record(now);
    let after = |seconds| now + Duration::from_secs(seconds);
    let claims = [0, 0, 1, 9, 10, 11, 25].map(|seconds| health.claim_warning(after(seconds)));
    assert_eq!(claims, [true, false, false, false, true, false, true]);
    assert!(record(now).claim_warning(now), "others have their own");
}

#[test]
fn three_failures_degrade_and_five_make_unhealthy() {
    let now = Instant::now();
    let health = record(now);
    for (failures, expected) in [
        (1, BrokerState::Healthy),
        (2, BrokerState::Healthy),
        (3, BrokerState::Degraded),
        (4, BrokerState::Degraded),
        (5, BrokerState::Unhealthy),
        (6, BrokerState::Unhealthy),
    ] {
        fail(&health, 1, now);
        assert_eq!(health.state(), expected, "after {failures}");
    }
    let info = health.info();
    assert_eq!(info.cause, HealthCause::Failures(5));
    assert_eq!(info.last_error.as_deref(), Some("no answer"));
    assert!(!info.is_available);
}

#[test]
fn a_success_zeroes_the_failure_run_and_a_failure_the_success_run() {
    let now = Instant::now();
    let health = record(now);
    fail(&health, 2, now);
    succeed(&health, 1, now);
    fail(&health, 2, now);
    assert_eq!(health.state(), BrokerState::Healthy);
    fail(&health, 3, now);
    assert_eq!(health.state(), BrokerState::Unhealthy);
    succeed(&health, 4, now);
    assert_eq!(health.state(), BrokerState::Unhealthy);
    fail(&health, 1, now);
    succeed(&health, 4, now);
    assert_eq!(health.state(), BrokerState::Unhealthy);
    succeed(&health, 1, now);
    assert_eq!(health.state(), BrokerState::Healthy);
    assert_eq!(health.info().cause, HealthCause::Successes(5));
}

#[test]
fn a_degraded_broker_is_used_only_with_a_success_rate_above_four_fifths() {
    let now = Instant::now();
    let health = record(now);
    succeed(&health, 100, now);
    fail(&health, 3, now);
    assert_eq!(health.state(), BrokerState::Degraded);
    assert!(health.is_available(), "97 of 100");

    let fresh = record(now);
    succeed(&fresh, 12, now);
    fail(&fresh, 3, now);
    assert!(!fresh.is_available(), "12 of 15 is not above 0.8");
    assert_eq!(fresh.verdict(), Verdict::AvoidDegraded);
}

#[test]
fn old_successes_do_not_hide_present_failures() {
    let now = Instant::now();
    let health = record(now);
    succeed(&health, 100_000, now);
    for _ in 0..25 {
        fail(&health, 2, now);
        succeed(&health, 1, now);
    }
    assert!(health.info().success_rate < 0.6);
    assert_eq!(health.info().window_len, 100);
}

#[test]
fn one_broken_connection_with_a_hundred_requests_counts_once() {
    let now = Instant::now();
    let health = record(now);
    let broken = Arc::new("connection 7");
    let counted = (0..100)
        .filter(|_| {
            let incident = Incident::Shared(IncidentId::of(&broken));
            health.report_failure(&incident, "reset", now)
        })
        .count();
    assert_eq!(counted, 1);
    assert_eq!(health.state(), BrokerState::Healthy);
    let info = health.info();
    assert_eq!((info.failure_count, info.coalesced_count), (1, 99));
    for connection in 8..12 {
        let incident = Incident::Shared(IncidentId::of(&Arc::new(connection)));
        assert!(health.report_failure(&incident, "reset", now));
    }
    assert_eq!(health.state(), BrokerState::Unhealthy);
}

#[test]
fn an_unhealthy_broker_recovers_through_probes_alone() {
    let mut now = Instant::now();
    let health = record(now);
    fail(&health, 5, now);
    assert!(!health.claim_probe(now), "not at once");
    now += Duration::from_millis(500);
    for _ in 0..4 {
        assert!(health.claim_probe(now));
        assert!(!health.claim_probe(now), "one at a time");
        health.report_success(LATENCY, now);
        assert_eq!(health.state(), BrokerState::Unhealthy);
    }
    assert!(health.claim_probe(now));
    health.report_success(LATENCY, now);
    assert_eq!(health.state(), BrokerState::Healthy);
    assert!(!health.claim_probe(now), "nothing to probe");
}

#[test]
fn a_probe_that_never_reports_delays_the_next_by_one_wait() {
    let mut now = Instant::now();
    let health = record(now);
    fail(&health, 5, now);
    now += Duration::from_millis(500);
    assert!(health.claim_probe(now));
    assert!(!health.claim_probe(now + Duration::from_millis(374)));
    assert!(health.claim_probe(now + Duration::from_millis(500)));
}

#[test]
fn force_recovery_keeps_the_totals() {
    let now = Instant::now();
    let health = record(now);
    fail(&health, 9, now);
    health.force_recovery(now);
    let info = health.info();
    assert_eq!(info.state, BrokerState::Healthy);
    assert_eq!((info.consecutive_failures, info.failure_count), (0, 9));
    fail(&health, 2, now);
    assert_eq!(health.state(), BrokerState::Healthy);
}

#[test]
fn a_long_error_is_cut_at_a_character() {
    let now = Instant::now();
    let health = record(now);
    health.report_failure(&Incident::Single, &"é".repeat(1000), now);
    let kept = health.info().last_error.unwrap();
    assert!(kept.len() <= 256 && kept.chars().all(|c| c == 'é'));
}
