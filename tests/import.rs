//! Moving in and out with real Envoys: what is imported runs as it did, what is rendered too, and what
//! was written for the v2 API is taken by the newest Envoy.

#![allow(clippy::unwrap_used, reason = "a test that cannot write its own files has failed")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::bridge::{Address, Bridge, run};
use common::dump::{self, Running};
use common::envoy::{Envoy, NEWEST, binary};
use common::files::{list, read};
use common::http;
use common::upstream::Upstream;
use common::{SOON, free_port, wait_until};
use tempfile::TempDir;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// An import into a folder of its own.
struct Moved {
    home: TempDir,
    address: Address,
}

impl Moved {
    #[track_caller]
    fn import(text: &str, ending: &str, flags: &[&str]) -> Moved {
        let home = tempfile::tempdir().unwrap();
        let source = home.path().join(format!("source.{ending}"));
        fs::write(&source, text).unwrap();
        let moved = Moved { home, address: Address::Tcp(free_port()) };
        let (out, address) = (moved.fragments(), moved.address.to_string());
        let args = ["import", source.to_str().unwrap(), "--out", out.to_str().unwrap(), "--xds", &address];
        let output = run(args.iter().chain(&["--node-id", "edge-1"]).chain(flags));
        let (report, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{report}{errors}");
        moved
    }

    fn fragments(&self) -> PathBuf {
        self.home.path().join("config.d")
    }

    fn bootstrap(&self) -> PathBuf {
        self.home.path().join("envoy-bootstrap.yaml")
    }

    /// Everything back in one file.
    #[track_caller]
    fn render(&self) -> String {
        let (fragments, bootstrap) = (self.fragments(), self.bootstrap());
        let output = run([Path::new("render"), &fragments, Path::new("--bootstrap"), &bootstrap]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(errors.is_empty(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The running configuration without the way to the bridge.
fn without_bridge(mut running: Running) -> Running {
    running.retain(|(_, name), _| name != "xds_bridge");
    running
}

#[track_caller]
fn assert_same(before: &Running, after: &Running, what: &str) {
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{what}");
    for (key, resource) in before {
        assert_eq!(resource, &after[key], "{what}: {key:?}");
    }
}

/// Each static configuration of ours, with a port of its own.
fn sources() -> Vec<(String, String)> {
    let folder = folder("static");
    let with_port = |text: String| text.replace("11001", &free_port().to_string());
    list(&folder).into_iter().map(|name| (name.clone(), with_port(read(&folder, &name)))).collect()
}

fn ending(name: &str) -> &str {
    name.rsplit('.').next().unwrap()
}

#[test]
fn what_is_imported_runs_as_it_did() {
    for (name, text) in sources() {
        let before = dump::running(&Envoy::start_ready(NEWEST, &text).config_dump());
        let moved = Moved::import(&text, ending(&name), &[]);
        let _bridge = Bridge::serve_on(&moved.fragments(), moved.address.clone());
        let bootstrap = fs::read_to_string(moved.bootstrap()).unwrap();
        let envoy = Envoy::start_ready(NEWEST, &bootstrap);
        let running = || without_bridge(dump::running(&envoy.config_dump()));
        wait_until(SOON, "all of it to arrive", || running().len() == before.len());
        assert_same(&before, &running(), &name);
        // As a person compares them. A key that stands in the configuration itself is not told.
        let (source, dump) = (
            moved.home.path().join(format!("source.{}", ending(&name))),
            moved.home.path().join("after.json"),
        );
        fs::write(&dump, envoy.config_dump().to_string()).unwrap();
        let output = run([Path::new("diff"), &source, &dump]);
        let (told, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if fs::read_to_string(&dump).unwrap().contains(r#""inline_string":"[redacted]""#) {
            assert_eq!(output.status.code(), Some(2), "{name}: {told}");
            assert!(errors.contains("error[bad-private-key]"), "{name}: {errors}");
        } else {
            assert_eq!((&*told, output.status.code()), ("no difference\n", Some(0)), "{name}: {errors}");
        }
    }
}

#[test]
fn what_is_rendered_runs_as_it_did_before_it_was_imported() {
    for (name, text) in sources() {
        let before = dump::running(&Envoy::start_ready(NEWEST, &text).config_dump());
        let rendered = Moved::import(&text, ending(&name), &[]).render();
        let after = dump::running(&Envoy::start_ready(NEWEST, &rendered).config_dump());
        assert_same(&before, &after, &name);
    }
}

/// Endpoints that went to EDS come back under the name of their cluster; all else is as it was.
#[test]
fn what_was_made_dynamic_is_rendered_static_again() {
    for (name, text) in sources() {
        let before = dump::running(&Envoy::start_ready(NEWEST, &text).config_dump());
        let moved = Moved::import(&text, ending(&name), &["--dynamic"]);
        let after = dump::running(&Envoy::start_ready(NEWEST, &moved.render()).config_dump());
        let listeners = |running: &Running| {
            let listeners = running.iter().filter(|((section, _), _)| *section == "listeners");
            listeners.map(|(key, value)| (key.clone(), value.clone())).collect::<Running>()
        };
        let clusters = |running: &Running| {
            let clusters = running.keys().filter(|(section, _)| *section == "clusters");
            clusters.cloned().collect::<Vec<_>>()
        };
        assert_same(&listeners(&before), &listeners(&after), &name);
        assert_eq!(clusters(&before), clusters(&after), "{name}");
    }
}

/// What Envoy says to a bootstrap.
fn verdict(path: &Path) -> Result<(), String> {
    let mut command = Command::new(binary(NEWEST));
    let node = ["--service-node", "n", "--service-cluster", "c"];
    let output = command.args(["--mode", "validate", "--config-path"]).arg(path).args(node).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let fatal: Vec<&str> = errors.lines().filter(|line| !line.contains("[warning]")).collect();
    if output.status.success() { Ok(()) } else { Err(fatal.join("\n")) }
}

#[test]
fn a_v2_file_is_taken_by_the_newest_envoy_without_what_a_person_must_decide() {
    for case in [
        "v2-anchors",
        "v2-clusters",
        "v2-everything-http",
        "v2-everything-network",
        "v2-http-filters",
        "v2-network-filters",
    ] {
        let source = folder("migrate").join(case).join("envoy.yaml");
        // What is gone from Envoy, or only in other builds of it, and what needs files of its own.
        let left_out =
            ["squash", "something_else", "client_ssl_auth", "http_dynamo_filter", "grpc_json_transcoder"];
        let text = fs::read_to_string(&source).unwrap();
        let home = tempfile::tempdir().unwrap();
        let (path, upgraded) = (home.path().join("v2.yaml"), home.path().join("v3.yaml"));
        fs::write(&path, without_filters(&text, &left_out)).unwrap();
        let output = run([Path::new("import"), Path::new("--upgrade-only"), &path]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let own_files =
            [("/certs/cert.pem", "cert.pem"), ("/certs/key.pem", "key.pem"), ("/srv/runtime/current", ".")];
        make_certificate(home.path());
        let text = own_files
            .iter()
            .fold(text, |text, (from, to)| text.replace(from, home.path().join(to).to_str().unwrap()));
        fs::write(&upgraded, &text).unwrap();
        if let Err(error) = verdict(&upgraded) {
            panic!("{case}: {error}\n{text}");
        }
    }
}

/// The text without the filters of these names: `- name: …` and what is deeper below it.
fn without_filters(text: &str, names: &[&str]) -> String {
    let mut kept = Vec::new();
    let mut below: Option<usize> = None;
    for line in text.lines() {
        let depth = line.len() - line.trim_start().len();
        if below.is_some_and(|column| depth > column || line.trim().is_empty()) {
            continue;
        }
        below = None;
        let is_named = names.iter().any(|name| line.trim_end().ends_with(name));
        if line.trim_start().starts_with("- name:") && is_named {
            below = Some(depth);
            continue;
        }
        kept.push(line);
    }
    kept.join("\n") + "\n"
}

/// A certificate and its key.
fn make_certificate(folder: &Path) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-subj", "/CN=x", "-keyout", "key.pem", "-out", "cert.pem"]).current_dir(folder);
    let output = command.output().expect("this test makes certificates with openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// And back, as a static file.
#[test]
fn a_running_envoy_is_imported_from_its_admin_interface() {
    let (name, text) = sources().swap_remove(0);
    let envoy = Envoy::start_ready(NEWEST, &text);
    let before = dump::running(&envoy.config_dump());
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("config.d");
    let url = format!("http://127.0.0.1:{}/config_dump", envoy.admin_port());
    let args = ["import", &url, "--out", out.to_str().unwrap(), "--node-id", "edge-1"];
    let output = run(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    drop(envoy);
    let bootstrap = home.path().join("envoy-bootstrap.yaml");
    let rendered = run([Path::new("render"), &out, Path::new("--bootstrap"), &bootstrap]);
    let rendered = String::from_utf8(rendered.stdout).unwrap();
    let after = dump::running(&Envoy::start_ready(NEWEST, &rendered).config_dump());
    assert_same(&before, &after, &name);
}

/// The classic template of a container: its placeholders are filled where it is served.
#[test]
fn a_template_is_imported_and_served_with_its_variables() {
    let upstream = Upstream::start("one");
    let (front, admin) = (free_port().to_string(), free_port().to_string());
    let text = read(&folder("migrate/classic-template"), "envoy.yaml.tmpl")
        .replace("10000", &front)
        .replace("9901", &admin)
        .replace("port_value: 80 ", &format!("port_value: {} ", upstream.port()));
    let moved = Moved::import(&text, "yaml", &[]);
    let fragment = read(&moved.fragments(), "cluster-service.yaml");
    assert!(fragment.contains("${ENVOY_LB_ALG}") && fragment.contains("${SERVICE_NAME}"), "{fragment}");
    let variables = moved.home.path().join("variables");
    fs::write(&variables, "ENVOY_LB_ALG=ROUND_ROBIN\nSERVICE_NAME=localhost\n").unwrap();
    let flags = ["--env-file", variables.to_str().unwrap()];
    let _bridge = Bridge::serve_with(&moved.fragments(), moved.address.clone(), &flags);
    let _envoy = Envoy::start_ready(NEWEST, &fs::read_to_string(moved.bootstrap()).unwrap());
    let front = front.parse().unwrap();
    wait_until(SOON, "an answer through the imported listener", || {
        http::get(front, "/").is_ok_and(|response| (response.status, &*response.body) == (200, "one"))
    });
}
