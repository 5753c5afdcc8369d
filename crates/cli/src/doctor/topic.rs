//! The topic as the name servers tell it: route, permissions, balance.

use std::collections::{BTreeMap, BTreeSet};

use rocketmq_producer::remoting::protocol::topic_config::DEFAULT_TOPIC;
use rocketmq_producer::remoting::protocol::{
    ClusterInfo, GetRouteInfoRequestHeader, TopicRouteData,
};
use rocketmq_producer::routing::AttemptCause;
use tokio::time::Instant;

use super::Patient;
use super::name_servers::NameServer;
use super::report::{Fault, Report, Step};

/// What each name server says of the topic.
pub(super) struct Known {
    routes: Vec<(String, TopicRouteData)>,
    unknown_to: Vec<String>,
    failed: Vec<(String, AttemptCause)>,
}

impl Known {
    pub(super) fn route(&self) -> Option<&TopicRouteData> {
        self.routes.first().map(|(_, route)| route)
    }
}

pub(super) async fn look_up(patient: &Patient, servers: &[NameServer]) -> Known {
    let mut known = Known {
        routes: Vec::new(),
        unknown_to: Vec::new(),
        failed: Vec::new(),
    };
    for server in servers {
        let address = server.address.clone();
        match ask(patient, &address, &patient.topic).await {
            Ok(Some(route)) => known.routes.push((address, route)),
            Ok(None) => known.unknown_to.push(address),
            Err(cause) => known.failed.push((address, cause)),
        }
    }
    known
}

/// One name server's route of a topic; none if it knows no such topic.
async fn ask(
    patient: &Patient,
    address: &str,
    topic: &str,
) -> Result<Option<TopicRouteData>, AttemptCause> {
    let header = GetRouteInfoRequestHeader::new(topic);
    let deadline = Instant::now() + patient.config().send_msg_timeout;
    let name_servers = patient.admin.name_servers();
    match name_servers.ask_at(address, &header, deadline).await {
        Ok(answer) => match TopicRouteData::parse(answer.body()) {
            Ok(route) => Ok(Some(route)),
            Err(error) => Err(AttemptCause::InvalidRoute(error.into())),
        },
        Err(AttemptCause::TopicNotFound) => Ok(None),
        Err(cause) => Err(cause),
    }
}

pub(super) async fn route(
    patient: &Patient,
    servers: &[NameServer],
    known: &Known,
    report: &mut Report,
) {
    let topic = &patient.topic;
    for (address, cause) in &known.failed {
        let text = format!("{address} gives no route of {topic}: {cause}");
        let advice = "look at the name server's log";
        report.wrong(Step::Route, Fault::new("no_route", text, advice));
    }
    let Some(route) = known.route() else {
        if !known.unknown_to.is_empty() {
            report.wrong(Step::Route, missing(patient, servers).await);
        }
        return;
    };
    if known.unknown_to.is_empty() {
        let queues = route.queue_datas.iter();
        let queues: i64 = queues.map(|data| i64::from(data.write_queue_nums)).sum();
        let brokers = i64::try_from(route.queue_datas.len()).unwrap_or(i64::MAX);
        report.right(
            Step::Route,
            format!(
                "topic {topic}: {} on {}",
                counted(queues, "queue"),
                counted(brokers, "broker")
            ),
        );
        return;
    }
    let text = format!(
        "topic {topic} is known to some name servers, but not to {}",
        known.unknown_to.join(", ")
    );
    let advice = "wait 30 s if that one has just been started, else have the brokers register with every name server \
                  (namesrvAddr)";
    report.wrong(
        Step::Route,
        Fault::new("name_servers_disagree", text, advice),
    );
}

/// No name server knows the topic; this is why.
async fn missing(patient: &Patient, servers: &[NameServer]) -> Fault {
    let topic = &patient.topic;
    let clusters = servers.iter().filter_map(|server| server.cluster.as_ref());
    let mut clusters = clusters.peekable();
    let is_told = clusters.peek().is_some();
    let brokers = clusters.flat_map(|cluster| cluster.broker_addr_table.keys());
    if is_told && brokers.count() == 0 {
        return Fault::new(
            "no_broker_registered",
            format!(
                "no broker is registered with the name server, so it knows no topic, {topic} among them"
            ),
            "wait 30 s if the name server has just been started; else start brokers, or correct namesrv_addr: the \
             brokers may use another name server",
        );
    }
    let mut creates = false;
    for server in servers {
        creates |= matches!(
            ask(patient, &server.address, DEFAULT_TOPIC).await,
            Ok(Some(_))
        );
    }
    let similar = similar_topic(patient).await;
    let similar = similar.map_or_else(String::new, |name| format!("; is {name} meant?"));
    if creates {
        let advice = if patient.creates_topics {
            "create it (rocketmq-producer topic create), or correct its name; create_topic is on, so a send would have a \
             broker create it"
        } else {
            "create it (rocketmq-producer topic create), correct its name, or turn create_topic on"
        };
        return Fault::new(
            "topic_not_created_yet",
            format!(
                "topic {topic} does not exist; brokers would create it with the first message{similar}"
            ),
            advice,
        );
    }
    Fault::new(
        "topic_missing",
        format!(
            "topic {topic} does not exist, and brokers create none by themselves (autoCreateTopicEnable){similar}"
        ),
        "create it (rocketmq-producer topic create), or correct its name or the name server address",
    )
}

/// A topic that may be the one that was meant.
async fn similar_topic(patient: &Patient) -> Option<String> {
    let topics = patient.admin.topics().await.ok()?;
    let wanted = patient.topic.to_lowercase();
    topics
        .into_iter()
        .map(|name| (distance(&name.to_lowercase(), &wanted), name))
        // In a namespace, or mistyped.
        .filter(|(distance, name)| *distance <= 2 || name.ends_with(&format!("%{}", patient.topic)))
        .min()
        .map(|(_, name)| name)
}

/// How many letters have to be put in, taken out or changed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut next = vec![index + 1];
        for ((change, out), wanted) in row.iter().zip(row.iter().skip(1)).zip(&other) {
            let put_in = next.last().copied().unwrap_or_default();
            let change = change + usize::from(letter != *wanted);
            next.push(change.min(out + 1).min(put_in + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

pub(super) fn permissions(known: &Known, report: &mut Report) {
    let Some(route) = known.route() else {
        report.skipped(Step::Permissions, "no route");
        return;
    };
    let (writable, others): (Vec<_>, Vec<_>) = route
        .queue_datas
        .iter()
        .partition(|data| data.perm.is_writable() && data.write_queue_nums > 0);
    let list = |datas: &[&rocketmq_producer::remoting::protocol::QueueData]| {
        let each = datas.iter().map(|data| {
            format!(
                "{} {} with {}",
                data.broker_name,
                data.perm,
                counted(data.write_queue_nums, "queue")
            )
        });
        each.collect::<Vec<_>>().join(", ")
    };
    if writable.is_empty() {
        let text = format!("no queue may be written to: {}", list(&others));
        let advice = "give the topic write permission (perm 6) and queues on a broker";
        report.wrong(Step::Permissions, Fault::new("not_writable", text, advice));
    } else if others.is_empty() {
        report.right(Step::Permissions, format!("writable: {}", list(&writable)));
    } else {
        let text = format!(
            "writable: {}; not writable: {}",
            list(&writable),
            list(&others)
        );
        report.right(Step::Permissions, text);
    }
}

/// Every master of the topic's clusters should have as many queues as the others.
pub(super) fn balance(cluster: Option<&ClusterInfo>, known: &Known, report: &mut Report) {
    let Some(route) = known.route() else {
        report.skipped(Step::Balance, "no route");
        return;
    };
    let clusters: BTreeSet<&str> = route
        .broker_datas
        .iter()
        .map(|broker| broker.cluster.as_str())
        .collect();
    let masters = cluster.map(|cluster| &cluster.broker_addr_table);
    let mut queues: BTreeMap<&str, i32> = masters
        .into_iter()
        .flatten()
        .filter(|(_, broker)| {
            broker.master().is_some() && clusters.contains(broker.cluster.as_str())
        })
        .map(|(name, _)| (name.as_str(), 0))
        .collect();
    for data in &route.queue_datas {
        if data.perm.is_writable() && data.write_queue_nums > 0 {
            queues.insert(&data.broker_name, data.write_queue_nums);
        }
    }
    let counts: BTreeSet<i32> = queues.values().copied().collect();
    let list: Vec<_> = queues
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let list = list.join(", ");
    if counts.iter().all(|count| *count == 0) {
        report.skipped(Step::Balance, "no queue may be written to");
    } else if counts.len() <= 1 {
        report.right(Step::Balance, format!("queues to write to: {list}"));
    } else {
        let text = format!("brokers have different numbers of queues to write to: {list}");
        let advice = "create the topic on every broker with the same number of queues, unless this is wanted";
        report.wrong(Step::Balance, Fault::new("uneven_queues", text, advice));
    }
}

/// A number and what it counts.
fn counted(number: impl Into<i64>, what: &str) -> String {
    match number.into() {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn names_that_differ_in_a_letter_or_two_are_similar() {
        assert_eq!(distance("orders", "orders"), 0);
        assert_eq!(distance("order", "orders"), 1);
        assert_eq!(distance("odrers", "orders"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}
