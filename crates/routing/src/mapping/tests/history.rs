//! Any history of name server answers, against what must hold at all times.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use rocketmq_producer_remoting::Message;
use tokio::time::Instant;

use super::strict;
use crate::{
    mapping::{TopicBrokerMapping, TopicEntry},
    queue::MessageQueue,
    route::{QueueTarget, RouteInfo},
    test_support::{FakeNameServer, Listed, mapping},
};

const TOPICS: [&str; 3] = ["T0", "T1", "T2"];
const BROKERS: [(&str, &str); 3] = [("a", "a:1"), ("b", "b:1"), ("c", "c:1")];
const KEYS: [&str; 4] = ["order-1", "order-2", "user-7", "k"];
const RETENTION: Duration = Duration::from_secs(300);
/// Two rounds of polling: by then each answer has been asked for.
const SETTLED: Duration = Duration::from_secs(70);

/// Permission, queues, and whether there is a master; nothing for a broker not listed.
type Told = [Option<(i32, i32, bool)>; 3];

#[derive(Clone, Debug)]
enum Step {
    Tell(usize, Told),
    Forget(usize),
    Garble(usize),
    Down(bool),
    Delay(u64),
    Wait(u64),
    Send(usize),
    Force(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let broker = || {
        prop::option::weighted(
            0.8,
            (
                prop_oneof![6 => Just(6), 1 => Just(4)],
                0_i32..4,
                prop::bool::weighted(0.85),
            ),
        )
    };
    let topic = 0..TOPICS.len();
    let told = (broker(), broker(), broker()).prop_map(|(a, b, c)| [a, b, c]);
    let step = prop_oneof![
        5 => (topic.clone(), told).prop_map(|(topic, told)| Step::Tell(topic, told)),
        2 => topic.clone().prop_map(Step::Forget),
        1 => topic.clone().prop_map(Step::Garble),
        2 => any::<bool>().prop_map(Step::Down),
        1 => (0_u64..900).prop_map(Step::Delay),
        5 => (0_u64..120_000).prop_map(Step::Wait),
        3 => topic.clone().prop_map(Step::Send),
        2 => topic.prop_map(Step::Force),
    ];
    prop::collection::vec(step, 1..40)
}

/// What the name server says of one topic.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Known(Told),
    Unknown,
    Garbage,
}

fn listed(told: Told) -> Vec<Listed<'static>> {
    let entries = BROKERS.iter().zip(told);
    entries
        .filter_map(|((name, address), told)| {
            let (perm, queues, master) = told?;
            Some((*name, perm, queues, master.then_some(*address)))
        })
        .collect()
}

/// What was seen of a topic when it was last looked at.
struct Seen {
    entry: Arc<TopicEntry>,
    route: Arc<RouteInfo>,
    keys: Vec<Option<MessageQueue>>,
}

struct World {
    source: Arc<FakeNameServer>,
    mapping: TopicBrokerMapping,
    answers: [Answer; 3],
    down: bool,
    /// Since when each topic gets answers that count.
    answered: [Option<Instant>; 3],
    seen: [Option<Seen>; 3],
    begun: Instant,
    /// Questions that a step may have caused.
    caused: usize,
}

impl World {
    fn new() -> Self {
        let source = FakeNameServer::new();
        let mapping = mapping(&source, strict().with_route_retention(RETENTION));
        mapping.start_polling();
        Self {
            source,
            mapping,
            answers: [Answer::Unknown; 3],
            down: false,
            answered: [Some(Instant::now()); 3],
            seen: [None, None, None],
            begun: Instant::now(),
            caused: 0,
        }
    }

    fn say(&mut self, topic: usize, answer: Answer) {
        self.answers[topic] = answer;
        let name = TOPICS[topic];
        match answer {
            Answer::Known(told) => self.source.set(name, &listed(told)),
            Answer::Unknown => self.source.forget(name),
            Answer::Garbage => self.source.set_body(name, "<html>".to_owned()),
        }
        self.note_answered();
    }

    fn note_answered(&mut self) {
        for (since, answer) in self.answered.iter_mut().zip(self.answers) {
            let counts = !self.down && answer != Answer::Garbage;
            *since = counts.then(|| since.unwrap_or_else(Instant::now));
        }
    }

    async fn take(&mut self, step: Step) {
        let deadline = Instant::now() + Duration::from_secs(2);
        match step {
            Step::Tell(topic, told) => self.say(topic, Answer::Known(told)),
            Step::Forget(topic) => self.say(topic, Answer::Unknown),
            Step::Garble(topic) => self.say(topic, Answer::Garbage),
            Step::Down(down) => {
                self.down = down;
                self.source.set_down(down);
                self.note_answered();
            }
            Step::Delay(millis) => self.source.set_delay(Duration::from_millis(millis)),
            Step::Wait(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Step::Force(topic) => {
                self.caused += 1;
                let _ = self.mapping.force_refresh(TOPICS[topic], deadline).await;
            }
            Step::Send(topic) => {
                // The route was expired, or the send failed and hinted.
                self.caused += 2;
                if let Ok(entry) = self.mapping.topic(TOPICS[topic], deadline).await
                    && let Some(route) = entry.route()
                {
                    let now = Instant::now();
                    self.mapping.hint_refresh(&entry, route.generation(), now);
                }
            }
        }
    }

    /// Whether a queue may leave the ring because the name server took it out.
    fn is_taken_out(&self, topic: usize, queue: &MessageQueue) -> bool {
        let Answer::Known(told) = self.answers[topic] else {
            return false;
        };
        if self.down {
            return false;
        }
        let place = BROKERS
            .iter()
            .position(|(name, _)| *name == queue.broker_name().as_ref());
        match place.and_then(|place| told[place]) {
            Some((perm, queues, _)) => perm != 6 || queue.queue_id() >= queues,
            None => false,
        }
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let now = Instant::now();
        prop_assert!(
            self.source.most_at_once() <= 1,
            "two questions for one topic"
        );
        for (topic, name) in TOPICS.iter().enumerate() {
            let entry = self.mapping.cached(name);
            let route = entry.as_ref().and_then(|entry| entry.route());
            if let Some(seen) = &self.seen[topic] {
                self.check_ring(topic, &seen.route, route.as_deref(), now)?;
                if let (Some(entry), Some(route)) = (&entry, &route) {
                    check_change(seen, entry, route)?;
                }
            }
            if let Some(route) = &route {
                self.check_retention(topic, route, now)?;
            }
            self.seen[topic] = entry.zip(route).map(|(entry, route)| Seen {
                keys: keys(&route),
                entry,
                route,
            });
        }
        let seconds = usize::try_from(self.begun.elapsed().as_secs()).unwrap();
        // Each second one per topic in trouble, each half minute one per topic.
        let bound = TOPICS.len() * (seconds + seconds / 27 + 2) + self.caused;
        prop_assert!(
            self.source.asked() <= bound,
            "{} > {bound}",
            self.source.asked()
        );
        Ok(())
    }

    /// No place is lost but by the stated rules, and no route becomes nothing.
    fn check_ring(
        &self,
        topic: usize,
        old: &RouteInfo,
        new: Option<&RouteInfo>,
        now: Instant,
    ) -> Result<(), TestCaseError> {
        for routed in old.queues() {
            let expired = match routed.target() {
                QueueTarget::Vanished { since, .. } => now - *since >= RETENTION,
                _ => false,
            };
            let queue = routed.queue();
            if expired || routed.broker().is_none() || self.is_taken_out(topic, queue) {
                continue;
            }
            let place = new.and_then(|new| new.position(queue));
            prop_assert!(place.is_some(), "{queue} is lost");
        }
        Ok(())
    }

    /// A vanished broker leaves in time, if anybody answers.
    fn check_retention(
        &self,
        topic: usize,
        route: &RouteInfo,
        now: Instant,
    ) -> Result<(), TestCaseError> {
        let Some(answered) = self.answered[topic] else {
            return Ok(());
        };
        if now - answered < SETTLED {
            return Ok(());
        }
        for routed in route.queues() {
            if let QueueTarget::Vanished { since, .. } = routed.target() {
                prop_assert!(now - *since < RETENTION + SETTLED, "kept for too long");
            }
        }
        Ok(())
    }
}

/// The generation grows with each change, and keys stay while the ring does.
fn check_change(
    seen: &Seen,
    entry: &Arc<TopicEntry>,
    route: &Arc<RouteInfo>,
) -> Result<(), TestCaseError> {
    if Arc::ptr_eq(&seen.entry, entry) {
        let is_same = Arc::ptr_eq(&seen.route, route);
        let grown = route.generation() > seen.route.generation();
        prop_assert_eq!(is_same, !grown);
    }
    let ring = |route: &RouteInfo| -> Vec<MessageQueue> {
        let queues = route.queues().iter();
        queues.map(|routed| routed.queue().clone()).collect()
    };
    if ring(&seen.route) == ring(route) {
        prop_assert_eq!(&seen.keys, &keys(route));
    }
    Ok(())
}

/// Where each key goes.
fn keys(route: &RouteInfo) -> Vec<Option<MessageQueue>> {
    let selector = crate::MessageHashSelector::new();
    let place = |key: &&str| {
        let message = Message::new("T", "body").unwrap();
        let message = message.with_sharding_key(key).unwrap();
        let none = crate::SelectorArgument::None;
        let index = crate::QueueSelector::select(&selector, route.queues(), &message, &none)?;
        Some(route.queues()[index].queue().clone())
    };
    KEYS.iter().map(place).collect()
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new();
        for step in steps {
            world.take(step).await;
            world.check()?;
        }
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_history_of_answers_keeps_the_routes_sound_and_the_questions_few(steps in steps()) {
        run(steps)?;
    }
}
