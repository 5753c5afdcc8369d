//! The present list of name servers and the choice among them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rocketmq_producer_remoting::{ConnectionPool, Endpoint, EndpointHold, random};

use super::addresses::NameServerAddresses;

/// One name server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) address: Arc<str>,
    /// Held, so that a connection that was lost or fell silent is replaced before the
    /// next question. The first one is opened by a question.
    hold: EndpointHold,
}

impl Server {
    pub(super) fn new(address: &Arc<str>, pool: &ConnectionPool) -> Self {
        Self {
            address: Arc::clone(address),
            hold: pool.endpoint(address).hold(),
        }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        self.hold.endpoint()
    }
}

/// A list of name servers; changes of the list make a new one.
#[derive(Debug, Default)]
pub(super) struct Servers {
    list: Box<[Server]>,
    /// The place to begin at.
    current: AtomicUsize,
}

impl Servers {
    /// The addresses in random order.
    pub(super) fn new(addresses: &NameServerAddresses, pool: &ConnectionPool) -> Self {
        let mut servers = Self::unshuffled(addresses, pool);
        shuffle(&mut servers.list);
        servers
    }

    pub(super) fn unshuffled(addresses: &NameServerAddresses, pool: &ConnectionPool) -> Self {
        let servers = addresses.iter().map(|address| Server::new(address, pool));
        Self::in_order(servers.collect())
    }

    fn in_order(list: Vec<Server>) -> Self {
        Self {
            list: list.into(),
            current: AtomicUsize::new(0),
        }
    }

    /// The list with these addresses: those known first, in their order and beginning
    /// with the present choice, then the new ones in random order. Nothing if it is the
    /// same set.
    pub(super) fn replaced(
        &self,
        addresses: &NameServerAddresses,
        pool: &ConnectionPool,
    ) -> Option<Self> {
        let is_wanted = |server: &Server| addresses.iter().any(|wanted| *wanted == server.address);
        let mut list: Vec<Server> = self
            .in_turn()
            .map(|(_, server)| server.clone())
            .filter(is_wanted)
            .collect();
        let kept = list.len();
        if kept == self.len() && kept == addresses.len() {
            return None;
        }
        for address in addresses.iter() {
            if !self.list.iter().any(|known| known.address == *address) {
                list.push(Server::new(address, pool));
            }
        }
        if let Some(new) = list.get_mut(kept..) {
            shuffle(new);
        }
        Some(Self::in_order(list))
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn get(&self, place: usize) -> Option<&Server> {
        self.list.get(place)
    }

    /// The servers with their places, in the order in which they are asked: from the
    /// present choice on, those last that would probably not answer.
    pub(super) fn in_turn(&self) -> std::vec::IntoIter<(usize, &Server)> {
        let current = self.current.load(Ordering::Relaxed);
        let mut turn: Vec<_> = self.list.iter().enumerate().collect();
        let middle = current.checked_rem(turn.len()).unwrap_or(0);
        turn.rotate_left(middle);
        turn.sort_by_key(|(_, server)| server.endpoint().connectivity().is_suspect());
        turn.into_iter()
    }

    /// Begins with this place from now on.
    pub(super) fn stay_at(&self, place: usize) {
        self.current.store(place, Ordering::Relaxed);
    }

    /// Begins with the next place from now on.
    pub(super) fn go_on(&self) {
        self.current.fetch_add(1, Ordering::Relaxed);
    }
}

/// Every order is equally likely.
fn shuffle(servers: &mut [Server]) {
    for last in (1..servers.len()).rev() {
        servers.swap(last, random::below(last + 1));
    }
}
