//! Ways to real servers that are not the direct one: a proxy, addresses reached as others, the VIP channel, a page that
//! tells name servers.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use rocketmq_producer::config::ProducerConfigBuilder;
use rocketmq_producer::{Message, Producer};
use rocketmq_producer_tests::oracle::Oracle;
use rocketmq_producer_tests::page::Page;
use rocketmq_producer_tests::socks::{Manner, SocksProxy};

use crate::clusters::{Apache, end, promise};

promise!(every_way_leads_to_the_brokers: on_5_5_0, on_4_9_7);

const TOPIC: &str = "networks";
const MESSAGES: usize = 8;

/// Sends some messages the way that the settings say, and tells what the proxy was asked for.
async fn send(
    apache: &Apache,
    oracle: &mut Oracle,
    group: &str,
    name_servers: &str,
    change: impl FnOnce(ProducerConfigBuilder) -> ProducerConfigBuilder,
) -> Result<Vec<String>> {
    let first = apache.name_servers().parse::<SocketAddr>()?;
    let names = [("mq.invalid:9876".to_owned(), first)];
    let proxy = SocksProxy::with_names(Manner::Login("me", "hush"), names).await?;
    let producer: Producer = apache
        .builder(group)
        .name_servers(name_servers)
        .configure(|settings| {
            let settings = settings.socks_proxy(&proxy.address());
            change(settings.socks_user("me").socks_password("hush"))
        })
        .start()
        .await?;
    for index in 0..MESSAGES {
        let body = Bytes::from(format!("{group} {index}"));
        let receipt = producer.send(Message::new(TOPIC, body.clone())?).await?;
        oracle.acked(&receipt, &body);
    }
    let beats = producer.send_heartbeat_to_all_brokers().await;
    assert!(beats.failed.is_empty(), "{beats:?}");
    // Known to the brokers by the one connection, whichever way it came.
    let listed = apache.brokers_that_list(group, producer.client_id())?;
    assert_eq!(listed.len(), apache.broker_addresses().len(), "{listed:?}");
    end(&producer).await?;
    Ok(proxy.asked())
}

async fn every_way_leads_to_the_brokers(apache: &Apache) -> Result<()> {
    apache.topic(TOPIC, 4)?;
    let mut oracle = Oracle::new();
    let name_servers = apache.name_servers();
    let brokers = apache.broker_addresses();
    let went = |asked: &[String], as_what: &dyn Fn(&str) -> Option<String>| -> Result<()> {
        for broker in &brokers {
            let address = as_what(broker).context("an address")?;
            assert!(asked.contains(&address), "{address} is not among {asked:?}");
        }
        // Nothing went another way; on a busy machine a connection may be replaced by the like.
        let ways = brokers
            .iter()
            .filter(|broker| asked.contains(broker))
            .count();
        let direct = brokers
            .iter()
            .all(|broker| as_what(broker).as_ref() == Some(broker));
        assert_eq!(ways > 0, direct, "{asked:?}");
        Ok(())
    };

    let asked = send(
        apache,
        &mut oracle,
        "by-proxy",
        "mq.invalid:9876",
        |settings| settings,
    )
    .await?;
    went(&asked, &|broker| Some(broker.to_owned()))?;
    assert!(
        asked.contains(&"mq.invalid:9876".to_owned()),
        "resolved by the proxy: {asked:?}"
    );

    // All of 127.0.0.0/8 is this machine, so the other address leads to the same broker.
    let map = "127.0.0.1=127.0.0.2";
    let asked = send(apache, &mut oracle, "mapped", &name_servers, |settings| {
        settings.address_map(map)
    })
    .await?;
    went(&asked, &|broker| {
        Some(broker.replace("127.0.0.1", "127.0.0.2"))
    })?;

    let asked = send(apache, &mut oracle, "vip", &name_servers, |settings| {
        settings.vip_channel(true)
    })
    .await?;
    went(&asked, &rocketmq_producer::remoting::vip_channel)?;

    let page = Page::start(Some(&format!("{name_servers}\n"))).await?;
    let mut asked = send(apache, &mut oracle, "by-page", &page.url(), |settings| {
        settings
    })
    .await?;
    asked.retain(|address| *address != page.address());
    went(&asked, &|broker| Some(broker.to_owned()))?;

    let stored = apache.read(TOPIC, 4 * MESSAGES)?;
    oracle.judge(&stored).exactly_once()?;
    Ok(())
}
