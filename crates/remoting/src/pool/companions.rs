//! Further connections to an address, beside the first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::endpoint::{Endpoint, Environment};
use crate::connection::Connection;
use crate::connectivity::Connectivity;

/// The further connections of an address: each is dialled and won back as the first one is, by rules of its own. What
/// is known of the address comes from the first alone.
pub(super) struct Companions {
    endpoints: Box<[Endpoint]>,
    turn: AtomicUsize,
}

impl Companions {
    /// As many as the options ask for.
    pub(super) fn of(address: &Arc<str>, environment: &Arc<Environment>) -> Self {
        let further = 1..environment.options.connections.max(1);
        let companion = |_| Endpoint::companion(Arc::clone(address), Arc::clone(environment));
        Self {
            endpoints: further.map(companion).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    pub(super) fn none() -> Self {
        Self {
            endpoints: Box::default(),
            turn: AtomicUsize::new(0),
        }
    }

    pub(super) fn all(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The next one whose turn it is and whose peer answers; none if it is the turn of the first connection.
    pub(super) fn next(&self) -> Option<Connection> {
        let count = self.endpoints.len();
        if count == 0 {
            return None;
        }
        let turn = self.turn.fetch_add(1, Relaxed) % (count + 1);
        let endpoint = self.endpoints.get(turn)?;
        let answers = endpoint.connectivity() == Connectivity::Live;
        answers.then(|| endpoint.current()).flatten()
    }
}
