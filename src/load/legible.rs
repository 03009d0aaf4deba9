//! Characters that may stand in a text of JSON, and in YAML's quotes, and that the YAML parser refuses.
//!
//! Comes in: the text of a fragment. Goes out: the text with a stand-in for each of them, one of as many
//! bytes that occurs nowhere else, so that every place stays exact; and what was read, with the
//! characters back in it. Keeps the invariant that a text without them is not copied.

use std::borrow::Cow;
use std::collections::HashSet;

/// What stands for a character of one byte: no sign of JSON's, no digit, and nothing that a backslash before
/// it makes into something else.
const OF_ONE_BYTE: &str = "`^~;|?!$&@%*+=<>'QZJKXqzjkyGHIMORSVWYilmops";
const OF_TWO_BYTES: std::ops::RangeInclusive<char> = '\u{180}'..='\u{24F}';
const OF_THREE_BYTES: std::ops::RangeInclusive<char> = '\u{A000}'..='\u{A48C}';

/// Characters and what stands for them; of most texts, none.
pub(super) struct StandIns {
    pairs: Vec<(char, char)>,
}

impl StandIns {
    pub(super) fn of(text: &str) -> StandIns {
        let first = |at: usize| text[at..].chars().next();
        // These bytes begin a character, and all those that are refused begin with one of them.
        let suspects = memchr::memchr3_iter(0x7F, 0xC2, 0xEF, text.as_bytes());
        let mut refused: Vec<char> = suspects.filter_map(first).filter(|c| is_refused(*c)).collect();
        let mut pairs = Vec::new();
        if refused.is_empty() {
            return StandIns { pairs };
        }
        refused.sort_unstable();
        refused.dedup();
        let mut used = used_in(text);
        for character in refused {
            let mut candidates: Box<dyn Iterator<Item = char>> = match character.len_utf8() {
                1 => Box::new(OF_ONE_BYTE.chars()),
                2 => Box::new(OF_TWO_BYTES),
                _ => Box::new(OF_THREE_BYTES),
            };
            // Without any the parser says what it always says.
            if let Some(free) = candidates.find(|candidate| used.insert(*candidate)) {
                pairs.push((character, free));
            }
        }
        StandIns { pairs }
    }

    pub(super) fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.pairs.is_empty() {
            return Cow::Borrowed(text);
        }
        let stand_in = |c| self.pairs.iter().find(|(character, _)| *character == c).map_or(c, |pair| pair.1);
        Cow::Owned(text.chars().map(stand_in).collect())
    }

    pub(super) fn restore<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        if !self.pairs.iter().any(|(_, stand_in)| text.contains(*stand_in)) {
            return text;
        }
        let character = |c| self.pairs.iter().find(|(_, stand_in)| *stand_in == c).map_or(c, |pair| pair.0);
        Cow::Owned(text.chars().map(character).collect())
    }
}

/// What the parser refuses, and JSON allows: DEL, the second set of controls, and two that are no characters.
fn is_refused(c: char) -> bool {
    matches!(c, '\u{7F}'..='\u{84}' | '\u{86}'..='\u{9F}' | '\u{FFFE}' | '\u{FFFF}')
}

/// The characters of a text, and those that escapes in it may make.
fn used_in(text: &str) -> HashSet<char> {
    let mut used: HashSet<char> = text.chars().collect();
    for at in memchr::memchr_iter(b'\\', text.as_bytes()) {
        for digits in [at + 2..at + 4, at + 2..at + 6, at + 2..at + 10] {
            let code = text.get(digits).and_then(|digits| u32::from_str_radix(digits, 16).ok());
            used.extend(code.and_then(char::from_u32));
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_masked_is_as_long_and_comes_back() {
        let text = "\"`^ a\u{7F}b\u{80}\u{9F}\u{FFFF}\", \"\\u007e\\x3b\"";
        let stand_ins = StandIns::of(text);
        let masked = stand_ins.mask(text);
        assert_eq!(masked.len(), text.len());
        assert!(!masked.chars().any(is_refused), "{masked}");
        assert_eq!(masked.char_indices().count(), text.char_indices().count());
        assert_eq!(stand_ins.restore(masked), text);
        // What the text holds, plainly or by an escape, stands for nothing else.
        for own in "`^~;".chars() {
            assert_eq!(stand_ins.restore(own.to_string().into()), own.to_string());
        }
    }

    #[test]
    fn other_texts_are_not_copied() {
        for text in ["", "ä\u{85}\u{A0}\u{FEFF}\u{FFFD}", "\\x7f"] {
            assert!(matches!(StandIns::of(text).mask(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
