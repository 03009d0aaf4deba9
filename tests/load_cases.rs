//! The cases under `tests/cases/`: what a person sees when these files are loaded.
//!
//! Each folder holds fragments in `config.d/` and, in `expect.txt`, the findings and resources that
//! they must give. `UPDATE=1 cargo test --test load_cases` writes what they give now. Beside them,
//! `variables.env` sets variables, `substitute` lists the only ones that are replaced, and `files/` holds
//! what `!file ../files/…` names. It is always [`NOW`].

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

mod pool;
mod show;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pool::BUILT_IN;
use xds_bridge::diagnostic::{Diagnostic, Position, Span};
use xds_bridge::envoy_api::Api;
use xds_bridge::load::{FileContent, Inputs, Item, Severities, Variables, load_filled, parse_env_file};
use xds_bridge::resource::{NodePattern, Selector};

#[test]
fn every_case_gives_the_findings_and_resources_that_it_expects() {
    let api = Api::embedded().unwrap();
    let mut wrong = Vec::new();
    let cases = sorted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
    assert!(cases.len() >= 60, "only {} cases are there", cases.len());
    for case in cases {
        let given = run(&api, &case);
        let expected_path = case.join("expect.txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected_path, &given).unwrap();
        }
        let expected = std::fs::read_to_string(&expected_path).unwrap_or_default();
        if given != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- given\n{given}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// 2026-11-22, 00:00 UTC.
const NOW: i64 = 1_795_305_600;

fn variables(case: &Path) -> Variables {
    let file = std::fs::read(case.join("variables.env")).unwrap_or_default();
    let variables = Variables::new(parse_env_file(&file).unwrap());
    match std::fs::read_to_string(case.join("substitute")) {
        Ok(names) => variables.only(names.split_whitespace().map(str::to_owned)),
        Err(_) => variables,
    }
}

fn run(api: &Api, case: &Path) -> String {
    let mut out = String::new();
    let files = |path: &Path| -> Option<FileContent> {
        let content = std::fs::read(case.join("config.d").join(path));
        Some(content.map(Into::into).map_err(|_| "there is no such file".to_owned()))
    };
    let inputs = Inputs {
        variables: &variables(case),
        files: &files,
        now: Some(NOW),
        severities: &Severities::default(),
    };
    for path in sorted(&case.join("config.d")) {
        let name: Arc<str> = path.file_name().unwrap().to_str().unwrap().into();
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let loaded = load_filled(api, &name, &bytes, &inputs);
        for finding in &loaded.diagnostics {
            show_finding(finding, &text, &mut out);
        }
        if loaded.is_sound() {
            for item in loaded.items.iter() {
                show_item(item, &text, &mut out);
            }
        }
    }
    out
}

fn place(file: &str, span: Option<Span>, text: &str) -> String {
    match span {
        Some(span) => format!("{file}:{}", Position::of(text, span.start)),
        None => file.to_owned(),
    }
}

fn show_finding(finding: &Diagnostic, text: &str, out: &mut String) {
    let Diagnostic { file, span, severity, code, path, message, hint, related } = finding;
    let place_of = |span| place(file, span, text);
    writeln!(out, "{}: {severity}[{code}]: {message}", place_of(*span)).unwrap();
    if !path.is_empty() {
        writeln!(out, "    at {path}").unwrap();
    }
    if let Some(hint) = hint {
        writeln!(out, "    hint: {hint}").unwrap();
    }
    for related in related {
        writeln!(out, "    {}: {}", place_of(Some(related.span)), related.message).unwrap();
    }
}

fn show_item(item: &Item, text: &str, out: &mut String) {
    let resource = &item.resource;
    writeln!(out, "{} {}", resource.kind(), resource.name()).unwrap();
    writeln!(out, "  from {}", Position::of(text, item.name_span.start)).unwrap();
    if let Some(Selector(patterns)) = item.nodes.as_deref() {
        for pattern in patterns {
            writeln!(out, "  for {}", pattern_text(pattern)).unwrap();
        }
    }
    if let Some(ttl) = resource.ttl() {
        writeln!(out, "  valid for {ttl:?}").unwrap();
    }
    if let Some(expires) = item.expires() {
        writeln!(out, "  expires at {expires}").unwrap();
    }
    for alias in resource.aliases() {
        writeln!(out, "  also {alias}").unwrap();
    }
    for (kind, name) in resource.references() {
        writeln!(out, "  needs {kind} {name}").unwrap();
    }
    let descriptor = BUILT_IN.get_message_by_name(resource.kind().message()).unwrap();
    show::show_message(&descriptor, resource.body(), 1, out);
}

fn pattern_text(pattern: &NodePattern) -> String {
    let NodePattern { id, cluster, region, zone, sub_zone, metadata } = pattern;
    let mut parts = Vec::new();
    for (what, glob) in
        [("id", id), ("cluster", cluster), ("region", region), ("zone", zone), ("sub_zone", sub_zone)]
    {
        parts.extend(glob.iter().map(|glob| format!("{what}={glob}")));
    }
    parts.extend(metadata.iter().map(|(path, glob)| format!("metadata {}={glob}", path.join("/"))));
    if parts.is_empty() { "any node".to_owned() } else { parts.join(" ") }
}
