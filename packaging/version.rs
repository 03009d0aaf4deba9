//! Build script: which commit the program is made from, for `--version`.
//!
//! Comes in, whichever is there first: `XDS_BRIDGE_COMMIT`, git's own files (no git program is needed), or the
//! file `commit` beside this one, into which `git archive` writes. Goes out: `XDS_BRIDGE_VERSION`, such as
//! `0.1.0 (3d45c50f2ab1)`. It depends on the commit and nothing else, so that who builds the same sources
//! gets the same program. Builds for debugging say just that: else each commit would build them all anew.

#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

use std::fs;
use std::path::{Path, PathBuf};

/// How much of a commit's name is shown.
const SHOWN: usize = 12;

fn main() {
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    println!("cargo::rerun-if-changed=packaging/version.rs");
    println!("cargo::rerun-if-env-changed=XDS_BRIDGE_COMMIT");
    let commit = if is_release { released() } else { Some("debug build".to_owned()) };
    let version = commit.map_or(version.clone(), |commit| format!("{version} ({commit})"));
    println!("cargo::rustc-env=XDS_BRIDGE_VERSION={version}");
}

fn released() -> Option<String> {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    let given = std::env::var("XDS_BRIDGE_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(|| {
        let (commit, read) = of_git(&root)?;
        for path in read {
            println!("cargo::rerun-if-changed={}", path.display());
        }
        Some(commit)
    });
    let commit = commit.or_else(|| of_archive(&root.join("packaging/commit")))?;
    Some(commit.chars().take(SHOWN).collect())
}

/// The commit that is checked out, and the files that change when another one is.
pub fn of_git(root: &Path) -> Option<(String, Vec<PathBuf>)> {
    let dot_git = root.join(".git");
    // In a worktree it is a file that says where; what all worktrees share is elsewhere again.
    let git = match fs::read_to_string(&dot_git) {
        Ok(text) => root.join(text.strip_prefix("gitdir:")?.trim()),
        Err(_) => dot_git,
    };
    let shared = fs::read_to_string(git.join("commondir")).map_or(git.clone(), |text| git.join(text.trim()));
    let head = fs::read_to_string(git.join("HEAD")).ok()?;
    let mut read = vec![git.join("HEAD")];
    let Some(name) = head.trim().strip_prefix("ref: ") else { return Some((head.trim().to_owned(), read)) };
    // The log grows with each commit, wherever git keeps the branch.
    read.extend([git.join("logs/HEAD"), shared.join(name), shared.join("packed-refs")]);
    read.retain(|path| path.exists());
    let loose = fs::read_to_string(shared.join(name)).ok().map(|commit| commit.trim().to_owned());
    let packed = || {
        let text = fs::read_to_string(shared.join("packed-refs")).ok()?;
        let found = text.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' '));
        found.map(str::to_owned)
    };
    Some((loose.or_else(packed)?, read))
}

/// What `git archive` wrote; in a checkout there is only the place for it.
pub fn of_archive(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let commit = text.trim();
    commit
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| commit.to_owned())
        .filter(|commit| !commit.is_empty())
}
