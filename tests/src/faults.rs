//! The fault table: a steady load on real brokers, one fault in its midst, and what became of every message.

mod canary;
mod cases;
mod figures;
mod load;
mod stage;
mod suspicion;
mod table;
mod warm_up;

pub use canary::Canary;
pub use cases::Case;
pub use figures::{Figures, Keyed, Observed, Place, Try, Window};
pub use load::{Load, LoadSpec, Sent};
pub use stage::{Finding, Mode, Plan, Row, Stage};
pub use table::{findings, table};
