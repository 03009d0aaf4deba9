//! Finds things by name without holding the names a second time.
//!
//! Comes in: names in the order of a table that the caller keeps. Goes out: the index of a name in
//! that table. A look-up allocates nothing: it hashes, searches, and lets the caller compare.

use xxhash_rust::xxh3::xxh3_64;

/// Hashes of names with the index of what they name, sorted by hash.
#[derive(Debug)]
pub(super) struct NameIndex(Box<[(u64, u32)]>);

impl NameIndex {
    /// An index of names; a thing may have several. At most 2³² things.
    pub(super) fn new<'a>(names: impl Iterator<Item = (&'a str, usize)>) -> NameIndex {
        let mut entries: Vec<(u64, u32)> = names
            .filter_map(|(name, index)| Some((xxh3_64(name.as_bytes()), u32::try_from(index).ok()?)))
            .collect();
        entries.sort_unstable();
        entries.dedup();
        NameIndex(entries.into())
    }

    /// The first thing whose name has this hash and that `is_it` confirms.
    pub(super) fn find(&self, name: &str, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let hash = xxh3_64(name.as_bytes());
        let from = self.0.partition_point(|(other, _)| *other < hash);
        self.0[from..]
            .iter()
            .take_while(|(other, _)| *other == hash)
            .map(|(_, index)| *index as usize)
            .find(|index| is_it(*index))
    }
}
