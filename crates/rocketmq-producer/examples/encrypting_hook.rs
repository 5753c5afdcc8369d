//! Encrypts the bodies of all messages by a hook, and decrypts them as a consumer would.
//!
//! `cargo run --example encrypting_hook`
//!
//! Each body is sealed with ChaCha20-Poly1305 under a key of the service and a number that is used once. The number goes
//! before the body; topic and key id are authenticated with it, so that a body cannot be moved to another topic.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use rocketmq_producer::prelude::*;
use rocketmq_producer::{HookResult, SendContext, SendHook};
use rocketmq_producer_embedded::EmbeddedCluster;

/// The property that names the key, so that keys can change.
const KEY_ID: &str = "encryption-key";

/// Seals and opens bodies under one key.
struct Encryption {
    key_id: &'static str,
    cipher: ChaCha20Poly1305,
}

impl Encryption {
    fn new(key_id: &'static str, key: &Key) -> Self {
        let cipher = ChaCha20Poly1305::new(key);
        Self { key_id, cipher }
    }

    fn bound_to(&self, topic: &str) -> Vec<u8> {
        [topic, self.key_id].join("\n").into_bytes()
    }

    fn open(&self, topic: &str, sealed: &[u8]) -> anyhow::Result<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(12).context("too short")?;
        let nonce = Nonce::try_from(nonce)?;
        let aad = self.bound_to(topic);
        let payload = Payload {
            msg: sealed,
            aad: &aad,
        };
        let opened = self.cipher.decrypt(&nonce, payload);
        opened.map_err(|_| anyhow::anyhow!("not sealed with this key for this topic"))
    }
}

#[async_trait]
impl SendHook for Encryption {
    fn name(&self) -> &str {
        "encryption"
    }

    async fn before(&self, context: &mut SendContext) -> HookResult {
        let message = context.message();
        let aad = self.bound_to(message.topic());
        let nonce = Nonce::generate();
        let payload = Payload {
            msg: message.body(),
            aad: &aad,
        };
        // An error ends the send: nothing leaves in the clear.
        let sealed = self.cipher.encrypt(&nonce, payload);
        let sealed = sealed.map_err(|_| "the body cannot be encrypted")?;
        let body = [nonce.as_slice(), &sealed].concat();
        let message = message.clone().with_body(body)?;
        context.set_message(message.with_property(KEY_ID, self.key_id)?);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cluster = EmbeddedCluster::builder().start().await?;
    let encryption = Arc::new(Encryption::new("2026-11", &Key::generate()));
    let producer = Producer::builder("payments")
        .name_servers(&cluster.name_servers())
        .send_hook(Arc::clone(&encryption) as _)
        .start()
        .await?;

    let secret = "card 4111 1111 1111 1111 pays 42.00";
    producer.send(Message::new("payments", secret)?).await?;
    // Messages of a batch are sealed one by one.
    let batch = ["first", "second"].map(|body| Message::new("payments", body));
    producer
        .send_batch(batch.into_iter().collect::<Result<Vec<_>, _>>()?)
        .await?;

    let mut opened = Vec::new();
    for stored in cluster.messages("payments") {
        anyhow::ensure!(!stored.body.windows(4).any(|part| part == b"4111"));
        anyhow::ensure!(stored.property(KEY_ID) == Some("2026-11"));
        let body = encryption.open("payments", &stored.body)?;
        println!("{} bytes stored, {} read", stored.body.len(), body.len());
        opened.push(String::from_utf8(body)?);
        anyhow::ensure!(encryption.open("other", &stored.body).is_err());
    }
    opened.sort();
    anyhow::ensure!(opened == [secret, "first", "second"], "{opened:?}");
    println!("all read back");
    producer.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
