//! docs/conformance.md says the truth: each rule is there, and each test that it names exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder of this project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of all functions in the project's sources and tests.
fn functions() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("tests"), &mut files);
    let name = |rest: &str| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned);
    let read = |path: &PathBuf| std::fs::read_to_string(path).expect("readable");
    let in_file = |text: String| text.split("fn ").skip(1).filter_map(name).collect::<Vec<_>>();
    files.iter().map(read).flat_map(in_file).collect()
}

#[test]
fn every_rule_is_listed_and_every_test_that_is_named_exists() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md");
    let text = std::fs::read_to_string(page).expect("the page is there");
    let functions = functions();
    let mut rules = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let Some(number) = line.split('|').nth(1).and_then(|cell| cell.trim().parse::<u32>().ok()) else {
            continue;
        };
        let tests: Vec<&str> = line.split('`').skip(1).step_by(2).filter(|name| name.contains('_')).collect();
        assert!(!tests.is_empty(), "rule {number} names no test");
        for test in tests {
            assert!(functions.contains(test), "rule {number} names {test}, which does not exist");
        }
        rules.insert(number);
    }
    assert_eq!(rules, (1..=28).collect());
}
