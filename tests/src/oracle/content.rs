//! What a message carries, whole or as its digest.

use std::fmt;

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A body, or what tells it from every other one.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Content {
    /// The body itself.
    Whole(Bytes),
    /// Its length and its SHA-256 in lower-case hexadecimal digits.
    Digest {
        /// Length in bytes.
        len: usize,
        /// 64 digits.
        sha256: String,
    },
}

impl Content {
    /// Whether both are the same body.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one == other,
            _ => self.len() == other.len() && self.sha256() == other.sha256(),
        }
    }

    const fn len(&self) -> usize {
        match self {
            Self::Whole(body) => body.len(),
            Self::Digest { len, .. } => *len,
        }
    }

    /// SHA-256 in lower-case hexadecimal digits.
    pub(super) fn sha256(&self) -> String {
        match self {
            Self::Whole(body) => {
                let digest = Sha256::digest(body);
                digest.iter().map(|byte| format!("{byte:02x}")).collect()
            }
            Self::Digest { sha256, .. } => sha256.clone(),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes with SHA-256 {}", self.len(), self.sha256())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_equals_its_own_digest_and_no_other() {
        let whole = Content::Whole(Bytes::from_static(b"abc"));
        let digest = |sha256: &str| Content::Digest {
            len: 3,
            sha256: sha256.to_owned(),
        };
        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(whole.is_same(&digest(right)));
        assert!(!whole.is_same(&digest(&right.replace('b', "c"))));
    }
}
