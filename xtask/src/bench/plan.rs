//! What is measured, in which order, and how many messages each client sends for it.

use super::sample::{Cell, Client, Work};
use super::targets::Kind;

/// Messages of an explicit batch.
pub(super) const BATCH: u32 = 32;

/// Seconds of an open loop at half of a peer's maximum.
pub(super) const TAIL_SECONDS: f64 = 4.0;

/// What a bench covers.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) rounds: usize,
    pub(super) bodies: Vec<u32>,
    pub(super) in_flight: Vec<u32>,
    /// Share of the usual messages.
    pub(super) scale: f64,
}

impl Plan {
    /// The cells of a target, in the order of their measurement.
    pub(super) fn cells(&self, target: &str) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &body in &self.bodies {
            let mut add = |work, in_flight| {
                cells.push(Cell {
                    target: target.to_owned(),
                    body,
                    work,
                    in_flight,
                });
            };
            for &in_flight in &self.in_flight {
                add(Work::Single, in_flight);
                add(Work::Auto, in_flight);
            }
            add(Work::Batch, 1024);
            add(Work::Oneway, 64);
        }
        cells
    }

    /// Who takes part in a cell, in the order of a round: another one begins in each.
    pub(super) fn clients(&self, cell: &Cell, all: &[Client], round: usize) -> Vec<Client> {
        let mut clients: Vec<Client> = all
            .iter()
            .copied()
            .filter(|client| match cell.work {
                Work::Single | Work::Batch => true,
                Work::Auto | Work::Oneway => *client == Client::Ours,
            })
            .collect();
        let first = round % clients.len().max(1);
        clients.rotate_left(first);
        clients
    }

    /// Messages to warm up with, and messages to measure.
    ///
    /// All of them for some seconds. A broker that stores takes the same number from every client. On the null broker
    /// the clients lie so far apart that the same number would be either too few for the fast ones or minutes for the
    /// slow ones: a peer sends fewer. Java warms up with as many messages as it is measured with, since the machine
    /// compiles meanwhile, the others with a fifth.
    pub(super) fn messages(&self, kind: Kind, cell: &Cell, client: Client) -> (u64, u64) {
        let large = cell.body > 1024;
        let count = match (kind, cell.work, client) {
            (Kind::Null, work, client) => null_messages(work, cell.in_flight, client, large),
            (Kind::Real, Work::Single | Work::Oneway, _) => match cell.in_flight {
                1 => 12_000,
                _ if large => 50_000,
                64 => 80_000,
                _ => 100_000,
            },
            (Kind::Real, Work::Auto, _) if cell.in_flight == 1 => 12_000,
            (Kind::Real, Work::Auto | Work::Batch, _) if large => 80_000,
            (Kind::Real, Work::Auto, _) => 300_000,
            (Kind::Real, Work::Batch, _) => 500_000,
        };
        let count = ((count as f64 * self.scale) as u64).max(u64::from(BATCH) * 2);
        let warm_up = if client == Client::Java {
            count
        } else {
            count / 5
        };
        (warm_up, count)
    }
}

fn null_messages(work: Work, in_flight: u32, client: Client, large: bool) -> u64 {
    let usual = match (work, client) {
        (Work::Batch, Client::Floor) => 6_000_000,
        (Work::Batch, Client::Ours) => 3_000_000,
        (Work::Batch, _) => 800_000,
        (Work::Oneway, _) => 2_000_000,
        (Work::Single | Work::Auto, client) => match (in_flight, client.is_peer()) {
            (1, true) => 25_000,
            (1, false) => 50_000,
            (64, true) => 100_000,
            (_, true) => 130_000,
            (64, false) if client == Client::Floor => 1_600_000,
            (64, false) => 800_000,
            (_, false) if client == Client::Floor => 4_000_000,
            (_, false) => 1_200_000,
        },
    };
    // Copying begins to count.
    if large && !client.is_peer() && in_flight > 1 {
        usual / 4
    } else if large && work == Work::Batch {
        usual / 2
    } else {
        usual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            rounds: 3,
            bodies: vec![256, 4096],
            in_flight: vec![1, 64, 1024],
            scale: 1.0,
        }
    }

    #[test]
    fn a_real_broker_gets_the_same_messages_from_everyone() {
        let plan = plan();
        for cell in plan.cells("real") {
            let counts: Vec<u64> = [Client::Floor, Client::Ours, Client::Java, Client::Go]
                .map(|client| plan.messages(Kind::Real, &cell, client).1)
                .to_vec();
            assert!(counts.iter().all(|count| *count == counts[0]), "{cell:?}");
        }
    }

    #[test]
    fn each_round_begins_with_another_client() {
        let plan = plan();
        let all = [Client::Floor, Client::Ours, Client::Java];
        let cells = plan.cells("null");
        let first = |round| plan.clients(&cells[0], &all, round)[0];
        assert_ne!(first(1), first(2));
        assert_ne!(first(2), first(3));
        let auto = cells.iter().find(|cell| cell.work == Work::Auto).unwrap();
        assert_eq!(plan.clients(auto, &all, 2), [Client::Ours]);
    }
}
