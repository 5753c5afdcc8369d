//! What goes wrong with one send, one connection or one broker stays with that one.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use rocketmq_producer::{
    Delivery, ErrorKind, Message, MessageQueue, Producer, SendError, SendOptions, SendReceipt,
};
use rocketmq_producer_tests::faults::Canary;
use rocketmq_producer_tests::oracle::{Oracle, Verdict};
use rocketmq_producer_tests::proxy::{Fault, Mischief, ProxiedCluster, What, Which};
use tokio::task::JoinSet;

use crate::clusters::{Apache, end, promise};

/// Nothing that is waited for here takes this long.
const PATIENT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(700);
/// What a send may take beyond its budget on a busy machine, besides the canary's delay.
const SLACK: Duration = Duration::from_millis(250);

type Outcome = (Result<SendReceipt, SendError>, Bytes);

/// The shared brokers, behind proxies of this test's own.
struct Scene {
    apache: &'static Apache,
    proxies: ProxiedCluster,
    producer: Producer,
    topic: &'static str,
}

impl Scene {
    async fn new(apache: &'static Apache, topic: &'static str) -> Result<Self> {
        apache.topic(topic, 4)?;
        let proxies = ProxiedCluster::start(&apache.cluster)?;
        proxies.trace().record(true);
        let producer = Producer::builder(topic)
            .name_servers(&proxies.name_server_addr())
            .preheat([topic])
            .configure(|settings| settings.send_msg_timeout(PATIENT))
            .start()
            .await?;
        Ok(Self {
            apache,
            proxies,
            producer,
            topic,
        })
    }

    /// Sends to one queue of the first broker, or wherever the producer likes.
    fn send(
        &self,
        number: usize,
        to_first: bool,
        timeout: Duration,
    ) -> impl Future<Output = Result<Outcome>> + Send + 'static {
        let broker = self
            .proxies
            .brokers()
            .first()
            .map(|proxy| proxy.name().to_owned());
        let queue = broker
            .filter(|_| to_first)
            .map(|name| MessageQueue::new(self.topic, name, 0));
        let (producer, topic) = (self.producer.clone(), self.topic);
        async move {
            let body = Bytes::from(format!("{topic} {number}"));
            let mut options = SendOptions::new().timeout(timeout);
            if let Some(queue) = queue {
                options = options.to_queue(queue);
            }
            let message = Message::new(topic, body.clone())?;
            Ok((producer.send_with(message, options).await, body))
        }
    }

    /// So many sends, some at a time.
    async fn send_many(
        &self,
        count: usize,
        at_a_time: usize,
        to_first: bool,
    ) -> Result<Vec<Outcome>> {
        let (mut sends, mut outcomes) = (JoinSet::new(), Vec::new());
        for number in 0..count {
            if sends.len() >= at_a_time
                && let Some(outcome) = sends.join_next().await
            {
                outcomes.push(outcome??);
            }
            sends.spawn(self.send(number, to_first, PATIENT));
        }
        while let Some(outcome) = sends.join_next().await {
            outcomes.push(outcome??);
        }
        Ok(outcomes)
    }

    async fn judge(&self, outcomes: &[Outcome]) -> Result<Verdict> {
        self.proxies.heal();
        end(&self.producer).await?;
        let mut oracle = Oracle::new();
        for (outcome, body) in outcomes {
            oracle.outcome(outcome, body);
        }
        let read = self.apache.read(self.topic, oracle.receipts())?;
        oracle.judge(&read).kept()
    }
}

/// Every one acknowledged by its only attempt.
fn assert_at_once(outcomes: &[Outcome]) {
    for (outcome, _) in outcomes {
        let receipt = outcome.as_ref().expect("nothing was wrong with it");
        assert_eq!(receipt.attempts().count(), 1, "{receipt:?}");
    }
}

promise!(a_timeout_costs_no_other_send_on_its_connection: on_5_5_0);

async fn a_timeout_costs_no_other_send_on_its_connection(apache: &'static Apache) -> Result<()> {
    let scene = Scene::new(apache, "timeout_alone").await?;
    let proxy = &scene.proxies.brokers()[0];
    let mut outcomes = scene.send_many(4, 1, true).await?;
    proxy.set(Fault::Stall);
    let mut others = JoinSet::new();
    for number in 10..20 {
        others.spawn(scene.send(number, true, PATIENT));
    }
    let impatient = scene.send(5, true, SHORT).await?;
    proxy.set(Fault::Pass);
    while let Some(outcome) = others.join_next().await {
        outcomes.push(outcome??);
    }
    assert_at_once(&outcomes);
    let error = impatient.0.as_ref().expect_err("no answer came in time");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert_eq!(error.delivery(), Delivery::Unknown, "{error:?}");
    outcomes.push(impatient);
    let verdict = scene.judge(&outcomes).await?;
    assert_eq!((verdict.acked, verdict.duplicates), (14, 0), "{verdict:?}");
    Ok(())
}

promise!(one_lost_answer_puts_one_send_in_doubt: on_5_5_0);

async fn one_lost_answer_puts_one_send_in_doubt(apache: &'static Apache) -> Result<()> {
    let scene = Scene::new(apache, "one_in_doubt").await?;
    let proxy = &scene.proxies.brokers()[0];
    proxy.set(Fault::Sends(Which::Nth(1), Mischief::Swallow));
    // The first to be sent, so it is its answer that is lost.
    let mut unlucky = JoinSet::new();
    unlucky.spawn(scene.send(0, true, SHORT));
    while proxy.counts().sends == 0 {
        tokio::task::yield_now().await;
    }
    let mut outcomes = scene.send_many(60, 16, true).await?;
    assert_at_once(&outcomes);
    let unlucky = unlucky.join_next().await.context("it was begun")???;
    let error = unlucky.0.as_ref().expect_err("its answer was lost");
    assert_eq!(error.delivery(), Delivery::Unknown, "{error:?}");
    let id = error.message_id().expect("it was sent").to_string();
    let steps = scene.proxies.trace().of(&id);
    let lost = steps
        .iter()
        .filter(|step| step.what == What::AnswerSpoilt { code: 0 });
    assert_eq!(lost.count(), 1, "{steps:?}");
    outcomes.push(unlucky);
    let verdict = scene.judge(&outcomes).await?;
    // The one in doubt is there, as its error allows.
    assert_eq!((verdict.acked, verdict.stored), (60, 61), "{verdict:?}");
    Ok(())
}

promise!(a_dead_address_is_left_alone: on_5_5_0);

async fn a_dead_address_is_left_alone(apache: &'static Apache) -> Result<()> {
    const AT_A_TIME: usize = 64;
    let scene = Scene::new(apache, "dead_address").await?;
    let mut outcomes = scene.send_many(200, AT_A_TIME, false).await?;
    assert_at_once(&outcomes);
    scene.proxies.brokers()[0].set(Fault::Refuse);
    outcomes.extend(scene.send_many(2000, AT_A_TIME, false).await?);
    let dead = scene.proxies.brokers()[0].name();
    let failed = outcomes
        .iter()
        .filter_map(|(outcome, _)| outcome.as_ref().ok());
    let failed = failed
        .flat_map(SendReceipt::attempts)
        .filter(|attempt| attempt.failure().is_some());
    let failed: Vec<_> = failed.collect();
    assert!(
        failed.iter().all(|attempt| attempt.broker() == dead),
        "{failed:?}"
    );
    // At the worst all that were under way when it died had chosen it, usually half of them. Then it is suspect: dials
    // look whether it is back, and no send has to; the handful is for choices made at that moment.
    assert!(
        failed.len() <= AT_A_TIME + 8,
        "{} attempts at a dead address",
        failed.len()
    );
    let dials = scene.producer.stats().brokers.failed_dials;
    assert!(dials <= 20, "{dials} dials of a dead address");
    assert!(outcomes.iter().all(|(outcome, _)| outcome.is_ok()));
    scene.judge(&outcomes).await?;
    Ok(())
}

promise!(the_deadline_holds_while_no_syn_is_answered: on_5_5_0);

async fn the_deadline_holds_while_no_syn_is_answered(apache: &'static Apache) -> Result<()> {
    let scene = Scene::new(apache, "syn_unanswered").await?;
    let mut outcomes = scene.send_many(8, 4, false).await?;
    let canary = Canary::start();
    let [one, other] = scene.proxies.brokers() else {
        anyhow::bail!("two brokers");
    };
    one.fall_silent().await;
    // One is gone: the other takes it all.
    outcomes.extend(scene.send_many(20, 4, false).await?);
    assert!(outcomes.iter().all(|(outcome, _)| outcome.is_ok()));
    other.fall_silent().await;
    let mut sends = JoinSet::new();
    for number in 100..120 {
        sends.spawn(scene.send(number, false, SHORT));
    }
    while let Some(outcome) = sends.join_next().await {
        outcomes.push(outcome??);
    }
    let failed = outcomes
        .iter()
        .filter_map(|(outcome, _)| outcome.as_ref().err());
    let failed: Vec<_> = failed.collect();
    assert_eq!(failed.len(), 20);
    let limit = SHORT + SLACK + canary.take();
    for error in &failed {
        assert!(error.elapsed() <= limit, "over {limit:?}: {error:?}");
    }
    // Some were written before the connection was reset; none of the later ones can have been.
    assert!(
        failed
            .iter()
            .any(|error| error.delivery() == Delivery::NotSent)
    );
    scene.judge(&outcomes).await?;
    Ok(())
}

promise!(silent_name_servers_do_not_break_the_deadline: on_5_5_0);

async fn silent_name_servers_do_not_break_the_deadline(apache: &'static Apache) -> Result<()> {
    let scene = Scene::new(apache, "name_servers_silent").await?;
    for proxy in scene.proxies.name_servers() {
        proxy.fall_silent().await;
    }
    let canary = Canary::start();
    // A topic that it knows nothing of.
    let message = Message::new("another_topic", "never stored")?;
    let options = SendOptions::new().timeout(SHORT);
    let error = scene.producer.send_with(message, options).await;
    let error = error.expect_err("nobody knows the way");
    assert_eq!(error.delivery(), Delivery::NotSent, "{error:?}");
    let limit = SHORT + SLACK + canary.take();
    assert!(error.elapsed() <= limit, "over {limit:?}: {error:?}");
    // The route that it has is good enough.
    let outcomes = scene.send_many(20, 4, false).await?;
    assert_at_once(&outcomes);
    scene.judge(&outcomes).await?;
    Ok(())
}

promise!(a_broker_that_says_go_away_fails_no_send: on_5_5_0);

async fn a_broker_that_says_go_away_fails_no_send(apache: &'static Apache) -> Result<()> {
    let scene = Scene::new(apache, "go_away").await?;
    let proxy = &scene.proxies.brokers()[0];
    let before = proxy.counts().accepted;
    proxy.set(Fault::Sends(Which::Nth(40), Mischief::go_away()));
    let outcomes = scene.send_many(400, 16, true).await?;
    assert!(
        outcomes.iter().all(|(outcome, _)| outcome.is_ok()),
        "{outcomes:?}"
    );
    assert_eq!(scene.producer.stats().brokers.go_aways, 1);
    assert!(
        proxy.counts().accepted > before,
        "a new connection took over"
    );
    let verdict = scene.judge(&outcomes).await?;
    assert_eq!((verdict.acked, verdict.stored), (400, 400), "none twice");
    Ok(())
}

promise!(a_reset_connection_loses_nothing_and_claims_nothing: on_5_5_0);

async fn a_reset_connection_loses_nothing_and_claims_nothing(
    apache: &'static Apache,
) -> Result<()> {
    let scene = Scene::new(apache, "resets").await?;
    let mut outcomes = Vec::new();
    for fault in [
        Fault::ResetEvery(50),
        Fault::Sends(Which::Every(40), Mischief::ResetBefore),
        Fault::Sends(Which::Every(40), Mischief::ResetAfter),
        Fault::Sends(Which::Every(40), Mischief::Garble),
        Fault::Sends(Which::Every(40), Mischief::Truncate),
    ] {
        for proxy in scene.proxies.brokers() {
            proxy.set(fault.clone());
        }
        outcomes.extend(scene.send_many(400, 16, false).await?);
    }
    let verdict = scene.judge(&outcomes).await?;
    let receipts = outcomes
        .iter()
        .filter_map(|(outcome, _)| outcome.as_ref().ok());
    let brokers: HashSet<_> = receipts
        .map(|receipt| receipt.queue().broker_name())
        .collect();
    assert_eq!(brokers.len(), 2, "both were used to the end");
    assert!(
        verdict.duplicates > 0,
        "the faults took effect: {verdict:?}"
    );
    Ok(())
}
