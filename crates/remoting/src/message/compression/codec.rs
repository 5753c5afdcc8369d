//! The codecs of this build. What is left out answers with nothing.

use std::io;

use super::CompressionType;
use super::room::Room;

/// Writes `body` compressed; none if the codec is not in this build.
#[cfg_attr(
    not(any(feature = "lz4", feature = "zlib", feature = "zstd")),
    expect(unused_variables, reason = "this build has no codec")
)]
pub(super) fn compress(
    kind: CompressionType,
    level: u32,
    body: &[u8],
    room: &mut Room,
) -> Option<io::Result<()>> {
    match kind {
        #[cfg(feature = "lz4")]
        CompressionType::Lz4 => Some(lz4::compress(body, room)),
        #[cfg(feature = "zlib")]
        CompressionType::Zlib => Some(zlib::compress(level, body, room)),
        #[cfg(feature = "zstd")]
        CompressionType::Zstd => Some(zstd::compress(level, body, room)),
        #[cfg(not(all(feature = "lz4", feature = "zlib", feature = "zstd")))]
        _ => None,
    }
}

/// Writes what `bytes` hold compressed; none if the codec is not in this build.
#[cfg_attr(
    not(any(feature = "lz4", feature = "zlib", feature = "zstd")),
    expect(unused_variables, reason = "this build has no codec")
)]
pub(super) fn decompress(
    kind: CompressionType,
    bytes: &[u8],
    room: &mut Room,
) -> Option<io::Result<()>> {
    match kind {
        #[cfg(feature = "lz4")]
        CompressionType::Lz4 => Some(lz4::decompress(bytes, room)),
        #[cfg(feature = "zlib")]
        CompressionType::Zlib => Some(zlib::decompress(bytes, room)),
        #[cfg(feature = "zstd")]
        CompressionType::Zstd => Some(zstd::decompress(bytes, room)),
        #[cfg(not(all(feature = "lz4", feature = "zlib", feature = "zstd")))]
        _ => None,
    }
}

#[cfg(feature = "zlib")]
mod zlib {
    use std::io::{self, Write};

    use flate2::Compression;
    use flate2::read::ZlibDecoder;
    use flate2::write::ZlibEncoder;

    use super::Room;

    pub(super) fn compress(level: u32, body: &[u8], room: &mut Room) -> io::Result<()> {
        let mut encoder = ZlibEncoder::new(room, Compression::new(level));
        encoder.write_all(body)?;
        encoder.finish().map(drop)
    }

    pub(super) fn decompress(bytes: &[u8], room: &mut Room) -> io::Result<()> {
        io::copy(&mut ZlibDecoder::new(bytes), room).map(drop)
    }
}

#[cfg(feature = "lz4")]
mod lz4 {
    use std::io::{self, Write};

    use lz4_flex::frame::{BlockMode, FrameDecoder, FrameEncoder, FrameInfo};

    use super::Room;

    pub(super) fn compress(body: &[u8], room: &mut Room) -> io::Result<()> {
        // Java's reader knows independent blocks only.
        let info = FrameInfo::new().block_mode(BlockMode::Independent);
        let mut encoder = FrameEncoder::with_frame_info(info, room);
        encoder.write_all(body)?;
        encoder.finish().map(drop).map_err(io::Error::from)
    }

    pub(super) fn decompress(bytes: &[u8], room: &mut Room) -> io::Result<()> {
        io::copy(&mut FrameDecoder::new(bytes), room).map(drop)
    }
}

#[cfg(feature = "zstd")]
mod zstd {
    use std::io::{self, Write};

    use super::Room;

    /// The largest window that a reader keeps, as a power of two: 8 MiB, which is all that the levels in use ask for.
    const WINDOW_LOG_MAX: u32 = 23;

    pub(super) fn compress(level: u32, body: &[u8], room: &mut Room) -> io::Result<()> {
        let level = i32::try_from(level).unwrap_or(i32::MAX);
        let mut encoder = ::zstd::stream::write::Encoder::new(room, level)?;
        // The reader then reserves no more than it needs.
        encoder.set_pledged_src_size(u64::try_from(body.len()).ok())?;
        encoder.write_all(body)?;
        encoder.finish().map(drop)
    }

    pub(super) fn decompress(bytes: &[u8], room: &mut Room) -> io::Result<()> {
        let mut decoder = ::zstd::stream::read::Decoder::new(bytes)?;
        decoder.window_log_max(WINDOW_LOG_MAX)?;
        io::copy(&mut decoder, room).map(drop)
    }
}
