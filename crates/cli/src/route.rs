//! `rocketmq-producer route`: a topic's brokers and queues, and which can be sent to.

use std::collections::BTreeMap;

use rocketmq_producer::SendFailure;
use rocketmq_producer::remoting::protocol::QueueData;
use rocketmq_producer::routing::{RouteInfo, RouteKind};
use tokio::time::Instant;

use crate::args::RouteArgs;
use crate::console::{complain, say};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::send::{GOODBYE, check_topic, start};
use crate::table::{Align, Table};

pub(crate) async fn run(args: &RouteArgs) -> Result<Exit, Failure> {
    let mut config = args.settings.resolve(&[])?;
    check_topic(&args.topic)?;
    // The topic's own route is asked for, not that of a topic to be made.
    config.create_topic = false;
    let budget = config.send_msg_timeout;
    let producer = start(config, 1).await?;
    let deadline = Instant::now() + budget;
    let answer = producer
        .mapping()
        .force_refresh(&args.topic, deadline)
        .await;
    producer.shutdown(GOODBYE).await;
    let route = answer.map_err(|error| {
        let failure = SendFailure::Routing(error);
        Failure::advised(&failure, failure.advice())
    })?;
    say(&describe(&route));
    let usable = route.usable_queues().count();
    if usable == 0 {
        complain("error: nothing can be sent to this topic at present");
    }
    Ok(Exit::success_if(usable > 0))
}

fn describe(route: &RouteInfo) -> String {
    let kind = match route.kind() {
        RouteKind::Ordered => "ordered topic",
        RouteKind::StaticTopic => "static topic",
        _ => "topic",
    };
    let usable = route.usable_queues().count();
    format!(
        "{kind} {}: {usable} usable queues\n\n{}\n\n{}",
        route.topic(),
        brokers(route),
        queues(route),
    )
}

fn brokers(route: &RouteInfo) -> Table {
    let mut table = Table::new(&[
        ("broker", Align::Left),
        ("cluster", Align::Left),
        ("role", Align::Left),
        ("address", Align::Left),
    ]);
    let mut brokers: Vec<_> = route.data().broker_datas.iter().collect();
    brokers.sort_by_key(|broker| &broker.broker_name);
    for broker in brokers {
        for (id, address) in &broker.broker_addrs {
            let role = if broker.master() == Some(address.as_str()) {
                "master".to_owned()
            } else {
                format!("slave {id}")
            };
            table.row([
                broker.broker_name.clone(),
                broker.cluster.clone(),
                role,
                address.clone(),
            ]);
        }
    }
    table
}

fn queues(route: &RouteInfo) -> Table {
    let mut table = Table::new(&[
        ("broker", Align::Left),
        ("read queues", Align::Right),
        ("write queues", Align::Right),
        ("permission", Align::Left),
        ("usable queues", Align::Left),
        ("why not", Align::Left),
    ]);
    let mut usable: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for routed in route.usable_queues() {
        let queue = routed.queue();
        usable
            .entry(queue.broker_name())
            .or_default()
            .push(queue.queue_id());
    }
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for excluded in route.excluded().iter() {
        reasons
            .entry(&excluded.broker_name)
            .or_default()
            .push(excluded.reason.to_string());
    }
    let told: BTreeMap<&str, &QueueData> = route
        .data()
        .queue_datas
        .iter()
        .map(|queues| (queues.broker_name.as_str(), queues))
        .collect();
    // An ordered or static topic may name queues where the list of brokers has none.
    let mut names: Vec<&str> = told
        .keys()
        .chain(usable.keys())
        .chain(reasons.keys())
        .copied()
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let queues = told.get(name);
        let number = |pick: fn(&QueueData) -> i32| {
            queues.map_or_else(String::new, |queues| pick(queues).to_string())
        };
        table.row([
            name.to_owned(),
            number(|queues| queues.read_queue_nums),
            number(|queues| queues.write_queue_nums),
            queues.map_or_else(String::new, |queues| queues.perm.to_string()),
            usable
                .get(name)
                .map_or_else(|| "none".to_owned(), |ids| ranges(ids)),
            reasons
                .get(name)
                .map_or_else(String::new, |reasons| reasons.join(", ")),
        ]);
    }
    table
}

/// `0-3, 6` for 0, 1, 2, 3, 6.
fn ranges(ids: &[i32]) -> String {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for id in sorted {
        match ranges.last_mut() {
            Some((_, last)) if i64::from(*last) + 1 == i64::from(id) => *last = id,
            _ => ranges.push((id, id)),
        }
    }
    let text = |(first, last): (i32, i32)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    };
    ranges.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn queues_in_a_row_are_a_range() {
        assert_eq!(ranges(&[3, 0, 1, 2, 6]), "0-3, 6");
        assert_eq!(ranges(&[5]), "5");
        assert_eq!(ranges(&[]), "");
    }
}
