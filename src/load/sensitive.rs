//! Which parts of a text nobody is to be shown.
//!
//! Comes in: values that the walker knows to be sensitive, or that it cannot judge. Goes out: their
//! places, in order and apart. Keeps the invariant that after a syntax error all that was not read is
//! hidden, if it may belong to something sensitive.

use super::yaml::{Node, Value};
use crate::diagnostic::Span;

/// Keys under which secrets stand. Where the type of a message is not known, this is all there is to go
/// by: the names of all fields that the API marks as sensitive, and where data stands inside of them.
const SUSPECT_KEYS: [&str; 21] = [
    "secrets",
    "inline_string",
    "inlineString",
    "inline_bytes",
    "inlineBytes",
    "private_key",
    "privateKey",
    "pkcs12",
    "password",
    "secret",
    "keys",
    "token",
    "users",
    "auth_username",
    "authUsername",
    "auth_password",
    "authPassword",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "credentials",
];

/// Places of sensitive values.
#[derive(Debug, Default)]
pub(super) struct Sensitive(Vec<Span>);

impl Sensitive {
    /// The text at this place.
    pub(super) fn add(&mut self, span: Span) {
        if span.end > span.start {
            self.0.push(span);
        }
    }

    /// All scalars of a value. Keys stay, so that a mistake can still be seen, and paths of files: their
    /// content does not stand here.
    pub(super) fn mark(&mut self, node: &Node<'_>) {
        match &node.value {
            Value::Scalar(..) | Value::Unknown => self.add(node.span),
            Value::File(_) => {}
            Value::Sequence(nodes) => nodes.iter().for_each(|node| self.mark(node)),
            Value::Mapping(entries) => entries.iter().for_each(|entry| self.mark(&entry.value)),
        }
    }

    /// All scalars of a `Secret` but its name, which is no secret.
    pub(super) fn mark_secret(&mut self, node: &Node<'_>) {
        let Some(entries) = node.entries() else { return self.mark(node) };
        for entry in entries {
            let is_open =
                matches!(&*entry.key, "name" | "@type") && entry.value.text().is_some_and(|t| !t.is_empty());
            if !is_open {
                self.mark(&entry.value);
            }
        }
    }

    /// All scalars of a value of unknown type that stand under a key which looks sensitive.
    pub(super) fn mark_suspects(&mut self, node: &Node<'_>) {
        match &node.value {
            Value::Scalar(..) | Value::File(_) | Value::Unknown => {}
            Value::Sequence(nodes) => nodes.iter().for_each(|node| self.mark_suspects(node)),
            Value::Mapping(entries) => {
                for entry in entries {
                    if SUSPECT_KEYS.contains(&&*entry.key) {
                        self.mark(&entry.value);
                    } else {
                        self.mark_suspects(&entry.value);
                    }
                }
            }
        }
    }

    /// Takes over what was found in a document of which a syntax error hides all behind `read_to`.
    pub(super) fn cut_off(&mut self, found: Sensitive, read_to: u32, text: &str) {
        let rest = text.get(read_to as usize..).unwrap_or_default();
        let hidden = match found.0.is_empty() {
            true => SUSPECT_KEYS.iter().filter_map(|key| rest.find(key)).min(),
            false => Some(0),
        };
        self.0.extend(found.0);
        if let Some(from) = hidden {
            self.add(Span::new(read_to as usize + from, text.len()));
        }
    }

    /// All places, in order; what touches or overlaps is one.
    pub(super) fn spans(&mut self) -> Vec<Span> {
        self.0.sort_unstable();
        self.0.dedup_by(|next, kept| {
            let touches = next.start <= kept.end;
            if touches {
                kept.end = kept.end.max(next.end);
            }
            touches
        });
        self.0.clone()
    }
}

/// Whether one of these places, in order and apart, overlaps with this one.
pub(super) fn overlaps(sensitive: &[Span], span: Span) -> bool {
    let behind = sensitive.partition_point(|known| known.end <= span.start);
    sensitive.get(behind).is_some_and(|known| known.start < span.end.max(span.start + 1))
}
