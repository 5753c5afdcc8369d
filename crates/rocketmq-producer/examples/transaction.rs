//! A message that consumers see only if the local step was done, and a checker that answers for
//! what was left open.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rocketmq_producer::prelude::*;
use rocketmq_producer::{CheckedMessage, LocalTransactionState, TransactionChecker};
use rocketmq_producer_embedded::EmbeddedCluster;

const TOPIC: &str = "payments";

/// The ids of what was paid: in a service, a table that all processes share.
#[derive(Debug, Default)]
struct Payments(Mutex<HashSet<String>>);

impl Payments {
    /// Pays and notes the id in one act.
    fn pay(&self, id: &str) {
        let mut paid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paid.insert(id.to_owned());
    }

    fn is_paid(&self, id: &str) -> bool {
        let paid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paid.contains(id)
    }
}

/// Answers by what the local steps left behind.
struct Checker(Arc<Payments>);

#[async_trait]
impl TransactionChecker for Checker {
    async fn check(&self, message: &CheckedMessage) -> LocalTransactionState {
        if self.0.is_paid(message.message_id()) {
            LocalTransactionState::Commit
        } else {
            LocalTransactionState::Rollback
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cluster = EmbeddedCluster::builder().topic(TOPIC, 4).start().await?;
    let payments = Arc::<Payments>::default();
    let checker = Arc::new(Checker(Arc::clone(&payments)));
    let producer = Producer::builder("payment-service")
        .name_servers(&cluster.name_servers())
        .start_transactional(checker)
        .await?;

    for (order, says) in [
        ("order 1", LocalTransactionState::Commit),
        ("order 2", LocalTransactionState::Rollback),
        // Paid, but the local step cannot tell: the broker will ask.
        ("order 3", LocalTransactionState::Unknown),
    ] {
        let receipt = producer
            .send_transaction(Message::new(TOPIC, order)?, |half| {
                let payments = Arc::clone(&payments);
                async move {
                    if says != LocalTransactionState::Rollback {
                        payments.pay(half.message_id().as_str());
                    }
                    says
                }
            })
            .await?;
        println!("{order}: {}, {:?}", receipt.state(), receipt.settlement());
    }
    println!("consumers see {}", cluster.message_count(TOPIC));

    // A real broker asks by itself, every 30 s.
    cluster.check_transactions();
    let seen = cluster.wait_for_messages(TOPIC, 2);
    let seen = tokio::time::timeout(Duration::from_secs(10), seen).await?;
    println!("after the broker has asked, consumers see {}", seen.len());

    producer.shutdown(Duration::from_secs(3)).await;
    cluster.shutdown().await;
    Ok(())
}
