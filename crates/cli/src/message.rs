//! `rocketmq-producer message`: looks up messages that brokers have stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use rocketmq_producer::remoting::message::{MessageExt, OffsetMessageId, property};
use rocketmq_producer::{FoundMessages, KeyQuery, Producer};
use serde_json::{Map, Value, json};

use crate::console::{complain, say};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::send::{GOODBYE, start};
use crate::settings::SettingsArgs;
use crate::table::{Align, Table};
use crate::time::utc;
use crate::topic::{complain_of, failure};

#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct MessageArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the message at the place that an offset message id names.
    Get(GetArgs),
    /// Find messages by message id or by key.
    Find(FindArgs),
}

#[derive(Debug, Args)]
struct GetArgs {
    /// The broker's id of the message, as in `offsetMsgId` of a ledger.
    #[arg(value_name = "OFFSET_ID")]
    id: OffsetMessageId,
    #[command(flatten)]
    show: ShowArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").args(["id", "key"]).required(true)))]
struct FindArgs {
    /// Message id (UNIQ_KEY), as in `msgId` of a ledger and as consumers see it.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// One of the message's keys.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Most messages of each broker, the newest; at most 64.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=64))]
    max: u16,
    #[command(flatten)]
    show: ShowArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Topic of the message.
    #[arg(long)]
    topic: String,
    /// How the body is shown; as text if it is text, else as base64, unless given.
    #[arg(long, value_enum)]
    body: Option<Form>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// How a body is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Hex,
    Base64,
    None,
}

pub(crate) async fn run(args: MessageArgs) -> Result<Exit, Failure> {
    let settings = match &args.action {
        Action::Get(args) => &args.settings,
        Action::Find(args) => &args.settings,
    };
    let producer = start(settings.resolve(&[])?, 1).await?;
    let outcome = match &args.action {
        Action::Get(args) => get(&producer, args).await,
        Action::Find(args) => find(&producer, args).await,
    };
    producer.shutdown(GOODBYE).await;
    outcome
}

async fn get(producer: &Producer, args: &GetArgs) -> Result<Exit, Failure> {
    let admin = producer.admin();
    let admin = admin.with_timeout(producer.config().send_msg_timeout);
    let found = admin.view_message(&args.show.topic, args.id).await;
    if let Some(message) = found.map_err(|error| failure(&error))? {
        show(&[message], &args.show);
        return Ok(Exit::Success);
    }
    complain(&format!(
        "error: no message of topic {} is at {}, offset {} of the log",
        args.show.topic, args.id.address, args.id.offset
    ));
    Ok(Exit::Failed)
}

async fn find(producer: &Producer, args: &FindArgs) -> Result<Exit, Failure> {
    let admin = producer.admin();
    let admin = admin.with_timeout(producer.config().send_msg_timeout);
    let topic = &args.show.topic;
    let found = match (&args.id, &args.key) {
        (Some(id), _) => admin.find_by_message_id(topic, id).await,
        (None, key) => {
            let query = KeyQuery::new().max_per_broker(i32::from(args.max));
            let key = key.as_deref().unwrap_or_default();
            admin.find_by_key(topic, key, query).await
        }
    };
    let FoundMessages {
        messages, failed, ..
    } = found.map_err(|error| failure(&error))?;
    show(&messages, &args.show);
    if messages.is_empty() {
        complain(&format!(
            "error: no such message in topic {topic}\n  advice: brokers find a message a moment after it is stored, and \
             only until it is deleted; check topic and key"
        ));
    }
    Ok(complain_of(&failed).and(Exit::success_if(!messages.is_empty())))
}

fn show(messages: &[MessageExt], args: &ShowArgs) {
    for (index, message) in messages.iter().enumerate() {
        if args.json {
            say(&in_json(message, args.body).to_string());
            continue;
        }
        if index > 0 {
            say("");
        }
        say(&in_text(message, args.body));
    }
}

/// The form of a body that none was asked for.
fn natural(message: &MessageExt) -> Form {
    let is_text = std::str::from_utf8(&message.body)
        .is_ok_and(|text| !text.contains(|sign: char| sign.is_control() && !sign.is_whitespace()));
    if is_text { Form::Text } else { Form::Base64 }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn in_text(message: &MessageExt, form: Option<Form>) -> String {
    let mut table = Table::new(&[("topic", Align::Left), (&message.topic, Align::Left)]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("message id", message.message_id());
    row("offset id", message.offset_message_id().to_string());
    row("queue", message.queue_id.to_string());
    row("offset", message.queue_offset.to_string());
    row(
        "born",
        format!("{} at {}", utc(message.born_timestamp), message.born_host),
    );
    row(
        "stored",
        format!("{} at {}", utc(message.store_timestamp), message.store_host),
    );
    if let Some(tags) = message.tags() {
        row("tags", tags.to_owned());
    }
    let keys: Vec<_> = message.keys().collect();
    if !keys.is_empty() {
        row("keys", keys.join(" "));
    }
    if message.flag != 0 {
        row("flag", message.flag.to_string());
    }
    row("system flag", format!("{:#x}", message.sys_flag));
    row("consumer retries", message.reconsume_times.to_string());
    for (name, value) in message.properties.iter() {
        if name != property::TAGS && name != property::KEYS {
            row(&format!("  {name}"), value.to_owned());
        }
    }
    let form = form.unwrap_or_else(|| natural(message));
    row("body", format!("{} bytes", message.body.len()));
    let body = match form {
        Form::None => return table.to_string(),
        Form::Text => String::from_utf8_lossy(&message.body).into_owned(),
        Form::Hex => hex(&message.body),
        Form::Base64 => STANDARD.encode(&message.body),
    };
    format!("{table}\n{body}")
}

fn in_json(message: &MessageExt, form: Option<Form>) -> Value {
    let properties: Map<String, Value> = message
        .properties
        .iter()
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect();
    let mut object = json!({
        "topic": message.topic,
        "msgId": message.message_id(),
        "offsetMsgId": message.offset_message_id().to_string(),
        "queue": message.queue_id,
        "offset": message.queue_offset,
        "born": message.born_timestamp,
        "born_host": message.born_host.to_string(),
        "stored": message.store_timestamp,
        "store_host": message.store_host.to_string(),
        "flag": message.flag,
        "sys_flag": message.sys_flag,
        "reconsume_times": message.reconsume_times,
        "tags": message.tags(),
        "keys": message.keys().collect::<Vec<_>>(),
        "properties": properties,
        "len": message.body.len(),
    });
    let body = match form.unwrap_or_else(|| natural(message)) {
        Form::None => return object,
        // As `send` reads it.
        Form::Text => ("body", String::from_utf8_lossy(&message.body).into_owned()),
        Form::Hex => ("body_hex", hex(&message.body)),
        Form::Base64 => ("body_base64", STANDARD.encode(&message.body)),
    };
    if let Value::Object(members) = &mut object {
        members.insert(body.0.to_owned(), Value::from(body.1));
    }
    object
}
