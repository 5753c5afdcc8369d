//! The client against scripted name servers on loopback.

mod discovery;
#[cfg(feature = "discovery-http")]
mod http;

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
    AttemptCause, NameServerAddresses, NameServerClient, NameServerError, RouteQuestion,
    RouteSource, fair_share,
};

const ROUTE: &str = r#"{"queueDatas":[],"brokerDatas":[]}"#;

/// What a scripted name server does with every request.
#[derive(Clone, Copy)]
enum Script {
    Answer(ResponseCode, &'static str),
    Late(Duration, &'static str),
    Silent,
    /// Silent on its first connection, as if a firewall had forgotten it.
    HalfOpen,
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
                let mut script = script;
                while let Ok((stream, _)) = listener.accept().await {
                    connections.spawn(serve(stream, script));
                    if matches!(script, Script::HalfOpen) {
                        script = GOOD;
                    }
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
        let client = NameServerClient::new(&addresses, pool);
        let ordered = super::servers::Servers::unshuffled(&addresses, &client.shared.pool);
        client.shared.servers.store(Arc::new(ordered));
        client
    }
}

async fn serve(mut stream: TcpStream, script: Script) {
    let mut buffer = BytesMut::new();
    loop {
        while let Some(frame) = decode_frame(&mut buffer, MAX_FRAME_LENGTH).unwrap() {
            let request = RemotingCommand::decode(frame).unwrap();
            if RequestCode(request.code) == RequestCode::HEART_BEAT {
                // Asked for a sign of life.
                if !matches!(script, Script::Silent | Script::HalfOpen) {
                    answer(
                        &mut stream,
                        &request,
                        ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
                        "",
                    )
                    .await;
                }
                continue;
            }
            assert_eq!(
                RequestCode(request.code),
                RequestCode::GET_ROUTEINFO_BY_TOPIC
            );
            assert_eq!(request.field("acceptStandardJsonOnly"), Some("true"));
            let (code, text) = match script {
                Script::Answer(code, text) => (code, text),
                Script::Late(pause, text) => {
                    tokio::time::sleep(pause).await;
                    (ResponseCode::SUCCESS, text)
                }
                Script::Silent | Script::HalfOpen => continue,
            };
            answer(&mut stream, &request, code, text).await;
        }
        if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

async fn answer(stream: &mut TcpStream, request: &RemotingCommand, code: ResponseCode, text: &str) {
    let mut answer = RemotingCommand::response(code, request.opaque, Some(text.to_owned()));
    if code == ResponseCode::SUCCESS {
        answer = answer.with_body(text.to_owned());
    }
    let mut bytes = BytesMut::new();
    answer.encode(HeaderEncoding::Json, &mut bytes).unwrap();
    stream.write_all(&bytes).await.unwrap();
}

fn question(millis: u64) -> RouteQuestion<'static> {
    RouteQuestion::new("T", Instant::now() + Duration::from_millis(millis))
}

const GOOD: Script = Script::Answer(ResponseCode::SUCCESS, ROUTE);
const NO_TOPIC: Script = Script::Answer(ResponseCode::TOPIC_NOT_EXIST, "no topic route info");
const GARBAGE: Script = Script::Answer(ResponseCode::SUCCESS, "<html>");
const REFUSING: Script = Script::Answer(ResponseCode::NO_PERMISSION, "signature mismatch");
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
    let answer = client.topic_route(&question(1500)).await.unwrap();
    assert_eq!(answer.address().as_ref(), servers.addresses[2]);
    assert_eq!(answer.body(), ROUTE.as_bytes());
    assert_eq!(
        client.current_address().unwrap().as_ref(),
        servers.addresses[2]
    );
    // Another silent wait would not fit into this.
    let again = client.topic_route(&question(400)).await.unwrap();
    assert_eq!(again.address(), answer.address());
}

#[tokio::test]
async fn with_none_reachable_each_address_and_its_cause_is_named() {
    let servers = Servers::start(&[Script::Silent, NOT_READY]).await;
    let closed = closed_address().await;
    let client = servers.client(&[&closed]);
    let error = client.topic_route(&question(1500)).await.unwrap_err();
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
    assert!(client.topic_route(&question(3000)).await.is_ok());

    let servers = Servers::start(&[NO_TOPIC, NOT_READY]).await;
    let error = servers
        .client(&[])
        .topic_route(&question(3000))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, NameServerError::TopicNotFound { address, .. }
            if address.as_ref() == servers.addresses[0]),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_refusal_and_an_unreadable_route_do_not_keep_the_next_address_from_being_asked() {
    let servers = Servers::start(&[REFUSING, GARBAGE, GOOD]).await;
    let client = servers.client(&[]);
    let answer = client.topic_route(&question(3000)).await.unwrap();
    assert_eq!(answer.address().as_ref(), servers.addresses[2]);
    assert_eq!(
        client.current_address().unwrap(),
        *answer.address(),
        "the next question goes there at once"
    );
}

#[tokio::test]
async fn when_none_has_a_route_the_kind_is_the_most_telling_and_all_are_named() {
    let servers = Servers::start(&[NOT_READY, GARBAGE, REFUSING]).await;
    let error = servers
        .client(&[])
        .topic_route(&question(3000))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, NameServerError::Refused { address, .. }
            if address.as_ref() == servers.addresses[2]),
        "{error:?}"
    );
    let attempts = error.attempts();
    assert!(matches!(attempts[0].cause, AttemptCause::NotReady { .. }));
    assert!(matches!(attempts[1].cause, AttemptCause::InvalidRoute(_)));
    assert!(
        matches!(&attempts[2].cause, AttemptCause::Refused { code, remark }
            if *code == ResponseCode::NO_PERMISSION && remark.as_ref() == "signature mismatch")
    );
    for address in &servers.addresses {
        assert!(error.to_string().contains(address.as_str()), "{error}");
    }

    let servers = Servers::start(&[GARBAGE, NOT_READY]).await;
    let error = servers
        .client(&[])
        .topic_route(&question(3000))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, NameServerError::InvalidRoute { address, .. }
            if address.as_ref() == servers.addresses[0]),
        "{error:?}"
    );
}

#[tokio::test]
async fn no_such_topic_does_not_wait_for_a_silent_name_server_until_the_deadline() {
    let servers = Servers::start(&[Script::Silent, NO_TOPIC]).await;
    let begun = Instant::now();
    let error = servers
        .client(&[])
        .topic_route(&question(20_000))
        .await
        .unwrap_err();
    assert!(matches!(error, NameServerError::TopicNotFound { .. }));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_slow_answer_counts_although_the_next_address_was_asked() {
    let slow = Script::Late(Duration::from_millis(700), ROUTE);
    let servers = Servers::start(&[slow, Script::Silent]).await;
    let client = servers.client(&[]);
    let answer = client.topic_route(&question(20_000)).await.unwrap();
    assert_eq!(answer.address().as_ref(), servers.addresses[0]);
}

#[tokio::test]
async fn a_connection_that_fell_silent_is_replaced_without_a_restart_of_anything() {
    let servers = Servers::start(&[Script::HalfOpen]).await;
    let client = servers.client(&[]);
    let begun = Instant::now();
    while client.topic_route(&question(300)).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(15), "still silent");
    }
}

#[tokio::test]
async fn a_question_under_way_tells_whom_it_waits_for() {
    let servers = Servers::start(&[Script::Silent, NOT_READY]).await;
    let client = servers.client(&[]);
    let question = question(20_000);
    let progress = question.progress.clone();
    let second_has_answered = async {
        loop {
            let attempts = progress.attempts();
            if matches!(attempts.last(), Some(last) if matches!(last.cause, AttemptCause::NotReady { .. }))
            {
                break attempts;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let attempts = tokio::select! {
        outcome = client.topic_route(&question) => panic!("one address is silent: {outcome:?}"),
        attempts = second_has_answered => attempts,
    };
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].address.as_ref(), servers.addresses[0]);
    assert!(matches!(attempts[0].cause, AttemptCause::Waiting { .. }));
    assert!(matches!(attempts[1].cause, AttemptCause::NotReady { .. }));
}

#[tokio::test]
async fn addresses_may_be_replaced_and_the_present_choice_stays_if_it_is_among_them() {
    let servers = Servers::start(&[NOT_READY, GOOD, GOOD]).await;
    let client = servers.client(&[]);
    client.topic_route(&question(3000)).await.unwrap();
    let [gone, chosen, other] = [0, 1, 2].map(|place| servers.addresses[place].clone());
    assert_eq!(client.current_address().unwrap().as_ref(), chosen);
    let list = |text: String| text.parse::<NameServerAddresses>().unwrap();
    assert!(!client.set_addresses(&list(format!("{other};{chosen};{gone}"))));
    assert!(client.set_addresses(&list(format!("{other};{chosen};new:1"))));
    assert_eq!(client.current_address().unwrap().as_ref(), chosen);
    assert!(client.addresses().iter().all(|known| **known != *gone));
    assert!(client.set_addresses(&list(other.clone())));
    let answer = client.topic_route(&question(3000)).await.unwrap();
    assert_eq!(answer.address().as_ref(), other);
}

#[test]
fn every_address_gets_a_fair_share_and_the_last_one_all_that_is_left() {
    let second = Duration::from_secs(1);
    assert_eq!(fair_share(3 * second, 3), second);
    assert_eq!(fair_share(2 * second, 1), 2 * second);
    assert_eq!(fair_share(second, 0), second);
}
