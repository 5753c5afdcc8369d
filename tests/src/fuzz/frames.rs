//! The frame stream.

use bytes::{Buf, Bytes, BytesMut};
use rocketmq_producer::remoting::{Frame, FrameError, MAX_FRAME_LENGTH, decode_frame};

use super::Verdict;
use super::corpus::Corpus;
use super::random::Random;

/// Bytes at the front of an input that say how the rest is cut into chunks.
const CHUNKING: usize = 2;
/// What a decoder may reserve beyond four times the bytes that arrived, see `decode_frame`: it asks
/// for no more than doubles what is there or 64 KiB, and a buffer doubles when it grows.
const SPARE_ROOM: usize = 128 * 1024;

pub(super) const TOKENS: &[&[u8]] = &[
    b"\x00\x00\x00\x00",
    b"\x00\x00\x00\x04",
    b"\x00\x00\x00\x08\x00\x00\x00\x00",
    b"\x00\x00\x00\x08\x01\x00\x00\x04",
    b"\x00\xff\xff\xfc",
    b"\x00\xff\xff\xfd",
    b"\x00\x01",
    b"\x00\x00\x00\x01",
    b"\x00\x01k\x00\x00\x00\x01v",
    b"\x01\x00\x00\x15",
    b"\x7f\xff",
    b"\x80\x00",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x02\x00\x00\x00",
    b"\xf0\x9f\x98",
    b"{\"code\":0}",
];

pub(super) fn seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let chunked = |start: &[u8], frames: &[Vec<u8>]| [start, &frames.concat()].concat();
    let singles = corpus
        .frames
        .iter()
        .map(|frame| chunked(&[0, 0], std::slice::from_ref(frame)));
    let several = corpus
        .frames
        .chunks(3)
        .map(|frames| chunked(&[1, 2], frames));
    singles.chain(several).collect()
}

/// What became of a stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    frames: Vec<Frame>,
    error: Option<FrameError>,
    /// The bytes that are no whole frame.
    rest: Bytes,
}

pub(super) fn stream(input: &[u8]) -> Verdict {
    let (chunking, stream) = input.split_at(input.len().min(CHUNKING));
    let mut random = Random::of_bytes(chunking);
    // The limit in force, or one that ordinary frames exceed.
    let limit = if random.one_in(4) {
        200
    } else {
        MAX_FRAME_LENGTH
    };

    let whole = decode_in_one_go(stream, limit);
    assert_eq!(
        whole,
        reference(stream, limit),
        "against the format's description"
    );
    assert_eq!(
        whole,
        decode_in_chunks(stream, limit, &mut random),
        "in chunks"
    );
    Verdict::of(!whole.frames.is_empty())
}

fn decode_in_one_go(stream: &[u8], limit: usize) -> Outcome {
    let mut buffer = BytesMut::from(stream);
    let mut frames = Vec::new();
    let error = loop {
        match decode_frame(&mut buffer, limit) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert_room(&buffer, stream.len());
    Outcome {
        frames,
        error,
        rest: buffer.freeze(),
    }
}

fn decode_in_chunks(stream: &[u8], limit: usize, random: &mut Random) -> Outcome {
    let longest = [1, 3, 16, 300, 5000][random.below(5)];
    let mut buffer = BytesMut::new();
    let mut left = stream;
    let mut frames = Vec::new();
    let mut error = None;
    while error.is_none() && !left.is_empty() {
        // Byte by byte is quadratic in nothing, but slow on the long inputs.
        let least = left.len() / 4096;
        let chunk = (least + 1 + random.below(longest)).min(left.len());
        buffer.extend_from_slice(left.get(..chunk).unwrap_or_default());
        left.advance(chunk);
        error = loop {
            match decode_frame(&mut buffer, limit) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        assert_room(&buffer, stream.len() - left.len());
    }
    // What comes after an error is not read.
    buffer.extend_from_slice(left);
    Outcome {
        frames,
        error,
        rest: buffer.freeze(),
    }
}

/// A length that is only claimed must not make the buffer grow.
fn assert_room(buffer: &BytesMut, arrived: usize) {
    assert!(
        buffer.capacity() <= 4 * arrived + SPARE_ROOM,
        "{} bytes reserved after {arrived} arrived",
        buffer.capacity()
    );
}

/// The frames of a stream, read as plainly as the format is described.
fn reference(stream: &[u8], limit: usize) -> Outcome {
    let mut frames = Vec::new();
    let mut rest = stream;
    let error = loop {
        let word = |at: usize| {
            let bytes = rest.get(at..at + 4)?;
            Some(u32::from_be_bytes(bytes.try_into().ok()?))
        };
        let Some(length) = word(0) else { break None };
        if length < 4 || length > i32::MAX.unsigned_abs() {
            break Some(FrameError::TooShort(i32::from_be_bytes(
                length.to_be_bytes(),
            )));
        }
        let total = length as usize + 4;
        if total > limit {
            break Some(FrameError::TooLong {
                length: total,
                limit,
            });
        }
        let Some(mark) = word(4) else { break None };
        let kind = rest[4];
        let header = (mark & 0x00ff_ffff) as usize;
        let Ok(encoding) = rocketmq_producer::remoting::HeaderEncoding::from_type_byte(kind) else {
            break Some(FrameError::UnknownHeaderType(kind));
        };
        if header > total - 8 {
            break Some(FrameError::HeaderBeyondFrame {
                header,
                frame: total - 8,
            });
        }
        if rest.len() < total {
            break None;
        }
        frames.push(Frame::new(
            encoding,
            Bytes::copy_from_slice(&rest[8..8 + header]),
            Bytes::copy_from_slice(&rest[8 + header..total]),
        ));
        rest = &rest[total..];
    };
    Outcome {
        frames,
        error,
        rest: Bytes::copy_from_slice(rest),
    }
}
