//! Addresses that are discovered.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rocketmq_producer_remoting::{ConnectionOptions, ConnectionPool, NoConsumer};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{GOOD, Servers, question};
use crate::name_server::{
    DiscoveryError, NameServerAddresses, NameServerClient, NameServerDiscovery, NameServerError,
    RouteSource,
};

/// A list in a table; nothing for one that takes for ever, an empty text for an error.
#[derive(Debug, Default)]
struct Table {
    list: Mutex<Option<String>>,
    asked: AtomicUsize,
}

impl Table {
    fn set(&self, list: Option<&str>) {
        *self.list.lock().unwrap() = list.map(str::to_owned);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl NameServerDiscovery for Table {
    async fn addresses(&self) -> Result<NameServerAddresses, DiscoveryError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let list = self.list.lock().unwrap().clone();
        match list {
            Some(list) => list
                .parse()
                .map_err(|error| DiscoveryError::new("list unusable").with_source(Box::new(error))),
            None => std::future::pending().await,
        }
    }
}

fn client(list: Option<&str>) -> (Arc<Table>, NameServerClient) {
    let table = Arc::new(Table::default());
    table.set(list);
    let discovery: Arc<dyn NameServerDiscovery> = Arc::<Table>::clone(&table);
    let pool = ConnectionPool::new(ConnectionOptions::new(), Arc::new(NoConsumer));
    (
        table,
        NameServerClient::with_discovery(None, discovery, pool),
    )
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_first_question_discovers_the_addresses_once_for_all() {
    let servers = Servers::start(&[GOOD]).await;
    let (table, client) = client(Some(&servers.addresses[0]));
    let questions: tokio::task::JoinSet<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            async move { client.topic_route(&question(3000)).await.is_ok() }
        })
        .collect();
    assert!(
        questions
            .join_all()
            .await
            .into_iter()
            .all(|answered| answered)
    );
    assert_eq!(table.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn addresses_follow_the_discovery_and_the_last_ones_stay_when_it_fails() {
    let (table, client) = client(Some("a:1;b:1"));
    let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
    client.start_discovery(MINUTE, &tasks, cancel.clone());
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(client.addresses().len(), 2);
    let current = client.current_address();

    for failing in [Some(""), None] {
        table.set(failing);
        tokio::time::sleep(MINUTE * 3).await;
        assert_eq!(client.addresses().len(), 2, "kept");
        assert_eq!(client.current_address(), current);
        let status = client.discovery_status().unwrap();
        assert!(status.failures >= 2 && status.last_error.is_some());
        assert!(status.succeeded_at.is_some());
    }
    table.set(Some("c:1"));
    tokio::time::sleep(MINUTE * 2).await;
    assert_eq!(client.addresses(), [Arc::from("c:1")]);
    let status = client.discovery_status().unwrap();
    assert_eq!((status.failures, status.last_error.is_some()), (0, false));
    let asked = table.asked();
    assert!(asked <= 10, "{asked} times in 8 minutes");

    tasks.close();
    cancel.cancel();
    tasks.wait().await;
}

#[tokio::test(start_paused = true)]
async fn a_discovery_that_has_brought_nothing_yet_is_asked_again_soon() {
    let (table, client) = client(Some(""));
    let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
    client.start_discovery(MINUTE, &tasks, cancel.clone());
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!((2..=4).contains(&table.asked()), "{}", table.asked());
    table.set(Some("a:1"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(client.addresses(), [Arc::from("a:1")]);
}

#[tokio::test(start_paused = true)]
async fn a_question_without_addresses_says_why_within_its_deadline() {
    let (table, client) = client(Some(""));
    let error = client.topic_route(&question(1000)).await.unwrap_err();
    assert!(matches!(error, NameServerError::Discovery(_)), "{error:?}");
    table.set(None);
    let begun = Instant::now();
    let error = client.topic_route(&question(1000)).await.unwrap_err();
    assert!(matches!(error, NameServerError::Discovery(_)), "{error:?}");
    assert_eq!(begun.elapsed(), Duration::from_millis(1000));
}
