//! A process of its own for tests that need several, or another environment.
//!
//! `child ids THREADS COUNT` prints `COUNT` message ids from each of several threads;
//! `child send NAMESRV GROUP TOPIC COUNT` sends and prints the id of each acknowledged message.

use std::io::Write;

use anyhow::{Context, Result, bail};
use rocketmq_producer::remoting::message::MessageIdGenerator;
use rocketmq_producer::{Message, Producer};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ids = match arguments[..] {
        ["ids", threads, count] => ids(threads.parse()?, count.parse()?)?,
        ["send", name_servers, group, topic, count] => {
            send(name_servers, group, topic, count.parse()?)?
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
    producer.shutdown(std::time::Duration::from_secs(10))?;
    Ok(ids)
}
