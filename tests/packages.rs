//! The package for Debian: real dpkg installs, upgrades, removes and purges it in a root of its own; and the
//! version that the program says to be.

#![allow(clippy::unwrap_used, reason = "a test that cannot make its own files has failed")]

use std::fs;
use std::path::Path;
use std::process::Command;

#[path = "../packaging/version.rs"]
#[allow(dead_code, reason = "as a build script it is run by cargo")]
mod version;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba98";

#[test]
fn an_upgrade_keeps_sockets_settings_and_fragments_and_a_purge_leaves_fragments_alone() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/try.sh");
    let output = Command::new(script).arg(env!("CARGO_BIN_EXE_xds-bridge")).output();
    let output = output.expect("the script is part of the sources");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{said}\nit takes dpkg, systemd-sysusers and, for others than root, fakeroot"
    );
}

#[test]
fn the_commit_is_found_wherever_git_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let put = |name: &str, text: &str| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let commit = |of: &str| version::of_git(&root.join(of)).map(|(commit, _)| commit);
    assert_eq!(commit("clone"), None);
    put("clone/.git/HEAD", "ref: refs/heads/main\n");
    assert_eq!(commit("clone"), None);
    put(
        "clone/.git/packed-refs",
        &format!("# pack-refs\n{OTHER} refs/heads/other/refs/heads/main\n{COMMIT} refs/heads/main\n"),
    );
    assert_eq!(commit("clone").as_deref(), Some(COMMIT));
    put("clone/.git/refs/heads/main", &format!("{OTHER}\n"));
    assert_eq!(commit("clone").as_deref(), Some(OTHER));
    put("clone/.git/HEAD", &format!("{COMMIT}\n"));
    assert_eq!(commit("clone").as_deref(), Some(COMMIT));
    // A worktree beside it.
    put("tree/.git", "gitdir: ../clone/.git/worktrees/tree\n");
    put("clone/.git/worktrees/tree/HEAD", "ref: refs/heads/main\n");
    put("clone/.git/worktrees/tree/commondir", "../..\n");
    assert_eq!(commit("tree").as_deref(), Some(OTHER));
    let (_, read) = version::of_git(&root.join("tree")).unwrap();
    assert!(read.iter().all(|path| path.exists()), "cargo takes what is not there for changed: {read:?}");
}

#[test]
fn a_tarball_knows_its_commit_and_a_checkout_has_only_the_place_for_it() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/commit");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("commit");
    assert_eq!(version::of_archive(&path), None);
    fs::write(&path, "$Format:%H$\n").unwrap();
    assert_eq!(version::of_archive(&path), None);
    fs::write(&path, format!("{COMMIT}\n")).unwrap();
    assert_eq!(version::of_archive(&path).as_deref(), Some(COMMIT));
    let text = fs::read_to_string(&own).unwrap();
    assert!(text == "$Format:%H$\n" || version::of_archive(&own).is_some(), "{text}");
}

#[test]
fn the_program_says_which_version_it_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_xds-bridge")).arg("--version").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with(&format!("xds-bridge {} (", env!("CARGO_PKG_VERSION"))), "{said}");
}
