//! Holds the one-way flow between the rooms of `src/`, as ARCHITECTURE.md states it.
//!
//! Comes in: the sources. Goes out: `file:line` of every path that goes where it must not, of every
//! file that does not open with `//!`, and of what lies in the top folder unasked. Reads code as text
//! (comments, strings and test modules taken out): what `use crate::…` or a path in the code names.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What each room may know of the others. A room may only name rooms above it: no knots.
const ARROWS: [(&str, &[&str]); 12] = [
    ("resource", &[]),
    ("diagnostic", &[]),
    ("envoy_api", &["resource"]),
    ("source", &[]),
    ("load", &["resource", "diagnostic", "envoy_api"]),
    ("snapshot", &["resource"]),
    ("serve", &["resource", "snapshot"]),
    ("admin", &["resource", "diagnostic", "snapshot", "serve"]),
    ("migrate", &["resource", "diagnostic", "envoy_api", "load"]),
    ("schema", &["resource", "envoy_api", "load"]),
    // `migrate` for one thing: a resource without its secrets, as text.
    (
        "app",
        &["resource", "diagnostic", "envoy_api", "source", "load", "snapshot", "serve", "admin", "migrate"],
    ),
    // `check` and the settings name the disk; what happens there is still the affair of `source`.
    (
        "cli",
        &[
            "resource",
            "diagnostic",
            "envoy_api",
            "source",
            "load",
            "snapshot",
            "admin",
            "migrate",
            "schema",
            "app",
        ],
    ),
];

/// What only some places may touch: a path as it stands in code, and the beginnings of the paths
/// under `src/` that may name it.
const EDGES: [(&str, &[&str]); 10] = [
    // Disk, environment, processes: rooms between the edges are functions of what they are given.
    ("std::fs", &["source", "app", "cli"]),
    ("std::env", &["source", "app", "cli", "main"]),
    // Of its own id `app` tells the service manager.
    ("std::process", &["app/systemd", "cli", "main"]),
    ("std::net", &["app", "cli", "serve/grpc", "serve/peer"]),
    ("tokio::net", &["app", "serve/grpc"]),
    // One place each knows a crate, so that it can be exchanged.
    ("tonic", &["app", "serve/grpc"]),
    ("notify", &["source"]),
    ("granit_parser", &["load/events"]),
    ("prost_reflect", &["envoy_api"]),
    ("clap", &["cli"]),
];

/// Everything that may lie in the top folder.
const TOP: [&str; 24] = [
    ".ci",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "clippy.toml",
    "config.d",
    "deny.toml",
    "docs",
    "fuzz",
    "justfile",
    "packaging",
    // Where proptest keeps the inputs that once failed, and reads them again.
    "proptest-regressions",
    "proto",
    "rustfmt.toml",
    "src",
    "systemd",
    "target",
    "tests",
    "xtask",
];

/// A source file: its path under `src/`, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The module that it is, as a path; its first part is the room, or `lib` or `main`.
    fn module(&self) -> Vec<&str> {
        let path = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        path.strip_suffix("/mod").unwrap_or(path).split('/').collect()
    }

    /// Whether it is the module `place` (such as `serve/grpc`) or one inside it.
    fn is_in(&self, place: &str) -> bool {
        self.module().iter().zip(place.split('/')).filter(|(a, b)| *a == b).count()
            == place.split('/').count()
    }
}

// ---- Reading code as text -------------------------------------------------------------------------

/// A word or a sign of code, with its line; `::` is one sign.
type Token<'a> = (usize, &'a str);

/// The code of a file; comments, strings and characters are left out.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut tokens, mut line, mut rest) = (Vec::new(), 1, text);
    while let Some(first) = rest.chars().next() {
        let (token, after) = rest.split_at(token_length(rest, first).min(rest.len()));
        let is_text = token.starts_with("//") || token.starts_with("/*") || token.ends_with(['"', '\'', '#']);
        if !first.is_whitespace() && (!is_text || token == "#" || token == "'") {
            tokens.push((line, token));
        }
        line += token.matches('\n').count();
        rest = after;
    }
    tokens
}

fn token_length(rest: &str, first: char) -> usize {
    let behind = |start: usize, end: &str| {
        rest.get(start..).and_then(|rest| rest.find(end)).map_or(rest.len(), |at| start + at + end.len())
    };
    match first {
        '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
        '/' if rest.starts_with("/*") => behind(2, "*/"),
        ':' if rest.starts_with("::") => 2,
        '"' => quoted_length(rest),
        // A character; any other quote begins a lifetime and is a sign of its own.
        '\'' if rest.starts_with("'\\") => behind(3, "'"),
        '\'' if rest.chars().nth(2) == Some('\'') => behind(2, "'"),
        'r' if rest[1..].trim_start_matches('#').starts_with('"') => {
            let hashes = rest[1..].len() - rest[1..].trim_start_matches('#').len();
            behind(2 + hashes, &format!("\"{}", "#".repeat(hashes)))
        }
        _ => {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            word.max(first.len_utf8())
        }
    }
}

fn quoted_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The code without the items that stand behind `#[cfg(test)]`, and the names of the modules among
/// those that are files of their own.
fn without_tests<'a>(tokens: &[Token<'a>]) -> (Vec<Token<'a>>, Vec<&'a str>) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut files, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        let here = &tokens[at..];
        if here.len() < MARK.len() || !MARK.iter().zip(here).all(|(mark, token)| *mark == token.1) {
            kept.push(tokens[at]);
            at += 1;
            continue;
        }
        let mut depth = 0usize;
        let end = here.iter().position(|(_, token)| {
            depth = if *token == "{" { depth + 1 } else { depth.saturating_sub(usize::from(*token == "}")) };
            depth == 0 && matches!(*token, ";" | "}")
        });
        let item = &here[..end.map_or(here.len(), |end| end + 1)];
        if let [.., (_, "mod"), (_, name), (_, ";")] = item {
            files.push(*name);
        }
        at += item.len();
    }
    (kept, files)
}

/// The first names behind a `::` at the front of `tokens`: one, or those of a `{…}` group.
fn heads<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    match tokens {
        [(_, "::"), (_, "{"), group @ ..] => {
            let (mut heads, mut depth, mut is_head) = (Vec::new(), 1, true);
            for &(line, token) in group {
                match token {
                    "{" => depth += 1,
                    "}" if depth == 1 => break,
                    "}" => depth -= 1,
                    "," if depth == 1 => is_head = true,
                    _ if is_head => {
                        heads.push((line, token));
                        is_head = false;
                    }
                    _ => {}
                }
            }
            heads
        }
        [(_, "::"), head, ..] => vec![*head],
        _ => Vec::new(),
    }
}

// ---- The rules ------------------------------------------------------------------------------------

/// Every rule that the sources break, as `file:line: what`.
fn broken(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut codes = Vec::new();
    let mut test_files: Vec<String> = Vec::new();
    for source in sources {
        if !source.text.starts_with("//!") {
            broken.push(format!("src/{}:1: does not open with `//!`", source.path));
        }
        let (code, files) = without_tests(&tokens(&source.text));
        let folder = source.module().join("/");
        test_files.extend(files.into_iter().map(|name| format!("{folder}/{name}")));
        codes.push((source, code));
    }
    codes.retain(|(source, _)| !test_files.contains(&source.module().join("/")));
    for (source, code) in &codes {
        broken.extend(broken_arrows(source, code));
        broken.extend(broken_edges(source, code));
    }
    broken
}

/// Paths that lead from the room of `source` into one that it must not know.
fn broken_arrows(source: &Source, code: &[Token<'_>]) -> Vec<String> {
    let mut broken = Vec::new();
    let room = source.module()[0];
    let allowed: &[&str] = match room {
        "main" => &["cli"],
        "lib" => &[],
        _ => ARROWS.iter().find(|(name, _)| *name == room).map_or(&[], |(_, allowed)| *allowed),
    };
    for (at, (_, token)) in code.iter().enumerate() {
        let behind = match *token {
            "crate" | "xds_bridge" => &code[at + 1..],
            // So many `super::` lead out of the room: what follows names another one.
            "super" => match leads_to_root(&code[at..], source.module().len()) {
                Some(behind) => behind,
                None => continue,
            },
            _ => continue,
        };
        for (line, head) in
            heads(behind).into_iter().filter(|(_, head)| *head != room && !allowed.contains(head))
        {
            let place = format!("src/{}:{line}", source.path);
            broken.push(format!("{place}: `{room}` must not know `{head}` (it may know {allowed:?})"));
        }
    }
    broken
}

/// What stands behind `super::super::…` when there are `depth` of them.
fn leads_to_root<'a, 'b>(code: &'a [Token<'b>], depth: usize) -> Option<&'a [Token<'b>]> {
    let pairs = code.chunks_exact(2).take_while(|pair| pair[0].1 == "super" && pair[1].1 == "::");
    (pairs.count() == depth).then(|| &code[2 * depth - 1..])
}

/// Paths to what only the edges may touch.
fn broken_edges(source: &Source, code: &[Token<'_>]) -> Vec<String> {
    let mut broken = Vec::new();
    for (edge, places) in EDGES {
        if places.iter().any(|place| source.is_in(place)) {
            continue;
        }
        let (root, inner) = edge.split_once("::").unwrap_or((edge, ""));
        for (at, (line, token)) in code.iter().enumerate() {
            // The name of a crate begins a path: `tonic::…`, and not `self.notify` or `x::notify`.
            let begins = at == 0 || !matches!(code[at - 1].1, "::" | "." | "fn" | "mod");
            let names = heads(&code[at + 1..]);
            let hit = inner.is_empty() && !names.is_empty() || names.iter().any(|(_, name)| *name == inner);
            if *token == root && begins && hit {
                let place = format!("src/{}:{line}", source.path);
                broken.push(format!("{place}: `{edge}` is for {places:?} only"));
            }
        }
    }
    broken
}

// ---- The tests ------------------------------------------------------------------------------------

fn sources() -> Vec<Source> {
    fn collect(root: &Path, folder: &Path, into: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).expect("a folder of ours can be listed") {
            let path = entry.expect("a folder of ours can be listed").path();
            if path.is_dir() {
                collect(root, &path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source is text");
                let path =
                    path.strip_prefix(root).expect("found under the root").to_string_lossy().into_owned();
                into.push(Source { path, text });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    collect(&root, &root, &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

#[test]
fn rooms_know_only_what_they_may() {
    let broken = broken(&sources());
    assert!(broken.is_empty(), "ARCHITECTURE.md says otherwise:\n{}", broken.join("\n"));
}

#[test]
fn every_room_is_in_the_table() {
    let sources = sources();
    let unknown =
        |room: &str| !["lib", "main"].contains(&room) && ARROWS.iter().all(|(name, _)| *name != room);
    let unknown: Vec<&str> =
        sources.iter().map(|source| source.module()[0]).filter(|room| unknown(room)).collect();
    assert!(unknown.is_empty(), "rooms without arrows: {unknown:?}");
}

#[test]
fn arrows_lead_upwards_in_the_table() {
    for (at, (room, allowed)) in ARROWS.iter().enumerate() {
        let below = |name: &&&str| ARROWS[..at].iter().all(|(above, _)| above != *name);
        assert_eq!(allowed.iter().find(below), None, "`{room}` names a room that does not stand above it");
    }
}

#[test]
fn nothing_unknown_lies_in_the_top_folder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Of a clone, what git keeps; of anything else, what lies there.
    let git = Command::new("git").args(["ls-files"]).current_dir(root).output();
    let tracked = git.ok().filter(|output| output.status.success() && root.join(".git").exists());
    let names: Vec<String> = match tracked {
        Some(output) => {
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().filter_map(|path| path.split('/').next()).map(str::to_owned).collect()
        }
        None => {
            let entries = fs::read_dir(root).unwrap();
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
        }
    };
    let unknown: Vec<&String> = names.iter().filter(|name| !TOP.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "the top folder is part of the architecture; not in TOP: {unknown:?}");
}

/// The findings about one made-up file.
fn findings(path: &str, code: &str) -> Vec<String> {
    broken(&[Source { path: path.to_owned(), text: format!("//! A file.\n{code}") }])
}

#[test]
fn a_path_into_a_forbidden_room_is_found_in_every_form() {
    for code in [
        "use crate::serve::Session;",
        "pub(crate) use crate::serve;",
        "use crate::{resource::Kind, serve::{self, Session}};",
        "fn f() { let _ = crate::serve::new('{', \"{\", r#\"{\"#, b'\\''); }",
        "fn f<'a>(x: &'a str) -> crate::serve::S<'a> { g(x) }",
        "use super::serve::Session;",
        "#[cfg(test)]\nmod tests { fn f() { { } } }\nuse crate::serve::S;",
    ] {
        let found = findings("load/mod.rs", code);
        assert_eq!(found.len(), 1, "{code}: {found:?}");
        let line = code.lines().count() + 1;
        let expected = format!("src/load/mod.rs:{line}: `load` must not know `serve`");
        assert!(found[0].starts_with(&expected), "{found:?}");
    }
    assert_eq!(findings("load/yaml.rs", "use super::super::serve::S;").len(), 1);
    assert_eq!(findings("main.rs", "use xds_bridge::load::load;").len(), 1);
}

#[test]
fn what_is_allowed_is_not_found() {
    for code in [
        "use crate::resource::{Kind, Name};\nuse crate::load::yaml;",
        "// use crate::serve::Session;\n/* crate::serve */ /// [`crate::serve`]",
        "const TEXT: &str = \"crate::serve \\\" crate::serve\";",
        "#[cfg(test)]\nmod tests { use crate::serve::S; fn f() { if true { } } }",
        "#[cfg(test)]\nuse crate::serve::S;",
    ] {
        assert_eq!(findings("load/mod.rs", code), Vec::<String>::new(), "{code}");
    }
    assert_eq!(findings("load/yaml.rs", "use super::serve::S;"), Vec::<String>::new(), "load::serve");
    assert_eq!(findings("main.rs", "use xds_bridge::cli;"), Vec::<String>::new());
}

#[test]
fn test_modules_in_files_of_their_own_are_left_out() {
    let source =
        |path: &str, text: &str| Source { path: path.to_owned(), text: format!("//! A file.\n{text}") };
    let tests = "use crate::serve::S;";
    for parent in ["load/mod.rs", "load.rs"] {
        let with = |mark: &str| {
            broken(&[source(parent, &format!("{mark}mod tests;")), source("load/tests.rs", tests)])
        };
        assert_eq!(with("#[cfg(test)]\n"), Vec::<String>::new(), "{parent}");
        assert_eq!(with("").len(), 1, "{parent}");
    }
}

#[test]
fn the_edges_are_held() {
    assert_eq!(findings("load/mod.rs", "use std::{fmt, fs::File};").len(), 1);
    assert_eq!(findings("load/mod.rs", "fn f() { std::fs::read(\"x\"); }").len(), 1);
    assert_eq!(findings("serve/session.rs", "use tonic::Status;").len(), 1);
    for (path, code) in [
        ("source/scan.rs", "use std::fs;"),
        ("serve/grpc.rs", "use tonic::Status;"),
        ("serve/grpc/codec.rs", "use tonic::Status;"),
        ("serve/session.rs", "fn f(x: X) { x.tonic::<T>(); tonic(1); y::tonic::z(); }"),
        ("load/mod.rs", "use std::fmt;"),
    ] {
        assert_eq!(findings(path, code), Vec::<String>::new(), "{path}: {code}");
    }
}

#[test]
fn a_file_that_does_not_say_what_it_owns_is_found() {
    let silent = Source { path: "load/mod.rs".to_owned(), text: "use std::fmt;\n".to_owned() };
    assert_eq!(broken(&[silent]), ["src/load/mod.rs:1: does not open with `//!`"]);
}
