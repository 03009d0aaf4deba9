//! gRPC's own xDS clients, of the PyPI package `grpcio` and of npm's `@grpc/grpc-js-xds`: calls to
//! `xds:///service` find their way through listener, routes, cluster and endpoints from fragments
//! (protocol rule 26).
//!
//! Comes in: fragments and the daemon. Goes out: the answers of small Python servers.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::bridge::{Address, Bridge};
use common::process::Process;
use common::{SOON, free_port, wait_until};
use common::{fetched, files};
use tempfile::TempDir;

/// The newest at the time of writing; see `python3 -m pip index versions grpcio`.
const GRPCIO: &str = "grpcio==1.85.1";

/// The newest at the time of writing, for Node; the second is what it names as its peer.
const GRPC_JS: [&str; 2] = ["@grpc/grpc-js-xds@1.14.1", "@grpc/grpc-js@1.14.7"];

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grpc").join(name)
}

fn python(name: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(script(name)).env("PYTHONPATH", fetched::pip(GRPCIO)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn node(name: &str) -> Command {
    let mut command = fetched::node_with(&fetched::npm(&GRPC_JS));
    command.arg(script(name));
    command
}

/// Which of gRPC's implementations calls.
#[derive(Clone, Copy)]
enum Client {
    /// The C core, under Python.
    Core,
    /// `grpc-js`.
    Js,
}

/// A running server that answers with its name.
struct Server {
    port: u16,
    _process: Process,
    _home: TempDir,
}

impl Server {
    fn start(name: &str) -> Server {
        let home = tempfile::tempdir().expect("a folder for temporary files");
        let mut process = Process::start(name, python("server.py").arg(name), &home.path().join("log"));
        let line = process.wait_for_line(SOON, 0, "port ");
        let port = line["port ".len()..].parse().expect("a port is a number");
        Server { port, _process: process, _home: home }
    }
}

const LISTENER: &str = "listeners:
- name: service
  api_listener:
    api_listener:
      '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: service
      rds: {route_config_name: r, config_source: {resource_api_version: V3, ads: {}}}
      http_filters:
      - name: router
        typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
";

fn routes(cluster: &str) -> String {
    format!(
        "routes: [{{name: r, virtual_hosts: [{{name: v, domains: ['*'], routes: [\
         {{match: {{prefix: ''}}, route: {{cluster: {cluster}}}}}]}}]}}]\n"
    )
}

fn cluster(name: &str) -> String {
    format!(
        "clusters: [{{name: {name}, type: EDS, lb_policy: ROUND_ROBIN, \
         eds_cluster_config: {{eds_config: {{resource_api_version: V3, ads: {{}}}}}}}}]\n"
    )
}

/// gRPC leaves out localities without a weight.
fn endpoints(cluster: &str, server: &Server) -> String {
    let port = server.port;
    format!(
        "endpoints: [{{cluster_name: {cluster}, endpoints: [{{locality: {{zone: z}}, load_balancing_weight: 1, \
         lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]}}]\n"
    )
}

struct World {
    dir: TempDir,
    bridge: Bridge,
    client: Process,
    _home: TempDir,
}

impl World {
    /// The daemon over these fragments, and a client that has got its first answer.
    fn start(client: Client, fragments: &[(&str, &str)], mode: &[&str]) -> World {
        World::start_on(Address::Tcp(free_port()), client, fragments, mode)
    }

    fn start_on(address: Address, client: Client, fragments: &[(&str, &str)], mode: &[&str]) -> World {
        let dir = tempfile::tempdir().expect("a folder for temporary files");
        for (name, text) in fragments {
            files::put(dir.path(), name, text);
        }
        let bridge = Bridge::serve_on(dir.path(), address);
        let address = bridge.address();
        let bootstrap = format!(
            r#"{{"xds_servers": [{{"server_uri": "{address}", "channel_creds": [{{"type": "insecure"}}],
                "server_features": ["xds_v3"]}}], "node": {{"id": "grpc-1", "cluster": "grpc", "locality": {{}}}}}}"#
        );
        let home = tempfile::tempdir().expect("a folder for temporary files");
        let mut command = match client {
            Client::Core => python("client.py"),
            Client::Js => node("client.js"),
        };
        command.arg("xds:///service").args(mode).env("GRPC_XDS_BOOTSTRAP_CONFIG", bootstrap);
        let client = Process::start("the client", &mut command, &home.path().join("log"));
        World { dir, bridge, client, _home: home }
    }

    fn put(&self, name: &str, text: &str) {
        files::put(self.dir.path(), name, text);
    }

    /// Waits for an answer from that server to a call that is made from now on.
    #[track_caller]
    fn wait_for(&mut self, server: &str) {
        let from = self.client.log().len();
        self.client.wait_for_line(SOON, from, &format!("ok {server}"));
    }

    /// The calls so far that failed.
    fn errors(&self) -> Vec<String> {
        self.client.log().lines().filter(|line| !line.starts_with("ok ")).map(str::to_owned).collect()
    }
}

/// Two servers, and a client that calls the first of them.
fn calling(client: Client) -> ([Server; 2], World) {
    let [one, two] = ["one", "two"].map(Server::start);
    let fragments = [
        ("listener.yaml", LISTENER),
        ("routes.yaml", &routes("c")),
        ("cluster.yaml", &cluster("c")),
        ("endpoints.yaml", &endpoints("c", &one)),
    ];
    let mut world = World::start(client, &fragments, &["wait"]);
    world.wait_for("one");
    ([one, two], world)
}

#[test]
fn rule_26_calls_find_their_way_and_follow_changes() {
    calls_follow_changes(Client::Core, "gRPC");
}

#[test]
fn rule_26_calls_from_node_find_their_way_and_follow_changes() {
    calls_follow_changes(Client::Js, "gRPC Node");
}

fn calls_follow_changes(client: Client, agent: &str) {
    let ([one, two], mut world) = calling(client);
    world.put("endpoints.yaml", &endpoints("c", &two));
    world.wait_for("two");
    // Another cluster, under a route that names it: all in one file, as one renames things.
    let renamed = format!("{}{}", cluster("d"), endpoints("d", &one));
    world.put("d.yaml", &renamed);
    world.put("routes.yaml", &routes("d"));
    world.wait_for("one");
    for n in 0..20 {
        let server = if n % 2 == 0 { &two } else { &one };
        world.put("d.yaml", &format!("{}{}", cluster("d"), endpoints("d", server)));
        world.wait_for(if n % 2 == 0 { "two" } else { "one" });
    }
    assert_eq!(world.errors(), [""; 0]);
    let line = world.bridge.wait_for_line(0, "a client connected");
    assert!(line.contains("grpc-1") && line.contains(agent), "{line}");
}

#[test]
fn rule_26_a_restart_of_the_bridge_fails_no_call_and_changes_go_on() {
    a_restart_fails_no_call(Client::Core);
}

#[test]
fn rule_26_a_restart_of_the_bridge_fails_no_call_from_node_and_changes_go_on() {
    a_restart_fails_no_call(Client::Js);
}

/// Of the socket's path, gRPC makes an `:authority` that HTTP/2 does not know.
#[test]
fn rule_26_calls_find_their_way_over_a_unix_socket() {
    let home = tempfile::tempdir().expect("a folder for temporary files");
    let one = Server::start("one");
    let all = format!("{LISTENER}{}{}{}", routes("c"), cluster("c"), endpoints("c", &one));
    for client in [Client::Core, Client::Js] {
        let address = Address::Unix(home.path().join("xds.sock"));
        let mut world = World::start_on(address, client, &[("all.yaml", &all)], &["wait"]);
        world.wait_for("one");
        assert_eq!(world.errors(), [""; 0]);
    }
}

fn a_restart_fails_no_call(client: Client) {
    let ([one, two], mut world) = calling(client);
    for (kill, server, name) in [(true, &two, "two"), (false, &one, "one")] {
        if kill {
            world.bridge.kill();
        } else {
            world.bridge.terminate();
        }
        world.wait_for(if kill { "one" } else { "two" });
        world.put("endpoints.yaml", &endpoints("c", server));
        world.bridge.restart();
        world.wait_for(name);
    }
    assert_eq!(world.errors(), [""; 0]);
}

#[test]
fn rule_26_a_service_that_comes_later_is_found() {
    let one = Server::start("one");
    let mut world = World::start(Client::Core, &[("other.yaml", &cluster("other"))], &[]);
    wait_until(SOON, "a call to fail for want of a listener", || !world.errors().is_empty());
    world.put("endpoints.yaml", &endpoints("c", &one));
    world.put("all.yaml", &format!("{LISTENER}{}{}", routes("c"), cluster("c")));
    world.wait_for("one");
}
