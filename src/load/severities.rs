//! How much each rule matters, where the user says otherwise.
//!
//! Comes in: `CODE=off|note|warning|error`. Goes out: the severity of a finding, or that it is not
//! wanted. Keeps the invariant that an error may be made less only where the bytes that would be
//! served are sound all the same: a file that cannot be read as what it is stays an error.

use std::collections::HashMap;

use super::suggest;
use crate::diagnostic::Severity;

/// Codes that can be set: judgements about what was read without doubt, and remarks.
const ADJUSTABLE: [&str; 42] = [
    "bad-cipher",
    "bad-cluster",
    "bad-format",
    "bad-header",
    "bad-hex",
    "bad-regex",
    "bad-server-name",
    "bad-weights",
    "bare-variable",
    "bootstrap-only",
    "certificate-expires",
    "constraint",
    "deprecated-field",
    "deprecated-type",
    "deprecated-value",
    "disallowed-field",
    "disallowed-value",
    "duplicate-domain",
    "duplicate-filter-chain-match",
    "duplicate-virtual-host",
    "duplicate-upgrade",
    "empty-entry",
    "empty-fragment",
    "empty-range",
    "extra-document",
    "filter-chain-end",
    "glob-not-pattern",
    "large-body",
    "large-regex",
    "misplaced-part",
    "missing-part",
    "missing-typed-config",
    "no-filter-chain",
    "not-an-ip-address",
    "over-100-percent",
    "rewrite-conflict",
    "secret-over-ads",
    "unnamed-listener",
    "unknown-provider",
    "unreachable-route",
    "wrong-extension",
    "xds-envelope",
];

/// Before the full name of a field, a rule about this field only.
const OF_FIELD: &str = "constraint/";

/// The severities that a user has set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Severities {
    set: HashMap<Box<str>, Option<Severity>>,
}

impl Severities {
    /// Takes a setting such as `unreachable-route=error`, or, of constraints of the API, such as
    /// `constraint/envoy.config.cluster.v3.Cluster.connect_timeout=warning`.
    ///
    /// # Errors
    /// Says in words what is wrong with it.
    pub fn set(&mut self, rule: &str) -> Result<(), String> {
        let (code, level) =
            rule.split_once('=').ok_or_else(|| format!("`{rule}` is no rule: write CODE=warning"))?;
        let (code, level) = (code.trim(), level.trim());
        let severity = match level {
            "off" => None,
            "note" => Some(Severity::Note),
            "warning" => Some(Severity::Warning),
            "error" => Some(Severity::Error),
            _ => return Err(format!("`{level}` is no severity: write off, note, warning or error")),
        };
        if !code.starts_with(OF_FIELD) {
            known(code)?;
        }
        self.set.insert(code.into(), severity);
        Ok(())
    }

    /// The codes that can be set.
    pub fn codes() -> &'static [&'static str] {
        &ADJUSTABLE
    }

    /// What a finding with this code is; `None` if nobody wants it.
    pub(super) fn of(&self, code: &str, usual: Severity) -> Option<Severity> {
        if self.set.is_empty() { Some(usual) } else { self.set.get(code).copied().unwrap_or(Some(usual)) }
    }

    /// The same for a constraint on a field or a oneof of a message type.
    pub(super) fn of_constraint(&self, code: &str, message: &str, field: &str) -> Option<Severity> {
        if self.set.is_empty() {
            return Some(Severity::Error);
        }
        let own = self.set.get(&*format!("{OF_FIELD}{message}.{field}"));
        own.copied().unwrap_or_else(|| self.of(code, Severity::Error))
    }
}

fn known(code: &str) -> Result<(), String> {
    if ADJUSTABLE.contains(&code) {
        return Ok(());
    }
    let hint = match suggest::nearest(code, ADJUSTABLE) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("those that can be set: {}", ADJUSTABLE.join(", ")),
    };
    Err(format!("no rule named `{code}` can be set: {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(rules: &[&str]) -> Severities {
        let mut severities = Severities::default();
        rules.iter().for_each(|rule| severities.set(rule).expect("a good rule"));
        severities
    }

    #[test]
    fn what_is_set_counts_and_the_last_word_wins() {
        let severities = set(&["bad-regex=off", "bad-regex = warning", "unreachable-route=off"]);
        assert_eq!(severities.of("bad-regex", Severity::Error), Some(Severity::Warning));
        assert_eq!(severities.of("unreachable-route", Severity::Warning), None);
        assert_eq!(severities.of("bad-weights", Severity::Error), Some(Severity::Error));
    }

    #[test]
    fn a_rule_about_one_field_is_stronger_than_the_rule_about_all() {
        let severities = set(&["constraint=warning", "constraint/a.Cluster.name=off"]);
        assert_eq!(severities.of_constraint("constraint", "a.Cluster", "name"), None);
        assert_eq!(severities.of_constraint("constraint", "a.Cluster", "type"), Some(Severity::Warning));
    }

    #[test]
    fn what_keeps_a_file_from_being_read_cannot_be_turned_off() {
        let mut severities = Severities::default();
        for rule in ["yaml-syntax=off", "wrong-type=warning", "duplicate-resource=note"] {
            assert!(severities.set(rule).is_err(), "{rule}");
        }
        let typo = severities.set("unreachable-rout=off").expect_err("a typo");
        assert!(typo.contains("did you mean `unreachable-route`?"), "{typo}");
        assert!(
            severities
                .set("bad-regex=loud")
                .is_err_and(|error| error.contains("off, note, warning or error"))
        );
        assert!(severities.set("bad-regex").is_err());
    }
}
