//! What a message carries beside its body, as a Java consumer sees it.

use anyhow::{Context, Result};
use bytes::Bytes;
use rocketmq_producer::remoting::{HeaderEncoding, MessageError};
use rocketmq_producer::{Delivery, ErrorKind, Message, SendFailure};
use rocketmq_producer_tests::oracle::Oracle;

use crate::clusters::{Apache, end, promise};

const PROPERTIES: [(&str, &str); 7] = [
    ("plain", "value"),
    ("订单", "已支付"),
    ("emoji", "🚀 and 👩‍👩‍👧"),
    ("quotes", r#"{"a":"b\c"}"#),
    ("white space", "\t two\nlines "),
    ("equals", "a=b;c"),
    ("müller", "ß"),
];

promise!(a_java_consumer_sees_keys_tags_properties_and_flag_as_given: on_5_5_0, on_4_9_7);

async fn a_java_consumer_sees_keys_tags_properties_and_flag_as_given(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "properties";
    apache.topic(topic, 4)?;
    let mut receipts = Vec::new();
    for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
        let producer = apache
            .producer_with("properties", |settings| settings.header_encoding(encoding))
            .await?;
        let mut message = Message::new(topic, format!("{encoding}"))?
            .with_keys(["order-1", "键-🔑", "k3"])?
            .with_tags("标签-TagA")?
            .with_sharding_key("顾客 42")?
            .with_flag(-7);
        for (name, value) in PROPERTIES {
            message = message.with_property(name, value)?;
        }
        receipts.push(producer.send(message).await?);
        end(&producer).await?;
    }
    let read = apache.read(topic, 2)?;
    assert_eq!(read.len(), 2);
    for receipt in &receipts {
        let id = receipt.message_id().as_str();
        let stored = read.iter().find(|stored| stored.msg_id == id);
        let stored = stored.context("stored")?;
        assert_eq!(stored.keys.as_deref(), Some("order-1 键-🔑 k3"));
        assert_eq!(stored.tags.as_deref(), Some("标签-TagA"));
        assert_eq!(stored.properties["__SHARDINGKEY"], "顾客 42");
        // 4.9.7 leaves out what is the default.
        if let Some(wait) = stored.properties.get("WAIT") {
            assert_eq!(wait, "true");
        }
        assert_eq!(stored.flag, -7);
        for (name, value) in PROPERTIES {
            assert_eq!(stored.properties[name], value, "{name}");
        }
        // All others are known: nothing is lost and nothing is made up.
        let known = [
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
        ];
        let strange: Vec<_> = stored
            .properties
            .keys()
            .filter(|name| !known.contains(&name.as_str()))
            .filter(|name| !PROPERTIES.iter().any(|(ours, _)| ours == name))
            .collect();
        assert!(strange.is_empty(), "{strange:?}");
    }
    Ok(())
}

/// Java's properties have a two-byte length, of which this much is kept for what the broker adds.
const PROPERTY_LIMIT: usize = 32_767 - 512;

promise!(properties_up_to_the_limit_are_taken_and_longer_ones_refused: on_5_5_0, on_4_9_7);

async fn properties_up_to_the_limit_are_taken_and_longer_ones_refused(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "long_properties";
    apache.topic(topic, 4)?;
    let mut oracle = Oracle::new();
    let mut values = Vec::new();
    for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
        let producer = apache
            .producer_with("long_properties", |settings| {
                settings.header_encoding(encoding)
            })
            .await?;
        let body = Bytes::from(format!("{encoding}"));
        let message = Message::new(topic, body.clone())?.with_property("filler", "x")?;
        // Three bytes each, so that bytes and not characters have to be counted.
        let room = PROPERTY_LIMIT - message.properties().wire_len();
        let value = format!("x{}{}", "长".repeat(room / 3), "y".repeat(room % 3));
        let message = message.with_property("filler", &value)?;
        assert_eq!(message.properties().wire_len(), PROPERTY_LIMIT);
        let receipt = producer.send(message.clone()).await?;
        oracle.acked(&receipt, &body);
        values.push(value.clone());

        let longer = message.with_property("filler", &format!("{value}z"))?;
        let error = producer.send(longer).await.expect_err("one byte too many");
        assert_eq!(error.kind(), ErrorKind::MessageValidation);
        assert_eq!(error.delivery(), Delivery::NotSent);
        let cause = error.cause();
        let SendFailure::Message(MessageError::PropertiesTooLong { length, limit, .. }) = cause
        else {
            panic!("{error:?}");
        };
        assert_eq!((*length, *limit), (PROPERTY_LIMIT + 1, PROPERTY_LIMIT));
        end(&producer).await?;
    }
    let read = apache.read(topic, 2)?;
    oracle.judge(&read).exactly_once()?;
    let mut stored: Vec<_> = read
        .iter()
        .map(|m| m.properties["filler"].clone())
        .collect();
    stored.sort();
    values.sort();
    assert_eq!(stored, values);
    Ok(())
}
