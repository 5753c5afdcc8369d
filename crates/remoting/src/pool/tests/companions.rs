//! Several connections to one address.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::super::*;
use super::network::{ADDRESS, Fate, Network, Peer, Peers};
use crate::code::{RequestCode, ResponseCode};
use crate::connectivity::Connectivity;
use crate::header::NoFields;

const ASK: RequestCode = RequestCode::GET_BROKER_RUNTIME_INFO;
const CONNECTIONS: usize = 3;

fn after(time: Duration) -> Instant {
    Instant::now() + time
}

/// An address with its connections open, and their other ends, the first one's first.
async fn open() -> (Endpoint, Vec<Peer>, Arc<Network>, Peers, ConnectionPool) {
    let options = ConnectionOptions::new().with_connections(CONNECTIONS);
    let (pool, network, mut peers) = Network::new(options);
    let endpoint = pool.endpoint(ADDRESS);
    endpoint.connection(after(SECOND)).await.unwrap();
    let mut ends = Vec::new();
    for _ in 0..CONNECTIONS {
        ends.push(peers.next().await);
    }
    settle().await;
    (endpoint, ends, network, peers, pool)
}

const SECOND: Duration = Duration::from_secs(1);

/// Lets all that is ready run.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Asks on whichever connection has its turn, and returns which one that was.
async fn turn(endpoint: &Endpoint, ends: &mut [Peer]) -> usize {
    let connection = endpoint.any_current().unwrap();
    let (nothing, deadline) = (Bytes::new(), after(SECOND));
    let asking = connection.request(&NoFields(ASK), &nothing, deadline);
    let heard = async {
        let all = ends.iter_mut().map(|end| Box::pin(end.hear_code(ASK)));
        let (request, index, _) = futures_util::future::select_all(all).await;
        ends[index].answer(&request, ResponseCode::SUCCESS).await;
        index
    };
    let (answer, index) = tokio::join!(asking, heard);
    answer.unwrap();
    index
}

#[tokio::test(start_paused = true)]
async fn an_address_opens_as_many_connections_as_asked_for_and_each_has_its_turn() {
    let (endpoint, mut ends, network, _peers, pool) = open().await;
    assert_eq!(pool.open_connections().len(), CONNECTIONS);
    assert_eq!(network.connected.lock().unwrap().len(), CONNECTIONS);
    let mut turns = [0; CONNECTIONS];
    for _ in 0..2 * CONNECTIONS {
        turns[turn(&endpoint, &mut ends).await] += 1;
    }
    assert_eq!(turns, [2; CONNECTIONS]);
}

#[tokio::test(start_paused = true)]
async fn what_depends_on_order_keeps_to_the_first_connection() {
    let (endpoint, mut ends, _network, _peers, _pool) = open().await;
    for _ in 0..CONNECTIONS {
        let connection = endpoint.current().unwrap();
        let (nothing, deadline) = (Bytes::new(), after(SECOND));
        let asking = connection.request(&NoFields(ASK), &nothing, deadline);
        let heard = async {
            let request = ends[0].hear_code(ASK).await;
            ends[0].answer(&request, ResponseCode::SUCCESS).await;
        };
        tokio::join!(asking, heard).0.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_further_connection_that_is_lost_is_won_back_and_the_address_stays_live() {
    let (endpoint, mut ends, network, mut peers, _pool) = open().await;
    let _hold = endpoint.hold();
    network.told();
    network.set(Fate::Refuse);
    drop(ends.remove(2));
    settle().await;
    assert_eq!(endpoint.all_current().len(), CONNECTIONS - 1);
    for _ in 0..2 * CONNECTIONS {
        turn(&endpoint, &mut ends).await;
    }
    network.set(Fate::Accept);
    let back = peers.next().await;
    settle().await;
    assert_eq!(endpoint.all_current().len(), CONNECTIONS);
    assert_eq!(endpoint.connectivity(), Connectivity::Live);
    assert_eq!(network.told(), [], "nobody needs to know");
    drop(back);
}

#[tokio::test(start_paused = true)]
async fn closing_an_address_closes_all_its_connections() {
    let (endpoint, mut ends, _network, _peers, pool) = open().await;
    drop(endpoint);
    pool.retain_addresses(|_| false);
    for end in &mut ends {
        assert!(end.hear().await.is_none());
    }
    assert!(pool.open_connections().is_empty());
}
