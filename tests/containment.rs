//! What happens to mistakes, with the real daemon and its commands.
//!
//! Comes in: changes of a configuration directory. Goes out: what a new client is given afterwards,
//! what the log says, and how `check` ends.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use common::bridge::{Address, Bridge, run};
use common::files::{put, remove};
use common::peek::{clusters, is_silent, peek};
use common::{SOON, free_port, wait_until};
use tempfile::TempDir;

const ROUTES: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

fn folder(files: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
    let config = dir.path().join("config.d");
    fs::create_dir(&config).expect("created");
    for (name, text) in files {
        put(&config, name, text);
    }
    (dir, config)
}

fn serve(config: &Path, flags: &[&str]) -> Bridge {
    Bridge::serve_with(config, Address::Tcp(free_port()), flags)
}

#[track_caller]
fn wait_until_served(bridge: &Bridge, names: &[&str]) {
    wait_until(SOON, &format!("{names:?} to be served"), || clusters(bridge.address()) == names);
}

fn routes(bridge: &Bridge) -> Vec<String> {
    peek(bridge.address(), ROUTES, "peek").into_keys().collect()
}

fn cluster(name: &str) -> String {
    format!("clusters:\n- name: {name}\n")
}

fn route(name: &str, cluster: &str) -> String {
    format!(
        "routes:\n- name: {name}\n  virtual_hosts:\n  - name: all\n    domains: ['*']\n    routes:\n    \
         - match: {{prefix: /}}\n      route: {{cluster: {cluster}}}\n"
    )
}

#[test]
fn a_route_waits_for_its_cluster_and_a_cluster_for_its_last_route() {
    let (_dir, config) = folder(&[("other.yaml", &cluster("other"))]);
    let mut bridge = serve(&config, &[]);
    wait_until_served(&bridge, &["other"]);
    put(&config, "r.yaml", &route("r", "c"));
    let line = bridge.wait_for_line(0, "held back");
    assert!(line.contains("requests would go to what no fragment defines"), "{line}");
    let line = bridge.wait_for_line(0, "unresolved-reference");
    assert!(line.contains("r.yaml:8:24") && line.contains("no fragment defines the cluster `c`"), "{line}");
    assert!(routes(&bridge).is_empty());
    put(&config, "c.yaml", &cluster("c"));
    wait_until_served(&bridge, &["c", "other"]);
    assert_eq!(routes(&bridge), ["r"]);
    let from = bridge.log().len();
    remove(&config, "c.yaml");
    bridge.wait_for_line(from, "held back");
    assert_eq!(clusters(bridge.address()), ["c", "other"]);
    remove(&config, "r.yaml");
    wait_until_served(&bridge, &["other"]);
    assert!(routes(&bridge).is_empty());
}

#[test]
fn a_reload_that_finds_what_is_held_says_so_once() {
    let (dir, config) = folder(&[("a.yaml", &cluster("a"))]);
    let admin = format!("unix:{}", dir.path().join("admin").display());
    // What is written in place is not read before somebody asks.
    let bridge = serve(&config, &["--settle", "10s", "--admin", &admin]);
    wait_until_served(&bridge, &["a"]);
    fs::write(config.join("r.yaml"), route("r", "c")).expect("written");
    for round in ["what it reads", "what is held already"] {
        let from = bridge.log().len();
        let output = run(["reload", "--admin", &admin]);
        assert_eq!(output.status.code(), Some(1), "{round}: {output:?}");
        let log = bridge.log()[from..].to_owned();
        for told in ["unresolved-reference", "the change is held back"] {
            assert_eq!(log.lines().filter(|line| line.contains(told)).count(), 1, "{round}, {told}:\n{log}");
        }
    }
}

#[test]
fn a_directory_that_is_moved_away_takes_nothing_with_it_and_may_come_back() {
    let (dir, config) = folder(&[("a.yaml", &cluster("a")), ("b.yaml", &cluster("b"))]);
    let mut bridge = serve(&config, &[]);
    wait_until_served(&bridge, &["a", "b"]);
    let away = dir.path().join("away");
    fs::rename(&config, &away).expect("renamed");
    let line = bridge.wait_for_line(0, "config-dir-lost");
    assert!(line.contains("is gone") && line.contains("--accept-removals"), "{line}");
    bridge.wait_for_line(0, "held back");
    assert_eq!(clusters(bridge.address()), ["a", "b"]);
    let from = bridge.log().len();
    fs::rename(&away, &config).expect("renamed");
    bridge.wait_for_line(from, "nothing that is served has changed");
    put(&config, "c.yaml", &cluster("c"));
    wait_until_served(&bridge, &["a", "b", "c"]);
}

#[test]
fn a_new_machine_with_an_empty_directory_answers_nobody() {
    let (_dir, config) = folder(&[]);
    let mut bridge = serve(&config, &[]);
    bridge.wait_for_line(0, "waiting for the first fragment");
    assert!(is_silent(bridge.address()));
    put(&config, "a.yaml", &cluster("a"));
    wait_until_served(&bridge, &["a"]);
    let (_dir, config) = folder(&[]);
    let bridge = serve(&config, &["--allow-empty"]);
    assert_eq!(clusters(bridge.address()), [""; 0]);
}

#[test]
fn with_on_error_hold_one_broken_file_holds_the_others() {
    let (_dir, config) = folder(&[("a.yaml", &cluster("a")), ("b.yaml", &cluster("b"))]);
    let mut bridge = serve(&config, &["--on-error", "hold"]);
    wait_until_served(&bridge, &["a", "b"]);
    put(&config, "a.yaml", "clusters: [\n");
    bridge.wait_for_line(0, "yaml-syntax");
    put(&config, "b.yaml", &cluster("b2"));
    bridge.wait_for_line(0, "`--on-error hold` is set");
    assert_eq!(clusters(bridge.address()), ["a", "b"]);
    put(&config, "a.yaml", &cluster("a2"));
    wait_until_served(&bridge, &["a2", "b2"]);
}

fn check(args: &[&str]) -> (Option<i32>, String) {
    let output: Output = run(std::iter::once("check").chain(args.iter().copied()));
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn check_expects_of_a_directory_that_it_is_whole_and_of_files_not() {
    let (dir, config) = folder(&[("r.yaml", &route("r", "own"))]);
    let (whole, file) = (config.to_str().expect("UTF-8"), config.join("r.yaml"));
    let (code, text) = check(&[whole]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("error[unresolved-reference]") && text.contains("r.yaml:8:24"), "{text}");
    let (code, text) = check(&[file.to_str().expect("UTF-8")]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("warning[unresolved-reference]"), "{text}");
    let (code, text) = check(&[whole, "--external-cluster", "other", "--external-cluster", "own"]);
    assert_eq!((code, text.contains("no errors")), (Some(0), true), "{text}");
    let settings = dir.path().join("settings.yaml");
    fs::write(&settings, "external_clusters: [own]\n").expect("written");
    let (code, text) = check(&[whole, "--settings", settings.to_str().expect("UTF-8")]);
    assert_eq!((code, text.contains("no errors")), (Some(0), true), "{text}");
    put(&config, "r.yaml", &route("r", "xds_bridge"));
    assert_eq!(check(&[whole]).0, Some(0));
}

fn reload(admin: &str, flags: &[&str]) -> Output {
    run(["reload", "--admin", admin].iter().chain(flags))
}

#[test]
fn reload_says_what_is_held_and_takes_it_over_when_told_to() {
    let names: Vec<String> = (10..30).map(|n| format!("c{n}")).collect();
    let files: Vec<(String, String)> = names.iter().map(|n| (format!("{n}.yaml"), cluster(n))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let (dir, config) = folder(&files);
    for admin in
        [format!("127.0.0.1:{}", free_port()), format!("unix:{}", dir.path().join("admin.sock").display())]
    {
        for (name, text) in &files {
            put(&config, name, text);
        }
        let mut bridge = serve(&config, &["--admin", &admin]);
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        wait_until_served(&bridge, &all);
        let fine = reload(&admin, &[]);
        assert_eq!(fine.status.code(), Some(0), "{fine:?}");
        for (name, _) in &files[..15] {
            remove(&config, name);
        }
        bridge.wait_for_line(0, "held back");
        let held = reload(&admin, &[]);
        let said = String::from_utf8_lossy(&held.stdout).into_owned();
        assert_eq!(held.status.code(), Some(1), "{said}");
        assert!(said.contains("held back") && said.contains("--accept-removals"), "{said}");
        let accepted = reload(&admin, &["--accept-removals"]);
        let said = String::from_utf8_lossy(&accepted.stdout).into_owned();
        assert_eq!((accepted.status.code(), said.contains("-15")), (Some(0), true), "{said}");
        wait_until_served(&bridge, &all[15..]);
    }
}

#[test]
fn reload_accepts_what_is_unresolved_and_reads_without_settling() {
    let (_dir, config) = folder(&[("c.yaml", &cluster("c")), ("r.yaml", &route("r", "c"))]);
    let admin = format!("127.0.0.1:{}", free_port());
    let bridge = serve(&config, &["--admin", &admin]);
    wait_until_served(&bridge, &["c"]);
    fs::write(config.join("r.yaml"), route("r", "later")).expect("written in place");
    let held = reload(&admin, &[]);
    assert_eq!(held.status.code(), Some(1), "{held:?}");
    let accepted = reload(&admin, &["--accept-unresolved"]);
    let said = String::from_utf8_lossy(&accepted.stdout).into_owned();
    assert_eq!((accepted.status.code(), said.contains("~1")), (Some(0), true), "{said}");
}

#[test]
fn reload_without_a_daemon_says_which_address_was_tried() {
    let admin = format!("127.0.0.1:{}", free_port());
    let nobody = reload(&admin, &[]);
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert_eq!(nobody.status.code(), Some(2), "{said}");
    assert!(said.contains(&admin) && said.contains("--admin"), "{said}");
}
