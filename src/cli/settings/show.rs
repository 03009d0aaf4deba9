//! `settings`: the settings in effect, each with where it comes from; and the example of a settings file.
//!
//! What people see is a settings file itself, with the origins as comments.

use anyhow::Result;
use serde_json::{Value as Json, json};

use super::super::args::{ReportFormat, Settings as Command};
use super::super::{Exit, output};
use super::read::Origin;
use super::table::{Entry, Row, TABLE};
use super::{DEFAULT_FILE, Given};
use crate::load::scalar::{Typed, typed};
use crate::load::yaml;

/// Where the comments begin, if the values leave room.
const COMMENTS: usize = 44;

/// How wide lines of comments are.
const WIDTH: usize = 100;

pub fn run(given: &Given, command: &Command) -> Result<Exit> {
    if command.example {
        output::document(&example())?;
        return Ok(Exit::Done);
    }
    let settings = given.settings()?;
    output::document(&match command.format {
        ReportFormat::Json => format!("{:#}\n", json(&settings.rows())),
        ReportFormat::Human => human(&settings.rows()),
    })?;
    Ok(Exit::Done)
}

fn json(rows: &[Row<'_>]) -> Json {
    let origin = |origin: &Origin| match origin {
        Origin::Default => json!({ "kind": "default" }),
        Origin::Systemd(name) => json!({ "kind": "systemd", "variable": name }),
        Origin::File(file, at) => {
            json!({ "kind": "file", "file": &**file, "line": at.line, "column": at.column })
        }
        Origin::Variable(name) => json!({ "kind": "variable", "variable": name }),
        Origin::Flag(name) => json!({ "kind": "flag", "flag": name }),
    };
    let row = |row: &Row<'_>| {
        json!({
            "name": row.entry.name,
            "value": row.value,
            "from": row.from.iter().map(origin).collect::<Json>(),
            "default": (row.entry.default)(),
            "flag": format!("--{}", row.entry.flag()),
            "variable": row.entry.variable(),
        })
    };
    rows.iter().map(row).collect()
}

/// As a settings file, with the origins as comments.
pub(super) fn human(rows: &[Row<'_>]) -> String {
    let line = |row: &Row<'_>| {
        let from: Vec<String> = row.from.iter().map(ToString::to_string).collect();
        let (from, usual) = (from.join(", "), row.entry.usual);
        let comment = match row.value {
            Json::Null if !usual.is_empty() => format!("{from}: {usual}"),
            _ => from,
        };
        format!("{:COMMENTS$} # {comment}\n", setting(row.entry.name, &row.value))
    };
    rows.iter().map(line).collect()
}

/// `name: value`; a comment if there is no value.
fn setting(name: &str, value: &Json) -> String {
    match value {
        Json::Null => format!("# {name}:"),
        value => format!("{name}: {}", flow(value)),
    }
}

/// A value as YAML on one line.
fn flow(value: &Json) -> String {
    match value {
        Json::Array(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Json::Object(map) if map.is_empty() => "{}".to_owned(),
        Json::Object(map) => {
            let entries = map.iter().map(|(key, value)| format!("{}: {}", text(key), flow(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        Json::String(written) => text(written),
        other => other.to_string(),
    }
}

/// A text, in quotes if it would be taken for something else without.
fn text(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-:=".contains(c))
        && !text.ends_with(':');
    let parsed = yaml::parse(text);
    let same = parsed.documents.first().is_some_and(|node| typed(node) == Some(Typed::Text(text.into())));
    if is_plain && same { text.to_owned() } else { Json::from(text).to_string() }
}

/// A settings file with every default and its reason, commented out.
pub fn example() -> String {
    let head = format!(
        "Settings of xds-bridge, read from {DEFAULT_FILE}, or from where --settings FILE says. What is commented out \
         is the default, or an example where the default is nothing. Stronger than this file are variables \
         (XDS_BRIDGE_LISTEN for `listen`) and flags (--listen). `xds-bridge settings` prints what is in effect and \
         where it comes from."
    );
    TABLE.iter().map(example_of).fold(comment(&head), |text, entry| text + "\n" + &entry)
}

fn example_of(entry: &Entry) -> String {
    let default = (entry.default)();
    let value = if is_nothing(&default) { entry.example.to_owned() } else { flow(&default) };
    let help = comment(&format!("{}.", entry.help()));
    let why = comment(&format!("Default: {} ({}).", usual(entry), entry.because));
    format!("{help}{why}#{}: {value}\n", entry.name)
}

fn is_nothing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(list) => list.is_empty(),
        Json::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// The default in words.
pub fn usual(entry: &Entry) -> String {
    match ((entry.default)(), entry.usual) {
        (_, usual) if !usual.is_empty() => usual.to_owned(),
        (default, _) if is_nothing(&default) => "none".to_owned(),
        (Json::Array(list), _) => list.iter().map(flow).collect::<Vec<_>>().join(", "),
        (default, _) => flow(&default),
    }
}

/// What editors are told of a settings file, as JSON Schema.
pub fn schema() -> Json {
    let property = |entry: &Entry| {
        let Json::Object(mut schema) = (entry.schema)() else {
            return (entry.name.to_owned(), Json::Bool(true));
        };
        schema.insert("description".into(), entry.help().into());
        match (entry.default)() {
            Json::Null => {}
            default => drop(schema.insert("default".into(), default)),
        }
        // A key without a value is as good as none.
        (entry.name.to_owned(), json!({ "description": entry.help(), "anyOf": [schema, { "type": "null" }] }))
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of xds-bridge",
        "type": ["object", "null"],
        "properties": TABLE.iter().map(property).collect::<serde_json::Map<_, _>>(),
        "additionalProperties": false,
    })
}

/// Words as lines of comment.
fn comment(words: &str) -> String {
    let mut lines = vec!["#".to_owned()];
    for word in words.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n") + "\n"
}
