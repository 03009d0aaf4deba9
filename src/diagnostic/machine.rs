//! Findings for machines: JSON and SARIF.
//!
//! Both shapes are promises: fields are added, never renamed or taken away.

use serde_json::{Value, json};

use super::{Diagnostic, Position, Severity, located};

/// The findings as a JSON array, by file and place:
///
/// ```json
/// [{
///   "code": "unknown-field", "severity": "error",
///   "file": "l.yaml", "line": 3, "column": 3, "end_line": 3, "end_column": 9,
///   "path": "listeners[0]", "message": "…", "hint": "…",
///   "related": [{ "file": "m.yaml", "line": 1, "column": 1, "end_line": 1, "end_column": 2, "message": "…" }]
/// }]
/// ```
///
/// `severity` is `error`, `warning` or `note`. Lines and columns count from one, columns in
/// characters, and the end is behind the last character; all four are `null` together when the
/// finding is about the whole file or its text is not at hand. `path` and `hint` may be `null`.
pub fn json<'t>(diagnostics: &[Diagnostic], source: impl Fn(&str) -> Option<&'t str>) -> Value {
    let findings = located(diagnostics, source).into_iter().map(|finding| {
        let Diagnostic { code, severity, path, message, hint, file, .. } = finding.diagnostic;
        let related = finding.related.iter().map(|(related, range)| {
            placed(json!({ "file": &*related.file, "message": related.message }), *range)
        });
        let value = json!({
            "code": code,
            "severity": severity.to_string(),
            "file": &**file,
            "path": (!path.is_empty()).then_some(path),
            "message": message,
            "hint": hint,
            "related": related.collect::<Vec<_>>(),
        });
        placed(value, finding.range)
    });
    findings.collect()
}

fn placed(mut value: Value, range: Option<(Position, Position)>) -> Value {
    value["line"] = range.map(|(start, _)| start.line).into();
    value["column"] = range.map(|(start, _)| start.column).into();
    value["end_line"] = range.map(|(_, end)| end.line).into();
    value["end_column"] = range.map(|(_, end)| end.column).into();
    value
}

/// The findings as a SARIF 2.1.0 log with one run.
///
/// Relative file names stay relative to the directory in which the program ran, as code hosts want them.
pub fn sarif<'t>(diagnostics: &[Diagnostic], source: impl Fn(&str) -> Option<&'t str>) -> Value {
    let mut rules: Vec<&str> = diagnostics.iter().map(|finding| finding.code).collect();
    rules.sort_unstable();
    rules.dedup();
    let results: Vec<Value> = located(diagnostics, source)
        .into_iter()
        .map(|finding| {
            let Diagnostic { code, severity, path, message, hint, file, .. } = finding.diagnostic;
            let mut location = location(file, finding.range);
            if !path.is_empty() {
                location["logicalLocations"] = json!([{ "fullyQualifiedName": path }]);
            }
            let related: Vec<Value> = finding
                .related
                .iter()
                .map(|(related, range)| {
                    let mut location = self::location(&related.file, *range);
                    location["message"] = json!({ "text": related.message });
                    location
                })
                .collect();
            let text = hint.as_ref().map_or_else(|| message.clone(), |hint| format!("{message}\n{hint}"));
            json!({
                "ruleId": code,
                "ruleIndex": rules.binary_search(code).ok(),
                "level": level(*severity),
                "message": { "text": text },
                "locations": [location],
                "relatedLocations": related,
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": env!("CARGO_PKG_NAME"),
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// SARIF's word for a severity.
fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn location(file: &str, range: Option<(Position, Position)>) -> Value {
    let mut physical = json!({ "artifactLocation": { "uri": uri(file) } });
    if let Some((start, end)) = range {
        physical["region"] = json!({
            "startLine": start.line,
            "startColumn": start.column,
            "endLine": end.line,
            "endColumn": end.column,
        });
    }
    json!({ "physicalLocation": physical })
}

/// A file name as a URI reference.
fn uri(file: &str) -> String {
    let mut uri = String::from(if file.starts_with('/') { "file://" } else { "" });
    for byte in file.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Span;

    fn findings() -> Vec<Diagnostic> {
        vec![
            Diagnostic::new(Severity::Warning, "zone", "/etc/b ä.yaml".into(), "of the whole file"),
            Diagnostic::new(Severity::Error, "duplicate", "a.yaml".into(), "the name is taken")
                .at(Span::new(7, 8), "clusters[1].name")
                .with_hint("rename one")
                .with_related("a.yaml".into(), Span::new(0, 2), "first used here"),
        ]
    }

    fn source(file: &str) -> Option<&'static str> {
        (file == "a.yaml").then_some("ää\na: b\n")
    }

    #[test]
    fn the_json_shape_is_as_documented() {
        assert_eq!(
            json(&findings(), source),
            json!([
                {
                    "code": "zone", "severity": "warning",
                    "file": "/etc/b ä.yaml", "line": null, "column": null, "end_line": null, "end_column": null,
                    "path": null, "message": "of the whole file", "hint": null, "related": [],
                },
                {
                    "code": "duplicate", "severity": "error",
                    "file": "a.yaml", "line": 2, "column": 3, "end_line": 2, "end_column": 4,
                    "path": "clusters[1].name", "message": "the name is taken", "hint": "rename one",
                    "related": [{
                        "file": "a.yaml", "line": 1, "column": 1, "end_line": 1, "end_column": 2,
                        "message": "first used here",
                    }],
                },
            ])
        );
    }

    #[test]
    fn sarif_names_rules_once_and_points_with_uris() {
        let log = sarif(&[findings(), findings()].concat(), source);
        let run = &log["runs"][0];
        assert_eq!(log["version"], "2.1.0");
        assert_eq!(run["tool"]["driver"]["rules"], json!([{ "id": "duplicate" }, { "id": "zone" }]));
        let results = run["results"].as_array().expect("a list");
        assert_eq!(results.len(), 4);
        assert_eq!(
            results[0]["locations"],
            json!([{ "physicalLocation": { "artifactLocation": { "uri": "file:///etc/b%20%C3%A4.yaml" } } }])
        );
        assert_eq!(results[0]["level"], "warning");
        assert_eq!(
            results[2],
            json!({
                "ruleId": "duplicate", "ruleIndex": 0, "level": "error",
                "message": { "text": "the name is taken\nrename one" },
                "locations": [{
                    "physicalLocation": {
                        "artifactLocation": { "uri": "a.yaml" },
                        "region": { "startLine": 2, "startColumn": 3, "endLine": 2, "endColumn": 4 },
                    },
                    "logicalLocations": [{ "fullyQualifiedName": "clusters[1].name" }],
                }],
                "relatedLocations": [{
                    "physicalLocation": {
                        "artifactLocation": { "uri": "a.yaml" },
                        "region": { "startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2 },
                    },
                    "message": { "text": "first used here" },
                }],
            })
        );
    }
}
