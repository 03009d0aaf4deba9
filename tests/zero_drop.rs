//! Not one dropped request: real Envoys under load while their configuration is turned over.
//!
//! Comes in: fragments, changed again and again under a closed loop of requests over kept
//! connections. Goes out: the answers, of which each must be 200. Over ADS and over a stream for each
//! type, in delta and in state of the world, with the oldest and the newest Envoy.

mod common;

use std::fmt::Write as _;
use std::time::Duration;

use common::bridge::{Address, Bridge};
use common::envoy::{Envoy, NEWEST, VERSIONS};
use common::files;
use common::fragments::http_listener;
use common::http::{self, Load, Tally};
use common::upstream::Upstream;
use common::{SOON, free_port, wait_until};
use tempfile::TempDir;

const OLDEST: &str = VERSIONS[0];

/// How an Envoy is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    AdsDelta,
    AdsSotw,
    SingleDelta,
    SingleSotw,
}
use Way::{AdsDelta, AdsSotw, SingleDelta, SingleSotw};

impl Way {
    fn api_type(self) -> &'static str {
        match self {
            AdsDelta | SingleDelta => "DELTA_GRPC",
            AdsSotw | SingleSotw => "GRPC",
        }
    }

    /// Where each resource is taken from, as YAML in one line.
    fn source(self) -> String {
        match self {
            AdsDelta | AdsSotw => "{resource_api_version: V3, ads: {}}".into(),
            SingleDelta | SingleSotw => {
                format!("{{resource_api_version: V3, api_config_source: {}}}", self.api())
            }
        }
    }

    fn api(self) -> String {
        format!(
            "{{api_type: {}, transport_api_version: V3, grpc_services: [{{envoy_grpc: {{cluster_name: xds_bridge}}}}]}}",
            self.api_type()
        )
    }

    fn bootstrap(self, bridge: &Bridge) -> String {
        let Address::Tcp(port) = bridge.address() else { panic!("TCP was asked for") };
        let ads = match self {
            AdsDelta | AdsSotw => format!("  ads_config: {}\n", self.api()),
            SingleDelta | SingleSotw => String::new(),
        };
        let source = self.source();
        format!(
            "node: {{id: test, cluster: test}}
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
dynamic_resources:
{ads}  cds_config: {source}
  lds_config: {source}
static_resources:
  clusters:
  - name: xds_bridge
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment:
      cluster_name: xds_bridge
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]
"
        )
    }
}

/// A daemon, an Envoy connected to it, two upstreams, and a listener with its routes elsewhere.
struct Proxy {
    way: Way,
    dir: TempDir,
    port: u16,
    upstreams: [Upstream; 2],
    bridge: Bridge,
    envoy: Envoy,
}

impl Proxy {
    /// Starts all of it with these fragments beside the listener.
    fn start(version: &str, way: Way, fragments: impl Fn(&Parts) -> Vec<(&'static str, String)>) -> Proxy {
        Proxy::start_with(version, way, "", fragments)
    }

    fn start_with(
        version: &str,
        way: Way,
        admin: &str,
        fragments: impl Fn(&Parts) -> Vec<(&'static str, String)>,
    ) -> Proxy {
        let dir = tempfile::tempdir().expect("a folder for temporary files");
        let upstreams = ["one", "two"].map(Upstream::start);
        let port = free_port();
        let parts = Parts { way, ports: upstreams.each_ref().map(Upstream::port) };
        files::put(dir.path(), "listener.yaml", &parts.listener("front", port, "r"));
        for (name, text) in fragments(&parts) {
            files::put(dir.path(), name, &text);
        }
        let bridge = Bridge::serve(dir.path());
        let envoy = Envoy::start_ready(version, &format!("{}{admin}", way.bootstrap(&bridge)));
        let proxy = Proxy { way, dir, port, upstreams, bridge, envoy };
        wait_until(SOON, "the first answer", || proxy.get() == "one");
        proxy
    }

    fn parts(&self) -> Parts {
        Parts { way: self.way, ports: self.upstreams.each_ref().map(Upstream::port) }
    }

    fn put(&self, name: &str, text: &str) {
        files::put(self.dir.path(), name, text);
    }

    /// The answer of the listener; an error in words when there is none.
    fn get(&self) -> String {
        get(self.port)
    }

    #[track_caller]
    fn wait_for(&self, answer: &str, what: &str) {
        wait_until(SOON, what, || self.get() == answer);
    }

    /// Some requests more under the present configuration.
    #[track_caller]
    fn some_more(&self, load: &Load) {
        let enough = load.requests() + 50;
        wait_until(SOON, "more requests", || load.requests() >= enough);
    }
}

fn get(port: u16) -> String {
    http::get(port, "/").map_or_else(|e| e.to_string(), |response| response.body)
}

#[track_caller]
fn assert_clean(tally: &Tally, proxy: &Proxy, what: &str) {
    let log = proxy.bridge.log();
    assert_eq!(tally.failures(), 0, "{what}, {:?}: {tally:?}\n{log}", proxy.way);
    // No gate was opened by a deadline: nobody waited for nothing.
    assert!(!log.contains("has not answered"), "{what}, {:?}: {log}", proxy.way);
}

/// The pieces of which fragments are made.
struct Parts {
    way: Way,
    ports: [u16; 2],
}

impl Parts {
    fn listener(&self, name: &str, port: u16, route: &str) -> String {
        let source = self.way.source();
        let routes = format!("rds: {{route_config_name: {route}, config_source: {source}}}");
        http_listener(name, port, &routes, "")
    }

    /// Clusters with their endpoints, each at one of the upstreams.
    fn clusters(&self, clusters: &[(&str, usize)]) -> String {
        let source = self.way.source();
        let mut text = String::from("clusters:\n");
        for (name, _) in clusters {
            writeln!(
                text,
                "- {{name: {name}, type: EDS, connect_timeout: 1s, eds_cluster_config: {{eds_config: {source}}}}}"
            )
            .expect("texts take everything");
        }
        text.push_str("endpoints:\n");
        for (name, upstream) in clusters {
            writeln!(
                text,
                "- {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{}]}}]}}",
                self.at(*upstream)
            )
            .expect("texts take everything");
        }
        text
    }

    fn at(&self, upstream: usize) -> String {
        let port = self.ports[upstream];
        format!("{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}")
    }

    /// A cluster that finds its endpoint by name.
    fn dns_cluster(&self, name: &str, upstream: usize) -> String {
        let port = self.ports[upstream];
        format!(
            "clusters:
- name: {name}
  type: STRICT_DNS
  connect_timeout: 1s
  dns_lookup_family: V4_ONLY
  load_assignment:
    cluster_name: {name}
    endpoints:
    - lb_endpoints:
      - endpoint: {{address: {{socket_address: {{address: localhost, port_value: {port}}}}}}}
"
        )
    }
}

/// A route configuration whose requests go to one cluster, or by weight to several.
fn routes(name: &str, clusters: &[&str]) -> String {
    format!("routes:\n- {{name: {name}, {}}}\n", hosts(clusters))
}

fn hosts(clusters: &[&str]) -> String {
    let target = match clusters {
        [one] => format!("cluster: {one}"),
        several => {
            let weights = several.iter().map(|name| format!("{{name: {name}, weight: 1}}"));
            format!("weighted_clusters: {{clusters: [{}]}}", weights.collect::<Vec<_>>().join(", "))
        }
    };
    format!(
        "virtual_hosts: [{{name: v, domains: ['*'], routes: [{{match: {{prefix: /}}, route: {{{target}}}}}]}}]"
    )
}

/// One file that holds a cluster, its endpoints and the route to it.
fn service(parts: &Parts, n: usize) -> String {
    let name = format!("c{n}");
    format!("{}{}", parts.clusters(&[(&name, n % 2)]), routes("r", &[&name]))
}

const ANSWERS: [&str; 2] = ["one", "two"];

fn renames(version: &str, way: Way, count: usize) {
    let proxy = Proxy::start(version, way, |parts| vec![("service.yaml", service(parts, 0))]);
    let load = Load::start(proxy.port, "/", 4);
    for n in 1..=count {
        proxy.put("service.yaml", &service(&proxy.parts(), n));
        proxy.wait_for(ANSWERS[n % 2], "the renamed cluster to be used");
    }
    proxy.some_more(&load);
    let tally = load.stop();
    assert_clean(&tally, &proxy, "renames");
    assert_eq!(proxy.envoy.stat("cluster_manager.warming_clusters"), 0);
    wait_until(SOON, "the old clusters to go", || proxy.envoy.clusters().len() == 2);
}

#[test]
fn a_cluster_is_renamed_two_hundred_times_ads_delta_newest() {
    renames(NEWEST, AdsDelta, 200);
}

#[test]
fn a_cluster_is_renamed_two_hundred_times_ads_sotw_newest() {
    renames(NEWEST, AdsSotw, 200);
}

#[test]
fn a_cluster_is_renamed_two_hundred_times_single_delta_newest() {
    renames(NEWEST, SingleDelta, 200);
}

#[test]
fn a_cluster_is_renamed_two_hundred_times_single_sotw_newest() {
    renames(NEWEST, SingleSotw, 200);
}

#[test]
fn a_cluster_is_renamed_many_times_oldest() {
    for way in [AdsDelta, AdsSotw, SingleDelta, SingleSotw] {
        renames(OLDEST, way, 50);
    }
}

/// Renames that nobody waits for: many come while one is on its way.
#[test]
fn renames_faster_than_an_envoy_can_follow_drop_nothing() {
    for (version, way) in
        [(NEWEST, AdsDelta), (NEWEST, AdsSotw), (NEWEST, SingleSotw), (OLDEST, AdsDelta), (OLDEST, AdsSotw)]
    {
        let proxy = Proxy::start(version, way, |parts| vec![("service.yaml", service(parts, 0))]);
        let load = Load::start(proxy.port, "/", 4);
        for n in 1..=301 {
            proxy.put("service.yaml", &service(&proxy.parts(), n));
            std::thread::sleep(Duration::from_millis(2));
        }
        proxy.wait_for("two", "the last name to be used");
        proxy.some_more(&load);
        assert_clean(&load.stop(), &proxy, "fast renames");
        wait_until(SOON, "the old clusters to go", || proxy.envoy.clusters().len() == 2);
    }
}

fn two_files(version: &str, way: Way, clusters_first: bool) {
    let proxy = Proxy::start(version, way, |parts| {
        vec![("clusters.yaml", parts.clusters(&[("c0", 0)])), ("routes.yaml", routes("r", &["c0"]))]
    });
    let load = Load::start(proxy.port, "/", 4);
    for n in 1..=10 {
        let name = format!("c{n}");
        let clusters = ("clusters.yaml", proxy.parts().clusters(&[(&name, n % 2)]));
        let routes = ("routes.yaml", routes("r", &[&name]));
        let (first, second) = if clusters_first { (clusters, routes) } else { (routes, clusters) };
        proxy.put(first.0, &first.1);
        // As one who writes one file and then the other.
        std::thread::sleep(Duration::from_millis(100));
        proxy.put(second.0, &second.1);
        proxy.wait_for(ANSWERS[n % 2], "the renamed cluster to be used");
    }
    proxy.some_more(&load);
    assert_clean(&load.stop(), &proxy, if clusters_first { "clusters first" } else { "routes first" });
    wait_until(SOON, "the old clusters to go", || proxy.envoy.clusters().len() == 2);
}

#[test]
fn a_cluster_and_its_route_in_two_files_a_moment_apart_drop_nothing() {
    for clusters_first in [true, false] {
        for way in [AdsDelta, SingleSotw] {
            two_files(NEWEST, way, clusters_first);
        }
        two_files(OLDEST, AdsSotw, clusters_first);
    }
}

#[test]
fn clusters_are_split_and_merged_without_a_dropped_request() {
    for (version, way) in [(NEWEST, AdsDelta), (NEWEST, AdsSotw), (OLDEST, AdsDelta), (NEWEST, SingleDelta)] {
        let proxy = Proxy::start(version, way, |parts| {
            vec![("all.yaml", format!("{}{}", parts.clusters(&[("whole", 0)]), routes("r", &["whole"])))]
        });
        let load = Load::start(proxy.port, "/", 4);
        for n in 0..10 {
            let halves = [format!("half{n}a"), format!("half{n}b")];
            let [a, b] = halves.each_ref().map(String::as_str);
            let split = format!("{}{}", proxy.parts().clusters(&[(a, 1), (b, 1)]), routes("r", &[a, b]));
            proxy.put("all.yaml", &split);
            proxy.wait_for("two", "the halves to be used");
            let whole = format!("{}{}", proxy.parts().clusters(&[("whole", 0)]), routes("r", &["whole"]));
            proxy.put("all.yaml", &whole);
            proxy.wait_for("one", "the whole to be used");
        }
        proxy.some_more(&load);
        assert_clean(&load.stop(), &proxy, "splits and merges");
    }
}

#[test]
fn a_route_moves_from_one_listener_to_another_without_a_dropped_request() {
    for (version, way) in [(NEWEST, AdsDelta), (OLDEST, AdsSotw)] {
        let other = free_port();
        let proxy = Proxy::start(version, way, |parts| {
            vec![
                ("clusters.yaml", parts.clusters(&[("a", 0), ("b", 1)])),
                ("moving.yaml", format!("{}\n{}", parts.listener("other", other, "s"), routes("r", &["a"]))),
                ("routes.yaml", routes("s", &["b"])),
            ]
        });
        wait_until(SOON, "the other listener", || get(other) == "two");
        let loads = [proxy.port, other].map(|port| Load::start(port, "/", 2));
        for n in 0..10 {
            // The two listeners change places with their route configurations.
            let (here, there) = if n % 2 == 0 { ("s", "r") } else { ("r", "s") };
            let parts = proxy.parts();
            proxy.put("listener.yaml", &parts.listener("front", proxy.port, here));
            proxy.put(
                "moving.yaml",
                &format!("{}\n{}", parts.listener("other", other, there), routes("r", &["a"])),
            );
            proxy.wait_for(ANSWERS[(n + 1) % 2], "the listener to have the other routes");
            wait_until(SOON, "the other listener to have the other routes", || get(other) == ANSWERS[n % 2]);
        }
        for load in loads {
            proxy.some_more(&load);
            assert_clean(&load.stop(), &proxy, "moves");
        }
    }
}

#[test]
fn a_cluster_of_endpoints_becomes_one_of_names_and_back_without_a_dropped_request() {
    for (version, way) in [(NEWEST, AdsDelta), (NEWEST, AdsSotw), (OLDEST, AdsDelta), (NEWEST, SingleSotw)] {
        let proxy = Proxy::start(version, way, |parts| {
            vec![("service.yaml", parts.clusters(&[("c", 0)])), ("routes.yaml", routes("r", &["c"]))]
        });
        let load = Load::start(proxy.port, "/", 4);
        for _ in 0..5 {
            proxy.put("service.yaml", &proxy.parts().dns_cluster("c", 1));
            proxy.wait_for("two", "the cluster of names");
            proxy.put("service.yaml", &proxy.parts().clusters(&[("c", 0)]));
            proxy.wait_for("one", "the cluster of endpoints");
        }
        // Under a new name, too: a route to it must not go out before it is warm.
        for n in 0..5 {
            let name = format!("n{n}");
            let text = format!("{}{}", proxy.parts().dns_cluster(&name, 1), routes("s", &[&name]));
            proxy.put("extra.yaml", &text);
            proxy.put("routes.yaml", &routes("r", &[&name]));
            proxy.wait_for("two", "the new cluster of names");
            proxy.put("routes.yaml", &routes("r", &["c"]));
            proxy.wait_for("one", "the old cluster");
        }
        proxy.some_more(&load);
        assert_clean(&load.stop(), &proxy, "STRICT_DNS and back");
    }
}

#[test]
fn a_refused_listener_leaves_the_old_one_serving_and_a_mended_one_takes_over() {
    for (version, way) in [(NEWEST, AdsDelta), (NEWEST, AdsSotw), (OLDEST, SingleDelta), (OLDEST, SingleSotw)]
    {
        let proxy = Proxy::start(version, way, |parts| vec![("service.yaml", service(parts, 0))]);
        let good = proxy.parts().listener("front", proxy.port, "r");
        let load = Load::start(proxy.port, "/", 4);
        let rejected = || proxy.envoy.stat("listener_manager.lds.update_rejected");
        // No machine has this address: it is for documentation.
        proxy.put("listener.yaml", &good.replace("address: 127.0.0.1,", "address: 192.0.2.1,"));
        wait_until(SOON, "the refusal", || rejected() == 1);
        for n in 1..4 {
            proxy.put("service.yaml", &service(&proxy.parts(), n));
            proxy.wait_for(ANSWERS[n % 2], "other changes to go on");
        }
        assert_eq!(rejected(), 1, "it was sent again, {version} {way:?}");
        let elsewhere = free_port();
        proxy.put("listener.yaml", &proxy.parts().listener("front", elsewhere, "r"));
        wait_until(SOON, "the mended listener", || get(elsewhere) == "two");
        assert_eq!(rejected(), 1);
        // The old address is left as any listener is that moves away.
        let tally = load.stop();
        let bad: u64 = tally.statuses.iter().filter(|(status, _)| **status != 200).map(|(_, n)| n).sum();
        assert_eq!(bad, 0, "{tally:?}");
    }
}

#[test]
fn an_endpoint_cluster_changed_fifty_times_in_a_row_never_stays_in_warming() {
    for (version, way) in [
        (NEWEST, AdsDelta),
        (NEWEST, AdsSotw),
        (NEWEST, SingleDelta),
        (NEWEST, SingleSotw),
        (OLDEST, AdsDelta),
        (OLDEST, AdsSotw),
    ] {
        let proxy = Proxy::start(version, way, |parts| {
            vec![("service.yaml", parts.clusters(&[("c", 0)])), ("routes.yaml", routes("r", &["c"]))]
        });
        let load = Load::start(proxy.port, "/", 2);
        let modified = || proxy.envoy.stat("cluster_manager.cluster_modified");
        for n in 1..=50 {
            let text = proxy.parts().clusters(&[("c", 0)]);
            let before = modified();
            proxy.put(
                "service.yaml",
                &text.replace("connect_timeout: 1s", &format!("connect_timeout: {}s", n + 1)),
            );
            if n % 2 == 0 {
                wait_until(SOON, "the changed cluster to be active", || modified() > before);
            }
        }
        wait_until(SOON, "the last change to be active", || {
            let dump = proxy.envoy.admin("/config_dump?resource=dynamic_active_clusters");
            dump.contains("\"connect_timeout\": \"51s\"")
        });
        wait_until(SOON, "warming to end", || proxy.envoy.stat("cluster_manager.warming_clusters") == 0);
        assert_clean(&load.stop(), &proxy, "a changing cluster");
    }
}

/// A listener that is replaced is drained: connections of before keep the routes of before until Envoy is done with
/// that (`--drain-time-s`). As long as that takes, `--drain` of the bridge keeps the old cluster.
fn renames_with_the_listener(version: &str, way: Way, all: impl Fn(&Parts, u16, usize) -> String) {
    let dir = tempfile::tempdir().expect("a folder for temporary files");
    let upstreams = ["one", "two"].map(Upstream::start);
    let port = free_port();
    let parts = Parts { way, ports: upstreams.each_ref().map(Upstream::port) };
    files::put(dir.path(), "all.yaml", &all(&parts, port, 0));
    // Longer than Envoy's, which begins a little later: with the ACK's way through its threads.
    let bridge = Bridge::serve_with(dir.path(), Address::Tcp(free_port()), &["--drain", "3s"]);
    let envoy = Envoy::start_with(version, &way.bootstrap(&bridge), &["--drain-time-s", "1"]);
    wait_until(SOON, "the first answer", || get(port) == "one");
    let load = Load::start(port, "/", 4);
    for n in 1..=5 {
        files::put(dir.path(), "all.yaml", &all(&parts, port, n));
        wait_until(SOON, "the new routes", || get(port) == ANSWERS[n % 2]);
    }
    assert!(envoy.clusters().len() > 2, "the old clusters wait for the connections of before");
    wait_until(SOON, "the old clusters to go", || envoy.clusters().len() == 2);
    let tally = load.stop();
    assert_eq!(tally.failures(), 0, "Envoy {version}, {way:?}: {tally:?}");
    assert!(tally.bodies["one"] > 0 && tally.bodies["two"] > 0, "{tally:?}");
}

#[test]
fn a_cluster_renamed_with_the_routes_within_its_listener_drops_nothing() {
    for (version, way) in [(NEWEST, AdsDelta), (OLDEST, AdsSotw)] {
        renames_with_the_listener(version, way, |parts, port, n| {
            let name = format!("c{n}");
            let routes = format!("route_config: {{name: inline, {}}}", hosts(&[&name]));
            format!("{}{}", parts.clusters(&[(&name, n % 2)]), http_listener("front", port, &routes, ""))
        });
    }
}

#[test]
fn a_cluster_renamed_with_the_route_configuration_that_a_listener_names_drops_nothing() {
    for (version, way) in [(NEWEST, AdsDelta), (OLDEST, AdsSotw)] {
        renames_with_the_listener(version, way, |parts, port, n| {
            let (cluster, config) = (format!("c{n}"), format!("r{n}"));
            let clusters = parts.clusters(&[(&cluster, n % 2)]);
            format!("{clusters}{}{}", routes(&config, &[&cluster]), parts.listener("front", port, &config))
        });
    }
}
