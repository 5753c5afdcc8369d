//! The client against scripted name servers on loopback.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use rocketmq_producer_remoting::{
    ConnectionOptions, ConnectionPool, HeaderEncoding, MAX_FRAME_LENGTH, NoConsumer,
    RemotingCommand, RequestCode, ResponseCode, decode_frame,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

use super::{
    AttemptCause, NameServerAddresses, NameServerClient, NameServerError, RouteSource, fair_share,
};

const ROUTE: &str = r#"{"queueDatas":[],"brokerDatas":[]}"#;

/// What a scripted name server does with every request.
#[derive(Clone, Copy)]
enum Script {
    Answer(ResponseCode, &'static str),
    Silent,
}

/// Name servers that live as long as this does.
struct Servers {
    tasks: JoinSet<()>,
    addresses: Vec<String>,
}

impl Servers {
    async fn start(scripts: &[Script]) -> Self {
        let mut servers = Self {
            tasks: JoinSet::new(),
            addresses: Vec::new(),
        };
        for script in scripts.iter().copied() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            servers
                .addresses
                .push(listener.local_addr().unwrap().to_string());
            servers.tasks.spawn(async move {
                let mut connections = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    connections.spawn(serve(stream, script));
                }
            });
        }
        servers
    }

    /// A client that begins with the first server.
    fn client(&self, more: &[&str]) -> NameServerClient {
        let mut list: Vec<&str> = self.addresses.iter().map(String::as_str).collect();
        list.extend(more);
        let addresses: NameServerAddresses = list.join(";").parse().unwrap();
        let pool = ConnectionPool::new(ConnectionOptions::default(), Arc::new(NoConsumer));
        let mut client = NameServerClient::new(&addresses, pool);
        client.addresses = addresses.iter().map(Arc::clone).collect();
        client
    }
}

async fn serve(mut stream: TcpStream, script: Script) {
    let mut buffer = BytesMut::new();
    loop {
        while let Some(frame) = decode_frame(&mut buffer, MAX_FRAME_LENGTH).unwrap() {
            let request = RemotingCommand::decode(frame).unwrap();
            assert_eq!(
                RequestCode(request.code),
                RequestCode::GET_ROUTEINFO_BY_TOPIC
            );
            assert_eq!(request.field("acceptStandardJsonOnly"), Some("true"));
            let Script::Answer(code, text) = script else {
                continue;
            };
            let mut answer = RemotingCommand::response(code, request.opaque, Some(text.to_owned()));
            if code == ResponseCode::SUCCESS {
                answer = answer.with_body(text);
            }
            let mut bytes = BytesMut::new();
            answer.encode(HeaderEncoding::Json, &mut bytes).unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
        if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

fn within(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

const GOOD: Script = Script::Answer(ResponseCode::SUCCESS, ROUTE);
const NO_TOPIC: Script = Script::Answer(ResponseCode::TOPIC_NOT_EXIST, "no topic route info");
const NOT_READY: Script = Script::Answer(ResponseCode::SYSTEM_ERROR, "name server not ready");

/// An address that nothing listens on.
async fn closed_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_silent_name_server_costs_its_share_and_the_next_one_is_kept() {
    let servers = Servers::start(&[Script::Silent, NOT_READY, GOOD]).await;
    let client = servers.client(&[]);
    let answer = client.topic_route("T", within(1500)).await.unwrap();
    assert_eq!(answer.address().as_ref(), servers.addresses[2]);
    assert_eq!(answer.body(), ROUTE.as_bytes());
    assert_eq!(
        client.current_address().unwrap().as_ref(),
        servers.addresses[2]
    );
    // Another silent wait would not fit into this.
    let again = client.topic_route("T", within(400)).await.unwrap();
    assert_eq!(again.address(), answer.address());
}

#[tokio::test]
async fn with_none_reachable_each_address_and_its_cause_is_named() {
    let servers = Servers::start(&[Script::Silent, NOT_READY]).await;
    let closed = closed_address().await;
    let client = servers.client(&[&closed]);
    let error = client.topic_route("T", within(1500)).await.unwrap_err();
    let NameServerError::Unreachable { attempts } = &error else {
        panic!("{error:?}");
    };
    assert!(matches!(attempts[0].cause, AttemptCause::Request(_)));
    assert!(matches!(attempts[1].cause, AttemptCause::NotReady { .. }));
    assert!(matches!(attempts[2].cause, AttemptCause::Connect(_)));
    for address in servers.addresses.iter().chain([&closed]) {
        assert!(error.to_string().contains(address.as_str()), "{error}");
    }
}

#[tokio::test]
async fn one_that_does_not_know_the_topic_yet_does_not_hide_one_that_does() {
    let servers = Servers::start(&[NO_TOPIC, GOOD]).await;
    let client = servers.client(&[]);
    assert!(client.topic_route("T", within(3000)).await.is_ok());

    let servers = Servers::start(&[NO_TOPIC, NOT_READY]).await;
    let error = servers
        .client(&[])
        .topic_route("T", within(3000))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, NameServerError::TopicNotFound { address, .. }
            if address.as_ref() == servers.addresses[0]),
        "{error:?}"
    );
}

#[tokio::test]
async fn refused_credentials_are_not_carried_from_address_to_address() {
    let refusing = Script::Answer(ResponseCode::NO_PERMISSION, "signature mismatch");
    let servers = Servers::start(&[refusing, GOOD]).await;
    let error = servers
        .client(&[])
        .topic_route("T", within(3000))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, NameServerError::Refused { code, remark, .. }
            if *code == ResponseCode::NO_PERMISSION && remark.as_ref() == "signature mismatch"),
        "{error:?}"
    );
}

#[test]
fn every_address_gets_a_fair_share_and_the_last_one_all_that_is_left() {
    let second = Duration::from_secs(1);
    assert_eq!(fair_share(3 * second, 3), second);
    assert_eq!(fair_share(2 * second, 1), 2 * second);
    assert_eq!(fair_share(second, 0), second);
}
