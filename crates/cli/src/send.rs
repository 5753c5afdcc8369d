//! `rocketmq-producer send`: messages from standard input or a file, and what became of each.

mod dispatch;
mod lanes;
mod reply;
mod tally;
mod tuning;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rocketmq_producer::config::{ByteSize, MAX_BODY, ProducerConfig};
use rocketmq_producer::remoting::message::validate_topic_for_send;
use rocketmq_producer::{
    CheckedMessage, LocalTransactionState, Producer, StartError, TransactionChecker,
    TransactionalProducer,
};

use crate::args::{Format, SendArgs};
use crate::console::{Progress, say};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input;
use crate::interrupt::Interrupt;
use crate::ledger::Ledger;

pub(crate) use dispatch::{Dispatcher, Finished, Plan};
pub(crate) use reply::Answer;
pub(crate) use tally::Tally;
pub(crate) use tuning::TuningArgs;

pub(crate) async fn run(args: SendArgs) -> Result<Exit, Failure> {
    let config = args.settings.resolve(&args.tuning.settings())?;
    args.tuning
        .check(&config, args.concurrency, args.request.is_some())
        .map_err(|error| Failure::bad_input("these flags do not go together", error))?;
    check_topic(&args.topic)?;
    let ledger = open_ledger(args.ledger.as_deref())?;
    let longest_body = longest_body(&config);
    let interrupt = watch_interrupts()?;
    // Lines of text cannot say that they are transactions.
    let transactions = match args.format {
        Format::Jsonl => Some(start_transactional(config.clone(), args.concurrency).await?),
        _ => None,
    };
    let producer = match &transactions {
        Some(transactional) => transactional.producer().clone(),
        None => start(config, args.concurrency).await?,
    };
    let items = input::read(
        args.file.as_deref(),
        args.format,
        &args.topic,
        longest_body,
        args.request,
    )?;
    let plan = Plan {
        concurrency: args.concurrency,
        rate: args.rate,
        count: args.count,
        ordered: args.ordered,
    };
    let progress = Progress::new(args.count);
    let mut dispatcher = Dispatcher::new(producer.clone(), &plan, ledger, progress);
    if let Some(transactional) = transactions {
        dispatcher = dispatcher.with_transactions(transactional);
    }
    let outcome = dispatcher.run(items, interrupt, |_| {}).await;
    producer.shutdown(GOODBYE).await;
    let tally = outcome?;
    say(&tally.to_string());
    Ok(tally.exit())
}

/// The longest body that may become a message. One that is to be compressed may be longer than what is sent.
fn longest_body(config: &ProducerConfig) -> ByteSize {
    match config.compressor() {
        Some(_) => config.max_message_size.max(MAX_BODY),
        None => config.max_message_size,
    }
}

/// What saying goodbye to the brokers may take.
pub(crate) const GOODBYE: Duration = Duration::from_secs(3);

/// A started producer with room for `concurrency` sends.
pub(crate) async fn start(
    mut config: ProducerConfig,
    concurrency: u32,
) -> Result<Producer, StartError> {
    config.async_send_semaphore = config.async_send_semaphore.max(concurrency);
    Producer::from_config(config).start().await
}

/// The same for messages that may be transactions.
async fn start_transactional(
    mut config: ProducerConfig,
    concurrency: u32,
) -> Result<TransactionalProducer, StartError> {
    config.async_send_semaphore = config.async_send_semaphore.max(concurrency);
    config.transaction_max_open = config.transaction_max_open.max(concurrency);
    let producer = Producer::from_config(config);
    producer.start_transactional(Arc::new(NoTrace)).await
}

/// Of a line of an earlier run nothing is left that tells how it was to end.
struct NoTrace;

#[async_trait]
impl TransactionChecker for NoTrace {
    async fn check(&self, _: &CheckedMessage) -> LocalTransactionState {
        LocalTransactionState::Unknown
    }
}

pub(crate) fn check_topic(topic: &str) -> Result<(), Failure> {
    validate_topic_for_send(topic)
        .map_err(|error| Failure::bad_input("nothing can be sent to this topic", error))
}

pub(crate) fn open_ledger(path: Option<&Path>) -> Result<Option<Ledger>, Failure> {
    path.map(|path| {
        let what = || format!("ledger {} cannot be opened", path.display());
        Ledger::open(path).map_err(|error| Failure::bad_input(what(), error))
    })
    .transpose()
}

pub(crate) fn watch_interrupts() -> Result<Interrupt, Failure> {
    Interrupt::watch().map_err(|error| Failure::failed("signals cannot be watched", error))
}
