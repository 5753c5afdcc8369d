//! What end-to-end tests share: the oracle that compares what was acknowledged with what is stored, and payloads that
//! can be told apart.

pub mod accounts;
mod book;
pub mod breaking;
pub mod command;
pub mod faults;
pub mod fuzz;
pub mod growth;
pub mod interop;
pub mod mirror;
pub mod oracle;
pub mod page;
pub mod payload;
pub mod peer;
pub mod printed;
pub mod proxy;
pub mod sim;
pub mod soak;
pub mod socks;
pub mod transactions;

pub use xtask::authority;
