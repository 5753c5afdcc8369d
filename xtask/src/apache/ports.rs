//! Free ports for servers that are told their port before they bind it.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, bail};

use crate::paths;

/// Ports per server: a broker needs four neighbours.
pub(super) const STEP: u16 = 10;
/// Below the range from which Linux takes the ports of outgoing connections.
const FIRST: u16 = 20_000;
const BLOCKS: u16 = 1_200;

/// Four neighbouring ports that were free, reserved against other users of this type in any process of this machine
/// that shares the target folder.
#[derive(Debug)]
pub struct PortBlock {
    first: u16,
    // Held for the block's lifetime; the system gives it back when the process dies.
    _reserved: Option<File>,
}

impl PortBlock {
    /// Finds a free block.
    ///
    /// # Errors
    /// When none is left, or the reservations cannot be written.
    pub fn free() -> Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let dir = paths::apache().join("ports");
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("cannot create {}", dir.display()))?;
        // Processes begin at different places, so that they seldom look at the same block at all.
        let spread = u16::try_from(std::process::id().wrapping_mul(37) % u32::from(BLOCKS))?;
        for _ in 0..BLOCKS {
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % BLOCKS;
            let first = FIRST + (spread + step) % BLOCKS * STEP;
            let reservation = File::create(dir.join(format!("{first}.lock")))?;
            if reservation.try_lock().is_ok() && is_free(first) {
                return Ok(Self {
                    first,
                    _reserved: Some(reservation),
                });
            }
        }
        bail!("no four neighbouring ports are free from {FIRST} on")
    }

    /// The block that begins at `first`.
    ///
    /// # Errors
    /// When one of its ports is taken.
    pub fn at(first: u16) -> Result<Self> {
        if !is_free(first) {
            bail!("one of the ports {first} to {} is taken", first + 3);
        }
        Ok(Self {
            first,
            _reserved: None,
        })
    }

    /// The lowest port of the block.
    #[must_use]
    pub const fn first(&self) -> u16 {
        self.first
    }
}

fn is_free(first: u16) -> bool {
    (first..first.saturating_add(4))
        .all(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_blocks_share_no_port() {
        let one = PortBlock::free().expect("a block");
        let two = PortBlock::free().expect("a block");
        assert!(one.first().abs_diff(two.first()) >= STEP);
    }

    #[test]
    fn a_taken_port_is_not_offered() {
        let block = PortBlock::free().expect("a block");
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, block.first() + 2)).expect("free");
        assert!(PortBlock::at(block.first()).is_err());
    }
}
