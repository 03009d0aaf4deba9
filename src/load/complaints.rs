//! Says in words what is wrong with a value, by the rules of the API.
//!
//! Comes in: a rule and a value. Goes out: the end of a sentence ("must not be empty"), or nothing if
//! the value is right, which costs comparisons and no memory. The value itself is never part of it.

use std::borrow::Cow;
use std::fmt::Display;

use super::written::Written;
use crate::envoy_api::{Check, EnumRules, HttpText, Limits, TextRules};

/// What is wrong with a value, as the end of a sentence: "must not be empty".
pub(super) type Complaint = Cow<'static, str>;

/// What is wrong with a value, if anything is. `name_of` gives the names of an enum's values.
pub(super) fn complaint<'n>(
    check: &Check,
    written: Written<'_>,
    name_of: impl Fn(i32) -> Option<&'n str>,
) -> Option<Complaint> {
    match (check, written) {
        (Check::Text(rules), Written::Text(text)) => text_complaint(rules, text),
        (Check::Bytes(rules), Written::Bytes(bytes)) => {
            let skip = bytes.is_empty() && rules.ignore_empty;
            if skip { None } else { length_complaint(bytes.len() as u64, rules.min, rules.max, "byte") }
        }
        (Check::Bool(only), Written::Bool(value)) => {
            (value != *only).then(|| format!("must be {only}").into())
        }
        (Check::Signed(limits), Written::Signed(value)) => {
            limits_complaint(limits, &value, |v| v.to_string())
        }
        (Check::Unsigned(limits), Written::Unsigned(value)) => {
            limits_complaint(limits, &value, |v| v.to_string())
        }
        (Check::Double(limits), Written::Double(value)) => {
            limits_complaint(limits, &value, |v| v.to_string())
        }
        (Check::Duration(limits), Written::Nanos(value)) => limits_complaint(limits, &value, |v| seconds(*v)),
        (Check::Enum(rules), Written::Enum(value)) => enum_complaint(rules, value, name_of),
        // Rules of another type than the value's: whoever wrote them made a mistake, not the user.
        _ => None,
    }
}

fn text_complaint(rules: &TextRules, text: &str) -> Option<Complaint> {
    if rules.ignore_empty && text.is_empty() {
        return None;
    }
    let is_shorter = |limit: u64| (text.len() as u64) < limit;
    // Characters are counted only where the bytes leave it open.
    let chars = || text.chars().count() as u64;
    if is_shorter(rules.min_chars) || rules.min_chars > 1 && chars() < rules.min_chars {
        return too_short(rules.min_chars, "character");
    }
    if is_shorter(rules.min_bytes) {
        return too_short(rules.min_bytes, "byte");
    }
    if let Some(max) = rules.max_chars.filter(|max| text.len() as u64 > *max && chars() > *max) {
        return too_long(max, "character");
    }
    if let Some(max) = rules.max_bytes.filter(|max| text.len() as u64 > *max) {
        return too_long(max, "byte");
    }
    if let Some(complaint) = rules.http.and_then(|form| http_complaint(form, text)) {
        return Some(complaint);
    }
    if !rules.only.is_empty() && !rules.only.iter().any(|only| **only == *text) {
        return Some(format!("must be {}", one_of(&rules.only)).into());
    }
    if rules.never.iter().any(|never| **never == *text) {
        return Some(format!("must not be {}", one_of(&rules.never)).into());
    }
    let (prefix, suffix, contains) = (&*rules.prefix, &*rules.suffix, &*rules.contains);
    Some(if !text.starts_with(prefix) {
        format!("must begin with `{prefix}`").into()
    } else if !text.ends_with(suffix) {
        format!("must end with `{suffix}`").into()
    } else if !text.contains(contains) {
        format!("must contain `{contains}`").into()
    } else if let Some(never) = rules.not_contains.as_deref().filter(|never| text.contains(*never)) {
        format!("must not contain `{never}`").into()
    } else if let Some(pattern) = rules.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        let pattern = pattern.as_str();
        let inner = pattern.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$")).unwrap_or(pattern);
        format!("must match the regular expression `{inner}`").into()
    } else {
        return None;
    })
}

/// protoc-gen-validate's own patterns for headers, `HTTP_HEADER_NAME` and `HTTP_HEADER_VALUE`.
fn http_complaint(form: HttpText, text: &str) -> Option<Complaint> {
    let is_bad = match form {
        HttpText::Lenient => |byte: u8| matches!(byte, 0 | b'\n' | b'\r'),
        HttpText::Value => |byte: u8| matches!(byte, 0..=8 | 0x0a..=0x1f | 0x7f),
        HttpText::Name => |byte: u8| !(byte.is_ascii_alphanumeric() || b"!#$%&'*+,-.^_|~`".contains(&byte)),
    };
    let judged = if form == HttpText::Name { text.strip_prefix(':').unwrap_or(text) } else { text };
    if let Some(at) = judged.bytes().position(is_bad) {
        let shown = match judged.as_bytes()[at] {
            b' ' => "a blank".to_owned(),
            b'\n' | b'\r' => "a line break".to_owned(),
            byte if byte.is_ascii_graphic() => format!("`{}`", byte as char),
            byte if byte.is_ascii() => format!("the control character 0x{byte:02x}"),
            _ => "a character beyond ASCII".to_owned(),
        };
        let what = match form {
            HttpText::Lenient => "a header",
            HttpText::Name => "the name of a header",
            HttpText::Value => "the value of a header",
        };
        return Some(format!("cannot hold {shown}: it stands in {what}").into());
    }
    (form == HttpText::Name && judged.is_empty()).then_some("must not be empty".into())
}

fn enum_complaint<'n>(
    rules: &EnumRules,
    value: i32,
    name_of: impl Fn(i32) -> Option<&'n str>,
) -> Option<Complaint> {
    let name = |number: &i32| name_of(*number).map_or_else(|| number.to_string(), str::to_owned);
    if rules.defined_only && name_of(value).is_none() {
        return Some(format!("cannot be {value}, which is no value of its type").into());
    }
    if !rules.only.is_empty() && !rules.only.contains(&value) {
        let names: Vec<String> = rules.only.iter().map(name).collect();
        return Some(format!("must be {}", one_of(&names)).into());
    }
    rules.never.contains(&value).then(|| format!("must not be {}", name(&value)).into())
}

fn limits_complaint<T: PartialOrd>(
    limits: &Limits<T>,
    value: &T,
    show: impl Fn(&T) -> String,
) -> Option<Complaint> {
    if limits.low.is_none() && limits.high.is_none() && limits.only.is_empty() && limits.never.is_empty() {
        return None;
    }
    // Not "smaller": what cannot be compared, as NaN, is not within limits either.
    let too_low =
        limits.low.as_ref().filter(|low| !(*value > low.value || low.inclusive && *value == low.value));
    let too_high =
        limits.high.as_ref().filter(|high| !(*value < high.value || high.inclusive && *value == high.value));
    let complaint = if let Some(low) = too_low {
        let than = if low.inclusive { "at least" } else { "greater than" };
        format!("must be {than} {}", show(&low.value))
    } else if let Some(high) = too_high {
        let than = if high.inclusive { "at most" } else { "less than" };
        format!("must be {than} {}", show(&high.value))
    } else if !limits.only.is_empty() && !limits.only.contains(value) {
        format!("must be {}", one_of(&limits.only.iter().map(show).collect::<Vec<_>>()))
    } else if limits.never.contains(value) {
        format!("must not be {}", show(value))
    } else {
        return None;
    };
    Some(complaint.into())
}

/// Nanoseconds as the API writes durations: `0.25s`.
fn seconds(nanos: i128) -> String {
    let (sign, nanos) = if nanos < 0 { ("-", -nanos) } else { ("", nanos) };
    let (whole, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let rest = format!(".{rest:09}");
    format!("{sign}{whole}{}s", rest.trim_end_matches('0').trim_end_matches('.'))
}

fn length_complaint(len: u64, min: u64, max: Option<u64>, unit: &str) -> Option<Complaint> {
    if len < min {
        return too_short(min, unit);
    }
    max.filter(|max| len > *max).and_then(|max| too_long(max, unit))
}

/// What is wrong with a number of elements or entries.
pub(super) fn count_complaint(count: usize, min: u64, max: Option<u64>, unit: &str) -> Option<Complaint> {
    length_complaint(count as u64, min, max, unit)
}

fn too_short(min: u64, unit: &str) -> Option<Complaint> {
    Some(match min {
        1 => Complaint::Borrowed("must not be empty"),
        _ => format!("must have at least {min} {}", plural(min, unit)).into(),
    })
}

fn too_long(max: u64, unit: &str) -> Option<Complaint> {
    Some(format!("must have at most {max} {}", plural(max, unit)).into())
}

fn plural(count: u64, unit: &str) -> String {
    match (count, unit) {
        (1, unit) => unit.to_owned(),
        (_, "entry") => "entries".to_owned(),
        (_, unit) => format!("{unit}s"),
    }
}

fn one_of<T: Display>(all: &[T]) -> String {
    let quoted: Vec<String> = all.iter().map(|one| format!("`{one}`")).collect();
    if quoted.len() == 1 { quoted.concat() } else { format!("one of {}", quoted.join(", ")) }
}
