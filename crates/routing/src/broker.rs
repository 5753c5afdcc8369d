//! A broker that a route names, at one address.

use std::sync::Arc;

use rocketmq_producer_remoting::{Endpoint, EndpointHold};

use crate::health::BrokerHealth;

/// A master broker at the address it had when the route was read.
///
/// A master switch gives a new `Broker` with a clean health record.
#[derive(Debug)]
pub struct Broker {
    name: Arc<str>,
    cluster: Arc<str>,
    address: Arc<str>,
    health: Arc<BrokerHealth>,
    hold: EndpointHold,
}

impl Broker {
    pub(crate) fn new(cluster: Arc<str>, health: Arc<BrokerHealth>, endpoint: &Endpoint) -> Self {
        Self {
            name: Arc::clone(health.broker_name()),
            cluster,
            address: Arc::clone(health.address()),
            health,
            hold: endpoint.hold(),
        }
    }

    /// The broker's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The cluster it belongs to; empty if the route names none.
    #[must_use]
    pub fn cluster(&self) -> &Arc<str> {
        &self.cluster
    }

    /// Host and port of the master.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// The address's place in the pool of connections, which keeps its connection alive
    /// while a route names the broker, vanished ones included.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.hold.endpoint()
    }

    /// The health record of this name and address.
    #[must_use]
    pub fn health(&self) -> &Arc<BrokerHealth> {
        &self.health
    }
}
