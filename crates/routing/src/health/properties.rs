//! Health against a model, under any history of reports, connections, operators and time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use rocketmq_producer_remoting::{Connectivity, SuspectCause};
use tokio::time::Instant;

use super::{
    BrokerCondition, BrokerHealth, BrokerRegistry, BrokerState, HealthEventsError, Incident,
    IncidentId, Verdict,
};
use crate::options::HealthOptions;

#[derive(Clone, Debug)]
enum Step {
    Claim,
    Connectivity(Connectivity),
    Failure(Option<usize>),
    Recover,
    Resume,
    Success(Option<Duration>),
    Suspend,
    Wait(Duration),
}

fn connectivity() -> impl Strategy<Value = Connectivity> {
    prop_oneof![
        1 => Just(Connectivity::Idle),
        3 => Just(Connectivity::Live),
        1 => Just(Connectivity::Suspect(SuspectCause::DialFailed)),
        1 => Just(Connectivity::Suspect(SuspectCause::Silent)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Claim),
        2 => connectivity().prop_map(Step::Connectivity),
        4 => Just(Step::Failure(None)),
        2 => (0_usize..6).prop_map(|id| Step::Failure(Some(id))),
        1 => Just(Step::Recover),
        1 => Just(Step::Resume),
        6 => (0_u64..5000).prop_map(|ms| Step::Success(Some(Duration::from_millis(ms)))),
        1 => Just(Step::Success(None)),
        1 => Just(Step::Suspend),
        3 => (0_u64..4000).prop_map(|ms| Step::Wait(Duration::from_millis(ms))),
    ]
}

/// The rules, told as simply as they can be: the whole history is kept.
struct Model {
    state: BrokerState,
    connectivity: Connectivity,
    outcomes: Vec<(bool, Option<Duration>)>,
    failure_run: u32,
    success_run: u32,
    incidents: Vec<usize>,
    /// The last probe let through with nothing heard since, and what it may follow at.
    last_probe: Option<Instant>,
}

impl Model {
    fn new() -> Self {
        Self {
            state: BrokerState::Healthy,
            connectivity: Connectivity::Idle,
            outcomes: Vec::new(),
            failure_run: 0,
            success_run: 0,
            incidents: Vec::new(),
            last_probe: None,
        }
    }

    fn succeed(&mut self, latency: Option<Duration>) {
        self.outcomes.push((true, latency));
        self.failure_run = 0;
        self.success_run += 1;
        self.last_probe = None;
        if self.state != BrokerState::Suspended && self.success_run >= 5 {
            self.state = BrokerState::Healthy;
        }
    }

    fn fail(&mut self, incident: Option<usize>) -> bool {
        if let Some(id) = incident {
            if self.incidents.contains(&id) {
                return false;
            }
            self.incidents.push(id);
        }
        self.outcomes.push((false, None));
        self.success_run = 0;
        self.failure_run += 1;
        self.state = match (self.state, self.failure_run) {
            (BrokerState::Healthy | BrokerState::Degraded, 5..) => BrokerState::Unhealthy,
            (BrokerState::Healthy, 3..) => BrokerState::Degraded,
            (state, _) => state,
        };
        true
    }

    fn recover(&mut self) {
        (self.failure_run, self.success_run) = (0, 0);
        self.state = BrokerState::Healthy;
        self.last_probe = None;
    }

    fn window(&self) -> &[(bool, Option<Duration>)] {
        &self.outcomes[self.outcomes.len().saturating_sub(100)..]
    }

    fn success_rate(&self) -> f64 {
        let window = self.window();
        let successes = window.iter().filter(|(success, _)| *success).count();
        if window.is_empty() {
            1.0
        } else {
            successes as f64 / window.len() as f64
        }
    }

    fn p99(&self) -> Option<Duration> {
        let mut latencies: Vec<_> = self.window().iter().filter_map(|(_, l)| *l).collect();
        latencies.sort();
        let above = latencies.len() / 100;
        latencies
            .len()
            .checked_sub(above + 1)
            .map(|place| latencies[place])
    }

    fn verdict(&self) -> Verdict {
        match (self.state, self.connectivity.is_suspect()) {
            (BrokerState::Suspended, _) => Verdict::Never,
            (BrokerState::Unhealthy, true) => Verdict::AvoidUnhealthySuspect,
            (BrokerState::Unhealthy, false) => Verdict::AvoidUnhealthy,
            (_, true) => Verdict::AvoidSuspect,
            (BrokerState::Degraded, false) if self.success_rate() <= 0.8 => Verdict::AvoidDegraded,
            (_, false) => Verdict::Use,
        }
    }
}

/// Does the step to both and compares what they answer.
fn apply(
    step: &Step,
    health: &BrokerHealth,
    model: &mut Model,
    causes: &[Arc<usize>],
    now: &mut Instant,
) -> Result<(), TestCaseError> {
    let options = HealthOptions::default();
    match step {
        Step::Claim => {
            let verdict = model.verdict();
            let allowed = matches!(verdict, Verdict::AvoidDegraded | Verdict::AvoidUnhealthy);
            if health.claim_probe(*now) {
                prop_assert!(allowed, "a probe with {:?}", verdict);
                if let Some(last) = model.last_probe {
                    let waited = now.duration_since(last);
                    prop_assert!(waited >= options.probe_wait.mul_f64(0.75), "{:?}", waited);
                }
                model.last_probe = Some(*now);
            }
        }
        Step::Connectivity(connectivity) => {
            let news = *connectivity != model.connectivity;
            prop_assert_eq!(health.connectivity_changed(*connectivity, *now), news);
            if model.connectivity.is_suspect() && !connectivity.is_suspect() {
                // A sign of life: the next probe need not wait.
                model.last_probe = None;
            }
            model.connectivity = *connectivity;
        }
        Step::Failure(shared) => {
            let incident = shared.map_or(Incident::Single, |index| {
                Incident::Shared(IncidentId::of(&causes[index]))
            });
            let was_out = model.verdict().may_be_probed();
            let counted = health.report_failure(&incident, "x", *now);
            prop_assert_eq!(counted, model.fail(*shared));
            if !was_out && model.verdict().may_be_probed() {
                model.last_probe = None;
            }
        }
        Step::Recover => {
            health.force_recovery(*now);
            model.recover();
        }
        Step::Resume => {
            let suspended = model.state == BrokerState::Suspended;
            prop_assert_eq!(health.resume(*now), suspended);
            if suspended {
                model.recover();
            }
        }
        Step::Success(latency) => {
            health.report_success(*latency, *now);
            model.succeed(*latency);
        }
        Step::Suspend => {
            let suspended = model.state == BrokerState::Suspended;
            prop_assert_eq!(health.suspend(*now), !suspended);
            model.state = BrokerState::Suspended;
        }
        Step::Wait(wait) => *now += *wait,
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_history_ends_where_the_rules_say(
        steps in prop::collection::vec(step(), 0..300),
        seed: u64,
    ) {
        let mut now = Instant::now();
        let options = HealthOptions::default();
        let health = BrokerHealth::new("a", "h:1", options.clone(), now, seed);
        let causes: Vec<Arc<usize>> = (0..6).map(Arc::new).collect();
        let mut model = Model::new();
        for step in &steps {
            apply(step, &health, &mut model, &causes, &mut now)?;
            prop_assert_eq!(health.verdict(), model.verdict(), "after {:?}", step);
            prop_assert_eq!(health.lock().verdict(), model.verdict());
            let info = health.info();
            prop_assert_eq!(info.state, model.state);
            prop_assert_eq!(info.connectivity, model.connectivity);
            prop_assert_eq!(info.consecutive_failures, model.failure_run);
            prop_assert_eq!(info.consecutive_successes, model.success_run);
            prop_assert_eq!(health.failure_run(), model.failure_run);
            prop_assert!((info.success_rate - model.success_rate()).abs() < 1e-9);
            prop_assert_eq!(info.latency_p99, model.p99());
            prop_assert_eq!(info.next_probe.is_some(), model.verdict().may_be_probed());
            if let Some(probe) = info.next_probe {
                // Traffic never stops for good: a probe is due within the bound.
                prop_assert!(probe <= now + options.probe_wait_max);
            }
        }
        // Whatever happened, five answers on a live connection make it usable again.
        if model.state != BrokerState::Suspended {
            health.connectivity_changed(Connectivity::Live, now);
            for _ in 0..5 {
                health.report_success(None, now);
            }
            prop_assert_eq!(health.state(), BrokerState::Healthy);
            prop_assert!(health.is_available());
        }
    }

    #[test]
    fn waits_between_failing_probes_grow_and_are_bounded(seed: u64, late in 0_u64..200) {
        let options = HealthOptions::default();
        let mut now = Instant::now();
        let health = BrokerHealth::new("a", "h:1", options.clone(), now, seed);
        for _ in 0..5 {
            health.report_failure(&Incident::Single, "x", now);
        }
        for nth in 0..10 {
            let due = health.info().next_probe.unwrap();
            let nominal = (options.probe_wait * (1 << nth)).min(options.probe_wait_max);
            let wait = due.duration_since(now);
            prop_assert!(wait <= nominal && wait >= nominal.mul_f64(0.749), "{nth}: {wait:?}");
            prop_assert!(!health.claim_probe(due - Duration::from_millis(1)));
            now = due + Duration::from_millis(late);
            prop_assert!(health.claim_probe(now));
            prop_assert!(!health.claim_probe(now), "one at a time");
            health.report_failure(&Incident::Single, "x", now);
        }
    }

    #[test]
    fn what_is_told_about_all_brokers_is_what_they_are(
        steps in prop::collection::vec((0_usize..3, step()), 0..120),
    ) {
        let mut now = Instant::now();
        let registry = BrokerRegistry::new(HealthOptions::default());
        let mut events = registry.events();
        let watch = registry.watch();
        // Two names share an address, and one has an address of its own.
        let places = [("a", "h:1"), ("b", "h:1"), ("b", "h:2")];
        let records = places.map(|(name, address)| registry.record(&name.into(), address, now));
        let causes: Vec<Arc<usize>> = (0..6).map(Arc::new).collect();
        let mut told: HashMap<(Arc<str>, Arc<str>), BrokerCondition> = HashMap::new();
        for (place, step) in steps {
            let (name, address) = places[place];
            match step {
                Step::Connectivity(connectivity) => {
                    registry.connectivity_changed(address, connectivity, now);
                }
                Step::Recover => prop_assert!(registry.force_recovery(name, now)),
                Step::Resume => {
                    registry.resume(name, now);
                }
                Step::Suspend => prop_assert!(registry.suspend(name, now)),
                Step::Failure(shared) => {
                    let incident = shared.map_or(Incident::Single, |index| {
                        Incident::Shared(IncidentId::of(&causes[index]))
                    });
                    records[place].report_failure(&incident, "x", now);
                }
                Step::Success(latency) => records[place].report_success(latency, now),
                Step::Claim => {
                    records[place].claim_probe(now);
                }
                Step::Wait(wait) => now += wait,
            }
            let impaired = records.iter().filter(|record| !record.is_available()).count();
            prop_assert_eq!(registry.impaired(), impaired);
            prop_assert_eq!(registry.all_usable(), impaired == 0);
            while let Some(event) = events.try_next().unwrap() {
                let key = (event.broker_name, event.address);
                let before = told.insert(key, event.to).unwrap_or(BrokerCondition {
                    state: BrokerState::Healthy,
                    connectivity: Connectivity::Idle,
                });
                prop_assert_eq!(before, event.from, "each begins where the last ended");
                prop_assert_ne!(event.from, event.to);
            }
            let watched = Arc::clone(&watch.borrow());
            prop_assert_eq!(watched.len(), 3);
            for (record, shown) in registry.all().iter().zip(watched.iter()) {
                let info = record.info();
                prop_assert_eq!((&info.broker_name, info.state), (&shown.broker_name, shown.state));
                prop_assert_eq!(info.connectivity, shown.connectivity);
                prop_assert_eq!(info.is_available, shown.is_available);
                let key = (info.broker_name, info.address);
                if let Some(last) = told.get(&key) {
                    prop_assert_eq!((last.state, last.connectivity), (info.state, info.connectivity));
                }
            }
        }
    }
}

#[test]
fn a_reader_of_events_that_falls_behind_is_told_how_many_it_missed() {
    let now = Instant::now();
    let registry = BrokerRegistry::new(HealthOptions::default());
    let mut events = registry.events();
    let record = registry.record(&"a".into(), "h:1", now);
    for _ in 0..150 {
        record.suspend(now);
        record.resume(now);
    }
    assert_eq!(events.try_next(), Err(HealthEventsError::Lagged(300 - 256)));
    let mut seen = 0;
    while let Some(event) = events.try_next().unwrap() {
        assert_ne!(event.from, event.to);
        seen += 1;
    }
    assert_eq!(seen, 256);
    drop((record, registry));
    assert_eq!(events.try_next(), Err(HealthEventsError::Closed));
}
