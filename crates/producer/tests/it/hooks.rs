//! Hooks: what they see and may do, in which order, and that a failing one harms nothing but its message.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rocketmq_producer_core::config::routing::remoting::{
    AddedFieldError, Credentials, Delivery, HookFailure, HookResult, Message, RequestCode,
    RequestContext, RequestHook, RequestOutcome,
};
use rocketmq_producer_core::{
    CheckForbiddenContext, CheckForbiddenHook, ErrorKind, Producer, SendContext, SendError,
    SendFailure, SendHook, SendOutcome,
};
use rocketmq_producer_embedded::{EmbeddedCluster, MemoryNetwork};

use crate::support::*;

/// What happened, in its order.
type Log = Arc<Mutex<Vec<String>>>;

fn said(log: &Log) -> Vec<String> {
    std::mem::take(&mut log.lock().unwrap())
}

/// What a hook does before a message.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Marks,
    Refuses(&'static str),
    Panics(&'static str),
    Hangs,
    PanicsAfter,
}

/// Marks messages with its name; the body may ask for something else.
struct Named {
    name: &'static str,
    manner: Manner,
    log: Log,
}

#[async_trait]
impl SendHook for Named {
    fn name(&self) -> &str {
        self.name
    }

    async fn before(&self, context: &mut SendContext) -> HookResult {
        let body = context.message().body().clone();
        match self.manner {
            Manner::Refuses(which) if body == which => return Err("not this one".into()),
            Manner::Panics(which) if body == which => panic!("a hook panics, as it should"),
            Manner::Hangs => std::future::pending().await,
            _ => {}
        }
        let seen = context.message().property("seen").unwrap_or("").to_owned();
        let message = context.message().clone();
        context.set_message(message.with_property("seen", &format!("{seen}{}", self.name))?);
        // One of each type is kept.
        let before = context.insert(self.name);
        assert_eq!(before.is_some(), self.name != "a");
        self.log
            .lock()
            .unwrap()
            .push(format!("{} before", self.name));
        Ok(())
    }

    async fn after(&self, context: &SendContext, outcome: SendOutcome<'_>) {
        let what = match outcome {
            SendOutcome::Stored(receipt) => format!("stored at {}", receipt.queue_offset()),
            SendOutcome::Written(_) => "written".to_owned(),
            SendOutcome::Failed(error) => format!("{:?}", error.kind()),
            _ => unreachable!(),
        };
        assert!(context.get::<&'static str>().is_some() && context.get::<u8>().is_none());
        self.log
            .lock()
            .unwrap()
            .push(format!("{} {what}", self.name));
        assert!(self.manner != Manner::PanicsAfter, "as it should");
    }
}

async fn hooked(cluster: &EmbeddedCluster, hooks: &[(&'static str, Manner)]) -> (Producer, Log) {
    let log = Log::default();
    let mut builder = builder(cluster);
    for (name, manner) in hooks {
        let (manner, log) = (*manner, Arc::clone(&log));
        builder = builder.send_hook(Arc::new(Named { name, manner, log }));
    }
    let producer = builder.start().await.unwrap();
    aim_at_a(&producer);
    (producer, log)
}

fn of_body(body: &'static str) -> Message {
    Message::new(TOPIC, body).unwrap()
}

fn hook_failure(error: &SendError) -> &HookFailure {
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Hook, Delivery::NotSent)
    );
    assert!(!error.is_retryable() && error.advice().contains("hook"));
    match error.cause() {
        SendFailure::Hook(error) => error.failure(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_hook_sees_what_those_before_it_made_and_is_told_the_outcome_in_reverse() {
    let cluster = cluster(1).await;
    let hooks = [("a", Manner::Marks), ("b", Manner::PanicsAfter)];
    let (producer, log) = hooked(&cluster, &hooks).await;
    let receipt = producer.send(message()).await.unwrap();
    let stored = format!("stored at {}", receipt.queue_offset());
    let expected = [
        "a before",
        "b before",
        &format!("b {stored}"),
        &format!("a {stored}"),
    ];
    assert_eq!(said(&log), expected);
    producer.send_oneway(message()).await.unwrap();
    assert_eq!(
        said(&log),
        ["a before", "b before", "b written", "a written"]
    );
    cluster_is(&cluster, |it| it.message_count(TOPIC) == 2).await;
    for message in cluster.messages(TOPIC) {
        assert_eq!(message.property("seen"), Some("ab"));
    }
    let stats = producer.stats();
    assert_eq!((stats.total_sent, stats.oneway_written), (1, 1));
}

#[tokio::test]
async fn a_hook_that_refuses_panics_or_hangs_ends_its_message_and_no_other() {
    let cluster = cluster(1).await;
    let hooks = [
        ("a", Manner::Marks),
        ("b", Manner::Refuses("no")),
        ("c", Manner::Panics("boom")),
    ];
    let (producer, log) = hooked(&cluster, &hooks).await;
    let refused = producer.send(of_body("no")).await.unwrap_err();
    assert!(matches!(hook_failure(&refused), HookFailure::Refused(_)));
    assert!(chain(&refused).ends_with("a hook stands in the way: hook b refused: not this one"));
    assert_eq!(
        said(&log),
        ["a before", "a Hook"],
        "those that had begun are told"
    );
    let panicked = producer.send(of_body("boom")).await.unwrap_err();
    assert!(matches!(hook_failure(&panicked), HookFailure::Panicked));
    producer.send(message()).await.unwrap();
    assert_eq!(cluster.message_count(TOPIC), 1);
    let stats = producer.stats();
    assert_eq!(
        (stats.not_sent, stats.total_sent, stats.under_way),
        (2, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_hook_has_the_time_of_its_send_and_no_more() {
    let network = MemoryNetwork::new();
    let cluster = EmbeddedCluster::builder()
        .in_memory(&network)
        .topic(TOPIC, 1);
    let cluster = cluster.start().await.unwrap();
    let log = Log::default();
    let hook = Named {
        name: "a",
        manner: Manner::Hangs,
        log,
    };
    let producer = builder(&cluster).dialer(Arc::new(network));
    let producer = producer.send_hook(Arc::new(hook)).start().await.unwrap();
    let began = tokio::time::Instant::now();
    let error = producer.send(message()).await.unwrap_err();
    assert!(matches!(
        hook_failure(&error),
        HookFailure::DeadlineExceeded
    ));
    assert_eq!(began.elapsed(), producer.config().send_msg_timeout);
    // A flush waits for what is with a hook, and a shutdown ends it.
    let sending = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(message()).await }
    });
    tokio::task::yield_now().await;
    assert!(!producer.flush(millis(10)).await.is_complete());
    producer.shutdown(millis(100)).await;
    let error = sending.await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::NotRunning, Delivery::NotSent)
    );
    assert_eq!(
        producer.send(message()).await.unwrap_err().kind(),
        ErrorKind::NotRunning
    );
}

#[tokio::test]
async fn every_message_of_a_batch_has_its_own_calls_and_a_refused_one_fails_alone() {
    let cluster = cluster(1).await;
    let (producer, log) = hooked(&cluster, &[("a", Manner::Refuses("no"))]).await;
    let batch = ["one", "no", "two"].map(of_body);
    let error = producer.send_batch(batch).await.unwrap_err();
    assert!(error.rule().is_none());
    let results = error.results();
    assert!(matches!(
        hook_failure(results[1].as_ref().unwrap_err()),
        HookFailure::Refused(_)
    ));
    let offsets = [&results[0], &results[2]].map(|it| it.as_ref().unwrap().queue_offset());
    assert_eq!(offsets[0] + 1, offsets[1], "the others went together");
    let told = said(&log);
    let afters: Vec<_> = offsets
        .iter()
        .map(|at| format!("a stored at {at}"))
        .collect();
    assert_eq!(
        (&told[..2], &told[2..]),
        (&["a before", "a before"].map(String::from)[..], &*afters)
    );
    assert!(
        cluster
            .messages(TOPIC)
            .iter()
            .all(|it| it.property("seen") == Some("a"))
    );
    assert_eq!(producer.stats().batches, 1);
}

#[tokio::test]
async fn messages_that_gather_by_themselves_have_their_hooks_too() {
    let cluster = cluster(1).await;
    let log = Log::default();
    let hook = Named {
        name: "a",
        manner: Manner::Marks,
        log: Arc::clone(&log),
    };
    let producer = builder(&cluster).configure(|it| it.auto_batch(true));
    let producer = producer.send_hook(Arc::new(hook)).start().await.unwrap();
    let sends = (0..20).map(|_| producer.send(message()));
    for outcome in futures_util::future::join_all(sends).await {
        outcome.unwrap();
    }
    assert!(producer.stats().batches > 0);
    assert_eq!(said(&log).len(), 40);
    assert!(
        cluster
            .messages(TOPIC)
            .iter()
            .all(|it| it.property("seen") == Some("a"))
    );
}

/// Forbids one broker.
struct Keeps(&'static str);

#[async_trait]
impl CheckForbiddenHook for Keeps {
    async fn check_forbidden(&self, context: &CheckForbiddenContext<'_>) -> HookResult {
        assert!(context.message().is_some() && context.message_id().is_some());
        assert_eq!((context.messages(), context.group()), (1, GROUP));
        assert!(context.broker_address().contains(':'));
        if &**context.queue().broker_name() == self.0 {
            return Err("this broker is forbidden".into());
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_forbidden_attempt_is_not_made_and_ends_the_send() {
    let cluster = cluster(2).await;
    let producer = builder(&cluster).check_forbidden_hook(Arc::new(Keeps(A)));
    let producer = producer.start().await.unwrap();
    aim_at_a(&producer);
    let error = producer.send(message()).await.unwrap_err();
    assert!(matches!(hook_failure(&error), HookFailure::Refused(_)));
    assert_eq!((tried(&error), sends(&cluster, A)), (vec![A], 0));
    assert!(
        producer
            .broker_health()
            .iter()
            .all(|broker| broker.failure_count == 0)
    );
    let receipt = producer
        .send(keyed(&key_on(&producer, B).await))
        .await
        .unwrap();
    assert_eq!(&**receipt.queue().broker_name(), B);
}

/// Adds a field to every send, and notes all requests.
struct Tells(Log);

#[async_trait]
impl RequestHook for Tells {
    async fn before(&self, request: &mut RequestContext<'_>) -> HookResult {
        if request.code() == RequestCode::SEND_MESSAGE_V2 {
            assert_eq!(
                (request.field("a"), request.field("b")),
                (Some(GROUP), Some(TOPIC))
            );
            assert_eq!(request.add_field("b", "other"), Err(AddedFieldError::Taken));
            assert_eq!(
                request.add_field("Signature", "x"),
                Err(AddedFieldError::Taken)
            );
            assert_eq!(request.add_field("x", ""), Err(AddedFieldError::EmptyValue));
            assert_eq!(request.add_field("a b", "x"), Err(AddedFieldError::Name));
            request.add_field("zone", "first")?;
            request.add_field("zone", "north \"1\"")?;
            if request.body() == "no" {
                return Err("not this one".into());
            }
        }
        Ok(())
    }

    async fn after(&self, request: &RequestContext<'_>, outcome: RequestOutcome<'_>) {
        let what = match outcome {
            RequestOutcome::Answered(response) => response.code().0.to_string(),
            RequestOutcome::Written => "written".to_owned(),
            _ => "failed".to_owned(),
        };
        let zone = request.field("zone").unwrap_or_default();
        self.0
            .lock()
            .unwrap()
            .push(format!("{} {zone} {what}", request.code().0));
        assert_ne!(request.body(), "boom", "as it should");
    }
}

#[tokio::test]
async fn a_request_hook_adds_fields_before_the_signature_in_both_encodings() {
    for encoding in ["json", "binary"] {
        let cluster = EmbeddedCluster::builder().brokers(1).topic(TOPIC, 1);
        let cluster = cluster
            .account(Credentials::new("orders", "a long secret").unwrap())
            .start()
            .await
            .unwrap();
        let log = Log::default();
        let producer = builder(&cluster)
            .configure(|it| it.set("header_encoding", encoding))
            .credentials("orders", "a long secret")
            .request_hook(Arc::new(Tells(Arc::clone(&log))));
        let producer = producer.start().await.unwrap();
        said(&log);
        // A broker that found the signature wrong would say so.
        producer.send(message()).await.unwrap();
        producer.send(of_body("boom")).await.unwrap();
        producer.send_oneway(message()).await.unwrap();
        let told = said(&log);
        let sends = told.iter().filter(|it| it.starts_with("310 "));
        assert_eq!(
            sends.collect::<Vec<_>>(),
            [
                "310 north \"1\" 0",
                "310 north \"1\" 0",
                "310 north \"1\" written",
            ]
        );
        let error = producer.send(of_body("no")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Hook, Delivery::NotSent)
        );
        assert_eq!(error.attempts().len(), 1, "{error:?}");
        assert!(chain(&error).ends_with("not this one"), "{}", chain(&error));
    }
}
