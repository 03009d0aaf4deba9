//! Holds what `deny.toml` says of versions, licences and sources, wherever `cargo test` runs.
//!
//! Comes in: `cargo metadata` of this workspace and the lists of `deny.toml`. `cargo deny` checks the
//! same and the advisories besides (`just deny`); it takes minutes to build, so that a check that
//! depends on it would be left out where it matters.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

const DENY: &str = include_str!("../deny.toml");

/// The lines of a list in `deny.toml`, from the one that ends with `key = [` to its `]`.
fn list(key: &str) -> Vec<&'static str> {
    let start = format!("{key} = [");
    let lines = DENY.lines().skip_while(|line| *line != start).skip(1).take_while(|line| *line != "]");
    lines.map(str::trim).filter(|line| !line.starts_with('#')).collect()
}

/// The quoted strings of a line.
fn quoted(line: &str) -> Vec<&str> {
    line.split('"').skip(1).step_by(2).collect()
}

/// Every package that is built for Linux, tests and xtask included.
fn packages() -> Vec<Value> {
    let arguments = ["metadata", "--format-version=1", "--locked", "--offline"];
    // Of this machine only: packages for other platforms were never downloaded.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let target = ["--filter-platform", &platform];
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages.clone()
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

#[test]
fn there_is_one_version_of_each_crate() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let version = text(&package, "version").to_owned();
        versions.entry(text(&package, "name").to_owned()).or_default().insert(version);
    }
    let mut unused = Vec::new();
    for (name, version) in list("skip").into_iter().map(|line| match quoted(line)[..] {
        [name, version, ..] => (name, version.trim_start_matches('=')),
        _ => panic!("not an exception: {line}"),
    }) {
        let known = versions.get_mut(name);
        if known.is_none_or(|known| known.len() < 2 || !known.remove(version)) {
            unused.push(format!("{name} {version}"));
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert!(versions.is_empty(), "more than one version, and no exception in deny.toml: {versions:?}");
    assert!(unused.is_empty(), "exceptions in deny.toml that are not needed any more: {unused:?}");
}

#[test]
fn licences_are_allowed_ones() {
    let allowed: Vec<&str> = list("allow").into_iter().flat_map(quoted).collect();
    assert!(allowed.contains(&"MIT"), "deny.toml has no list of licences: {allowed:?}");
    let refused: Vec<String> = packages()
        .iter()
        .filter(|package| package["source"].is_string())
        .filter(|package| !licence_is_allowed(text(package, "license"), &allowed))
        .map(|package| format!("{}: {}", text(package, "name"), package["license"]))
        .collect();
    assert!(refused.is_empty(), "licences that deny.toml does not allow: {refused:#?}");
}

#[test]
fn crates_come_from_the_registry_and_no_second_tls_stack_with_them() {
    let refused: Vec<&str> = list("deny").into_iter().flat_map(quoted).collect();
    assert!(refused.contains(&"openssl"), "deny.toml has no list of refused crates: {refused:?}");
    for package in packages() {
        let (name, source) = (text(&package, "name"), text(&package, "source"));
        let ours = source.is_empty();
        assert!(ours || source.starts_with("registry+"), "{name} comes from {source}");
        assert!(!refused.contains(&name), "{name} is refused by deny.toml");
    }
}

/// Whether an SPDX expression can be met by the allowed licences alone.
fn licence_is_allowed(expression: &str, allowed: &[&str]) -> bool {
    // The old form of crates.io separates alternatives by a slash; `+` is "or later".
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let met = alternatives(&mut words, allowed);
    met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn alternatives(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut met = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let met = alternatives(words, allowed);
        return words.next_if_eq(&")").is_some() && met;
    }
    let mut licence = words.next().unwrap_or_default().trim_end_matches('+').to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        licence = format!("{licence} WITH {}", words.next().unwrap_or_default());
    }
    allowed.contains(&licence.as_str())
}

#[test]
fn licence_expressions_are_read_as_spdx_says() {
    let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception", "MPL-2.0"];
    let met = |expression| licence_is_allowed(expression, &allowed);
    assert!(met("MIT") && met("GPL-3.0/MIT") && met("GPL-3.0 OR MIT") && met("MPL-2.0+"));
    assert!(met("Apache-2.0 WITH LLVM-exception") && met("(GPL-3.0 OR MIT) AND MPL-2.0"));
    assert!(!met("GPL-3.0") && !met("MIT AND GPL-3.0") && !met("") && !met("Apache-2.0"));
    assert!(!met("MIT MIT") && !met("(MIT"));
}
