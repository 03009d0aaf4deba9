//! The bytes of a file, in as little memory as they can be had back from at once.
//!
//! Comes in: what was read. Goes out: the same bytes, whenever they are asked for. Between one look and the
//! next they are only kept, for as long as the daemon runs, and configuration repeats itself: packed by LZ4 it
//! takes a few times less, and packing and unpacking take about a hundredth of the time that loading does.
//! Large files stay as they are, so that a change of one item in them does not wait for all of their text.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use lz4_flex::block;

/// Larger ones are not packed: a change in a file of this size, where little repeats itself, costs a tenth of a
/// millisecond more by it.
const MAX_PACKED: usize = 64 << 10;

/// The bytes of a file. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Text(Arc<Held>);

enum Held {
    Plain(Bytes),
    Packed { len: usize, block: Box<[u8]> },
}

impl Default for Held {
    fn default() -> Held {
        Held::Plain(Bytes::new())
    }
}

impl Text {
    /// These bytes, as they are: each who asks is given the same ones.
    pub fn plain(bytes: Bytes) -> Text {
        Text(Arc::new(Held::Plain(bytes)))
    }

    /// The bytes. They are made anew each time if they were packed.
    pub fn bytes(&self) -> Bytes {
        match &*self.0 {
            Held::Plain(bytes) => bytes.clone(),
            Held::Packed { len, block } => {
                block::decompress(block, *len).expect("it is what was packed, unaltered").into()
            }
        }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        match &*self.0 {
            Held::Plain(bytes) => bytes.len(),
            Held::Packed { len, .. } => *len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        match (&*self.0, &*other.0) {
            (Held::Plain(one), Held::Plain(other)) => one == other,
            // The same bytes are always packed in the same way.
            (Held::Packed { block: one, .. }, Held::Packed { block: other, .. }) => one == other,
            _ => self.len() == other.len() && self.bytes() == other.bytes(),
        }
    }
}

impl Eq for Text {}

/// Packed, if that takes less.
impl<T: Into<Bytes>> From<T> for Text {
    fn from(bytes: T) -> Text {
        let bytes = bytes.into();
        packed(&bytes).map_or_else(|| Text::plain(bytes), |packed| Text(Arc::new(packed)))
    }
}

/// `None` where nothing is gained.
fn packed(bytes: &[u8]) -> Option<Held> {
    if bytes.len() > MAX_PACKED {
        return None;
    }
    let block = block::compress(bytes);
    (block.len() < bytes.len()).then(|| Held::Packed { len: bytes.len(), block: block.into() })
}

/// Secrets may be in it.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(text: &Text) -> usize {
        match &*text.0 {
            Held::Plain(bytes) => bytes.len(),
            Held::Packed { block, .. } => block.len(),
        }
    }

    fn clusters(count: usize) -> String {
        (0..count).map(|number| format!("- name: service-{number}\n  type: EDS\n")).collect()
    }

    #[test]
    fn what_repeats_itself_takes_less_than_its_length_and_a_large_file_its_length() {
        let text = clusters(100);
        assert!(size(&text.clone().into()) * 4 < text.len());
        let large = clusters(10_000);
        assert!(large.len() > MAX_PACKED);
        assert_eq!(size(&large.clone().into()), large.len());
    }

    #[test]
    fn equal_bytes_are_equal_texts_however_they_came() {
        for text in [String::new(), "x".to_owned(), clusters(100), clusters(10_000)] {
            let (one, other) = (Text::from(text.clone()), Text::plain(text.clone().into()));
            assert_eq!((&one, one.len(), one.is_empty()), (&other, text.len(), text.is_empty()));
            assert_eq!((one.bytes(), &one), (other.bytes(), &Text::from(text.clone())));
            assert_ne!(one, Text::from(format!("{text}\n")));
        }
    }

    proptest! {
        #[test]
        fn the_bytes_that_went_in_come_out(
            bytes in proptest::collection::vec(prop_oneof![Just(b'a'), any::<u8>()], 0..3000),
            times in 1usize..60,
        ) {
            let bytes = bytes.repeat(times);
            prop_assert_eq!(&Text::from(bytes.clone()).bytes()[..], &bytes[..]);
            prop_assert_eq!(Text::from(bytes.clone()), Text::from(bytes));
        }
    }
}
