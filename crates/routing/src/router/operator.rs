//! What operators ask a router, and tell it.

use std::sync::Arc;

use tokio::time::Instant;

use super::{MessageRouter, RoutingStats};
use crate::health::BrokerHealthInfo;

impl MessageRouter {
    /// The statistics since the start or the last reset (`get_routing_stats`).
    #[must_use]
    pub fn routing_stats(&self) -> RoutingStats {
        self.shared.counters.stats(self.mapping().health())
    }

    /// Starts the statistics again from zero. Health stays.
    pub fn reset_stats(&self) {
        self.shared.counters.reset(self.mapping().health());
    }

    /// Makes a broker healthy at every address, ending a suspension too
    /// (`force_broker_recovery`). Returns whether it is known.
    pub fn force_broker_recovery(&self, broker_name: &str, now: Instant) -> bool {
        self.mapping().health().force_recovery(broker_name, now)
    }

    /// Has nothing sent to a broker, at whatever address, until it is resumed or
    /// recovered by hand. Returns whether it is known.
    pub fn suspend_broker(&self, broker_name: &str, now: Instant) -> bool {
        self.mapping().health().suspend(broker_name, now)
    }

    /// Ends a suspension. Returns whether there was one.
    pub fn resume_broker(&self, broker_name: &str, now: Instant) -> bool {
        self.mapping().health().resume(broker_name, now)
    }

    /// The names of the brokers that routing uses now, sorted
    /// (`get_available_brokers`).
    #[must_use]
    pub fn available_brokers(&self) -> Vec<Arc<str>> {
        let health = self.mapping().health().all();
        let mut names = self.mapping().available_brokers();
        names.retain(|name| {
            health
                .iter()
                .any(|record| record.broker_name() == name && record.is_available())
        });
        names
    }

    /// The health records of a broker, one per address.
    #[must_use]
    pub fn broker_health_info(&self, broker_name: &str) -> Vec<BrokerHealthInfo> {
        self.all_broker_health()
            .into_iter()
            .filter(|info| info.broker_name.as_ref() == broker_name)
            .collect()
    }

    /// The health records of all brokers, sorted by name and address.
    #[must_use]
    pub fn all_broker_health(&self) -> Vec<BrokerHealthInfo> {
        let records = self.mapping().health().all();
        records.iter().map(|record| record.info()).collect()
    }
}
