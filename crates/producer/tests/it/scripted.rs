//! Brokers that answer every send with one code, for what the embedded broker never says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use rocketmq_producer_core::Producer;
use rocketmq_producer_core::config::routing::remoting::protocol::TopicRouteData;
use rocketmq_producer_core::config::routing::remoting::{
    HeaderEncoding, MAX_FRAME_LENGTH, RemotingCommand, RequestCode, ResponseCode, decode_frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{TOPIC, aim_at_a};

/// A broker that answers every send with one code and anything else with success.
pub(crate) struct Scripted {
    address: SocketAddr,
    sends: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    pub(crate) fn sends(&self) -> u64 {
        self.sends.load(Ordering::SeqCst)
    }
}

/// What a broker says to a send.
#[derive(Clone, Copy)]
enum Script {
    Code(i32),
    /// Every receipt says that no traces are wanted.
    NoTraces,
    /// A response whose frame is whole, but whose header ends inside a field.
    TruncatedField,
}

pub(crate) async fn broker(code: i32) -> Scripted {
    start(Script::Code(code)).await
}

/// A broker that wants no traces.
pub(crate) async fn broker_without_traces() -> Scripted {
    start(Script::NoTraces).await
}

/// A broker whose receipts cannot be read.
pub(crate) async fn broker_with_truncated_receipts() -> Scripted {
    start(Script::TruncatedField).await
}

async fn start(script: Script) -> Scripted {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let sends = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let counter = Arc::clone(&sends);
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream, script, Arc::clone(&counter)));
        }
    });
    Scripted {
        address,
        sends,
        _tasks: tasks,
    }
}

async fn serve(mut stream: TcpStream, script: Script, sends: Arc<AtomicU64>) {
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    while stream.read_buf(&mut input).await.is_ok_and(|read| read > 0) {
        while let Some(frame) = decode_frame(&mut input, MAX_FRAME_LENGTH).unwrap() {
            let request = RemotingCommand::decode(frame).unwrap();
            let mut code = ResponseCode::SUCCESS;
            if request.code == RequestCode::SEND_MESSAGE_V2.0 {
                sends.fetch_add(1, Ordering::SeqCst);
                match script {
                    Script::Code(scripted) => code = ResponseCode(scripted),
                    Script::NoTraces => {}
                    Script::TruncatedField => {
                        output.extend_from_slice(&truncated(request.opaque));
                        continue;
                    }
                }
            }
            let response = RemotingCommand::response(code, request.opaque, None)
                .with_field("queueId", request.field("e").unwrap_or("0"))
                .with_field("queueOffset", "7");
            let response = match script {
                Script::NoTraces => response.with_field("TRACE_ON", "false"),
                _ => response,
            };
            response.encode(HeaderEncoding::Json, &mut output).unwrap();
        }
        stream.write_all_buf(&mut output).await.unwrap();
    }
}

/// A binary success whose only field says that its name has more bytes than there are.
fn truncated(opaque: i32) -> Vec<u8> {
    let mut header = b"\x00\x00\x00\x02\x01".to_vec();
    header.extend_from_slice(&opaque.to_be_bytes());
    // Flag of a response, no remark, four bytes of fields.
    header.extend_from_slice(b"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x04\x00\x05ab");
    let length = u32::try_from(header.len()).unwrap();
    let mut frame = (length + 4).to_be_bytes().to_vec();
    frame.extend_from_slice(&(length | 1 << 24).to_be_bytes());
    frame.extend_from_slice(&header);
    frame
}

/// Gives the topic to these brokers, named `broker-a`, `broker-b` and so on, one queue each.
pub(crate) fn route(producer: &Producer, brokers: &[&Scripted]) {
    let named = || ('a'..).zip(brokers);
    let queues: Vec<String> = named()
        .map(|(letter, _)| {
            format!(
                r#"{{"brokerName":"broker-{letter}","readQueueNums":1,"writeQueueNums":1,"perm":6,"topicSysFlag":0}}"#
            )
        })
        .collect();
    let addresses: Vec<String> = named()
        .map(|(letter, broker)| {
            let address = broker.address;
            format!(
                r#"{{"cluster":"c","brokerName":"broker-{letter}","brokerAddrs":{{"0":"{address}"}}}}"#
            )
        })
        .collect();
    let (queues, addresses) = (queues.join(","), addresses.join(","));
    let route = format!(r#"{{"queueDatas":[{queues}],"brokerDatas":[{addresses}]}}"#);
    let data = TopicRouteData::parse(route.as_bytes()).unwrap();
    producer.mapping().remove_route_info(TOPIC);
    producer.mapping().update_route_info(TOPIC, data);
    aim_at_a(producer);
}
