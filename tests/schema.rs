//! The JSON Schemas that editors get, as the validator of npm's `ajv` takes them: over our own fragments,
//! over the cases of the loader, and over files that are wrong in one thing.
//!
//! Holds the promise of the schema: what the loader takes without a warning is valid, and what it calls an
//! unknown key, type or value of an enum is not.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::fetched;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use serde_json::{Value, json};
use xds_bridge::envoy_api::Api;

/// The YAML parser is that of yaml-language-server.
const PACKAGES: [&str; 2] = ["ajv@8.17.1", "yaml@2.8.1"];

/// How the names of cases begin that a schema cannot judge, and why.
const BEYOND: [(&str, &str); 6] = [
    ("yaml-key-tagged-ignore", "a tag is nothing that a schema sees"),
    ("yaml-merge-keys", "the parser of editors does not merge nothing"),
    ("yaml-placeholder-in-a-flow-mapping", "`${…}` there is no YAML to others"),
    ("variables-", "they show just that"),
    ("typed-struct-is-checked-as-what-it-names", "to the API it is free-form"),
    ("extensions-that-configure-nothing", "the same"),
];

/// Codes of what a schema must find, too.
const FOUND: [&str; 5] =
    ["unknown-field", "unknown-key", "unknown-enum-value", "unknown-type", "missing-type"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn schema(args: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xds-bridge"));
    let output = command.arg("schema").args(args).output().expect("the program was built with this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a schema is JSON")
}

/// What is wrong with each of these texts, by the schema that it names.
fn judge(schemas: &Value, texts: &[(&str, String)]) -> Vec<Option<String>> {
    let texts: Value = texts.iter().map(|(schema, text)| json!({ "schema": schema, "text": text })).collect();
    let input = json!({ "schemas": schemas, "files": texts }).to_string();
    let mut node = fetched::node_with(&fetched::npm(&PACKAGES));
    node.arg(root().join("tests/schema/validate.js")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = node.spawn().expect("node is there");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("node reads it all first");
    drop(stdin);
    let output = child.wait_with_output().expect("node ends");
    assert!(output.status.success(), "ajv did not take the schema as it is");
    serde_json::from_slice(&output.stdout).expect("one answer a text")
}

/// A file, or a whole case, that is to be valid or not.
struct Expected {
    name: String,
    texts: Vec<(&'static str, String)>,
    valid: bool,
}

fn fragments(folder: &Path) -> Vec<(&'static str, String)> {
    let mut texts = Vec::new();
    let mut open: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("ours").map(|entry| entry.expect("ours").path()));
        } else if let Ok(text) = fs::read_to_string(&path) {
            texts.push(("fragment", text));
        }
    }
    texts
}

/// Our own fragments, and the cases that a schema can judge.
fn from_files() -> Vec<Expected> {
    let mut all =
        vec![Expected { name: "config.d".into(), texts: fragments(&root().join("config.d")), valid: true }];
    for entry in fs::read_dir(root().join("tests/cases")).expect("ours") {
        let case = entry.expect("ours").path();
        let name = case.file_name().expect("it has one").to_string_lossy().into_owned();
        let expect = fs::read_to_string(case.join("expect.txt")).expect("each case has one");
        let is_clean = !expect.contains("error[") && !expect.contains("warning[");
        let is_found = FOUND.iter().any(|code| expect.contains(&format!("error[{code}]")));
        if is_clean != is_found && BEYOND.iter().all(|(beyond, _)| !name.starts_with(beyond)) {
            all.push(Expected { name, texts: fragments(&case.join("config.d")), valid: is_clean });
        }
    }
    assert!(all.iter().filter(|case| case.valid).count() > 25, "most cases are gone");
    assert!(all.iter().filter(|case| !case.valid).count() > 10, "most cases are gone");
    all
}

/// Of each pair the first is valid and the second is not.
const PAIRS: [(&str, &str); 17] = [
    ("clusters: []", "cluster: []"),
    ("clusters:", "clusters: 5"),
    ("clusters: { name: a }", "clusters: { nmae: a }"),
    ("clusters: [[{ name: a }], { name: b }]", "clusters: [[{ nmae: a }]]"),
    ("clusters: [{ name: a, lb_policy: ring_Hash }]", "clusters: [{ name: a, lb_policy: RINGHASH }]"),
    ("clusters: [{ name: a, lb_policy: '${POLICY}', type: 3 }]", "clusters: [{ name: a, type: [] }]"),
    ("clusters: [{ name: a, connectTimeout: 1.5s }]", "clusters: [{ name: a, connectTimeout: 1m }]"),
    ("clusters: [{ name: a, lbPolicy: MAGLEV }]", "clusters: [{ name: a, lbPolicy: MAGLEW }]"),
    (
        "clusters: [{ name: a, connect_timeout: { seconds: 1 } }]",
        "clusters: [{ name: a, connect_timeout: { second: 1 } }]",
    ),
    (
        "clusters: [{ name: a, respect_dns_ttl: '${X:-true}' }]",
        "clusters: [{ name: a, respect_dns_ttl: maybe }]",
    ),
    ("scopedRoutes: []\nx-anything: { a: [1] }", "scopedroutes: []"),
    ("nodes: { id: 'edge-*' }\nttls: { a: 5s }", "nodes: [{ name: edge }]"),
    ("resources: []\nversion_info: '1'", "clusters: []\nversion_info: '1'"),
    ("static_resources: { clusters: [{ name: a }] }\nadmin: {}", "static_resources: { endpoints: [] }"),
    (
        "secrets: [{ name: a, generic_secret: { secret: { inline_string: !file key.pem } } }]",
        "secrets: [{ name: a, generic_secret: { secret: { inline: !file key.pem } } }]",
    ),
    (
        "extension_configs: [{ name: a, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppressEnvoyHeaders: true } }]",
        "extension_configs: [{ name: a, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_headers: true } }]",
    ),
    (
        "extension_configs: [{ name: a, typed_config: { '@type': own/extra.Plugin, size: 1 } }]",
        "extension_configs: [{ name: a, typed_config: { '@type': own/extra.Plugin, sice: 1 } }]",
    ),
];

/// A set with one message type that Envoy does not have.
fn own_types() -> Vec<u8> {
    let size = FieldDescriptorProto {
        name: Some("size".into()),
        number: Some(1),
        label: Some(Label::Optional as i32),
        r#type: Some(Type::Uint32 as i32),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("plugin.proto".into()),
        package: Some("extra".into()),
        syntax: Some("proto3".into()),
        message_type: vec![DescriptorProto {
            name: Some("Plugin".into()),
            field: vec![size],
            ..Default::default()
        }],
        ..Default::default()
    };
    prost::Message::encode_to_vec(&FileDescriptorSet { file: vec![file] })
}

#[test]
fn what_the_loader_takes_is_valid_and_unknown_keys_types_and_values_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = folder.path().join("own.fds");
    fs::write(&set, own_types()).expect("a folder of our own is writable");
    let schemas = json!({
        "fragment": schema(&["--descriptors", set.to_str().expect("UTF-8")]),
        "settings": schema(&["settings"]),
    });
    let mut all = from_files();
    for (good, bad) in PAIRS {
        for (text, valid) in [(good, true), (bad, false)] {
            all.push(Expected { name: text.to_owned(), texts: vec![("fragment", text.to_owned())], valid });
        }
    }
    let example = fs::read_to_string(root().join("packaging/xds-bridge.yaml")).expect("ours");
    let set: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    for (text, valid) in
        [(example, true), (set, true), ("lisen: []".into(), false), ("on_error: explode".into(), false)]
    {
        all.push(Expected { name: format!("settings: {text}"), texts: vec![("settings", text)], valid });
    }
    let texts: Vec<(&str, String)> = all.iter().flat_map(|case| case.texts.clone()).collect();
    let mut answers = judge(&schemas, &texts).into_iter();
    let mut odd = Vec::new();
    for case in &all {
        let wrong: Vec<String> = answers.by_ref().take(case.texts.len()).flatten().collect();
        if case.valid != wrong.is_empty() {
            odd.push(format!(
                "{} should be {}: {wrong:?}",
                case.name,
                if case.valid { "valid" } else { "refused" }
            ));
        }
    }
    assert!(odd.is_empty(), "{}", odd.join("\n"));
}

#[test]
fn every_definition_stands_there_once_and_is_used_and_the_whole_is_not_large() {
    let api = Api::embedded().expect("the shipped set is whole");
    let schema = xds_bridge::schema::fragment(&api);
    let text = schema.to_string();
    // An editor reads it at the start: 3 MB took yaml-language-server two seconds.
    assert!(text.len() < 3_000_000, "{} bytes", text.len());
    let definitions = schema["$defs"].as_object().expect("definitions");
    let used: BTreeSet<&str> =
        text.split("\"#/$defs/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let there: BTreeSet<&str> = definitions.keys().map(String::as_str).collect();
    let odd: Vec<_> = used.symmetric_difference(&there).collect();
    assert!(odd.is_empty(), "not used or not there: {odd:?}");
    let cluster = &definitions["config.cluster.v3.Cluster"]["properties"];
    assert!(
        cluster["connect_timeout"]["description"].as_str().is_some_and(|words| words.contains("timeout"))
    );
    // What should no longer be written is taken, and not offered.
    assert!(cluster.get("http2_protocol_options").is_none());
}
