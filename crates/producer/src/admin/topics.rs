//! Creating topics, and what is known of them and of a group's producers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Admin, AdminError, masters};
use crate::config::routing::remoting::message::topic::validate_topic_for_send;
use crate::config::routing::remoting::protocol::{
    ClientConnection, ClusterInfo, CreateTopicRequestHeader,
    GetProducerConnectionListRequestHeader, GetTopicConfigRequestHeader,
    GetTopicStatsRequestHeader, ProducerConnections, QueueStats, TopicConfig, TopicList,
    TopicStats,
};
use crate::config::routing::remoting::{NoFields, RequestCode};

/// Where a topic is created or changed: on masters only, as slaves follow them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicTarget {
    /// On every master that the name servers know.
    #[default]
    Everywhere,
    /// On every master of one cluster.
    Cluster(String),
    /// On the master of one broker.
    Broker(String),
}

/// Where a topic was created or changed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TopicChange {
    /// Names of the brokers that have it now.
    pub done: Vec<String>,
    /// Brokers that do not, and why. The call may be repeated.
    pub failed: Vec<(String, AdminError)>,
}

/// Offsets of a topic's queues.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TopicStatus {
    /// The queues of all brokers that answered, by broker and number.
    pub queues: Vec<QueueStats>,
    /// Brokers of the topic that did not answer, and why.
    pub failed: Vec<(String, AdminError)>,
}

/// A producer's connection to a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupConnection {
    /// Name of the broker.
    pub broker_name: String,
    /// The connection, as the client's heartbeats declared it.
    pub connection: ClientConnection,
}

impl Admin {
    /// Creates a topic, or changes one that exists, on all masters of `target` at once. Messages of a topic that is
    /// changed stay. Attributes are given as changes, `+name` = value or `-name`. Java: `MQAdmin.createTopic`.
    ///
    /// Brokers tell the name servers at once; the route has it a moment after this returns.
    /// [`Producer::wait_for_topic`](crate::Producer::wait_for_topic) waits for that.
    ///
    /// # Errors
    /// If no master has it now: [`AdminError::Invalid`] for a topic or numbers that cannot be,
    /// [`AdminError::NoMaster`] if the target has none, else what the first master said. If some have it, the
    /// [`TopicChange`] names the others.
    ///
    /// # Cancel safety
    /// Dropped midway, some brokers may have it.
    pub async fn create_topic(
        &self,
        config: &TopicConfig,
        target: &TopicTarget,
    ) -> Result<TopicChange, AdminError> {
        let mut config = config.clone();
        config.topic_name = self.full_name(&config.topic_name).as_ref().to_owned();
        check(&config)?;
        let deadline = self.deadline();
        let cluster = self.cluster_before(deadline).await?;
        let masters = target.masters(&cluster);
        if masters.is_empty() {
            return Err(AdminError::NoMaster(target.to_string().into()));
        }
        let header = CreateTopicRequestHeader::new(&config);
        let answers = Self::at_each(masters, |_, address| async move {
            self.success(&address, &header, deadline).await.map(drop)
        });
        let mut change = TopicChange {
            done: Vec::new(),
            failed: Vec::new(),
        };
        for (name, answer) in answers.await {
            match answer {
                Ok(()) => change.done.push(name),
                Err(error) => change.failed.push((name, error)),
            }
        }
        match change.failed.first() {
            Some((_, error)) if change.done.is_empty() => Err(error.clone()),
            _ => Ok(change),
        }
    }

    /// Names of all topics that a name server knows, in order. System topics are among them, and one topic per broker
    /// and per cluster, of the same name.
    ///
    /// # Errors
    /// [`AdminError::NameServer`] if none answers; an operator may have turned the list off.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn topics(&self) -> Result<Vec<String>, AdminError> {
        let header = NoFields(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER);
        let (address, answer) = self.source.ask(&header, self.deadline()).await?;
        let list = TopicList::parse(answer.body());
        let list = list.map_err(|error| AdminError::malformed(&address, &error))?;
        Ok(list.topics.into_iter().collect())
    }

    /// Offsets of every queue of a topic, asked of all its masters at once. Java: `MQAdminExt.examineTopicStats`.
    ///
    /// # Errors
    /// If no master answered: [`AdminError::NameServer`] without a route, [`AdminError::NoMaster`] if the route has
    /// none, else what the first one said. If some answered, the [`TopicStatus`] names the others.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn topic_status(&self, topic: &str) -> Result<TopicStatus, AdminError> {
        let topic = &*self.full_name(topic);
        let deadline = self.deadline();
        let route = self.route_before(topic, deadline).await?;
        let masters = masters(&route);
        if masters.is_empty() {
            return Err(AdminError::NoMaster(format!("topic {topic}").into()));
        }
        let header = GetTopicStatsRequestHeader::new(topic);
        let answers = Self::at_each(masters, |_, address| async move {
            let answer = self.success(&address, &header, deadline).await?;
            TopicStats::parse(answer.body())
                .map_err(|error| AdminError::malformed(&address, &error))
        });
        let mut status = TopicStatus {
            queues: Vec::new(),
            failed: Vec::new(),
        };
        let mut answered = false;
        for (name, answer) in answers.await {
            match answer {
                Ok(stats) => {
                    answered = true;
                    status.queues.extend(stats.queues);
                }
                Err(error) => status.failed.push((name, error)),
            }
        }
        status.queues.sort_unstable();
        match status.failed.first() {
            Some((_, error)) if !answered => Err(error.clone()),
            _ => Ok(status),
        }
    }

    /// Settings of a topic on the broker at `address`.
    ///
    /// # Errors
    /// As the broker says: that it has no such topic, or, before 5.0, that it does not know the request
    /// ([`AdminError::is_not_supported`]).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn topic_config(
        &self,
        topic: &str,
        address: &str,
    ) -> Result<TopicConfig, AdminError> {
        let topic = self.full_name(topic);
        let header = GetTopicConfigRequestHeader::new(&topic);
        let answer = self.success(address, &header, self.deadline()).await?;
        TopicConfig::parse(answer.body()).map_err(|error| AdminError::malformed(address, &error))
    }

    /// The connections of all producers of a group, in this and in other processes, as every master tells them. Java:
    /// `MQAdminExt.examineProducerConnectionInfo`.
    ///
    /// # Errors
    /// If a master does not answer, or there is none.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn producer_connections(
        &self,
        group: &str,
    ) -> Result<Vec<GroupConnection>, AdminError> {
        let deadline = self.deadline();
        let cluster = self.cluster_before(deadline).await?;
        let masters = TopicTarget::Everywhere.masters(&cluster);
        if masters.is_empty() {
            return Err(AdminError::NoMaster(format!("group {group}").into()));
        }
        let group = self.full_name(group);
        let header = GetProducerConnectionListRequestHeader::new(&group);
        let answers = Self::at_each(masters, |_, address| async move {
            let answer = match self.success(&address, &header, deadline).await {
                Err(AdminError::Refused { code, remark, .. })
                    if ProducerConnections::is_unknown_group(code, &remark) =>
                {
                    return Ok(ProducerConnections::default());
                }
                answer => answer?,
            };
            let connections = ProducerConnections::parse(answer.body());
            connections.map_err(|error| AdminError::malformed(&address, &error))
        });
        let mut connections = Vec::new();
        for (name, answer) in answers.await {
            connections.extend(
                answer?
                    .connections
                    .into_iter()
                    .map(|connection| GroupConnection {
                        broker_name: name.clone(),
                        connection,
                    }),
            );
        }
        Ok(connections)
    }
}

impl TopicTarget {
    /// Name and address of each master that is meant, in the order of the names.
    fn masters(&self, cluster: &ClusterInfo) -> Vec<(String, String)> {
        let brokers: BTreeMap<_, _> = cluster
            .broker_addr_table
            .iter()
            .filter(|(name, broker)| match self {
                Self::Everywhere => true,
                Self::Cluster(wanted) => broker.cluster == *wanted,
                Self::Broker(wanted) => *name == wanted,
            })
            .filter_map(|(name, broker)| Some((name.clone(), broker.master()?.to_owned())))
            .collect();
        brokers.into_iter().collect()
    }
}

impl std::fmt::Display for TopicTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Everywhere => f.write_str("any broker"),
            Self::Cluster(name) => write!(f, "cluster {name}"),
            Self::Broker(name) => write!(f, "broker {name}"),
        }
    }
}

/// What brokers take without a word and nobody can use.
fn check(config: &TopicConfig) -> Result<(), AdminError> {
    let invalid = |text: String| Err(AdminError::Invalid(Arc::from(text)));
    if let Err(error) = validate_topic_for_send(&config.topic_name) {
        return invalid(error.to_string());
    }
    let queues = [config.read_queue_nums, config.write_queue_nums];
    if queues.iter().any(|count| !(0..=MAX_QUEUES).contains(count)) || queues == [0, 0] {
        return invalid(format!("a topic has 1 to {MAX_QUEUES} queues on a broker"));
    }
    if !(0..=15).contains(&config.perm.0) {
        return invalid("permissions are bits: 2 write, 4 read, 6 both".to_owned());
    }
    let is_plain = |text: &str| !text.is_empty() && !text.contains([' ', ',', '=']);
    for (name, value) in &config.attributes {
        let bare = name.strip_prefix(['+', '-']);
        let fits = match bare {
            Some(bare) => is_plain(bare) && (name.starts_with('-') || is_plain(value)),
            None => false,
        };
        if !fits {
            return invalid(format!(
                "attribute {name:?}: allowed are +name with a value, and -name, without blanks, commas and equals signs"
            ));
        }
    }
    Ok(())
}

/// Far above what anyone needs on one broker.
const MAX_QUEUES: i32 = 16_384;
