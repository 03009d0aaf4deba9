//! `check --variables`: which variables fragments refer to, where, and whether they are set.
//!
//! Values are never shown, nor are defaults that stand in sensitive values.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::args::FindingsFormat;
use crate::app::Look;
use crate::diagnostic::Position;
use crate::load::VariableUse;

/// A reference and the file that it stands in.
type Place<'a> = (&'a Look, &'a VariableUse);

/// All references, by name.
fn by_name(looks: &[Arc<Look>]) -> BTreeMap<&str, Vec<Place<'_>>> {
    let mut names: BTreeMap<&str, Vec<Place<'_>>> = BTreeMap::new();
    for look in looks {
        for usage in &look.loaded.drawn.uses {
            names.entry(&usage.name).or_default().push((look, usage));
        }
    }
    names
}

/// The list, for people or as JSON.
pub fn list(looks: &[Arc<Look>], format: FindingsFormat) -> String {
    let names = by_name(looks);
    if !matches!(format, FindingsFormat::Human) {
        let variable = |(name, places): (&&str, &Vec<Place<'_>>)| {
            let is_set = is_set(places);
            let places: Vec<Value> = places.iter().map(|place| as_json(*place)).collect();
            json!({ "name": name, "set": is_set, "places": places })
        };
        let list: Vec<Value> = names.iter().map(variable).collect();
        return format!("{:#}\n", Value::from(list));
    }
    let mut text = String::new();
    for (name, places) in &names {
        let state = if is_set(places) { "set" } else { "not set" };
        text.push_str(&format!("{name}: {state}\n"));
        for (look, usage) in places {
            let Position { line, column } = position(look, usage);
            let default = match default(look, usage) {
                None => String::new(),
                Some(Some(default)) => format!("  default: {}", default.escape_debug()),
                Some(None) => "  default: (not shown, it is sensitive)".to_owned(),
            };
            text.push_str(&format!("  {}:{line}:{column}{default}\n", look.path));
        }
    }
    if text.is_empty() { "the fragments refer to no variables\n".to_owned() } else { text }
}

fn is_set(places: &[Place<'_>]) -> bool {
    places.iter().all(|(_, usage)| usage.is_set)
}

fn as_json((look, usage): Place<'_>) -> Value {
    let Position { line, column } = position(look, usage);
    json!({
        "file": &*look.path, "line": line, "column": column,
        "has_default": usage.default.is_some(), "default": default(look, usage).flatten(),
    })
}

fn position(look: &Look, usage: &VariableUse) -> Position {
    Position::of(&look.text().unwrap_or_default(), usage.span.start)
}

/// The default, if there is one; `Some(None)` if it is not to be shown.
fn default<'a>(look: &Look, usage: &'a VariableUse) -> Option<Option<&'a str>> {
    let default = usage.default.as_deref()?;
    let hidden =
        look.loaded.sensitive.iter().any(|span| span.start < usage.span.end && usage.span.start < span.end);
    Some((!hidden).then_some(default))
}
