//! A client that writes and reads single commands.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use rocketmq_producer_embedded::{EmbeddedCluster, StoredMessage};
use rocketmq_producer_remoting::{
    Frame, HeaderEncoding, MAX_FRAME_LENGTH, RemotingCommand, decode_frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct RawClient {
    stream: TcpStream,
    input: BytesMut,
}

impl RawClient {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            input: BytesMut::new(),
        }
    }

    pub(crate) async fn to_broker(cluster: &EmbeddedCluster, index: usize) -> Self {
        Self::connect(cluster.brokers()[index].address).await
    }

    pub(crate) async fn to_name_server(cluster: &EmbeddedCluster) -> Self {
        let all = cluster.name_servers();
        let first = all.split(';').next().unwrap();
        Self::connect(first.parse().unwrap()).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    pub(crate) async fn write(&mut self, command: &RemotingCommand, encoding: HeaderEncoding) {
        let mut bytes = BytesMut::new();
        command.encode(encoding, &mut bytes).unwrap();
        self.write_bytes(&bytes).await;
    }

    pub(crate) async fn write_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame; `None` when the server has closed the connection.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        let read = async {
            loop {
                if let Some(frame) = decode_frame(&mut self.input, MAX_FRAME_LENGTH).unwrap() {
                    return Some(frame);
                }
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .expect("the server neither answers nor closes")
    }

    pub(crate) async fn read(&mut self) -> RemotingCommand {
        RemotingCommand::decode(self.frame().await.expect("closed")).unwrap()
    }

    pub(crate) async fn ask(&mut self, command: &RemotingCommand) -> RemotingCommand {
        self.write(command, HeaderEncoding::Json).await;
        self.read().await
    }
}

/// A send in the short form, with the properties of `id`.
pub(crate) fn send(topic: &str, queue: i32, id: &str, opaque: i32) -> RemotingCommand {
    let fields = [
        ("a", "PG"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", &queue.to_string()),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", &format!("WAIT\u{1}true\u{2}UNIQ_KEY\u{1}{id}\u{2}")),
        ("j", "0"),
        ("k", "false"),
        ("m", "false"),
        ("n", "broker-a"),
    ];
    fields
        .iter()
        .fold(
            RemotingCommand::request(310, opaque),
            |command, (name, value)| command.with_field(*name, *value),
        )
        .with_body(format!("body of {id}"))
}

pub(crate) fn ids(messages: &[StoredMessage]) -> Vec<&str> {
    messages.iter().map(StoredMessage::message_id).collect()
}
