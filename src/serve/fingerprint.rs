//! Fingerprints of many texts together, whatever their order.
//!
//! Clients of one fleet bring the same ten thousand names, each in an order of its own. Comes in: texts. Goes out: a sum of
//! keyed hashes, 128 bits wide: lists with equal sums hold the same texts, each as often. The key is made
//! when the process starts, so that nobody can look for two lists with one sum.

use std::hash::{BuildHasher, Hasher};
use std::iter::Sum;
use std::ops::{Add, Sub};
use std::sync::LazyLock;

use foldhash::quality::RandomState;

static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);

/// What many texts have together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Fingerprint(u128);

impl Fingerprint {
    /// Of one text.
    pub fn of(text: &[u8]) -> Fingerprint {
        let [high, low] = KEYS.each_ref().map(|key| {
            let mut hasher = key.build_hasher();
            hasher.write(text);
            hasher.finish()
        });
        Fingerprint(u128::from(high) << 64 | u128::from(low))
    }

    /// A part that is enough to find something by.
    pub fn short(self) -> u64 {
        self.0 as u64
    }
}

impl Add for Fingerprint {
    type Output = Fingerprint;

    fn add(self, other: Fingerprint) -> Fingerprint {
        Fingerprint(self.0.wrapping_add(other.0))
    }
}

impl Sub for Fingerprint {
    type Output = Fingerprint;

    fn sub(self, other: Fingerprint) -> Fingerprint {
        Fingerprint(self.0.wrapping_sub(other.0))
    }
}

impl Sum for Fingerprint {
    fn sum<I: Iterator<Item = Fingerprint>>(all: I) -> Fingerprint {
        all.fold(Fingerprint::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Fingerprint {
        texts.iter().map(|text| Fingerprint::of(text.as_bytes())).sum()
    }

    #[test]
    fn order_says_nothing_and_number_and_content_do() {
        assert_eq!(of(&["a", "b", "c"]), of(&["c", "a", "b"]));
        assert_eq!(of(&["a", "b", "c"]) - of(&["b"]), of(&["c", "a"]));
        let others: [&[&str]; 5] =
            [&["a", "b"], &["a", "b", "b", "c"], &["ab", "c"], &["a", "", "bc"], &["a", "b", "d"]];
        for other in others {
            assert_ne!(of(&["a", "b", "c"]), of(other), "{other:?}");
        }
        assert_ne!(of(&[""]), of(&[]));
    }
}
