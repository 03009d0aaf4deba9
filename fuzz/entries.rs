//! What fuzzing calls, with cargo-fuzz and in tests/fuzz_load.rs.
//!
//! Comes in: any bytes. Goes out: nothing, or a panic that says which promise is broken.
#![allow(dead_code, reason = "each fuzz target calls one of the entries")]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use xds_bridge::diagnostic::{Diagnostic, human, json, sarif};
use xds_bridge::envoy_api::Api;
use xds_bridge::load::{FileContent, Inputs, Loaded, Severities, Variables, load_filled, parse_env_file};

static API: LazyLock<Api> = LazyLock::new(|| Api::embedded().expect("the shipped set is whole"));

/// A fragment never panics, all places are places of its text, and all findings can be drawn.
pub fn load(bytes: &[u8]) {
    let variables = Variables::new([("A", "1"), ("B", "x: {y"), ("EMPTY", "")]);
    let files = |path: &Path| -> Option<FileContent> {
        match path.to_str()?.len() % 4 {
            0 => None,
            1 => Some(Err("gone".into())),
            2 => Some(Ok(b"\xff\x00".as_slice().into())),
            _ => {
                Some(Ok(b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n".as_slice().into()))
            }
        }
    };
    let inputs = Inputs {
        variables: &variables,
        files: &files,
        now: Some(1_795_305_600),
        severities: &Severities::default(),
    };
    let loaded = load_filled(&API, &"dir/fuzz.yaml".into(), bytes, &inputs);
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_places(text, &loaded);
        draw(text, &loaded);
    }
    assert!(loaded.drawn.is_current(&inputs), "nothing has changed");
}

fn check_places(text: &str, loaded: &Loaded) {
    let is_place = |start: u32, end: u32| start <= end && text.get(start as usize..end as usize).is_some();
    for finding in &loaded.diagnostics {
        let span = finding.span.unwrap_or_default();
        assert!(is_place(span.start, span.end), "{finding:?} is no place of the text");
    }
    for span in &loaded.sensitive {
        assert!(is_place(span.start, span.end), "the sensitive {span:?} is no place of the text");
    }
    assert!(loaded.sensitive.windows(2).all(|pair| pair[0].end < pair[1].start), "in order and apart");
    for usage in &loaded.drawn.uses {
        let written = &text[usage.span.start as usize..usage.span.end as usize];
        assert!(written.starts_with(&format!("${{{}", usage.name)) && written.ends_with('}'), "{written:?}");
    }
}

fn draw(text: &str, loaded: &Loaded) {
    let source = |_: &str| Some(text);
    let findings: Vec<Diagnostic> = loaded.diagnostics.iter().take(20).cloned().collect();
    let drawn = human(&findings, source, |_| &loaded.sensitive, false);
    assert!(!drawn.contains('\u{1b}'), "a file reaches the terminal");
    let _ = (json(&findings, source), sarif(&findings, source));
}

/// The first line is a value, the rest is a text with references. A text that was substituted has the
/// same findings at the same places as any other text, and a value comes out as it went in.
pub fn substitute(bytes: &[u8]) {
    let _ = parse_env_file(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (value, rest) = text.split_once('\n').unwrap_or((text, ""));
    let variables = Variables::new([("VALUE", value), ("A", "a"), ("EMPTY", "")]);
    let inputs =
        Inputs { variables: &variables, files: &|_| None, now: None, severities: &Severities::default() };
    let load = |text: &str| load_filled(&API, &"fuzz.yaml".into(), text.as_bytes(), &inputs);
    check_places(rest, &load(rest));
    for only in [vec![], vec!["A".to_owned()]] {
        let variables = variables.clone().only(only);
        let inputs =
            Inputs { variables: &variables, files: &|_| None, now: None, severities: &Severities::default() };
        check_places(rest, &load_filled(&API, &"fuzz.yaml".into(), rest.as_bytes(), &inputs));
    }
    for quoted in ["\"${VALUE}\"", "'${VALUE}'", "|-\n    ${VALUE}", "\"${UNSET:-${VALUE}}\""] {
        let loaded = load(&format!("clusters:\n- name: web\n  alt_stat_name: {quoted}\n"));
        assert!(loaded.is_sound(), "{quoted}: {:?}", loaded.diagnostics);
        assert_eq!(&*stat_name(&loaded), value, "{quoted}");
    }
}

/// Field 28 of the one cluster, the last one, behind the name `web`.
fn stat_name(loaded: &Loaded) -> Arc<str> {
    let body = loaded.items[0].resource.body();
    let field = body.strip_prefix(b"\x0a\x03web").expect("the name comes first");
    let Some(mut rest) = field.strip_prefix(b"\xe2\x01") else {
        assert!(field.is_empty());
        return "".into();
    };
    while rest[0] & 0x80 != 0 {
        rest = &rest[1..];
    }
    std::str::from_utf8(&rest[1..]).expect("text").into()
}
