//! Brokers in memory that answer, refuse or stay silent, as the test has it.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use rocketmq_producer_remoting::{
    Connection, ConnectionHandler, ConnectionOptions, ConnectionPool, Connectivity, Dialer,
    HeaderEncoding, MAX_FRAME_LENGTH, RemotingCommand, RequestCode, ResponseCode, Transport,
    decode_frame,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, sleep},
};
use tokio_util::task::TaskTracker;

use crate::{
    health::{BrokerRegistry, BrokerState, Incident},
    mapping::TopicEntry,
    options::RoutingOptions,
    router::{MessageRouter, RouteRequest},
    test_support::{FakeNameServer, mapping_over, route_data},
};

const INTERVAL: Duration = Duration::from_secs(2);

/// What the pool itself asks with.
const POOL: &[u8] = b"pool";

/// What brokers do with a heartbeat: answer with a code, or nothing. And when each came.
#[derive(Default)]
struct Brokers {
    answer: Mutex<Option<ResponseCode>>,
    asked: Mutex<Vec<(String, Instant)>>,
    tasks: TaskTracker,
    registry: OnceLock<Arc<BrokerRegistry>>,
}

impl Brokers {
    fn set(&self, answer: Option<ResponseCode>) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Takes out who was asked since the last call, and when.
    fn take_asked(&self) -> Vec<(String, Instant)> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    async fn serve(self: Arc<Self>, address: String, mut stream: DuplexStream) {
        let mut received = BytesMut::new();
        loop {
            if let Some(frame) = decode_frame(&mut received, MAX_FRAME_LENGTH).unwrap() {
                let request = RemotingCommand::decode(frame).unwrap();
                assert_eq!(request.code, RequestCode::HEART_BEAT.0);
                if &request.body[..] != POOL {
                    assert_eq!(&request.body[..], b"{}");
                    let now = Instant::now();
                    self.asked.lock().unwrap().push((address.clone(), now));
                }
                let answer = *self.answer.lock().unwrap();
                if let Some(code) = answer {
                    let mut bytes = BytesMut::new();
                    let response = RemotingCommand::response(code, request.opaque, None);
                    response.encode(HeaderEncoding::Json, &mut bytes).unwrap();
                    stream.write_all(&bytes).await.unwrap();
                }
            } else if stream.read_buf(&mut received).await.unwrap() == 0 {
                return;
            }
        }
    }
}

struct Wire(Arc<Brokers>);

#[async_trait]
impl Dialer for Wire {
    async fn dial(&self, address: &str, _: &ConnectionOptions) -> io::Result<Box<dyn Transport>> {
        let (ours, theirs) = duplex(1 << 16);
        let brokers = Arc::clone(&self.0);
        self.0
            .tasks
            .spawn(brokers.serve(address.to_owned(), theirs));
        Ok(Box::new(ours))
    }
}

impl ConnectionHandler for Wire {
    fn connected(&self, _: &Connection) {}

    fn probe_body(&self) -> Bytes {
        Bytes::from_static(POOL)
    }

    fn connectivity_changed(&self, address: &str, connectivity: Connectivity) {
        let registry = self.0.registry.get().unwrap();
        registry.connectivity_changed(address, connectivity, Instant::now());
    }
}

/// A detector at work on brokers a and b, of which a is unhealthy.
fn detecting() -> (MessageRouter, Arc<TopicEntry>, Arc<Brokers>) {
    let brokers = Arc::<Brokers>::default();
    let wire = Arc::new(Wire(Arc::clone(&brokers)));
    let handler = Arc::<Wire>::clone(&wire);
    let pool = ConnectionPool::with_dialer(ConnectionOptions::new(), handler, wire);
    let options = RoutingOptions::default().with_active_detector(Some(INTERVAL));
    let mapping = mapping_over(&FakeNameServer::new(), options, pool);
    let registry = Arc::clone(mapping.registry());
    brokers.registry.set(registry).unwrap();
    let listed = [("a", 6, 4, Some("a:1")), ("b", 6, 4, Some("b:1"))];
    // Two topics, which share their brokers' records.
    mapping.update_route_info("U", route_data(&listed));
    mapping.update_route_info("T", route_data(&listed));
    let entry = mapping.cached("T").unwrap();
    let router = MessageRouter::new(mapping);
    for record in router.mapping().registry().all() {
        if record.broker_name().as_ref() == "a" {
            for _ in 0..5 {
                record.report_failure(&Incident::Single, "no answer", Instant::now());
            }
        }
    }
    router.start_detector();
    (router, entry, brokers)
}

fn state(router: &MessageRouter) -> BrokerState {
    router.broker_health_info("a")[0].state
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_answers_comes_back_without_a_user_s_message() {
    let (router, entry, brokers) = detecting();
    let began = Instant::now();
    while state(&router) != BrokerState::Healthy {
        for _ in 0..20 {
            let now = Instant::now();
            let routing = router.route(&entry, &RouteRequest::new(), now).unwrap();
            assert_eq!(
                routing.broker().name().as_ref(),
                "b",
                "no message tries it out"
            );
        }
        assert!(began.elapsed() < 6 * INTERVAL, "it answers");
        if brokers.asked.lock().unwrap().is_empty() {
            brokers.set(Some(ResponseCode::SUCCESS));
        }
        sleep(Duration::from_millis(100)).await;
    }
    let asked = brokers.take_asked();
    assert_eq!(asked.len(), 5, "once per round, with both topics");
    for (address, at) in &asked {
        assert_eq!(address, "a:1");
        assert!(*at - began <= 5 * INTERVAL);
    }
    for pair in asked.windows(2) {
        let pause = pair[1].1 - pair[0].1;
        assert!(
            pause <= INTERVAL && pause >= INTERVAL.mul_f64(0.89),
            "{pause:?}"
        );
    }
    sleep(10 * INTERVAL).await;
    assert_eq!(brokers.take_asked(), [], "nobody is avoided any more");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_counts_against_a_broker_unless_it_is_about_credentials() {
    for (code, comes_back) in [
        (ResponseCode::SYSTEM_BUSY, false),
        (ResponseCode::SERVICE_NOT_AVAILABLE, false),
        (ResponseCode::NO_PERMISSION, true),
    ] {
        let (router, _, brokers) = detecting();
        brokers.set(Some(code));
        let before = router.broker_health_info("a")[0].failure_count;
        sleep(6 * INTERVAL).await;
        let after = &router.broker_health_info("a")[0];
        assert_eq!(state(&router) == BrokerState::Healthy, comes_back, "{code}");
        assert_eq!(after.failure_count > before, !comes_back, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_is_asked_once_and_then_left_to_the_pool_until_it_answers() {
    let (router, _, brokers) = detecting();
    let before = router.broker_health_info("a")[0].failure_count;
    sleep(10 * INTERVAL).await;
    assert_eq!(brokers.take_asked().len(), 1);
    let info = &router.broker_health_info("a")[0];
    assert!(info.connectivity.is_suspect());
    assert_eq!(info.failure_count, before + 1);
    brokers.set(Some(ResponseCode::SUCCESS));
    sleep(7 * INTERVAL).await;
    assert_eq!(state(&router), BrokerState::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_broker_is_left_alone_and_the_end_of_the_producer_ends_it_all() {
    let (router, _, brokers) = detecting();
    brokers.set(Some(ResponseCode::SUCCESS));
    router.suspend_broker("a", Instant::now());
    sleep(5 * INTERVAL).await;
    assert_eq!(brokers.take_asked(), []);
    let (tasks, cancel) = router.mapping().tasks();
    cancel.cancel();
    tasks.close();
    tasks.wait().await;
}
