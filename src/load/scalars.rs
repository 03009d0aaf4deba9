//! Fields that hold one plain value: enums, texts, bytes, booleans, numbers.
//!
//! Takes what Envoy's loader takes (numbers as texts, `80.0` for 80, enums in any case or by number)
//! and says in words what it refuses.

use std::borrow::Cow;

use prost::encoding::{WireType, encode_varint};

use super::decode::Decoder;
use super::scalar::{self, NumberError, Typed, typed};
use super::suggest;
use super::wire;
use super::yaml::{Node, Style, Value};
use crate::diagnostic::Severity;
use crate::envoy_api::{Check, EnumId, FieldType, Scalar};

impl Decoder<'_> {
    /// The number of an enum value; zero if it has none.
    pub(super) fn enumeration(&mut self, field: &FieldType, id: EnumId, node: &Node<'_>) -> i32 {
        let ty = self.api.enum_type(id);
        let kind = suggest::short(&ty.name);
        let text = match typed(node) {
            Some(Typed::Text(text)) => text,
            Some(Typed::Number(number)) => {
                let value = ty.by_number(number);
                if let Some(value) = value.filter(|value| value.disallowed) {
                    self.disallowed_value(&value.name, kind, node);
                }
                if value.is_none() && !is_judged(field) {
                    let message = format!(
                        "{} is no value of {kind} that is known here",
                        self.findings.quote(&number.to_string())
                    );
                    self.findings.add(Severity::Warning, "unknown-enum-value", node.span, message);
                }
                return number;
            }
            Some(Typed::Null) => return 0,
            _ => {
                let finding = self.findings.wrong_type(node, &format!("a value of {kind}"));
                finding.hint = suggest::possible(ty.values.iter().map(|value| &*value.name));
                return 0;
            }
        };
        if let Some(value) = ty.by_name_any_case(&text) {
            if value.disallowed {
                self.disallowed_value(&value.name, kind, node);
            } else if value.deprecated {
                let message = format!("the value `{}` of {kind} is deprecated", value.name);
                self.findings.add(Severity::Warning, "deprecated-value", node.span, message);
            }
            return value.number;
        }
        if let Ok(number) = text.trim().parse() {
            return number;
        }
        let message = format!("{} is not a value of {kind}", self.findings.quote(&text));
        let names = ty.values.iter().map(|value| &*value.name);
        let near = if self.findings.is_full() { None } else { suggest::nearest(&text, names.clone()) };
        let hint = match near {
            Some(_) if self.findings.secret => None,
            Some(name) => Some(format!("did you mean `{name}`?")),
            None => suggest::possible(names),
        };
        let span = self.findings.head(node.span);
        self.findings.error("unknown-enum-value", span, message).hint = hint;
        0
    }

    fn disallowed_value(&mut self, name: &str, kind: &str, node: &Node<'_>) {
        let message = format!("the value `{name}` of {kind} is no longer possible");
        self.findings.error("disallowed-value", node.span, message).hint =
            Some("Envoy knows it by name only, to refuse it".to_owned());
    }

    /// Appends a scalar without tag; `false` if it has its default value, or none because of a mistake.
    pub(super) fn scalar(&mut self, scalar: Scalar, node: &Node<'_>, out: &mut Vec<u8>) -> bool {
        match scalar {
            Scalar::String => self.string(node).is_some_and(|text| {
                encode_varint(text.len() as u64, out);
                out.extend_from_slice(text.as_bytes());
                !text.is_empty()
            }),
            Scalar::Bytes => self.bytes(node).is_some_and(|bytes| {
                encode_varint(bytes.len() as u64, out);
                out.extend_from_slice(&bytes);
                !bytes.is_empty()
            }),
            Scalar::Bool => self.boolean(node).is_some_and(|value| {
                out.push(u8::from(value));
                value
            }),
            Scalar::Double => self.double(node).is_some_and(|value| {
                out.extend_from_slice(&value.to_le_bytes());
                value.to_bits() != 0
            }),
            Scalar::Float => self.float(node).is_some_and(|value| {
                out.extend_from_slice(&value.to_le_bytes());
                value.to_bits() != 0
            }),
            Scalar::Uint32 | Scalar::Fixed32 | Scalar::Uint64 | Scalar::Fixed64 => {
                self.unsigned(scalar, node).is_some_and(|value| {
                    wire::unsigned(scalar, value, out);
                    value != 0
                })
            }
            _ => self.signed(scalar, node).is_some_and(|value| {
                wire::signed(scalar, value, out);
                value != 0
            }),
        }
    }

    fn string<'n>(&mut self, node: &'n Node<'_>) -> Option<Cow<'n, str>> {
        match typed(node) {
            Some(Typed::Text(text)) if !is_number(node) => Some(text),
            Some(Typed::Text(_) | Typed::Bool(_) | Typed::Number(_)) => {
                let shown = (!self.findings.secret).then(|| self.findings.written(node.span));
                let finding = self.findings.wrong_type(node, "a text");
                finding.hint = Some(match shown {
                    Some(text) => format!("quote it, as Envoy wants it too: \"{text}\""),
                    None => "put it in quotes".to_owned(),
                });
                None
            }
            _ => {
                self.findings.wrong_type(node, "a text");
                None
            }
        }
    }

    fn bytes(&mut self, node: &Node<'_>) -> Option<Vec<u8>> {
        if let Value::File(bytes) = &node.value {
            return Some(bytes.to_vec());
        }
        let text = self.string(node)?;
        let bytes = scalar::base64(&text);
        if bytes.is_none() {
            let message = format!("expected bytes in base64, got {}", self.findings.quote(&text));
            let span = self.findings.head(node.span);
            let finding = self.findings.error("bad-base64", span, message);
            finding.hint = Some("for readable text, most such fields have a sibling: `inline_string` instead of `inline_bytes`".to_owned());
        }
        bytes
    }

    fn boolean(&mut self, node: &Node<'_>) -> Option<bool> {
        let value = match typed(node) {
            Some(Typed::Bool(value)) => Some(value),
            Some(Typed::Text(text)) => scalar::quoted_bool(&text),
            _ => None,
        };
        if value.is_none() {
            let meant = match typed(node) {
                Some(Typed::Number(1)) => Some("write true"),
                Some(Typed::Number(0)) => Some("write false"),
                _ => None,
            };
            let is_secret = self.findings.secret;
            self.findings.wrong_type(node, "true or false").hint =
                meant.filter(|_| !is_secret).map(str::to_owned);
        }
        value
    }

    fn double(&mut self, node: &Node<'_>) -> Option<f64> {
        let value = match typed(node) {
            Some(Typed::Number(number)) => Some(f64::from(number)),
            Some(Typed::Text(text)) => scalar::double(&text),
            _ => None,
        };
        if value.is_none() {
            self.findings.wrong_type(node, "a number");
        }
        value
    }

    fn float(&mut self, node: &Node<'_>) -> Option<f32> {
        let value = self.double(node)?;
        let narrow = value as f32;
        if value.is_finite() && !narrow.is_finite() {
            self.out_of_range(node, "does not fit a 32-bit floating-point number");
            return None;
        }
        Some(narrow)
    }

    fn signed(&mut self, scalar: Scalar, node: &Node<'_>) -> Option<i64> {
        let is_small = matches!(scalar, Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32);
        let (low, high) =
            if is_small { (i64::from(i32::MIN), i64::from(i32::MAX)) } else { (i64::MIN, i64::MAX) };
        let read = match typed(node) {
            Some(Typed::Number(number)) => Ok(i64::from(number)),
            Some(Typed::Text(text)) => scalar::signed(&text),
            _ => Err(NumberError::NotANumber),
        };
        let read = read.and_then(|value| {
            if (low..=high).contains(&value) { Ok(value) } else { Err(NumberError::OutOfRange) }
        });
        read.map_err(|error| self.bad_integer(node, error, "a whole number", &format!("{low} to {high}")))
            .ok()
    }

    fn unsigned(&mut self, scalar: Scalar, node: &Node<'_>) -> Option<u64> {
        let is_small = matches!(scalar, Scalar::Uint32 | Scalar::Fixed32);
        let high = if is_small { u64::from(u32::MAX) } else { u64::MAX };
        let read = match typed(node) {
            Some(Typed::Number(number)) => u64::try_from(number).map_err(|_| NumberError::OutOfRange),
            Some(Typed::Text(text)) => scalar::unsigned(&text),
            _ => Err(NumberError::NotANumber),
        };
        let read =
            read.and_then(|value| if value <= high { Ok(value) } else { Err(NumberError::OutOfRange) });
        read.map_err(|error| self.bad_integer(node, error, "a whole number", &format!("0 to {high}"))).ok()
    }

    fn bad_integer(&mut self, node: &Node<'_>, error: NumberError, expected: &str, range: &str) {
        match error {
            NumberError::NotANumber => {
                self.findings.wrong_type(node, expected);
            }
            NumberError::Fraction => {
                self.findings.wrong_type(node, &format!("{expected}, without a fraction"));
            }
            NumberError::OutOfRange => self.out_of_range(node, &format!("is not within {range}")),
        }
    }

    fn out_of_range(&mut self, node: &Node<'_>, complaint: &str) {
        let message = format!("{} {complaint}", self.findings.quote(node.text().unwrap_or_default()));
        self.findings.error("out-of-range", node.span, message);
    }
}

/// Whether a constraint speaks about values that are not known.
fn is_judged(field: &FieldType) -> bool {
    let defined_only = |check: &Check| matches!(check, Check::Enum(rules) if rules.defined_only);
    match field.rules.as_ref().and_then(|rules| rules.check.as_ref()) {
        Some(Check::List(rules)) => {
            rules.items.as_ref().and_then(|items| items.check.as_ref()).is_some_and(defined_only)
        }
        Some(check) => defined_only(check),
        None => false,
    }
}

/// How a scalar stands on the wire.
pub(super) fn wire_type(scalar: Scalar) -> WireType {
    match scalar {
        Scalar::String | Scalar::Bytes => WireType::LengthDelimited,
        Scalar::Double | Scalar::Fixed64 | Scalar::Sfixed64 => WireType::SixtyFourBit,
        Scalar::Float | Scalar::Fixed32 | Scalar::Sfixed32 => WireType::ThirtyTwoBit,
        _ => WireType::Varint,
    }
}

/// The zero of a type, without tag.
pub(super) fn default_scalar(scalar: Scalar, out: &mut Vec<u8>) {
    let zeros = match wire_type(scalar) {
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        _ => 1,
    };
    out.resize(out.len() + zeros, 0);
}

/// Whether this is a number of JSON, even one that YAML has as a text.
fn is_number(node: &Node<'_>) -> bool {
    matches!(node.value, Value::Scalar(_, Style::Number))
}
