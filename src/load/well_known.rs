//! The types that proto3 JSON writes in a form of their own, and the free-form ones.
//!
//! Each is also taken in the form of a mapping of its fields (`{seconds: 1}`), as by Envoy's loader.
//! Nothing is unknown inside a `Struct`; only there the way a scalar is typed can be seen.

use prost::encoding::{WireType, encode_key};

use super::decode::Decoder;
use super::scalar::{self, Seconds, Typed, typed};
use super::wire;
use super::written;
use super::yaml::{Entry, Node, Style, Value};
use crate::envoy_api::{MessageType, WellKnown};

impl<'a> Decoder<'a> {
    /// Appends a message of a well-known type.
    pub(super) fn well_known(
        &mut self,
        ty: &'a MessageType,
        known: WellKnown,
        node: &Node<'_>,
        out: &mut Vec<u8>,
    ) {
        let is_mapping = matches!(node.value, Value::Mapping(_));
        match known {
            WellKnown::Any => self.any(node, out),
            WellKnown::Value => value(node, out),
            WellKnown::Struct => match &node.value {
                Value::Mapping(entries) => structure(entries, out),
                _ => {
                    self.findings.wrong_type(node, "a mapping");
                }
            },
            WellKnown::Empty => self.fields(ty, node, false, out),
            WellKnown::Duration if is_mapping => {
                let start = out.len();
                self.fields(ty, node, false, out);
                self.judge_parts(node, written::seconds(&out[start..]));
            }
            _ if is_mapping => self.fields(ty, node, false, out),
            WellKnown::ListValue => match &node.value {
                Value::Sequence(elements) => list_value(elements, out),
                _ => {
                    self.findings.wrong_type(node, "a list");
                }
            },
            WellKnown::Duration => seconds(self.duration(node), out),
            WellKnown::Timestamp => seconds(self.timestamp(node), out),
            WellKnown::FieldMask => self.field_mask(node, out),
            WellKnown::Wrapper(scalar) => {
                let start = out.len();
                encode_key(1, super::scalars::wire_type(scalar), out);
                if !self.scalar(scalar, node, out) {
                    out.truncate(start);
                }
            }
        }
    }

    pub(super) fn duration(&mut self, node: &Node<'_>) -> Option<Seconds> {
        if matches!(node.value, Value::Unknown) {
            return None;
        }
        let Some(Typed::Text(text)) = typed(node) else {
            let unit = match typed(node) {
                Some(Typed::Number(number)) if !self.findings.secret => Some(format!("{number}s")),
                _ => None,
            };
            let message = format!("expected a duration, got {}", self.findings.describe(node));
            let span = self.findings.head(node.span);
            let finding = self.findings.error("bad-duration", span, message);
            finding.hint = Some(duration_hint(unit.as_deref()));
            return None;
        };
        let read = scalar::duration(&text);
        if let Some(read) = read {
            self.judge_length(node, read);
        } else {
            let message = format!("{} is not a duration", self.findings.quote(&text));
            let hint = duration_hint(in_seconds(&text).as_deref().filter(|_| !self.findings.secret));
            let span = self.findings.head(node.span);
            self.findings.error("bad-duration", span, message).hint = Some(hint);
        }
        read
    }

    /// Envoy counts in nanoseconds, which have 64 bits.
    fn judge_length(&mut self, node: &Node<'_>, read: Seconds) {
        const LONGEST: u64 = 9_223_372_035;
        if read.seconds.unsigned_abs() > LONGEST {
            let span = self.findings.head(node.span);
            let message =
                format!("Envoy takes no duration of more than {LONGEST} seconds, which are 292 years");
            self.findings.error("bad-duration", span, message).hint =
                Some("most timeouts are switched off by 0s".to_owned());
        }
    }

    /// What is given in seconds and nanoseconds is within protobuf's own limits.
    fn judge_parts(&mut self, node: &Node<'_>, (seconds, nanos): (i64, i64)) {
        let complaint = if !(-999_999_999..=999_999_999).contains(&nanos) {
            "`nanos` is less than a second: at most 999999999"
        } else if seconds.signum() * nanos.signum() < 0 {
            "`seconds` and `nanos` must have the same sign"
        } else {
            return self.judge_length(node, Seconds { seconds, nanos: 0 });
        };
        let span = self.findings.head(node.span);
        self.findings.error("bad-duration", span, complaint);
    }

    fn timestamp(&mut self, node: &Node<'_>) -> Option<Seconds> {
        let text = match typed(node) {
            Some(Typed::Text(text)) => text,
            _ => {
                self.findings.wrong_type(node, "a point in time");
                return None;
            }
        };
        let read = scalar::timestamp(&text);
        if read.is_none() {
            let message = format!("{} is not a point in time", self.findings.quote(&text));
            let span = self.findings.head(node.span);
            self.findings.error("bad-timestamp", span, message).hint =
                Some("write it like 2026-01-31T12:00:00Z".to_owned());
        }
        read
    }

    fn field_mask(&mut self, node: &Node<'_>, out: &mut Vec<u8>) {
        let Some(Typed::Text(text)) = typed(node) else {
            self.findings.wrong_type(node, "field names separated by commas");
            return;
        };
        for path in text.split(',').filter(|_| !text.is_empty()) {
            let mut snake = String::with_capacity(path.len() + 4);
            for c in path.chars() {
                if c.is_ascii_uppercase() {
                    snake.push('_');
                }
                snake.push(c.to_ascii_lowercase());
            }
            wire::bytes(1, snake.as_bytes(), out);
        }
    }
}

fn seconds(value: Option<Seconds>, out: &mut Vec<u8>) {
    let Some(Seconds { seconds, nanos }) = value else { return };
    if seconds != 0 {
        wire::varint(1, seconds as u64, out);
    }
    if nanos != 0 {
        wire::varint(2, i64::from(nanos) as u64, out);
    }
}

fn duration_hint(meant: Option<&str>) -> String {
    match meant {
        Some(text) => format!("write {text}: a duration is a number of seconds followed by `s`"),
        None => "a duration is a number of seconds followed by `s`, such as 1.5s or 300s".to_owned(),
    }
}

/// What `250ms`, `1m`, `.5s` and the like probably mean.
fn in_seconds(text: &str) -> Option<String> {
    let text = text.trim();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let number: f64 = text[..unit_at].trim().parse().ok()?;
    let factor = match &text[unit_at..] {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" | "sec" | "seconds" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let seconds = number * factor;
    (seconds.is_finite() && seconds.abs() < 1e9).then(|| format!("{seconds}s"))
}

/// Appends a `google.protobuf.Value`: always one member of its oneof.
fn value(node: &Node<'_>, out: &mut Vec<u8>) {
    const NULL: u32 = 1;
    const NUMBER: u32 = 2;
    const TEXT: u32 = 3;
    const BOOL: u32 = 4;
    const STRUCT: u32 = 5;
    const LIST: u32 = 6;
    match &node.value {
        Value::Scalar(text, Style::Number) if node.tag.is_none() => {
            encode_key(NUMBER, WireType::SixtyFourBit, out);
            out.extend_from_slice(&scalar::json_number(text).unwrap_or_default().to_le_bytes());
        }
        Value::Mapping(entries) => {
            let at = wire::begin(STRUCT, out);
            structure(entries, out);
            wire::end(at, out);
        }
        Value::Sequence(elements) => {
            let at = wire::begin(LIST, out);
            list_value(elements, out);
            wire::end(at, out);
        }
        _ => match typed(node) {
            Some(Typed::Bool(value)) => wire::varint(BOOL, u64::from(value), out),
            Some(Typed::Number(number)) => {
                encode_key(NUMBER, WireType::SixtyFourBit, out);
                out.extend_from_slice(&f64::from(number).to_le_bytes());
            }
            Some(Typed::Text(text)) => wire::bytes(TEXT, text.as_bytes(), out),
            Some(Typed::Null) | None => wire::varint(NULL, 0, out),
        },
    }
}

/// Appends a `google.protobuf.Struct`: a map from text to values.
fn structure(entries: &[Entry<'_>], out: &mut Vec<u8>) {
    let mut sorted: Vec<&Entry<'_>> = entries.iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    for entry in sorted {
        let at = wire::begin(1, out);
        if !entry.key.is_empty() {
            wire::bytes(1, entry.key.as_bytes(), out);
        }
        let inner = wire::begin(2, out);
        value(&entry.value, out);
        wire::end(inner, out);
        wire::end(at, out);
    }
}

/// Appends a `google.protobuf.ListValue`.
fn list_value(elements: &[Node<'_>], out: &mut Vec<u8>) {
    for element in elements {
        let at = wire::begin(1, out);
        value(element, out);
        wire::end(at, out);
    }
}
