//! Ways to servers that cannot be reached directly.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use rocketmq_producer::config::DeliveryGuarantee;
use rocketmq_producer::remoting::{ConnectionOptions, Dialer, TcpDialer, Transport};
use rocketmq_producer::routing::KeyedFailover;
use rocketmq_producer::{Delivery, Message, ProducerBuilder, SendOptions};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout};
use xtask::apache::Node;

use super::ground::{SOON, end};
use super::row::{Group, row};
use super::trial::{QUEUES, Trial, shown, stored};
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
        row!(
            "a dialer of one's own",
            "opens every connection, below TLS",
            own_dialer
        ),
        row!(
            "a broker out of reach",
            "sends go on elsewhere, or wait; health events tell of it; it is used again",
            out_of_reach
        ),
        row!(
            "a key whose broker is out of reach",
            "`keyed_failover`: by default it stays and the send fails unsent; with `move` it goes elsewhere",
            keyed
        ),
        row!(
            "connections cut, at most once",
            "`delivery_guarantee=at_most_once`: nothing is stored twice, nothing acknowledged is lost",
            at_most_once
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

/// Takes connections at a port of its own and hands them to `target`.
struct Door {
    target: String,
    at: SocketAddr,
    listening: JoinSet<()>,
    open: Arc<Mutex<JoinSet<()>>>,
}

impl Door {
    async fn new(target: &str) -> Result<Self> {
        let mut door = Self {
            target: target.to_owned(),
            at: ([127, 0, 0, 1], 0).into(),
            listening: JoinSet::new(),
            open: Arc::default(),
        };
        door.open().await?;
        Ok(door)
    }

    async fn open(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.at).await?;
        self.at = listener.local_addr()?;
        let (target, open) = (self.target.clone(), Arc::clone(&self.open));
        self.listening.spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let target = target.clone();
                let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
                open.spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        });
        Ok(())
    }

    /// Ends what went through it; further connections are taken.
    fn cut(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = JoinSet::new();
    }

    /// Nobody comes through any more.
    async fn close(&mut self) {
        self.listening.shutdown().await;
        self.cut();
    }
}

/// A door before each address that the producer would dial, and the rules that lead there.
async fn doors(ground: &Ground) -> Result<(Vec<Door>, String)> {
    let advertised = match ground.cluster().proxy() {
        Some(proxy) => vec![proxy.address()],
        None => ground.brokers().iter().map(Node::address).collect(),
    };
    let (mut doors, mut rules) = (Vec::new(), Vec::new());
    for address in advertised {
        let door = Door::new(address).await?;
        rules.push(format!("{address}={}", door.at));
        doors.push(door);
    }
    Ok((doors, rules.join(";")))
}

async fn address_map(ground: Arc<Ground>) -> Result<Cell> {
    let (doors, rules) = doors(&ground).await?;
    let with_rules =
        |builder: ProducerBuilder| builder.configure(|settings| settings.address_map(&rules));
    let mut trial = Trial::with(&ground, "address-map", with_rules).await?;
    ten(&mut trial).await?;
    let through = |door: &Door| {
        let open = door.open.lock().unwrap_or_else(PoisonError::into_inner);
        !open.is_empty()
    };
    ensure!(doors.iter().all(through), "a door was not gone through");
    trial.judge().await?;
    Ok(Cell::Passed)
}

/// Counts what it opens.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl Dialer for Counting {
    async fn dial(
        &self,
        address: &str,
        options: &ConnectionOptions,
    ) -> io::Result<Box<dyn Transport>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        TcpDialer.dial(address, options).await
    }
}

async fn own_dialer(ground: Arc<Ground>) -> Result<Cell> {
    let counting = Arc::new(Counting::default());
    let dialer = Arc::clone(&counting);
    let mut trial =
        Trial::with(&ground, "own-dialer", |builder| builder.dialer(dialer as _)).await?;
    ten(&mut trial).await?;
    let opened = counting.0.load(Ordering::SeqCst);
    ensure!(opened >= 2, "{opened} opened");
    trial.judge().await?;
    Ok(Cell::Passed)
}

/// The name of the broker that is behind the first door, for those who see brokers.
fn first_broker(ground: &Ground) -> Result<&str> {
    Ok(ground.brokers().first().context("a broker")?.name())
}

async fn out_of_reach(ground: Arc<Ground>) -> Result<Cell> {
    let (mut doors, rules) = doors(&ground).await?;
    let mut trial = Trial::with(&ground, "out-of-reach", |builder| {
        builder.configure(|settings| settings.address_map(&rules))
    })
    .await?;
    ten(&mut trial).await?;
    let mut events = trial.producer.health_events();
    let has_others = doors.len() > 1;
    let first = doors.first_mut().context("a door")?;
    first.close().await;
    if has_others {
        ten(&mut trial).await?;
        first.open().await?;
    } else {
        // Sends wait for the only one within their budget.
        let (producer, body) = (trial.producer.clone(), trial.body());
        let message = trial.message(&body)?;
        let mut waiting = JoinSet::new();
        waiting.spawn(async move { producer.send(message).await });
        let event = timeout(SOON, events.next()).await.context("no event")?;
        event.ok().context("events end")?;
        first.open().await?;
        let receipt = waiting.join_next().await.context("a send")???;
        trial.oracle.acked(&receipt, &body);
        trial.judge_kept().await?;
        return Cell::but("one address only: sends wait for it within their budget");
    }
    let name = first_broker(&ground)?;
    let deadline = Instant::now() + SOON;
    loop {
        let event = timeout(SOON, events.next()).await.context("no event")?;
        if *event.ok().context("events end")?.broker_name == *name {
            break;
        }
        ensure!(Instant::now() < deadline, "no event of {name}");
    }
    while trial
        .send(SendOptions::new())
        .await?
        .queue()
        .broker_name()
        .as_ref()
        != name
    {
        ensure!(Instant::now() < deadline, "{name} is not used again");
        sleep(Duration::from_millis(20)).await;
    }
    trial.judge_kept().await?;
    Ok(Cell::Passed)
}

async fn keyed(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "keyed-failover";
    let (mut doors, rules) = doors(&ground).await?;
    let mut trial = Trial::with(&ground, topic, |builder| {
        builder.configure(|settings| settings.address_map(&rules))
    })
    .await?;
    let moving = ground.builder(topic).configure(|settings| {
        let settings = settings.address_map(&rules);
        settings
            .client_id("keyed-failover@moving")
            .keyed_failover(KeyedFailover::Move)
    });
    let moving = moving.start().await?;
    let name = first_broker(&ground)?;
    let mut key = None;
    for index in 0..64 {
        let (body, candidate) = (trial.body(), format!("key-{index}"));
        let message = trial.message(&body)?.with_sharding_key(&candidate)?;
        let receipt = trial.producer.send(message).await?;
        trial.oracle.acked(&receipt, &body);
        if **receipt.queue().broker_name() == *name {
            key = Some(candidate);
            break;
        }
    }
    let key = key.context("no key of the first broker")?;
    let has_others = doors.len() > 1;
    let first = doors.first_mut().context("a door")?;
    first.close().await;
    // The first may be written before the end of the connection is seen; its outcome is unknown then.
    for body in ["perhaps", "never"] {
        let body = Bytes::from_static(body.as_bytes());
        let message = trial.message(&body)?.with_sharding_key(&key)?;
        let soon = SendOptions::new().timeout(Duration::from_secs(2));
        let outcome = trial.producer.send_with(message, soon).await;
        let error = outcome.as_ref().err().context("it went through")?;
        ensure!(
            error.delivery() == Delivery::NotSent || *body == *b"perhaps",
            "{error:?}"
        );
        trial.oracle.outcome(&outcome, &body);
    }
    if has_others {
        let body = Bytes::from_static(b"moved");
        let message = trial.message(&body)?.with_sharding_key(&key)?;
        let receipt = moving.send(message).await?;
        ensure!(**receipt.queue().broker_name() != *name, "{receipt:?}");
        trial.oracle.acked(&receipt, &body);
    }
    first.open().await?;
    let body = Bytes::from_static(b"back");
    let message = trial.message(&body)?.with_sharding_key(&key)?;
    let receipt = trial.producer.send(message).await?;
    ensure!(**receipt.queue().broker_name() == *name, "{receipt:?}");
    trial.oracle.acked(&receipt, &body);
    end(&moving).await?;
    trial.judge_kept().await?;
    if has_others {
        Ok(Cell::Passed)
    } else {
        Cell::but("one address only: nowhere to move to")
    }
}

async fn at_most_once(ground: Arc<Ground>) -> Result<Cell> {
    let (doors, rules) = doors(&ground).await?;
    let trial = Trial::with(&ground, "at-most-once", |builder| {
        builder.configure(|settings| {
            let settings = settings.address_map(&rules);
            settings.delivery_guarantee(DeliveryGuarantee::AtMostOnce)
        })
    })
    .await?;
    let mut senders = JoinSet::new();
    for sender in 0..8 {
        let (producer, topic) = (trial.producer.clone(), trial.topic);
        senders.spawn(async move {
            let mut acked = Vec::new();
            for index in 0..40 {
                let message = Message::new(topic, format!("{sender} {index}"))?;
                if let Ok(receipt) = producer.send(message).await {
                    acked.push(receipt);
                }
            }
            anyhow::Ok(acked)
        });
    }
    for _ in 0..4 {
        sleep(Duration::from_millis(60)).await;
        doors.iter().for_each(Door::cut);
    }
    let mut acked = Vec::new();
    while let Some(sent) = senders.join_next().await {
        acked.extend(sent??);
    }
    end(&trial.producer).await?;
    let read = ground.read(trial.topic, acked.len()).await?;
    for receipt in &acked {
        stored(&read, receipt)?;
    }
    let ids: BTreeSet<_> = read.iter().map(|stored| &stored.msg_id).collect();
    ensure!(
        ids.len() == read.len(),
        "{} stored, {} ids",
        read.len(),
        ids.len()
    );
    Ok(Cell::Passed)
}

async fn vip_channel(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "vip";
    let with_vip =
        |builder: ProducerBuilder| builder.configure(|settings| settings.vip_channel(true));
    if ground.column() == Column::Proxy {
        ground.topic(topic, QUEUES).await?;
        let budget = Duration::from_secs(3);
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
