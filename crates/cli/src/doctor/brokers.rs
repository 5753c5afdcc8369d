//! The brokers: whether they answer, believe the credentials, and would take a message; their clocks and versions.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rocketmq_producer::remoting::message::{SystemClock, WallClock as _};
use rocketmq_producer::remoting::protocol::{BrokerData, ClusterInfo, TopicRouteData};
use rocketmq_producer::remoting::with_causes;
use rocketmq_producer::{
    AdminError, BrokerPing, Message, MessageQueue, SendError, SendOptions, SendProbe, SendReceipt,
};

use super::Patient;
use super::name_servers::{Met, NameServer, tls_fault};
use super::report::{Fault, Report, Step, root};

/// Brokers that are looked at, at most.
const MAX_BROKERS: usize = 64;

/// Tag of the test message.
const TEST_TAG: &str = "rocketmq-producer-doctor";

/// A difference of clocks that does no harm, in milliseconds. A broker tells its time to the second.
const HARMLESS: i64 = 5000;

/// The oldest version that is tried with this producer: 4.9.7.
const OLDEST: i32 = 407;

/// A broker, and what came of calling its master.
pub(super) struct Called {
    name: String,
    data: BrokerData,
    /// None without a master.
    answer: Option<Result<BrokerPing, AdminError>>,
}

impl Called {
    fn address(&self) -> &str {
        self.data.master().unwrap_or_default()
    }

    /// Whether the master answered as a broker does.
    fn is_reached(&self) -> bool {
        match &self.answer {
            Some(Ok(_)) => true,
            Some(Err(error)) => error.is_denied(),
            None => false,
        }
    }
}

/// Calls the masters of the topic's brokers, or of all if it has no route.
pub(super) async fn call(
    patient: &Patient,
    cluster: Option<&ClusterInfo>,
    route: Option<&TopicRouteData>,
) -> Vec<Called> {
    let brokers: BTreeMap<String, BrokerData> = match route {
        Some(route) => {
            // A broker that has queues and no address is told of too.
            let named = route.queue_datas.iter();
            let mut brokers: BTreeMap<_, _> = named
                .map(|data| (data.broker_name.clone(), BrokerData::default()))
                .collect();
            let known = route.broker_datas.iter();
            brokers.extend(known.map(|data| (data.broker_name.clone(), data.clone())));
            brokers
        }
        None => cluster.map_or_else(BTreeMap::new, |cluster| cluster.broker_addr_table.clone()),
    };
    let mut called = Vec::new();
    for (name, data) in brokers.into_iter().take(MAX_BROKERS) {
        let answer = match data.master() {
            Some(address) => Some(patient.admin.ping(address).await),
            None => None,
        };
        called.push(Called { name, data, answer });
    }
    called
}

pub(super) fn credentials(patient: &Patient, brokers: &[Called], report: &mut Report) {
    let are_given = patient.config().access_key.is_some();
    let denied = brokers.iter().find_map(|broker| match &broker.answer {
        Some(Err(error)) if error.is_denied() => Some((broker, error)),
        _ => None,
    });
    if let Some((broker, error)) = denied {
        let text = format!("broker {} refuses them: {}", broker.name, first_line(error));
        let advice = if are_given {
            "check access_key and secret_key, and that the broker knows this account"
        } else {
            "the broker has access control: give access_key and secret_key"
        };
        report.wrong(
            Step::Credentials,
            Fault::new("credentials_refused", text, advice),
        );
    } else if brokers.iter().any(Called::is_reached) {
        let text = if are_given {
            "given, and the brokers take them"
        } else {
            "none given, and none asked for"
        };
        report.right(Step::Credentials, text);
    } else {
        report.skipped(Step::Credentials, "no broker can be asked");
    }
}

pub(super) async fn reachability(patient: &Patient, brokers: &[Called], report: &mut Report) {
    if brokers.is_empty() {
        report.skipped(Step::Brokers, "no broker is known");
    }
    for broker in brokers {
        let (name, address) = (&broker.name, broker.address());
        let error = match &broker.answer {
            None => {
                let slaves: Vec<_> = broker.data.broker_addrs.values().cloned().collect();
                let text = if slaves.is_empty() {
                    format!("{name} has no master, nor any address")
                } else {
                    format!("{name} has no master, only slaves: {}", slaves.join(", "))
                };
                let advice = "bring the master back: slaves take no messages";
                report.wrong(Step::Brokers, Fault::new("no_master", text, advice));
                continue;
            }
            Some(Ok(ping)) => {
                let text = format!("{name} at {address}: answers in {:.1?}", ping.round_trip);
                report.right(Step::Brokers, text);
                continue;
            }
            Some(Err(_)) if broker.is_reached() => {
                report.right(Step::Brokers, format!("{name} at {address}: answers"));
                continue;
            }
            Some(Err(error)) => error,
        };
        if let Some(fault) = tls_fault(patient.config(), address, &Met::of(error)).await {
            report.wrong(Step::Brokers, fault.of_class(Step::Tls));
            continue;
        }
        let mut text = format!("{name} advertises {address}: {}", root(error));
        if is_loopback(address) && !patient.reaches_loopback() {
            text.push_str("; a loopback address leads here, not to the broker");
        }
        report.wrong(Step::Brokers, unreached(error, text));
    }
}

/// The fault of a broker that did not take a heartbeat.
fn unreached(error: &AdminError, text: String) -> Fault {
    match error {
        AdminError::Refused { .. } if !error.is_not_supported() => {
            Fault::new("broker_refuses", text, error.advice())
        }
        AdminError::Refused { .. } | AdminError::Malformed { .. } => Fault::new(
            "not_a_broker",
            text,
            "what listens there is no broker: check the broker's advertised address and port (brokerIP1, listenPort), \
             and the rules of address_map",
        ),
        _ => Fault::new(
            "broker_unreachable",
            text,
            format!(
                "{}; where it is another one, for instance behind NAT or in a container, set address_map",
                error.advice()
            ),
        ),
    }
}

impl Patient {
    /// Whether a name server is on this machine, so that brokers may be as well.
    fn reaches_loopback(&self) -> bool {
        let addresses = self.admin.name_servers().addresses();
        addresses.iter().any(|address| is_loopback(address))
    }
}

fn is_loopback(address: &str) -> bool {
    address.starts_with("localhost:")
        || address
            .parse::<SocketAddr>()
            .is_ok_and(|address| address.ip().is_loopback())
}

pub(super) async fn send(
    patient: &Patient,
    brokers: &[Called],
    route: Option<&TopicRouteData>,
    report: &mut Report,
) {
    let writable = |broker: &&Called| {
        let mut queues = route.into_iter().flat_map(|route| &route.queue_datas);
        queues.any(|data| {
            data.broker_name == broker.name && data.perm.is_writable() && data.write_queue_nums > 0
        })
    };
    let ready: Vec<_> = brokers
        .iter()
        .filter(writable)
        .filter(|broker| matches!(broker.answer, Some(Ok(_))))
        .collect();
    if ready.is_empty() {
        report.skipped(Step::Send, "no broker to send to");
    }
    for broker in ready {
        if patient.may_store {
            store(patient, broker, report).await;
        } else {
            probe(patient, broker, report).await;
        }
    }
}

/// Finds out without storing anything.
async fn probe(patient: &Patient, broker: &Called, report: &mut Report) {
    let name = &broker.name;
    let probe = patient
        .admin
        .probe_send(&patient.topic, name, broker.address());
    match probe.await {
        Ok(SendProbe::WouldTake) => report.right(
            Step::Send,
            format!("{name} would take a message (asked with one for a queue that does not exist; nothing stored)"),
        ),
        Ok(_) => report.right(
            Step::Send,
            format!("{name} has stored a probe of 5 bytes, tag rocketmq-producer-probe"),
        ),
        Err(error) => report.wrong(Step::Send, send_fault(name, &error)),
    }
}

fn send_fault(name: &str, error: &AdminError) -> Fault {
    let words = first_line(error);
    if error.is_denied() {
        Fault::new(
            "no_right_to_publish",
            format!("{name} refuses a message: {words}"),
            "ask the broker's operator for the right to publish to this topic, and for a broker that is writable \
             (brokerPermission)",
        )
    } else if error.is_topic_not_found() {
        Fault::new(
            "topic_missing_on_broker",
            format!("{name} does not have the topic, although the name server says so: {words}"),
            "wait 30 s if the topic was deleted a moment ago, else create it on the broker",
        )
    } else {
        Fault::new("send_failed", format!("{name}: {words}"), error.advice())
    }
}

/// Sends a test message, which stays.
async fn store(patient: &Patient, broker: &Called, report: &mut Report) {
    let name = &broker.name;
    match send_test_message(patient, name).await {
        Some(Ok(receipt)) => report.right(
            Step::Send,
            format!(
                "{name} has stored a test message: queue {}, offset {}, tag {TEST_TAG}",
                receipt.queue().queue_id(),
                receipt.queue_offset(),
            ),
        ),
        Some(Err(error)) => {
            let fault = Fault::new(
                "send_failed",
                format!("{name}: {}", with_causes(&error)),
                error.advice(),
            );
            report.wrong(Step::Send, fault);
        }
        None => report.skipped(Step::Send, format!("{name}: no test message can be made")),
    }
}

async fn send_test_message(
    patient: &Patient,
    broker: &str,
) -> Option<Result<SendReceipt, SendError>> {
    let message = Message::new(
        patient.topic.as_str(),
        "test message of rocketmq-producer doctor",
    )
    .ok()?;
    let message = message.with_tags(TEST_TAG).ok()?;
    let queue = MessageQueue::new(patient.topic.as_str(), broker, 0);
    let options = SendOptions::new().to_queue(queue);
    Some(patient.producer.send_with(message, options).await)
}

pub(super) async fn clock(patient: &Patient, brokers: &[Called], report: &mut Report) {
    let reached: Vec<_> = brokers
        .iter()
        .filter(|broker| broker.is_reached())
        .collect();
    if reached.is_empty() {
        report.skipped(Step::Clock, "no broker can be asked");
    }
    for broker in reached {
        let name = &broker.name;
        let before = now();
        let info = match patient.admin.broker_info(broker.address()).await {
            Ok(info) => info,
            Err(error) => {
                let text = format!("{name} does not tell: {}", first_line(&error));
                report.skipped(Step::Clock, text);
                continue;
            }
        };
        let after = now();
        let Some(there) = info.clock() else {
            report.skipped(Step::Clock, format!("{name} does not tell its time"));
            continue;
        };
        // Its time is cut to the second, and was read between the two moments here.
        let ahead = there - after;
        let behind = before - (there + 1000);
        if ahead.max(behind) <= HARMLESS {
            report.right(Step::Clock, format!("{name}: as here, as far as it tells"));
            continue;
        }
        let (difference, word) = if ahead > 0 {
            (ahead, "ahead of")
        } else {
            (behind, "behind")
        };
        let text = format!("{name} is {} s {word} this machine", difference / 1000);
        let advice = "set both clocks by NTP: delayed messages and lookups by time go by them";
        report.wrong(Step::Clock, Fault::new("clock_differs", text, advice));
    }
}

fn now() -> i64 {
    i64::try_from(SystemClock.epoch_millis()).unwrap_or(i64::MAX)
}

pub(super) fn version(servers: &[NameServer], brokers: &[Called], report: &mut Report) {
    let servers = servers.iter().filter_map(|server| {
        let version = server.version?;
        Some((format!("name server {}", server.address), version))
    });
    let brokers = brokers.iter().filter_map(|broker| match &broker.answer {
        Some(Ok(ping)) => Some((format!("broker {}", broker.name), ping.version)),
        _ => None,
    });
    let all: Vec<_> = servers.chain(brokers).collect();
    let list = |old: bool| {
        let chosen = all.iter().filter(|(_, version)| (*version < OLDEST) == old);
        let texts = chosen.map(|(name, version)| format!("{name} {}", version_name(*version)));
        texts.collect::<Vec<_>>().join(", ")
    };
    let (new, old) = (list(false), list(true));
    if all.is_empty() {
        report.skipped(Step::Version, "nobody tells");
    } else if old.is_empty() {
        report.right(Step::Version, new);
    } else {
        let text = format!("older than what this producer is tried with: {old}");
        let advice = "update to 4.9.7 or later, or try what you need first";
        report.wrong(Step::Version, Fault::new("old_version", text, advice));
    }
}

/// Java's `MQVersion` counts two for each version from 4.0.0 on.
fn version_name(ordinal: i32) -> String {
    if !(213..=611).contains(&ordinal) {
        return format!("of version {ordinal}");
    }
    let number = 300 + (ordinal - 13) / 2;
    format!("{}.{}.{}", number / 100, number / 10 % 10, number % 10)
}

/// The broker's words without the lines that follow them.
fn first_line(error: &AdminError) -> String {
    let words = root(error);
    words.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::version_name;

    #[test]
    fn versions_are_counted_as_java_counts_them() {
        for (ordinal, name) in [
            (213, "4.0.0"),
            (313, "4.5.0"),
            (407, "4.9.7"),
            (413, "5.0.0"),
            (479, "5.3.3"),
            (513, "5.5.0"),
        ] {
            assert_eq!(version_name(ordinal), name);
        }
        assert_eq!(version_name(47), "of version 47");
    }
}
