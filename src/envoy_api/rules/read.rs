//! The rules of Envoy's API, read from the custom options of fields and oneofs.
//!
//! Comes in: `validate.rules`, `validate.required` and the like, of descriptors. Goes out: [`FieldRules`], made together
//! with the table of a message type, when it is first met. Rules that no API of Envoy's uses (e-mail
//! addresses, URIs, points in time) are not read.

use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, FieldDescriptor, MessageDescriptor, OneofDescriptor, ReflectMessage,
    Value,
};
use regex::Regex;

use super::{
    Bound, BytesRules, Check, EnumRules, FieldRules, HttpText, Limits, ListRules, MapRules, TextRules,
};
use crate::envoy_api::{Api, Scalar, Shape, ValueType, WellKnown};

/// The options that carry rules, looked up once.
#[derive(Debug, Default)]
pub(in crate::envoy_api) struct Options {
    pub(in crate::envoy_api) rules: Option<ExtensionDescriptor>,
    required: Option<ExtensionDescriptor>,
    disabled: Vec<ExtensionDescriptor>,
}

impl Options {
    pub(in crate::envoy_api) fn of(pool: &prost_reflect::DescriptorPool) -> Options {
        let extension = |name| pool.get_extension_by_name(name);
        Options {
            rules: extension("validate.rules"),
            required: extension("validate.required"),
            disabled: ["validate.disabled", "validate.ignored"].into_iter().filter_map(extension).collect(),
        }
    }

    /// Whether a oneof must have one of its members.
    pub(in crate::envoy_api) fn is_required(&self, oneof: &OneofDescriptor) -> bool {
        let has_options = oneof.oneof_descriptor_proto().options.is_some();
        has_options
            && self
                .required
                .as_ref()
                .is_some_and(|it| oneof.options().get_extension(it).as_bool() == Some(true))
    }

    /// Whether the rules of a message type do not count.
    pub(in crate::envoy_api) fn are_disabled(&self, message: &MessageDescriptor) -> bool {
        let is_set = |it| message.options().get_extension(it).as_bool() == Some(true);
        message.descriptor_proto().options.is_some() && self.disabled.iter().any(is_set)
    }
}

/// The rules of a field, if it has any.
pub(in crate::envoy_api) fn of_field(
    api: &Api,
    options: &Options,
    descriptor: &FieldDescriptor,
    shape: Shape,
    value: ValueType,
) -> Option<Box<FieldRules>> {
    let option = options.rules.as_ref()?;
    let options = descriptor.options();
    if !options.has_extension(option) {
        return None;
    }
    let rules = options.get_extension(option).into_owned();
    let kind = Kind::of(api, value);
    read(rules.as_message()?, shape, kind).map(Box::new)
}

/// What decides which rules a value can have.
#[derive(Clone, Copy)]
enum Kind {
    Scalar(Scalar),
    Enum,
    Duration,
    Message,
}

impl Kind {
    fn of(api: &Api, value: ValueType) -> Kind {
        match value {
            ValueType::Scalar(scalar) => Kind::Scalar(scalar),
            ValueType::Enum(_) => Kind::Enum,
            ValueType::Message(id) => match api.well_known(id) {
                Some(WellKnown::Wrapper(scalar)) => Kind::Scalar(scalar),
                Some(WellKnown::Duration) => Kind::Duration,
                _ => Kind::Message,
            },
        }
    }
}

/// Reads a `validate.FieldRules`.
fn read(rules: &DynamicMessage, shape: Shape, kind: Kind) -> Option<FieldRules> {
    let message = part(rules, "message");
    let mut required = message.as_ref().is_some_and(|message| flag(message, "required"));
    let skip = message.as_ref().is_some_and(|message| flag(message, "skip"));
    for name in ["any", "duration", "timestamp"] {
        required |= part(rules, name).is_some_and(|part| flag(&part, "required"));
    }
    let check = match shape {
        Shape::Single => single(rules, kind),
        Shape::List { .. } => part(rules, "repeated").map(|part| Check::List(Box::new(list(&part, kind)))),
        Shape::Map(key) => part(rules, "map").map(|part| Check::Map(Box::new(map(&part, key, kind)))),
    };
    (required || skip || check.is_some()).then_some(FieldRules { required, skip, check })
}

fn single(rules: &DynamicMessage, kind: Kind) -> Option<Check> {
    let scalar = match kind {
        Kind::Scalar(scalar) => scalar,
        Kind::Enum => return part(rules, "enum").map(|part| Check::Enum(enumeration(&part))),
        Kind::Duration => {
            let part = part(rules, "duration")?;
            let limits = limits(&part, nanos);
            let says_anything = limits.low.is_some()
                || limits.high.is_some()
                || !limits.only.is_empty()
                || !limits.never.is_empty();
            return says_anything.then_some(Check::Duration(limits));
        }
        Kind::Message => return None,
    };
    let part = part(rules, family(scalar))?;
    Some(match scalar {
        Scalar::String => Check::Text(Box::new(text(&part))),
        Scalar::Bytes => Check::Bytes(bytes(&part)),
        Scalar::Bool => Check::Bool(given(&part, "const")?.as_bool()?),
        Scalar::Double | Scalar::Float => Check::Double(limits(&part, double)),
        Scalar::Uint32 | Scalar::Uint64 | Scalar::Fixed32 | Scalar::Fixed64 => {
            Check::Unsigned(limits(&part, unsigned))
        }
        _ => Check::Signed(limits(&part, signed)),
    })
}

/// The field of `validate.FieldRules` for a scalar type.
fn family(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Double => "double",
        Scalar::Float => "float",
        Scalar::Int32 => "int32",
        Scalar::Int64 => "int64",
        Scalar::Uint32 => "uint32",
        Scalar::Uint64 => "uint64",
        Scalar::Sint32 => "sint32",
        Scalar::Sint64 => "sint64",
        Scalar::Fixed32 => "fixed32",
        Scalar::Fixed64 => "fixed64",
        Scalar::Sfixed32 => "sfixed32",
        Scalar::Sfixed64 => "sfixed64",
        Scalar::Bool => "bool",
        Scalar::String => "string",
        Scalar::Bytes => "bytes",
    }
}

fn limits<T>(part: &DynamicMessage, read: fn(&Value) -> Option<T>) -> Limits<T> {
    let bound = |name, inclusive| {
        let value = read(&given(part, name)?)?;
        Some(Bound { value, inclusive })
    };
    let constant = given(part, "const").and_then(|value| read(&value));
    let only = listed(part, "in", read);
    Limits {
        low: bound("gte", true).or_else(|| bound("gt", false)),
        high: bound("lte", true).or_else(|| bound("lt", false)),
        only: constant.map_or(only, |constant| Box::new([constant])),
        never: listed(part, "not_in", read),
        ignore_empty: flag(part, "ignore_empty"),
    }
}

fn text(part: &DynamicMessage) -> TextRules {
    let exact_chars = number(part, "len");
    let exact_bytes = number(part, "len_bytes");
    let only = listed(part, "in", owned);
    let strict = flag(part, "strict");
    TextRules {
        min_chars: exact_chars.or_else(|| number(part, "min_len")).unwrap_or(0),
        max_chars: exact_chars.or_else(|| number(part, "max_len")),
        min_bytes: exact_bytes.or_else(|| number(part, "min_bytes")).unwrap_or(0),
        max_bytes: exact_bytes.or_else(|| number(part, "max_bytes")),
        // An expression that does not compile is a fault of the API's, not of whoever writes values.
        pattern: word(part, "pattern").and_then(|pattern| Regex::new(&format!("^(?:{pattern})$")).ok()),
        prefix: word(part, "prefix").unwrap_or_default(),
        suffix: word(part, "suffix").unwrap_or_default(),
        contains: word(part, "contains").unwrap_or_default(),
        not_contains: word(part, "not_contains"),
        only: word(part, "const").map_or(only, |constant| Box::new([constant])),
        never: listed(part, "not_in", owned),
        http: match given(part, "well_known_regex").and_then(|value| value.as_enum_number()) {
            Some(1 | 2) if !strict => Some(HttpText::Lenient),
            Some(1) => Some(HttpText::Name),
            Some(2) => Some(HttpText::Value),
            _ => None,
        },
        ignore_empty: flag(part, "ignore_empty"),
    }
}

fn bytes(part: &DynamicMessage) -> BytesRules {
    let exact = number(part, "len");
    BytesRules {
        min: exact.or_else(|| number(part, "min_len")).unwrap_or(0),
        max: exact.or_else(|| number(part, "max_len")),
        ignore_empty: flag(part, "ignore_empty"),
    }
}

fn enumeration(part: &DynamicMessage) -> EnumRules {
    let narrow = |value: &Value| value.as_i32();
    let only = listed(part, "in", narrow);
    EnumRules {
        defined_only: flag(part, "defined_only"),
        only: given(part, "const").and_then(|value| value.as_i32()).map_or(only, |one| Box::new([one])),
        never: listed(part, "not_in", narrow),
    }
}

fn list(repeated: &DynamicMessage, kind: Kind) -> ListRules {
    ListRules {
        min: number(repeated, "min_items").unwrap_or(0),
        max: number(repeated, "max_items"),
        unique: flag(repeated, "unique"),
        items: part(repeated, "items").and_then(|items| read(&items, Shape::Single, kind)),
        ignore_empty: flag(repeated, "ignore_empty"),
    }
}

fn map(rules: &DynamicMessage, key: Scalar, kind: Kind) -> MapRules {
    MapRules {
        min: number(rules, "min_pairs").unwrap_or(0),
        max: number(rules, "max_pairs"),
        keys: part(rules, "keys").and_then(|keys| read(&keys, Shape::Single, Kind::Scalar(key))),
        values: part(rules, "values").and_then(|values| read(&values, Shape::Single, kind)),
        ignore_empty: flag(rules, "ignore_empty"),
    }
}

// ---- Fields of the options ------------------------------------------------------------------------

/// A field that is set. A limit of zero is set, too: it is an empty message or an explicit zero.
fn given(message: &DynamicMessage, name: &str) -> Option<Value> {
    let field = message.descriptor().get_field_by_name(name)?;
    message.has_field(&field).then(|| message.get_field(&field).into_owned())
}

/// A field that is a message, if it is set.
fn part(message: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    given(message, name)?.as_message().cloned()
}

/// A boolean, with the default that its definition gives it (`strict` is true if it is not set).
fn flag(message: &DynamicMessage, name: &str) -> bool {
    message.get_field_by_name(name).and_then(|value| value.as_bool()).unwrap_or(false)
}

fn number(message: &DynamicMessage, name: &str) -> Option<u64> {
    given(message, name)?.as_u64()
}

fn word(message: &DynamicMessage, name: &str) -> Option<Box<str>> {
    owned(&given(message, name)?)
}

fn listed<T>(message: &DynamicMessage, name: &str, read: fn(&Value) -> Option<T>) -> Box<[T]> {
    let value = given(message, name);
    let values = value.as_ref().and_then(Value::as_list).unwrap_or_default();
    values.iter().filter_map(read).collect()
}

fn owned(value: &Value) -> Option<Box<str>> {
    value.as_str().map(Box::from)
}

fn signed(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_i32().map(i64::from))
}

fn unsigned(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_u32().map(u64::from))
}

fn double(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_f32().map(f64::from))
}

fn nanos(value: &Value) -> Option<i128> {
    let message = value.as_message()?;
    let field = |name| message.get_field_by_name(name).and_then(|value| signed(&value)).unwrap_or(0);
    Some(i128::from(field("seconds")) * 1_000_000_000 + i128::from(field("nanos")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy_api::MessageType;

    fn api() -> Api {
        Api::embedded().expect("the built-in API links")
    }

    fn check<'a>(api: &'a Api, message: &str, field: &str) -> &'a Check {
        let ty: &MessageType = api.message(message).expect("a known type");
        let rules = ty.field(field).and_then(|field| field.rules.as_ref()).expect("a field with rules");
        rules.check.as_ref().expect("a rule about the value")
    }

    #[test]
    fn every_rule_of_the_api_is_read() {
        let api = api();
        let (mut fields, mut oneofs, mut patterns) = (0, 0, 0);
        let names: Vec<String> = api.message_names().map(str::to_owned).collect();
        for ty in
            names.iter().filter_map(|name| api.message(name)).filter(|ty| !ty.name.starts_with("validate."))
        {
            oneofs += ty.required_oneofs.len();
            for rules in ty.fields.iter().filter_map(|field| field.rules.as_ref()) {
                fields += 1;
                if let Some(Check::Text(text)) = &rules.check {
                    patterns += usize::from(text.pattern.is_some());
                }
            }
        }
        assert!(fields > 1_150 && oneofs > 115 && patterns >= 9, "{fields} {oneofs} {patterns}");
    }

    #[test]
    fn a_limit_of_zero_is_a_limit() {
        let api = api();
        let Check::Duration(limits) = check(&api, "envoy.config.cluster.v3.Cluster", "connect_timeout")
        else {
            panic!("a rule about durations")
        };
        assert_eq!(limits.low, Some(Bound { value: 0, inclusive: false }));
        assert_eq!(limits.high, None);
    }

    #[test]
    fn headers_are_strict_unless_the_api_says_otherwise() {
        let api = api();
        let form = |message: &str, field: &str| match check(&api, message, field) {
            Check::Text(rules) => rules.http,
            _ => panic!("a rule about texts"),
        };
        assert_eq!(form("envoy.config.core.v3.HeaderValue", "key"), Some(HttpText::Lenient));
        let strict = "envoy.config.core.v3.HealthCheck.HttpHealthCheck";
        assert_eq!(form(strict, "host"), Some(HttpText::Value));
    }

    #[test]
    fn members_of_a_oneof_are_not_judged_where_they_are_absent() {
        let api = api();
        let ty = api.message("envoy.config.route.v3.RouteMatch").expect("a known type");
        assert!(ty.judged_absent.is_empty(), "{:?}", ty.judged_absent);
        assert_eq!(ty.required_oneofs.len(), 1);
    }
}
