//! How what a producer costs grows with topics, brokers and sends in flight, and what it costs before the first message
//! and between messages. `docs/src/benchmarks.md` shows the figures.

mod cost;
mod cpu;
mod idle;
mod memory;
mod server;
mod start;

use serde::Serialize;

pub use cost::{Cost, cost};
pub use idle::{Idle, idle};
pub use memory::{Memory, memory};
pub use server::{Server, serve};
pub use start::{Start, first, start};

/// All figures of one run.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Growth {
    /// CPU of the client per message.
    pub cost: Vec<Cost>,
    /// Heap of the client per send in flight.
    pub memory: Vec<Memory>,
    /// From `main` to the first receipt.
    pub start: Start,
    /// CPU of a client that sends nothing.
    pub idle: Idle,
}

impl Growth {
    /// Puts the parts together.
    #[must_use]
    pub const fn new(cost: Vec<Cost>, memory: Vec<Memory>, start: Start, idle: Idle) -> Self {
        Self {
            cost,
            memory,
            start,
            idle,
        }
    }
}

/// A runtime of one thread: what it spends is not blurred by threads that look for work.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// The middle one, or the upper of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
