//! The constraints that Envoy's API puts on values: protoc-gen-validate's rules, as tables.
//!
//! Plain numbers, lists and patterns that whoever holds a value can compare with. What a value must be to be
//! right is said here as data only; how it is judged and put into words is the reader's part.

mod read;

use regex::Regex;

use super::FieldType;

pub(super) use read::{Options, of_field};

/// What a field of a message must be.
#[derive(Debug, Default)]
pub struct FieldRules {
    /// It must be given. Of messages only.
    pub required: bool,
    /// The rules within the message in this field do not count.
    pub skip: bool,
    /// What the value must be.
    pub check: Option<Check>,
}

impl FieldRules {
    /// Whether a field that is not given may break these rules, since it counts as its default then.
    /// Of a oneof's members, and where given and default differ, only what is given is judged.
    pub(super) fn concern_absence(&self, field: &FieldType) -> bool {
        let ignores_empty = match &self.check {
            Some(Check::Text(rules)) => rules.ignore_empty,
            Some(Check::List(rules)) => rules.ignore_empty,
            Some(Check::Map(rules)) => rules.ignore_empty,
            Some(Check::Signed(rules)) => rules.ignore_empty,
            Some(Check::Unsigned(rules)) => rules.ignore_empty,
            Some(Check::Double(rules)) => rules.ignore_empty,
            Some(Check::Bytes(rules)) => rules.ignore_empty,
            Some(Check::Bool(_) | Check::Enum(_) | Check::Duration(_)) => false,
            None => true,
        };
        field.oneof.is_none() && (self.required || !field.presence && !ignores_empty)
    }
}

/// What a value must be, by its type. A wrapper message is judged as the value in it.
#[derive(Debug)]
pub enum Check {
    /// A text.
    Text(Box<TextRules>),
    /// Bytes.
    Bytes(BytesRules),
    /// A boolean that may only be this.
    Bool(bool),
    /// An integer with a sign.
    Signed(Limits<i64>),
    /// An integer without a sign.
    Unsigned(Limits<u64>),
    /// A number with a fraction.
    Double(Limits<f64>),
    /// A duration, in nanoseconds.
    Duration(Limits<i128>),
    /// An enum's value.
    Enum(EnumRules),
    /// A list.
    List(Box<ListRules>),
    /// A map.
    Map(Box<MapRules>),
}

/// Where a value must lie.
#[derive(Debug)]
pub struct Limits<T> {
    /// Lower bound.
    pub low: Option<Bound<T>>,
    /// Upper bound.
    pub high: Option<Bound<T>>,
    /// If not empty, the only values possible.
    pub only: Box<[T]>,
    /// Values that are not possible.
    pub never: Box<[T]>,
    /// Zero is as good as absent, and is not judged.
    pub ignore_empty: bool,
}

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound<T> {
    /// The limit.
    pub value: T,
    /// Whether the limit itself is in the range.
    pub inclusive: bool,
}

/// What a text must be.
#[derive(Debug, Default)]
pub struct TextRules {
    /// Least length, in characters.
    pub min_chars: u64,
    /// Greatest length, in characters.
    pub max_chars: Option<u64>,
    /// Least length, in bytes.
    pub min_bytes: u64,
    /// Greatest length, in bytes.
    pub max_bytes: Option<u64>,
    /// It must match this as a whole.
    pub pattern: Option<Regex>,
    /// It must begin with this.
    pub prefix: Box<str>,
    /// It must end with this.
    pub suffix: Box<str>,
    /// It must hold this.
    pub contains: Box<str>,
    /// It must not hold this.
    pub not_contains: Option<Box<str>>,
    /// If not empty, the only values possible.
    pub only: Box<[Box<str>]>,
    /// Values that are not possible.
    pub never: Box<[Box<str>]>,
    /// A form that HTTP prescribes.
    pub http: Option<HttpText>,
    /// An empty text is as good as absent, and is not judged.
    pub ignore_empty: bool,
}

/// Texts that must stand in HTTP headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpText {
    /// The name of a header.
    Name,
    /// The value of a header.
    Value,
    /// Either of them, where only what would break a message is refused.
    Lenient,
}

/// What bytes must be.
#[derive(Debug, Default)]
pub struct BytesRules {
    /// Least length.
    pub min: u64,
    /// Greatest length.
    pub max: Option<u64>,
    /// No bytes are as good as absent, and are not judged.
    pub ignore_empty: bool,
}

/// What the value of an enum must be.
#[derive(Debug, Default)]
pub struct EnumRules {
    /// It must be a value that the enum defines.
    pub defined_only: bool,
    /// If not empty, the only values possible.
    pub only: Box<[i32]>,
    /// Values that are not possible.
    pub never: Box<[i32]>,
}

/// What a list must be.
#[derive(Debug, Default)]
pub struct ListRules {
    /// Least number of elements.
    pub min: u64,
    /// Greatest number of elements.
    pub max: Option<u64>,
    /// Elements differ.
    pub unique: bool,
    /// What each element must be.
    pub items: Option<FieldRules>,
    /// An empty list is as good as absent, and is not judged.
    pub ignore_empty: bool,
}

/// What a map must be.
#[derive(Debug, Default)]
pub struct MapRules {
    /// Least number of entries.
    pub min: u64,
    /// Greatest number of entries.
    pub max: Option<u64>,
    /// What each key must be.
    pub keys: Option<FieldRules>,
    /// What each value must be.
    pub values: Option<FieldRules>,
    /// An empty map is as good as absent, and is not judged.
    pub ignore_empty: bool,
}
