//! Inputs that somebody made to hurt: each ends in findings, in bounded time and memory.
//!
//! Comes in: texts of megabytes. Goes out: the finding that each must give. Times are bounds for a loaded
//! machine without optimisation; `HOSTILE_TIMES=1` prints what each took.

use std::path::Path;
use std::time::{Duration, Instant};

use xds_bridge::diagnostic::{human, located};
use xds_bridge::envoy_api::Api;
use xds_bridge::load::{FileContent, Inputs, Severities, Variables, load_filled};

/// Megabytes take a few seconds here without optimisation; what is quadratic takes hours.
const BOUND: Duration = Duration::from_secs(40);

fn times(piece: &str, count: usize) -> String {
    piece.repeat(count)
}

fn numbered(count: usize, piece: impl Fn(usize) -> String) -> String {
    (0..count).map(piece).collect()
}

/// What each input is, the code of a finding that it must give (or none), and the input.
fn inputs() -> Vec<(&'static str, Option<&'static str>, Vec<u8>)> {
    let text = |name, code, text: String| (name, code, text.into_bytes());
    let laughs =
        |level: usize| format!("a{}: &a{} [{}]\n", level + 1, level + 1, times(&format!("*a{level}, "), 9));
    vec![
        text("alias bomb", Some("alias-bomb"), "a0: &a0 x\n".to_owned() + &numbered(12, laughs)),
        text("merges of a large mapping", Some("alias-bomb"), {
            let base = numbered(1_000, |n| format!("  k{n}: 1\n"));
            let uses = numbered(20_000, |n| format!("- {{ n{n}: 1, <<: *base }}\n"));
            format!("x-base: &base\n{base}x-uses:\n{uses}")
        }),
        text("a merge of many mappings", Some("alias-bomb"), {
            let base = numbered(1_000, |n| format!("  k{n}: 1\n"));
            format!("x-base: &base\n{base}x-use:\n  <<: [{}]\n", times("*base, ", 20_000))
        }),
        text("flow nesting", Some("yaml-syntax"), times("[\n ", 300_000)),
        text(
            "block nesting",
            Some("nesting-too-deep"),
            numbered(3_000, |n| format!("{}a:\n", times(" ", n))),
        ),
        text("open braces in one line", Some("nesting-too-deep"), format!("x: {}", times("{ a: ", 300_000))),
        text("a million documents", None, times("---\n", 1_000_000)),
        text("many documents", None, numbered(100_000, |n| format!("clusters: [{{ name: c{n} }}]\n---\n"))),
        text("many long keys", None, numbered(100_000, |n| format!("x-{n}{}: 1\n", times("k", 200)))),
        text("many unknown keys", Some("unknown-key"), numbered(200_000, |n| format!("key{n}: 1\n"))),
        text("equal keys", Some("duplicate-key"), times("x-a: 1\n", 300_000)),
        text("a key of a megabyte", Some("yaml-syntax"), format!("{}: 1\n", times("k", 1 << 20))),
        text("a scalar of many megabytes", None, format!("x-a: '{}'\n", times("long ", 4 << 20))),
        text("a block of many lines", None, format!("x-a: |\n{}", times("  line\n", 1 << 20))),
        text("an unclosed quote", Some("yaml-syntax"), format!("a: '{}", times("x\n ", 500_000))),
        text("tabs", Some("yaml-syntax"), times("\tclusters:\n", 100_000)),
        text("carriage returns only", Some("nesting-too-deep"), times("a: [\r", 100_000)),
        text("NULs", Some("yaml-syntax"), times("\0", 1 << 20)),
        ("no text", Some("not-utf8"), vec![0xff; 8 << 20]),
        ("a program", Some("not-utf8"), std::fs::read("/proc/self/exe").expect("this program")),
        text("unset variables", Some("unset-variable"), numbered(200_000, |n| format!("x-{n}: ${{V{n}}}\n"))),
        text(
            "unset variables in one scalar",
            Some("unset-variable"),
            format!("x: \"{}\"\n", times("${V}", 200_000)),
        ),
        text("large values", Some("too-much-inserted"), times("- ${LARGE}\n", 200_000)),
        text(
            "references in references",
            None,
            format!("x: {}{}\n", times("${V:-", 200_000), times("}", 200_000)),
        ),
        text("unclosed references in one line", None, format!("x: \"{}\"\n", times("${V:-", 200_000))),
        text("unclosed references in lines", None, format!("x: |\n{}", times("  ${V:-\n", 200_000))),
        text(
            "braces and references in one line",
            None,
            format!("x: \"{}${{SET}}\"\n", times("{", 1_000_000)),
        ),
        text("dollars", None, format!("x: \"{}\"\n", times("$", 2_000_000))),
        text("escapes", None, format!("x: \"{}\"\n", times("$${", 500_000))),
        text("bad references", None, format!("x: \"{}\"\n", times("${ }", 500_000))),
        text("every private-use character", Some("too-many-characters"), {
            let all: String = (0xE000..0xF900).filter_map(char::from_u32).collect();
            format!("x: \"{all} ${{SET}}\"\n")
        }),
        text("files", Some("too-much-inserted"), times("- !file megabyte\n", 200_000)),
        text(
            "files that are not there",
            Some("unreadable-file"),
            numbered(50_000, |n| format!("- !file gone{n}\n")),
        ),
        text("secrets", None, {
            let secret =
                |n| format!("- name: s{n}\n  generic_secret: {{ secret: {{ inline_string: hunter2 }} }}\n");
            format!("secrets:\n{}", numbered(50_000, secret))
        }),
        text("mistakes in secrets in one line", Some("unknown-field"), {
            let secret = |n| format!("{{ name: s{n}, generic_secret: {{ secret: {{ {n}x: hunter2 }} }} }}, ");
            format!("secrets: [{}]\n", numbered(30_000, secret))
        }),
        text("a syntax error behind secrets in one line", Some("yaml-syntax"), {
            let secret =
                |n| format!("{{ name: s{n}, generic_secret: {{ secret: {{ inline_string: hunter2 }} }} }}, ");
            format!("secrets: [{} }}\n", numbered(30_000, secret))
        }),
        text("certificates that are none", Some("bad-certificate"), {
            let secret = |n| {
                let chain = "{ inline_string: \"-----BEGIN CERTIFICATE-----\\n!\" }";
                format!("- name: s{n}\n  tls_certificate: {{ certificate_chain: {chain} }}\n")
            };
            format!("secrets:\n{}", numbered(10_000, secret))
        }),
    ]
}

/// The most memory that this process ever had.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_hostile_input_ends_in_its_finding_and_in_bounded_time() {
    let api = Api::embedded().expect("the shipped set is whole");
    let large = times("v", 1 << 20);
    let variables = Variables::new([("SET", "1"), ("LARGE", &large)]);
    let megabyte = bytes::Bytes::from(large.clone());
    let files = |path: &Path| -> Option<FileContent> {
        Some(if path.ends_with("megabyte") { Ok(megabyte.clone()) } else { Err("gone".to_owned()) })
    };
    let given =
        Inputs { variables: &variables, files: &files, now: Some(0), severities: &Severities::default() };
    let mut wrong = Vec::new();
    for (name, code, bytes) in inputs() {
        let start = Instant::now();
        let loaded = load_filled(&api, &"hostile.yaml".into(), &bytes, &given);
        let (load_time, text) = (start.elapsed(), std::str::from_utf8(&bytes).ok());
        let codes: Vec<&str> = loaded.diagnostics.iter().map(|finding| finding.code).collect();
        assert!(codes.len() <= 3_100, "{name}: {} findings", codes.len());
        if code.is_some_and(|code| !codes.contains(&code)) {
            wrong.push(format!("{name} must give {code:?}, and gives {:?}", &codes[..codes.len().min(5)]));
        }
        let drawn = human(&loaded.diagnostics, |_| text, |_| &loaded.sensitive, false);
        let lines: usize =
            located(&loaded.diagnostics, |_| text).iter().map(|line| line.to_string().len()).sum();
        assert!(
            drawn.len() < 20 << 20 && lines < 10 << 20,
            "{name}: {} and {lines} bytes are shown",
            drawn.len()
        );
        assert!(!drawn.contains("hunter2"), "{name} shows a secret");
        let time = start.elapsed();
        if std::env::var_os("HOSTILE_TIMES").is_some() {
            let (shown, peak) = (time - load_time, peak_memory());
            println!(
                "{name}: {} bytes, loaded in {load_time:?}, shown in {shown:?}, peak {peak}",
                bytes.len()
            );
        }
        if time > BOUND {
            wrong.push(format!("{name} took {time:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
