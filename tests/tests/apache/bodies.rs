//! Bodies of every size up to the limit come through unchanged; larger ones never leave.

use anyhow::Result;
use rocketmq_producer::remoting::{ByteSize, HeaderEncoding, MessageError};
use rocketmq_producer::{Delivery, ErrorKind, Message, SendFailure};
use rocketmq_producer_tests::oracle::Oracle;
use rocketmq_producer_tests::payload::noise;
use xtask::apache::ReadOptions;

use crate::clusters::{Apache, end, promise};

const LIMIT: usize = 4 * 1024 * 1024;
const SIZES: [usize; 5] = [1, 4 * 1024, 1024 * 1024, LIMIT - 1, LIMIT];

promise!(bodies_of_one_byte_to_four_mebibytes_are_stored_unchanged: on_5_5_0, on_4_9_7);

async fn bodies_of_one_byte_to_four_mebibytes_are_stored_unchanged(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "bodies";
    apache.topic(topic, 4)?;
    let mut oracle = Oracle::new();
    for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
        let producer = apache
            .producer_with("bodies", |settings| settings.header_encoding(encoding))
            .await?;
        for size in SIZES {
            let body = noise(size as u64, size);
            let receipt = producer.send(Message::new(topic, body.clone())?).await?;
            oracle.acked(&receipt, &body);
        }
        end(&producer).await?;
    }
    let options = ReadOptions::new().digest_only().at_least(2 * SIZES.len());
    let read = apache.read_with(topic, &options)?;
    let verdict = oracle.judge(&read).exactly_once()?;
    assert_eq!(verdict.stored, 2 * SIZES.len());
    let mut lengths: Vec<usize> = read.iter().map(|stored| stored.len).collect();
    lengths.sort_unstable();
    lengths.dedup();
    assert_eq!(lengths, SIZES);
    Ok(())
}

promise!(a_body_over_the_limit_is_refused_before_anything_is_sent: on_5_5_0, on_4_9_7);

async fn a_body_over_the_limit_is_refused_before_anything_is_sent(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "too_large";
    apache.topic(topic, 2)?;
    let producer = apache.producer("too_large").await?;
    let message = Message::new(topic, noise(0, LIMIT + 1))?;
    for oneway in [false, true] {
        let outcome = if oneway {
            producer.send_oneway(message.clone()).await.map(drop)
        } else {
            producer.send(message.clone()).await.map(drop)
        };
        let error = outcome.expect_err("one byte too many");
        assert_eq!(error.kind(), ErrorKind::MessageValidation);
        assert_eq!(error.delivery(), Delivery::NotSent);
        assert!(error.attempts().is_empty() && !error.is_retryable());
        let SendFailure::Message(MessageError::BodyTooLarge { size, limit, .. }) = error.cause()
        else {
            panic!("{error:?}");
        };
        assert_eq!((*size, *limit), (LIMIT + 1, ByteSize::mib(4)));
    }
    let stats = producer.stats();
    assert_eq!((stats.brokers.dials, stats.name_servers.dials), (0, 0));
    assert_eq!((stats.not_sent, stats.total_failed), (2, 2));
    end(&producer).await?;
    assert!(apache.read(topic, 0)?.is_empty());
    Ok(())
}
