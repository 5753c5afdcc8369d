//! Compressed bodies: the codecs that consumers know, each behind a cargo feature, and the flag that names them.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

mod codec;
mod room;

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::byte_size::ByteSize;

/// The body is compressed. Java: `MessageSysFlag.COMPRESSED_FLAG`.
const COMPRESSED: i32 = 0x1;
/// Where the flag says how. Java: `MessageSysFlag.COMPRESSION_TYPE_COMPARATOR`.
const TYPE_MASK: i32 = 0x7 << 8;

/// How a body is compressed. Java: `CompressionType`.
///
/// Each needs the cargo feature of its name; `zlib` is on by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompressionType {
    /// An LZ4 frame: fast, and larger than the others. Consumers older than 5.0 cannot read it.
    Lz4,
    /// A zlib stream (RFC 1950), which every consumer reads.
    Zlib,
    /// A Zstandard frame. Consumers older than 5.0 cannot read it.
    Zstd,
}

impl CompressionType {
    /// All of them, by name.
    pub const ALL: [Self; 3] = [Self::Lz4, Self::Zlib, Self::Zstd];

    /// The name, which is also that of the cargo feature.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        }
    }

    /// Whether this build can read and write it.
    #[must_use]
    pub const fn is_available(self) -> bool {
        match self {
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zlib => cfg!(feature = "zlib"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }

    /// The bits of a message's system flag that tell consumers how to read the body. Clients older than 5.0 see only
    /// the lowest one and take every compressed body for zlib.
    #[must_use]
    pub const fn sys_flag(self) -> i32 {
        let number = match self {
            Self::Lz4 => 1,
            Self::Zstd => 2,
            Self::Zlib => 3,
        };
        COMPRESSED | number << 8
    }

    /// A system flag without what it says about compression.
    pub(crate) const fn without(flag: i32) -> i32 {
        flag & !(COMPRESSED | TYPE_MASK)
    }

    /// What a system flag says about the body: none if it is not compressed. Without a type it is zlib, as before 5.0.
    /// Java: `MessageSysFlag.getCompressionType`.
    ///
    /// # Errors
    /// [`CompressionError::UnknownType`] if the body is compressed in a way that is not known.
    pub const fn of_sys_flag(flag: i32) -> Result<Option<Self>, CompressionError> {
        if flag & COMPRESSED == 0 {
            return Ok(None);
        }
        Ok(Some(match (flag & TYPE_MASK) >> 8 {
            0 | 3 => Self::Zlib,
            1 => Self::Lz4,
            2 => Self::Zstd,
            _ => return Err(CompressionError::UnknownType { flag }),
        }))
    }

    /// Reads a compressed body of at most `limit` bytes. Never more than that is kept, whatever the bytes claim.
    ///
    /// # Errors
    /// [`CompressionError`] if the codec is not in this build, the bytes are not of that form, or the body is larger.
    pub fn decompress(self, bytes: &[u8], limit: ByteSize) -> Result<Vec<u8>, CompressionError> {
        let mut room = room::Room::new(limit.as_usize());
        match codec::decompress(self, bytes, &mut room) {
            _ if room.is_exceeded() => Err(CompressionError::TooLarge { limit }),
            Some(Ok(())) => Ok(room.into_bytes()),
            Some(Err(cause)) => Err(CompressionError::codec(self, cause)),
            None => Err(CompressionError::NotCompiledIn(self)),
        }
    }
}

impl fmt::Display for CompressionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CompressionType {
    type Err = UnknownCompression;

    /// Takes a name in any case. Java: `CompressionType.of`.
    fn from_str(text: &str) -> Result<Self, UnknownCompression> {
        let known = Self::ALL.into_iter();
        let mut named = known.filter(|known| known.name().eq_ignore_ascii_case(text.trim()));
        named
            .next()
            .ok_or_else(|| UnknownCompression(text.to_owned()))
    }
}

/// No compression has this name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown compression {0:?}; known are lz4, zlib and zstd")]
pub struct UnknownCompression(String);

/// Compresses bodies in one way, at one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressor {
    kind: CompressionType,
    level: u32,
}

impl Compressor {
    /// The level of Java's producer.
    pub const DEFAULT_LEVEL: u32 = 5;
    /// The highest level.
    pub const MAX_LEVEL: u32 = 9;

    /// A compressor of this type. `level` counts from 1, the fastest, to 9, the smallest; LZ4 has one level only and
    /// ignores it, as in Java.
    ///
    /// # Errors
    /// [`CompressionError::NotCompiledIn`] if this build lacks the codec.
    pub fn new(kind: CompressionType, level: u32) -> Result<Self, CompressionError> {
        if !kind.is_available() {
            return Err(CompressionError::NotCompiledIn(kind));
        }
        let level = level.clamp(1, Self::MAX_LEVEL);
        Ok(Self { kind, level })
    }

    /// How it compresses.
    #[must_use]
    pub const fn kind(self) -> CompressionType {
        self.kind
    }

    /// The level.
    #[must_use]
    pub const fn level(self) -> u32 {
        self.level
    }

    /// The body compressed; none if that does not make it smaller.
    ///
    /// # Errors
    /// [`CompressionError::Codec`] if the codec fails, for instance for want of memory.
    pub fn compress(self, body: &[u8]) -> Result<Option<Vec<u8>>, CompressionError> {
        let mut room = room::Room::new(body.len().saturating_sub(1));
        match codec::compress(self.kind, self.level, body, &mut room) {
            _ if room.is_exceeded() => Ok(None),
            Some(Ok(())) => Ok(Some(room.into_bytes())),
            Some(Err(cause)) => Err(CompressionError::codec(self.kind, cause)),
            None => Err(CompressionError::NotCompiledIn(self.kind)),
        }
    }
}

/// Why a body could not be compressed or read (pyrocketmq: `CompressionError`, 6001).
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum CompressionError {
    /// The codec failed, or the bytes are not of its form.
    #[error("{kind} cannot process the body")]
    #[non_exhaustive]
    Codec {
        /// The codec.
        kind: CompressionType,
        /// What it says.
        #[source]
        cause: Arc<io::Error>,
    },
    /// This build lacks the codec.
    #[error("{0} is not in this build; enable the cargo feature \"{0}\"")]
    NotCompiledIn(CompressionType),
    /// The body is larger than the reader allows.
    #[error("the body has more than {} bytes ({limit}) when it is not compressed", limit.as_u64())]
    #[non_exhaustive]
    TooLarge {
        /// The most that is allowed.
        limit: ByteSize,
    },
    /// A system flag names a type that is not known.
    #[error("system flag {flag:#x} names an unknown compression")]
    #[non_exhaustive]
    UnknownType {
        /// The flag.
        flag: i32,
    },
}

impl CompressionError {
    /// The codec panicked on the thread that it ran on.
    #[doc(hidden)]
    #[must_use]
    pub fn panicked(
        kind: CompressionType,
        panic: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::codec(kind, io::Error::other(panic))
    }

    fn codec(kind: CompressionType, cause: io::Error) -> Self {
        Self::Codec {
            kind,
            cause: Arc::new(cause),
        }
    }
}

#[cfg(test)]
mod tests;
