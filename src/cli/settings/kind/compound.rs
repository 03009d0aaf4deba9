//! Values of settings that are more than one text, or a list of them: addresses with terms, names in one text,
//! severities by rule.

use serde_json::{Value as Json, json};

use super::Kind;
use crate::app::{Listen, Listens};
use crate::cli::settings::read::Findings;
use crate::load::Severities;
use crate::load::yaml::Node;

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
