//! Transactions on real brokers: what Apache's consumer sees is what the local steps did.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use rocketmq_producer::{
    CheckedMessage, LocalTransactionState, Message, Settlement, TransactionChecker,
    TransactionalProducer,
};
use xtask::apache::ReadMessage;
use xtask::wait;

use crate::clusters::{Apache, promise};

use LocalTransactionState::{Commit, Rollback, Unknown};

const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Brokers look every 3 s for half messages that are 3 s old.
const SETTLED: Duration = Duration::from_secs(90);
const PATIENT: Duration = Duration::from_secs(20);

/// Answers by the body: what ends with an even number was done.
#[derive(Default)]
struct ByBody {
    asked: AtomicUsize,
    seen: Mutex<HashMap<String, u32>>,
}

fn was_done(body: &[u8]) -> bool {
    body.last()
        .is_some_and(|digit| (digit - b'0').is_multiple_of(2))
}

#[async_trait]
impl TransactionChecker for ByBody {
    async fn check(&self, message: &CheckedMessage) -> LocalTransactionState {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let id = message.message_id().to_owned();
        *self.seen.lock().unwrap().entry(id).or_default() += 1;
        if was_done(&message.message().body) {
            Commit
        } else {
            Rollback
        }
    }
}

async fn transactional(
    apache: &Apache,
    group: &str,
    checker: &Arc<ByBody>,
) -> Result<TransactionalProducer> {
    let checker = Arc::<ByBody>::clone(checker);
    Ok(apache.builder(group).start_transactional(checker).await?)
}

/// What consumers see of a topic once it holds `at_least` messages, by id, and how often.
fn seen(
    apache: &Apache,
    topic: &str,
    at_least: usize,
) -> Result<HashMap<String, Vec<ReadMessage>>> {
    let mut by_id: HashMap<_, Vec<_>> = HashMap::new();
    for message in apache.read(topic, at_least)? {
        by_id
            .entry(message.msg_id.clone())
            .or_default()
            .push(message);
    }
    Ok(by_id)
}

promise!(consumers_see_what_was_committed_and_nothing_else: on_5_5_0, on_4_9_7);

async fn consumers_see_what_was_committed_and_nothing_else(apache: &'static Apache) -> Result<()> {
    let topic = "transactions_ended";
    apache.topic(topic, 4)?;
    let checker = Arc::<ByBody>::default();
    let producer = transactional(apache, "transactions_ended_group", &checker).await?;
    let mut committed = Vec::new();
    for index in 0..20 {
        let message = Message::new(topic, format!("ended {index}"))?.with_keys(["k"])?;
        let state = if index % 2 == 0 { Commit } else { Rollback };
        let receipt = producer
            .send_transaction(message, |half| async move {
                assert!(half.receipt().offset_message_id().is_some());
                state
            })
            .await?;
        // Brokers answer the end, which Java never asks for.
        ensure!(receipt.settlement().is_confirmed(), "{receipt:?}");
        if state == Commit {
            committed.push(receipt.half().message_id().to_string());
        }
    }
    let seen = seen(apache, topic, committed.len())?;
    assert_eq!(seen.len(), committed.len());
    for id in &committed {
        let message = &seen.get(id).context("a committed message")?[0];
        assert_eq!(message.keys.as_deref(), Some("k"));
        assert_eq!(message.sys_flag & 12, 8);
    }
    let stats = producer.stats();
    assert_eq!((stats.committed, stats.rolled_back), (10, 10));
    assert_eq!((stats.open, stats.unconfirmed), (0, 0));
    // The half messages lie where the receipts say.
    assert!(apache.read(HALF_TOPIC, 20)?.len() >= 20);
    ensure!(producer.shutdown(PATIENT).await.is_drained());
    Ok(())
}

promise!(what_the_local_step_does_not_know_is_settled_by_the_checker: on_5_5_0, on_4_9_7);

async fn what_the_local_step_does_not_know_is_settled_by_the_checker(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "transactions_checked";
    apache.topic(topic, 4)?;
    let checker = Arc::<ByBody>::default();
    let producer = transactional(apache, "transactions_checked_group", &checker).await?;
    for index in 0..10 {
        let message = Message::new(topic, format!("checked {index}"))?;
        let receipt = producer
            .send_transaction(message, |_| async { Unknown })
            .await?;
        assert!(matches!(receipt.settlement(), Settlement::LeftToCheck));
    }
    let settled = wait::until(SETTLED, || {
        let stats = producer.stats();
        let done = stats.checks_committed >= 5 && stats.checks_rolled_back >= 5;
        done.then_some(())
    });
    settled.with_context(|| format!("not settled: {:?}", producer.stats()))?;
    let seen = seen(apache, topic, 5)?;
    assert_eq!(seen.len(), 5, "those that were done");
    let copies = seen.values().map(Vec::len).max();
    assert_eq!(copies, Some(1), "asked {:?}", checker.seen.lock().unwrap());
    assert!(
        seen.values()
            .flatten()
            .all(|message| was_done(&message.body))
    );
    ensure!(producer.shutdown(PATIENT).await.is_drained());
    Ok(())
}

promise!(a_process_killed_between_half_and_commit_leaves_nothing_undecided: on_5_5_0, on_4_9_7);

async fn a_process_killed_between_half_and_commit_leaves_nothing_undecided(
    apache: &'static Apache,
) -> Result<()> {
    let (topic, group, halves) = ("transactions_killed", "transactions_killed_group", 6);
    apache.topic(topic, 4)?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_child"))
        .args(["halves", &apache.name_servers(), group, topic])
        .arg(halves.to_string())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let ids: Vec<String> = lines.take(halves).collect::<Result<_, _>>()?;
    // As `kill -9` does: no goodbye, no end of any transaction.
    child.kill()?;
    child.wait()?;
    assert_eq!(ids.len(), halves);
    assert!(
        apache.read(topic, 0)?.is_empty(),
        "nothing is seen before the commit"
    );

    // It has sent nothing, and is asked all the same.
    let checker = Arc::<ByBody>::default();
    let producer = transactional(apache, group, &checker).await?;
    let settled = wait::until(SETTLED, || {
        let asked = checker.seen.lock().ok()?;
        ids.iter().all(|id| asked.contains_key(id)).then_some(())
    });
    settled.with_context(|| format!("not asked for: {:?}", producer.stats()))?;
    let seen = seen(apache, topic, halves / 2)?;
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(seen.contains_key(id), index % 2 == 0, "half {index}");
    }
    ensure!(producer.shutdown(PATIENT).await.is_drained());
    Ok(())
}

promise!(an_end_that_names_no_half_message_is_refused_in_words: on_5_5_0, on_4_9_7);

async fn an_end_that_names_no_half_message_is_refused_in_words(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "transactions_refused";
    apache.topic(topic, 4)?;
    let checker = Arc::<ByBody>::default();
    let producer = transactional(apache, "transactions_refused_group", &checker).await?;
    // Beyond everything that is stored: elsewhere a broker reads whatever is there.
    let place = (1_i64 << 40).to_string();
    for broker in apache.cluster.brokers() {
        let fields = [
            ("topic", topic),
            ("producerGroup", "transactions_refused_group"),
            ("tranStateTableOffset", "0"),
            ("commitLogOffset", &place),
            ("commitOrRollback", "8"),
            ("fromTransactionCheck", "false"),
            ("msgId", "none"),
        ];
        let answer = xtask::apache::ask(broker.address(), 37, &fields, PATIENT)?;
        let remark = answer.remark.unwrap_or_default();
        assert_eq!(answer.code, 1, "{remark}");
        assert!(remark.contains("Find prepared"), "{remark}");
    }
    ensure!(producer.shutdown(PATIENT).await.is_drained());
    Ok(())
}
