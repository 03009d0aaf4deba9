//! Messages that are made up from the descriptors of Envoy's own API, at random but by a seed, each at
//! once as a prost-reflect message and as a tree that can be written in many ways.

use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use crate::pool::BUILT_IN;

/// What stands in an `Any`.
const IN_ANY: [&str; 6] = [
    "envoy.extensions.filters.http.router.v3.Router",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
    "envoy.config.core.v3.GrpcService",
    "google.protobuf.Struct",
    "google.protobuf.Duration",
];

const MAX_DEPTH: usize = 6;

/// A small generator of numbers: the seed is proptest's, so a failure can be run again.
pub struct Dice(pub u64);

impl Dice {
    /// A number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.roll() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub fn pick<'x, T>(&mut self, from: &'x [T]) -> &'x T {
        &from[self.below(from.len())]
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at + 1));
        }
    }
}

/// What is written, before it is decided how.
pub enum Tree {
    /// Only ever in quotes.
    Text(String),
    /// A value that may stand with or without quotes.
    Bare(String),
    /// An integer that may be written in hexadecimal too.
    Number(u32),
    Bool(bool),
    List(Vec<Tree>),
    /// A message: keys may be written in snake_case or camelCase.
    Fields(Vec<(String, String, Tree)>),
    /// A map: keys are data.
    Map(Vec<(String, Tree)>),
}

/// Makes up messages.
pub struct Maker {
    pub dice: Dice,
    /// How many entries a map has at most. With one, any encoder writes the same bytes.
    pub map_entries: usize,
}

impl Maker {
    /// A message of this type, with what is to be written for it.
    pub fn message(&mut self, descriptor: &MessageDescriptor, depth: usize) -> (DynamicMessage, Tree) {
        let mut message = DynamicMessage::new(descriptor.clone());
        let mut fields = Vec::new();
        let mut oneofs = Vec::new();
        for field in descriptor.fields() {
            let odds = if depth == 0 { 2 } else { 4 };
            if !self.dice.one_in(odds) || self.is_too_deep(&field, depth) {
                continue;
            }
            if let Some(oneof) = field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
                if oneofs.contains(&oneof.full_name().to_owned()) {
                    continue;
                }
                oneofs.push(oneof.full_name().to_owned());
            }
            let Some((value, tree)) = self.field(&field, depth) else { continue };
            message.set_field(&field, value);
            fields.push((field.name().to_owned(), field.json_name().to_owned(), tree));
        }
        // A name without its `typed_config` is refused wherever Envoy wants both.
        let has_config = fields.iter().any(|(name, ..)| name == "typed_config" || name == "config_discovery");
        if !has_config && descriptor.get_field_by_name("typed_config").is_some() {
            message.clear_field_by_name("name");
            fields.retain(|(name, ..)| name != "name");
        }
        (message, Tree::Fields(fields))
    }

    fn is_too_deep(&self, field: &FieldDescriptor, depth: usize) -> bool {
        depth >= MAX_DEPTH && matches!(field.kind(), Kind::Message(_))
    }

    fn field(&mut self, field: &FieldDescriptor, depth: usize) -> Option<(Value, Tree)> {
        if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
            return self.map(&entry, depth);
        }
        if field.is_list() {
            let made: Vec<(Value, Tree)> = (0..=self.dice.below(3))
                .map(|_| self.single(&field.kind(), depth))
                .collect::<Option<Vec<_>>>()?;
            let (values, trees): (Vec<Value>, Vec<Tree>) = made.into_iter().unzip();
            let alone = trees.len() == 1 && self.dice.one_in(3);
            let tree = if alone { trees.into_iter().next().unwrap() } else { Tree::List(trees) };
            return Some((Value::List(values), tree));
        }
        let (value, tree) = self.single(&field.kind(), depth)?;
        // Without presence a default is nothing, which prost-reflect does not see as equal.
        let is_default = value.is_default(&field.kind());
        (field.supports_presence() || !is_default).then_some((value, tree))
    }

    fn map(&mut self, entry: &MessageDescriptor, depth: usize) -> Option<(Value, Tree)> {
        let mut entries = std::collections::HashMap::new();
        let mut trees = Vec::new();
        for _ in 0..=self.dice.below(self.map_entries) {
            let number = self.dice.below(1_000) as u32;
            let (key, text) = match entry.map_entry_key_field().kind() {
                Kind::String => (MapKey::String(format!("key {number}")), format!("key {number}")),
                Kind::Uint32 => (MapKey::U32(number), number.to_string()),
                _ => return None,
            };
            let (value, tree) = self.single(&entry.map_entry_value_field().kind(), depth)?;
            if entries.insert(key, value).is_none() {
                trees.push((text, tree));
            } else {
                return None;
            }
        }
        Some((Value::Map(entries), Tree::Map(trees)))
    }

    fn single(&mut self, kind: &Kind, depth: usize) -> Option<(Value, Tree)> {
        let number = (self.dice.roll() >> (32 + self.dice.below(31))) as u32;
        let small = (number >> 1) as i32;
        Some(match kind {
            Kind::Bool => (Value::Bool(number.is_multiple_of(2)), Tree::Bool(number.is_multiple_of(2))),
            Kind::String => {
                let text = self.text();
                (Value::String(text.clone()), Tree::Text(text))
            }
            Kind::Bytes => (Value::Bytes(vec![0xfb, 0xff].into()), Tree::Text("+/8=".to_owned())),
            Kind::Double => {
                (Value::F64(f64::from(number) / 4.0), Tree::Bare(format!("{}", f64::from(number) / 4.0)))
            }
            Kind::Float => (Value::F32(number as u16 as f32), Tree::Bare(format!("{}", number as u16))),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                (Value::I32(-small), Tree::Bare(format!("-{small}")))
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                (Value::I64(i64::from(number) << 20), Tree::Bare(format!("{}", u64::from(number) << 20)))
            }
            Kind::Uint32 | Kind::Fixed32 => (Value::U32(number), Tree::Number(number)),
            Kind::Uint64 | Kind::Fixed64 => (Value::U64(number.into()), Tree::Number(number)),
            Kind::Enum(kind) => {
                let values: Vec<_> = kind.values().collect();
                let value = self.dice.pick(&values).clone();
                let name = match self.dice.below(3) {
                    0 => value.name().to_lowercase(),
                    1 => value.number().to_string(),
                    _ => value.name().to_owned(),
                };
                (Value::EnumNumber(value.number()), Tree::Text(name))
            }
            Kind::Message(descriptor) => return self.any_message(descriptor, depth + 1),
        })
    }

    fn text(&mut self) -> String {
        let words =
            ["web", "true", "123", "a: b", "# no", "é😀", "*", "x'y", "\"q\"", "", "line\nbreak", " pad "];
        (0..=self.dice.below(2)).map(|_| *self.dice.pick(&words)).collect()
    }

    fn any_message(&mut self, descriptor: &MessageDescriptor, depth: usize) -> Option<(Value, Tree)> {
        let (message, tree) = match descriptor.full_name() {
            "google.protobuf.Any" => {
                let name = *self.dice.pick(&IN_ANY);
                let inner = BUILT_IN.get_message_by_name(name).unwrap();
                let (value, tree) = self.any_message(&inner, depth + 1)?;
                let url = format!("type.googleapis.com/{name}");
                let mut any = DynamicMessage::new(descriptor.clone());
                any.set_field_by_name("type_url", Value::String(url.clone()));
                let bytes = value.as_message().unwrap().encode_to_vec();
                any.set_field_by_name("value", Value::Bytes(bytes.into()));
                let mut fields = match tree {
                    Tree::Fields(fields) => fields,
                    other => vec![("value".to_owned(), "value".to_owned(), other)],
                };
                fields.push(("@type".to_owned(), "@type".to_owned(), Tree::Text(url)));
                (any, Tree::Fields(fields))
            }
            "google.protobuf.Duration" => {
                let mut duration = DynamicMessage::new(descriptor.clone());
                let tenths = self.dice.below(40) as i64;
                if tenths >= 10 {
                    duration.set_field_by_name("seconds", Value::I64(tenths / 10));
                }
                if tenths % 10 != 0 {
                    duration.set_field_by_name("nanos", Value::I32((tenths % 10) as i32 * 100_000_000));
                }
                (duration, Tree::Bare(format!("{}.{}s", tenths / 10, tenths % 10)))
            }
            "google.protobuf.Struct" => {
                let value = BUILT_IN.get_message_by_name("google.protobuf.Value").unwrap();
                let mut structure = DynamicMessage::new(descriptor.clone());
                let mut text = DynamicMessage::new(value.clone());
                text.set_field_by_name("string_value", Value::String("0.5".to_owned()));
                let mut number = DynamicMessage::new(value);
                number.set_field_by_name("number_value", Value::F64(31.0));
                let fields = [("b", text, Tree::Text("0.5".to_owned())), ("a", number, Tree::Number(31))];
                let fields = fields.into_iter().take(self.map_entries);
                let (map, trees) = fields
                    .map(|(key, value, tree)| {
                        ((MapKey::String(key.to_owned()), Value::Message(value)), (key.to_owned(), tree))
                    })
                    .unzip();
                structure.set_field_by_name("fields", Value::Map(map));
                (structure, Tree::Map(trees))
            }
            name if name.starts_with("google.protobuf.") => {
                let field = descriptor.get_field_by_name("value").filter(|_| name.ends_with("Value"))?;
                let (value, tree) = self.single(&field.kind(), depth)?;
                let mut wrapper = DynamicMessage::new(descriptor.clone());
                if !value.is_default(&field.kind()) {
                    wrapper.set_field(&field, value);
                }
                (wrapper, tree)
            }
            _ => self.message(descriptor, depth),
        };
        Some((Value::Message(message), tree))
    }
}

/// How to write a tree: every choice that must not matter.
struct Writer {
    dice: Dice,
    json: bool,
}

impl Writer {
    fn write(&mut self, tree: &Tree, indent: usize, in_flow: bool, free_form: bool, out: &mut String) {
        match tree {
            Tree::Text(text) => self.text(text, out),
            Tree::Bare(text) if self.json || self.dice.one_in(2) => self.text(text, out),
            Tree::Bare(text) => out.push_str(text),
            Tree::Bool(value) if self.json || free_form => {
                out.push_str(if *value { "true" } else { "false" });
            }
            Tree::Bool(true) => {
                let words: [&str; 6] = ["true", "yes", "on", "Y", "\"true\"", "'t'"];
                out.push_str(words[self.dice.below(words.len())]);
            }
            Tree::Bool(false) => {
                let words: [&str; 5] = ["false", "No", "OFF", "n", "\"0\""];
                out.push_str(words[self.dice.below(words.len())]);
            }
            Tree::Number(number) => match self.dice.below(4) {
                0 if !self.json => out.push_str(&format!("{number:#x}")),
                1 if !self.json && *number < (1 << 31) && *number > 0 => {
                    out.push_str(&format!("0{number:o}"));
                }
                2 if !free_form => out.push_str(&format!("\"{number}\"")),
                _ => out.push_str(&number.to_string()),
            },
            Tree::List(trees) => {
                let items: Vec<(Option<String>, &Tree, bool)> =
                    trees.iter().map(|tree| (None, tree, free_form)).collect();
                self.collection(&items, indent, in_flow, ['[', ']'], out);
            }
            Tree::Fields(fields) => {
                let mut items: Vec<(Option<String>, &Tree, bool)> = fields
                    .iter()
                    .map(|(snake, camel, tree)| {
                        let key = if self.dice.one_in(3) { camel } else { snake };
                        (Some(key.clone()), tree, false)
                    })
                    .collect();
                self.dice.shuffle(&mut items);
                self.collection(&items, indent, in_flow, ['{', '}'], out);
            }
            Tree::Map(entries) => {
                let mut items: Vec<(Option<String>, &Tree, bool)> =
                    entries.iter().map(|(key, tree)| (Some(key.clone()), tree, true)).collect();
                self.dice.shuffle(&mut items);
                self.collection(&items, indent, in_flow, ['{', '}'], out);
            }
        }
    }

    fn text(&mut self, text: &str, out: &mut String) {
        if !self.json && !text.contains('\n') && self.dice.one_in(2) {
            out.push_str(&format!("'{}'", text.replace('\'', "''")));
        } else {
            out.push_str(&serde_json::to_string(text).unwrap());
        }
    }

    fn collection(
        &mut self,
        items: &[(Option<String>, &Tree, bool)],
        indent: usize,
        in_flow: bool,
        brackets: [char; 2],
        out: &mut String,
    ) {
        let flow = self.json || in_flow || items.is_empty() || self.dice.one_in(4);
        if flow {
            out.push(brackets[0]);
            for (at, (key, tree, free_form)) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push(' ');
                if let Some(key) = key {
                    out.push_str(&serde_json::to_string(key).unwrap());
                    out.push_str(": ");
                }
                self.write(tree, indent, true, *free_form, out);
            }
            out.push(brackets[1]);
            return;
        }
        for (key, tree, free_form) in items {
            if self.dice.one_in(6) {
                out.push_str("   # a comment: { [");
            }
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            match key {
                Some(key) if key.starts_with('@') || key.contains(' ') || self.dice.one_in(4) => {
                    out.push_str(&serde_json::to_string(key).unwrap());
                    out.push_str(": ");
                }
                Some(key) => out.push_str(&format!("{key}: ")),
                None => out.push_str("- "),
            }
            self.write(tree, indent + 2, false, *free_form, out);
        }
    }
}

/// The tree as text, in one of the many ways to write it.
pub fn written(tree: &Tree, seed: u64) -> String {
    let mut dice = Dice(seed);
    let json = dice.one_in(4);
    let mut out = String::new();
    Writer { dice, json }.write(tree, 0, false, false, &mut out);
    out
}
