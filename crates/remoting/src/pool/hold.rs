//! Holding an address: its connection is kept alive even while nobody sends.

use std::fmt;

use super::endpoint::Endpoint;

/// Keeps the connection of an address alive: one that is lost is opened anew at once and then after
/// growing pauses, and a silent one is replaced. Clones hold too; dropping the last one ends it and
/// leaves the connection as it is.
pub struct EndpointHold {
    endpoint: Endpoint,
}

impl EndpointHold {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        endpoint.add_holder();
        Self { endpoint }
    }

    /// The address that is held.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Clone for EndpointHold {
    fn clone(&self) -> Self {
        Self::new(self.endpoint.clone())
    }
}

impl Drop for EndpointHold {
    fn drop(&mut self) {
        self.endpoint.remove_holder();
    }
}

impl fmt::Debug for EndpointHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EndpointHold")
            .field(&self.endpoint.address())
            .finish()
    }
}
