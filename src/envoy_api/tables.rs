//! Makes the tables that the decoder reads from linked descriptors.
//!
//! A table is made once, when its type is first met. Fields that have no JSON form here (proto2
//! groups) are left out, so that they are unknown fields to everyone.

use prost_reflect::{
    DynamicMessage, EnumDescriptor, EnumValueDescriptor, ExtensionDescriptor, FieldDescriptor, Kind,
    MessageDescriptor,
};

use super::api::Marks;
use super::names::NameIndex;
use super::{
    Api, EnumType, EnumValue, FieldType, MessageType, Scalar, Shape, ValueType, WellKnown, extensions, rules,
};

/// The table of a message type.
pub(super) fn message(api: &Api, marks: &Marks, descriptor: &MessageDescriptor) -> MessageType {
    let oneofs: Box<[Box<str>]> =
        descriptor.oneofs().filter(|oneof| !oneof.is_synthetic()).map(|oneof| oneof.name().into()).collect();
    let mut fields: Vec<FieldType> =
        descriptor.fields().filter_map(|descriptor| field(api, marks, &oneofs, &descriptor)).collect();
    fields.sort_by_key(|field| field.number);
    let names =
        fields.iter().enumerate().flat_map(|(at, field)| [(&*field.name, at), (&*field.json_name, at)]);
    let by_name = NameIndex::new(names);
    let options = &marks.rules;
    let is_judged = !options.are_disabled(descriptor);
    if !is_judged {
        fields.iter_mut().for_each(|field| field.rules = None);
    }
    let judged_absent = fields.iter().enumerate().filter(|(_, field)| {
        field.rules.as_ref().is_some_and(|rules| rules.concern_absence(field))
            || has_disallowed_default(marks, descriptor, field)
    });
    let judged_absent = judged_absent.map(|(at, _)| at as u32).collect();
    let required_oneofs = descriptor.oneofs().filter(|oneof| !oneof.is_synthetic()).enumerate();
    let required_oneofs = required_oneofs.filter(|(_, oneof)| is_judged && options.is_required(oneof));
    MessageType {
        name: descriptor.full_name().into(),
        required_oneofs: required_oneofs.map(|(at, _)| at as u32).collect(),
        judged_absent,
        oneofs,
        well_known: well_known(descriptor.full_name()),
        deprecated: descriptor
            .descriptor_proto()
            .options
            .as_ref()
            .is_some_and(|options| options.deprecated()),
        by_name,
        fields: fields.into(),
    }
}

/// The table of an enum type.
pub(super) fn enumeration(marks: &Marks, descriptor: &EnumDescriptor) -> EnumType {
    let value = |descriptor: EnumValueDescriptor| EnumValue {
        name: descriptor.name().into(),
        number: descriptor.number(),
        deprecated: descriptor
            .enum_value_descriptor_proto()
            .options
            .as_ref()
            .is_some_and(|options| options.deprecated()),
        disallowed: is_disallowed(marks, &descriptor),
    };
    // `EnumDescriptor::values` sorts by number; the order of declaration is kept by the file's own list.
    let declared = descriptor.enum_descriptor_proto().value.iter();
    let values: Box<[EnumValue]> =
        declared.filter_map(|declared| descriptor.get_value_by_name(declared.name())).map(value).collect();
    EnumType {
        name: descriptor.full_name().into(),
        by_name: NameIndex::new(values.iter().enumerate().map(|(at, value)| (&*value.name, at))),
        values,
    }
}

fn field(api: &Api, marks: &Marks, oneofs: &[Box<str>], descriptor: &FieldDescriptor) -> Option<FieldType> {
    if descriptor.is_group() {
        return None;
    }
    let options = descriptor.field_descriptor_proto().options.as_ref();
    let (shape, kind) = shape(descriptor)?;
    let value = value_type(api, &kind)?;
    let is_marked = |mark| options.is_some() && is_marked(mark, &descriptor.options());
    let oneof = descriptor.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    let oneof = oneof.and_then(|oneof| oneofs.iter().position(|name| **name == *oneof.name()));
    Some(FieldType {
        number: descriptor.number(),
        name: descriptor.name().into(),
        json_name: descriptor.json_name().into(),
        shape,
        value,
        oneof: oneof.and_then(|index| u32::try_from(index).ok()),
        presence: shape == Shape::Single && descriptor.supports_presence(),
        deprecated: options.is_some_and(|options| options.deprecated()),
        disallowed: is_marked(marks.disallowed.as_ref()),
        sensitive: is_marked(marks.sensitive.as_ref()),
        categories: extensions::of_field(descriptor.parent_message().full_name(), descriptor.name()),
        rules: options.and_then(|_| rules::of_field(api, &marks.rules, descriptor, shape, value)),
    })
}

/// How many values, and of which kind.
fn shape(descriptor: &FieldDescriptor) -> Option<(Shape, Kind)> {
    let kind = descriptor.kind();
    if !descriptor.is_list() && !descriptor.is_map() {
        return Some((Shape::Single, kind));
    }
    match &kind {
        Kind::Message(entry) if entry.is_map_entry() => {
            let key = scalar(&entry.get_field(1)?.kind())?;
            Some((Shape::Map(key), entry.get_field(2)?.kind()))
        }
        _ => Some((Shape::List { packed: descriptor.is_packed() }, kind)),
    }
}

fn value_type(api: &Api, kind: &Kind) -> Option<ValueType> {
    match kind {
        Kind::Message(message) => api.message_id(message.full_name()).map(ValueType::Message),
        Kind::Enum(descriptor) => api.enum_id(descriptor.full_name()).map(ValueType::Enum),
        other => scalar(other).map(ValueType::Scalar),
    }
}

fn scalar(kind: &Kind) -> Option<Scalar> {
    Some(match kind {
        Kind::Double => Scalar::Double,
        Kind::Float => Scalar::Float,
        Kind::Int32 => Scalar::Int32,
        Kind::Int64 => Scalar::Int64,
        Kind::Uint32 => Scalar::Uint32,
        Kind::Uint64 => Scalar::Uint64,
        Kind::Sint32 => Scalar::Sint32,
        Kind::Sint64 => Scalar::Sint64,
        Kind::Fixed32 => Scalar::Fixed32,
        Kind::Fixed64 => Scalar::Fixed64,
        Kind::Sfixed32 => Scalar::Sfixed32,
        Kind::Sfixed64 => Scalar::Sfixed64,
        Kind::Bool => Scalar::Bool,
        Kind::String => Scalar::String,
        Kind::Bytes => Scalar::Bytes,
        Kind::Message(_) | Kind::Enum(_) => return None,
    })
}

/// Whether a field that is not given has a value that Envoy refuses.
fn has_disallowed_default(marks: &Marks, message: &MessageDescriptor, field: &FieldType) -> bool {
    if field.shape != Shape::Single || field.presence {
        return false;
    }
    match message.get_field(field.number).map(|field| field.kind()) {
        Some(Kind::Enum(values)) => values.get_value(0).is_some_and(|value| is_disallowed(marks, &value)),
        _ => false,
    }
}

/// Whether Envoy refuses a value of an enum.
fn is_disallowed(marks: &Marks, value: &EnumValueDescriptor) -> bool {
    value.enum_value_descriptor_proto().options.is_some()
        && is_marked(marks.disallowed_value.as_ref(), &value.options())
}

fn is_marked(mark: Option<&ExtensionDescriptor>, options: &DynamicMessage) -> bool {
    mark.is_some_and(|mark| options.get_extension(mark).as_bool() == Some(true))
}

pub(super) fn well_known(full_name: &str) -> Option<WellKnown> {
    Some(match full_name.strip_prefix("google.protobuf.")? {
        "Any" => WellKnown::Any,
        "Duration" => WellKnown::Duration,
        "Timestamp" => WellKnown::Timestamp,
        "FieldMask" => WellKnown::FieldMask,
        "Struct" => WellKnown::Struct,
        "Value" => WellKnown::Value,
        "ListValue" => WellKnown::ListValue,
        "Empty" => WellKnown::Empty,
        "DoubleValue" => WellKnown::Wrapper(Scalar::Double),
        "FloatValue" => WellKnown::Wrapper(Scalar::Float),
        "Int64Value" => WellKnown::Wrapper(Scalar::Int64),
        "UInt64Value" => WellKnown::Wrapper(Scalar::Uint64),
        "Int32Value" => WellKnown::Wrapper(Scalar::Int32),
        "UInt32Value" => WellKnown::Wrapper(Scalar::Uint32),
        "BoolValue" => WellKnown::Wrapper(Scalar::Bool),
        "StringValue" => WellKnown::Wrapper(Scalar::String),
        "BytesValue" => WellKnown::Wrapper(Scalar::Bytes),
        _ => return None,
    })
}
