//! The pages under `docs/findings/`: every code that a finding can have is explained, and nothing else.
//!
//! Comes in: the sources as text. A code is what stands in quotes, in lower case with dashes, in the
//! rooms that find something.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

/// Where findings are made.
const ROOMS: [&str; 4] = ["src/load", "src/app", "src/source", "src/cli/envoy"];

/// What looks like a code and is none: a value of a header.
const OTHER: [&str; 1] = ["no-store"];

/// Codes of one word.
const ONE_WORD: [&str; 1] = ["constraint"];

fn sources(folder: &Path, texts: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("tests") || path.ends_with("tests.rs") {
            continue;
        }
        if path.is_dir() {
            sources(&path, texts);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            texts.push(code.collect::<Vec<_>>().join("\n"));
        }
    }
}

fn codes() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    ROOMS.iter().for_each(|room| sources(&root.join(room), &mut texts));
    let literal = Regex::new(r#""([a-z0-9]+(?:-[a-z0-9]+)+)""#).unwrap();
    let text = texts.join("\n");
    let mut found: BTreeSet<String> = literal.captures_iter(&text).map(|found| found[1].to_owned()).collect();
    for word in OTHER {
        assert!(found.remove(word), "{word}");
    }
    for code in ONE_WORD {
        assert!(text.contains(&format!("\"{code}\"")), "{code}");
        found.insert(code.to_owned());
    }
    found
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/findings").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let pages: BTreeSet<String> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/findings"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".md").filter(|name| *name != "README").map(str::to_owned))
        .collect();
    let codes = codes();
    let missing: Vec<&String> = codes.difference(&pages).collect();
    let left_over: Vec<&String> = pages.difference(&codes).collect();
    assert!(
        missing.is_empty() && left_over.is_empty(),
        "without a page: {missing:?}; without a code: {left_over:?}"
    );
}

#[test]
fn every_page_is_about_its_code_and_stands_in_the_index() {
    let index = page("README.md");
    for code in codes() {
        let text = page(&format!("{code}.md"));
        assert!(text.starts_with(&format!("# {code}\n")), "{code}");
        assert!(text.contains("**"), "{code} does not say how much it matters");
        assert!(index.contains(&format!("[{code}]({code}.md)")), "{code} is not in the index");
    }
}

#[test]
fn the_index_marks_just_the_codes_that_can_be_set() {
    let index = page("README.md");
    for code in codes() {
        let is_marked = index.contains(&format!("[{code}]({code}.md) *"));
        let is_settable = xds_bridge::load::Severities::default().set(&format!("{code}=note")).is_ok();
        assert_eq!(is_marked, is_settable, "{code}");
    }
}
