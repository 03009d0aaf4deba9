//! What the authors of Envoy's API say of its messages, fields and enum values.
//!
//! They are not in the descriptors, which would be four times as large with them, but in a list of their
//! own that is unpacked when it is first asked for. A set of the user's brings none; of what has the same
//! name, what is said here holds.

use std::sync::LazyLock;

/// zlib over lines that are sorted by name; `cargo run -p xtask -- descriptors` writes it.
static EMBEDDED: &[u8] = include_bytes!("../../proto/envoy-v3.comments.zz");

/// Full name and the rest of its line. A damaged list is none: it is worth no more than a hint.
static LINES: LazyLock<Vec<(&'static str, &'static str)>> = LazyLock::new(|| {
    let bytes = miniz_oxide::inflate::decompress_to_vec_zlib(EMBEDDED).unwrap_or_default();
    let text: &'static str = String::from_utf8(bytes).unwrap_or_default().leak();
    text.lines().filter_map(|line| line.split_once('\t')).collect()
});

/// What is said of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comment {
    /// The first paragraph, in plain words; may be empty.
    pub words: &'static str,
    /// It is there, but Envoy does nothing with it yet.
    pub is_hidden: bool,
}

/// What is said of the message, field or enum value (of its enum) with this full name.
pub fn comment(full_name: &str) -> Comment {
    let Ok(at) = LINES.binary_search_by(|(name, _)| (*name).cmp(full_name)) else {
        return Comment::default();
    };
    let line = LINES[at].1;
    match line.strip_suffix('\t') {
        Some(words) => Comment { words, is_hidden: true },
        None => Comment { words: line, is_hidden: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_found_by_name_and_what_is_not_there_yet_is_marked() {
        let found = comment("envoy.config.cluster.v3.Cluster.connect_timeout");
        assert!(
            found.words.starts_with("The timeout for new network connections") && !found.is_hidden,
            "{found:?}"
        );
        assert_ne!(comment("envoy.config.cluster.v3.Cluster.LbPolicy.ROUND_ROBIN").words, "");
        assert_eq!(comment("envoy.config.cluster.v3.Cluster.nothing"), Comment::default());
        assert!(LINES.iter().any(|(name, _)| comment(name).is_hidden));
        assert!(LINES.is_sorted_by(|a, b| a.0 < b.0));
    }
}
