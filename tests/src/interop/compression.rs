//! Compressed bodies.

use std::sync::Arc;

use anyhow::{Result, ensure};
use bytes::Bytes;
use rocketmq_producer::remoting::message::CompressionType;
use xtask::apache::{ReadOptions, Reader, Version};

use super::ground::end;
use super::row::{Group, row};
use super::trial::Trial;
use super::{Cell, Ground};

pub(super) const GROUP: Group = Group::new(
    "Compression",
    &[
        row!(
            "zlib",
            "a Java consumer gets the body as it was given",
            zlib
        ),
        row!("lz4", "a Java consumer gets the body as it was given", lz4),
        row!(
            "zstd",
            "a Java consumer gets the body as it was given",
            zstd
        ),
    ],
);

async fn zlib(ground: Arc<Ground>) -> Result<Cell> {
    compressed(&ground, "compressed-zlib", CompressionType::Zlib).await
}

async fn lz4(ground: Arc<Ground>) -> Result<Cell> {
    compressed(&ground, "compressed-lz4", CompressionType::Lz4).await
}

async fn zstd(ground: Arc<Ground>) -> Result<Cell> {
    compressed(&ground, "compressed-zstd", CompressionType::Zstd).await
}

async fn compressed(
    ground: &Arc<Ground>,
    topic: &'static str,
    kind: CompressionType,
) -> Result<Cell> {
    let mut trial = Trial::with(ground, topic, |builder| {
        builder.configure(|settings| settings.compress_type(Some(kind)))
    })
    .await?;
    // Not too easy for a codec; the largest is more than a broker takes as it is.
    let words = || (0_u64..).flat_map(|number| format!("{} and ", number * 7919).into_bytes());
    for size in [100, 5000, 200_000, 5 << 20] {
        let body: Bytes = words().take(size).collect();
        let receipt = trial.producer.send(trial.message(&body)?).await?;
        trial.oracle.acked(&receipt, &body);
    }
    if ground.version() != Version::V4_9_7 || kind == CompressionType::Zlib {
        let read = trial.judge().await?;
        ensure!(read.iter().filter(|m| m.sys_flag & 1 == 1).count() <= 3);
        return Ok(Cell::Passed);
    }
    // Brokers of 4.9.7 store what its clients cannot read; a client of 5.5.0 can.
    end(&trial.producer).await?;
    let read = ground
        .java(move |ground, _| {
            let java = ground.fitted(Reader::new(Version::V5_5_0)?);
            let options = ReadOptions::new().at_least(4);
            java.read_topic_with(&ground.direct(), topic, &options)
        })
        .await?;
    trial.oracle.judge(&read).exactly_once()?;
    Cell::but("stored; read by Apache's client of 5.5.0, that of 4.9.7 knows zlib only")
}
