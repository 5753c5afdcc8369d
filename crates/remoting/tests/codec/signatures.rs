//! Signatures against those that Java made from the same inputs, of whole commands and on the wire.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rocketmq_producer_remoting::protocol::{
    GetRouteInfoRequestHeader, HeartbeatRequestHeader, SendMessageRequestHeader,
    SendMessageRequestHeaderV1, UnregisterClientRequestHeader,
};
use rocketmq_producer_remoting::{
    Connection, ConnectionOptions, Credentials, CredentialsError, FieldSink, HeaderEncoding,
    MAX_FRAME_LENGTH, NoConsumer, RemotingCommand, RequestCode, RequestHeader, RotatingCredentials,
    decode_frame,
};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::support::{int, name, text, unhex, vectors};

fn credentials(inputs: &Value) -> Credentials {
    let secret = text(inputs, "secretKey").unwrap();
    let credentials = Credentials::new(text(inputs, "accessKey").unwrap(), secret).unwrap();
    match text(inputs, "securityToken") {
        Some(token) => credentials.with_security_token(token).unwrap(),
        None => credentials,
    }
}

#[test]
fn commands_are_signed_as_java_signs_them() {
    let mut signed = 0;
    for entry in vectors("acl.json") {
        if text(&entry, "by") != Some("AclClientRPCHook.doBeforeRequest") {
            continue;
        }
        let inputs = &entry["inputs"];
        let code = i32::try_from(int(inputs, "code")).unwrap();
        let body = unhex(text(inputs, "body").unwrap_or_default());
        let fields = entry["extFieldsSorted"].as_object().unwrap();
        // In the opposite order, so that only sorting can bring them into Java's.
        let mut command = RemotingCommand::request(code, 1).with_body(body);
        for (field, value) in fields.iter().rev() {
            if field != "AccessKey" && field != "SecurityToken" {
                command = command.with_field(field, value.as_str().unwrap());
            }
        }
        let credentials = credentials(inputs);
        let command = credentials.sign(command);
        assert_eq!(
            command.field("Signature"),
            text(&entry, "signature"),
            "{}",
            name(&entry)
        );
        for (field, value) in fields {
            assert_eq!(command.field(field), value.as_str(), "{}", name(&entry));
        }
        assert_eq!(command.ext_fields.len(), fields.len() + 1);
        let again = credentials.sign(command.clone());
        assert_eq!(again, command, "{}: signing is idempotent", name(&entry));
        signed += 1;
    }
    assert!(signed >= 9, "{signed} vectors");
}

#[test]
fn any_bytes_and_keys_give_javas_signature() {
    let mut checked = 0;
    for entry in vectors("acl.json") {
        if text(&entry, "by") != Some("AclUtils.calSignature") {
            continue;
        }
        let inputs = &entry["inputs"];
        let secret = text(inputs, "secretKey").unwrap();
        let data = text(inputs, "data").map_or_else(
            || text(inputs, "dataText").unwrap().as_bytes().to_vec(),
            unhex,
        );
        match text(&entry, "signature") {
            Some(signature) => {
                let credentials = Credentials::new("anyone", secret).unwrap();
                let command = RemotingCommand::request(34, 1).with_body(data);
                assert_eq!(
                    credentials.signature_of(&command),
                    signature,
                    "{}",
                    name(&entry)
                );
                checked += 1;
            }
            None => assert!(matches!(
                Credentials::new("anyone", secret),
                Err(CredentialsError::Empty(_))
            )),
        }
    }
    assert!(checked >= 2, "{checked} vectors");
}

#[test]
fn a_value_that_the_server_would_read_as_null_is_not_sent() {
    let credentials = Credentials::new("rocketmq2", "12345678").unwrap();
    let command = RemotingCommand::request(105, 9).with_field("topic", "");
    let command = credentials.sign(command);
    assert_eq!(command.field("topic"), None);
    assert_eq!(
        command.field("Signature"),
        Some("Ou1T58RIcyZWaTIwzkhJZWn/Zvs=")
    );
}

/// What leaves a connection when one request is made on it.
async fn on_the_wire<H: RequestHeader + Sync>(
    options: &ConnectionOptions,
    header: &H,
    body: &Bytes,
) -> RemotingCommand {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let (connection, task) = Connection::new(ours, "peer".into(), options, Arc::new(NoConsumer));
    let soon = Instant::now() + Duration::from_secs(20);
    let exchange = async {
        connection.oneway(header, body, soon).await.unwrap();
        drop(connection);
        let mut bytes = BytesMut::new();
        while theirs.read_buf(&mut bytes).await.unwrap() > 0 {}
        let frame = decode_frame(&mut bytes, MAX_FRAME_LENGTH).unwrap().unwrap();
        RemotingCommand::decode(frame).unwrap()
    };
    tokio::join!(exchange, task).0
}

/// A header whose fields are written in the order given.
struct Unsorted(&'static [(&'static str, &'static str)]);

impl RequestHeader for Unsorted {
    fn code(&self) -> RequestCode {
        RequestCode(105)
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        for (name, value) in self.0 {
            sink.text(name, value);
        }
    }
}

#[tokio::test]
async fn every_request_of_a_connection_is_signed_in_both_encodings() {
    for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
        for token in [None, Some("sts-token")] {
            let mut credentials = Credentials::new("rocketmq2", "12345678").unwrap();
            if let Some(token) = token {
                credentials = credentials.with_security_token(token).unwrap();
            }
            let options = ConnectionOptions::new()
                .with_header_encoding(encoding)
                .with_credentials(Arc::new(credentials.clone()));
            let body = Bytes::from_static(b"Hello RocketMQ");
            let nothing = Bytes::new();
            let mut send = SendMessageRequestHeader::new("PG", "TopicTest", 0, 1_700_000_000_000);
            send.properties = "WAIT\u{1}true\u{2}";
            send.broker_name = Some("broker-a");
            let v1 = SendMessageRequestHeaderV1(send);
            let commands = [
                on_the_wire(&options, &send, &body).await,
                on_the_wire(&options, &v1, &body).await,
                on_the_wire(
                    &options,
                    &GetRouteInfoRequestHeader::new("TopicTest"),
                    &nothing,
                )
                .await,
                on_the_wire(&options, &HeartbeatRequestHeader, &nothing).await,
                on_the_wire(
                    &options,
                    &UnregisterClientRequestHeader::new("c", "PG"),
                    &nothing,
                )
                .await,
                on_the_wire(
                    &options,
                    &Unsorted(&[("b", "2"), ("Z", "1"), ("a", "")]),
                    &body,
                )
                .await,
            ];
            for command in &commands {
                assert_eq!(command.field("AccessKey"), Some("rocketmq2"));
                assert_eq!(command.field("SecurityToken"), token);
                let signature = credentials.signature_of(command);
                assert_eq!(
                    command.field("Signature"),
                    Some(signature.as_str()),
                    "{command:?}"
                );
            }
            assert_eq!(commands[5].field("a"), None, "an empty value is not sent");
            let java = match token {
                None => [
                    Some("t7wtoTS1jjC/4DCzBawJtKX9XX0="),
                    Some("I11dXPid2slwr8MmoK1QG9lPt9g="),
                    Some("EvCVn1/pIhQGNcZnAZsj264sC2k="),
                    Some("Ou1T58RIcyZWaTIwzkhJZWn/Zvs="),
                ],
                Some(_) => [Some("Y+uLLJPgd1tIH4oPfyYcF7tEGds="), None, None, None],
            };
            for (command, java) in commands.iter().zip(java) {
                if let Some(java) = java {
                    assert_eq!(command.field("Signature"), Some(java), "{encoding:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_connection_takes_the_credentials_of_each_moment() {
    let first = Credentials::new("first", "secret-1").unwrap();
    let second = Credentials::new("second", "secret-2").unwrap();
    let provider = Arc::new(RotatingCredentials::new(first));
    let options = ConnectionOptions::new().with_credentials(Arc::clone(&provider) as _);
    let before = on_the_wire(&options, &HeartbeatRequestHeader, &Bytes::new()).await;
    provider.replace(second.clone());
    let after = on_the_wire(&options, &HeartbeatRequestHeader, &Bytes::new()).await;
    assert_eq!(before.field("AccessKey"), Some("first"));
    assert_eq!(after.field("AccessKey"), Some("second"));
    assert_eq!(
        after.field("Signature"),
        Some(second.signature_of(&after).as_str())
    );
}

#[test]
fn keys_that_cannot_be_any_are_refused_without_being_repeated() {
    for (access_key, secret) in [
        ("", "s"),
        ("a", ""),
        ("a ", "s"),
        ("a", "hush\n"),
        ("a", "hu\0sh"),
    ] {
        let error = Credentials::new(access_key, secret).unwrap_err();
        assert!(!error.to_string().contains("hu"), "{error}");
    }
    let good = Credentials::new("a", "s").unwrap();
    assert!(good.clone().with_security_token("").is_err());
    let good = good.with_security_token("hush").unwrap();
    assert!(
        !format!(
            "{good:?} {:?}",
            ConnectionOptions::new().with_credentials(Arc::new(good.clone()))
        )
        .contains("hush")
    );
}
