//! Env files and files that fragments name, with the real daemon and real files.
//!
//! Comes in: fragments, env files, certificates that are renewed as certbot and Kubernetes do it. Goes
//! out: what the daemon serves after each change.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use common::bridge::{Address, Bridge};
use common::files::put;
use common::peek::{CLUSTERS, clusters, is_silent, peek};
use common::{SOON, free_port, wait_until};
use tempfile::TempDir;

/// A folder with a configuration directory in it, and a daemon.
struct Bench {
    dir: TempDir,
    bridge: Bridge,
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
    fs::create_dir(dir.path().join("config.d")).expect("created");
    for (name, text) in files {
        put(dir.path(), name, text);
    }
    dir
}

fn start(dir: &Path, flags: &[&str]) -> Bridge {
    Bridge::serve_with(&dir.join("config.d"), Address::Tcp(free_port()), flags)
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Bench {
        let dir = folder(files);
        let env = dir.path().join("variables.env").display().to_string();
        let bridge = match dir.path().join("variables.env").exists() {
            true => start(dir.path(), &["--env-file", &env]),
            false => start(dir.path(), &[]),
        };
        Bench { dir, bridge }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        put(self.dir.path(), name, text);
    }

    /// Waits until the cluster `web` holds this text.
    #[track_caller]
    fn wait_until_web_holds(&self, text: &str) {
        wait_until(SOON, &format!("{text} in what is served"), || self.web_holds(text));
    }

    fn web_holds(&self, text: &str) -> bool {
        let served = peek(self.bridge.address(), CLUSTERS, "peek");
        served.get("web").is_some_and(|bytes| String::from_utf8_lossy(bytes).contains(text))
    }
}

const NAMES_A_FILE: &str = "clusters:\n- name: web\n  alt_stat_name: !file ../live/web/stat\n";

#[test]
fn a_change_of_an_env_file_is_served_and_a_broken_one_keeps_its_last_values() {
    let fragment = "clusters:\n- name: web\n  alt_stat_name: is-${STAT}\n- name: ${OTHER:-other}\n";
    let mut bench = Bench::new(&[("config.d/a.yaml", fragment), ("variables.env", "STAT=one\n")]);
    bench.wait_until_web_holds("is-one");
    bench.put("variables.env", "STAT='two'\nOTHER=more\n");
    bench.wait_until_web_holds("is-two");
    assert_eq!(clusters(bench.bridge.address()), ["more", "web"]);
    let from = bench.bridge.log().len();
    bench.put("variables.env", "STAT=three\nOTHER='unclosed hunter2\n");
    bench.bridge.wait_for_line(from, "bad-env-file");
    assert!(bench.web_holds("is-two"));
    assert!(!bench.bridge.log().contains("hunter2"), "{}", bench.bridge.log());
    fs::remove_file(bench.path("variables.env")).expect("removed");
    bench.bridge.wait_for_line(from, "cannot be read");
    assert!(bench.web_holds("is-two"));
    bench.put("variables.env", "STAT=four\n");
    bench.wait_until_web_holds("is-four");
}

#[test]
fn a_start_without_its_env_file_waits_for_it() {
    let dir = folder(&[("config.d/a.yaml", "clusters:\n- name: ${NAME:-default}\n")]);
    let env = dir.path().join("late.env").display().to_string();
    let mut bridge = start(dir.path(), &["--env-file", &env]);
    bridge.wait_for_line(0, "bad-env-file");
    assert!(is_silent(bridge.address()));
    put(dir.path(), "late.env", "NAME=web\n");
    wait_until(SOON, "the cluster", || !is_silent(bridge.address()));
    assert_eq!(clusters(bridge.address()), ["web"]);
}

#[test]
fn renewals_by_symbolic_link_are_served_as_certbot_makes_them() {
    let dir = folder(&[("archive/web/stat1", "first"), ("config.d/a.yaml", NAMES_A_FILE)]);
    fs::create_dir_all(dir.path().join("live/web")).expect("created");
    symlink("../../archive/web/stat1", dir.path().join("live/web/stat")).expect("linked");
    let bridge = start(dir.path(), &[]);
    let bench = Bench { dir, bridge };
    bench.wait_until_web_holds("first");
    for round in 2..12 {
        bench.put(&format!("archive/web/stat{round}"), &format!("number {round}"));
        // certbot unlinks and links anew; others rename a new link over the old one.
        let (link, target) = (bench.path("live/web/stat"), format!("../../archive/web/stat{round}"));
        if round % 2 == 0 {
            fs::remove_file(&link).expect("unlinked");
            symlink(target, link).expect("linked");
        } else {
            let beside = bench.path("live/web/.new");
            symlink(target, &beside).expect("linked");
            fs::rename(beside, link).expect("renamed");
        }
        bench.wait_until_web_holds(&format!("number {round}"));
    }
}

#[test]
fn renewals_by_the_data_link_are_served_as_kubernetes_makes_them() {
    let dir = folder(&[("live/web/..1/stat", "first"), ("config.d/a.yaml", NAMES_A_FILE)]);
    symlink("..1", dir.path().join("live/web/..data")).expect("linked");
    symlink("..data/stat", dir.path().join("live/web/stat")).expect("linked");
    let bridge = start(dir.path(), &[]);
    let bench = Bench { dir, bridge };
    bench.wait_until_web_holds("first");
    for round in 2..8 {
        bench.put(&format!("live/web/..{round}/stat"), &format!("number {round}"));
        symlink(format!("..{round}"), bench.path("live/web/..data_tmp")).expect("linked");
        fs::rename(bench.path("live/web/..data_tmp"), bench.path("live/web/..data")).expect("renamed");
        fs::remove_dir_all(bench.path(&format!("live/web/..{}", round - 1))).expect("removed");
        bench.wait_until_web_holds(&format!("number {round}"));
    }
}

#[test]
fn a_missing_file_keeps_the_fragments_last_good_content_and_the_others_go_on() {
    let mut bench = Bench::new(&[("live/web/stat", "first"), ("config.d/a.yaml", NAMES_A_FILE)]);
    bench.wait_until_web_holds("first");
    let from = bench.bridge.log().len();
    fs::remove_file(bench.path("live/web/stat")).expect("removed");
    bench.bridge.wait_for_line(from, "unreadable-file");
    bench.put("config.d/b.yaml", "clusters:\n- name: other\n");
    let address = bench.bridge.address().clone();
    wait_until(SOON, "the other cluster", || clusters(&address) == ["other", "web"]);
    assert!(bench.web_holds("first"));
    bench.put("live/web/stat", "second");
    bench.wait_until_web_holds("second");
    // A fragment that comes with a file of its own is served when both are there.
    bench.put("config.d/b.yaml", "clusters:\n- name: web2\n  alt_stat_name: !file ../other\n");
    bench.put("other", "its own");
    wait_until(SOON, "the cluster with a new file", || clusters(&address) == ["web", "web2"]);
}

#[test]
fn after_a_restart_the_last_good_content_has_its_variables_and_files() {
    let fragment = "clusters:\n- name: web\n  alt_stat_name: !file ../${WHERE}\n  type: EDS\n  eds_cluster_config: { service_name: \"${WHERE}\", eds_config: { path_config_source: { path: /x } } }\n";
    let dir = folder(&[("config.d/a.yaml", fragment), ("stat", "kept"), ("v.env", "WHERE=stat\n")]);
    let (state, env) = (dir.path().join("state").display().to_string(), dir.path().join("v.env"));
    let bridge = start(dir.path(), &["--state-dir", &state, "--env-file", &env.display().to_string()]);
    let mut bench = Bench { dir, bridge };
    bench.wait_until_web_holds("kept");
    wait_until(SOON, "the fragment to be kept", || {
        let kept = fs::read_dir(bench.path("state/v1")).expect("a folder");
        kept.flatten().any(|entry| entry.path().extension().is_some_and(|end| end == "fragment"))
    });
    bench.bridge.kill();
    fs::remove_file(bench.path("stat")).expect("removed");
    bench.put("v.env", "WHERE=elsewhere\n");
    bench.bridge.restart();
    bench.wait_until_web_holds("kept");
    wait_until(SOON, "the word on it", || bench.bridge.log().contains("last-good-content"));
}
