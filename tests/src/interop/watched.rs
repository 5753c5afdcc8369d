//! Namespaces and units, traces, metrics, and name servers that a page tells.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use async_trait::async_trait;
use rocketmq_producer::routing::{DiscoveryError, NameServerAddresses, NameServerDiscovery};
use rocketmq_producer::{Message, SendOptions, TraceContextHook};

use super::ground::end;
use super::row::{Group, row};
use super::trial::Trial;
use super::{Cell, Column, Ground};
use crate::page::Page;
use crate::peer::closed_address;
use crate::socks::{Manner, SocksProxy};

/// Where traces go.
const TRACES: &str = "RMQ_SYS_TRACE_TOPIC";

pub(super) const GROUP: Group = Group::new(
    "Names and watching",
    &[
        row!(
            "namespaces and units",
            "`namespace`, `namespace_v2`, `unit_name`: stored where consumers of the namespace look",
            namespace
        ),
        row!(
            "name servers by HTTP",
            "`namesrv_addr=http://…`: a page tells them",
            page
        ),
        row!(
            "one of two name servers away",
            "the other one is asked, no send fails",
            one_away
        ),
        row!(
            "name servers by code",
            "`name_server_discovery`: the program tells them",
            by_code
        ),
        row!(
            "endpoint of an instance",
            "`http://MQ_INST_…`: the instance is the namespace",
            instance
        ),
        row!(
            "trace context",
            "`TraceContextHook`: Java reads the property `traceparent`",
            trace_context
        ),
        row!(
            "message trace",
            "`trace_message`: Java reads a record that names the message",
            trace
        ),
        row!(
            "metrics",
            "`Producer::metrics` counts what was sent, with its latency",
            metrics
        ),
    ],
);

async fn namespace(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "interop%in-namespace";
    ground.topic(topic, 2).await?;
    let producer = ground.builder("in-namespace").configure(|settings| {
        let settings = settings.namespace("interop").namespace_v2("interop2");
        settings.unit_name("unitA")
    });
    let producer = producer.start().await?;
    ensure!(producer.client_id().ends_with("@unitA"));
    let receipt = producer.send(Message::new("in-namespace", "x")?).await?;
    ensure!(&**receipt.queue().topic() == "in-namespace", "{receipt:?}");
    end(&producer).await?;
    let read = ground.read(topic, 1).await?;
    ensure!(read.len() == 1, "{read:?}");
    ensure!(read[0].msg_id == receipt.message_id().as_str(), "{read:?}");
    Ok(Cell::Passed)
}

async fn page(ground: Arc<Ground>) -> Result<Cell> {
    let page = Page::start(Some(&ground.name_servers())).await?;
    let url = page.url();
    let mut trial = Trial::with(&ground, "by-page", |builder| builder.name_servers(&url)).await?;
    for _ in 0..5 {
        trial.send(SendOptions::new()).await?;
    }
    ensure!(!page.asked().is_empty(), "nobody asked the page");
    trial.judge().await?;
    Ok(Cell::Passed)
}

async fn one_away(ground: Arc<Ground>) -> Result<Cell> {
    let closed = closed_address()?;
    for (topic, servers) in [
        (
            "second-server",
            format!("{closed};{}", ground.name_servers()),
        ),
        (
            "first-server",
            format!("{};{closed}", ground.name_servers()),
        ),
    ] {
        let mut trial =
            Trial::with(&ground, topic, |builder| builder.name_servers(&servers)).await?;
        for _ in 0..4 {
            trial.send(SendOptions::new()).await?;
        }
        trial.judge().await?;
    }
    Ok(Cell::Passed)
}

/// A program's own knowledge.
#[derive(Debug)]
struct Known(String);

#[async_trait]
impl NameServerDiscovery for Known {
    async fn addresses(&self) -> Result<NameServerAddresses, DiscoveryError> {
        let addresses = self.0.parse();
        addresses.map_err(|error| DiscoveryError::new("no list").with_source(error))
    }
}

async fn by_code(ground: Arc<Ground>) -> Result<Cell> {
    let known = Arc::new(Known(ground.name_servers()));
    let mut trial = Trial::with(&ground, "by-code", |builder| {
        builder.name_server_discovery(known)
    })
    .await?;
    for _ in 0..4 {
        trial.send(SendOptions::new()).await?;
    }
    trial.judge().await?;
    Ok(Cell::Passed)
}

async fn instance(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "MQ_INST_1_2%in-instance";
    ground.topic(topic, 2).await?;
    // Nobody but the proxy resolves it.
    let name = "MQ_INST_1_2.mq.invalid:9876";
    let names = [(name.to_owned(), ground.name_servers().parse()?)];
    let proxy = SocksProxy::with_names(Manner::Open, names).await?;
    let address = proxy.address();
    let builder = ground.builder("in-instance");
    let builder = builder.name_servers(&format!("http://{name}"));
    let builder = builder.configure(|settings| {
        let settings = settings.socks_proxy(&address);
        match ground.ca() {
            // The certificate is for the address.
            Some(_) => settings.tls_server_name("127.0.0.1"),
            None => settings,
        }
    });
    let producer = builder.start().await?;
    let receipt = producer.send(Message::new("in-instance", "x")?).await?;
    end(&producer).await?;
    let read = ground.read(topic, 1).await?;
    ensure!(read.len() == 1, "{read:?}");
    ensure!(read[0].msg_id == receipt.message_id().as_str(), "{read:?}");
    Ok(Cell::Passed)
}

async fn trace_context(ground: Arc<Ground>) -> Result<Cell> {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let hook = TraceContextHook::new(|put| put("traceparent", PARENT));
    let mut trial = Trial::with(&ground, "trace-context", |builder| {
        builder.send_hook(Arc::new(hook))
    })
    .await?;
    trial.send(SendOptions::new()).await?;
    let read = trial.judge().await?;
    let parents = read
        .iter()
        .map(|stored| stored.properties.get("traceparent"));
    for parent in parents {
        ensure!(parent.is_some_and(|parent| parent == PARENT), "{parent:?}");
    }
    Ok(Cell::Passed)
}

async fn trace(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::with(&ground, "traced", |builder| {
        builder.configure(|settings| settings.trace_message(true))
    })
    .await?;
    let receipt = trial.send(SendOptions::new()).await?;
    let producer = trial.producer.clone();
    trial.judge().await?;
    let stats = producer.stats();
    if ground.column() == Column::Proxy && stats.traces_sent + stats.traces_dropped == 0 {
        // Its own setting, whatever that of the broker: Java's `ProxyConfig.traceOn`.
        return Cell::not_offered("the proxy says TRACE_ON=false, and no trace is made");
    }
    if stats.traces_sent == 0 {
        ensure!(stats.traces_dropped == 1, "{stats:?}");
        return Cell::not_offered(
            "the cluster takes no traces: dropped and counted, messages go on",
        );
    }
    let id = receipt.message_id().to_string();
    let read = ground.read(TRACES, 1).await?;
    let names_it = |body: &[u8]| String::from_utf8_lossy(body).contains(&id);
    if !read.iter().any(|stored| names_it(&stored.body)) {
        bail!("no trace of {id} among {} messages", read.len());
    }
    Ok(Cell::Passed)
}

async fn metrics(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::new(&ground, "measured").await?;
    for _ in 0..10 {
        trial.send(SendOptions::new()).await?;
    }
    let metrics = trial.producer.metrics();
    let latency = &metrics.send_latency;
    ensure!(metrics.stats.total_sent == 10, "{metrics:?}");
    ensure!(latency.count() == 10, "{latency:?}");
    ensure!(latency.quantile(0.5) > Some(Duration::ZERO), "{latency:?}");
    trial.judge().await?;
    Ok(Cell::Passed)
}
