//! A buffer with an end: whoever writes beyond it is stopped.

use std::io::{self, Write};

/// What is reserved at most before anything was written.
const FIRST_RESERVATION: usize = 64 * 1024;

/// Takes bytes up to a limit.
#[derive(Debug)]
pub(super) struct Room {
    bytes: Vec<u8>,
    limit: usize,
    is_exceeded: bool,
}

impl Room {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(limit.min(FIRST_RESERVATION)),
            limit,
            is_exceeded: false,
        }
    }

    /// Whether more was written than there is room for.
    pub(super) const fn is_exceeded(&self) -> bool {
        self.is_exceeded
    }

    /// What was written, in no more memory than it needs by half.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        if self.bytes.capacity() / 2 > self.bytes.len() {
            self.bytes.shrink_to_fit();
        }
        self.bytes
    }
}

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.limit.saturating_sub(self.bytes.len());
        if bytes.len() > left {
            self.is_exceeded = true;
            return Err(io::Error::other("more than there is room for"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
