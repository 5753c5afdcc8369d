//! The producers of this process by network, client id and group, so that none appears twice.
//!
//! Brokers know a producer by connection and group. Two of the same name could not be told apart: one's goodbye would
//! be the other's, and questions about transactions would reach whichever answers first.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Name = (usize, Arc<str>, Arc<str>);

static NAMES: Mutex<BTreeSet<Name>> = Mutex::new(BTreeSet::new());

fn names() -> MutexGuard<'static, BTreeSet<Name>> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name that is taken as long as this lives.
#[derive(Debug)]
pub(super) struct Claim(Name);

impl Claim {
    /// Takes a name; nothing if another has it.
    pub(super) fn new(network: usize, client_id: &Arc<str>, group: &Arc<str>) -> Option<Self> {
        let name = (network, Arc::clone(client_id), Arc::clone(group));
        let is_free = names().insert(name.clone());
        // Not made at all if it is taken: the end of a claim gives the name back.
        is_free.then(|| Self(name))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        names().remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_free_again_when_its_claim_ends() {
        let (client, group) = (Arc::from("names-test"), Arc::from("g"));
        let claim = Claim::new(0, &client, &group).unwrap();
        assert!(Claim::new(0, &client, &group).is_none());
        assert!(Claim::new(1, &client, &group).is_some(), "another network");
        assert!(Claim::new(0, &client, &Arc::from("h")).is_some());
        drop(claim);
        assert!(Claim::new(0, &client, &group).is_some());
    }
}
