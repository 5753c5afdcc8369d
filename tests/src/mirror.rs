//! [`Mirror`]: name servers and brokers as cheap as can be, for measuring what a producer costs by itself.
//!
//! There is no task, no socket and no second buffer between the two sides: whoever writes a request has its answer
//! waiting when the write returns. A send is recognised by a look at its header and answered from a template.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use rocketmq_producer::remoting::command::peek_binary;
use rocketmq_producer::remoting::{
    ConnectionOptions, Dialer, FrameError, HeaderEncoding, MAX_FRAME_LENGTH, RemotingCommand,
    RequestCode, ResponseCode, Transport, decode_frame,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Length prefix and header mark.
const PREFIX: usize = 8;
/// Where the number is in the binary frame of an answer.
const OPAQUE: usize = PREFIX + 5;
/// Where the digit of the queue is in the frame of a receipt: after numbers, empty remark, length of all fields, and the
/// name and length of the first one.
const QUEUE: usize = PREFIX + 13 + 4 + 4 + (2 + "queueId".len()) + 4;

/// A cluster that answers every request at once. Clones are the same cluster: each address is a name server and a broker, and every topic is on all
/// brokers.
#[derive(Clone, Debug)]
pub struct Mirror {
    route: Arc<str>,
    /// Whether sends are taken and left without an answer.
    silent: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
}

impl Mirror {
    /// A cluster of `brokers`, each with `queues` of every topic.
    #[must_use]
    pub fn new(brokers: usize, queues: usize) -> Self {
        let list = |text: &dyn Fn(usize) -> String| {
            let parts: Vec<String> = (0..brokers).map(text).collect();
            parts.join(",")
        };
        let queues = list(&|broker| {
            format!(
                r#"{{"brokerName":"broker-{broker}","readQueueNums":{queues},"writeQueueNums":{queues},"perm":6,"topicSysFlag":0}}"#
            )
        });
        let brokers = list(&|broker| {
            format!(
                r#"{{"brokerName":"broker-{broker}","cluster":"c","brokerAddrs":{{"0":"127.0.0.1:{}"}}}}"#,
                20_000 + broker
            )
        });
        Self {
            route: Arc::from(format!(
                r#"{{"brokerDatas":[{brokers}],"filterServerTable":{{}},"queueDatas":[{queues}]}}"#
            )),
            silent: Arc::default(),
            taken: Arc::default(),
        }
    }

    /// From now on sends are taken and never answered.
    pub fn fall_silent(&self) {
        self.silent.store(true, Relaxed);
    }

    /// Sends that were taken and not answered.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// A stream with a server at its other end.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream {
            mirror: self.clone(),
            receipt: receipt(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            reader: None,
        }
    }
}

#[async_trait]
impl Dialer for Mirror {
    async fn dial(&self, _: &str, _: &ConnectionOptions) -> io::Result<Box<dyn Transport>> {
        Ok(Box::new(self.stream()))
    }
}

/// The frame of a receipt like that of a 5.x broker, with the number 0.
fn receipt() -> BytesMut {
    let fields = [
        ("queueId", "3"),
        ("transactionId", "7F00000100002A9F0000000000000000"),
        ("msgId", "7F00000100002A9F0000000000012345"),
        ("TRACE_ON", "true"),
        ("MSG_REGION", "DefaultRegion"),
        ("queueOffset", "123456"),
    ];
    let answer = fields.into_iter().fold(
        RemotingCommand::response(ResponseCode::SUCCESS, 0, None),
        |answer, (name, value)| answer.with_field(name, value),
    );
    let mut frame = BytesMut::new();
    // Some hundred bytes: far below the limit of a frame.
    let _ = answer.encode(HeaderEncoding::Binary, &mut frame);
    frame
}

/// One end of a connection whose other end is a server.
#[derive(Debug)]
pub struct Stream {
    mirror: Mirror,
    receipt: BytesMut,
    /// A part of a frame.
    input: BytesMut,
    output: BytesMut,
    reader: Option<Waker>,
}

impl Stream {
    fn serve(&mut self) -> io::Result<()> {
        while let Some(length) = whole(&self.input) {
            match send(&self.input) {
                Some((opaque, is_oneway, queue)) => {
                    if is_oneway {
                        // Nobody waits for an answer.
                    } else if self.mirror.silent.load(Relaxed) {
                        self.mirror.taken.fetch_add(1, Relaxed);
                    } else {
                        let at = self.output.len() + OPAQUE;
                        self.output.extend_from_slice(&self.receipt);
                        self.output[at..at + 4].copy_from_slice(&opaque);
                        self.output[at - OPAQUE + QUEUE] = queue;
                    }
                    self.input.advance(length);
                }
                None => self.serve_other().map_err(io::Error::other)?,
            }
        }
        if !self.output.is_empty()
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
        Ok(())
    }

    fn serve_other(&mut self) -> Result<(), FrameError> {
        let Some(frame) = decode_frame(&mut self.input, MAX_FRAME_LENGTH)? else {
            return Ok(());
        };
        let encoding = frame.encoding;
        let request = RemotingCommand::decode(frame)?;
        if request.is_oneway() || request.is_response() {
            return Ok(());
        }
        let mut answer = RemotingCommand::response(ResponseCode::SUCCESS, request.opaque, None);
        if RequestCode(request.code) == RequestCode::GET_ROUTEINFO_BY_TOPIC {
            answer = answer.with_body(self.mirror.route.as_bytes().to_vec());
        }
        answer.encode(encoding, &mut self.output)
    }
}

/// The length of the frame at the start, if all of it is there.
fn whole(input: &[u8]) -> Option<usize> {
    let length = 4 + u32::from_be_bytes(*input.first_chunk()?) as usize;
    (input.len() >= length).then_some(length)
}

/// The number of the send at the start, whether it is one-way, and the digit of its queue; nothing if it is no send with a
/// binary header. A client that is told of another queue takes the topic for a static one, which costs it more than usual.
fn send(frame: &[u8]) -> Option<([u8; 4], bool, u8)> {
    let &[_, _, _, _, kind, a, b, c] = frame.first_chunk::<PREFIX>()?;
    if kind != HeaderEncoding::Binary.type_byte() {
        return None;
    }
    let end = PREFIX + u32::from_be_bytes([0, a, b, c]) as usize;
    let (head, queue) = peek_binary(frame.get(PREFIX..end)?, b"e").ok()?;
    let is_send = matches!(
        RequestCode(head.code),
        RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE
    );
    let queue = *queue?.last()?;
    is_send.then(|| (head.opaque.to_be_bytes(), head.is_oneway(), queue))
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.input.extend_from_slice(bytes);
        Poll::Ready(self.serve().map(|()| bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        for slice in slices {
            self.input.extend_from_slice(slice);
        }
        let length = slices.iter().map(|slice| slice.len()).sum();
        Poll::Ready(self.serve().map(|()| length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.output.is_empty() {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let length = into.remaining().min(self.output.len());
        into.put_slice(&self.output[..length]);
        self.output.advance(length);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use rocketmq_producer::remoting::command::{RequestMode, encode_request};
    use rocketmq_producer::remoting::protocol::{
        SendMessageRequestHeader, SendMessageResponseHeader,
    };
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_receipt_names_the_queue_that_was_asked_for() {
        let mut stream = Mirror::new(1, 4).stream();
        for queue in [0, 2] {
            let header = SendMessageRequestHeader::new("g", "t", queue, 1);
            let (mut request, mut answer) = (BytesMut::new(), BytesMut::with_capacity(1024));
            encode_request(
                &header,
                7,
                RequestMode::TwoWay,
                HeaderEncoding::Binary,
                0,
                &mut request,
            )
            .unwrap();
            stream.write_all(&request).await.unwrap();
            stream.read_buf(&mut answer).await.unwrap();
            let frame = decode_frame(&mut answer, MAX_FRAME_LENGTH).unwrap();
            let frame = frame.unwrap();
            let receipt = SendMessageResponseHeader::read(&frame).unwrap();
            assert_eq!(receipt.queue_id, queue);
        }
    }
}
