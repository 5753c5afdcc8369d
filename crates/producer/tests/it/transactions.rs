//! Transactions: what consumers see is what the local step decided, whoever has to be asked for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rocketmq_producer_core::config::WeakHalf;
use rocketmq_producer_core::config::routing::remoting::message::TimingError;
use rocketmq_producer_core::config::routing::remoting::{
    Delivery, MessageError, RequestCode, ResponseCode,
};
use rocketmq_producer_core::{
    CheckedMessage, ClientContext, EndTransactionContext, EndTransactionHook,
    LocalTransactionState, SendFailure, SendStatus, Settlement, TransactionChecker,
    TransactionError, TransactionalProducer, Via,
};
use rocketmq_producer_embedded::{Condition, EmbeddedCluster, Fault, Reaction};

use crate::support::*;

use LocalTransactionState::{Commit, Rollback, Unknown};

const HALF: &str = "RMQ_SYS_TRANS_HALF_TOPIC";

/// What a checker does with a question.
#[derive(Clone, Copy)]
enum Manner {
    Say(LocalTransactionState),
    Panic,
    Block(Duration),
}

/// A checker that knows what to say, and counts how often it was asked for what.
struct Known {
    manner: Manner,
    asked: Mutex<HashMap<String, u32>>,
    total: AtomicUsize,
}

impl Known {
    fn new(manner: Manner) -> Arc<Self> {
        Arc::new(Self {
            manner,
            asked: Mutex::default(),
            total: AtomicUsize::new(0),
        })
    }

    fn total(&self) -> usize {
        self.total.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl TransactionChecker for Known {
    async fn check(&self, message: &CheckedMessage) -> LocalTransactionState {
        assert_eq!(message.message().topic, TOPIC);
        self.total.fetch_add(1, Ordering::SeqCst);
        let id = message.message_id().to_owned();
        *self.asked.lock().unwrap().entry(id).or_default() += 1;
        match self.manner {
            Manner::Say(state) => state,
            Manner::Panic => panic!("the checker has a bug"),
            Manner::Block(time) => {
                std::thread::sleep(time);
                Commit
            }
        }
    }
}

async fn transactional(
    cluster: &EmbeddedCluster,
    checker: Arc<dyn TransactionChecker>,
) -> TransactionalProducer {
    let builder = builder(cluster).configure(|settings| {
        settings
            .transaction_check_timeout(millis(200))
            .send_msg_timeout(millis(1500))
    });
    let producer = builder.start_transactional(checker).await.unwrap();
    aim_at_a(producer.producer());
    producer
}

fn next_end(reaction: Reaction) -> Fault {
    Fault::new(Condition::code(RequestCode::END_TRANSACTION), reaction)
}

/// Has brokers ask until nothing is open.
async fn until_settled(cluster: &EmbeddedCluster) {
    soon(async {
        while cluster.open_transactions() > 0 {
            cluster.check_transactions();
            tokio::time::sleep(millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_committed_message_is_seen_and_a_rolled_back_one_is_not() {
    let cluster = cluster(2).await;
    let producer = transactional(&cluster, Known::new(Manner::Say(Unknown))).await;
    for state in [Commit, Rollback] {
        let receipt = producer
            .send_transaction(message(), |half| async move {
                assert_eq!(half.message().topic(), TOPIC);
                state
            })
            .await
            .unwrap();
        assert_eq!(receipt.state(), state);
        assert!(receipt.settlement().is_confirmed());
        assert_eq!(receipt.half().via(), Some(Via::Half));
        assert_eq!(cluster.message_count(TOPIC), 1, "{state:?}");
    }
    assert_eq!(cluster.open_transactions(), 0);
    let seen = &cluster.messages(TOPIC)[0];
    assert_eq!(seen.property("PGROUP"), Some(GROUP));
    assert_eq!(seen.sys_flag & 12, 8);
    let stats = producer.stats();
    assert_eq!((stats.begun, stats.committed, stats.rolled_back), (2, 1, 1));
    assert_eq!((stats.open, stats.unconfirmed), (0, 0));
}

#[tokio::test]
async fn an_unknown_transaction_is_settled_by_the_checker() {
    let cluster = cluster(1).await;
    for (says, seen) in [(Rollback, 0), (Commit, 1)] {
        let checker = Known::new(Manner::Say(says));
        let producer = transactional(&cluster, Arc::<Known>::clone(&checker)).await;
        let receipt = producer
            .send_transaction(message(), |_| async { Unknown })
            .await
            .unwrap();
        assert!(matches!(receipt.settlement(), Settlement::LeftToCheck));
        assert_eq!(cluster.open_transactions(), 1);
        until_settled(&cluster).await;
        assert_eq!(cluster.message_count(TOPIC), seen);
        assert!(checker.total() >= 1);
        let stats = producer.stats();
        assert!(stats.checked_back >= 1 && stats.average_checks >= 1.0);
        producer.shutdown(millis(2000)).await;
    }
}

#[tokio::test]
async fn a_transaction_of_an_earlier_process_is_settled_by_a_producer_that_has_sent_nothing() {
    let cluster = cluster(2).await;
    let first = transactional(&cluster, Known::new(Manner::Say(Unknown))).await;
    let open = first.begin(message()).await.unwrap();
    drop(open);
    first.shutdown(millis(2000)).await;
    drop(first);
    assert_eq!(cluster.check_transactions(), 0, "nobody to ask");
    let second = rocketmq_producer_core::Producer::builder(GROUP)
        .name_servers(&cluster.name_servers())
        .start_transactional(Known::new(Manner::Say(Commit)))
        .await
        .unwrap();
    soon(cluster.wait_until(|cluster| !cluster.producer_connections(GROUP).is_empty())).await;
    until_settled(&cluster).await;
    assert_eq!(cluster.message_count(TOPIC), 1);
    assert_eq!(second.stats().checks_committed, 1);
}

#[tokio::test]
async fn a_local_step_that_is_under_way_is_not_decided_by_the_checker() {
    let cluster = cluster(1).await;
    // It would find no trace of the local step yet.
    let checker = Known::new(Manner::Say(Rollback));
    let producer = transactional(&cluster, Arc::<Known>::clone(&checker)).await;
    let open = producer.begin(message()).await.unwrap();
    assert_eq!(cluster.check_transactions(), 1);
    soon(async {
        while producer.stats().checks_known == 0 {
            tokio::time::sleep(millis(5)).await;
        }
    })
    .await;
    assert_eq!(checker.total(), 0);
    assert_eq!(cluster.open_transactions(), 1);
    let receipt = open.commit().await;
    assert!(receipt.settlement().is_confirmed());
    // The broker has written the half message again meanwhile.
    assert_eq!(cluster.open_transactions(), 1);
    until_settled(&cluster).await;
    assert_eq!(cluster.message_count(TOPIC), 1);
    assert_eq!(checker.total(), 0);
}

#[tokio::test]
async fn a_checker_that_panics_or_is_late_says_unknown_and_harms_no_connection() {
    let cluster = cluster(1).await;
    for manner in [Manner::Panic, Manner::Block(Duration::from_secs(60))] {
        let producer = transactional(&cluster, Known::new(manner)).await;
        let left = producer.send_transaction(message(), |_| async { Unknown });
        left.await.unwrap();
        let connections = cluster.connections(A).unwrap();
        cluster.check_transactions();
        soon(async {
            while producer.stats().checks_unknown == 0 {
                tokio::time::sleep(millis(5)).await;
            }
        })
        .await;
        let stats = producer.stats();
        assert_eq!(stats.checks_late + stats.checks_panicked, 1);
        assert_eq!(cluster.connections(A).unwrap(), connections);
        producer.producer().send(message()).await.unwrap();
        assert_eq!(cluster.open_transactions(), 1, "still unknown");
        producer.shutdown(millis(2000)).await;
        drop(producer);
        let settler = transactional(&cluster, Known::new(Manner::Say(Rollback))).await;
        until_settled(&cluster).await;
        settler.shutdown(millis(2000)).await;
    }
}

#[tokio::test]
async fn a_half_message_that_is_refused_runs_no_local_step() {
    let cluster = cluster(1).await;
    let producer = transactional(&cluster, Known::new(Manner::Say(Commit))).await;
    let refuse = next_send(answer(13, "no")).times(10);
    cluster.faults(A).unwrap().arm(refuse);
    let error = producer
        .send_transaction(message(), |_| async { panic!("it must not run") })
        .await
        .unwrap_err();
    let TransactionError::Half(cause) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(cause.delivery(), Delivery::Rejected);
    assert_eq!(
        cluster.requests(A, RequestCode::END_TRANSACTION).unwrap(),
        0
    );
    assert_eq!(producer.stats().open, 0);
}

#[tokio::test]
async fn a_half_message_whose_outcome_is_unknown_is_rolled_back_when_the_broker_asks() {
    let cluster = cluster(1).await;
    let checker = Known::new(Manner::Say(Commit));
    let producer = transactional(&cluster, Arc::<Known>::clone(&checker)).await;
    cluster
        .faults(A)
        .unwrap()
        .arm(next_send(Reaction::Swallow).times(100));
    let error = producer
        .send_transaction(message(), |_| async { panic!("it must not run") })
        .await
        .unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown);
    cluster.faults(A).unwrap().clear();
    assert!(cluster.open_transactions() >= 1);
    until_settled(&cluster).await;
    assert_eq!(cluster.message_count(TOPIC), 0);
    assert_eq!(checker.total(), 0, "this process knows that nothing ran");
}

#[tokio::test]
async fn a_weak_half_message_is_rolled_back_and_the_caller_is_told() {
    let cluster = cluster(1).await;
    let producer = transactional(&cluster, Known::new(Manner::Say(Commit))).await;
    let weak = || next_send(Reaction::Status(ResponseCode::FLUSH_DISK_TIMEOUT));
    cluster.faults(A).unwrap().arm(weak());
    let error = producer
        .send_transaction(message(), |_| async { panic!("it must not run") })
        .await
        .unwrap_err();
    let TransactionError::WeakHalf {
        status, settlement, ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(status, SendStatus::FlushDiskTimeout);
    assert!(settlement.is_confirmed());
    assert_eq!(cluster.open_transactions(), 0);
    assert_eq!(cluster.message_count(TOPIC), 0);

    let proceed = builder(&cluster)
        .configure(|settings| settings.transaction_weak_half(WeakHalf::Proceed))
        .start_transactional(Known::new(Manner::Say(Commit)))
        .await
        .unwrap();
    cluster.faults(A).unwrap().arm(weak());
    let receipt = proceed
        .send_transaction(message(), |half| async move {
            assert_eq!(half.receipt().status(), SendStatus::FlushDiskTimeout);
            Commit
        })
        .await
        .unwrap();
    assert!(receipt.settlement().is_confirmed());
    assert_eq!(cluster.message_count(TOPIC), 1);
}

#[tokio::test]
async fn a_commit_without_an_answer_is_not_told_twice_and_not_committed_twice() {
    let cluster = cluster(1).await;
    let checker = Known::new(Manner::Say(Commit));
    let producer = transactional(&cluster, Arc::<Known>::clone(&checker)).await;
    cluster
        .faults(A)
        .unwrap()
        .arm(next_end(Reaction::Swallow).times(1));
    let receipt = producer
        .send_transaction(message(), |_| async { Commit })
        .await
        .unwrap();
    assert!(matches!(receipt.settlement(), Settlement::Unconfirmed(_)));
    assert_eq!(
        cluster.requests(A, RequestCode::END_TRANSACTION).unwrap(),
        1
    );
    until_settled(&cluster).await;
    assert_eq!(cluster.message_count(TOPIC), 1);
    assert_eq!(producer.stats().unconfirmed, 1);
}

#[tokio::test]
async fn a_commit_that_a_busy_broker_threw_away_is_told_again() {
    let cluster = cluster(1).await;
    let producer = transactional(&cluster, Known::new(Manner::Say(Rollback))).await;
    cluster
        .faults(A)
        .unwrap()
        .arm(next_end(answer(2, "busy")).times(2));
    let receipt = producer
        .send_transaction(message(), |_| async { Commit })
        .await
        .unwrap();
    assert!(receipt.settlement().is_confirmed());
    assert_eq!(cluster.message_count(TOPIC), 1);
}

#[tokio::test]
async fn a_commit_that_no_broker_could_be_told_is_given_when_it_asks() {
    let cluster = cluster(1).await;
    let checker = Known::new(Manner::Say(Rollback));
    let producer = transactional(&cluster, Arc::<Known>::clone(&checker)).await;
    let open = producer.begin(message()).await.unwrap();
    cluster.stop_broker(A).await.unwrap();
    let receipt = open.commit().await;
    assert!(matches!(receipt.settlement(), Settlement::NotTaken(_)));
    cluster.start_broker(A).await.unwrap();
    soon(cluster.wait_until(|cluster| !cluster.producer_connections(GROUP).is_empty())).await;
    until_settled(&cluster).await;
    assert_eq!(cluster.message_count(TOPIC), 1);
    assert_eq!(checker.total(), 0, "the decision is known here");
}

#[tokio::test]
async fn a_copy_of_a_committed_half_message_is_not_delivered_again() {
    let cluster = cluster(1).await;
    let checker = Known::new(Manner::Say(Commit));
    let producer = transactional(&cluster, Arc::<Known>::clone(&checker)).await;
    // The first attempt is stored and its answer lost, so a second half message follows.
    cluster
        .faults(A)
        .unwrap()
        .arm(next_send(Reaction::CloseAfter));
    let receipt = producer
        .send_transaction(message(), |_| async { Commit })
        .await
        .unwrap();
    assert!(receipt.half().attempts().count() > 1);
    assert_eq!(
        cluster.open_transactions(),
        1,
        "the half that nobody knows of"
    );
    until_settled(&cluster).await;
    assert_eq!(cluster.message_count(TOPIC), 1);
    assert_eq!(checker.total(), 0);
}

#[tokio::test]
async fn a_local_step_that_panics_is_left_to_the_checker_and_the_caller_is_told() {
    let cluster = cluster(1).await;
    let producer = transactional(&cluster, Known::new(Manner::Say(Rollback))).await;
    let error = producer
        .send_transaction(message(), |_| async { panic!("out of money") })
        .await
        .unwrap_err();
    assert!(
        matches!(&error, TransactionError::LocalPanicked { message, .. } if message == "out of money"),
        "{error:?}"
    );
    until_settled(&cluster).await;
    assert_eq!(cluster.message_count(TOPIC), 0);
}

#[tokio::test]
async fn a_delayed_message_is_refused_before_anything_is_sent() {
    let cluster = cluster(1).await;
    let producer = transactional(&cluster, Known::new(Manner::Say(Commit))).await;
    let delayed = message().with_delay_level(3).unwrap();
    let error = producer
        .send_transaction(delayed, |_| async { Commit })
        .await
        .unwrap_err();
    let TransactionError::Half(cause) = &error else {
        panic!("{error:?}");
    };
    assert!(matches!(
        cause.cause(),
        SendFailure::Message(MessageError::Timing(TimingError::Transaction))
    ));
    assert_eq!(cluster.message_count(HALF), 0);
}

/// Notes the ends that it is told of.
#[derive(Default)]
struct Ends(Mutex<Vec<(LocalTransactionState, bool)>>);

#[async_trait]
impl EndTransactionHook for Ends {
    async fn end_transaction(&self, context: &EndTransactionContext<'_>) {
        assert_eq!((context.group(), context.topic()), (GROUP, TOPIC));
        let end = (context.state(), context.is_from_check());
        self.0.lock().unwrap().push(end);
    }
}

#[tokio::test]
async fn hooks_are_told_of_every_end() {
    let cluster = cluster(1).await;
    let ends = Arc::<Ends>::default();
    let producer = builder(&cluster)
        .end_transaction_hook(Arc::<Ends>::clone(&ends))
        .start_transactional(Known::new(Manner::Say(Commit)))
        .await
        .unwrap();
    for state in [Rollback, Unknown] {
        let sent = producer.send_transaction(message(), |_| async move { state });
        sent.await.unwrap();
    }
    until_settled(&cluster).await;
    let told = ends.0.lock().unwrap().clone();
    assert_eq!(told[..2], [(Rollback, false), (Unknown, false)]);
    assert!(told[2..].contains(&(Commit, true)), "{told:?}");
}

#[tokio::test]
async fn only_so_many_transactions_are_open() {
    let cluster = cluster(1).await;
    let producer = builder(&cluster)
        .configure(|settings| settings.transaction_max_open(1))
        .start_transactional(Known::new(Manner::Say(Commit)))
        .await
        .unwrap();
    let first = producer.begin(message()).await.unwrap();
    let error = producer.begin(message()).await.unwrap_err();
    assert!(matches!(
        error,
        TransactionError::TooManyOpen { limit: 1, .. }
    ));
    first.commit().await;
    producer.begin(message()).await.unwrap().rollback().await;
}

#[tokio::test]
async fn a_shutdown_waits_for_open_transactions_and_names_those_it_leaves() {
    let cluster = cluster(1).await;
    let producer = transactional(&cluster, Known::new(Manner::Say(Commit))).await;
    let open = producer.begin(message()).await.unwrap();
    let stopping = {
        let producer = producer.clone();
        tokio::spawn(async move { producer.shutdown(Duration::from_secs(10)).await })
    };
    soon(async {
        while producer.producer().is_running() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(open.commit().await.settlement().is_confirmed());
    let report = stopping.await.unwrap();
    assert!(report.is_drained() && report.open_transactions == 0);
    assert_eq!(cluster.message_count(TOPIC), 1);

    let producer = transactional(&cluster, Known::new(Manner::Say(Commit))).await;
    let left = producer.begin(message()).await.unwrap();
    let report = producer.shutdown(millis(100)).await;
    assert_eq!(report.open_transactions, 1);
    drop(left);
}

#[test]
fn transactions_work_without_awaiting() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = runtime.block_on(cluster(1));
    let producer = builder(&cluster)
        .start_transactional_blocking(Known::new(Manner::Say(Commit)))
        .unwrap();
    for (state, seen) in [(Commit, 1), (Rollback, 1)] {
        let receipt = producer.send_transaction(message(), |_| state).unwrap();
        assert!(receipt.settlement().is_confirmed());
        assert_eq!(cluster.message_count(TOPIC), seen);
    }
    let error = producer.send_transaction(message(), |_| panic!("no"));
    assert!(matches!(error, Err(TransactionError::LocalPanicked { .. })));
    producer.shutdown(millis(2000)).unwrap();
}

#[tokio::test]
async fn questions_go_to_the_producer_that_runs_whatever_becomes_of_others_of_its_group() {
    let cluster = cluster(1).await;
    let context = ClientContext::builder().name_servers(&cluster.name_servers());
    let context = context.build().unwrap();
    let transactional = |checker: &Arc<Known>| {
        let builder = context.producer(GROUP);
        builder.build_transactional(Arc::clone(checker) as _)
    };
    let nobody = Known::new(Manner::Say(Rollback));
    let first = transactional(&nobody).unwrap();
    first.start().await.unwrap();
    first.shutdown(Duration::from_secs(5)).await;
    let checker = Known::new(Manner::Say(Commit));
    let running = transactional(&checker).unwrap();
    running.start().await.unwrap();
    let refused = transactional(&nobody).unwrap();
    refused.start().await.unwrap_err();
    drop((first, refused));
    let unknown = running.send_transaction(message(), |_| async { Unknown });
    unknown.await.unwrap();
    until_settled(&cluster).await;
    assert_eq!((checker.total(), nobody.total()), (1, 0));
    assert_eq!(cluster.message_count(TOPIC), 1);
}
