//! What a message carries, as a Java consumer sees it, and what is too much.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use rocketmq_producer::remoting::{ByteSize, HeaderEncoding, MessageError};
use rocketmq_producer::{Delivery, SendFailure};

use super::row::{Group, row};
use super::trial::{Trial, refusal, stored};
use super::{Cell, Ground};
use crate::payload::noise;

pub(super) const GROUP: Group = Group::new(
    "What a message carries",
    &[
        row!(
            "keys, tag, flag, properties",
            "a Java consumer sees them as given, and nothing that was not given",
            properties
        ),
        row!(
            "characters beyond ASCII",
            "in body, keys, tag, names and values of properties, in both header encodings",
            characters
        ),
        row!(
            "properties up to the limit",
            "32 255 bytes are stored, one more is refused before anything is sent",
            long_properties
        ),
        row!("bodies of 1 byte to 4 MiB", "stored unchanged", bodies),
        row!(
            "a body over our limit",
            "refused before anything is sent",
            too_large
        ),
        row!(
            "a body over the broker's limit",
            "the broker's refusal is final and says so",
            too_large_for_the_broker
        ),
    ],
);

/// What producer, broker, proxy and consumer add.
const KNOWN: [&str; 12] = [
    "KEYS",
    "TAGS",
    "WAIT",
    "UNIQ_KEY",
    "__SHARDINGKEY",
    "CLUSTER",
    "MIN_OFFSET",
    "MAX_OFFSET",
    "MSG_REGION",
    "TRACE_ON",
    "INSTANCE_ID",
    "__CLIENT_VERSION",
];

async fn carried(
    ground: &Arc<Ground>,
    topic: &'static str,
    keys: [&str; 2],
    tag: &str,
    given: &[(&str, &str)],
) -> Result<Cell> {
    for encoding in [HeaderEncoding::Binary, HeaderEncoding::Json] {
        let mut trial = Trial::with(ground, topic, |builder| {
            builder.configure(|settings| settings.header_encoding(encoding))
        })
        .await?;
        let body = trial.body();
        let mut message = trial
            .message(&body)?
            .with_keys(keys)?
            .with_tags(tag)?
            .with_flag(-7);
        for (name, value) in given {
            message = message.with_property(name, value)?;
        }
        let receipt = trial.producer.send(message).await?;
        trial.oracle.acked(&receipt, &body);
        super::ground::end(&trial.producer).await?;
        let read = ground.read(topic, 1).await?;
        let stored = stored(&read, &receipt)?;
        ensure!(stored.body == *body, "{stored:?}");
        ensure!(stored.keys.as_deref() == Some(&*keys.join(" ")));
        ensure!(stored.tags.as_deref() == Some(tag), "{stored:?}");
        ensure!(stored.flag == -7, "{stored:?}");
        for (name, value) in given {
            let found = stored.properties.get(*name).map(String::as_str);
            ensure!(found == Some(*value), "{name}: {found:?}");
        }
        let strange: Vec<_> = stored
            .properties
            .keys()
            .filter(|name| !KNOWN.contains(&name.as_str()))
            .filter(|name| !given.iter().any(|(ours, _)| ours == name))
            .collect();
        ensure!(strange.is_empty(), "{strange:?}");
    }
    Ok(Cell::Passed)
}

async fn properties(ground: Arc<Ground>) -> Result<Cell> {
    let given = [
        ("plain", "value"),
        ("quotes", r#"{"a":"b\c"}"#),
        ("white space", "\t two\nlines "),
        ("equals", "a=b;c"),
    ];
    carried(&ground, "carried", ["order-1", "k2"], "TagA", &given).await
}

async fn characters(ground: Arc<Ground>) -> Result<Cell> {
    let given = [("订单", "已支付"), ("emoji", "🚀 and 👩‍👩‍👧"), ("müller", "ß")];
    carried(&ground, "characters", ["键-🔑", "é"], "标签", &given).await
}

/// Java's properties have a two-byte length, of which this much is kept for what the broker adds.
const PROPERTY_LIMIT: usize = 32_767 - 512;

async fn long_properties(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::new(&ground, "long-properties").await?;
    let body = trial.body();
    let message = trial.message(&body)?.with_property("filler", "x")?;
    let room = PROPERTY_LIMIT - message.properties().wire_len();
    let value = format!("x{}{}", "长".repeat(room / 3), "y".repeat(room % 3));
    let message = message.with_property("filler", &value)?;
    let receipt = trial.producer.send(message.clone()).await?;
    trial.oracle.acked(&receipt, &body);
    let longer = message.with_property("filler", &format!("{value}z"))?;
    let error = trial.producer.send(longer).await.err().context("taken")?;
    ensure!(error.delivery() == Delivery::NotSent, "{error:?}");
    let read = trial.judge().await?;
    let stored = stored(&read, &receipt)?;
    ensure!(stored.properties.get("filler") == Some(&value));
    Ok(Cell::Passed)
}

const LIMIT: usize = 4 * 1024 * 1024;

async fn bodies(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::new(&ground, "bodies").await?;
    for size in [1, 4096, 1 << 20, LIMIT - 1, LIMIT] {
        let body = noise(size as u64, size);
        let receipt = trial.producer.send(trial.message(&body)?).await?;
        trial.oracle.acked(&receipt, &body);
    }
    trial.judge().await?;
    Ok(Cell::Passed)
}

async fn too_large(ground: Arc<Ground>) -> Result<Cell> {
    let trial = Trial::new(&ground, "too-large").await?;
    let message = trial.message(&noise(0, LIMIT + 1))?;
    let error = trial.producer.send(message).await.err().context("taken")?;
    ensure!(error.delivery() == Delivery::NotSent, "{error:?}");
    let SendFailure::Message(MessageError::BodyTooLarge { .. }) = error.cause() else {
        bail!("{error:?}");
    };
    let read = trial.judge().await?;
    ensure!(read.is_empty());
    Cell::refused("not sent: the error names size and limit")
}

async fn too_large_for_the_broker(ground: Arc<Ground>) -> Result<Cell> {
    let trial = Trial::with(&ground, "too-large-broker", |builder| {
        builder.configure(|settings| settings.max_message_size(ByteSize::mib(8)))
    })
    .await?;
    let body: Bytes = noise(0, 5 << 20);
    let error = trial.producer.send(trial.message(&body)?).await;
    let error = error.err().context("taken")?;
    let code = refusal(&error)?;
    let read = trial.judge().await?;
    ensure!(read.is_empty());
    Cell::refused(format!("rejected with code {code}"))
}
