//! Bytes that wait to be written: callers append frames, the connection's task takes them all.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Bodies from this size on are handed over by reference instead of being copied.
const LARGE_BODY: usize = 16 * 1024;

/// Slices handed to one vectored write.
const MAX_SLICES: usize = 64;

/// Capacity kept when a buffer has been written out; a larger one is given back.
const KEPT_CAPACITY: usize = 256 * 1024;

/// A queue of bytes: whole chunks first, then the tail that frames are appended to.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    length: usize,
}

impl Outgoing {
    /// The buffer that headers are encoded into. [`append_body`](Self::append_body) must follow.
    pub(super) fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Completes a frame whose prefix and header were just encoded into the tail, from
    /// `tail_length` on. Returns the length of the whole frame.
    pub(super) fn append_body(&mut self, tail_length: usize, body: &Bytes) -> usize {
        let header = self.tail.len().saturating_sub(tail_length);
        if body.len() < LARGE_BODY {
            self.tail.extend_from_slice(body);
        } else {
            self.chunks.push_back(self.tail.split().freeze());
            self.chunks.push_back(body.clone());
        }
        let frame = header.saturating_add(body.len());
        self.length = self.length.saturating_add(frame);
        frame
    }

    /// Bytes waiting.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Moves everything into `empty`, whose spent buffer is kept for the next frames.
    pub(super) fn take_into(&mut self, empty: &mut Self) {
        debug_assert!(empty.is_empty(), "unwritten bytes would be overtaken");
        // capacity() leaves out what advance() has passed, so it is near 0 here.
        if empty.tail.try_reclaim(KEPT_CAPACITY.saturating_add(1)) {
            empty.tail = BytesMut::new();
        } else {
            empty.tail.clear();
        }
        std::mem::swap(self, empty);
    }

    /// The next bytes to write, at most [`MAX_SLICES`] slices; returns how many were filled in.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut filled = 0;
        let pieces = self
            .chunks
            .iter()
            .map(Bytes::as_ref)
            .chain([&self.tail[..]]);
        for (slot, piece) in slices
            .iter_mut()
            .zip(pieces.filter(|piece| !piece.is_empty()))
        {
            *slot = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    /// An array to be filled by [`slices`](Self::slices).
    pub(super) fn no_slices<'a>() -> [IoSlice<'a>; MAX_SLICES] {
        std::array::from_fn(|_| IoSlice::new(&[]))
    }

    /// Drops `count` bytes that have been written.
    pub(super) fn advance(&mut self, mut count: usize) {
        self.length = self.length.saturating_sub(count);
        while let Some(chunk) = self.chunks.front_mut() {
            if count < chunk.len() {
                chunk.advance(count);
                return;
            }
            count = count.saturating_sub(chunk.len());
            self.chunks.pop_front();
        }
        self.tail.advance(count.min(self.tail.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(outgoing: &mut Outgoing, header: &[u8], body: &Bytes) {
        let before = outgoing.tail().len();
        outgoing.tail().extend_from_slice(header);
        outgoing.append_body(before, body);
    }

    fn drain(outgoing: &mut Outgoing, step: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !outgoing.is_empty() {
            let mut slices = Outgoing::no_slices();
            let filled = outgoing.slices(&mut slices);
            let mut count = 0;
            for slice in &slices[..filled] {
                let part = slice.len().min(step - count);
                bytes.extend_from_slice(&slice[..part]);
                count += part;
            }
            outgoing.advance(count);
        }
        bytes
    }

    #[test]
    fn bytes_leave_in_order_whatever_the_sizes_of_bodies_and_writes() {
        let bodies: Vec<Bytes> = [0, 5, LARGE_BODY, 1, LARGE_BODY * 3, LARGE_BODY - 1]
            .into_iter()
            .enumerate()
            .map(|(n, size)| Bytes::from(vec![u8::try_from(n).unwrap(); size]))
            .collect();
        for step in [7, 4096, usize::MAX] {
            let mut shared = Outgoing::default();
            let mut expected = Vec::new();
            for body in &bodies {
                append(&mut shared, b"head", body);
                expected.extend_from_slice(b"head");
                expected.extend_from_slice(body);
            }
            let mut taken = Outgoing::default();
            shared.take_into(&mut taken);
            assert!(shared.is_empty());
            assert_eq!(taken.len(), expected.len());
            assert_eq!(drain(&mut taken, step), expected, "step {step}");
        }
    }

    #[test]
    fn a_buffer_that_a_burst_has_grown_is_given_back_once_written() {
        let mut shared = Outgoing::default();
        let mut taken = Outgoing::default();
        for _ in 0..KEPT_CAPACITY / LARGE_BODY * 2 {
            append(&mut shared, b"head", &Bytes::from(vec![1; LARGE_BODY - 1]));
        }
        shared.take_into(&mut taken);
        drain(&mut taken, usize::MAX);
        append(&mut shared, b"head", &Bytes::new());
        shared.take_into(&mut taken);
        assert!(!shared.tail.try_reclaim(KEPT_CAPACITY + 1));
    }
}
