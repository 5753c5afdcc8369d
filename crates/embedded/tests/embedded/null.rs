//! The null mode.

use rocketmq_producer_embedded::EmbeddedCluster;
use rocketmq_producer_remoting::{HeaderEncoding, RemotingCommand, RequestCode};

use crate::raw::{RawClient, send};

#[tokio::test]
async fn sends_are_answered_in_their_own_encoding_and_nothing_is_stored() {
    let cluster = EmbeddedCluster::builder()
        .topic("t", 1)
        .null_broker(true)
        .start()
        .await
        .unwrap();
    let mut client = RawClient::to_broker(&cluster, 0).await;
    for (opaque, encoding) in [(1, HeaderEncoding::Json), (2, HeaderEncoding::Binary)] {
        let mut oneway = send("t", 0, "0", 99);
        oneway.flag = 2;
        client.write(&oneway, encoding).await;
        client.write(&send("t", 0, "1", opaque), encoding).await;
        let frame = client.frame().await.unwrap();
        assert_eq!(frame.encoding, encoding);
        let receipt = RemotingCommand::decode(frame).unwrap();
        assert_eq!((receipt.code, receipt.opaque), (0, opaque));
        assert_eq!(receipt.field("queueOffset"), Some("0"));
    }
    // The long form is recognised by a real look.
    assert_eq!(
        client
            .ask(&RemotingCommand::request(10, 3))
            .await
            .field("queueId"),
        Some("0")
    );
    assert_eq!(
        client
            .ask(&RemotingCommand::request(34, 4).with_body("{}"))
            .await
            .code,
        0
    );
    assert_eq!(cluster.message_count("t"), 0);
    assert_eq!(
        cluster
            .requests("broker-a", RequestCode::SEND_MESSAGE_V2)
            .unwrap(),
        4
    );
    client.write_bytes(&[0xff; 8]).await;
    assert!(client.frame().await.is_none());
}

#[tokio::test]
async fn frames_that_come_in_pieces_are_put_together() {
    let cluster = EmbeddedCluster::builder()
        .null_broker(true)
        .start()
        .await
        .unwrap();
    let mut client = RawClient::to_broker(&cluster, 0).await;
    let mut bytes = bytes::BytesMut::new();
    send("t", 0, "1", 5)
        .with_body(vec![7; 300_000])
        .encode(HeaderEncoding::Binary, &mut bytes)
        .unwrap();
    for piece in bytes.chunks(70_001) {
        client.write_bytes(piece).await;
    }
    assert_eq!(client.read().await.opaque, 5);
}
