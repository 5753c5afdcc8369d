//! What is simulated: how many servers, what is sent, how it ends.

use std::time::Duration;

use rocketmq_producer::config::OrderedOnUnknown;

/// A kind of run; the seed draws the rest.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "arguments of a test")]
pub struct Scenario {
    /// Its name in reports.
    pub name: &'static str,
    /// How many brokers.
    pub brokers: usize,
    /// How many name servers.
    pub name_servers: usize,
    /// Which messages have a sharding key.
    pub keys: Keys,
    /// How many tasks send, each one message after the other.
    pub senders: usize,
    /// How many messages each of them sends.
    pub each: usize,
    /// For how long, in virtual time, things go wrong.
    pub length: Duration,
    /// One of so many sends is dropped before it ends; 0: none.
    pub cancels: usize,
    /// Messages of a key have a lane, and each task sends several at once.
    pub ordered: Option<OrderedOnUnknown>,
    /// Sends at the same time share requests, with this linger, and each task sends several at once.
    pub batches: Option<Duration>,
    /// How the producer ends.
    pub ending: Ending,
}

/// Which messages have a sharding key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "arguments of a test")]
pub enum Keys {
    /// None.
    None,
    /// Those of every other sender.
    Half,
    /// All.
    All,
}

/// How the producer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "arguments of a test")]
pub enum Ending {
    /// By a shutdown after all sends.
    Shutdown,
    /// By a shutdown while sends are under way and things go wrong.
    Midway,
    /// By dropping its last handle after all sends.
    Drop,
}

impl Scenario {
    /// Two brokers, two name servers, half of the messages with keys, 240 sends over half a minute, then a shutdown.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            brokers: 2,
            name_servers: 2,
            keys: Keys::Half,
            senders: 8,
            each: 30,
            length: Duration::from_secs(30),
            cancels: 0,
            ordered: None,
            batches: None,
            ending: Ending::Shutdown,
        }
    }
}
