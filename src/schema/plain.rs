//! Scalars and enums, with the freedom that the loader gives: numbers and booleans as texts, names of
//! enum values in any case, `${NAME}` in place of anything, nothing for "not given".

use serde_json::{Value as Json, json};

use crate::envoy_api::{EnumType, EnumValue, Scalar, comment};

/// A reference to a variable, somewhere in a text: what the text will be is not known here.
const VARIABLE: &str = "\\$\\{";

/// A number written as a text.
const NUMBER: &str = "^[+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+(?:\\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)$";

/// Longest words of an enum value in the description of the enum.
const VALUE_WORDS: usize = 120;

pub(super) fn scalar(scalar: Scalar) -> Json {
    match scalar {
        Scalar::String => json!({
            "type": ["string", "number", "null"],
            // Larger numbers, and those with a fraction, are taken for texts.
            "if": { "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX },
            "then": { "type": ["string", "null"] },
        }),
        // What `!file` names is no base64, and tags are not seen here.
        Scalar::Bytes => json!({ "type": ["string", "null"] }),
        Scalar::Bool => {
            let words = ["true", "t", "yes", "y", "1", "false", "f", "no", "n", "0", "on", "off"];
            let words: Vec<String> = words.into_iter().map(in_any_case).collect();
            json!({
                "type": ["boolean", "string", "null"],
                "pattern": format!("^(?:{})$|{VARIABLE}", words.join("|")),
            })
        }
        Scalar::Double | Scalar::Float => json!({
            "type": ["number", "string", "null"],
            "pattern": format!("{NUMBER}|^\\s*[+-]?(?:[nN]|[iI]|\\.?[0-9])|{VARIABLE}"),
        }),
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => {
            integer(Some((i32::MIN.into(), i32::MAX.into())))
        }
        Scalar::Uint32 | Scalar::Fixed32 => integer(Some((0, u32::MAX.into()))),
        Scalar::Uint64 | Scalar::Fixed64 => integer(Some((0, u64::MAX.into()))),
        Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => integer(None),
    }
}

fn integer(limits: Option<(i128, i128)>) -> Json {
    let pattern = format!("{NUMBER}|{VARIABLE}");
    let mut schema = json!({ "type": ["integer", "string", "null"], "pattern": pattern });
    if let Some((low, high)) = limits {
        schema["minimum"] = json!(i64::try_from(low).unwrap_or(i64::MIN));
        schema["maximum"] = json!(u64::try_from(high).unwrap_or(u64::MAX));
    }
    schema
}

/// An enum's value by its name; also in any case, by its number, and those better not written.
pub(super) fn enumeration(ty: &EnumType) -> Json {
    let of = |name: &str| comment(&format!("{}.{name}", ty.name));
    let names = |is_offered: &dyn Fn(&EnumValue) -> bool| -> Vec<&str> {
        ty.values.iter().filter(|value| is_offered(value)).map(|value| &*value.name).collect()
    };
    let mut offered = names(&|value| !value.deprecated && !value.disallowed && !of(&value.name).is_hidden);
    if offered.is_empty() {
        offered = names(&|_| true);
    }
    let taken: Vec<String> =
        ty.values.iter().filter(|value| !value.disallowed).map(|value| in_any_case(&value.name)).collect();
    let words = offered.iter().filter(|name| !of(name).words.is_empty());
    let words: Vec<String> = words.map(|name| format!("{name}: {}", sentence(of(name).words))).collect();
    let pattern = format!("^(?:{})$|^\\s*-?[0-9]+\\s*$|{VARIABLE}", taken.join("|"));
    let schema = json!({ "anyOf": [{ "enum": offered }, { "type": ["string", "integer", "null"], "pattern": pattern }] });
    super::described(schema, &words.join("\n\n"))
}

/// The first sentence, if it is short enough.
fn sentence(words: &str) -> &str {
    let first = words.split_once(". ").map_or(words, |(first, _)| first);
    let end = (0..=VALUE_WORDS.min(first.len())).rev().find(|at| first.is_char_boundary(*at)).unwrap_or(0);
    if first.len() <= VALUE_WORDS { first } else { &first[..end] }
}

/// A pattern for a word in capitals or not.
fn in_any_case(word: &str) -> String {
    let letter = |c: char| match c {
        'a'..='z' | 'A'..='Z' => format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase()),
        other => other.to_string(),
    };
    word.chars().map(letter).collect()
}
