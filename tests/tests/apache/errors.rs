//! What keeps a message from being sent is told apart by type, and the addresses that were tried are named.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use rocketmq_producer::routing::{NameServerError, RoutingError};
use rocketmq_producer::{Delivery, ErrorKind, Message, Producer, SendError, SendFailure};
use rocketmq_producer_tests::oracle::Oracle;
use xtask::apache::{Permission, Version};
use xtask::wait;

use crate::clusters::{Apache, end, promise};

const SOON: Duration = Duration::from_secs(30);
/// For sends that are to fail.
const BUDGET: Duration = Duration::from_secs(5);

/// The error and all its causes, as a program would print it.
fn shown(error: &SendError) -> String {
    format!("{:#}", anyhow::Error::from(error.clone()))
}

/// The error of one send by a fresh producer, which never reached a broker.
async fn refused(producer: &Producer, topic: &str) -> Result<SendError> {
    let outcome = producer.send(Message::new(topic, "never stored")?).await;
    let error = outcome.err().context("there is nowhere to send it to")?;
    assert_eq!(error.delivery(), Delivery::NotSent, "{error:?}");
    assert!(error.attempts().is_empty(), "{error:?}");
    assert_eq!(producer.stats().brokers.dials, 0);
    assert!(
        error.elapsed() < BUDGET + Duration::from_secs(1),
        "{error:?}"
    );
    end(producer).await?;
    Ok(error)
}

promise!(an_unknown_topic_is_an_error_that_names_the_name_server: on_5_5_0, on_4_9_7);

async fn an_unknown_topic_is_an_error_that_names_the_name_server(
    apache: &'static Apache,
) -> Result<()> {
    // The brokers of 5.5.0 here would create it, so there the producer is told not to ask for that; those of 4.9.7
    // would not.
    let asks = apache.cluster.version() == Version::V4_9_7;
    let producer = apache
        .producer_with("unknown_topic", |settings| settings.create_topic(asks))
        .await?;
    let error = refused(&producer, "no_such_topic").await?;
    assert_eq!(error.kind(), ErrorKind::RouteNotFound);
    let SendFailure::Routing(RoutingError::TopicNotFound { topic, address }) = error.cause() else {
        panic!("{error:?}");
    };
    assert_eq!(**topic, *"no_such_topic");
    assert_eq!(**address, *apache.name_servers());
    let text = shown(&error);
    assert!(
        text.contains("no_such_topic") && text.contains(&apache.name_servers()),
        "{text}"
    );
    Ok(())
}

promise!(a_topic_without_write_permission_is_an_error_that_names_its_brokers: on_5_5_0, on_4_9_7);

async fn a_topic_without_write_permission_is_an_error_that_names_its_brokers(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "read_only";
    apache
        .cluster
        .create_topic(topic, 4, Permission::READ_ONLY)?;
    let producer = apache.producer("read_only").await?;
    let error = refused(&producer, topic).await?;
    assert_eq!(error.kind(), ErrorKind::QueueNotAvailable);
    let SendFailure::Routing(RoutingError::NothingWritable { excluded, .. }) = error.cause() else {
        panic!("{error:?}");
    };
    let text = shown(&error);
    for broker in apache.cluster.brokers() {
        assert!(
            excluded
                .iter()
                .any(|queues| *queues.broker_name == *broker.name())
        );
        assert!(text.contains(broker.name()), "{text}");
    }
    Ok(())
}

/// An address where nothing listens.
fn dead_address() -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.to_string())
}

promise!(a_dead_name_server_is_an_error_that_names_each_address_tried: on_5_5_0);

async fn a_dead_name_server_is_an_error_that_names_each_address_tried(
    apache: &'static Apache,
) -> Result<()> {
    let (one, other) = (dead_address()?, dead_address()?);
    let producer = Producer::builder("dead_name_server")
        .name_servers(&format!("{one};{other}"))
        .configure(|settings| settings.send_msg_timeout(BUDGET))
        .start()
        .await?;
    let error = refused(&producer, "any").await?;
    assert_eq!(error.kind(), ErrorKind::NameServer);
    let SendFailure::Routing(RoutingError::NameServer { cause, .. }) = error.cause() else {
        panic!("{error:?}");
    };
    assert!(
        matches!(cause, NameServerError::Unreachable { .. }),
        "{error:?}"
    );
    let text = shown(&error);
    assert!(text.contains(&one) && text.contains(&other), "{text}");

    // With a living one among them there is no error at all.
    let topic = "one_name_server_lives";
    apache.topic(topic, 4)?;
    let all = format!("{one};{other};{}", apache.name_servers());
    let producer = apache
        .builder("dead_name_server")
        .name_servers(&all)
        .start()
        .await?;
    producer.send(Message::new(topic, "stored")?).await?;
    end(&producer).await?;
    Ok(())
}

promise!(a_broker_taken_for_a_name_server_is_an_error_that_says_so: on_5_5_0, on_4_9_7);

async fn a_broker_taken_for_a_name_server_is_an_error_that_says_so(
    apache: &'static Apache,
) -> Result<()> {
    let broker = apache
        .cluster
        .brokers()
        .first()
        .context("a broker")?
        .address();
    let producer = apache
        .builder("wrong_port")
        .name_servers(broker)
        .configure(|settings| settings.send_msg_timeout(BUDGET))
        .start()
        .await?;
    let error = refused(&producer, "any").await?;
    assert_eq!(error.kind(), ErrorKind::NameServer);
    let SendFailure::Routing(RoutingError::NameServer { cause, .. }) = error.cause() else {
        panic!("{error:?}");
    };
    let NameServerError::Refused { address, .. } = cause else {
        panic!("{error:?}");
    };
    assert_eq!(**address, *broker);
    let text = shown(&error);
    assert!(text.contains(broker), "{text}");
    Ok(())
}

promise!(a_broker_that_cannot_be_reached_is_named_and_used_again_after_its_return: on_5_1_4);

async fn a_broker_that_cannot_be_reached_is_named_and_used_again_after_its_return(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "killed_broker";
    apache.topic(topic, 2)?;
    let producer = apache
        .producer_with("killed_broker", |settings| {
            settings.send_msg_timeout(BUDGET)
        })
        .await?;
    let mut oracle = Oracle::new();
    let body = Bytes::from_static(b"before");
    let receipt = producer.send(Message::new(topic, body.clone())?).await?;
    oracle.acked(&receipt, &body);

    let broker = apache.cluster.brokers().first().context("a broker")?;
    broker.kill()?;
    let closed = || (producer.stats().brokers.closed_connections > 0).then_some(());
    wait::until(SOON, closed).context("the connection's end was not noticed")?;
    let body = Bytes::from_static(b"meanwhile");
    let error = producer
        .send(Message::new(topic, body.clone())?)
        .await
        .expect_err("the only broker is gone");
    // Started before anything may fail: others use it too.
    broker.start()?;
    assert_eq!(error.kind(), ErrorKind::BrokerNotAvailable, "{error:?}");
    assert_eq!(error.delivery(), Delivery::NotSent, "{error:?}");
    assert!(
        matches!(error.cause(), SendFailure::BrokerAway { .. }),
        "its return was waited for: {error:?}"
    );
    assert!(
        !error.attempts().is_empty() && error.is_retryable(),
        "{error:?}"
    );
    for attempt in error.attempts() {
        assert_eq!(
            (attempt.broker(), attempt.address()),
            (broker.name(), broker.address())
        );
    }
    let text = shown(&error);
    assert!(text.contains(broker.address()), "{text}");
    oracle.failed(&error);

    let body = Bytes::from_static(b"after");
    let receipt = producer.send(Message::new(topic, body.clone())?).await?;
    oracle.acked(&receipt, &body);
    end(&producer).await?;
    oracle.judge(&apache.read(topic, 2)?).exactly_once()?;
    Ok(())
}
