//! The settings of the mapping that may change while it runs.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{nanos::nanos, options::RoutingOptions};

#[derive(Debug)]
pub(super) struct Settings {
    route_timeout_nanos: AtomicU64,
}

impl Settings {
    pub(super) fn new(options: &RoutingOptions) -> Self {
        Self {
            route_timeout_nanos: AtomicU64::new(nanos(options.route_timeout)),
        }
    }

    pub(super) fn route_timeout(&self) -> Duration {
        Duration::from_nanos(self.route_timeout_nanos.load(Ordering::Relaxed))
    }

    pub(super) fn set_route_timeout(&self, timeout: Duration) -> bool {
        if timeout.is_zero() {
            return false;
        }
        self.route_timeout_nanos
            .store(nanos(timeout), Ordering::Relaxed);
        true
    }
}
