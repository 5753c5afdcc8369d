//! Ways to servers that are not the direct one: SOCKS5 proxies, addresses that are reached as others, the VIP channel.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer::config::routing::{AttemptCause, RoutingError};
use rocketmq_producer::remoting::{HostFailure, ProxyError, ProxyFailure};
use rocketmq_producer::{Delivery, Message, Producer, SendError, SendFailure};
use rocketmq_producer_tests::peer::{Peer, closed_address};
use rocketmq_producer_tests::socks::{Manner, SocksProxy};

use crate::support::{PATIENT, cluster, connections};

const TOPIC: &str = "networks";
/// For sends that are to fail.
const BUDGET: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_proxy_is_gone_through_and_resolves_names() -> Result<()> {
    let cluster = cluster().topic(TOPIC, 2).start().await?;
    let name_server = cluster.name_servers();
    // Nobody else can resolve it.
    let name = "mq.invalid:9876";
    let proxy = SocksProxy::with_names(
        Manner::Login("orders", "its secret"),
        [(name.to_owned(), name_server.parse()?)],
    )
    .await?;
    let producer = Producer::builder("g")
        .name_servers(name)
        .configure(|settings| {
            settings
                .send_msg_timeout(PATIENT)
                .socks_proxy(&proxy.address())
                .socks_user("orders")
                .socks_password("its secret")
        })
        .start()
        .await?;
    for _ in 0..4 {
        producer.send(Message::new(TOPIC, "through")?).await?;
    }
    let mut asked = proxy.asked();
    asked.sort();
    let mut expected: Vec<_> = cluster
        .brokers()
        .iter()
        .map(|b| b.address.to_string())
        .collect();
    expected.push(name.to_owned());
    expected.sort();
    assert_eq!(asked, expected, "every connection went through it, once");
    assert_eq!(connections(&cluster), 3);
    Ok(())
}

/// A send that cannot leave, with how the proxy failed.
async fn refused(proxy: &str, user: Option<&str>) -> Result<(SendError, ProxyError)> {
    let producer = Producer::builder("g")
        .name_servers("127.0.0.1:9")
        .configure(|settings| {
            let settings = settings
                .send_msg_timeout(BUDGET)
                .connect_timeout(Duration::from_secs(1))
                .socks_proxy(proxy);
            match user {
                Some(user) => settings.socks_user(user).socks_password("wrong"),
                None => settings,
            }
        })
        .start()
        .await?;
    let error = producer.send(Message::new(TOPIC, "never")?).await.err();
    let error = error.context("it cannot be sent")?;
    assert_eq!(error.delivery(), Delivery::NotSent, "{error:?}");
    let SendFailure::Routing(RoutingError::NameServer { cause, .. }) = error.cause() else {
        panic!("{error:?}");
    };
    let AttemptCause::Connect(connect) = &cause.attempts()[0].cause else {
        panic!("{error:?}");
    };
    let failure = connect.failure().proxy().context("of the proxy")?.clone();
    let text = format!("{:#}", anyhow::Error::from(error.clone()));
    assert!(text.contains(proxy), "names the proxy: {text}");
    Ok((error, failure))
}

#[tokio::test]
async fn a_proxy_that_brings_no_connection_is_named_with_the_reason() -> Result<()> {
    let login = || Manner::Login("orders", "its secret");
    for (manner, user, advice) in [
        (login(), None, "socks_user"),
        (login(), Some("orders"), "socks_user"),
        (Manner::Refuse(2), None, "proxy's rules"),
        (Manner::Refuse(4), None, "reachable from the proxy"),
        (Manner::Refuse(1), None, "socks_proxy"),
        (Manner::Http, None, "socks_proxy"),
        (Manner::Silent, None, "socks_proxy"),
    ] {
        let proxy = SocksProxy::start(manner.clone()).await?;
        let (error, failure) = refused(&proxy.address(), user).await?;
        let as_it_should = matches!(
            (&manner, user, failure.failure()),
            (Manner::Login(..), None, ProxyFailure::LoginRequired)
                | (Manner::Login(..), Some(_), ProxyFailure::LoginRefused)
                | (Manner::Http, _, ProxyFailure::NotSocks5(_))
                | (Manner::Silent, _, ProxyFailure::TimedOut { .. })
                | (Manner::Refuse(2), _, ProxyFailure::Forbidden { .. })
                | (Manner::Refuse(4), _, ProxyFailure::TargetUnreachable { .. })
                | (Manner::Refuse(1), _, ProxyFailure::Failed(_))
        );
        assert!(as_it_should, "{manner:?}: {failure}");
        assert!(error.advice().contains(advice), "{}", error.advice());
    }
    let closed = closed_address()?;
    let (_, failure) = refused(&closed, None).await?;
    assert!(matches!(failure.failure(), ProxyFailure::Unreachable(_)));
    Ok(())
}

/// What no machine here has: advertised by a broker inside a container.
const INSIDE: &str = "192.0.2.7:10911";

#[tokio::test]
async fn a_broker_is_reached_where_the_map_says_and_known_by_what_it_advertises() -> Result<()> {
    let cluster = cluster().topic(TOPIC, 1).start().await?;
    let outside = cluster.brokers()[0].address;
    let elsewhere = format!("192.0.2.7:{}", outside.port());
    for (advertised, map) in [
        (INSIDE, format!("{INSIDE}={outside}; 192.0.2.7=203.0.113.1")),
        (&*elsewhere, "192.0.2.7=127.0.0.1".to_owned()),
    ] {
        let name_server = Peer::name_server(&[("broker-a", advertised)]).await?;
        let producer = Producer::builder("g")
            .name_servers(&name_server.address())
            .configure(|settings| settings.send_msg_timeout(PATIENT).address_map(&map))
            .start()
            .await?;
        let receipt = producer.send(Message::new(TOPIC, "to the inside")?).await?;
        let addresses: Vec<_> = receipt
            .attempts()
            .map(|attempt| attempt.address())
            .collect();
        assert_eq!(addresses, [advertised], "{receipt:?}");
        assert!(producer.shutdown(PATIENT).await.is_drained());
    }
    assert_eq!(cluster.message_count(TOPIC), 2);
    Ok(())
}

#[tokio::test]
async fn the_vip_channel_is_two_ports_below_what_a_broker_advertises() -> Result<()> {
    let cluster = cluster().topic(TOPIC, 1).start().await?;
    let broker = cluster.brokers()[0].address;
    let advertised = format!("127.0.0.1:{}", broker.port() + 2);
    let name_server = Peer::name_server(&[("broker-a", &*advertised)]).await?;
    let producer = Producer::builder("g")
        .name_servers(&name_server.address())
        .configure(|settings| settings.send_msg_timeout(PATIENT).vip_channel(true))
        .start()
        .await?;
    producer
        .send(Message::new(TOPIC, "by the second server")?)
        .await?;
    let beats = producer.send_heartbeat_to_all_brokers().await;
    assert_eq!(beats.succeeded, [Arc::from(advertised)], "{beats:?}");
    Ok(())
}

#[tokio::test]
async fn an_error_names_both_the_advertised_and_the_dialled_address() -> Result<()> {
    let closed = closed_address()?;
    let name_server = Peer::name_server(&[("broker-a", INSIDE)]).await?;
    let map = format!("{INSIDE}={closed}");
    let producer = Producer::builder("g")
        .name_servers(&name_server.address())
        .configure(|settings| settings.send_msg_timeout(BUDGET).address_map(&map))
        .start()
        .await?;
    let error = producer.send(Message::new(TOPIC, "never")?).await.err();
    let error = error.context("it cannot be sent")?;
    assert_eq!(error.delivery(), Delivery::NotSent, "{error:?}");
    let text = format!("{:#}", anyhow::Error::from(error.clone()));
    assert!(text.contains(INSIDE) && text.contains(&closed), "{text}");
    assert!(error.advice().contains("address_map"), "{}", error.advice());
    Ok(())
}

#[tokio::test]
async fn a_name_that_is_not_resolved_is_told_apart() -> Result<()> {
    let producer = Producer::builder("g")
        .name_servers("no-such-host.invalid:9876")
        .configure(|settings| settings.send_msg_timeout(BUDGET))
        .start()
        .await?;
    let error = producer.send(Message::new(TOPIC, "never")?).await.err();
    let error = error.context("it cannot be sent")?;
    let SendFailure::Routing(RoutingError::NameServer { cause, .. }) = error.cause() else {
        panic!("{error:?}");
    };
    let AttemptCause::Connect(connect) = &cause.attempts()[0].cause else {
        panic!("{error:?}");
    };
    let failure = connect.failure();
    assert!(
        matches!(failure.host(), Some(HostFailure::Unresolved { .. })),
        "{failure}"
    );
    Ok(())
}
