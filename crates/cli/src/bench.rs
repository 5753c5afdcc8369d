//! `rocketmq-producer bench`: what sending costs and how fast it is.

mod load;
mod plot;
mod report;

use rand::RngExt as _;
use rand::distr::Uniform;
use rocketmq_producer::config::{ByteSize, ProducerConfig};
use rocketmq_producer::{Message, Producer};
use tokio::time::Instant;

use crate::args::BenchArgs;
use crate::console::{Progress, complain, say};
use crate::exit::Exit;
use crate::failure::{Failure, explain};
use crate::process;
use crate::send::{GOODBYE, check_topic, start};
use load::{Load, Outcome};
use report::Report;

/// `began` is when the program did.
pub(crate) async fn run(args: BenchArgs, began: Instant) -> Result<Exit, Failure> {
    let mut flags = Vec::new();
    if args.auto_batch {
        flags.push(("--auto-batch", "auto_batch", "true".to_owned()));
    }
    if let Some(header) = args.header {
        flags.push(("--header", "header_encoding", header.as_str().to_owned()));
    }
    let config = args.settings.resolve(&flags)?;
    check_topic(&args.topic)?;
    let message = Message::new(args.topic.as_str(), body(args.body))
        .and_then(|message| {
            let margin = config.property_margin.as_usize();
            message.check_limits(config.max_message_size, margin)?;
            Ok(message)
        })
        .map_err(|error| Failure::bad_input("no such message can be sent", error))?;
    let under_way = args.concurrency.saturating_mul(args.per_call());
    let producer = start(config, under_way).await?;
    let outcome = measure(&args, &producer, message, began).await;
    let headers = headers(producer.config());
    producer.shutdown(GOODBYE).await;
    let (outcome, report) = outcome?;

    if args.json {
        say(&report.to_json());
    } else {
        say(&report.to_text(&args.topic, &headers, args.rate));
    }
    if let Some(error) = &outcome.first_error {
        complain(&format!(
            "{} of {} messages failed, the first one so:\n{}",
            outcome.failed,
            args.count,
            explain(error)
        ));
    }
    if let Some(path) = &args.plot {
        plot::draw(path, &report, &outcome.latency)?;
    }
    Ok(Exit::success_if(outcome.failed == 0))
}

async fn measure(
    args: &BenchArgs,
    producer: &Producer,
    message: Message,
    began: Instant,
) -> Result<(Outcome, Report), Failure> {
    producer
        .send(message.clone())
        .await
        .map_err(|error| Failure::unsent("the first message did not arrive", &error))?;
    let first_ack = began.elapsed();
    let load = Load {
        producer: producer.clone(),
        message,
        mode: args.mode,
        concurrency: args.concurrency,
        batch: args.per_call(),
        rate: None,
    };
    let warmup = args.warmup.unwrap_or(args.count / 10);
    if warmup > 0 {
        let warmed = load.clone().run(warmup, &Progress::hidden()).await?;
        if let (0, Some(error)) = (warmed.acked, &warmed.first_error) {
            return Err(Failure::unsent("no message of the warm-up arrived", error));
        }
    }
    let load = Load {
        rate: args.rate,
        ..load
    };
    let progress = Progress::new(Some(args.count));
    let cpu_before = process::cpu_time();
    let outcome = load.run(args.count, &progress).await?;
    let cpu_after = process::cpu_time();
    progress.finish();
    let cpu = match (cpu_before, cpu_after) {
        (Some(before), Some(after)) => Some(after.saturating_sub(before)),
        _ => None,
    };
    let report = Report::new(args, &outcome, cpu, process::resident_bytes(), first_ack);
    Ok((outcome, report))
}

/// Random printable bytes, so that nothing on the way can make them smaller.
fn body(size: ByteSize) -> Vec<u8> {
    let Ok(printable) = Uniform::new_inclusive(b'!', b'~') else {
        return Vec::new();
    };
    rand::rng()
        .sample_iter(printable)
        .take(size.as_usize())
        .collect()
}

fn headers(config: &ProducerConfig) -> String {
    config.header_encoding.to_string()
}
