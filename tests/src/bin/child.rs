//! A process of its own for tests that need several, or another environment.
//!
//! `child ids THREADS COUNT` prints `COUNT` message ids from each of several threads;
//! `child halves NAMESRV GROUP TOPIC COUNT` begins transactions, prints the id of each, and leaves them open for ever;
//! `child send NAMESRV GROUP TOPIC COUNT` sends and prints the id of each acknowledged message.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use rocketmq_producer::remoting::message::MessageIdGenerator;
use rocketmq_producer::{
    CheckedMessage, LocalTransactionState, Message, Producer, TransactionChecker,
};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ids = match arguments[..] {
        ["ids", threads, count] => ids(threads.parse()?, count.parse()?)?,
        ["send", name_servers, group, topic, count] => {
            send(name_servers, group, topic, count.parse()?)?
        }
        ["halves", name_servers, group, topic, count] => {
            return halves(name_servers, group, topic, count.parse()?);
        }
        _ => bail!("unknown arguments {arguments:?}"),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(ids.join("\n").as_bytes())?;
    out.write_all(b"\n")?;
    Ok(())
}

fn ids(threads: usize, count: usize) -> Result<Vec<String>> {
    let some = move || -> Vec<String> {
        let generator = MessageIdGenerator::shared();
        (0..count)
            .map(|_| generator.next_id().to_string())
            .collect()
    };
    let running: Vec<_> = (0..threads).map(|_| std::thread::spawn(some)).collect();
    let mut all = Vec::new();
    for thread in running {
        all.extend(thread.join().ok().context("a thread panicked")?);
    }
    Ok(all)
}

fn send(name_servers: &str, group: &str, topic: &str, count: usize) -> Result<Vec<String>> {
    let producer = Producer::builder(group)
        .name_servers(name_servers)
        .start_blocking()?;
    let mut ids = Vec::new();
    for index in 0..count {
        let message = Message::new(topic, format!("child {index}"))?;
        ids.push(producer.send(message)?.message_id().to_string());
    }
    producer.shutdown(Duration::from_secs(10))?;
    Ok(ids)
}

/// A local step that never ends; the caller kills the process.
fn halves(name_servers: &str, group: &str, topic: &str, count: usize) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let producer = Producer::builder(group)
            .name_servers(name_servers)
            .configure(|settings| settings.send_msg_timeout(Duration::from_secs(20)))
            .start_transactional(Arc::new(Silent))
            .await?;
        let mut open = Vec::new();
        for index in 0..count {
            let message = Message::new(topic, format!("half {index}"))?;
            let transaction = producer.begin(message).await?;
            let line = format!("{}\n", transaction.half().message_id());
            std::io::stdout().write_all(line.as_bytes())?;
            std::io::stdout().flush()?;
            open.push(transaction);
        }
        std::future::pending().await
    })
}

struct Silent;

#[async_trait]
impl TransactionChecker for Silent {
    async fn check(&self, _: &CheckedMessage) -> LocalTransactionState {
        LocalTransactionState::Unknown
    }
}
