//! A producer for programs without async code: it brings a runtime of its own, and every call
//! blocks its thread until the outcome is known.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::thread;
use std::time::Duration;

use rocketmq_producer::prelude::*;
use rocketmq_producer_embedded::EmbeddedCluster;

fn main() -> anyhow::Result<()> {
    // Only the cluster inside this process needs this runtime; the producer has its own.
    let runtime = tokio::runtime::Runtime::new()?;
    let cluster;
    let name_servers = match std::env::var("NAMESRV_ADDR") {
        Ok(given) => given,
        Err(_) => {
            cluster = runtime.block_on(EmbeddedCluster::builder().start())?;
            cluster.name_servers()
        }
    };

    let producer = Producer::builder("billing")
        .name_servers(&name_servers)
        .start_blocking()?;

    // Clones are handles to the same producer, and any thread may use them.
    let threads = (1..=3).map(|number| {
        let producer = producer.clone();
        thread::spawn(move || -> anyhow::Result<()> {
            let message = Message::new("invoices", format!("invoice {number}"))?;
            let receipt = producer.send(message)?;
            println!(
                "invoice {number}: {} in {}",
                receipt.status(),
                receipt.queue()
            );
            Ok(())
        })
    });
    // All are started before the first is waited for.
    for thread in threads.collect::<Vec<_>>() {
        match thread.join() {
            Ok(sent) => sent?,
            Err(_) => anyhow::bail!("a thread panicked"),
        }
    }

    let report = producer.shutdown(Duration::from_secs(5))?;
    println!("sent {} in all", producer.stats().total_sent);
    println!("brokers that know we left: {}", report.unregistered);
    Ok(())
}
