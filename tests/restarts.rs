//! Restarts of the real daemon while something is held: a sudden end and an orderly one.
//!
//! Comes in: fragments, a state directory, and accidents before, during and after a restart. Goes out: what
//! Envoys are given and what people are told.

mod common;

use std::fs;
use std::path::PathBuf;

use common::bridge::{Address, Bridge, run};
use common::files::{put, remove};
use common::peek::{clusters, peek};
use common::{SOON, free_port, http, wait_until};
use tempfile::TempDir;

const ROUTES: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

struct Bench {
    dir: TempDir,
    admin: u16,
    bridge: Bridge,
}

impl Bench {
    fn new(files: &[(&str, String)]) -> Bench {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        let config = dir.path().join("config.d");
        fs::create_dir(&config).expect("created");
        for (name, text) in files {
            put(&config, name, text);
        }
        let (state, admin) = (dir.path().join("state").display().to_string(), free_port());
        // What is read beside the fragments makes the first look one of two steps.
        let env = put(dir.path(), "variables.env", "").display().to_string();
        let flags = ["--state-dir", &state, "--admin", &format!("127.0.0.1:{admin}"), "--env-file", &env];
        let bridge = Bridge::serve_with(&config, Address::Tcp(free_port()), &flags);
        let bench = Bench { dir, admin, bridge };
        wait_until(SOON, "everything to be saved", || bench.mark().exists());
        bench
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("config.d")
    }

    fn mark(&self) -> PathBuf {
        self.dir.path().join("state/v1.whole")
    }

    /// Exit code and text of `reload`.
    fn reload(&self, flags: &[&str]) -> (Option<i32>, String) {
        let admin = format!("127.0.0.1:{}", self.admin);
        let output = run(["reload", "--admin", &admin].iter().chain(flags));
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn page(&self, path: &str) -> String {
        http::get(self.admin, path).expect("the admin address answers").body
    }

    /// Whether the route leads to this cluster, for an Envoy that comes now.
    fn leads_to(&self, cluster: &str) -> bool {
        let routes = peek(self.bridge.address(), ROUTES, "peek");
        String::from_utf8_lossy(&routes["r"]).contains(cluster)
    }
}

fn cluster(name: &str) -> String {
    format!("clusters:\n- name: {name}\n")
}

fn route(cluster: &str) -> String {
    format!(
        "routes:\n- name: r\n  virtual_hosts:\n  - name: all\n    domains: ['*']\n    routes:\n    - match: {{prefix: /}}\n      \
         route: {{cluster: {cluster}}}\n"
    )
}

#[test]
fn a_held_change_stays_held_over_sudden_and_orderly_ends_until_it_is_accepted() {
    let mut bench = Bench::new(&[("c.yaml", cluster("first")), ("r.yaml", route("first"))]);
    put(&bench.config(), "r.yaml", &route("later"));
    bench.bridge.wait_for_line(0, "held back");
    for round in 0..4 {
        match round {
            0 | 3 => bench.bridge.kill(),
            1 => assert!(bench.bridge.terminate().success()),
            // A state directory as versions without the mark left it.
            _ => {
                bench.bridge.kill();
                fs::remove_file(bench.mark()).expect("it was there");
            }
        }
        let from = bench.bridge.log().len();
        bench.bridge.restart();
        let told = bench.bridge.wait_for_line(from, "serving what was served before the start");
        assert!(told.contains("--accept-unresolved"), "{told}");
        assert!(bench.leads_to("first"), "round {round}");
        let (code, said) = bench.reload(&[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("--accept-unresolved") && said.contains("r.yaml:8:24"), "{said}");
        let status = bench.page("/status");
        assert!(
            status.contains("\"held\"") && status.contains("no fragment defines the cluster `later`"),
            "{status}"
        );
        let metrics = bench.page("/metrics");
        assert!(metrics.contains("xds_bridge_change_held 1\n"), "{metrics}");
        wait_until(SOON, "the mark", || bench.mark().exists());
    }
    let (code, said) = bench.reload(&["--accept-unresolved"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(bench.leads_to("later"));
    assert!(bench.bridge.terminate().success());
    bench.bridge.restart();
    assert!(bench.leads_to("later"), "what was accepted stays so");
    assert_eq!(bench.reload(&[]).0, Some(0));
}

#[test]
fn a_restart_with_an_empty_or_missing_directory_takes_nothing_away_and_a_few_files_may_go() {
    let mut bench = Bench::new(&[("a.yaml", cluster("a")), ("b.yaml", cluster("b"))]);
    let (config, aside) = (bench.config(), bench.dir.path().join("aside"));
    for empty in [false, true] {
        bench.bridge.kill();
        fs::rename(&config, &aside).expect("renamed");
        if empty {
            fs::create_dir(&config).expect("created");
        }
        let from = bench.bridge.log().len();
        bench.bridge.restart();
        let told = bench.bridge.wait_for_line(from, "config-dir-lost");
        assert!(told.contains("--accept-removals"), "{told}");
        assert_eq!(clusters(bench.bridge.address()), ["a", "b"]);
        assert_eq!(bench.reload(&[]).0, Some(1));
        if empty {
            fs::remove_dir(&config).expect("removed");
        }
        // As a mount that comes late.
        fs::rename(&aside, &config).expect("renamed");
        wait_until(SOON, "the files to be seen", || bench.reload(&[]).0 == Some(0));
    }
    bench.bridge.kill();
    remove(&config, "b.yaml");
    bench.bridge.restart();
    assert_eq!(clusters(bench.bridge.address()), ["a"], "one of two may go");
    wait_until(SOON, "b to be forgotten", || bench.mark().exists());
    bench.bridge.kill();
    remove(&config, "a.yaml");
    bench.bridge.restart();
    assert_eq!(clusters(bench.bridge.address()), ["a"], "the last one is asked for");
    assert_eq!(bench.reload(&["--accept-removals"]).0, Some(0));
    wait_until(SOON, "a to be gone", || clusters(bench.bridge.address()).is_empty());
}
