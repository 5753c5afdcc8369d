//! Bodies, property values and credentials appear in no log line, no error, no `Debug` and no listing of settings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context, Result};
use rocketmq_producer::remoting::{Credentials, RemotingCommand, RotatingCredentials};
use rocketmq_producer::{Message, Producer, ProducerConfig, SendOptions};
use rocketmq_producer_tests::peer::{Peer, Reply, closed_address};
use rocketmq_producer_tests::printed::{Printed, listen};

use crate::support::{A, B, TOPIC, millis};

/// What must not appear, each in a place of its own.
const SECRETS: [&str; 4] = ["bodysecret", "propertysecret", "keysecret", "shardsecret"];

fn message() -> Result<Message> {
    let message = Message::new(TOPIC, SECRETS[0].repeat(20))?
        .with_property("mine", SECRETS[1])?
        .with_keys([SECRETS[2]])?;
    Ok(message.with_sharding_key(SECRETS[3])?)
}

#[tokio::test]
async fn secrets_are_never_printed() -> Result<()> {
    let printed = Printed::default();
    let _listening = listen(&printed);
    let fates = [
        Reply::receipt(),
        Reply::answer(1, "boom"),
        Reply::answer(2, "busy"),
        Reply::answer(13, "illegal"),
        Reply::Silence,
        Reply::Close,
        Reply::Bytes(bytes::Bytes::from_static(&[0xff; 30])),
        Reply::Body(bytes::Bytes::new()),
    ];
    for fate in fates {
        let one = fate.clone();
        let broker = Peer::broker(move |_, _| one.clone()).await?;
        let dead = closed_address()?;
        let brokers = [(A, &*broker.address()), (B, &*dead)];
        let name_server = Peer::name_server(&brokers).await?;
        let producer = Producer::builder("secrets")
            .name_servers(&name_server.address())
            .configure(|settings| settings.debug_enabled(true))
            .start()
            .await?;
        for keyed in [true, false] {
            let message = if keyed {
                message()?
            } else {
                Message::new(TOPIC, SECRETS[0])?.with_property("mine", SECRETS[1])?
            };
            printed.debug(&message);
            printed.debug(&message.properties());
            let options = SendOptions::new().timeout(millis(200));
            printed.debug(&options);
            match producer.send_with(message.clone(), options.clone()).await {
                Ok(receipt) => printed.debug(&receipt),
                Err(error) => printed.error(&error),
            }
            if let Err(error) = producer.send_oneway_with(message, options).await {
                printed.error(&error);
            }
        }
        printed.debug(&producer);
        printed.debug(&producer.stats());
        printed.debug(&producer.router().all_broker_health());
        printed.debug(&producer.shutdown(millis(200)).await);
    }
    refusals(&printed).await?;
    let text = printed.text();
    assert!(text.contains(TOPIC), "something was printed");
    assert!(text.contains("attempt failed"), "also at trace level");
    for secret in SECRETS {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
        let bytes = format!("{:?}", secret.as_bytes());
        let list = bytes.trim_matches(['[', ']']);
        assert!(!text.contains(list), "{secret} as numbers");
    }
    Ok(())
}

/// Keys and a token, which are to appear nowhere either.
const KEYS: [&str; 3] = ["accesssecret", "signsecret", "tokensecret"];

#[tokio::test]
async fn credentials_are_never_printed() -> Result<()> {
    let printed = Printed::default();
    let _listening = listen(&printed);
    let [access_key, secret_key, token] = KEYS;
    for fate in [
        Reply::receipt(),
        Reply::answer(16, "check signature failed."),
        Reply::answer(1, "AclException: no"),
        Reply::Close,
    ] {
        let signed = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&signed);
        let broker = Peer::broker(move |request, _| {
            noted.store(request.field("AccessKey") == Some(access_key), Relaxed);
            fate.clone()
        })
        .await?;
        let name_server = Peer::name_server(&[(A, &*broker.address())]).await?;
        let builder = Producer::builder("secrets")
            .name_servers(&name_server.address())
            .credentials(access_key, secret_key)
            .configure(|settings| settings.security_token(token).debug_enabled(true));
        printed.debug(&builder);
        let producer = builder.start().await?;
        let options = SendOptions::new().timeout(millis(300));
        match producer.send_with(Message::new(TOPIC, "x")?, options).await {
            Ok(receipt) => printed.debug(&receipt),
            Err(error) => {
                printed.error(&error);
                printed.debug(&error.advice());
            }
        }
        assert!(signed.load(Relaxed), "the request was signed");
        printed.debug(&producer.send_heartbeat_to_all_brokers().await);
        printed.debug(&producer.config());
        printed.debug(&producer.config().connection_options());
        printed.debug(&producer.config().credentials()?);
        for entry in producer.config().entries() {
            printed.debug(&entry);
            printed.debug(&entry.to_string());
        }
        printed.debug(&producer);
        printed.debug(&producer.stats());
        printed.debug(&producer.shutdown(millis(200)).await);
    }
    let layers = ProducerConfig::builder().producer_group("g");
    for (key, value) in [
        ("access_key", format!(" {access_key}")),
        ("secret_key", format!("{secret_key}\n")),
        ("security_token", format!("{token}\0")),
    ] {
        let variable = format!("ROCKETMQ_PRODUCER_{}", key.to_ascii_uppercase());
        let file = format!("{key} = {value:?}");
        for layers in [
            layers.clone().set(key, &value),
            layers.clone().environment_from([(&variable, &value)]),
            layers.clone().toml("settings.toml", &file),
        ] {
            printed.debug(&layers);
            let error = layers.build().err().context("not a key")?;
            printed.error(&error);
        }
        let one_alone = layers
            .clone()
            .set(key, value.trim_matches(['\0', '\n', ' ']));
        printed.error(&one_alone.build().err().context("half a pair")?);
    }
    let credentials = Credentials::new(access_key, secret_key)?.with_security_token(token)?;
    let rotating = RotatingCredentials::new(credentials.clone());
    printed.debug(&credentials);
    printed.debug(&rotating);
    printed.debug(&credentials.sign(RemotingCommand::request(34, 1)));

    let text = printed.text();
    assert!(text.contains(TOPIC), "something was printed");
    for secret in KEYS {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
        let bytes = format!("{:?}", secret.as_bytes());
        assert!(
            !text.contains(bytes.trim_matches(['[', ']'])),
            "{secret} as numbers"
        );
    }
    Ok(())
}

/// Errors about values that are refused name the rule, not the value.
async fn refusals(printed: &Printed) -> Result<()> {
    let base = || Message::new(TOPIC, "x");
    let separator = format!("{}\u{1}", SECRETS[1]);
    let spaced = format!("{} {}", SECRETS[2], SECRETS[2]);
    let refused = [
        base()?.with_property("mine", &separator).err(),
        base()?.with_keys([spaced]).err(),
        base()?
            .with_sharding_key(&format!("{}\u{2}", SECRETS[3]))
            .err(),
    ];
    let mut seen = 0;
    for error in refused.into_iter().flatten() {
        seen += 1;
        printed.error(&error);
    }
    assert!(seen >= 2, "{seen} values were refused");
    let name_server = Peer::name_server(&[(A, &closed_address()?)]).await?;
    let producer = Producer::builder("secrets")
        .name_servers(&name_server.address())
        .configure(|settings| {
            settings.max_message_size(rocketmq_producer::remoting::ByteSize::bytes(10))
        })
        .start()
        .await?;
    let error = producer.send(message()?).await.err();
    printed.error(&error.context("it is too large")?);
    Ok(())
}
