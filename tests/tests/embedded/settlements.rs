//! Whose word the end of a transaction has, whatever the way to the broker.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use async_trait::async_trait;
use rocketmq_producer::remoting::{ConnectionOptions, Dialer, TcpDialer, Transport};
use rocketmq_producer::{
    CheckedMessage, LocalTransactionState, Message, Producer, ProducerBuilder, Settlement,
    TransactionChecker, TransactionalProducer,
};
use rocketmq_producer_embedded::EmbeddedCluster;
use rocketmq_producer_tests::peer::{Peer, Reply, route};
use rocketmq_producer_tests::socks::{Manner, SocksProxy};
use tokio::time::Instant;

use crate::support::PATIENT;

const TOPIC: &str = "settlements";

struct Unknowing;

#[async_trait]
impl TransactionChecker for Unknowing {
    async fn check(&self, _: &CheckedMessage) -> LocalTransactionState {
        LocalTransactionState::Unknown
    }
}

async fn cluster() -> Result<(EmbeddedCluster, u16)> {
    let cluster = EmbeddedCluster::builder().topic(TOPIC, 2).start().await?;
    let port = cluster
        .brokers()
        .first()
        .context("a broker")?
        .address
        .port();
    Ok((cluster, port))
}

async fn producer(name_servers: &str, builder: ProducerBuilder) -> Result<TransactionalProducer> {
    let builder = builder
        .name_servers(name_servers)
        .configure(|settings| settings.send_msg_timeout(PATIENT));
    Ok(builder.start_transactional(Arc::new(Unknowing)).await?)
}

/// What is said of the end of a transaction that is committed.
async fn committed(producer: &TransactionalProducer) -> Result<Settlement> {
    let commit = |_| async { LocalTransactionState::Commit };
    let message = Message::new(TOPIC, "in a transaction")?;
    let receipt = producer.send_transaction(message, commit).await?;
    Ok(receipt.settlement().clone())
}

/// Leads the port of the VIP channel back to the one that the embedded broker has.
struct NoVipPort;

#[async_trait]
impl Dialer for NoVipPort {
    async fn dial(
        &self,
        address: &str,
        options: &ConnectionOptions,
    ) -> io::Result<Box<dyn Transport>> {
        let address = match address.rsplit_once(':') {
            Some((host, port)) => {
                let port: u16 = port.parse().map_err(io::Error::other)?;
                format!("{host}:{}", port + 2)
            }
            None => address.to_owned(),
        };
        TcpDialer.dial(&address, options).await
    }
}

#[tokio::test]
async fn a_broker_that_confirms_is_believed_by_the_vip_channel() -> Result<()> {
    let (cluster, port) = cluster().await?;
    let builder = Producer::builder("g").dialer(Arc::new(NoVipPort));
    // Name servers have no such port.
    let server: std::net::SocketAddr = cluster.name_servers().parse()?;
    let server = format!("127.0.0.1:{}", server.port() - 2);
    let builder = builder.configure(|settings| settings.vip_channel(true));
    let producer = producer(&server, builder).await?;
    let settlement = committed(&producer).await?;
    assert!(settlement.is_confirmed(), "{port}: {settlement:?}");
    assert_eq!(cluster.message_count(TOPIC), 1);
    Ok(())
}

#[tokio::test]
async fn a_broker_that_confirms_is_believed_by_an_address_map_and_a_proxy() -> Result<()> {
    let (cluster, port) = cluster().await?;
    let outside = "broker.invalid:10911";
    let names = [(outside.to_owned(), ([127, 0, 0, 1], port).into())];
    let proxy = SocksProxy::with_names(Manner::Open, names).await?;
    let map = format!("127.0.0.1:{port}={outside}");
    let builder = Producer::builder("g").configure(|settings| {
        let settings = settings.socks_proxy(&proxy.address());
        settings.address_map(&map)
    });
    let producer = producer(&cluster.name_servers(), builder).await?;
    let settlement = committed(&producer).await?;
    assert!(settlement.is_confirmed(), "{settlement:?}");
    assert!(proxy.asked().contains(&outside.to_owned()));
    assert_eq!(cluster.message_count(TOPIC), 1);
    Ok(())
}

#[tokio::test]
async fn a_broker_that_confirms_is_believed_if_it_is_known_by_a_name() -> Result<()> {
    let (cluster, port) = cluster().await?;
    let named = format!("localhost:{port}");
    let server = Peer::name_server(&[("broker-a", &named)]).await?;
    let producer = producer(&server.address(), Producer::builder("g")).await?;
    let settlement = committed(&producer).await?;
    assert!(settlement.is_confirmed(), "{settlement:?}");
    assert_eq!(cluster.message_count(TOPIC), 1);
    Ok(())
}

#[tokio::test]
async fn the_new_master_of_a_broker_is_believed_as_the_old_one_was() -> Result<()> {
    let (cluster, port) = cluster().await?;
    let (old, new) = (format!("127.0.0.1:{port}"), "192.0.2.9:10911");
    let (before, after) = (
        route(&[("broker-a", &old)], 1),
        route(&[("broker-a", new)], 1),
    );
    let moved = Arc::new(AtomicBool::new(false));
    let has_moved = Arc::clone(&moved);
    let server = Peer::start(move |_, _| {
        let has_moved = has_moved.load(Ordering::SeqCst);
        Reply::Body(if has_moved {
            after.clone()
        } else {
            before.clone()
        })
    })
    .await?;
    let map = format!("{new}={old}");
    let builder = Producer::builder("g").configure(|settings| settings.address_map(&map));
    let producer = producer(&server.address(), builder).await?;
    let open = producer
        .begin(Message::new(TOPIC, "half at the old one")?)
        .await?;
    moved.store(true, Ordering::SeqCst);
    let mapping = producer.producer().mapping();
    mapping
        .force_refresh(TOPIC, Instant::now() + PATIENT)
        .await?;
    let receipt = open.commit().await;
    assert!(receipt.settlement().is_confirmed(), "{receipt:?}");
    assert_eq!(cluster.message_count(TOPIC), 1);
    Ok(())
}

#[tokio::test]
async fn a_proxy_is_no_broker_even_if_its_port_is_that_of_one() -> Result<()> {
    let (_cluster, port) = cluster().await?;
    let proxy = format!("localhost:{port}");
    // A proxy says of every broker that it is at the proxy's address.
    let brokers = [("broker-a", &*proxy), ("broker-b", &*proxy)];
    let server = Peer::name_server(&brokers).await?;
    let producer = producer(&server.address(), Producer::builder("g")).await?;
    let settlement = committed(&producer).await?;
    assert!(matches!(settlement, Settlement::Relayed), "{settlement:?}");
    Ok(())
}
