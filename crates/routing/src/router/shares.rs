//! Who gets how much: brokers of different speed in a simulation under virtual time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tokio::time::Instant;

use super::{MessageRouter, RouteRequest, Routing};
use crate::{
    load::Occupancy,
    mapping::TopicEntry,
    options::RoutingOptions,
    strategy::RoutingStrategy,
    test_support::{FakeNameServer, Listed, mapping, route_data},
};

const A: Listed<'_> = ("a", 6, 4, Some("a:1"));
const B: Listed<'_> = ("b", 6, 4, Some("b:1"));
const C: Listed<'_> = ("c", 6, 4, Some("c:1"));

const USUAL: Duration = Duration::from_micros(300);

/// Sends under way, and how long each broker takes.
struct Simulation {
    router: MessageRouter,
    entry: Arc<TopicEntry>,
    random: SmallRng,
    now: Instant,
    /// By the time of their answers; nothing for one that never comes.
    answers: BinaryHeap<Reverse<(Instant, usize)>>,
    under_way: Vec<Option<(Routing, Occupancy, Instant)>>,
    sent: BTreeMap<String, u64>,
}

impl Simulation {
    fn new(strategy: RoutingStrategy, brokers: &[Listed<'_>]) -> Self {
        let options = RoutingOptions::default().with_strategy(strategy);
        let mapping = mapping(&FakeNameServer::new(), options);
        mapping.update_route_info("T", route_data(brokers));
        Self {
            entry: mapping.cached("T").unwrap(),
            router: MessageRouter::new(mapping),
            random: SmallRng::seed_from_u64(7),
            now: Instant::now(),
            answers: BinaryHeap::new(),
            under_way: Vec::new(),
            sent: BTreeMap::new(),
        }
    }

    /// One send, whose answer takes as long as `delay` says for its broker.
    fn send(&mut self, delay: impl FnOnce(&str, &mut SmallRng) -> Option<Duration>) {
        let request = RouteRequest::new();
        let routing = self.router.route(&self.entry, &request, self.now).unwrap();
        *self.sent.entry(routing.queue().full_name()).or_default() += 1;
        let occupancy = routing.occupy(1, 256);
        if let Some(delay) = delay(routing.broker().name(), &mut self.random) {
            let id = self.under_way.len();
            self.answers.push(Reverse((self.now + delay, id)));
        }
        self.under_way.push(Some((routing, occupancy, self.now)));
    }

    /// Goes on to the next answer if there is one before `until`, else to there.
    async fn step(&mut self, until: Instant) -> bool {
        let next = self.answers.peek().map(|Reverse((at, _))| *at);
        let answered = next.is_some_and(|at| at <= until);
        let to = next.unwrap_or(until).min(until);
        tokio::time::advance(to.saturating_duration_since(self.now)).await;
        self.now = to;
        if answered {
            if let Some(Reverse((_, id))) = self.answers.pop() {
                let (routing, occupancy, began) = self.under_way[id].take().unwrap();
                let latency = Some(to.duration_since(began));
                self.router.report_routing_result(&routing, latency, to);
                drop(occupancy);
            }
        }
        answered
    }

    /// So many sends per second for a time.
    async fn at_rate(
        &mut self,
        per_second: u32,
        time: Duration,
        delay: impl Fn(&str, &mut SmallRng) -> Option<Duration>,
    ) {
        let end = self.now + time;
        while self.now < end {
            self.send(&delay);
            let next = self.now + Duration::from_secs(1) / per_second;
            while self.step(next).await {}
        }
    }

    /// So many sends under way at all times, until a total has been sent.
    async fn under_way(
        &mut self,
        at_once: usize,
        total: usize,
        delay: impl Fn(&str, &mut SmallRng) -> Option<Duration>,
    ) {
        for _ in 0..at_once {
            self.send(&delay);
        }
        for _ in at_once..total {
            let far = self.now + Duration::from_secs(1);
            assert!(self.step(far).await, "an answer is always under way");
            self.send(&delay);
        }
    }

    /// What part of all sends went to the broker; starts a new count.
    fn share_of(&mut self, broker: &str) -> f64 {
        let prefix = format!("T:{broker}:");
        let sent = std::mem::take(&mut self.sent);
        let all: u64 = sent.values().sum();
        let own: u64 = sent
            .iter()
            .filter(|(queue, _)| queue.starts_with(&prefix))
            .map(|(_, count)| count)
            .sum();
        own as f64 / all as f64
    }

    fn held_by(&self, broker: &str) -> usize {
        let records = self.router.broker_health_info(broker);
        records.iter().map(|info| info.in_flight).sum()
    }
}

/// An answer of ordinary jitter: mostly short, sometimes long.
fn jittered(random: &mut SmallRng) -> Duration {
    let unit: f64 = random.random_range(0.0001..1.0);
    USUAL.mul_f64(0.5 - unit.ln() / 2.0)
}

#[tokio::test(start_paused = true)]
async fn equal_brokers_keep_equal_shares() {
    for strategy in [RoutingStrategy::RoundRobin, RoutingStrategy::Random] {
        for at_once in [1, 64, 1024] {
            let mut simulation = Simulation::new(strategy, &[A, B]);
            simulation
                .under_way(at_once, 100_000, |_, random| Some(jittered(random)))
                .await;
            assert_eq!(simulation.sent.len(), 8);
            for (queue, count) in &simulation.sent {
                assert!(
                    (12_000..=13_000).contains(count),
                    "{strategy} {at_once}: {queue} {count}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stands_still_for_a_moment_does_not_upset_the_shares() {
    let mut simulation = Simulation::new(RoutingStrategy::RoundRobin, &[A, B]);
    let began = simulation.now;
    for _ in 0..20 {
        simulation
            .under_way(64, 5000, |_, random| Some(jittered(random)))
            .await;
        // Everybody's answers come late by the same.
        let still = Duration::from_millis(40);
        simulation
            .under_way(64, 64, |_, random| Some(still + jittered(random)))
            .await;
        while !simulation.answers.is_empty() {
            let far = simulation.now + Duration::from_secs(1);
            simulation.step(far).await;
        }
    }
    assert!(simulation.now > began);
    let all: u64 = simulation.sent.values().sum();
    for (queue, count) in &simulation.sent {
        let share = *count as f64 / all as f64;
        assert!((0.12..=0.13).contains(&share), "{queue} {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_broker_gets_little_and_its_share_back_soon_after() {
    for (brokers, equal) in [(&[A, B][..], 0.5), (&[A, B, C][..], 1.0 / 3.0)] {
        let mut simulation = Simulation::new(RoutingStrategy::RoundRobin, brokers);
        let second = Duration::from_secs(1);
        simulation
            .at_rate(2000, second, |_, random| Some(jittered(random)))
            .await;
        assert!(simulation.share_of("a") > equal * 0.95);
        simulation
            .at_rate(2000, 10 * second, |broker, random| {
                let late = if broker == "a" { 100 } else { 0 };
                Some(Duration::from_millis(late) + jittered(random))
            })
            .await;
        let delayed = simulation.share_of("a");
        assert!(delayed < equal / 3.0, "{delayed}");
        simulation
            .at_rate(2000, 4 * second, |_, random| Some(jittered(random)))
            .await;
        simulation.share_of("a");
        simulation
            .at_rate(2000, second, |_, random| Some(jittered(random)))
            .await;
        let after = simulation.share_of("a");
        assert!(after > equal * 0.8, "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_broker_collects_a_few_sends_before_anybody_suspects_it() {
    let mut simulation = Simulation::new(RoutingStrategy::RoundRobin, &[A, B]);
    let moment = Duration::from_millis(200);
    simulation
        .at_rate(2000, moment, |_, random| Some(jittered(random)))
        .await;
    simulation
        .at_rate(2000, moment, |broker, random| {
            (broker != "a").then(|| jittered(random))
        })
        .await;
    let held = simulation.held_by("a");
    assert!(held <= 10, "{held} of 400");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_broker_does_not_take_every_place_of_those_who_send_one_by_one() {
    for (at_once, most) in [(64, 46), (1024, 690)] {
        let mut simulation = Simulation::new(RoutingStrategy::RoundRobin, &[A, B]);
        simulation
            .under_way(at_once, 20_000, |_, random| Some(jittered(random)))
            .await;
        for _ in 0..20_000 {
            let far = simulation.now + Duration::from_secs(1);
            assert!(simulation.step(far).await, "b has something to answer");
            simulation.send(|broker, random| (broker != "a").then(|| jittered(random)));
        }
        let held = simulation.held_by("a");
        assert!(held <= most, "{held} of {at_once}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_least_strategies_prefer_the_broker_that_is_faster_or_freer() {
    for strategy in [RoutingStrategy::LeastLatency, RoutingStrategy::LeastLoad] {
        let mut simulation = Simulation::new(strategy, &[A, B]);
        let four_times = |broker: &str, random: &mut SmallRng| {
            let factor = if broker == "a" { 4 } else { 1 };
            Some(jittered(random) * factor)
        };
        simulation.under_way(16, 20_000, four_times).await;
        let share = simulation.share_of("a");
        assert!((0.01..0.35).contains(&share), "{strategy}: {share}");
        let mut equal = Simulation::new(strategy, &[A, B]);
        equal
            .under_way(16, 20_000, |_, random| Some(jittered(random)))
            .await;
        let share = equal.share_of("a");
        assert!((0.45..0.55).contains(&share), "{strategy}: {share}");
    }
}
