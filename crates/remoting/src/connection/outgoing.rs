//! Bytes that wait to be written: callers append frames, the connection's task takes them all.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

/// Bodies from this size on are handed over by reference instead of being copied. Those of usual batches are.
const LARGE_BODY: usize = 8 * 1024;

/// Slices handed to one vectored write.
const MAX_SLICES: usize = 64;

/// Capacity of a buffer that frames are appended to. When it is full the next one is begun, so that a
/// burst copies nothing to grow, and what was written can be filled again while it is in the cache.
const CHUNK: usize = 64 * 1024;

/// Buffers kept for later when they have been written out; more are given back.
const SPARES: usize = 4;

/// Most that a header usually takes.
const USUAL_HEADER: usize = 512;

/// A queue of bytes: whole pieces first, then the tail that frames are appended to.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pieces: VecDeque<Piece>,
    tail: BytesMut,
    length: usize,
    /// Empty buffers.
    spares: Vec<BytesMut>,
}

#[derive(Debug)]
enum Piece {
    /// A full buffer.
    Frames(BytesMut),
    /// A large body, or what precedes one.
    Bytes(Bytes),
}

impl Outgoing {
    /// The buffer that the header of a frame with such a body is encoded into.
    /// [`append_body`](Self::append_body) must follow.
    pub(super) fn tail(&mut self, body: usize) -> &mut BytesMut {
        let copied = if body < LARGE_BODY { body } else { 0 };
        let room = USUAL_HEADER.saturating_add(copied);
        if self.tail.capacity().saturating_sub(self.tail.len()) < room {
            self.begin_tail();
        }
        &mut self.tail
    }

    /// Puts the tail among the pieces, if there is something in it, and begins another one.
    fn begin_tail(&mut self) {
        let empty = self.spares.pop();
        let empty = empty.unwrap_or_else(|| BytesMut::with_capacity(CHUNK));
        let full = std::mem::replace(&mut self.tail, empty);
        if !full.is_empty() {
            self.pieces.push_back(Piece::Frames(full));
        }
    }

    /// Completes a frame whose prefix and header were just encoded into the tail, from
    /// `tail_length` on. Returns the length of the whole frame.
    pub(super) fn append_body(&mut self, tail_length: usize, body: &Bytes) -> usize {
        let header = self.tail.len().saturating_sub(tail_length);
        if body.len() < LARGE_BODY {
            self.tail.extend_from_slice(body);
        } else {
            // The rest of the buffer is for the next frames.
            let frames = self.tail.split().freeze();
            self.pieces.push_back(Piece::Bytes(frames));
            self.pieces.push_back(Piece::Bytes(body.clone()));
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

    /// Moves everything into `empty`, whose spent buffers are kept for the next frames.
    pub(super) fn take_into(&mut self, empty: &mut Self) {
        debug_assert!(empty.is_empty(), "unwritten bytes would be overtaken");
        let spent = std::mem::take(&mut empty.tail);
        empty.tail = emptied(spent).unwrap_or_default();
        std::mem::swap(self, empty);
    }

    /// All bytes, if they lie side by side.
    pub(super) fn only_slice(&self) -> Option<&[u8]> {
        self.pieces.is_empty().then_some(&self.tail)
    }

    /// The next bytes to write, at most [`MAX_SLICES`] slices; returns how many were filled in.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut filled = 0;
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Frames(frames) => frames.as_ref(),
            Piece::Bytes(bytes) => bytes.as_ref(),
        });
        let pieces = pieces.chain([&self.tail[..]]);
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

    /// Drops whole frames that wait: `cuts` are the places of their bytes, in order.
    pub(super) fn cut(&mut self, cuts: &[Range<usize>]) {
        let mut begin = 0_usize;
        let mut cut_from = |length: usize| {
            let from = begin;
            begin = begin.saturating_add(length);
            // The cuts that touch the piece, so that many pieces and many cuts are gone through once.
            let first = cuts.partition_point(|cut| cut.end <= from);
            let last = cuts.partition_point(|cut| cut.start < from.saturating_add(length));
            (from, cuts.get(first..last).unwrap_or_default())
        };
        let mut pieces = VecDeque::with_capacity(self.pieces.len());
        for piece in self.pieces.drain(..) {
            match piece {
                Piece::Frames(mut frames) => {
                    let (from, cuts) = cut_from(frames.len());
                    cut_buffer(&mut frames, from, cuts);
                    pieces.push_back(Piece::Frames(frames));
                }
                Piece::Bytes(bytes) => {
                    let (from, cuts) = cut_from(bytes.len());
                    let parts = kept(from, bytes.len(), cuts);
                    pieces.extend(parts.map(|part| Piece::Bytes(bytes.slice(part))));
                }
            }
        }
        let (from, cuts) = cut_from(self.tail.len());
        cut_buffer(&mut self.tail, from, cuts);
        self.pieces = pieces;
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Frames(frames) => frames.len(),
            Piece::Bytes(bytes) => bytes.len(),
        });
        self.length = pieces.sum::<usize>().saturating_add(self.tail.len());
    }

    /// Drops `count` bytes that have been written.
    pub(super) fn advance(&mut self, mut count: usize) {
        self.length = self.length.saturating_sub(count);
        while let Some(piece) = self.pieces.front_mut() {
            let bytes: &mut dyn Buf = match piece {
                Piece::Frames(frames) => frames,
                Piece::Bytes(bytes) => bytes,
            };
            if count < bytes.remaining() {
                bytes.advance(count);
                return;
            }
            count = count.saturating_sub(bytes.remaining());
            if let Some(Piece::Frames(spent)) = self.pieces.pop_front() {
                if self.spares.len() < SPARES {
                    self.spares.extend(emptied(spent));
                }
            }
        }
        self.tail.advance(count.min(self.tail.len()));
    }
}

/// Drops the bytes of `cuts`, positions in what begins with the buffer at `begin`.
fn cut_buffer(buffer: &mut BytesMut, begin: usize, cuts: &[Range<usize>]) {
    let mut kept_until = 0;
    for kept in kept(begin, buffer.len(), cuts) {
        let length = kept.len();
        if kept.start != kept_until {
            buffer.copy_within(kept, kept_until);
        }
        kept_until += length;
    }
    buffer.truncate(kept_until);
}

/// The parts of a piece of this length, beginning at `begin`, that no cut touches.
fn kept(begin: usize, length: usize, cuts: &[Range<usize>]) -> impl Iterator<Item = Range<usize>> {
    let within = move |position: usize| position.saturating_sub(begin).min(length);
    let starts = std::iter::once(0).chain(cuts.iter().map(move |cut| within(cut.end)));
    let ends = cuts.iter().map(move |cut| within(cut.start));
    let ends = ends.chain(std::iter::once(length));
    starts
        .zip(ends)
        .map(|(start, end)| start..end)
        .filter(|part| !part.is_empty())
}

/// The buffer with nothing in it, unless a frame has made it larger than is worth keeping.
fn emptied(mut spent: BytesMut) -> Option<BytesMut> {
    spent.clear();
    // capacity() leaves out what advance() has passed; reclaiming brings it back.
    (spent.try_reclaim(CHUNK) && spent.capacity() <= 2 * CHUNK).then_some(spent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(outgoing: &mut Outgoing, header: &[u8], body: &Bytes) {
        let tail = outgoing.tail(body.len());
        let before = tail.len();
        tail.extend_from_slice(header);
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
    fn frames_that_are_cut_out_leave_the_others_whole() {
        let sizes = [3, LARGE_BODY, 0, LARGE_BODY * 2, 40 * 1024, 5, 1];
        let frame = |n: usize| {
            let byte = u8::try_from(n).unwrap();
            (vec![byte; 4], Bytes::from(vec![byte; sizes[n]]))
        };
        // Every choice of frames to cut out.
        for chosen in 0..1_u32 << sizes.len() {
            let (mut outgoing, mut expected) = (Outgoing::default(), Vec::new());
            let (mut cuts, mut position) = (Vec::new(), 0);
            for n in 0..sizes.len() {
                let (header, body) = frame(n);
                append(&mut outgoing, &header, &body);
                let end = position + header.len() + body.len();
                if chosen & (1 << n) != 0 {
                    cuts.push(position..end);
                } else {
                    expected.extend_from_slice(&header);
                    expected.extend_from_slice(&body);
                }
                position = end;
            }
            outgoing.cut(&cuts);
            assert_eq!(outgoing.len(), expected.len());
            append(&mut outgoing, b"next", &Bytes::new());
            expected.extend_from_slice(b"next");
            assert_eq!(drain(&mut outgoing, 50_000), expected, "{chosen:b}");
        }
    }

    #[test]
    fn buffers_are_used_again_but_those_of_a_burst_are_given_back() {
        let (mut shared, mut taken) = (Outgoing::default(), Outgoing::default());
        for _ in 0..SPARES * 3 * CHUNK / LARGE_BODY {
            append(&mut shared, b"head", &Bytes::from(vec![1; LARGE_BODY - 1]));
        }
        shared.take_into(&mut taken);
        drain(&mut taken, 100_000);
        assert_eq!(taken.spares.len(), SPARES);
        let kept: Vec<*const u8> = taken.spares.iter().map(|spare| spare.as_ptr()).collect();
        shared.take_into(&mut taken);
        for _ in 0..3 * CHUNK / LARGE_BODY {
            append(&mut shared, b"head", &Bytes::from(vec![1; LARGE_BODY - 1]));
        }
        assert!(kept.contains(&shared.tail.as_ptr()));
    }

    #[test]
    fn a_buffer_that_one_frame_has_made_huge_is_given_back() {
        let (mut shared, mut taken) = (Outgoing::default(), Outgoing::default());
        append(&mut shared, &vec![1; 3 * CHUNK], &Bytes::new());
        shared.take_into(&mut taken);
        drain(&mut taken, 1000);
        shared.take_into(&mut taken);
        assert_eq!(shared.tail.capacity(), 0);
    }
}
