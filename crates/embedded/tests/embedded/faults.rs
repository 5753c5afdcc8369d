//! Faults do what they say, to the requests they concern and to no other.

use std::time::Duration;

use bytes::Bytes;
use rocketmq_producer_embedded::{Condition, EmbeddedCluster, Fault, Reaction};
use rocketmq_producer_remoting::{HeaderEncoding, RemotingCommand, RequestCode, ResponseCode};

use crate::raw::{RawClient, ids, send};

/// A cluster with a fault on the next send, and a client.
async fn with(reaction: Reaction) -> (EmbeddedCluster, RawClient) {
    let cluster = EmbeddedCluster::builder()
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    let faults = cluster.faults("broker-a").unwrap();
    faults.arm(Fault::once(Condition::sends(), reaction));
    let client = RawClient::to_broker(&cluster, 0).await;
    (cluster, client)
}

#[tokio::test]
async fn a_forged_answer_takes_the_place_of_the_work() {
    let reaction = Reaction::answer(ResponseCode::SYSTEM_BUSY, "[OVERLOAD]");
    let (cluster, mut client) = with(reaction).await;
    let answer = client.ask(&send("t", 0, "1", 1)).await;
    assert_eq!(
        (answer.code, answer.remark.as_deref()),
        (2, Some("[OVERLOAD]"))
    );
    assert_eq!(client.ask(&send("t", 0, "2", 2)).await.code, 0);
    assert_eq!(ids(&cluster.messages("t")), ["2"]);
}

#[tokio::test]
async fn go_away_is_code_1500() {
    let (cluster, mut client) = with(Reaction::go_away()).await;
    assert_eq!(client.ask(&send("t", 0, "1", 1)).await.code, 1500);
    assert_eq!(cluster.message_count("t"), 0);
}

#[tokio::test]
async fn swallowed_and_discarded_requests_differ_in_what_is_stored() {
    for (reaction, stored) in [
        (Reaction::Swallow, vec!["1", "2"]),
        (Reaction::Discard, vec!["2"]),
    ] {
        let (cluster, mut client) = with(reaction).await;
        client
            .write(&send("t", 0, "1", 1), HeaderEncoding::Json)
            .await;
        assert_eq!(client.ask(&send("t", 0, "2", 2)).await.opaque, 2);
        assert_eq!(ids(&cluster.messages("t")), stored);
    }
}

#[tokio::test]
async fn connections_close_before_or_after_the_work() {
    for (reaction, stored) in [(Reaction::CloseBefore, 0), (Reaction::CloseAfter, 1)] {
        let (cluster, mut client) = with(reaction).await;
        client
            .write(&send("t", 0, "1", 1), HeaderEncoding::Json)
            .await;
        assert!(client.frame().await.is_none());
        assert_eq!(cluster.message_count("t"), stored);
    }
}

#[tokio::test]
async fn a_delayed_answer_is_overtaken() {
    let (cluster, mut client) = with(Reaction::Delay(Duration::from_millis(30))).await;
    client
        .write(&send("t", 0, "1", 1), HeaderEncoding::Json)
        .await;
    client
        .write(&send("t", 0, "2", 2), HeaderEncoding::Json)
        .await;
    let answers = [client.read().await, client.read().await];
    assert_eq!(
        answers.map(|answer| (answer.opaque, answer.code)),
        [(2, 0), (1, 0)]
    );
    assert_eq!(ids(&cluster.messages("t")), ["1", "2"]);
}

#[tokio::test]
async fn an_answer_comes_twice() {
    let (cluster, mut client) = with(Reaction::Duplicate).await;
    let first = client.ask(&send("t", 0, "1", 1)).await;
    assert_eq!(client.read().await, first);
    assert_eq!(cluster.message_count("t"), 1);
}

#[tokio::test]
async fn garbage_comes_in_place_of_the_answer() {
    let garbage = Bytes::from_static(b"\x00\x00\x00\x08\x00\x00\x00\x04null");
    let (cluster, mut client) = with(Reaction::Garbage(garbage)).await;
    client
        .write(&send("t", 0, "1", 1), HeaderEncoding::Json)
        .await;
    assert_eq!(client.frame().await.unwrap().header, "null");
    assert_eq!(cluster.message_count("t"), 1);
}

#[tokio::test]
async fn a_stray_response_has_a_number_of_its_own() {
    let (_cluster, mut client) = with(Reaction::StrayResponse).await;
    let stray = client.ask(&send("t", 0, "1", 1)).await;
    assert!(stray.is_response() && stray.opaque != 1);
    assert_eq!(client.read().await.opaque, 1);
}

#[tokio::test]
async fn the_server_makes_a_request_on_every_connection() {
    let mut notification = RemotingCommand::request(40, 0);
    notification.flag = 2;
    let (cluster, mut client) = with(Reaction::Request(notification)).await;
    let mut other = RawClient::to_broker(&cluster, 0).await;
    // Answered, so the server knows the connection.
    other.ask(&RemotingCommand::request(28, 1)).await;
    let request = client.ask(&send("t", 0, "1", 1)).await;
    assert_eq!(
        (request.code, request.is_response(), request.is_oneway()),
        (40, false, true)
    );
    assert_eq!(client.read().await.opaque, 1);
    assert_eq!(other.read().await.code, 40);
}

#[tokio::test]
async fn a_stalled_connection_goes_on_once_the_fault_is_lifted() {
    let cluster = EmbeddedCluster::builder()
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    let faults = cluster.faults("broker-a").unwrap();
    let stall = faults.arm(Fault::new(Condition::any(), Reaction::Stall));
    let mut client = RawClient::to_broker(&cluster, 0).await;
    client
        .write(&send("t", 0, "1", 1), HeaderEncoding::Json)
        .await;
    client
        .write(&send("t", 0, "2", 2), HeaderEncoding::Json)
        .await;
    stall.wait_fired(1).await;
    assert_eq!(cluster.message_count("t"), 0);
    faults.clear();
    assert_eq!(
        [client.read().await.opaque, client.read().await.opaque],
        [1, 2]
    );
    assert_eq!(ids(&cluster.messages("t")), ["1", "2"]);
}

#[tokio::test]
async fn a_stall_that_is_used_up_can_still_be_lifted() {
    let (cluster, mut client) = with(Reaction::Stall).await;
    client
        .write(&send("t", 0, "1", 1), HeaderEncoding::Json)
        .await;
    let received = |cluster: &EmbeddedCluster, count| {
        cluster
            .requests("broker-a", RequestCode::SEND_MESSAGE_V2)
            .unwrap()
            == count
    };
    cluster.wait_until(|cluster| received(cluster, 1)).await;
    let mut other = RawClient::to_broker(&cluster, 0).await;
    assert_eq!(other.ask(&send("t", 0, "2", 2)).await.code, 0);
    cluster.faults("broker-a").unwrap().clear();
    assert_eq!(client.read().await.opaque, 1);
    assert_eq!(ids(&cluster.messages("t")), ["2", "1"]);
}

#[tokio::test]
async fn what_clients_answer_can_be_looked_at() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    let mut client = RawClient::to_broker(&cluster, 0).await;
    client.ask(&RemotingCommand::request(28, 1)).await;
    let request = RemotingCommand::request(9999, 0).with_field("topic", "t");
    assert_eq!(cluster.request_clients("broker-a", request).unwrap(), 1);
    let request = client.read().await;
    assert_eq!((request.code, request.field("topic")), (9999, Some("t")));
    let answer = RemotingCommand::response(ResponseCode(3), request.opaque, None);
    client.write(&answer, HeaderEncoding::Binary).await;
    let responses = |cluster: &EmbeddedCluster| cluster.responses("broker-a").unwrap();
    cluster
        .wait_until(|cluster| !responses(cluster).is_empty())
        .await;
    assert_eq!(responses(&cluster)[0].code, 3);
}

#[tokio::test]
async fn a_fault_concerns_its_topic_and_count_only() {
    let cluster = EmbeddedCluster::builder()
        .topic("t", 1)
        .topic("u", 1)
        .start()
        .await
        .unwrap();
    let busy = Reaction::answer(ResponseCode::SYSTEM_BUSY, "busy");
    let condition = Condition::sends().and_topic("t");
    let faults = cluster.faults("broker-a").unwrap();
    let armed = faults.arm(Fault::new(condition, busy).times(2));
    let mut client = RawClient::to_broker(&cluster, 0).await;
    let mut codes = Vec::new();
    for topic in ["u", "t", "t", "t"] {
        codes.push(client.ask(&send(topic, 0, "1", 1)).await.code);
    }
    assert_eq!(codes, [0, 2, 2, 0]);
    assert_eq!(armed.fired(), 2);
    assert_eq!(
        cluster
            .requests("broker-a", RequestCode::SEND_MESSAGE_V2)
            .unwrap(),
        4
    );
}

#[tokio::test]
async fn name_servers_have_faults_too() {
    let cluster = EmbeddedCluster::builder()
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    let faults = cluster.name_server_faults(0).unwrap();
    let condition = Condition::code(RequestCode::GET_ROUTEINFO_BY_TOPIC).and_topic("t");
    faults.arm(Fault::once(condition, Reaction::CloseBefore));
    let mut client = RawClient::to_name_server(&cluster).await;
    let request = RemotingCommand::request(105, 1).with_field("topic", "t");
    client.write(&request, HeaderEncoding::Binary).await;
    assert!(client.frame().await.is_none());
}
