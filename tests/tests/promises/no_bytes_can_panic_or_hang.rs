//! Servers that say anything: nothing panics, hangs, or takes memory on a stranger's word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Once, OnceLock};

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use rocketmq_producer::remoting::{
    HeaderEncoding, MAX_FRAME_LENGTH, RemotingCommand, ResponseCode,
};
use rocketmq_producer::{Producer, SendOptions};
use rocketmq_producer_tests::fuzz::random::Random;
use rocketmq_producer_tests::peer::{Peer, Reply, is_send, route};
use tokio::task::JoinSet;

use crate::support::{A, B, PATIENT, memory, message, millis, producer, random, soon};

/// Panics of any thread, also of tasks whose handle nobody asks.
fn panics() -> &'static AtomicUsize {
    static PANICS: OnceLock<AtomicUsize> = OnceLock::new();
    static HOOK: Once = Once::new();
    let panics = PANICS.get_or_init(AtomicUsize::default);
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(|at| at.file().to_owned());
            // Other tests of this program may fail in their own files.
            if place.is_none_or(|file| !file.contains("tests/promises")) {
                panics.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
    });
    panics
}

/// An answer, or something like one.
fn nonsense(random: &mut Random, request: &RemotingCommand, good: Bytes) -> Bytes {
    let codes = [0, 0, 1, 2, 17, 1500, i32::MIN, i32::MAX];
    let code = random.choose(&codes).copied().unwrap_or_default();
    let mut answer = RemotingCommand::response(ResponseCode(code), request.opaque, None)
        .with_field("queueId", "0")
        .with_field("queueOffset", "7")
        .with_body(good);
    if random.one_in(4) {
        answer.opaque = random.byte().into();
    }
    let encoding = if random.one_in(2) {
        HeaderEncoding::Json
    } else {
        HeaderEncoding::Binary
    };
    let mut bytes = BytesMut::new();
    if answer.encode(encoding, &mut bytes).is_err() {
        return Bytes::from_static(b"\0\0\0\0");
    }
    mutate(random, &mut bytes);
    bytes.freeze()
}

fn mutate(random: &mut Random, bytes: &mut BytesMut) {
    const WORDS: [u32; 9] = [
        0,
        1,
        4,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        0x00ff_ffff,
        0x0100_0000,
        0x01ff_ffff,
    ];
    for _ in 0..random.below(4) {
        let length = bytes.len();
        match random.below(6) {
            // A length or a count that promises more than there is.
            0 if length >= 4 => {
                let at = random.below(length - 3);
                let word = random.choose(&WORDS).copied().unwrap_or_default();
                bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
            }
            1 if length >= 8 => {
                let word = random.choose(&WORDS).copied().unwrap_or_default();
                bytes[4..8].copy_from_slice(&word.to_be_bytes());
            }
            2 if length > 0 => {
                let at = random.below(length);
                bytes[at] = random.byte();
            }
            3 => bytes.truncate(random.below(length + 1)),
            4 => bytes.extend_from_slice(&[random.byte(); 9]),
            _ => {
                let copy = bytes.clone();
                bytes.extend_from_slice(&copy);
            }
        }
    }
}

/// A server that talks nonsense to every request until it is told to be well.
async fn mad(seed: u64, well: &Arc<AtomicBool>, good: Option<Bytes>) -> Result<Peer> {
    let well = Arc::clone(well);
    let requests = AtomicUsize::new(0);
    Peer::start(move |request, _| {
        if well.load(Ordering::SeqCst) {
            return match &good {
                Some(body) => Reply::Body(body.clone()),
                None => Reply::receipt(),
            };
        }
        let number = requests.fetch_add(1, Ordering::SeqCst) as u64;
        let mut random = random("mad", seed * 100_000 + number);
        if !is_send(request) && good.is_none() && random.one_in(2) {
            return Reply::receipt();
        }
        let body = good.clone().unwrap_or_default();
        Reply::Bytes(nonsense(&mut random, request, body))
    })
    .await
}

/// Servers that are well again are used again, and nothing has panicked.
async fn is_well_again(producer: &Producer, well: &AtomicBool, panicked: usize) -> Result<()> {
    well.store(true, Ordering::SeqCst);
    let recovered = async {
        while producer.send(message("x")?).await.is_err() {}
        anyhow::Ok(())
    };
    soon("the first send after it", recovered).await??;
    producer.shutdown(PATIENT).await;
    assert_eq!(panics().load(Ordering::SeqCst), panicked);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bytes_of_a_broker_can_panic_or_hang() -> Result<()> {
    let panicked = panics().load(Ordering::SeqCst);
    for seed in 0..4 {
        let well = Arc::new(AtomicBool::new(false));
        let (a, b) = (
            mad(seed, &well, None).await?,
            mad(seed + 50, &well, None).await?,
        );
        let brokers = [(A, &*a.address()), (B, &*b.address())];
        let name_server = Peer::name_server(&brokers).await?;
        let producer = producer(&name_server.address(), |settings| settings).await?;
        let mut sends = JoinSet::new();
        for _ in 0..8 {
            let producer = producer.clone();
            sends.spawn(async move {
                for _ in 0..25 {
                    let options = SendOptions::new().timeout(millis(40));
                    // Some answers look like receipts; here only coming to an end counts.
                    let _ = producer.send_with(message("x")?, options).await;
                }
                anyhow::Ok(())
            });
        }
        while let Some(sent) = soon("sends to a mad broker", sends.join_next()).await? {
            sent??;
        }
        assert_eq!(producer.stats().under_way, 0);
        is_well_again(&producer, &well, panicked).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bytes_of_a_name_server_can_panic_or_hang() -> Result<()> {
    let panicked = panics().load(Ordering::SeqCst);
    let broker = Peer::broker(|_, _| Reply::receipt()).await?;
    for seed in 0..4 {
        let well = Arc::new(AtomicBool::new(false));
        let good = route(&[(A, &broker.address())], 4);
        let name_server = mad(seed + 100, &well, Some(good)).await?;
        let producer = producer(&name_server.address(), |settings| settings).await?;
        for topic in 0..60 {
            let topic = format!("topic_{topic}");
            let message = rocketmq_producer::Message::new(topic, "x")?;
            let options = SendOptions::new().timeout(millis(40));
            let send = producer.send_with(message, options);
            let _ = soon("a send with a mad name server", send).await?;
        }
        is_well_again(&producer, &well, panicked).await?;
    }
    Ok(())
}

/// Frames that promise 16 MiB and bring 20 bytes take no 16 MiB each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promise_of_bytes_takes_no_memory() -> Result<()> {
    const BROKERS: usize = 60;
    let mut promise = BytesMut::new();
    let length = u32::try_from(MAX_FRAME_LENGTH - 4)?;
    promise.extend_from_slice(&length.to_be_bytes());
    promise.extend_from_slice(&[0; 16]);
    let promise = promise.freeze();
    let mut brokers = Vec::new();
    for _ in 0..BROKERS {
        let promise = promise.clone();
        brokers.push(Peer::broker(move |_, _| Reply::Bytes(promise.clone())).await?);
    }
    let names: Vec<_> = (0..BROKERS)
        .map(|index| format!("broker-{index:02}"))
        .collect();
    let addresses: Vec<_> = brokers.iter().map(Peer::address).collect();
    let named: Vec<_> = names
        .iter()
        .zip(&addresses)
        .map(|(n, a)| (&**n, &**a))
        .collect();
    let name_server = Peer::name_server(&named).await?;
    let producer = producer(&name_server.address(), |settings| settings.retry_times(0)).await?;
    let before = memory("VmData")?;
    let mut sends = JoinSet::new();
    for _ in 0..4 * BROKERS {
        let producer = producer.clone();
        sends.spawn(async move {
            let options = SendOptions::new().timeout(millis(500));
            anyhow::Ok(producer.send_with(message("x")?, options).await.err())
        });
    }
    let mut most = before;
    while let Some(outcome) = sends.join_next().await {
        outcome??.context("no answer is whole")?;
        most = most.max(memory("VmData")?);
    }
    let promised = (BROKERS * MAX_FRAME_LENGTH) as u64;
    assert!(most - before < promised / 4, "{} bytes more", most - before);
    Ok(())
}
