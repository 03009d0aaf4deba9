//! Kinds of values that settings have: how each is read from a flag, a variable or the settings file,
//! and how it is shown.
//!
//! A new kind of plain value is a [`Scalar`]; it may then stand in an `Option` or a list. What is neither
//! (a mapping, rules that nest) is a [`Kind`] of its own.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::{PossibleValue, ValueHint};
use serde_json::{Value as Json, json};

use super::super::args::{AdminAddress, LogFormat, OnErrorChoice};
use super::read::Findings;
use crate::app::{Listen, Listens};
use crate::load::Severities;
use crate::load::scalar::{self, Typed, typed};
use crate::load::yaml::{Node, Value};

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
        for (at, element) in node.elements().iter().enumerate() {
            let Some(value) = findings.at_index(at, |findings| scalar(element, findings)) else { continue };
            match values.iter().position(|other| *other == value) {
                Some(first) => findings.twice(at, element.span, node.elements()[first].span),
                None => values.push(value),
            }
        }
        Some(values)
    }

    fn json(&self) -> Json {
        self.iter().map(Scalar::json).collect()
    }

    fn schema() -> Json {
        // One value for a list of one.
        json!({ "oneOf": [{ "type": "array", "items": <T as Scalar>::schema(), "uniqueItems": true }, <T as Scalar>::schema()] })
    }
}

impl Scalar for String {
    const WHAT: &'static str = "a text";
    const IS_TEXT: bool = true;

    fn parse(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    fn json(&self) -> Json {
        self.as_str().into()
    }
}

impl Scalar for PathBuf {
    const WHAT: &'static str = "a path";
    const IS_TEXT: bool = true;
    const HINT: ValueHint = ValueHint::AnyPath;

    fn parse(text: &str) -> Result<PathBuf, String> {
        if text.is_empty() || text.contains('\0') {
            return Err("an empty text is no path".to_owned());
        }
        Ok(text.into())
    }

    fn json(&self) -> Json {
        self.to_string_lossy().into()
    }
}

impl Scalar for bool {
    const WHAT: &'static str = "true or false";
    const IS_SWITCH: bool = true;

    fn parse(text: &str) -> Result<bool, String> {
        let on_off =
            || [("on", true), ("off", false)].into_iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        let value = scalar::quoted_bool(text).or_else(|| on_off().map(|(_, value)| value));
        value.ok_or_else(|| format!("{text:?} is neither true nor false"))
    }

    fn json(&self) -> Json {
        (*self).into()
    }

    fn schema() -> Json {
        json!({ "type": "boolean" })
    }
}

impl Scalar for Duration {
    const WHAT: &'static str = "a time such as 300ms, 2s or 1m";

    fn parse(text: &str) -> Result<Duration, String> {
        humantime::parse_duration(text)
            .map_err(|_| format!("{text:?} is no time: write one such as 300ms, 2s or 1m"))
    }

    fn json(&self) -> Json {
        humantime::format_duration(*self).to_string().into()
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^\\s*\\d+\\s*[a-z]+(\\s*\\d+\\s*[a-z]+)*\\s*$|^0$" })
    }
}

impl Scalar for Listen {
    const WHAT: &'static str = "an address: IP:PORT or unix:PATH";

    fn parse(text: &str) -> Result<Listen, String> {
        text.parse().map_err(|error: crate::app::AddressError| error.to_string())
    }

    fn json(&self) -> Json {
        self.to_string().into()
    }
}

/// Behind an address commas part what else is said of it, so a text may hold several.
impl Kind for Listens {
    const REPEATS: bool = true;

    fn from_texts(texts: &[String]) -> Result<Listens, Vec<String>> {
        let (mut listens, mut wrong) = (Vec::new(), Vec::new());
        for text in texts {
            match text.parse::<Listens>() {
                Ok(several) => listens.extend(several.0),
                Err(error) => wrong.push(error.to_string()),
            }
        }
        if wrong.is_empty() { Ok(Listens(listens)) } else { Err(wrong) }
    }

    fn from_node(node: &Node<'_>, findings: &mut Findings<'_>) -> Option<Listens> {
        <Vec<Listen> as Kind>::from_node(node, findings).map(Listens)
    }

    fn json(&self) -> Json {
        Kind::json(&self.0)
    }

    fn schema() -> Json {
        <Vec<Listen> as Kind>::schema()
    }
}

impl Scalar for usize {
    const WHAT: &'static str = "a number";

    fn parse(text: &str) -> Result<usize, String> {
        text.parse().map_err(|_| format!("{text:?} is no whole number"))
    }

    fn json(&self) -> Json {
        (*self).into()
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": 1 })
    }
}

impl Scalar for AdminAddress {
    const WHAT: &'static str = "an address, IP:PORT or unix:PATH, or `none`";

    fn parse(text: &str) -> Result<AdminAddress, String> {
        if text == "none" { Ok(AdminAddress::None) } else { Listen::parse(text).map(AdminAddress::At) }
    }

    fn json(&self) -> Json {
        match self {
            AdminAddress::At(address) => Scalar::json(address),
            AdminAddress::None => "none".into(),
        }
    }
}

/// A choice between a few words.
macro_rules! choice {
    ($($type:ty),*) => { $(impl Scalar for $type {
        const WHAT: &'static str = "one of a few words";

        fn parse(text: &str) -> Result<$type, String> {
            <$type as ValueEnum>::from_str(text, true)
                .map_err(|_| format!("{text:?} is none of {}", words::<$type>().join(", ")))
        }

        fn json(&self) -> Json {
            self.to_possible_value().map_or(Json::Null, |value| value.get_name().into())
        }

        fn possible() -> Vec<PossibleValue> {
            Self::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect()
        }

        fn schema() -> Json {
            json!({ "enum": words::<$type>() })
        }
    })* };
}

fn words<T: Scalar>() -> Vec<String> {
    <T as Scalar>::possible().iter().map(|value| value.get_name().to_owned()).collect()
}

choice!(LogFormat, OnErrorChoice);

/// Names of variables, as a list or in one text as envsubst takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl Names {
    /// The names in a text: with commas or blanks between, and with or without `$` and braces.
    fn of(text: &str) -> impl Iterator<Item = String> {
        let parts = text.split(|c: char| c == ',' || c.is_whitespace());
        let bare =
            parts.map(|part| part.trim_start_matches('$').trim_start_matches('{').trim_end_matches('}'));
        bare.filter(|name| !name.is_empty()).map(str::to_owned)
    }
}

impl Kind for Option<Names> {
    const EMPTY_COUNTS: bool = true;

    fn from_texts(texts: &[String]) -> Result<Option<Names>, Vec<String>> {
        Ok(Some(Names(texts.iter().flat_map(|text| Names::of(text)).collect())))
    }

    fn from_node(node: &Node<'_>, findings: &mut Findings<'_>) -> Option<Option<Names>> {
        let texts = <Vec<String> as Kind>::from_node(node, findings)?;
        Some(Some(Names(texts.iter().flat_map(|text| Names::of(text)).collect())))
    }

    fn json(&self) -> Json {
        self.as_ref().map_or(Json::Null, |names| names.0.clone().into())
    }

    fn schema() -> Json {
        <Vec<String> as Kind>::schema()
    }
}

/// How much rules matter: `CODE=SEVERITY` each, and in the settings file a mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleLevels(Vec<(String, String)>);

impl RuleLevels {
    /// As loading takes them.
    pub fn severities(&self) -> Severities {
        let mut severities = Severities::default();
        for (code, level) in &self.0 {
            severities.set(&format!("{code}={level}")).expect("each was tried when it was read");
        }
        severities
    }

    fn set(&mut self, code: &str, level: &str) -> Result<(), String> {
        Severities::default().set(&format!("{code}={level}"))?;
        self.0.push((code.trim().to_owned(), level.trim().to_owned()));
        Ok(())
    }
}

impl Kind for RuleLevels {
    const REPEATS: bool = true;
    const ADDS: bool = true;

    fn from_texts(texts: &[String]) -> Result<RuleLevels, Vec<String>> {
        let (mut levels, mut wrong) = (RuleLevels::default(), Vec::new());
        for text in texts {
            let rule = text.split_once('=').ok_or_else(|| format!("`{text}` is no rule: write CODE=warning"));
            wrong.extend(rule.and_then(|(code, level)| levels.set(code, level)).err());
        }
        if wrong.is_empty() { Ok(levels) } else { Err(wrong) }
    }

    fn from_node(node: &Node<'_>, findings: &mut Findings<'_>) -> Option<RuleLevels> {
        let Some(entries) = node.entries() else {
            findings.wrong_type(node, "a mapping of rules to off, note, warning or error", "something else");
            return None;
        };
        let mut levels = RuleLevels::default();
        for entry in entries {
            // Unquoted, YAML takes `off` for a boolean; here it is a word.
            let set = levels.set(&entry.key, entry.value.text().unwrap_or_default());
            findings.at_key(&entry.key, |findings| findings.take(entry.key_span, set));
        }
        Some(levels)
    }

    fn json(&self) -> Json {
        self.0
            .iter()
            .map(|(code, level)| (code.clone(), Json::from(level.as_str())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn schema() -> Json {
        // Unquoted, editors take `off` for a text or for false, by their version of YAML.
        let level = json!({ "enum": ["off", "note", "warning", "error", false] });
        let codes = Severities::codes().iter().map(|code| ((*code).to_owned(), level.clone()));
        json!({
            "type": "object",
            "properties": codes.collect::<serde_json::Map<_, _>>(),
            "patternProperties": { "^constraint/": level },
            "additionalProperties": false,
        })
    }

    fn over(mut self, mut weaker: Self) -> Self {
        weaker.0.append(&mut self.0);
        weaker
    }
}
