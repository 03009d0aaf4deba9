//! The tree that YAML is read into: values that know their places, scalars not yet typed.

use std::borrow::Cow;

use bytes::Bytes;

use crate::diagnostic::Span;

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node<'t> {
    /// What it is.
    pub value: Value<'t>,
    /// Where it stands. Of what came by an alias: where it was written.
    pub span: Span,
    /// Its explicit tag, if it has one.
    pub tag: Option<Box<str>>,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub enum Value<'t> {
    /// A text, not yet typed.
    Scalar(Cow<'t, str>, Style),
    /// The content of a file that `!file` names.
    File(Bytes),
    /// What is not known: a finding says why, or a file is yet to be read. No more is to be said of it.
    Unknown,
    /// Entries in the order of the file; keys differ.
    Mapping(Vec<Entry<'t>>),
    /// Elements.
    Sequence(Vec<Node<'t>>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry<'t> {
    /// The key's text.
    pub key: Cow<'t, str>,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node<'t>,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// Without quotes and a number, in a file that is JSON.
    Number,
    /// In single or double quotes.
    Quoted,
    /// As `|` or `>` block.
    Block,
}

impl<'t> Node<'t> {
    /// Whether it is YAML's null: nothing, `~` or `null`, unquoted and untagged.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(text, Style::Plain)
            if self.tag.is_none() && matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The entries of a mapping.
    pub fn entries(&self) -> Option<&[Entry<'t>]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value under the first of these keys that a mapping has; null counts as absent.
    pub fn get(&self, keys: &[&str]) -> Option<&Node<'t>> {
        let entry = self.entries()?.iter().find(|entry| keys.contains(&&*entry.key))?;
        (!entry.value.is_null()).then_some(&entry.value)
    }

    /// The text of a scalar that is not null.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) if !self.is_null() => Some(text),
            Value::File(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The elements of a list; of anything else but null, itself: Envoy takes one value for a list.
    pub fn elements(&self) -> &[Node<'t>] {
        match &self.value {
            Value::Sequence(elements) => elements,
            _ if self.is_null() => &[],
            _ => std::slice::from_ref(self),
        }
    }
}
