//! Extension points, on the way of real messages.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use rocketmq_producer::remoting::{HookResult, RequestContext, RequestHook};
use rocketmq_producer::{
    CheckForbiddenContext, CheckForbiddenHook, CheckedMessage, Delivery, EndTransactionContext,
    EndTransactionHook, LocalTransactionState, Message, SendContext, SendFailure, SendHook,
    SendOutcome, TransactionChecker,
};
use xtask::apache::Permission;

use super::ground::{PATIENT, end};
use super::row::{Group, row};
use super::trial::{QUEUES, Trial};
use super::{Cell, Column, Ground};

pub(super) const GROUP: Group = Group::new(
    "Hooks",
    &[
        row!(
            "send hook",
            "encrypts bodies: the changed message is what Java reads, the outcome is told",
            send_hook
        ),
        row!(
            "check-forbidden hook",
            "what it refuses is not sent",
            forbidden
        ),
        row!(
            "request hook",
            "fields that it adds go with the request, and are signed where requests are",
            request_hook
        ),
        row!(
            "end-transaction hook",
            "told of commit and rollback, with the message's id",
            ends
        ),
    ],
);

/// Turns every bit of a body, the simplest cipher.
struct Cipher {
    told: AtomicUsize,
}

fn turned(body: &[u8]) -> Bytes {
    body.iter().map(|byte| !byte).collect()
}

#[async_trait]
impl SendHook for Cipher {
    async fn before(&self, context: &mut SendContext) -> HookResult {
        let message = context.message().clone();
        let body = turned(message.body());
        let message = message.with_body(body)?.with_property("cipher", "not")?;
        context.set_message(message);
        Ok(())
    }

    async fn after(&self, _: &SendContext, outcome: SendOutcome<'_>) {
        if let SendOutcome::Stored(_) = outcome {
            self.told.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn send_hook(ground: Arc<Ground>) -> Result<Cell> {
    let cipher = Arc::new(Cipher {
        told: AtomicUsize::new(0),
    });
    let hook = Arc::clone(&cipher);
    let mut trial = Trial::with(&ground, "hook-send", |builder| builder.send_hook(hook)).await?;
    for index in 0..5 {
        let plain = Bytes::from(format!("secret {index}"));
        let receipt = trial.producer.send(trial.message(&plain)?).await?;
        trial.oracle.acked(&receipt, &turned(&plain));
    }
    let read = trial.judge().await?;
    ensure!(read.iter().all(|m| m.properties.contains_key("cipher")));
    ensure!(cipher.told.load(Ordering::SeqCst) == 5);
    Ok(Cell::Passed)
}

/// Refuses every attempt at the queue number 0.
struct NotThere;

#[async_trait]
impl CheckForbiddenHook for NotThere {
    async fn check_forbidden(&self, context: &CheckForbiddenContext<'_>) -> HookResult {
        match context.queue().queue_id() {
            0 => Err("queue 0 is kept free".into()),
            _ => Ok(()),
        }
    }
}

async fn forbidden(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::with(&ground, "hook-forbidden", |builder| {
        builder.check_forbidden_hook(Arc::new(NotThere))
    })
    .await?;
    let mut refused = 0;
    for _ in 0..32 {
        let body = trial.body();
        let outcome = trial.producer.send(trial.message(&body)?).await;
        match &outcome {
            Err(error) => {
                ensure!(error.delivery() == Delivery::NotSent, "{error:?}");
                let SendFailure::Hook(_) = error.cause() else {
                    bail!("{error:?}");
                };
                refused += 1;
            }
            Ok(receipt) => ensure!(receipt.queue().queue_id() != 0, "{receipt:?}"),
        }
        trial.oracle.outcome(&outcome, &body);
    }
    ensure!(refused > 0, "no message came to queue 0");
    let read = trial.judge().await?;
    ensure!(read.len() == 32 - refused, "{} stored", read.len());
    Ok(Cell::Passed)
}

/// Adds a field to every request.
struct Marked {
    count: AtomicUsize,
}

#[async_trait]
impl RequestHook for Marked {
    async fn before(&self, request: &mut RequestContext<'_>) -> HookResult {
        self.count.fetch_add(1, Ordering::SeqCst);
        request.add_field("service", "orders")?;
        Ok(())
    }
}

async fn request_hook(ground: Arc<Ground>) -> Result<Cell> {
    let marked = Arc::new(Marked {
        count: AtomicUsize::new(0),
    });
    let hook = Arc::clone(&marked);
    let mut trial = Trial::with(&ground, "hook-request", |b| b.request_hook(hook)).await?;
    for _ in 0..5 {
        trial.send(rocketmq_producer::SendOptions::new()).await?;
    }
    // The route, heartbeats and the sends; brokers that check signatures have taken them.
    let count = marked.count.load(Ordering::SeqCst);
    ensure!(count >= 7, "{count} requests");
    let beats = trial.producer.send_heartbeat_to_all_brokers().await;
    let failure = beats.failed.first().map(|(_, failure)| failure.to_string());
    ensure!(failure.is_none(), "{}", failure.context("a failure")?);
    end(&trial.producer).await?;
    trial.judge().await?;
    Ok(Cell::Passed)
}

/// Notes the ends that it is told of.
#[derive(Default)]
struct Ends(Mutex<Vec<(String, LocalTransactionState)>>);

#[async_trait]
impl EndTransactionHook for Ends {
    async fn end_transaction(&self, context: &EndTransactionContext<'_>) {
        let end = (context.message_id().to_owned(), context.state());
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.push(end);
    }
}

/// Has no answer of its own.
struct Unknowing;

#[async_trait]
impl TransactionChecker for Unknowing {
    async fn check(&self, _: &CheckedMessage) -> LocalTransactionState {
        LocalTransactionState::Unknown
    }
}

async fn ends(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "hook-ends";
    let attributes = match ground.column() {
        Column::Proxy => "+message.type=TRANSACTION",
        _ => "",
    };
    let permission = Permission::READ_WRITE;
    ground
        .topic_with(topic, QUEUES, permission, attributes)
        .await?;
    let ends = Arc::new(Ends::default());
    let builder = ground
        .builder(topic)
        .end_transaction_hook(Arc::clone(&ends) as _);
    let producer = builder.start_transactional(Arc::new(Unknowing)).await?;
    let mut wanted = Vec::new();
    for state in [
        LocalTransactionState::Commit,
        LocalTransactionState::Rollback,
    ] {
        let message = Message::new(topic, "in a transaction")?;
        let receipt = producer
            .send_transaction(message, move |_| async move { state })
            .await?;
        wanted.push((receipt.half().message_id().to_string(), state));
    }
    let report = producer.shutdown(PATIENT).await;
    ensure!(report.is_drained(), "{report:?}");
    let told = ends
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    for end in &wanted {
        ensure!(told.contains(end), "{told:?}");
    }
    Ok(Cell::Passed)
}
