//! What a client's NACK says that people may be shown.
//!
//! Comes in: the client's words and what was in the response. Goes out: which of it is meant, and the
//! words without the resource that they quote, which may hold keys.

use crate::resource::{Kind, Name};

/// Longest part of a client's message that is shown, in characters.
const MAX_MESSAGE: usize = 400;

/// Names that are listed when a client's message names none.
pub const MAX_LISTED: usize = 8;

/// Those of the refused that the message names; when it names none, the first of all.
pub fn named<'r, T>(message: &str, refused: &'r [T], name: impl Fn(&T) -> &Name) -> Vec<&'r T> {
    let meant: Vec<&T> = refused.iter().filter(|one| names(message, name(one))).collect();
    if meant.is_empty() { refused.iter().take(MAX_LISTED).collect() } else { meant }
}

/// What a client's message says, without the resource that it quotes: that may hold keys. Envoy quotes
/// a resource that fails a constraint, in protobuf's text form, before the reason or behind it.
pub fn shown(kind: Kind, message: &str) -> String {
    if kind == Kind::Secret {
        return "(withheld: it is about a secret; see the Envoy's own log)".into();
    }
    without_quotes(message)
}

/// The first line of what an Envoy says, without the configuration that it quotes.
pub fn without_quotes(message: &str) -> String {
    const CONSTRAINT: &str = "validation failed (";
    // Within a quote line breaks are escaped: a line that begins with `: ` stands behind it.
    let reason = message.rsplit_once("\n: ").map_or(message, |(_, reason)| reason);
    let line = reason.lines().next().unwrap_or_default();
    let quoted = line.find(CONSTRAINT).and_then(|at| line[at..].find("): ").map(|end| at + end + 1));
    let line = &line[..quoted.unwrap_or(line.len())];
    // A configuration in JSON stands behind the reason.
    let line = line.split_once("): {").map_or(line, |(reason, _)| reason);
    match line.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Whether a message names this resource, and not only one whose name is longer.
fn names(message: &str, name: &str) -> bool {
    let within = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    !name.is_empty()
        && message.match_indices(name).any(|(at, _)| {
            !message[..at].ends_with(within) && !message[at + name.len()..].starts_with(within)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_whole_names() {
        let message = "Error adding/updating cluster(s) service_10: bad, x-1: \"é\"";
        assert!(names(message, "service_10") && names(message, "x-1") && names(message, "é"));
        for other in ["service_1", "a", "x", "1", ""] {
            assert!(!names(message, other), "{other}");
        }
    }

    #[test]
    fn what_an_envoy_quotes_of_a_resource_is_not_shown() {
        let of_a_cluster = |message: &str| shown(Kind::Cluster, message);
        let constraint = "Proto constraint validation failed (ClusterValidationError.ConnectTimeout: value must be \
                          greater than 0s)";
        let text = of_a_cluster(&format!("{constraint}: name: \"a\" inline_string: \"PRIVATE\"\nmore"));
        assert!(text.ends_with("greater than 0s)"), "{text}");
        let quote = "name: \"a\"\ninline_string: \"PRIVATE\\n: x\"\n";
        for mark in ["", "goo.gle/debugproto   \n"] {
            assert_eq!(of_a_cluster(&format!("{mark}{quote}: {constraint}")), constraint);
        }
        assert!(!shown(Kind::Secret, "bad key PRIVATE").contains("PRIVATE"));
        assert!(of_a_cluster(&"é".repeat(9999)).chars().count() <= MAX_MESSAGE + 1);
    }
}
