//! The place of a producer among the instances of its group, and where its round robin begins by it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::{debug, warn};

use crate::admin::AdminError;
use crate::core::Core;

/// The place of a producer among the instances of its group, in the order of their client ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceRank {
    /// Instances before this one.
    pub rank: usize,
    /// All instances that the brokers know, this one included.
    pub instances: usize,
}

impl InstanceRank {
    /// The place of `own` among these client ids, which may leave it out or name it several times.
    fn of<'a>(own: &'a str, client_ids: impl IntoIterator<Item = &'a str>) -> Self {
        let mut ids: BTreeSet<&str> = client_ids.into_iter().collect();
        ids.insert(own);
        Self {
            rank: ids.range(..own).count(),
            instances: ids.len(),
        }
    }

    /// Where among so many queues this instance begins, so that all begin as far from each other as can be.
    const fn start(self, queues: usize) -> usize {
        queues.saturating_mul(self.rank) / self.instances
    }
}

impl Core {
    /// Asks all brokers for the instances of the group.
    pub(crate) async fn instance_rank(&self) -> Result<InstanceRank, AdminError> {
        let group = &self.config.producer_group;
        let connections = self.admin().producer_connections(group).await?;
        let ids = connections.iter();
        let ids = ids.map(|known| known.connection.client_id.as_str());
        Ok(InstanceRank::of(&self.client.id, ids))
    }

    /// Has the round robin of each of these topics begin where the rank says.
    pub(crate) async fn spread_by_rank(&self, topics: &[Arc<str>]) {
        let rank = match self.instance_rank().await {
            Ok(rank) => rank,
            Err(error) => {
                // It begins at random, as without the setting.
                warn!(%error, "the instances of the group are not known");
                return;
            }
        };
        debug!(?rank, "round robin begins by rank");
        for topic in topics {
            if let Some(entry) = self.router.mapping().cached(&self.topic_name(topic)) {
                let queues = entry
                    .route()
                    .map_or(0, |route| route.usable_queues().count());
                entry.begin_round_robin(rank.start(queues));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_begin_as_far_from_each_other_as_can_be() {
        let starts = |ids: [&str; 4], queues| {
            let starts = ids.map(|own| InstanceRank::of(own, ids).start(queues));
            starts.to_vec()
        };
        assert_eq!(starts(["a", "b", "c", "d"], 8), [0, 2, 4, 6]);
        assert_eq!(starts(["d", "a", "c", "b"], 6), [4, 0, 3, 1]);
        assert_eq!(starts(["a", "b", "c", "d"], 0), [0; 4]);
    }

    #[test]
    fn an_instance_that_the_brokers_do_not_know_yet_counts_itself_and_no_one_twice() {
        let rank = InstanceRank::of("b", ["c", "a", "c"]);
        assert_eq!((rank.rank, rank.instances), (1, 3));
    }
}
