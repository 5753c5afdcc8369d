//! Credentials and encryption: right ones, wrong ones, none.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rocketmq_producer::remoting::{Credentials, RotatingCredentials, TlsVersion};
use rocketmq_producer::{Delivery, Message, ProducerBuilder, SendError, SendFailure};

use super::ground::end;
use super::row::{Group, row};
use super::trial::{QUEUES, shown};
use super::{Cell, Column, Ground};
use crate::accounts;
use crate::authority::{Authority, Signed, Validity, text};

pub(super) const GROUP: Group = Group::new(
    "Security",
    &[
        row!(
            "signed requests",
            "an account with the right for one topic sends to it",
            signed
        ),
        row!(
            "wrong access key",
            "rejected, not repeated, the advice names the setting",
            wrong_access_key
        ),
        row!(
            "wrong secret",
            "rejected, not repeated, the advice names the setting",
            wrong_secret
        ),
        row!("no right to publish", "rejected, not repeated", no_right),
        row!("no credentials", "rejected, not repeated", unsigned),
        row!(
            "rotating credentials",
            "wrong ones are put right while the producer runs, over the same connection",
            rotating
        ),
        row!("TLS, authority known", "messages over TLS", tls),
        row!(
            "TLS, unknown authority",
            "nothing is sent to a server whose certificate nobody known has signed",
            unknown_authority
        ),
        row!(
            "TLS, wrong name",
            "nothing is sent to a server whose certificate is for another name",
            wrong_name
        ),
        row!(
            "TLS, client certificate",
            "servers that ask for one are shown `tls_cert`",
            client_certificate
        ),
        row!(
            "TLS, client certificate missing",
            "nothing is sent, the advice names the setting",
            no_client_certificate
        ),
        row!(
            "TLS, client certificate of another authority",
            "nothing is sent, the advice names the setting",
            strange_client_certificate
        ),
        row!(
            "TLS without verification",
            "`danger_accept_invalid_certs` takes any certificate",
            unverified
        ),
        row!(
            "plain text",
            "to servers that speak TLS only it is an error that says so",
            plain_text
        ),
    ],
);

/// For sends that are to fail.
const BUDGET: Duration = Duration::from_secs(6);

/// Sends one message, and reads it if it was taken.
async fn try_one(
    ground: &Arc<Ground>,
    topic: &str,
    builder: ProducerBuilder,
) -> Result<Result<(), SendError>> {
    let producer = builder
        .configure(|settings| settings.send_msg_timeout(BUDGET))
        .start()
        .await?;
    let body = Bytes::from(format!("{} to {topic}", producer.client_id()));
    let outcome = producer.send(Message::new(topic, body.clone())?).await;
    end(&producer).await?;
    let receipt = match outcome {
        Ok(receipt) => receipt,
        Err(error) => return Ok(Err(error)),
    };
    let read = ground.read(topic, 1).await?;
    let stored = super::trial::stored(&read, &receipt)?;
    ensure!(stored.body == *body, "{stored:?}");
    Ok(Ok(()))
}

/// A row about credentials: what these get where access is checked, and where it is not.
async fn with_credentials(
    ground: &Arc<Ground>,
    topic: &str,
    credentials: Option<(&str, &str)>,
) -> Result<Cell> {
    ground.topic(topic, QUEUES).await?;
    let builder = ground.encrypted(ground.unsigned(topic));
    let builder = match credentials {
        Some((access_key, secret_key)) => builder.credentials(access_key, secret_key),
        None => builder,
    };
    let outcome = try_one(ground, topic, builder).await?;
    if !ground.column().checks_access() {
        outcome?;
        return Cell::not_offered("no access control: the message was stored all the same");
    }
    let error = outcome.err().context("the broker took it")?;
    ensure!(error.delivery() == Delivery::Rejected, "{error:?}");
    ensure!(error.attempts().len() == 1, "{error:?}");
    ensure!(!error.is_retryable(), "{error:?}");
    ensure!(error.advice().contains("access_key"), "{}", error.advice());
    let SendFailure::Refused { code, .. } = error.cause() else {
        anyhow::bail!("{error:?}");
    };
    let code = code.0;
    let left = ground.read(topic, 0).await?;
    ensure!(left.is_empty(), "{left:?}");
    Cell::refused(format!("rejected with code {code}, one attempt"))
}

async fn signed(ground: Arc<Ground>) -> Result<Cell> {
    let (topic, (access_key, secret_key)) = (accounts::GRANTED, accounts::PUBLISHER);
    ground.topic(topic, QUEUES).await?;
    let builder = ground.builder("signed").credentials(access_key, secret_key);
    try_one(&ground, topic, builder).await??;
    if ground.column().checks_access() {
        Ok(Cell::Passed)
    } else {
        Cell::not_offered(
            "no access control: the signature is not looked at, the message is stored",
        )
    }
}

async fn wrong_access_key(ground: Arc<Ground>) -> Result<Cell> {
    let wrong = ("nobody", accounts::PUBLISHER.1);
    with_credentials(&ground, "acl-wrong-key", Some(wrong)).await
}

async fn wrong_secret(ground: Arc<Ground>) -> Result<Cell> {
    let wrong = (accounts::SUPER.0, "not the secret");
    with_credentials(&ground, "acl-wrong-secret", Some(wrong)).await
}

async fn no_right(ground: Arc<Ground>) -> Result<Cell> {
    with_credentials(&ground, "acl-no-right", Some(accounts::STRANGER)).await
}

async fn unsigned(ground: Arc<Ground>) -> Result<Cell> {
    with_credentials(&ground, "acl-unsigned", None).await
}

async fn rotating(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "acl-rotating";
    ground.topic(topic, QUEUES).await?;
    let (access_key, secret_key) = accounts::SUPER;
    let provider = Arc::new(RotatingCredentials::new(Credentials::new(
        access_key,
        "not the secret",
    )?));
    let builder = ground
        .builder(topic)
        .credentials_provider(Arc::clone(&provider) as _);
    let producer = builder.start().await?;
    let checked = ground.column().checks_access();
    let before = producer.send(Message::new(topic, "before")?).await;
    ensure!(before.is_err() == checked, "{before:?}");
    let dials = producer.stats().brokers.dials;
    provider.replace(Credentials::new(access_key, secret_key)?);
    // To the same broker and any other.
    for _ in 0..4 {
        producer.send(Message::new(topic, "after")?).await?;
    }
    let now = producer.stats().brokers.dials;
    ensure!(
        now <= dials.max(ground.brokers().len() as u64),
        "{now} dials, {dials} before"
    );
    end(&producer).await?;
    let stored = ground.read(topic, 4).await?.len();
    ensure!(stored == 4 + usize::from(!checked), "{stored} stored");
    if checked {
        Ok(Cell::Passed)
    } else {
        Cell::not_offered("no access control: wrong and right ones are both taken")
    }
}

/// Servers without any TLS setting still speak it, with a certificate that they made up.
const MADE_UP: &str =
    "servers that nobody configured for TLS show a certificate of their own making";

async fn tls(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tls";
    ground.topic(topic, QUEUES).await?;
    if ground.ca().is_some() {
        try_one(&ground, topic, ground.builder(topic)).await??;
        return Ok(Cell::Passed);
    }
    let ours = Authority::new("ours")?;
    let ca = ours.ca();
    let ca = text(&ca);
    let builder = ground
        .builder(topic)
        .configure(|settings| settings.tls(true).tls_ca(ca));
    let error = try_one(&ground, topic, builder).await?;
    let error = error.err().context("a certificate of our authority?")?;
    ensure!(error.delivery() == Delivery::NotSent, "{error:?}");
    Cell::not_offered(MADE_UP)
}

async fn unknown_authority(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tls-unknown";
    ground.topic(topic, QUEUES).await?;
    // Nobody has had it sign anything.
    let strange = Authority::new("strange")?;
    let ca = strange.ca();
    let ca = text(&ca);
    let builder = ground
        .builder(topic)
        .configure(|settings| settings.tls(true).tls_ca(ca));
    not_sent(&ground, topic, builder).await
}

/// The send fails before anything left; gives the innermost cause.
async fn not_sent(ground: &Arc<Ground>, topic: &str, builder: ProducerBuilder) -> Result<Cell> {
    let error = try_one(ground, topic, builder).await?;
    let error = error.err().context("the message was taken")?;
    ensure!(error.delivery() == Delivery::NotSent, "{error:?}");
    let advice = error.advice().to_string();
    ensure!(advice.contains("tls"), "{advice}");
    let text = shown(error);
    let cause = text.rsplit(": ").next().unwrap_or(&text);
    let cause = cause.trim_end_matches(')').to_owned();
    let left = ground.read(topic, 0).await?;
    ensure!(left.is_empty(), "{left:?}");
    Cell::refused(format!("not sent: {cause}"))
}

async fn wrong_name(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tls-name";
    ground.topic(topic, QUEUES).await?;
    let builder = ground.builder(topic);
    let builder = builder.configure(|settings| settings.tls(true).tls_server_name("mq.internal"));
    if ground.ca().is_none() {
        let error = try_one(&ground, topic, builder).await?;
        let error = error.err().context("the message was taken")?;
        ensure!(error.delivery() == Delivery::NotSent, "{error:?}");
        return Cell::not_offered(MADE_UP);
    }
    not_sent(&ground, topic, builder).await
}

/// Shows servers without TLS settings this certificate, or none; gives the refusal of it.
async fn shown_to_anyone(
    ground: &Arc<Ground>,
    topic: &str,
    own: Option<&Signed>,
) -> Result<Option<&'static str>> {
    let builder = ground.unencrypted(topic).configure(|settings| {
        let settings = settings.tls(true).danger_accept_invalid_certs(true);
        match own {
            Some(own) => settings.tls_cert(text(&own.cert)).tls_key(text(&own.key)),
            None => settings,
        }
    });
    match try_one(ground, topic, builder).await? {
        Ok(()) => Ok(None),
        Err(error) => {
            ensure!(error.delivery() == Delivery::NotSent, "{error:?}");
            let text = shown(error);
            // Some break off in their own words.
            let names_it = text.contains("refuses the client certificate");
            ensure!(names_it || text.contains("fatal alert"), "{text}");
            Ok(Some(if names_it { REFUSED } else { BROKEN_OFF }))
        }
    }
}

/// What servers that look at it say of a certificate that they cannot verify.
const REFUSED: &str = "not sent: the server refuses the client certificate";
const BROKEN_OFF: &str = "not sent: the server breaks off TLS with an alert about itself";

async fn client_certificate(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tls-client";
    ground.topic(topic, QUEUES).await?;
    if ground.ca().is_none() {
        let strange = Authority::new("strange")?;
        let own = strange.sign("client", &["client"], Validity::Now)?;
        let refused = shown_to_anyone(&ground, topic, Some(&own)).await?;
        return Cell::not_offered(match refused {
            Some(_) => "servers that nobody configured for TLS know no authority of clients",
            None => "servers that nobody configured for TLS do not look at it",
        });
    }
    try_one(&ground, topic, ground.builder(topic)).await??;
    Ok(Cell::Passed)
}

async fn no_client_certificate(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tls-no-client";
    ground.topic(topic, QUEUES).await?;
    if ground.ca().is_none() {
        let refused = shown_to_anyone(&ground, topic, None).await?;
        ensure!(refused.is_none(), "{refused:?}");
        return Cell::not_offered("servers that nobody configured for TLS do without");
    }
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let builder = ground.unencrypted(topic).configure(|settings| {
            let settings = ground.trusting(settings);
            settings.tls_min_version(version)
        });
        certificate_wanted(&ground, topic, builder).await?;
    }
    Cell::refused("not sent: the server asks for a client certificate")
}

async fn strange_client_certificate(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tls-strange-client";
    ground.topic(topic, QUEUES).await?;
    let strange = Authority::new("strange")?;
    let own = strange.sign("client", &["client"], Validity::Now)?;
    if ground.ca().is_none() {
        return match shown_to_anyone(&ground, topic, Some(&own)).await? {
            Some(words) => Cell::refused(words),
            None => Cell::not_offered("servers that nobody configured for TLS do not look at it"),
        };
    }
    let (cert, key) = (text(&own.cert), text(&own.key));
    let builder = ground.unencrypted(topic).configure(|settings| {
        let settings = ground.trusting(settings);
        settings.tls_cert(cert).tls_key(key)
    });
    certificate_wanted(&ground, topic, builder).await?;
    Cell::refused(REFUSED)
}

/// The send fails before anything left, and the advice is to give a certificate that the server takes.
async fn certificate_wanted(
    ground: &Arc<Ground>,
    topic: &str,
    builder: ProducerBuilder,
) -> Result<()> {
    let error = try_one(ground, topic, builder).await?;
    let error = error.err().context("the message was taken")?;
    ensure!(error.delivery() == Delivery::NotSent, "{error:?}");
    ensure!(error.advice().contains("tls_cert"), "{}", error.advice());
    let text = shown(error);
    ensure!(text.contains("client certificate"), "{text}");
    let left = ground.read(topic, 0).await?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

async fn unverified(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tls-unverified";
    ground.topic(topic, QUEUES).await?;
    let builder = ground.unencrypted(topic).configure(|settings| {
        let settings = ground.shown(settings).tls(true);
        settings.danger_accept_invalid_certs(true)
    });
    match try_one(&ground, topic, builder).await? {
        Ok(()) if ground.column() == Column::Tls => Ok(Cell::Passed),
        Ok(()) => Cell::but("servers with no TLS settings at all speak it as well"),
        Err(error) => Err(error.into()),
    }
}

async fn plain_text(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "plain-text";
    ground.topic(topic, QUEUES).await?;
    let builder = ground.unencrypted(topic);
    if ground.ca().is_some() {
        return not_sent(&ground, topic, builder).await;
    }
    try_one(&ground, topic, builder).await??;
    Ok(Cell::Passed)
}
