//! Name servers that a page tells, and endpoints of instances.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer::config::routing::{HttpFailure, NameServerError, RoutingError};
use rocketmq_producer::{Delivery, Message, Producer, ProducerBuilder, SendFailure};
use rocketmq_producer_tests::page::Page;
use rocketmq_producer_tests::socks::{Manner, SocksProxy};

use crate::support::{PATIENT, cluster};

const TOPIC: &str = "discovery";

/// Asks the page ten times a second.
fn builder(page: &Page) -> ProducerBuilder {
    Producer::builder("g")
        .name_servers(&page.url())
        .configure(|settings| {
            settings
                .send_msg_timeout(PATIENT)
                .namesrv_discovery_interval(Duration::from_millis(100))
                .update_topic_route_info_interval(Duration::from_millis(100))
        })
}

#[tokio::test]
async fn name_servers_follow_the_page_without_a_failed_send() -> Result<()> {
    let cluster = cluster().name_servers(2).topic(TOPIC, 2).start().await?;
    let addresses = cluster.name_servers();
    let (one, other) = addresses.split_once(';').context("two")?;
    let page = Page::start(Some(&format!("  {one}\r\nno more\r\n"))).await?;
    let producer = builder(&page).start().await?;
    let known = || producer.name_servers().addresses();
    producer.send(Message::new(TOPIC, "first")?).await?;
    assert_eq!(known(), [Arc::from(one)]);
    let sending = async {
        for (text, stopped, list) in [
            (Some(addresses.as_str()), None, 2),
            (Some(other), Some(0), 1),
            (None, None, 1),
            (Some("<html>"), None, 1),
        ] {
            page.change(text).await;
            if let Some(index) = stopped {
                // Nobody asks it any more.
                cluster.stop_name_server(index).await?;
            }
            assert_eq!(known().len(), list, "{text:?}");
            producer.send(Message::new(TOPIC, "meanwhile")?).await?;
        }
        anyhow::Ok(())
    };
    let steady = async {
        loop {
            let sent = producer.send(Message::new(TOPIC, "steady")?).await;
            if let Err(error) = sent {
                return anyhow::Ok(error);
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        changed = sending => changed?,
        failed = steady => panic!("{:?}", failed?),
    }
    assert_eq!(known(), [Arc::from(other)]);
    assert!(
        page.asked()
            .iter()
            .all(|line| line == "GET /rocketmq/nsaddr HTTP/1.1")
    );
    assert_eq!(producer.stats().total_failed, 0);
    Ok(())
}

#[tokio::test]
async fn a_page_that_tells_nothing_is_named_and_asked_again() -> Result<()> {
    let cluster = cluster().topic(TOPIC, 2).start().await?;
    let page = Page::start(None).await?;
    let producer = builder(&page)
        .configure(|settings| settings.send_msg_timeout(Duration::from_secs(2)))
        .start()
        .await?;
    let error = producer.send(Message::new(TOPIC, "too early")?).await.err();
    let error = error.context("nobody knows a name server")?;
    assert_eq!(error.delivery(), Delivery::NotSent, "{error:?}");
    let text = format!("{:#}", anyhow::Error::from(error.clone()));
    assert!(text.contains(&page.url()) && text.contains("500"), "{text}");
    assert!(
        error.advice().contains("names a page"),
        "{}",
        error.advice()
    );
    let SendFailure::Routing(RoutingError::NameServer { cause, .. }) = error.cause() else {
        panic!("{error:?}");
    };
    let NameServerError::Discovery(failed) = cause else {
        panic!("{error:?}");
    };
    assert!(
        matches!(HttpFailure::of(failed), Some(HttpFailure::Status(500))),
        "{failed:?}"
    );
    page.change(Some(&cluster.name_servers())).await;
    producer.send(Message::new(TOPIC, "now")?).await?;
    Ok(())
}

#[tokio::test]
async fn pages_and_endpoints_of_instances_are_reached_through_the_proxy() -> Result<()> {
    let wrapped = format!("MQ_INST_1_2%{TOPIC}");
    let cluster = cluster().topic(TOPIC, 2).topic(&wrapped, 2).start().await?;
    let inside = "MQ_INST_1_2.mq.invalid:9876";
    let page = Page::start(Some(inside)).await?;
    let names = [
        (inside.to_owned(), cluster.name_servers().parse()?),
        ("page.invalid:80".to_owned(), page.address().parse()?),
    ];
    let proxy = SocksProxy::with_names(Manner::Open, names).await?;
    for source in [
        "http://page.invalid/list",
        "http://MQ_INST_1_2.mq.invalid:9876",
    ] {
        let producer = Producer::builder("g")
            .name_servers(source)
            .configure(|settings| {
                settings
                    .send_msg_timeout(PATIENT)
                    .unit_name("center")
                    .socks_proxy(&proxy.address())
            })
            .start()
            .await?;
        producer.send(Message::new(TOPIC, source)?).await?;
    }
    assert_eq!(page.asked()[0], "GET /list-center?nofix=1 HTTP/1.1");
    assert_eq!(cluster.message_count(TOPIC), 1);
    assert_eq!(
        cluster.message_count(&wrapped),
        1,
        "the instance is a namespace"
    );
    Ok(())
}
