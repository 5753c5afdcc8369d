//! What the tests of several modules need.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rocketmq_producer_remoting::{
    ConnectionOptions, ConnectionPool, NoConsumer, protocol::TopicRouteData,
};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auto_create::DEFAULT_TOPIC,
    broker::Broker,
    health::{BrokerHealth, BrokerRegistry},
    mapping::TopicBrokerMapping,
    name_server::{NameServerError, RouteAnswer, RouteQuestion, RouteSource},
    options::{HealthOptions, RoutingOptions},
};

/// A broker with a clean record.
pub(crate) fn broker(name: &str, address: &str) -> Arc<Broker> {
    let now = Instant::now();
    let health = BrokerHealth::new(name, address, HealthOptions::default(), now, 1);
    let endpoint = pool().endpoint(address);
    Arc::new(Broker::new(Arc::from("c"), Arc::new(health), &endpoint))
}

/// The entries of a file of vectors.
pub(crate) fn vectors(file: &str) -> Vec<serde_json::Value> {
    let path = format!("{}/../../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["entries"].as_array().unwrap().clone()
}

/// One broker of a route: name, permission, queues, master address if there is one.
pub(crate) type Listed<'a> = (&'a str, i32, i32, Option<&'a str>);

pub(crate) fn route_json(brokers: &[Listed<'_>]) -> String {
    let queues: Vec<String> = brokers
        .iter()
        .map(|(name, perm, count, _)| {
            format!(
                r#"{{"brokerName":"{name}","perm":{perm},"readQueueNums":{count},"writeQueueNums":{count}}}"#
            )
        })
        .collect();
    let datas: Vec<String> = brokers
        .iter()
        .map(|(name, _, _, master)| {
            let addrs = master.map_or(r#""1":"slave:1""#.to_owned(), |master| {
                format!(r#""0":"{master}""#)
            });
            format!(r#"{{"brokerName":"{name}","cluster":"c","brokerAddrs":{{{addrs}}}}}"#)
        })
        .collect();
    format!(
        r#"{{"queueDatas":[{}],"brokerDatas":[{}]}}"#,
        queues.join(","),
        datas.join(",")
    )
}

pub(crate) fn route_data(brokers: &[Listed<'_>]) -> TopicRouteData {
    TopicRouteData::parse(route_json(brokers).as_bytes()).unwrap()
}

/// A name server in a table.
#[derive(Debug)]
pub(crate) struct FakeNameServer {
    answers: Mutex<HashMap<String, String>>,
    down: Mutex<bool>,
    /// How long each answer takes.
    delay: Mutex<Duration>,
    /// Permits to answer; closed tests hold requests back with it.
    gate: Semaphore,
    asked: AtomicUsize,
    log: Mutex<Vec<(String, Instant)>>,
    under_way: Mutex<HashMap<String, usize>>,
    /// The most questions for one topic at the same time; those for `TBW102` apart.
    most_at_once: AtomicUsize,
}

impl FakeNameServer {
    pub(crate) fn new() -> Arc<Self> {
        Self::with_permits(Semaphore::MAX_PERMITS)
    }

    /// One that answers only as often as `open` says.
    pub(crate) fn gated() -> Arc<Self> {
        Self::with_permits(0)
    }

    fn with_permits(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::default(),
            down: Mutex::new(false),
            delay: Mutex::default(),
            gate: Semaphore::new(permits),
            asked: AtomicUsize::new(0),
            log: Mutex::default(),
            under_way: Mutex::default(),
            most_at_once: AtomicUsize::new(0),
        })
    }

    pub(crate) fn set_delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    /// Takes out which topics were asked for since the last call, and when.
    pub(crate) fn take_log(&self) -> Vec<(String, Instant)> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }

    fn begin(&self, topic: &str) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut log = self.log.lock().unwrap();
        log.push((topic.to_owned(), Instant::now()));
        let mut under_way = self.under_way.lock().unwrap();
        let count = under_way.entry(topic.to_owned()).or_default();
        *count += 1;
        if topic != DEFAULT_TOPIC {
            self.most_at_once.fetch_max(*count, Ordering::SeqCst);
        }
    }

    fn end(&self, topic: &str) {
        *self.under_way.lock().unwrap().get_mut(topic).unwrap() -= 1;
    }

    pub(crate) fn open(&self, answers: usize) {
        self.gate.add_permits(answers);
    }

    pub(crate) fn set(&self, topic: &str, brokers: &[Listed<'_>]) {
        self.set_body(topic, route_json(brokers));
    }

    pub(crate) fn set_body(&self, topic: &str, body: String) {
        self.answers.lock().unwrap().insert(topic.to_owned(), body);
    }

    pub(crate) fn forget(&self, topic: &str) {
        self.answers.lock().unwrap().remove(topic);
    }

    pub(crate) fn set_down(&self, down: bool) {
        *self.down.lock().unwrap() = down;
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl RouteSource for FakeNameServer {
    async fn topic_route(
        &self,
        question: &RouteQuestion<'_>,
    ) -> Result<RouteAnswer, NameServerError> {
        let topic = question.topic;
        self.begin(topic);
        question.progress.asked(&Arc::from("ns:1"));
        self.gate.acquire().await.unwrap().forget();
        let delay = *self.delay.lock().unwrap();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.end(topic);
        if *self.down.lock().unwrap() {
            return Err(NameServerError::Unreachable {
                attempts: Arc::from([]),
            });
        }
        match self.answers.lock().unwrap().get(topic) {
            Some(body) => Ok(RouteAnswer::new("ns:1", body.clone().into_bytes())),
            None => Err(NameServerError::TopicNotFound {
                topic: topic.into(),
                address: "ns:1".into(),
            }),
        }
    }
}

/// Connections that nobody opens.
pub(crate) fn pool() -> ConnectionPool {
    ConnectionPool::new(ConnectionOptions::new(), Arc::new(NoConsumer))
}

pub(crate) fn mapping(source: &Arc<FakeNameServer>, options: RoutingOptions) -> TopicBrokerMapping {
    mapping_over(source, options, pool())
}

pub(crate) fn mapping_over(
    source: &Arc<FakeNameServer>,
    options: RoutingOptions,
    pool: ConnectionPool,
) -> TopicBrokerMapping {
    let source: Arc<dyn RouteSource> = Arc::<FakeNameServer>::clone(source);
    let registry = Arc::new(BrokerRegistry::new(options.health.clone()));
    TopicBrokerMapping::new(
        source,
        options,
        registry,
        pool,
        TaskTracker::new(),
        CancellationToken::new(),
    )
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(3)
}
