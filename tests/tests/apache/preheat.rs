//! What is named to `preheat` is ready when `start` returns.

use anyhow::Result;
use rocketmq_producer::routing::RoutingError;
use rocketmq_producer::{Message, StartError};

use crate::clusters::{Apache, end, promise};

promise!(routes_connections_and_heartbeats_are_there_when_start_returns: on_5_5_0, on_4_9_7);

async fn routes_connections_and_heartbeats_are_there_when_start_returns(
    apache: &'static Apache,
) -> Result<()> {
    let (topic, group) = ("preheated", "preheated_group");
    apache.topic(topic, 4)?;
    let producer = apache
        .builder(group)
        .configure(|settings| settings.create_topic(false))
        .preheat([topic, "preheated_unknown"])
        .build()?;
    let report = producer.start().await?;
    // One look, at once, without waiting for anything.
    let listing = apache.brokers_that_list(group, producer.client_id())?;
    assert_eq!(listing, apache.broker_addresses());

    assert_eq!(
        report.ready.iter().map(|t| &**t).collect::<Vec<_>>(),
        [topic]
    );
    let mut beaten: Vec<&str> = report.heartbeats.succeeded.iter().map(|a| &**a).collect();
    let mut addresses = apache.broker_addresses();
    beaten.sort_unstable();
    addresses.sort_unstable();
    assert_eq!(beaten, addresses);
    assert!(report.heartbeats.failed.is_empty(), "{report:?}");
    let [(unknown, RoutingError::TopicNotFound { topic: named, .. })] = &report.failed[..] else {
        panic!("{report:?}");
    };
    assert_eq!(
        (&**unknown, &**named),
        ("preheated_unknown", "preheated_unknown")
    );

    let before = producer.stats();
    for _ in 0..8 {
        producer.send(Message::new(topic, "warm")?).await?;
    }
    let after = producer.stats();
    assert_eq!(
        after.brokers.dials, before.brokers.dials,
        "no new connection"
    );
    assert_eq!(
        after.name_servers.frames_read, before.name_servers.frames_read,
        "no new route"
    );
    end(&producer).await?;
    Ok(())
}

promise!(a_required_topic_that_is_unknown_fails_the_start: on_5_5_0, on_4_9_7);

async fn a_required_topic_that_is_unknown_fails_the_start(apache: &'static Apache) -> Result<()> {
    let group = "required_group";
    let outcome = apache
        .builder(group)
        .configure(|settings| settings.create_topic(false))
        .preheat(["required_unknown"])
        .require_preheat()
        .start()
        .await;
    let Err(StartError::Preheat { topic, cause }) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(&*topic, "required_unknown");
    assert!(
        cause.to_string().contains(&apache.name_servers()),
        "{cause}"
    );
    assert!(apache.listed(group)?.iter().all(|(_, ids)| ids.is_empty()));
    Ok(())
}
