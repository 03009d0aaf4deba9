//! Digests of content, by which versions are told apart.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

/// xxh3-128 over content: equal content has an equal digest on every machine and in every run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub u128);

impl Digest {
    /// The digest of several byte strings; the lengths count, so `ab|c` differs from `a|bc`.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
        let mut hash = Xxh3::new();
        for part in parts {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Digest(hash.digest128())
    }

    /// The digest of a digest and of what it depends on, in the given order.
    pub fn covering(self, others: impl IntoIterator<Item = Digest>) -> Digest {
        let mut hash = Xxh3::new();
        hash.update(&self.0.to_le_bytes());
        for other in others {
            hash.update(&other.0.to_le_bytes());
        }
        Digest(hash.digest128())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_where_one_part_ends() {
        assert_ne!(Digest::of([b"ab".as_slice(), b"c"]), Digest::of([b"a".as_slice(), b"bc"]));
    }
}
