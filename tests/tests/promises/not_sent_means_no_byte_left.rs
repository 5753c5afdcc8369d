//! A message that is said not to be sent has left no trace on any wire.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use bytes::{Buf, Bytes};
use rocketmq_producer::remoting::{
    Connection, ConnectionOptions, NoConsumer, NoFields, RequestCode,
};
use rocketmq_producer::{Delivery, Producer, SendError, SendFailure, SendReceipt};
use rocketmq_producer_tests::breaking::BreakingStream;
use rocketmq_producer_tests::fuzz::random::Random;
use rocketmq_producer_tests::payload::noise;
use rocketmq_producer_tests::peer::{HungAddress, Peer, closed_address};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{A, PATIENT, message, millis, producer, random};

#[tokio::test(start_paused = true)]
async fn of_a_request_that_was_not_sent_the_stream_took_no_byte() -> Result<()> {
    const REQUESTS: usize = 20;
    for seed in 0..300 {
        let mut random = random("not sent", seed);
        let stream = BreakingStream::after(random.below(3000)).in_pieces(random.clone());
        let taken = stream.taken();
        let options = ConnectionOptions::new();
        let (connection, driver) =
            Connection::new(stream, Arc::from("peer"), &options, Arc::new(NoConsumer));
        let mut task = JoinSet::new();
        task.spawn(driver);
        let mut requests = JoinSet::new();
        for number in 0..REQUESTS {
            let connection = connection.clone();
            let body = Bytes::from(format!("<{number}>").repeat(1 + random.below(60)));
            let late = random.one_in(8);
            requests.spawn(async move {
                let header = NoFields(RequestCode::HEART_BEAT);
                let deadline = Instant::now() + if late { millis(0) } else { PATIENT };
                let error = connection.request(&header, &body, deadline).await.err();
                (number, error.expect("nobody answers").delivery())
            });
        }
        drop(connection);
        let mut not_sent = HashSet::new();
        while let Some(outcome) = requests.join_next().await {
            let (number, delivery) = outcome?;
            if delivery == Delivery::NotSent {
                not_sent.insert(number);
            }
        }
        let taken = taken.bytes();
        let begun = frames_begun(&taken);
        assert!(
            not_sent.len() <= REQUESTS - begun,
            "seed {seed}: {begun} of {REQUESTS} frames were begun, {} are said not to be",
            not_sent.len()
        );
        let text = String::from_utf8_lossy(&taken);
        for number in not_sent {
            let tag = format!("<{number}>");
            assert!(!text.contains(&tag), "seed {seed}: {tag} has left");
        }
    }
    Ok(())
}

/// How many frames these bytes are the beginning of.
fn frames_begun(mut bytes: &[u8]) -> usize {
    let mut begun = 0;
    while !bytes.is_empty() {
        begun += 1;
        if bytes.len() < 4 {
            break;
        }
        let length = bytes.get_u32() as usize;
        bytes.advance(length.min(bytes.len()));
    }
    begun
}

/// A broker that reads as many bytes of each connection as it is told, keeps them, and resets it.
struct Rude {
    address: String,
    read: Arc<Mutex<Vec<Vec<u8>>>>,
    _task: JoinSet<()>,
}

impl Rude {
    /// Each connection gets a random number of bytes read, below `most`, and what comes after
    /// them is left unread. One that gets no more than 1 read is held until `go` is true.
    async fn start(mut random: Random, most: usize, go: watch::Receiver<bool>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let read = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&read);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let appetite = random.below(most);
                let (kept, go) = (Arc::clone(&kept), go.clone());
                connections.spawn(async move {
                    let bytes = gulp(stream, appetite, go).await;
                    kept.lock().unwrap().push(bytes);
                });
            }
        });
        Ok(Self {
            address,
            read,
            _task: task,
        })
    }
}

/// Reads so many bytes, waits to be let go, and drops the stream with bytes unread: a reset.
async fn gulp(mut stream: TcpStream, appetite: usize, mut go: watch::Receiver<bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reading = async {
        while bytes.len() < appetite {
            let most = (appetite - bytes.len()).min(512);
            let read = (&mut stream).take(most as u64).read_buf(&mut bytes).await;
            if !read.is_ok_and(|read| read > 0) {
                return;
            }
        }
    };
    let told = async {
        if !*go.borrow_and_update() {
            let _ = go.changed().await;
        }
    };
    if appetite > 1 {
        reading.await;
    } else {
        told.await;
    }
    bytes
}

type Outcome = Result<SendReceipt, SendError>;

async fn send_many(producer: &Producer, count: u64, size: usize) -> Result<Vec<Outcome>> {
    let mut sends = JoinSet::new();
    for seed in 0..count {
        let (producer, message) = (producer.clone(), message(noise(seed, size))?);
        sends.spawn(async move { producer.send(message).await });
    }
    let mut outcomes = Vec::new();
    while let Some(outcome) = sends.join_next().await {
        outcomes.push(outcome?);
    }
    Ok(outcomes)
}

/// No id of a send that was not sent stands in these bytes, nor are more frames begun than
/// attempts that may have been.
fn check(outcomes: &[Outcome], streams: &[Vec<u8>]) {
    let mut maybe_begun = 0;
    let text: Vec<String> = streams
        .iter()
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .collect();
    for outcome in outcomes {
        let Err(error) = outcome else {
            panic!("a rude broker stores nothing")
        };
        let begun = |failure: &SendFailure| failure.delivery() != Delivery::NotSent;
        let attempts = error.attempts().iter();
        maybe_begun += attempts
            .filter(|attempt| attempt.failure().is_some_and(begun))
            .count();
        if error.delivery() == Delivery::NotSent {
            let id = error.message_id().expect("it was stamped").as_str();
            assert!(!text.iter().any(|text| text.contains(id)), "{error:?}");
        }
    }
    let begun: usize = streams.iter().map(|bytes| sends_begun(bytes)).sum();
    assert!(
        begun <= maybe_begun,
        "{begun} frames of sends were begun, {maybe_begun} attempts are said to be"
    );
}

/// Frames begun that are certainly sends: heartbeats are shorter than any of these.
fn sends_begun(mut bytes: &[u8]) -> usize {
    let mut begun = 0;
    while bytes.len() >= 10 {
        let length = (&bytes[..]).get_u32() as usize;
        let code = (&bytes[8..]).get_i16();
        begun += usize::from(i32::from(code) == RequestCode::SEND_MESSAGE_V2.0);
        bytes.advance((length + 4).min(bytes.len()));
    }
    begun
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_send_that_was_not_sent_the_broker_saw_no_byte() -> Result<()> {
    for seed in 0..12 {
        let (go, gone) = watch::channel(true);
        let broker = Rude::start(random("rude", seed), 4000, gone).await?;
        let name_server = Peer::name_server(&[(A, &broker.address)]).await?;
        let producer = producer(&name_server.address(), |settings| {
            settings.send_msg_timeout(millis(250)).retry_times(4)
        })
        .await?;
        let outcomes = send_many(&producer, 20, 200).await?;
        producer.shutdown(millis(100)).await;
        drop(go);
        check(&outcomes, &broker.read.lock().unwrap());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_behind_a_full_socket_is_not_sent() -> Result<()> {
    let (go, gone) = watch::channel(false);
    let broker = Rude::start(random("full", 0), 1, gone).await?;
    let name_server = Peer::name_server(&[(A, &broker.address)]).await?;
    let producer = producer(&name_server.address(), |settings| {
        settings.send_msg_timeout(millis(700)).retry_times(0)
    })
    .await?;
    // More than any socket of this machine takes.
    let outcomes = send_many(&producer, 24, 1 << 20).await?;
    go.send_replace(true);
    let delivered = |wanted| {
        let failed = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        failed.filter(|error| error.delivery() == wanted).count()
    };
    assert!(delivered(Delivery::NotSent) > 0, "{outcomes:?}");
    assert!(
        delivered(Delivery::Unknown) > 0,
        "the first has left in part"
    );
    producer.shutdown(millis(100)).await;
    check(&outcomes, &broker.read.lock().unwrap());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_cannot_be_dialled_was_sent_nothing() -> Result<()> {
    let hung = HungAddress::new()?;
    for address in [closed_address()?, hung.address()?] {
        let name_server = Peer::name_server(&[(A, &address)]).await?;
        let producer = producer(&name_server.address(), |settings| {
            settings.send_msg_timeout(millis(300))
        })
        .await?;
        for outcome in send_many(&producer, 10, 100).await? {
            let error = outcome.err().context("nobody is there")?;
            assert_eq!(error.delivery(), Delivery::NotSent, "{error:?}");
        }
    }
    Ok(())
}
