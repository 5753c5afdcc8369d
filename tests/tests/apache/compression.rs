//! Compressed bodies are read back by Apache's own consumer as they were given.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rocketmq_producer::Message;
use rocketmq_producer::remoting::message::CompressionType;
use rocketmq_producer_tests::oracle::Oracle;
use rocketmq_producer_tests::payload::noise;
use xtask::apache::ReadOptions;

use crate::clusters::{Apache, end, promise};

/// Below the threshold, at it, off the reactor, and larger than a broker takes as it is.
const SIZES: [usize; 5] = [100, 4096, 100_000, 1 << 20, 6 << 20];

/// A text with numbers, which no codec finds too easy.
fn text(seed: usize, len: usize) -> Vec<u8> {
    let words = (seed..).flat_map(|number| format!("{} and ", number * 7919).into_bytes());
    words.take(len).collect()
}

promise!(zlib_bodies_are_read_back_as_they_were: on_5_5_0, on_4_9_7);

async fn zlib_bodies_are_read_back_as_they_were(apache: &'static Apache) -> Result<()> {
    read_back(apache, CompressionType::Zlib).await
}

promise!(lz4_bodies_are_read_back_as_they_were: on_5_5_0);

async fn lz4_bodies_are_read_back_as_they_were(apache: &'static Apache) -> Result<()> {
    read_back(apache, CompressionType::Lz4).await
}

promise!(zstd_bodies_are_read_back_as_they_were: on_5_5_0);

async fn zstd_bodies_are_read_back_as_they_were(apache: &'static Apache) -> Result<()> {
    read_back(apache, CompressionType::Zstd).await
}

async fn read_back(apache: &'static Apache, kind: CompressionType) -> Result<()> {
    let topic = format!("compressed_{kind}");
    apache.topic(&topic, 4)?;
    let mut oracle = Oracle::new();
    for level in [1, 5, 9] {
        let producer = apache
            .producer_with("compressed", |settings| {
                settings.compress_type(Some(kind)).compress_level(level)
            })
            .await?;
        for size in SIZES {
            let body = Bytes::from(text(level as usize, size));
            let receipt = producer
                .send(Message::new(topic.as_str(), body.clone())?)
                .await
                .with_context(|| format!("{size} bytes with {kind} at level {level}"))?;
            oracle.acked(&receipt, &body);
        }
        // One that does not get smaller.
        let body = noise(u64::from(level), 50_000);
        let receipt = producer
            .send(Message::new(topic.as_str(), body.clone())?)
            .await?;
        oracle.acked(&receipt, &body);
        end(&producer).await?;
    }
    let count = 3 * (SIZES.len() + 1);
    let options = ReadOptions::new().digest_only().at_least(count);
    let read = apache.read_with(&topic, &options)?;
    let verdict = oracle.judge(&read).exactly_once()?;
    ensure!(verdict.stored == count, "{} stored", verdict.stored);
    Ok(())
}
