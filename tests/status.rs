//! What the admin address tells: pages for people, probes and Prometheus, and the commands that ask there.
//!
//! Comes in: fragments, good and bad, and real Envoys. Goes out: what is said of them, read as its readers
//! read it: JSON, Prometheus' own parser, exit codes.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::bridge::{Address, Bridge, run};
use common::envoy::{Envoy, NEWEST};
use common::files::{put, remove};
use common::{SOON, fetched, free_port, wait_for, wait_until};
use serde_json::Value;
use tempfile::TempDir;

/// Prometheus' own parser; see `python3 -m pip index versions prometheus-client`.
const PARSER: &str = "prometheus-client==0.26.0";

/// Reads metrics and prints them as JSON: `name{label=value,…}` to value, and the types of the families.
const PARSE: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families
samples, types = {}, {}
for family in text_string_to_metric_families(sys.stdin.read()):
    types[family.name] = family.type
    assert family.documentation, family.name
    for s in family.samples:
        key = s.name + '{' + ','.join(f'{k}={v}' for k, v in sorted(s.labels.items())) + '}'
        assert key not in samples, key
        samples[key] = s.value
print(json.dumps({'samples': samples, 'types': types}))
";

/// A daemon, its fragments and its admin address.
struct World {
    bridge: Bridge,
    config: PathBuf,
    admin: String,
    _dir: TempDir,
}

impl World {
    fn start(files: &[(&str, &str)]) -> World {
        World::start_at(files, |_| format!("127.0.0.1:{}", free_port()))
    }

    fn start_at(files: &[(&str, &str)], admin: impl Fn(&Path) -> String) -> World {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        let config = dir.path().join("config.d");
        std::fs::create_dir(&config).expect("created");
        for (name, text) in files {
            put(&config, name, text);
        }
        let admin = admin(dir.path());
        let flags = ["--admin", &admin, "--insecure"];
        let bridge = Bridge::serve_with(&config, Address::Tcp(free_port()), &flags);
        World { bridge, config, admin, _dir: dir }
    }

    /// Runs a command against this daemon.
    fn ask(&self, args: &[&str]) -> Ended {
        ended(&run(args.iter().copied().chain(["--admin", self.admin.as_str()])))
    }

    fn json(&self, args: &[&str]) -> Value {
        let all: Vec<&str> = args.iter().copied().chain(["--format", "json"]).collect();
        let ended = self.ask(&all);
        serde_json::from_str(&ended.out)
            .unwrap_or_else(|e| panic!("{args:?} prints no JSON ({e}): {ended:?}"))
    }

    /// One HTTP/1.1 exchange: status, head, body.
    fn http(&self, method: &str, path: &str) -> (u16, String, String) {
        self.http_as("localhost", method, path)
    }

    /// The same as a browser sends it that was told another name of this machine.
    fn http_as(&self, host: &str, method: &str, path: &str) -> (u16, String, String) {
        let mut stream: Box<dyn Stream> = match self.admin.strip_prefix("unix:") {
            Some(path) => Box::new(UnixStream::connect(path).expect("it listens")),
            None => Box::new(TcpStream::connect(&self.admin).expect("it listens")),
        };
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, head.to_lowercase(), body.to_owned())
    }

    fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.http("GET", path);
        (status, body)
    }

    /// The metrics as Prometheus reads them.
    fn metrics(&self) -> Metrics {
        let (status, head, body) = self.http("GET", "/metrics");
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        let mut python = Command::new("python3");
        python.args(["-c", PARSE]).env("PYTHONPATH", fetched::pip(PARSER)).stdin(Stdio::piped());
        let mut python =
            python.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("this test needs python3");
        python.stdin.take().expect("piped").write_all(body.as_bytes()).expect("taken");
        let ended = ended(&python.wait_with_output().expect("it ends"));
        assert_eq!(ended.code, 0, "Prometheus does not read this: {}\n{body}", ended.err);
        Metrics(serde_json::from_str(&ended.out).expect("the script prints JSON"))
    }

    fn wait_ready(&self) {
        wait_until(SOON, "the first load", || self.get("/readyz").0 == 200);
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

struct Metrics(Value);

impl Metrics {
    #[track_caller]
    fn get(&self, key: &str) -> f64 {
        self.0["samples"][key].as_f64().unwrap_or_else(|| panic!("no {key} in {:#}", self.0))
    }
}

#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

fn ended(output: &Output) -> Ended {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        code: output.status.code().expect("no signal"),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

const CLUSTER: &str = "clusters: [{name: a, connect_timeout: 1s}]\n";

/// A listener for one node; the address is of a network for documentation, which no machine has.
const REFUSED: &str = "# two lines before
nodes: [{id: stubborn}]
listeners:
- name: elsewhere
  address: {socket_address: {address: 192.0.2.9, port_value: 9}}
  filter_chains:
  - filters:
    - name: tcp
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
        stat_prefix: x
        cluster: a
";

#[test]
fn status_says_which_envoy_runs_the_newest_and_where_a_refusal_comes_from() {
    let world = World::start(&[("a.yaml", CLUSTER), ("refused.yaml", REFUSED)]);
    let start = |node| Envoy::start(NEWEST, &world.bridge.bootstrap(node, "edge"));
    let (_good, _stubborn) = (start("good"), start("stubborn"));
    let client = |status: &Value, node: &str| {
        let all = status["clients"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|client| client["node_id"] == node)
    };
    let status = wait_for(SOON, "one Envoy in sync and one that refuses", || {
        let status = world.json(&["status"]);
        let summary = &status["summary"];
        (summary["in_sync"] == 1 && summary["refused"] == 1).then_some(status)
    });
    assert_eq!(status["schema_version"], 1);
    let good = client(&status, "good").expect("it is connected");
    assert_eq!((&good["state"], &good["node_cluster"]), (&"in_sync".into(), &"edge".into()));
    assert!(good["agent"].as_str().is_some_and(|agent| agent == format!("envoy {NEWEST}")), "{good}");
    let stubborn = client(&status, "stubborn").expect("it is connected");
    let types = stubborn["streams"][0]["types"].as_array().expect("a list");
    let listeners = types.iter().find(|of| of["kind"] == "listeners").expect("it asks for listeners");
    let refused = &listeners["refused"][0];
    assert_eq!(refused["name"], "elsewhere");
    let at = refused["at"][0].as_str().expect("a place");
    assert!(at.ends_with("refused.yaml:4"), "{at}");
    assert!(refused["message"].as_str().is_some_and(|message| message.contains("192.0.2.9")), "{refused}");
    assert!(listeners["rejected"]["version"].is_string() && listeners["wildcard"] == true, "{listeners}");

    let shown = world.ask(&["status"]);
    assert_eq!(shown.code, 1, "{shown:?}");
    let first = shown.out.lines().next().expect("a line");
    assert_eq!(first, "1 of 2 Envoys run the newest, snapshot 1; 1 refused some of it");
    assert!(shown.out.contains("stubborn (edge): REFUSES; envoy"), "{}", shown.out);
    assert!(shown.out.contains("refused.yaml:4): Error adding/updating listener"), "{}", shown.out);

    let waited = world.ask(&["reload", "--wait", "--timeout", "20s"]);
    assert_eq!(waited.code, 1, "{waited:?}");
    assert!(waited.out.contains("1 of 2 clients have acknowledged it"), "{}", waited.out);
    assert!(waited.out.contains("stubborn (edge) refuses listener `elsewhere`"), "{}", waited.out);

    remove(&world.config, "refused.yaml");
    put(&world.config, "a.yaml", "clusters: [{name: a, connect_timeout: 2s}]\n");
    let waited = world.ask(&["reload", "--wait", "--timeout", "60s"]);
    assert_eq!(waited.code, 0, "{waited:?}");
    assert!(waited.out.contains("all 2 clients have acknowledged it"), "{}", waited.out);
    assert_eq!(world.ask(&["status"]).code, 0);

    let metrics = world.metrics();
    assert_eq!(metrics.get("xds_bridge_clients{state=in_sync}"), 2.0);
    assert_eq!(metrics.get("xds_bridge_clients{state=refused}"), 0.0);
    assert_eq!(metrics.get("xds_bridge_streams{}"), 2.0);
    assert!(metrics.get("xds_bridge_nacks_total{type=listeners}") >= 1.0);
    assert!(metrics.get("xds_bridge_acks_total{type=clusters}") >= 4.0);
    assert!(metrics.get("xds_bridge_sent_bytes_total{type=clusters}") > 100.0);
    assert!(metrics.get("xds_bridge_change_to_ack_seconds_count{type=clusters}") >= 2.0);
}

#[test]
fn not_ready_says_why_and_metrics_follow_the_files() {
    let world = World::start(&[("a.yaml", "clusters: [{name: a, typ: STATIC}]\n")]);
    let why = wait_for(SOON, "the finding", || {
        let (status, body) = world.get("/readyz");
        assert_eq!(status, 503, "{body}");
        body.contains("a.yaml:1").then_some(body)
    });
    assert!(why.contains("not serving yet") && why.contains("typ"), "{why}");
    assert_eq!(world.get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(world.http_as("evil.example", "GET", "/status").0, 403);
    let metrics = world.metrics();
    assert_eq!(
        (metrics.get("xds_bridge_ready{}"), metrics.get("xds_bridge_snapshot_generation{}")),
        (0.0, 0.0)
    );
    assert_eq!(metrics.get("xds_bridge_files{state=refused}"), 1.0);
    let status = world.ask(&["status"]);
    assert!(status.code == 1 && status.out.starts_with("NOT SERVING: "), "{status:?}");

    put(&world.config, "a.yaml", CLUSTER);
    world.wait_ready();
    put(&world.config, "b.yaml", "clusters: [{name: b}]\n");
    put(&world.config, "a.yaml", "clusters: [\n");
    wait_until(SOON, "both changes", || {
        let status = world.json(&["status"]);
        status["serving"]["resources"]["clusters"] == 2 && status["serving"]["files"]["stale"] == 1
    });
    let shown = world.ask(&["status"]);
    assert!(shown.out.contains("a.yaml has errors; its last good content is served"), "{}", shown.out);
    assert!(shown.out.contains("error[yaml-syntax]"), "{}", shown.out);

    let metrics = world.metrics();
    assert_eq!(metrics.get("xds_bridge_ready{}"), 1.0);
    assert_eq!(metrics.get("xds_bridge_snapshot_generation{}"), 2.0);
    assert_eq!(metrics.get("xds_bridge_resources{kind=clusters}"), 2.0);
    assert_eq!(metrics.get("xds_bridge_files{state=stale}"), 1.0);
    assert_eq!(metrics.get("xds_bridge_findings{severity=error}"), 1.0);
    assert_eq!(metrics.get("xds_bridge_load_duration_seconds_count{outcome=published}"), 2.0);
    assert_eq!(metrics.get("xds_bridge_load_duration_seconds_count{outcome=not_ready}"), 1.0);
    assert_eq!(metrics.get("xds_bridge_change_held{}"), 0.0);
    for gauge in ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"] {
        assert!(metrics.get(&format!("{gauge}{{}}")) > 0.0, "{gauge}");
    }
    assert_eq!(metrics.0["types"]["xds_bridge_load_duration_seconds"], "histogram");
    // The parser takes `_total` off the name of a counter.
    assert_eq!(metrics.0["types"]["xds_bridge_nacks"], "counter");
}

#[test]
fn every_error_that_stands_is_shown_and_counted_once() {
    let two = "clusters: [{name: b}, {name: c}]\n";
    let world = World::start(&[("a.yaml", CLUSTER), ("b.yaml", two)]);
    world.wait_ready();
    // What is shown with the fragments, and how many errors are counted.
    let stands = || {
        let status = world.json(&["status"]);
        let fragments = status["fragments"].as_array().expect("a list").iter();
        let findings =
            fragments.flat_map(|fragment| fragment["findings"].as_array().expect("a list").clone());
        let codes: Vec<String> =
            findings.map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect();
        (codes.join(" "), status["serving"]["findings"]["error"].clone())
    };
    let route = |cluster: &str| {
        format!(
            "routes: [{{name: r, virtual_hosts: [{{name: v, domains: ['*'], routes: [\
            {{match: {{prefix: /}}, route: {{cluster: {cluster}}}}}]}}]}}]\n"
        )
    };
    for (file, text, codes, errors) in [
        ("b.yaml", "", "emptied-file", 1),
        // Errors of a look long ago stand beside what is new.
        ("r.yaml", &*route("x"), "emptied-file unresolved-reference", 2),
        ("s.yaml", "clusters: [\n", "emptied-file unresolved-reference yaml-syntax", 3),
        ("r.yaml", &*route("a"), "emptied-file yaml-syntax", 2),
        ("b.yaml", two, "yaml-syntax", 1),
        ("s.yaml", "x-nothing: 1\n", "", 0),
    ] {
        put(&world.config, file, text);
        world.ask(&["reload"]);
        assert_eq!(stands(), (codes.to_owned(), errors.into()), "{file}: {text}");
    }
}

#[test]
fn a_warning_is_shown_as_long_as_it_stands() {
    let route = "routes: [{name: r, virtual_hosts: [{name: v, domains: ['*'], routes: [\
                 {match: {prefix: /}, route: {cluster: late}}]}]}]\n";
    let old = "clusters: [{name: a, http2_protocol_options: {}}]\n";
    let world = World::start(&[("r.yaml", route), ("a.yaml", old)]);
    world.wait_ready();
    let stands = || {
        let status = world.json(&["status"]);
        let of = |finding: &Value| format!("{}:{}", finding["code"], finding["line"]).replace('"', "");
        let shown: Vec<String> = status["warnings"].as_array().expect("a list").iter().map(of).collect();
        (shown.join(" "), status["serving"]["findings"]["warning"].clone())
    };
    assert_eq!(stands(), ("unresolved-reference:1 deprecated-field:1".to_owned(), 2.into()));
    let status = world.ask(&["status"]);
    assert_eq!(status.code, 0, "all is served as it stands: {status:?}");
    assert!(status.out.contains("r.yaml:1:109: warning[unresolved-reference]: "), "{}", status.out);
    assert!(status.out.contains("findings: warning 2;"), "{}", status.out);
    // Another change says nothing of it, and it still stands.
    put(&world.config, "a.yaml", CLUSTER);
    world.ask(&["reload"]);
    assert_eq!(stands(), ("unresolved-reference:1".to_owned(), 1.into()));
    assert_eq!(world.metrics().get("xds_bridge_findings{severity=warning}"), 1.0);
    put(&world.config, "late.yaml", "clusters: [{name: late}]\n");
    world.ask(&["reload"]);
    assert_eq!(stands(), (String::new(), 0.into()));
}

#[test]
fn what_is_wrong_around_the_fragments_is_told_as_long_as_it_lasts() {
    let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
    let (config, aside) = (dir.path().join("config.d"), dir.path().join("aside"));
    std::fs::create_dir(&config).expect("created");
    put(&config, "a.yaml", CLUSTER);
    put(dir.path(), "x.env", "A=1\n");
    let (admin, env) = (format!("127.0.0.1:{}", free_port()), dir.path().join("x.env"));
    let flags = ["--admin", &admin, "--insecure", "--env-file", env.to_str().expect("UTF-8")];
    let bridge = Bridge::serve_with(&config, Address::Tcp(free_port()), &flags);
    let world = World { bridge, config: config.clone(), admin: admin.clone(), _dir: dir };
    world.wait_ready();
    let dir = world._dir.path();
    let told = |what: Option<&str>| {
        for command in ["reload", "status"] {
            let ended = world.ask(&[command]);
            let is_said = what.is_none_or(|what| ended.out.contains(what));
            assert!(ended.code == i32::from(what.is_some()) && is_said, "{what:?} {command}: {ended:?}");
        }
        let errors = if what.is_some() { 1.0 } else { 0.0 };
        assert_eq!(world.metrics().get("xds_bridge_findings{severity=error}"), errors, "{what:?}");
        assert_eq!(world.json(&["status"])["serving"]["resources"]["clusters"], 1);
    };
    told(None);
    put(dir, "x.env", "no assignment\n");
    told(Some("x.env: "));
    // Other changes leave it as it is.
    put(&config, "a.yaml", &format!("# new\n{CLUSTER}"));
    told(Some("x.env: "));
    put(dir, "x.env", "A=1\n");
    told(None);
    remove(dir, "x.env");
    told(Some("x.env: this env file cannot be read"));
    put(dir, "x.env", "A=1\n");
    told(None);
    // A directory that cannot be read, for root neither.
    std::fs::rename(&config, &aside).expect("renamed");
    std::os::unix::fs::symlink("config.d", &config).expect("linked");
    told(Some("config.d: the configuration directory cannot be read"));
    std::fs::remove_file(&config).expect("removed");
    std::fs::rename(&aside, &config).expect("renamed");
    told(None);
}

#[test]
fn a_reload_of_what_is_not_served_says_so_and_fails() {
    for (files, why) in [
        (&[][..], "waiting for the first fragment"),
        (&[("a.yaml", "clusters: [\n"), ("b.yaml", CLUSTER)], "not serving yet"),
    ] {
        let world = World::start(files);
        for command in ["reload", "status"] {
            let ended = world.ask(&[command]);
            assert!(ended.code == 1 && ended.out.starts_with("NOT SERVING"), "{command}: {ended:?}");
            assert!(ended.out.contains(why), "{command}: {ended:?}");
        }
        assert_eq!(world.json(&["reload"])["generation"], 0);
        std::fs::remove_dir_all(&world.config).expect("removed");
        wait_until(SOON, "a reload that says that there is no directory", || {
            let ended = world.ask(&["reload"]);
            ended.code == 1 && ended.out.contains("does not exist yet")
        });
    }
}

#[test]
fn history_tells_what_became_of_each_change() {
    let world = World::start(&[("a.yaml", CLUSTER)]);
    world.wait_ready();
    put(&world.config, "b.yaml", "clusters: [{name: b}, {name: c}]\n");
    assert_eq!(world.ask(&["reload"]).code, 0);
    put(
        &world.config,
        "r.yaml",
        "routes: [{name: r, virtual_hosts: [{name: v, domains: ['*'], routes: [\
        {match: {prefix: /}, route: {cluster: gone}}]}]}]\n",
    );
    assert_eq!(world.ask(&["reload"]).code, 1);
    assert!(world.metrics().get("xds_bridge_change_held{}") > 0.0);
    let history = world.json(&["history"]);
    let entries = history["entries"].as_array().expect("a list");
    let [held, second, first] = &entries[..] else { panic!("three entries: {history:#}") };
    assert_eq!((&held["outcome"], &held["generation"]), (&"held".into(), &2.into()));
    assert!(held["why"][0].as_str().is_some_and(|why| why.contains("no fragment defines")), "{held}");
    assert_eq!((&second["outcome"], &second["added"]), (&"published".into(), &2.into()));
    assert_eq!(second["changes"][1], serde_json::json!({"change": "added", "kind": "clusters", "name": "c"}));
    assert!(second["files"][0].as_str().is_some_and(|file| file.ends_with("b.yaml")), "{second}");
    assert_eq!(first["generation"], 1);
    assert_eq!(world.json(&["history", "-n", "1"])["entries"].as_array().map(Vec::len), Some(1));
    let shown = world.ask(&["history"]).out;
    assert!(
        shown.contains("snapshot 2: +2 ~0 -0") && shown.contains("+ clusters/b, + clusters/c"),
        "{shown}"
    );
    assert!(shown.contains("held back"), "{shown}");
    for command in ["history", "status", "reload"] {
        let mut words = common::bridge::program();
        words.args([command, "--admin", &world.admin]);
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
        let ended = ended(&words.stdout(full).output().expect("built"));
        assert_eq!(ended.code, 2, "{command}: {ended:?}");
    }
}

#[test]
fn a_removal_that_is_held_names_the_route_that_still_needs_it() {
    let route = "routes: [{name: r, virtual_hosts: [{name: v, domains: ['*'], routes: [\
        {match: {prefix: /}, route: {cluster: a}}]}]}]\n";
    let world = World::start(&[("a.yaml", CLUSTER), ("r.yaml", route)]);
    world.wait_ready();
    remove(&world.config, "a.yaml");
    let reload = world.ask(&["reload"]);
    assert_eq!(reload.code, 1);
    assert!(
        reload.out.contains("r.yaml:1:") && reload.out.contains("unresolved-reference"),
        "{}",
        reload.out
    );
    let status = world.json(&["status"]);
    let fragment = &status["fragments"][0];
    assert!(fragment["path"].as_str().is_some_and(|path| path.ends_with("a.yaml")), "{fragment:#}");
    assert!(
        fragment["findings"][0]["file"].as_str().is_some_and(|file| file.ends_with("r.yaml")),
        "{fragment:#}"
    );
    let shown = world.ask(&["status"]).out;
    assert!(shown.contains("r.yaml:1:") && shown.contains("no fragment defines the cluster `a`"), "{shown}");
}

#[test]
fn a_unix_socket_takes_pages_and_commands_alike() {
    let world =
        World::start_at(&[("a.yaml", CLUSTER)], |dir| format!("unix:{}", dir.join("admin.sock").display()));
    world.wait_ready();
    let (status, index) = world.get("/");
    for path in ["/status", "/metrics", "/healthz", "/readyz"] {
        assert!(status == 200 && index.contains(path), "{index}");
    }
    let (status, head, body) = world.http("HEAD", "/status");
    assert!(status == 200 && body.is_empty() && head.contains("content-type: application/json"), "{head}");
    let (_, json) = world.get("/status?x=1");
    assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON")["serving"]["ready"], true);
    assert_eq!(world.get("/nothing").0, 404);
    let (status, head, _) = world.http("POST", "/status");
    assert!(status == 405 && head.contains("allow: get, head"), "{head}");
    // The control API cannot be reached by what a browser can be made to send.
    let (_, head, _) = world.http("POST", "/xds_bridge.control.v1.Control/Reload");
    assert!(head.contains("grpc-status: 3"), "{head}");
    assert!(world.ask(&["status"]).out.starts_with("no Envoy is connected; snapshot 1 is served"));
    assert!(world.ask(&["reload", "--wait"]).out.contains("no client is connected"));
}

#[test]
fn without_a_daemon_each_command_names_the_address_and_what_to_do() {
    let admin = "unix:/nonexistent/admin.sock";
    for args in [&["status"][..], &["status", "--watch"], &["history"], &["diff", "daemon:", "x"]] {
        let nobody = ended(&run(args.iter().copied().chain(["--admin", admin])));
        assert_eq!(nobody.code, 2, "{nobody:?}");
        for part in [admin, "is the daemon running?", "--admin", "No such file"] {
            assert!(nobody.err.contains(part), "{args:?}: {}", nobody.err);
        }
    }
    let none = ended(&run(["status", "--admin", "none"]));
    assert!(none.code == 2 && none.err.contains("`none`"), "{none:?}");
}

#[test]
fn the_admin_address_beyond_loopback_takes_insecure() {
    let dir = tempfile::tempdir().expect("a folder for temporary files");
    let folder = dir.path().display().to_string();
    let port = free_port();
    let listen = format!("127.0.0.1:{}", free_port());
    let args = ["serve", "--config-dir", &folder, "--listen", &listen, "--admin", &format!("0.0.0.0:{port}")];
    let refused = ended(&run(args));
    assert!(refused.code == 2 && refused.err.contains("--insecure"), "{refused:?}");
    let world = World::start_at(&[("a.yaml", CLUSTER)], |_| format!("0.0.0.0:{port}"));
    world.wait_ready();
}

#[test]
fn watching_without_a_terminal_prints_a_line_for_each_change() {
    let world = World::start(&[("a.yaml", CLUSTER)]);
    world.wait_ready();
    let log = world.config.with_file_name("watch");
    let mut command = Command::new(env!("CARGO_BIN_EXE_xds-bridge"));
    command.args(["status", "--watch", "--admin", &world.admin]);
    let mut watch = common::process::Process::start("status --watch", &mut command, &log);
    watch.wait_for_line(SOON, 0, "no Envoy is connected; snapshot 1 is served");
    put(&world.config, "b.yaml", "clusters: [\n");
    watch.wait_for_line(SOON, 0, "b.yaml has errors");
    put(&world.config, "b.yaml", "clusters: [{name: b}]\n");
    watch.wait_for_line(SOON, 0, "snapshot 2 is served");
    let log = watch.log();
    assert!(!log.contains('\u{1b}'), "{log:?}");
}

#[test]
fn diff_compares_a_directory_with_what_is_served() {
    let world =
        World::start(&[("a.yaml", CLUSTER), ("b.yaml", "nodes: [{id: x*}]\nclusters: [{name: b}]\n")]);
    world.wait_ready();
    let path = world.config.display().to_string();
    let same = world.ask(&["diff", &path, "daemon:"]);
    assert_eq!((same.code, &*same.out), (0, "no difference\n"), "{same:?}");
    let next = world.config.with_file_name("next");
    std::fs::create_dir(&next).expect("created");
    put(&next, "a.yaml", "clusters: [{name: a, connect_timeout: 5s}]\n");
    let next = next.display().to_string();
    let differs = world.ask(&["diff", "daemon:", &next]);
    assert_eq!(differs.code, 1, "{differs:?}");
    assert!(differs.out.contains("connect_timeout: 1s -> 5s"), "{}", differs.out);
    assert!(differs.out.contains("- cluster `b` removed, for nodes with id x*"), "{}", differs.out);
    let json = world.json(&["diff", &next, &format!("daemon:{}", world.admin)]);
    assert_eq!(json["differences"][0]["fields"][0]["after"], "1s");
    assert_eq!(json["differences"][1]["change"], "added");
}

/// A secret of each kind, and what must not be seen of it anywhere.
const SECRETS: &str = "secrets:
- {name: generic, generic_secret: {secret: {inline_string: hunter2-generic}}}
- {name: bytes, generic_secret: {secret: {inline_bytes: aHVudGVyMi1ieXRlcw==}}}
- {name: tickets, session_ticket_keys: {keys: [{inline_string: hunter2-tickets-hunter2-tickets-hunter2-tickets-hunter2-tickets-hunter2-tickets-h}]}}
- {name: ca, validation_context: {trusted_ca: {inline_string: !file ca.pem}}}
clusters:
- name: tls
  transport_socket:
    name: tls
    typed_config:
      '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      common_tls_context:
        tls_params: {cipher_suites: [ECDHE-RSA-AES128-GCM-SHA256]}
        tls_certificates:
        - private_key: {inline_string: !file key.pem}
          certificate_chain: {inline_string: !file cert.pem}
          password: {inline_string: hunter2-password}
extension_configs:
- name: ext
  typed_config:
    '@type': type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
    stat_prefix: x
    settings: {op_timeout: 1s}
    prefix_routes: {catch_all_route: {cluster: c}}
    downstream_auth_passwords: [{inline_string: \"${PASSWORD}\"}]
";

#[test]
fn no_output_shows_a_secret() {
    let made = rcgen::generate_simple_self_signed(["hunter2.example".to_owned()]).expect("a certificate");
    let (cert, key) = (made.cert.pem(), made.key_pair.serialize_pem());
    let env = "PASSWORD=hunter2-from-the-environment\n";
    let files =
        [("ca.pem", &*cert), ("cert.pem", &*cert), ("key.pem", &*key), (".env", env), ("s.yaml", SECRETS)];
    let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
    let config = dir.path().join("config.d");
    std::fs::create_dir(&config).expect("created");
    for (name, text) in files {
        put(&config, name, text);
    }
    let admin = format!("127.0.0.1:{}", free_port());
    let env_file = config.join(".env").display().to_string();
    let flags = ["--admin", &admin, "--insecure", "--env-file", &env_file, "--log", "debug"];
    let bridge = Bridge::serve_with(&config, Address::Tcp(free_port()), &flags);
    let world = World { bridge, config, admin, _dir: dir };
    world.wait_ready();
    assert_eq!(world.get("/readyz").1, "ready: snapshot 1 is served\n");
    let names = common::peek::clusters(world.bridge.address());
    assert_eq!(names, ["tls"], "the client shows what is sent");

    // Another value for each, and one file that is broken around its secrets.
    let other = world.config.with_file_name("other");
    std::fs::create_dir(&other).expect("created");
    for (name, text) in files {
        put(
            &other,
            name,
            &text.replace("hunter2-", "hunter2-2-").replace("aHVudGVyMi1ieXRlcw==", "aHVudGVyMg=="),
        );
    }
    put(
        &world.config,
        "broken.yaml",
        "secrets: [{name: b, generic_secret: {secret: {inline_string: hunter2, x: 1}}}]\n",
    );
    let _ = world.ask(&["reload"]);

    let other = other.display().to_string();
    let mut shown = Vec::new();
    for args in [
        &["status"][..],
        &["status", "--format", "json"],
        &["history"],
        &["history", "--format", "json"],
        &["reload"],
        &["reload", "--wait", "--format", "json"],
        &["diff", "daemon:", &other, "--env-file", &env_file],
        &["diff", &other, "daemon:", "--env-file", &env_file, "--format", "json"],
        &["diff", "daemon:", "daemon:"],
    ] {
        let ended = world.ask(args);
        assert!(ended.code < 2, "{args:?}: {ended:?}");
        shown.push((args.join(" "), ended.out + &ended.err));
    }
    for path in ["/", "/status", "/metrics", "/readyz", "/healthz"] {
        shown.push((path.to_owned(), world.get(path).1));
    }
    shown.push(("the log".to_owned(), world.bridge.log()));
    let of = |name: &str| &shown.iter().find(|(of, _)| of == name).expect("it was asked").1;
    assert!(of("status").contains("broken.yaml"), "{}", of("status"));
    assert!(of("/metrics").contains("xds_bridge_certificate_expiry_timestamp_seconds{kind=\"clusters\""));
    let diff = &shown[6].1;
    for part in
        ["secret `generic` changed", "secret `bytes` changed", "secret `tickets` changed", "[redacted]"]
    {
        assert!(diff.contains(part), "{diff}");
    }
    let key_line = key.lines().nth(1).expect("a key has lines");
    for (name, text) in &shown {
        for secret in ["hunter2", "aHVudGVyMi", key_line] {
            let leaks: Vec<&str> = text.lines().filter(|line| line.contains(secret)).collect();
            assert!(leaks.is_empty(), "{name} shows {leaks:#?}");
        }
    }
}

#[test]
fn completions_and_man_pages_know_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ended = ended(&run(["completions", shell]));
        assert_eq!(ended.code, 0, "{ended:?}");
        for word in ["history", "--accept-removals", "--config-dir"] {
            let bare = word.trim_start_matches('-');
            assert!(ended.out.contains(word) || ended.out.contains(bare), "{shell} does not know {word}");
        }
    }
    let dir = tempfile::tempdir().expect("a folder for temporary files");
    let out = dir.path().join("man").display().to_string();
    assert_eq!(ended(&run(["man", "--out", &out])).code, 0);
    for page in ["xds-bridge.1", "xds-bridge-status.1", "xds-bridge-reload.1", "xds-bridge-serve.1"] {
        let text = std::fs::read_to_string(dir.path().join("man").join(page)).expect(page);
        assert!(text.contains(".TH") && text.contains("--") | text.contains("\\-\\-"), "{page}: {text}");
    }
    let first = ended(&run(["man"]));
    assert!(first.out.contains(".TH xds-bridge 1"), "{}", first.out);
}
