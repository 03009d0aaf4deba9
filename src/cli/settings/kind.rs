//! Kinds of values that settings have: how each is read from a flag, a variable or the settings file,
//! and how it is shown.
//!
//! A new kind of plain value is a [`Scalar`] (`scalars`); it may then stand in an `Option` or a list. What is
//! neither (a text of several, a mapping, rules that nest) is a [`Kind`] of its own (`compound`).

mod compound;
mod scalars;

use clap::builder::{PossibleValue, ValueHint};
use serde_json::{Value as Json, json};

use super::read::Findings;
use crate::load::scalar::{Typed, typed};
use crate::load::yaml::{Node, Value};

pub use compound::{Names, RuleLevels};

/// A value that is written as one text.
pub trait Scalar: Sized + PartialEq {
    /// What is expected, in words.
    const WHAT: &'static str;
    /// Whether any text is one, so that a number or `yes` must be in quotes to be meant.
    const IS_TEXT: bool = false;
    /// Whether its flag stands alone.
    const IS_SWITCH: bool = false;
    /// What shells may offer for it.
    const HINT: ValueHint = ValueHint::Other;

    /// Reads a text, or says in words what is wrong with it.
    fn parse(text: &str) -> Result<Self, String>;
    /// As it would be written.
    fn json(&self) -> Json;
    /// All values, if they are few.
    fn possible() -> Vec<PossibleValue> {
        Vec::new()
    }
    /// What an editor is told of it.
    fn schema() -> Json {
        json!({ "type": "string" })
    }
}

/// The values of one setting.
pub trait Kind: Sized {
    /// Whether its flag may be given several times.
    const REPEATS: bool = false;
    /// Whether its flag stands alone.
    const IS_SWITCH: bool = false;
    /// Whether what is weaker counts, too, where nothing stronger speaks of the same.
    const ADDS: bool = false;
    /// Whether an empty variable says something, and not that there is none.
    const EMPTY_COUNTS: bool = false;
    /// What shells may offer for it.
    const HINT: ValueHint = ValueHint::Other;

    /// Reads the texts of a flag or variable; says in words what is wrong with each.
    fn from_texts(texts: &[String]) -> Result<Self, Vec<String>>;
    /// Reads what the settings file has; what is wrong goes to the findings.
    fn from_node(node: &Node<'_>, findings: &mut Findings<'_>) -> Option<Self>;
    /// As it would be written in the settings file.
    fn json(&self) -> Json;
    /// What an editor is told of it.
    fn schema() -> Json;
    /// This value where a weaker one was given, too.
    #[must_use]
    fn over(self, weaker: Self) -> Self {
        let _ = weaker;
        self
    }
    /// All values, if they are few.
    fn possible() -> Vec<PossibleValue> {
        Vec::new()
    }
}

fn last<T: Scalar>(texts: &[String]) -> Result<T, Vec<String>> {
    T::parse(texts.last().map_or("", String::as_str)).map_err(|error| vec![error])
}

fn scalar<T: Scalar>(node: &Node<'_>, findings: &mut Findings<'_>) -> Option<T> {
    let got = match typed(node) {
        Some(Typed::Text(text)) => return findings.take(node.span, T::parse(&text)),
        Some(Typed::Number(_) | Typed::Bool(_)) if !T::IS_TEXT => {
            return findings.take(node.span, T::parse(node.text().unwrap_or_default()));
        }
        Some(Typed::Number(_)) => "a number: put it in quotes",
        Some(Typed::Bool(_)) => "true or false: put it in quotes",
        _ => match node.value {
            Value::Mapping(_) => "a mapping",
            Value::Sequence(_) => "a list",
            _ => "nothing",
        },
    };
    findings.wrong_type(node, T::WHAT, got);
    None
}

impl<T: Scalar> Kind for T {
    const IS_SWITCH: bool = T::IS_SWITCH;
    const HINT: ValueHint = T::HINT;

    fn from_texts(texts: &[String]) -> Result<T, Vec<String>> {
        last(texts)
    }

    fn from_node(node: &Node<'_>, findings: &mut Findings<'_>) -> Option<T> {
        scalar(node, findings)
    }

    fn json(&self) -> Json {
        Scalar::json(self)
    }

    fn schema() -> Json {
        <T as Scalar>::schema()
    }

    fn possible() -> Vec<PossibleValue> {
        <T as Scalar>::possible()
    }
}

impl<T: Scalar> Kind for Option<T> {
    const HINT: ValueHint = T::HINT;

    fn from_texts(texts: &[String]) -> Result<Option<T>, Vec<String>> {
        last(texts).map(Some)
    }

    fn from_node(node: &Node<'_>, findings: &mut Findings<'_>) -> Option<Option<T>> {
        scalar(node, findings).map(Some)
    }

    fn json(&self) -> Json {
        self.as_ref().map_or(Json::Null, Scalar::json)
    }

    fn schema() -> Json {
        <T as Scalar>::schema()
    }

    fn possible() -> Vec<PossibleValue> {
        <T as Scalar>::possible()
    }
}

impl<T: Scalar> Kind for Vec<T> {
    const REPEATS: bool = true;
    const HINT: ValueHint = T::HINT;

    fn from_texts(texts: &[String]) -> Result<Vec<T>, Vec<String>> {
        let (good, bad): (Vec<_>, Vec<_>) = texts.iter().map(|text| T::parse(text)).partition(Result::is_ok);
        if bad.is_empty() {
            Ok(good.into_iter().flatten().collect())
        } else {
            Err(bad.into_iter().filter_map(Result::err).collect())
        }
    }

    fn from_node(node: &Node<'_>, findings: &mut Findings<'_>) -> Option<Vec<T>> {
        let mut values: Vec<T> = Vec::new();
        let mut all_good = true;
        for (at, element) in node.elements().iter().enumerate() {
            let Some(value) = findings.at_index(at, |findings| scalar(element, findings)) else {
                all_good = false;
                continue;
            };
            match values.iter().position(|other| *other == value) {
                Some(first) => findings.twice(at, element.span, node.elements()[first].span),
                None => values.push(value),
            }
        }
        // One that is wrong must not leave the others as if they were all, nor none as if nothing stood there.
        all_good.then_some(values)
    }

    fn json(&self) -> Json {
        self.iter().map(Scalar::json).collect()
    }

    fn schema() -> Json {
        // One value for a list of one.
        json!({ "oneOf": [{ "type": "array", "items": <T as Scalar>::schema(), "uniqueItems": true }, <T as Scalar>::schema()] })
    }
}
