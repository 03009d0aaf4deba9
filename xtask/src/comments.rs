//! What Envoy's API says of its messages, fields and enum values, shortened to what an editor shows.
//!
//! Comes in: parsed `.proto` files with their comments. Goes out: one line for each name that has one,
//! sorted: the full name, a tab, the words; and a second tab behind the words of what Envoy does not
//! implement yet. The markup of Envoy's documentation is taken off.

use std::collections::BTreeMap;

use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

/// Packages of which no configuration is made.
const OTHERS: [&str; 8] =
    ["cel", "envoy.admin", "envoy.data", "google.api", "google.rpc", "io", "opentelemetry", "validate"];

/// Longer words are cut at the end of a sentence.
const LONGEST: usize = 400;

/// Numbers of fields in `descriptor.proto`, of which the paths of comments consist.
const FILE_MESSAGE: i32 = 4;
const FILE_ENUM: i32 = 5;
const MESSAGE_FIELD: i32 = 2;
const MESSAGE_NESTED: i32 = 3;
const MESSAGE_ENUM: i32 = 4;
const ENUM_VALUE: i32 = 2;

/// The lines for all these files.
pub fn lines<'f>(files: impl IntoIterator<Item = &'f FileDescriptorProto>) -> String {
    let mut all = BTreeMap::new();
    let is_wanted = |file: &&FileDescriptorProto| {
        let inside = |other: &&str| {
            file.package().strip_prefix(*other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        !OTHERS.iter().any(inside)
    };
    for file in files.into_iter().filter(is_wanted) {
        let mut names = BTreeMap::new();
        let package = file.package();
        for (at, message) in (0..).zip(&file.message_type) {
            of_message(message, package, &[FILE_MESSAGE, at], &mut names);
        }
        for (at, ty) in (0..).zip(&file.enum_type) {
            of_enum(ty, package, &[FILE_ENUM, at], &mut names);
        }
        for location in file.source_code_info.iter().flat_map(|info| &info.location) {
            if let (Some(name), Some(comment)) = (names.get(&location.path), &location.leading_comments) {
                all.insert(name.clone(), comment.clone());
            }
        }
    }
    let lines = all.iter().filter_map(|(name, comment)| {
        let hidden = comment.contains("[#not-implemented-hide:]");
        let words = words(comment);
        (hidden || !words.is_empty()).then(|| format!("{name}\t{words}{}\n", if hidden { "\t" } else { "" }))
    });
    lines.collect()
}

type Names = BTreeMap<Vec<i32>, String>;

fn of_message(message: &DescriptorProto, scope: &str, path: &[i32], names: &mut Names) {
    let name = format!("{scope}.{}", message.name());
    let inside = |number, at| [path, &[number, at]].concat();
    for (at, field) in (0..).zip(&message.field) {
        names.insert(inside(MESSAGE_FIELD, at), format!("{name}.{}", field.name()));
    }
    for (at, nested) in (0..).zip(&message.nested_type) {
        of_message(nested, &name, &inside(MESSAGE_NESTED, at), names);
    }
    for (at, ty) in (0..).zip(&message.enum_type) {
        of_enum(ty, &name, &inside(MESSAGE_ENUM, at), names);
    }
    names.insert(path.to_vec(), name);
}

fn of_enum(ty: &EnumDescriptorProto, scope: &str, path: &[i32], names: &mut Names) {
    let name = format!("{scope}.{}", ty.name());
    for (at, value) in (0..).zip(&ty.value) {
        names.insert([path, &[ENUM_VALUE, at]].concat(), format!("{name}.{}", value.name()));
    }
    names.insert(path.to_vec(), name);
}

/// The first paragraph in plain words.
fn words(comment: &str) -> String {
    let comment = without_annotations(comment);
    let mut paragraphs = comment
        .split("\n\n")
        .map(|paragraph| paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned());
    let first = paragraphs.find(|paragraph| !paragraph.is_empty() && !paragraph.starts_with(".. "));
    let plain = without_markup(&first.unwrap_or_default()).replace('\t', " ");
    let plain = plain.trim_end_matches(':').to_owned();
    if plain.len() <= LONGEST {
        return plain;
    }
    let end = (0..=LONGEST).rev().find(|at| plain.is_char_boundary(*at)).unwrap_or(0);
    match plain[..end].rfind(". ") {
        Some(sentence) => plain[..=sentence].to_owned(),
        None => format!("{}…", &plain[..end]),
    }
}

/// Without `[#not-implemented-hide:]` and its like, which are for the makers of the documentation; lines
/// without anything are empty then.
fn without_annotations(comment: &str) -> String {
    let (mut plain, mut rest) = (String::new(), comment);
    while let Some(start) = rest.find("[#") {
        plain.push_str(&rest[..start]);
        let mut depth = 0;
        let end = rest[start..].find(|c| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            depth == 0
        });
        rest = end.map_or("", |end| &rest[start + end + 1..]);
    }
    plain.push_str(rest);
    plain.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// `:ref:`words <place>`` and `` `words <address>`_ `` are words, ` ``code`` ` is `` `code` ``.
fn without_markup(text: &str) -> String {
    let text = text.replace("``", "\u{1}");
    let (mut plain, mut rest) = (String::new(), &*text);
    while let Some((before, quoted)) = rest.split_once('`') {
        let Some((inner, after)) = quoted.split_once('`') else { break };
        let role = before.strip_suffix(':').and_then(|before| before.rfind(':'));
        let is_role = role.is_some_and(|at| {
            before[at + 1..before.len() - 1]
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        });
        plain.push_str(if is_role { &before[..role.unwrap_or_default()] } else { before });
        plain.push_str(inner.split_once('<').map_or(inner, |(words, _)| words.trim_end()));
        rest = after.trim_start_matches('_');
    }
    plain.push_str(rest);
    plain.replace('\u{1}', "`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_first_paragraph_without_markup() {
        let comment = " [#not-implemented-hide:]\n The ``name`` of :ref:`the cluster\n <envoy_v3_api_msg_X>`; see `here <https://x>`_,\n :option:`--x`.\n\n .. note::\n\n   More.\n";
        assert_eq!(words(comment), "The `name` of the cluster; see here, --x.");
        assert_eq!(words(" .. attention::\n\n   Behold.\n"), "Behold.");
        assert_eq!(words(" [#comment: [nested] all of\n it]\n"), "");
        assert_eq!(words(&format!(" One. {}\n", "x".repeat(500))), "One.");
    }
}
