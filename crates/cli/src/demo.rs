//! `rocketmq-producer demo`: many messages through an embedded cluster, every one of them checked.

mod messages;
mod verify;

use std::collections::BTreeMap;
use std::time::Duration;

use rocketmq_producer::config::ProducerConfig;
use rocketmq_producer::{Producer, SendReceipt};
use rocketmq_producer_embedded::EmbeddedCluster;

use crate::args::DemoArgs;
use crate::console::{Progress, say};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input;
use crate::latency::{human, nanos};
use crate::send::{
    Dispatcher, Finished, GOODBYE, Plan, Tally, check_topic, open_ledger, start, watch_interrupts,
};
use crate::table::{Align, Table};
use verify::{Placed, Verdict};

const GROUP: &str = "rocketmq-producer-demo";
const BROKERS: usize = 2;
const QUEUES_PER_BROKER: u16 = 4;

pub(crate) async fn run(args: DemoArgs) -> Result<Exit, Failure> {
    check_topic(&args.topic)?;
    let cluster = match &args.namesrv {
        Some(_) => None,
        None => Some(embedded(&args.topic).await?),
    };
    let name_servers = match (&args.namesrv, &cluster) {
        (Some(address), _) => address.clone(),
        (None, Some(cluster)) => cluster.name_servers(),
        (None, None) => String::new(),
    };
    let config = ProducerConfig::builder()
        .set_by_flag("--namesrv", "namesrv_addr", &name_servers)
        .producer_group(GROUP)
        // A real broker that has just started may be busy for seconds. What is shown here is that
        // nothing is lost, not how soon a send gives up.
        .send_msg_timeout(Duration::from_secs(15))
        .retry_times(10)
        .build()?;
    let ledger = open_ledger(args.ledger.as_deref())?;
    let interrupt = watch_interrupts()?;
    let producer = start(config, args.concurrency).await?;

    let (messages, topic) = (args.messages, args.topic.clone());
    let items = input::from_iterator(move || messages::all(topic, messages))?;
    let plan = Plan {
        concurrency: args.concurrency,
        rate: None,
        count: None,
        ordered: true,
    };
    let progress = Progress::new(Some(args.messages));
    let mut placed = Vec::new();
    let mut dispatcher = Dispatcher::new(producer.clone(), &plan, ledger, progress);
    let outcome = dispatcher
        .run(items, interrupt, |finished| placed.extend(place(finished)))
        .await;
    let health = health(&producer);
    producer.shutdown(GOODBYE).await;
    let tally = outcome?;
    if tally.acked_count() == 0 {
        // Nothing was measured, and there is nothing to look at.
        say(&format!(
            "messages    0 acked, {} not, in {:.2} s",
            tally.failed(),
            tally.elapsed().as_secs_f64()
        ));
        return Ok(tally.exit());
    }

    say(&format!(
        "{}\n\n{}\n\n{health}",
        figures(&tally),
        spread(&placed)
    ));
    let Some(cluster) = cluster else {
        say("\nnothing was read back: this is not an embedded cluster");
        return Ok(tally.exit());
    };
    let verdict = Verdict::of(&args.topic, &placed, &cluster.messages(&args.topic));
    cluster.shutdown().await;
    say(&format!("\n{verdict}"));
    Ok(tally.exit().and(Exit::success_if(verdict.is_good())))
}

async fn embedded(topic: &str) -> Result<EmbeddedCluster, Failure> {
    EmbeddedCluster::builder()
        .brokers(BROKERS)
        .topic(topic, QUEUES_PER_BROKER)
        .start()
        .await
        .map_err(|error| Failure::failed("the embedded cluster cannot be started", error))
}

fn place(finished: &Finished) -> Option<Placed> {
    let receipt: &SendReceipt = finished.result.as_ref()?.as_ref().ok()?;
    Some(Placed {
        seq: finished.seq,
        queue: receipt.queue().clone(),
        offset: receipt.queue_offset(),
        message_id: *receipt.message_id(),
    })
}

fn figures(tally: &Tally) -> String {
    let latency = tally.latency();
    let at = |quantile| human(latency.at(quantile));
    format!(
        "messages    {} acked, {} not, in {:.2} s\n\
         throughput  {:.0} messages/s\n\
         latency     p50 {}, p99 {}, p99.9 {}, max {}",
        tally.acked_count(),
        tally.failed(),
        tally.elapsed().as_secs_f64(),
        tally.per_second(),
        at(0.5),
        at(0.99),
        at(0.999),
        human(latency.max()),
    )
}

fn spread(placed: &[Placed]) -> Table {
    const WIDEST: usize = 30;
    let mut counts: BTreeMap<(&str, i32), usize> = BTreeMap::new();
    for message in placed {
        let queue = &message.queue;
        *counts
            .entry((queue.broker_name(), queue.queue_id()))
            .or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(1);
    let mut table = Table::new(&[
        ("broker", Align::Left),
        ("queue", Align::Right),
        ("messages", Align::Right),
        ("share", Align::Right),
        ("", Align::Left),
    ]);
    for ((broker, queue), count) in counts {
        table.row([
            broker.to_owned(),
            queue.to_string(),
            count.to_string(),
            format!("{:.1} %", count as f64 * 100.0 / placed.len() as f64),
            "▪".repeat((count * WIDEST).div_ceil(most)),
        ]);
    }
    table
}

fn health(producer: &Producer) -> Table {
    let mut table = Table::new(&[
        ("broker", Align::Left),
        ("address", Align::Left),
        ("health", Align::Left),
        ("success rate", Align::Right),
        ("mean latency", Align::Right),
        ("requests", Align::Right),
    ]);
    let mut brokers = producer.router().all_broker_health();
    brokers.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
    for broker in brokers {
        let latency = broker.avg_latency.map(nanos);
        table.row([
            broker.broker_name.to_string(),
            broker.address.to_string(),
            broker.state.to_string(),
            format!("{:.1} %", broker.success_rate * 100.0),
            latency.map_or_else(String::new, human),
            broker.total_requests().to_string(),
        ]);
    }
    table
}
