//! Credentials on the embedded cluster, which checks them as a broker with ACL 2.0 does.

use std::sync::Arc;

use anyhow::{Context, Result};
use rocketmq_producer::remoting::{Credentials, HeaderEncoding, RotatingCredentials};
use rocketmq_producer::{Delivery, ErrorKind, Message, Producer, SendError, SendFailure};
use rocketmq_producer_embedded::EmbeddedCluster;

fn account(access_key: &str) -> Result<Credentials> {
    Ok(Credentials::new(
        access_key,
        format!("{access_key}-secret"),
    )?)
}

async fn cluster() -> Result<EmbeddedCluster> {
    let cluster = EmbeddedCluster::builder()
        .brokers(2)
        .account(account("anything")?)
        .account_for(account("orders-only")?, ["orders"])
        .topic("orders", 4)
        .topic("bills", 4);
    Ok(cluster.start().await?)
}

fn refused(error: &SendError, words: &str) {
    assert_eq!(error.kind(), ErrorKind::MessageSend, "{error:?}");
    assert_eq!(error.delivery(), Delivery::Rejected, "{error:?}");
    assert_eq!(error.attempts().len(), 1, "it is not repeated: {error:?}");
    let SendFailure::Refused { remark, .. } = error.cause() else {
        panic!("{error:?}");
    };
    assert!(remark.contains(words), "{remark}");
}

#[tokio::test]
async fn signed_requests_are_taken_and_others_refused_once() -> Result<()> {
    let cluster = cluster().await?;
    for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
        let builder = || {
            Producer::builder("g")
                .name_servers(&cluster.name_servers())
                .configure(|settings| settings.header_encoding(encoding))
        };
        let producer = builder()
            .credentials("anything", "anything-secret")
            .start()
            .await?;
        for topic in ["orders", "bills"] {
            producer.send(Message::new(topic, "signed")?).await?;
        }
        let beats = producer.send_heartbeat_to_all_brokers().await;
        assert!(
            beats.failed.is_empty() && !beats.succeeded.is_empty(),
            "{beats:?}"
        );

        let producer = builder()
            .credentials("orders-only", "orders-only-secret")
            .start()
            .await?;
        producer.send(Message::new("orders", "granted")?).await?;
        let error = producer.send(Message::new("bills", "not granted")?).await;
        refused(&error.err().context("no right")?, "no permission");

        for (access_key, secret, words) in [
            ("anything", "wrong", "check signature failed"),
            ("nobody", "anything-secret", "not found"),
        ] {
            let producer = builder().credentials(access_key, secret).start().await?;
            let error = producer.send(Message::new("orders", "x")?).await;
            refused(&error.err().context("wrong keys")?, words);
        }
        let producer = builder().start().await?;
        let error = producer.send(Message::new("orders", "unsigned")?).await;
        refused(&error.err().context("unsigned")?, "username");
    }
    Ok(())
}

#[tokio::test]
async fn replaced_credentials_sign_the_next_request() -> Result<()> {
    let cluster = cluster().await?;
    let rotating = Arc::new(RotatingCredentials::new(account("gone")?));
    let producer = Producer::builder("g")
        .name_servers(&cluster.name_servers())
        .credentials_provider(Arc::clone(&rotating) as _)
        .start()
        .await?;
    let error = producer.send(Message::new("orders", "before")?).await;
    refused(&error.err().context("not an account")?, "not found");
    rotating.replace(account("anything")?);
    producer.send(Message::new("orders", "after")?).await?;
    Ok(())
}
