//! `rocketmq-producer topic`: creates topics, lists them, and shows their queues.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use rocketmq_producer::remoting::protocol::{Permission, TopicConfig};
use rocketmq_producer::remoting::with_causes;
use rocketmq_producer::{Admin, AdminError, Producer, TopicStatus, TopicTarget};
use serde_json::json;

use crate::console::{complain, say};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::send::{GOODBYE, start};
use crate::settings::SettingsArgs;
use crate::table::{Align, Table};
use crate::time::utc;

/// Prefixes of the topics that servers make for themselves.
const SYSTEM_PREFIXES: [&str; 4] = ["rmq_sys_", "RMQ_SYS_", "%RETRY%", "%DLQ%"];
/// Those without a prefix.
const SYSTEM_TOPICS: [&str; 6] = [
    "BenchmarkTest",
    "OFFSET_MOVED_EVENT",
    "SCHEDULE_TOPIC_XXXX",
    "SELF_TEST_TOPIC",
    "TBW102",
    "TRANS_CHECK_MAX_TIME_TOPIC",
];

/// Queues of a new topic on each broker, if none are asked for.
const DEFAULT_QUEUES: i32 = 4;

#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct TopicArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a topic, or change one; its messages stay.
    Create(CreateArgs),
    /// List the topics that the name server knows.
    List(ListArgs),
    /// Show the offsets of a topic's queues.
    Status(StatusArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Name of the topic.
    topic: String,
    /// Queues on each broker; 4 unless given, or as many as the topic has already.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16_384))]
    queues: Option<u16>,
    /// Queues that consumers may read, if they are others than those that producers may write.
    #[arg(long, value_name = "N")]
    read_queues: Option<u16>,
    /// What is allowed: rw, r, w, or the number of the bits.
    #[arg(long, value_name = "PERM", default_value = "rw", value_parser = permission)]
    perm: Permission,
    /// Attribute of the topic, such as message.type=DELAY (5.x); may be repeated.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// Mark the topic as ordered.
    #[arg(long)]
    order: bool,
    /// Only on the brokers of this cluster; on every broker unless given.
    #[arg(long, value_name = "NAME", conflicts_with = "broker")]
    cluster: Option<String>,
    /// Only on this broker.
    #[arg(long, value_name = "NAME")]
    broker: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Also those that servers make for themselves.
    #[arg(long)]
    all: bool,
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Debug, Args)]
struct StatusArgs {
    /// Name of the topic.
    topic: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(crate) async fn run(args: TopicArgs) -> Result<Exit, Failure> {
    let settings = match &args.action {
        Action::Create(args) => &args.settings,
        Action::List(args) => &args.settings,
        Action::Status(args) => &args.settings,
    };
    let producer = start(settings.resolve(&[])?, 1).await?;
    let outcome = match args.action {
        Action::Create(args) => create(&producer, args).await,
        Action::List(args) => list(&producer, &args).await,
        Action::Status(args) => status(&producer, &args).await,
    };
    producer.shutdown(GOODBYE).await;
    outcome
}

/// What an administrative call failed with.
pub(crate) fn failure(error: &AdminError) -> Failure {
    match error {
        AdminError::Invalid(_) => Failure::bad_input("this cannot be asked for", error),
        _ => Failure::advised(error, error.advice()),
    }
}

/// Names brokers that failed, and says whether there was none.
pub(crate) fn complain_of(failed: &[(String, AdminError)]) -> Exit {
    for (broker, error) in failed {
        complain(&format!(
            "error: broker {broker}: {}\n  advice: {}",
            with_causes(error),
            error.advice()
        ));
    }
    Exit::success_if(failed.is_empty())
}

async fn create(producer: &Producer, args: CreateArgs) -> Result<Exit, Failure> {
    let budget = producer.config().send_msg_timeout;
    let admin = producer.admin().with_timeout(budget);
    let had = queues_before(&admin, &args).await?;
    let (write, read) = match (args.queues, had) {
        (Some(queues), _) => (i32::from(queues), i32::from(queues)),
        (None, Some(had)) => had,
        (None, None) => (DEFAULT_QUEUES, DEFAULT_QUEUES),
    };
    let mut config = TopicConfig::new(args.topic, write);
    config.read_queue_nums = args.read_queues.map_or(read, i32::from);
    config.perm = args.perm;
    config.order = args.order;
    config.attributes = args
        .attributes
        .into_iter()
        .map(|(name, value)| (format!("+{name}"), value))
        .collect();
    let target = match (args.cluster, args.broker) {
        (Some(cluster), _) => TopicTarget::Cluster(cluster),
        (None, Some(broker)) => TopicTarget::Broker(broker),
        (None, None) => TopicTarget::Everywhere,
    };
    let topic = config.topic_name.clone();
    let change = admin.create_topic(&config, &target).await;
    let change = change.map_err(|error| failure(&error))?;
    let exit = complain_of(&change.failed);
    // Name servers are told by the brokers, a moment later.
    if config.perm.is_writable() && config.write_queue_nums > 0 {
        let ready = producer.wait_for_topic(&topic, budget).await;
        ready.map_err(|error| {
            let failed = "the topic is on its brokers, but a name server has no route to it yet";
            Failure::failed(failed, error)
        })?;
    }
    let before = match had {
        Some((before, _)) if before != write => format!(" instead of {before}"),
        _ => String::new(),
    };
    say(&format!(
        "topic {topic}: {write} queues{before}, {} on {}",
        config.perm,
        change.done.join(", ")
    ));
    Ok(exit)
}

/// Queues of the topic to write to and to read, if it exists already: the most that a broker has, of those that are to
/// be changed.
async fn queues_before(admin: &Admin, args: &CreateArgs) -> Result<Option<(i32, i32)>, Failure> {
    let route = match admin.route(&args.topic).await {
        Ok(route) => route,
        Err(error) if error.is_topic_not_found() => return Ok(None),
        // The brokers say whether there can be such a topic.
        Err(AdminError::Invalid(_)) => return Ok(None),
        Err(error) => return Err(failure(&error)),
    };
    let is_meant = |name: &str| {
        let mut brokers = route.broker_datas.iter();
        let broker = brokers.find(|broker| broker.broker_name == name);
        args.broker.as_deref().is_none_or(|wanted| wanted == name)
            && args
                .cluster
                .as_deref()
                .is_none_or(|wanted| broker.is_some_and(|broker| broker.cluster == wanted))
    };
    let queues = route.queue_datas.iter();
    Ok(queues
        .filter(|data| is_meant(&data.broker_name) && data.write_queue_nums > 0)
        .map(|data| (data.write_queue_nums, data.read_queue_nums))
        .max())
}

async fn list(producer: &Producer, args: &ListArgs) -> Result<Exit, Failure> {
    let admin = producer.admin();
    let admin = admin.with_timeout(producer.config().send_msg_timeout);
    let mut topics = admin.topics().await.map_err(|error| failure(&error))?;
    if !args.all {
        let cluster = admin.cluster().await.map_err(|error| failure(&error))?;
        topics.retain(|topic| {
            // Every broker and every cluster has a topic of its name.
            let is_own = cluster.broker_addr_table.contains_key(topic)
                || cluster.cluster_addr_table.contains_key(topic)
                || topic.ends_with("_REPLY_TOPIC");
            let is_system = SYSTEM_TOPICS.contains(&topic.as_str())
                || SYSTEM_PREFIXES
                    .iter()
                    .any(|prefix| topic.starts_with(prefix));
            !is_own && !is_system
        });
    }
    if args.json {
        say(&json!(topics).to_string());
    } else if topics.is_empty() {
        complain("no topics");
    } else {
        say(&topics.join("\n"));
    }
    Ok(Exit::Success)
}

async fn status(producer: &Producer, args: &StatusArgs) -> Result<Exit, Failure> {
    let admin = producer.admin();
    let admin = admin.with_timeout(producer.config().send_msg_timeout);
    let status = admin.topic_status(&args.topic).await;
    let status = status.map_err(|error| failure(&error))?;
    if args.json {
        say(&in_json(&args.topic, &status).to_string());
    } else {
        say(&in_table(&status).to_string());
    }
    Ok(complain_of(&status.failed))
}

fn in_table(status: &TopicStatus) -> Table {
    let mut table = Table::new(&[
        ("broker", Align::Left),
        ("queue", Align::Right),
        ("min offset", Align::Right),
        ("max offset", Align::Right),
        ("messages", Align::Right),
        ("last stored", Align::Left),
    ]);
    for queue in &status.queues {
        let last = queue.last_update_timestamp;
        table.row([
            queue.broker_name.clone(),
            queue.queue_id.to_string(),
            queue.min_offset.to_string(),
            queue.max_offset.to_string(),
            queue.messages().to_string(),
            if last > 0 { utc(last) } else { String::new() },
        ]);
    }
    table
}

fn in_json(topic: &str, status: &TopicStatus) -> serde_json::Value {
    let queues = status.queues.iter().map(|queue| {
        json!({
            "broker": queue.broker_name,
            "queue": queue.queue_id,
            "min_offset": queue.min_offset,
            "max_offset": queue.max_offset,
            "messages": queue.messages(),
            "last_stored": queue.last_update_timestamp,
        })
    });
    let failed: BTreeMap<_, _> = status
        .failed
        .iter()
        .map(|(broker, error)| (broker, with_causes(error)))
        .collect();
    json!({
        "topic": topic,
        "queues": queues.collect::<Vec<_>>(),
        "failed": failed,
    })
}

fn permission(text: &str) -> Result<Permission, String> {
    let both = Permission::READ.0 | Permission::WRITE.0;
    match text.to_ascii_lowercase().as_str() {
        "rw" => Ok(Permission(both)),
        "r" => Ok(Permission::READ),
        "w" => Ok(Permission::WRITE),
        digits => match digits.parse() {
            Ok(bits @ 0..=15) => Ok(Permission(bits)),
            _ => Err("allowed: rw, r, w, or 0 to 15".to_owned()),
        },
    }
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("allowed: NAME=VALUE, such as message.type=DELAY".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_letters_or_bits() {
        assert_eq!(permission("RW"), Ok(Permission(6)));
        assert_eq!(permission("r"), Ok(Permission::READ));
        assert_eq!(permission("2"), Ok(Permission::WRITE));
        for wrong in ["", "x", "16", "-1", "wr"] {
            assert!(permission(wrong).is_err(), "{wrong}");
        }
    }
}
