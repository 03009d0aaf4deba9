//! Which parts of a text nobody is to be shown.
//!
//! Comes in: values that the walker knows to be sensitive, or that it cannot judge. Goes out: their
//! places, in order and apart. Keeps the invariant that after a syntax error all that was not read is
//! hidden, if it may belong to something sensitive.

use super::yaml::{Entry, Node, Value};
use crate::diagnostic::Span;

/// Keys under which secrets stand. Where the type of a message is not known, this is all there is to go
/// by: the names of all fields that the API marks as sensitive, and where data stands inside of them.
const SUSPECT_KEYS: [&str; 39] = [
    "access_key_id",
    "authPassword",
    "authUsername",
    "auth_password",
    "auth_username",
    "backendToken",
    "backend_token",
    "contextExtensions",
    "context_extensions",
    "credentials",
    "credentialsDataSource",
    "credentials_data_source",
    "downstreamAuthPassword",
    "downstreamAuthPasswords",
    "downstreamAuthUsername",
    "downstream_auth_password",
    "downstream_auth_passwords",
    "downstream_auth_username",
    "inlineBytes",
    "inlineString",
    "inline_bytes",
    "inline_string",
    "keys",
    "password",
    "pkcs12",
    "privateKey",
    "private_key",
    "secret",
    "secretAccessKey",
    "secretData",
    "secret_access_key",
    "secret_data",
    "secrets",
    "sessionToken",
    "session_token",
    "token",
    "users",
    "webIdentityTokenDataSource",
    "web_identity_token_data_source",
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
            Value::Sequence(nodes) if nodes.iter().any(|node| matches!(node.value, Value::Scalar(..))) => {
                self.add(node.span);
                nodes.iter().for_each(|node| self.mark(node));
            }
            Value::Sequence(nodes) => nodes.iter().for_each(|node| self.mark(node)),
            Value::Mapping(entries) => {
                if !entries.iter().all(looks_like_a_field) {
                    self.add(node.span);
                }
                entries.iter().for_each(|entry| self.mark_entry(entry));
            }
        }
    }

    /// All scalars under a key. What looks like a tag or an anchor may be the beginning of a password.
    pub(super) fn mark_entry(&mut self, entry: &Entry<'_>) {
        self.mark(&entry.value);
        let (key, value) = (entry.key_span, entry.value.span);
        // What came by an alias stands before its key.
        if matches!(entry.value.value, Value::Scalar(..) | Value::Unknown) && value.start > key.end {
            self.add(Span { start: key.end + 1, end: value.end });
        }
    }

    /// All scalars of a `Secret` but its name and type, which are no secrets.
    pub(super) fn mark_secret(&mut self, node: &Node<'_>) {
        let Some(entries) = node.entries() else { return self.mark(node) };
        for entry in entries {
            let text = entry.value.text().unwrap_or_default();
            match &*entry.key {
                "name" if !text.is_empty() => {}
                "@type" if text.contains('/') => {}
                _ if looks_like_a_field(entry) => self.mark_entry(entry),
                _ => self.add(node.span),
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
                        self.mark_entry(entry);
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

/// Whether a key was meant as one, and is no text that came to be a key.
pub(super) fn looks_like_a_field(entry: &Entry<'_>) -> bool {
    !entry.value.is_null() && entry.key.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// Whether one of these places, in order and apart, overlaps with this one.
pub(super) fn overlaps(sensitive: &[Span], span: Span) -> bool {
    let behind = sensitive.partition_point(|known| known.end <= span.start);
    sensitive.get(behind).is_some_and(|known| known.start < span.end.max(span.start + 1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::envoy_api::Api;

    #[test]
    fn every_sensitive_field_of_the_api_is_suspect() {
        let api = Api::embedded().expect("the shipped set is whole");
        let types = api.message_names().filter_map(|name| api.message(name));
        let fields = types.flat_map(|ty| &ty.fields).filter(|field| field.sensitive);
        let names = fields.flat_map(|field| [&*field.name, &*field.json_name]);
        // This one is everywhere, and what is in it has its own names.
        let missing: BTreeSet<&str> = names
            .filter(|name| !SUSPECT_KEYS.contains(name) && !matches!(*name, "typed_config" | "typedConfig"))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn places_are_in_order_and_apart() {
        let span = |start, end| Span { start, end };
        let mut places = Sensitive(vec![span(5, 9), span(1, 2), span(8, 12), span(2, 3)]);
        let places = places.spans();
        assert_eq!(places, [span(1, 3), span(5, 12)]);
        assert!(
            overlaps(&places, span(11, 20)) && overlaps(&places, span(6, 6)) && overlaps(&places, span(0, 2))
        );
        assert!(!overlaps(&places, span(3, 5)) && !overlaps(&places, span(12, 13)));
    }
}
