//! Where a soak takes place.

use anyhow::Result;
use async_trait::async_trait;

use super::{Kind, Lane};
use crate::oracle::Stored;

/// How many brokers a ground has.
pub(super) const BROKERS: usize = 2;

/// A cluster that things can be done to.
#[async_trait]
pub trait Ground: Send + Sync + 'static {
    /// The name servers' addresses, for a producer.
    fn name_servers(&self) -> String;

    /// What can happen to a broker.
    fn of_brokers(&self) -> &'static [Kind];

    /// What can happen to the name servers.
    fn of_name_servers(&self) -> &'static [Kind];

    /// What can happen to a lane.
    fn kinds(&self, lane: Lane) -> &'static [Kind] {
        match lane {
            Lane::Broker(_) => self.of_brokers(),
            Lane::NameServers => self.of_name_servers(),
        }
    }

    /// Lets it begin.
    async fn begin(&self, lane: Lane, kind: Kind) -> Result<()>;

    /// Lets it end; returns when the lane is in order again.
    async fn end(&self, lane: Lane, kind: Kind) -> Result<()>;

    /// Makes a topic for the next round and forgets the frames of the last.
    async fn open(&self, topic: &str) -> Result<()>;

    /// Everything stored in a topic.
    async fn read(&self, topic: &str, at_least: usize) -> Result<Vec<Stored>>;

    /// Throws a topic away, if that sets memory of this process free.
    async fn close(&self, topic: &str);

    /// What happened to a message on the wire, where that is recorded.
    fn frames(&self, unique_key: &str) -> Vec<String>;
}
