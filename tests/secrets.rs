//! No output shows a secret, whatever is wrong around it.
//!
//! Comes in: a marker in every field that Envoy's API calls sensitive, and everywhere in a `Secret`,
//! written rightly and in all the ways that people get wrong. Goes out: everything that is shown of it.

mod common;

use std::fmt::Write;

use common::bridge::{Address, Bridge, run};
use common::{SOON, free_port, wait_until};
use xds_bridge::diagnostic::{human, json, located, sarif};
use xds_bridge::envoy_api::{Api, Shape};
use xds_bridge::load::{Inputs, Severities, Variables, load_filled};

const MARKER: &str = "hunter2";

/// A sensitive value, right and wrong. `M` stands for the marker.
const VALUES: [&str; 34] = [
    "M",
    "\"M\"",
    "{ inline_string: M }",
    "{ inline_string: M, inline_bytes: M }",
    "{ inline_bytes: \"M!\" }",
    "{ inline_string: { M } }",
    "{ inline_string: { M: M } }",
    "{ inline_string: [ M, [ M ] ] }",
    "{ inlinestring: M }",
    "{ M }",
    "{ M: 1, M: 2 }",
    "{ M: 1, M: 2, M: 3 }",
    "{ 'M x': M }",
    "{ \"@type\": M }",
    "[ M ]",
    "[ { inline_string: M, wrong: M } ]",
    "*M",
    "{ inline_string: *M }",
    "&a M",
    "!M M",
    "${V}",
    "{ inline_string: \"${V}\", wrong: \"${UNSET:-M}\" }",
    "{ inline_string: \"M ${UNSET}\" }",
    "{ inline_bytes: ${V} }",
    "M: M",
    "\"M \\q\"",
    "'M",
    "\"M\nM\nx: [",
    "{ inline_string: M ]",
    "{ inline_string: M",
    "[ M",
    "\"M\" M",
    "|\n        M\n     M\n   M: [",
    "@M",
];

/// Everything that is shown of a fragment.
fn shown(api: &Api, text: &str) -> String {
    let variables = Variables::new([("V", MARKER)]);
    let inputs =
        Inputs { variables: &variables, files: &|_| None, now: Some(0), severities: &Severities::default() };
    let loaded = load_filled(api, &"config.d/a.yaml".into(), text.as_bytes(), &inputs);
    let source = |_: &str| Some(text);
    let mut shown = human(&loaded.diagnostics, source, |_| &loaded.sensitive, false);
    for line in located(&loaded.diagnostics, source) {
        writeln!(shown, "{line}").expect("writing to a String cannot fail");
    }
    let machines = (json(&loaded.diagnostics, source), sarif(&loaded.diagnostics, source));
    write!(shown, "{machines:?} {:?}", loaded.drawn).expect("writing to a String cannot fail");
    shown
}

fn check(api: &Api, texts: impl IntoIterator<Item = String>) {
    let mut leaks = Vec::new();
    for text in texts {
        let text = text.replace('\u{1}', MARKER);
        let shown = shown(api, &text);
        if shown.contains(MARKER) {
            let lines: Vec<&str> = shown.lines().filter(|line| line.contains(MARKER)).collect();
            leaks.push(format!("=== {text}--- shows {lines:#.300?}\n"));
        }
    }
    assert!(leaks.is_empty(), "{} leaks, such as\n{}", leaks.len(), leaks[..leaks.len().min(12)].join("\n"));
}

fn values() -> impl Iterator<Item = String> {
    VALUES.iter().map(|value| value.replace('M', "\u{1}"))
}

#[test]
fn no_sensitive_field_of_the_api_is_shown() {
    let api = Api::embedded().expect("the shipped set is whole");
    let mut texts = Vec::new();
    for name in api.message_names() {
        let ty = api.message(name).expect("it is listed");
        for field in ty.fields.iter().filter(|field| field.sensitive) {
            // The keys of a map are names.
            let is_map = matches!(field.shape, Shape::Map(_));
            for value in
                values().filter(|value| !is_map || !value.contains("\u{1}:") && !value.contains("\u{1} x"))
            {
                let any = format!("\"@type\": type.googleapis.com/{name}");
                let body =
                    format!("    {any}\n    wrong: 1\n    {}: {value}\n    more: \u{1}x\n", field.name);
                let body = body.replace("\u{1}x", "1");
                texts.push(format!("extension_configs:\n- name: x\n  typed_config:\n{body}"));
            }
        }
    }
    assert!(texts.len() >= 25 * VALUES.len(), "the API has lost its sensitive fields: {}", texts.len());
    check(&api, texts);
}

#[test]
fn nothing_of_a_secret_is_shown() {
    let api = Api::embedded().expect("the shipped set is whole");
    let places = [
        "secrets:\n- name: x\n  generic_secret:\n    secret: V\n  wrong: 1\n",
        "secrets:\n- name: x\n  generic_secret: V\n",
        "secrets:\n- generic_secret: { secret: V }\n",
        "secrets:\n- name: x\n  tls_certificate: { certificate_chain: V, private_key: V }\n",
        "secrets:\n- name: x\n  session_ticket_keys:\n    keys:\n    - V\n",
        "secrets:\n- name: x\n  validation_context:\n    trusted_ca: V\n",
        "secrets:\n- V\n",
        "secrets: V\n",
        "static_resources:\n  secrets:\n  - name: x\n    generic_secret: { secret: V }\n",
        "resources:\n- \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret\n  name: x\n  generic_secret: { secret: V }\n",
        "resources:\n- { \"@type\": type.googleapis.com/envoy.Secrt, name: x, generic_secret: { secret: V } }\n",
        "secretz:\n- { name: x, generic_secret: { secret: V } }\n",
        "x-anchor: &it { secret: V }\nsecrets:\n- { name: x, generic_secret: *it }\n",
        "{ \"clusters\": 1, \"secrets\": [{ \"name\": \"x\", \"generic_secret\": { \"secret\": V } }] }\n",
    ];
    check(&api, places.iter().flat_map(|place| values().map(|value| place.replace('V', &value))));
}

#[test]
fn no_command_prints_a_secret_and_no_log_holds_one() {
    let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
    let config = dir.path().join("config.d");
    std::fs::create_dir(&config).expect("created");
    let wrong = VALUES.iter().enumerate().map(|(number, value)| (number, value.replace('M', MARKER)));
    for (number, value) in wrong {
        let text = format!("secrets:\n- {{ name: s{number}, generic_secret: {{ secret: {value} }} }}\n");
        std::fs::write(config.join(format!("{number}.yaml")), text).expect("written");
    }
    let path = config.display().to_string();
    for args in [
        &["check"][..],
        &["check", "--format", "json"],
        &["check", "--format", "sarif"],
        &["check", "--variables"],
    ] {
        let output = run(args.iter().copied().chain([path.as_str()]));
        let text =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(text.contains("config.d"), "{args:?} prints {text}");
        let leaks: Vec<&str> = text.lines().filter(|line| line.contains(MARKER)).collect();
        assert!(leaks.is_empty(), "{args:?} prints {leaks:#?}");
    }
    let bridge = Bridge::serve_with(&config, Address::Tcp(free_port()), &["--log", "trace"]);
    wait_until(SOON, "the findings in the log", || bridge.log().contains("yaml-syntax"));
    assert!(!bridge.log().contains(MARKER), "the log holds {}", bridge.log());
}
