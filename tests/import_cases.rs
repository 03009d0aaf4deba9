//! The cases under `tests/migrate/`: what a person sees and gets when these sources are moved in.
//!
//! Each folder holds sources, in `args` what is typed behind `xds-bridge`, and in `expect.txt` what
//! must come out. `UPDATE=1 cargo test --test import_cases` writes what comes out now. Of each case
//! that writes fragments these are loaded, and of each v2 file what it became: nothing may be wrong
//! with it but what the report leaves to a person.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use xds_bridge::envoy_api::Api;
use xds_bridge::migrate::{Connection, Endpoint, Options, Source, Split, import};

fn run(args: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xds-bridge"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("XDS_BRIDGE_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").args(args).current_dir(folder).output().unwrap()
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrate");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn typed(case: &Path) -> String {
    fs::read_to_string(case.join("args")).unwrap()
}

/// Everything that a command prints, and how it ended.
fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let errors = text(&output.stderr);
    let code = output.status.code().unwrap();
    let errors = if errors.is_empty() { errors } else { format!("--- standard error\n{errors}") };
    format!("{}{errors}--- exit {code}\n", text(&output.stdout))
}

#[test]
fn every_case_gives_what_it_expects() {
    let cases = cases();
    assert!(cases.len() >= 15, "only {} cases are there", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let typed = typed(&case);
        let args: Vec<&str> = typed.split_whitespace().collect();
        let given = shown(&run(&args, &case));
        assert_eq!(given, shown(&run(&args, &case)), "{}: twice the same", case.display());
        let expected_path = case.join("expect.txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected_path, &given).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if given != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- given\n{given}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every comment of a YAML source is somewhere in what came of it.
#[test]
fn comments_survive() {
    let mut seen = 0;
    for case in cases() {
        let typed = typed(&case);
        if !typed.starts_with("import") {
            continue;
        }
        let args: Vec<&str> = typed.split_whitespace().collect();
        let output = run(&args, &case);
        if output.status.code() == Some(2) {
            continue;
        }
        let given = String::from_utf8(output.stdout).unwrap();
        for entry in fs::read_dir(&case).unwrap() {
            let path = entry.unwrap().path();
            let is_source = path.extension().is_some_and(|ending| ending == "yaml" || ending == "tmpl");
            for line in fs::read_to_string(&path).unwrap_or_default().lines().filter(|_| is_source) {
                if let Some((_, comment)) = line.split_once("# ") {
                    assert!(given.contains(comment.trim()), "{}: `{comment}` is lost", case.display());
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} comments were looked for");
}

/// Everything is to be moved, and made dynamic.
fn options() -> Options {
    Options {
        split: Split::Concern,
        dynamic: true,
        connection: Connection::to(Endpoint::Tcp("127.0.0.1".to_owned(), 1)),
        node_id: "n".to_owned(),
        node_cluster: "c".to_owned(),
    }
}

/// A file that was cut or mangled gives an error or another configuration, never a panic.
#[test]
fn hostile_sources_do_no_harm() {
    let (api, options) = (Api::embedded().unwrap(), options());
    let mut imported = 0;
    for case in ["static-comments-anchors", "static-dynamic", "v2-http-filters", "v2-anchors", "xds-files"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrate").join(case);
        let name = if case == "xds-files" { "cds.yaml" } else { "envoy.yaml" };
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let mut hostile = Vec::new();
        for (round, at) in (0..text.len()).step_by(61).enumerate() {
            hostile.push(text[..at].to_owned());
            let sign =
                ["&a ", "*a", "!x ", "| ", "{", "]", "- ", ": ", "\t", "# ", "${X", "\u{e9}", "\r\n", "? "];
            let sign = sign[round % sign.len()];
            hostile.push(format!("{}{sign}{}", &text[..at], &text[at..]));
        }
        for text in hostile {
            let source = Source { name: "x".into(), text };
            imported += usize::from(import(&api, &[source], &options).is_ok());
        }
    }
    assert!(imported > 20, "nearly nothing was left to import: {imported}");
}

/// Every value of a JSON source in turn is something else: another shape is an error or another
/// configuration, never a panic.
#[test]
fn values_of_the_wrong_shape_do_no_harm() {
    fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                map.iter().for_each(|(key, inner)| {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    pointers(inner, format!("{at}/{key}"), all);
                });
            }
            Value::Array(list) => list
                .iter()
                .enumerate()
                .for_each(|(index, inner)| pointers(inner, format!("{at}/{index}"), all)),
            _ => {}
        }
        all.push(at);
    }

    let (api, options) = (Api::embedded().unwrap(), options());
    let mut imported = 0;
    for file in ["dump/dump.json", "static-json/envoy.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrate").join(file);
        let whole: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let mut all = Vec::new();
        pointers(&whole, String::new(), &mut all);
        for (round, pointer) in all.iter().enumerate() {
            for other in
                [json!(7), json!([[]]), json!({"name": {}}), json!(null)].iter().skip(round % 2).step_by(2)
            {
                let mut changed = whole.clone();
                *changed.pointer_mut(pointer).unwrap() = other.clone();
                let source = Source { name: "x".into(), text: changed.to_string() };
                imported += usize::from(import(&api, &[source], &options).is_ok());
            }
        }
    }
    assert!(imported > 100, "nearly nothing was left to import: {imported}");
}
