//! The messages that have a form of their own in JSON: `Any`, times, `Struct`, wrappers.

use chrono::{DateTime, SecondsFormat};

use super::{Malformed, Raw, Read, Reader};
use crate::envoy_api::{MessageType, Scalar, WellKnown};
use crate::migrate::tree::Node;
use crate::migrate::typed::type_of;

impl Reader<'_> {
    /// The types that have a form of their own in JSON.
    pub(super) fn well_known(
        &mut self,
        form: WellKnown,
        ty: &MessageType,
        raw: &[(u32, Raw<'_>)],
        is_secret: bool,
    ) -> Read<Node> {
        let bad = || Malformed(ty.name.to_string());
        Ok(match form {
            WellKnown::Any => {
                let url = std::str::from_utf8(bytes(raw, 1)).map_err(|_| bad())?;
                return self.any(url, bytes(raw, 2), is_secret);
            }
            WellKnown::Duration => Node::plain(&seconds(number(raw, 1), number(raw, 2))),
            WellKnown::Timestamp => timestamp(number(raw, 1), number(raw, 2)).ok_or_else(bad)?,
            WellKnown::FieldMask => field_mask(raw),
            WellKnown::Empty => Node::map([]),
            WellKnown::Struct | WellKnown::ListValue => {
                let inner = self.fields(ty, raw, is_secret)?;
                let key = if form == WellKnown::Struct { "fields" } else { "values" };
                let empty = if form == WellKnown::Struct { Node::map([]) } else { Node::list([]) };
                inner.get(key).cloned().unwrap_or(empty)
            }
            WellKnown::Value => {
                let Some((at, _)) = raw.last() else { return Ok(Node::plain("null")) };
                let inner = self.fields(ty, raw, is_secret)?;
                match (at, inner.entries().last()) {
                    (1, _) | (_, None) => Node::plain("null"),
                    (_, Some(child)) => child.value.clone(),
                }
            }
            WellKnown::Wrapper(scalar) => {
                let zero = match scalar {
                    Scalar::String | Scalar::Bytes => Raw::Bytes(&[]),
                    _ => Raw::Number(0),
                };
                let value = raw.iter().rev().find(|(at, _)| *at == 1).map_or(&zero, |(_, raw)| raw);
                self.scalar(scalar, value, is_secret).ok_or_else(bad)?
            }
        })
    }

    fn any(&mut self, url: &str, bytes: &[u8], is_secret: bool) -> Read<Node> {
        let api = self.api;
        let Some(ty) = api.message(type_of(url)) else { return Err(Malformed(type_of(url).to_owned())) };
        let inner = self.message(ty, bytes, is_secret)?;
        let mut node = Node::map([("@type", Node::text(url))]);
        if ty.well_known.is_some() && !(ty.fields.is_empty()) {
            node.set("value", inner);
        } else if let Some(children) = node.edit() {
            children.extend(inner.into_items_of_map());
        }
        Ok(node)
    }
}

/// A field of a message that is a number; 0 without it.
fn number(raw: &[(u32, Raw<'_>)], at: u32) -> i64 {
    let last = raw.iter().rev().find_map(|(number, raw)| match raw {
        Raw::Number(value) if *number == at => Some(*value as i64),
        _ => None,
    });
    last.unwrap_or(0)
}

/// A field of a message that is no number; empty without it.
fn bytes<'b>(raw: &[(u32, Raw<'b>)], at: u32) -> &'b [u8] {
    let last = raw.iter().rev().find_map(|(number, raw)| match raw {
        Raw::Bytes(value) if *number == at => Some(*value),
        _ => None,
    });
    last.unwrap_or_default()
}

fn timestamp(seconds: i64, nanos: i64) -> Option<Node> {
    let at = DateTime::from_timestamp(seconds, u32::try_from(nanos).ok()?)?;
    Some(Node::text(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
}

fn field_mask(raw: &[(u32, Raw<'_>)]) -> Node {
    let paths = raw.iter().filter_map(|(_, raw)| match raw {
        Raw::Bytes(path) => Some(camel(std::str::from_utf8(path).ok()?)),
        Raw::Number(_) => None,
    });
    Node::text(&paths.collect::<Vec<_>>().join(","))
}

/// A duration in seconds with as many digits as it needs.
fn seconds(seconds: i64, nanos: i64) -> String {
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let (seconds, nanos) = (seconds.unsigned_abs(), nanos.unsigned_abs());
    let digits = format!("{nanos:09}");
    match digits.trim_end_matches('0') {
        "" => format!("{sign}{seconds}s"),
        digits => format!("{sign}{seconds}.{digits}s"),
    }
}

fn camel(path: &str) -> String {
    let mut out = String::new();
    let mut upper = false;
    for c in path.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                out.extend(c.to_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}
