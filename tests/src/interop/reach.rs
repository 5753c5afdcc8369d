//! Ways to servers that cannot be reached directly.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rocketmq_producer::{Delivery, Message, ProducerBuilder, SendOptions};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::ground::end;
use super::row::{Group, row};
use super::trial::{QUEUES, Trial, shown};
use super::{Cell, Column, Ground};
use crate::socks::{Manner, SocksProxy};

pub(super) const GROUP: Group = Group::new(
    "Networks",
    &[
        row!(
            "SOCKS5 proxy",
            "all connections go through it, with user and password, TLS inside of it",
            socks
        ),
        row!(
            "SOCKS5 proxy that refuses",
            "nothing is sent, the error names the proxy",
            socks_refused
        ),
        row!(
            "address map",
            "brokers are reached at other addresses than the advertised ones",
            address_map
        ),
        row!("VIP channel", "sends take the port two below", vip_channel),
        row!(
            "name server by name",
            "a host name is resolved for every dial",
            by_name
        ),
    ],
);

async fn ten(trial: &mut Trial) -> Result<()> {
    for _ in 0..10 {
        trial.send(SendOptions::new()).await?;
    }
    Ok(())
}

async fn socks(ground: Arc<Ground>) -> Result<Cell> {
    let proxy = SocksProxy::start(Manner::Login("rust", "crab")).await?;
    let address = proxy.address();
    let mut trial = Trial::with(&ground, "socks", |builder| {
        builder.configure(|settings| {
            let settings = settings.socks_proxy(&address);
            settings.socks_user("rust").socks_password("crab")
        })
    })
    .await?;
    ten(&mut trial).await?;
    let asked = proxy.asked();
    let servers = ground.name_servers();
    ensure!(asked.contains(&servers), "{asked:?}");
    ensure!(
        asked.len() > 1 || ground.column() == Column::Proxy,
        "{asked:?}"
    );
    trial.judge().await?;
    Ok(Cell::Passed)
}

async fn socks_refused(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "socks-refused";
    ground.topic(topic, QUEUES).await?;
    // Not allowed by the rules.
    let proxy = SocksProxy::start(Manner::Refuse(2)).await?;
    let address = proxy.address();
    let producer = ground
        .builder(topic)
        .configure(|settings| settings.socks_proxy(&address))
        .start()
        .await?;
    let error = producer.send(Message::new(topic, "never")?).await;
    let error = error.err().context("taken")?;
    ensure!(error.delivery() == Delivery::NotSent, "{error:?}");
    let text = shown(error);
    ensure!(text.contains(&address), "{text}");
    end(&producer).await?;
    Cell::refused("not sent: the proxy forbids the connection")
}

/// Takes connections at a port of its own and hands them to `target`; ends when it is dropped.
async fn door(target: String) -> Result<(String, JoinSet<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((mut from, _)) = listener.accept().await {
            let target = target.clone();
            open.spawn(async move {
                if let Ok(mut to) = TcpStream::connect(target).await {
                    let _ = copy_bidirectional(&mut from, &mut to).await;
                }
            });
        }
    });
    Ok((address, tasks))
}

async fn address_map(ground: Arc<Ground>) -> Result<Cell> {
    let (mut rules, mut doors) = (Vec::new(), Vec::new());
    let advertised = match ground.cluster().proxy() {
        Some(proxy) => vec![proxy.address().to_owned()],
        None => ground
            .brokers()
            .iter()
            .map(|broker| broker.address().to_owned())
            .collect(),
    };
    for address in advertised {
        let (at, tasks) = door(address.clone()).await?;
        rules.push(format!("{address}={at}"));
        doors.push((at, tasks));
    }
    let rules = rules.join(";");
    let with_rules =
        |builder: ProducerBuilder| builder.configure(|settings| settings.address_map(&rules));
    let mut trial = Trial::with(&ground, "address-map", with_rules).await?;
    ten(&mut trial).await?;
    // Closing the doors ends what went through them.
    drop(doors);
    let stats = trial.producer.stats();
    ensure!(stats.brokers.dials > 0, "{stats:?}");
    trial.judge().await?;
    Ok(Cell::Passed)
}

async fn vip_channel(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "vip";
    let with_vip =
        |builder: ProducerBuilder| builder.configure(|settings| settings.vip_channel(true));
    if ground.column() == Column::Proxy {
        ground.topic(topic, QUEUES).await?;
        let budget = std::time::Duration::from_secs(3);
        let producer = with_vip(ground.builder(topic))
            .configure(|settings| settings.send_msg_timeout(budget))
            .start()
            .await?;
        let error = producer.send(Message::new(topic, "never")?).await;
        let error = error.err().context("the proxy has such a port?")?;
        ensure!(error.delivery() == Delivery::NotSent, "{error:?}");
        end(&producer).await?;
        return Cell::not_offered("the proxy has no such port: not sent");
    }
    let mut trial = Trial::with(&ground, topic, with_vip).await?;
    ten(&mut trial).await?;
    trial.judge().await?;
    Ok(Cell::Passed)
}

async fn by_name(ground: Arc<Ground>) -> Result<Cell> {
    let servers = ground.name_servers().replace("127.0.0.1", "localhost");
    let tls = ground.ca().is_some();
    let mut trial = Trial::with(&ground, "by-name", |builder| {
        let builder = builder.name_servers(&servers);
        if tls {
            // The certificate is for the address.
            builder.configure(|settings| settings.tls_server_name("127.0.0.1"))
        } else {
            builder
        }
    })
    .await?;
    ten(&mut trial).await?;
    trial.judge().await?;
    Ok(Cell::Passed)
}
