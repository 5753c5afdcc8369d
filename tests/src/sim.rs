//! Deterministic simulation: a real producer on a simulated network and clock.
//!
//! Connection, pool, routing, health and the send pipeline are the real ones; name servers and brokers are those of the
//! embedded cluster. In between is a network that delays, cuts, loses and refuses, and a clock that moves only while
//! everybody waits, so that a minute of trouble takes a few milliseconds.
//!
//! One seed decides the whole history: what goes wrong and when, what is sent, how long bytes are under way and where
//! they are cut, and the producer's own jitter and choices. So that nothing else does, the code that is simulated leaves
//! nothing to chance on its own: tokio draws the order in which it wakes those who wait for one `watch` channel, and the
//! branch that a `select!` takes unless it is `biased`, from a generator that cannot be seeded, and hash maps have random
//! keys. Waits that are shared are told in the order in which they began, each `select!` is `biased`, and what is taken
//! from a hash map is sorted before it decides an order of I/O.
//!
//! [`run`] simulates one seed of one [`Scenario`] and judges it:
//! - every send resolves once, at its deadline at the latest, to the millisecond;
//! - what was acknowledged is stored where the receipt says, as it was sent;
//! - what was said not to be stored is not;
//! - messages of one key that were sent one after the other are in one queue in that order, and so are those that were
//!   sent at once where keys have lanes; a lane lets nothing through after a message in doubt if it is to stop then;
//! - no message is stored more often than it had attempts of unknown delivery, and once more if it was acknowledged;
//! - once all trouble is over, sends to every broker succeed again within [`RECOVERY`];
//! - after shutdown, or after the last handle has gone, no connection and no task is left.

mod judge;
mod network;
mod run;
mod scenario;
mod senders;
mod trouble;
mod wire;

pub use run::{RECOVERY, Report, run};
pub use scenario::{Ending, Keys, Scenario};
