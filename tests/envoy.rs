//! The daemon and real Envoys, the oldest and the newest that we support.
//!
//! Each test holds one promise of the whole: fragments in a folder, the daemon, an Envoy started
//! with our bootstrap, requests through it to real upstreams.

mod common;

use std::path::Path;

use common::bridge::{Address, Bridge};
use common::envoy::{Envoy, VERSIONS};
use common::files::{list, put, read, remove};
use common::http::{self, Load};
use common::upstream::Upstream;
use common::{SOON, dump, free_port, wait_until};
use tempfile::TempDir;

/// The static bootstrap of a proxy that sends everything to one upstream.
fn static_bootstrap(listener: u16, upstream: u16) -> String {
    format!(
        r#"
admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }} }}
static_resources:
  listeners:
  - name: front
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {listener} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          route_config:
            name: local
            virtual_hosts:
            - {{ name: all, domains: ["*"], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: one }} }}] }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
  - name: one
    load_assignment:
      cluster_name: one
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {upstream} }} }} }}
"#
    )
}

/// The harness itself: without this, a failure below would not tell whose it is.
#[test]
fn a_static_envoy_reaches_an_upstream() {
    for version in VERSIONS {
        let upstream = Upstream::start("one");
        let port = free_port();
        let envoy = Envoy::start_ready(version, &static_bootstrap(port, upstream.port()));
        let response = http::get(port, "/").expect("the listener answers");
        assert_eq!((response.status, response.body.as_str()), (200, "one"));
        let load = Load::start(port, "/", 4);
        wait_until(SOON, "some hundred answers", || load.requests() > 500);
        let tally = load.stop();
        assert_eq!(tally.failures(), 0, "{tally:?}");
        assert_eq!(tally.bodies["one"] + 1, upstream.requests());
        assert_eq!(envoy.stat("listener_manager.total_listeners_active"), 1);
        assert_eq!((envoy.listeners(), envoy.clusters()), (vec!["front".into()], vec!["one".into()]));
        let running = dump::running(&envoy.config_dump());
        let sections: Vec<&str> = running.keys().map(|(section, _)| *section).collect();
        assert_eq!(sections, ["clusters", "endpoints", "listeners", "routes"]);
    }
}

/// A copy of `config.d/` as shipped, with ports of its own and upstreams behind it.
struct FrontProxy {
    dir: TempDir,
    http: u16,
    one: Upstream,
    two: Upstream,
    three: Upstream,
}

const ENDPOINTS_ONE: &str = "40-endpoints-service-1.yaml";

impl FrontProxy {
    fn new() -> FrontProxy {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.d");
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        let upstreams = ["one", "two", "three"].map(Upstream::start);
        let (http, tls) = (free_port(), free_port());
        let mut ports = vec![("10000", http), ("10443", tls)];
        ports.extend(["8081", "8082", "8083"].into_iter().zip(upstreams.iter().map(Upstream::port)));
        let mut moved = 0;
        for name in list(&shipped) {
            let mut text = read(&shipped, &name);
            for (from, to) in &ports {
                let from = format!("port_value: {from}}}");
                moved += text.matches(&from).count();
                text = text.replace(&from, &format!("port_value: {to}}}"));
            }
            put(dir.path(), &name, &text);
        }
        assert_eq!(moved, ports.len(), "each of the ports of config.d/ stands there once: {ports:?}");
        let [one, two, three] = upstreams;
        FrontProxy { dir, http, one, two, three }
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The answer to a path; an error in words when there is none.
    fn get(&self, path: &str) -> String {
        http::get(self.http, path).map_or_else(|e| e.to_string(), |response| response.body)
    }

    /// Rewrites the endpoint file of service 1 so that its traffic goes to `upstream`.
    fn service_one_at(&self, upstream: &Upstream) -> String {
        let text = read(self.dir(), ENDPOINTS_ONE);
        let at = text.find("port_value: ").expect("the file names a port") + "port_value: ".len();
        let end = at + text[at..].find('}').expect("a port is followed by a brace");
        format!("{}{}{}", &text[..at], upstream.port(), &text[end..])
    }
}

/// An Envoy of that version, started with the bridge's own bootstrap.
fn connect(version: &str, bridge: &Bridge, id: &str, cluster: &str) -> Envoy {
    Envoy::start_ready(version, &bridge.bootstrap(id, cluster))
}

#[test]
fn the_shipped_configuration_serves_requests() {
    for version in VERSIONS {
        let proxy = FrontProxy::new();
        let bridge = Bridge::serve(proxy.dir());
        let envoy = connect(version, &bridge, "edge-1", "edge");
        for (path, answer) in [("/service/1", "one"), ("/service/2/a", "two"), ("/service/3", "three")] {
            assert_eq!(proxy.get(path), answer, "{path}, Envoy {version}");
        }
        assert_eq!(proxy.get("/"), "Served by Envoy, configured by xds-bridge.\n");
        let counts = [&proxy.one, &proxy.two, &proxy.three].map(Upstream::requests);
        assert_eq!(counts, [1, 1, 1]);
        // The TLS listener is there only when its secret has come.
        let mut listeners = envoy.listeners();
        listeners.sort();
        assert_eq!(listeners, ["front-proxy", "front-proxy-tls"]);
    }
}

#[test]
fn a_unix_socket_serves_as_well() {
    for version in VERSIONS {
        let proxy = FrontProxy::new();
        let home = tempfile::tempdir().unwrap();
        let bridge = Bridge::serve_on(proxy.dir(), Address::Unix(home.path().join("xds.sock")));
        let _envoy = connect(version, &bridge, "edge-1", "edge");
        assert_eq!(proxy.get("/service/1"), "one");
    }
}

#[test]
fn an_edit_of_an_endpoint_file_moves_the_traffic_and_fails_no_request() {
    for version in VERSIONS {
        let proxy = FrontProxy::new();
        let bridge = Bridge::serve(proxy.dir());
        let _envoy = connect(version, &bridge, "edge-1", "edge");
        let load = Load::start(proxy.http, "/service/1", 4);
        wait_until(SOON, "requests before the edit", || load.requests() > 100);
        put(proxy.dir(), ENDPOINTS_ONE, &proxy.service_one_at(&proxy.two));
        wait_until(SOON, "the traffic to move after a rename", || proxy.get("/service/1") == "two");
        // Some editors write in place.
        std::fs::write(proxy.dir().join(ENDPOINTS_ONE), proxy.service_one_at(&proxy.three)).unwrap();
        wait_until(SOON, "the traffic to move after an edit in place", || proxy.get("/service/1") == "three");
        let tally = load.stop();
        assert_eq!(tally.failures(), 0, "Envoy {version}: {tally:?}");
    }
}

#[test]
fn a_file_with_a_mistake_changes_nothing() {
    for version in VERSIONS {
        let proxy = FrontProxy::new();
        let mut bridge = Bridge::serve(proxy.dir());
        let envoy = connect(version, &bridge, "edge-1", "edge");
        let from_here = envoy.log_size();
        let moved = proxy.service_one_at(&proxy.two);
        let broken = moved.replace("lb_endpoints", "lb_endpoint");
        let line = 1 + broken.lines().position(|line| line.contains("lb_endpoint:")).unwrap();
        for (name, text, place) in [
            (ENDPOINTS_ONE, broken.as_str(), format!("{ENDPOINTS_ONE}:{line}:")),
            ("99-not-yaml.yaml", "clusters: [{name: a", "99-not-yaml.yaml:".to_owned()),
        ] {
            let from = bridge.log().len();
            put(proxy.dir(), name, text);
            bridge.wait_for_line(from, &place);
        }
        remove(proxy.dir(), "99-not-yaml.yaml");
        // What comes next shows that all before it has passed.
        put(proxy.dir(), ENDPOINTS_ONE, &moved);
        wait_until(SOON, "the mended file to be served", || proxy.get("/service/1") == "two");
        let received = envoy.received(from_here);
        assert_eq!(received.len(), 1, "Envoy {version} received more than the mended file: {received:?}");
        assert!(received[0].contains("ClusterLoadAssignment"), "{received:?}");
        assert_eq!(proxy.get("/service/2"), "two");
    }
}

#[test]
fn a_removed_file_removes_its_listener() {
    for version in VERSIONS {
        let proxy = FrontProxy::new();
        let bridge = Bridge::serve(proxy.dir());
        let envoy = connect(version, &bridge, "edge-1", "edge");
        let name = "11-listener-front-proxy-tls.yaml";
        let text = read(proxy.dir(), name);
        let load = Load::start(proxy.http, "/service/1", 2);
        remove(proxy.dir(), name);
        wait_until(SOON, "the listener to go", || envoy.listeners() == ["front-proxy"]);
        put(proxy.dir(), name, &text);
        wait_until(SOON, "the listener to come back", || envoy.listeners().len() == 2);
        let tally = load.stop();
        assert_eq!(tally.failures(), 0, "the other listener, Envoy {version}: {tally:?}");
    }
}

/// A cluster that is there only to be seen.
fn mark(name: &str, nodes: &str) -> String {
    format!("{nodes}clusters:\n- {{name: {name}, type: STATIC, connect_timeout: 1s}}\n")
}

#[test]
fn a_fragment_for_another_node_never_arrives() {
    for version in VERSIONS {
        let config = tempfile::tempdir().unwrap();
        let put = |name, text: &str| put(config.path(), name, text);
        put("10-edge.yaml", &mark("for_edge", "nodes: [{cluster: edge*}]\n"));
        put("20-db.yaml", &mark("for_db", "nodes: [{cluster: none}, {id: db-*}]\n"));
        let bridge = Bridge::serve(config.path());
        let edge = connect(version, &bridge, "edge-1", "edge");
        let db = connect(version, &bridge, "db-1", "data");
        let has = |envoy: &Envoy, name: &str| envoy.clusters().iter().any(|cluster| cluster == name);
        assert!(has(&edge, "for_edge") && has(&db, "for_db"));
        put("10-edge.yaml", &mark("for_edge_too", "nodes: [{cluster: edge*}]\n"));
        wait_until(SOON, "the change at its node", || has(&edge, "for_edge_too") && !has(&edge, "for_edge"));
        // What comes next shows that all before it has passed.
        put("30-all.yaml", &mark("for_all", ""));
        for (envoy, other) in [(&edge, "for_db"), (&db, "for_edge_too")] {
            wait_until(SOON, "the change for all", || has(envoy, "for_all"));
            assert!(!has(envoy, other), "{other} has arrived: {:?}", envoy.clusters());
        }
        // The way to the bridge, for_db and for_all: nothing else was ever added, and nothing removed.
        assert_eq!(db.stat("cluster_manager.cluster_added"), 3, "{:?}", db.clusters());
        assert_eq!(db.stat("cluster_manager.cluster_removed"), 0);
    }
}

#[test]
fn after_a_restart_with_the_same_files_no_resource_is_sent_again() {
    for version in VERSIONS {
        let proxy = FrontProxy::new();
        let mut bridge = Bridge::serve(proxy.dir());
        let envoy = connect(version, &bridge, "edge-1", "edge");
        assert_eq!(proxy.get("/service/1"), "one");
        let first = envoy.received(0);
        assert!(first.len() >= 5, "every type came, and Envoy's log says so: {first:?}");
        let load = Load::start(proxy.http, "/service/1", 2);
        for kill in [true, false] {
            let before = dump::receipts(&envoy.config_dump());
            let from = envoy.log_size();
            if kill {
                bridge.kill();
            } else {
                let status = bridge.terminate();
                assert!(status.success(), "SIGTERM is a proper end: {status}");
            }
            wait_until(SOON, "Envoy to notice the end", || envoy.stat("control_plane.connected_state") == 0);
            bridge.restart();
            wait_until(SOON, "Envoy to be back", || envoy.stat("control_plane.connected_state") == 1);
            // A change of each kind: what comes shows that all before it has passed.
            let mark = if kill { "after_kill" } else { "after_term" };
            let port = put_marks(proxy.dir(), mark, proxy.two.port());
            wait_until(SOON, "the marks", || {
                http::get(port, "/").is_ok_and(|response| response.body == "two")
            });
            let received = envoy.received(from);
            // Cluster, endpoints, listener, routes and secret of the mark, each once, and no more.
            let added = |line: &String| line.contains("with 1 resources added, 0 removed");
            assert!(received.len() == 5 && received.iter().all(added), "Envoy {version}: {received:#?}");
            let after = dump::receipts(&envoy.config_dump());
            for (name, receipt) in before {
                assert_eq!(after.get(&name), Some(&receipt), "{name:?}");
            }
        }
        let tally = load.stop();
        assert_eq!(tally.failures(), 0, "Envoy goes on without the bridge: {tally:?}");
    }
}

/// Adds a proxy of its own with one resource of each of five types, named `mark`; gives its port.
fn put_marks(dir: &Path, mark: &str, upstream: u16) -> u16 {
    let port = free_port();
    // The secret first: asked for before it is there, it would be told to be missing.
    let secret = read(dir, "50-secret-example-certificate.yaml").replace("example-certificate", mark);
    put(dir, &format!("80-{mark}-secret.yaml"), &secret);
    let filters = format!(
        r#"[{{name: http, typed_config: {{
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager,
          stat_prefix: {mark},
          rds: {{route_config_name: {mark}, config_source: {{resource_api_version: V3, ads: {{}}}}}},
          http_filters: [{{name: router, typed_config: {{
            "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]}}}}]"#
    );
    let text = format!(
        r#"
listeners:
- name: {mark}
  address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
  filter_chains:
  - filters: {filters}
  # Matches nobody, and makes the listener wait for its secret.
  - filter_chain_match: {{destination_port: 1}}
    filters: {filters}
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
        common_tls_context:
          tls_certificate_sds_secret_configs:
          - {{name: {mark}, sds_config: {{resource_api_version: V3, ads: {{}}}}}}
routes:
- name: {mark}
  virtual_hosts:
  - {{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: {mark}}}}}]}}
clusters:
- name: {mark}
  type: EDS
  eds_cluster_config: {{eds_config: {{resource_api_version: V3, ads: {{}}}}}}
endpoints:
- cluster_name: {mark}
  endpoints:
  - lb_endpoints:
    - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}
"#
    );
    put(dir, &format!("81-{mark}.yaml"), &text);
    port
}

#[test]
fn a_rejected_resource_is_named_with_its_place_and_leaves_the_old_one_serving() {
    for version in VERSIONS {
        let proxy = FrontProxy::new();
        let mut bridge = Bridge::serve(proxy.dir());
        let envoy = connect(version, &bridge, "edge-1", "edge");
        let name = "10-listener-front-proxy.yaml";
        let good = read(proxy.dir(), name);
        let (from, received_from) = (bridge.log().len(), envoy.log_size());
        // An address for documentation: no machine has it, so Envoy cannot listen there.
        put(proxy.dir(), name, &good.replace("address: 127.0.0.1,", "address: 192.0.2.1,"));
        let line = bridge.wait_for_line(from, name);
        assert!(line.contains("edge-1") && line.contains("front-proxy"), "who and what: {line}");
        assert!(line.contains("192.0.2.1"), "Envoy's own words: {line}");
        assert_eq!(proxy.get("/service/1"), "one");
        // Others go on, and nothing is offered again that was refused.
        put(proxy.dir(), ENDPOINTS_ONE, &proxy.service_one_at(&proxy.two));
        wait_until(SOON, "another change to arrive", || proxy.get("/service/1") == "two");
        let elsewhere = free_port();
        let here = format!("port_value: {}}}", proxy.http);
        put(proxy.dir(), name, &good.replace(&here, &format!("port_value: {elsewhere}}}")));
        wait_until(SOON, "the mended listener", || {
            http::get(elsewhere, "/service/1").is_ok_and(|response| response.body == "two")
        });
        assert_eq!(envoy.stat("listener_manager.lds.update_rejected"), 1);
        let listeners = envoy.received(received_from);
        let listeners: Vec<&String> = listeners.iter().filter(|line| line.contains("listener")).collect();
        assert_eq!(listeners.len(), 1, "accepted: the mended one: {listeners:?}");
    }
}

#[test]
fn an_envoy_that_came_first_is_served_when_the_files_come() {
    for version in VERSIONS {
        let proxy = FrontProxy::new();
        let home = tempfile::tempdir().unwrap();
        let later = home.path().join("config.d");
        let bridge = Bridge::serve(&later);
        let mut envoy = Envoy::start(version, &bridge.bootstrap("edge-1", "edge"));
        wait_until(SOON, "Envoy to be connected", || envoy.stat("control_plane.connected_state") == 1);
        std::fs::rename(proxy.dir(), &later).unwrap();
        envoy.wait_ready();
        assert_eq!(proxy.get("/service/1"), "one");
    }
}

#[test]
fn a_bridge_that_starts_empty_takes_nothing_away() {
    for version in VERSIONS {
        let proxy = FrontProxy::new();
        let mut bridge = Bridge::serve(proxy.dir());
        let envoy = connect(version, &bridge, "edge-1", "edge");
        let (before, from) = (dump::running(&envoy.config_dump()), envoy.log_size());
        bridge.kill();
        wait_until(SOON, "Envoy to notice the end", || envoy.stat("control_plane.connected_state") == 0);
        // As on a machine that replaces another and has no files yet. All come back at one moment:
        // a first load of some of them would rightly take the rest away.
        let home = tempfile::tempdir().unwrap();
        let aside = home.path().join("aside");
        std::fs::rename(proxy.dir(), &aside).unwrap();
        std::fs::create_dir(proxy.dir()).unwrap();
        bridge.restart();
        wait_until(SOON, "Envoy to be back", || envoy.stat("control_plane.connected_state") == 1);
        put(&aside, "99-mark.yaml", &mark("mark", ""));
        std::fs::rename(&aside, proxy.dir()).unwrap();
        wait_until(SOON, "the files to be served", || envoy.clusters().contains(&"mark".to_owned()));
        let removed: Vec<String> =
            envoy.received(from).into_iter().filter(|line| !line.contains(" 0 removed")).collect();
        assert!(removed.is_empty(), "Envoy {version}: {removed:?}");
        let after = dump::running(&envoy.config_dump());
        for (key, resource) in before {
            assert_eq!(after.get(&key), Some(&resource), "{key:?}");
        }
    }
}

#[test]
fn what_went_while_the_bridge_was_down_is_taken_away() {
    for version in VERSIONS {
        let proxy = FrontProxy::new();
        put(proxy.dir(), "60-gone.yaml", &mark("gone", ""));
        let mut bridge = Bridge::serve(proxy.dir());
        let envoy = connect(version, &bridge, "edge-1", "edge");
        let has_gone = || envoy.clusters().contains(&"gone".to_owned());
        assert!(has_gone() && envoy.listeners().len() == 2);
        bridge.kill();
        remove(proxy.dir(), "60-gone.yaml");
        remove(proxy.dir(), "11-listener-front-proxy-tls.yaml");
        bridge.restart();
        wait_until(SOON, "the listener and the cluster to go", || {
            envoy.listeners() == ["front-proxy"] && !has_gone()
        });
        assert_eq!(proxy.get("/service/1"), "one");
    }
}

/// Whole configurations of our own, as people drop them into the folder.
#[test]
fn served_is_the_same_as_static() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/static");
    for version in VERSIONS {
        for name in list(&folder) {
            // The listeners must be free again for the second Envoy, and for other tests.
            let text = read(&folder, &name).replace("11001", &free_port().to_string());
            let statically = dump::running(&Envoy::start_ready(version, &text).config_dump());
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), &name, &text);
            let bridge = Bridge::serve(dir.path());
            let envoy = connect(version, &bridge, "edge-1", "edge");
            let served = dump::served(&envoy.config_dump());
            assert_eq!(
                statically.keys().collect::<Vec<_>>(),
                served.keys().collect::<Vec<_>>(),
                "{name}, Envoy {version}"
            );
            for (key, resource) in statically {
                assert_eq!(resource, served[&key], "{name}: {key:?}, Envoy {version}");
            }
        }
    }
}
