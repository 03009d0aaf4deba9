//! Scoped routes: real Envoys while scopes take each other's keys, and requests that must find their routes.

mod common;

use common::bridge::{Address, Bridge};
use common::envoy::{Envoy, VERSIONS};
use common::fragments::http_listener;
use common::upstream::Upstream;
use common::{SOON, files, free_port, wait_until};
use tempfile::TempDir;

const ADS: &str = "{resource_api_version: V3, ads: {}}";

/// A listener whose scopes are found by the header `x-scope`.
fn listener(port: u16) -> String {
    let routes = format!(
        "scoped_routes:
          name: scopes
          scope_key_builder: {{fragments: [{{header_value_extractor: {{name: x-scope, index: 0}}}}]}}
          rds_config_source: {ADS}
          scoped_rds: {{scoped_rds_config_source: {ADS}}}"
    );
    http_listener("front", port, &routes, "")
}

/// Scopes of one name, key and cluster each; their answers tell the name. Clusters that resolve a name are slow.
fn scopes(upstream: &Upstream, list: &[(&str, &str, &str)]) -> String {
    let scope = |(name, key, cluster): &(&str, &str, &str)| {
        format!(
            "- {{name: {name}, key: {{fragments: [{{string_key: {key}}}]}}, route_configuration: {{name: of-{name}, \
             response_headers_to_add: [{{header: {{key: x-name, value: {name}}}}}], virtual_hosts: [{{name: all, \
             domains: ['*'], routes: [{{match: {{prefix: /}}, route: {{cluster: {cluster}}}}}]}}]}}}}\n"
        )
    };
    let cluster = |name: &str, ty: &str, host: &str| {
        format!(
            "- {{name: {name}, type: {ty}, dns_lookup_family: V4_ONLY, load_assignment: {{cluster_name: {name}, \
             endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {host}, port_value: {}}}}}}}}}]}}]}}}}\n",
            upstream.port()
        )
    };
    let slow = list.iter().filter(|(.., cluster)| *cluster != "here");
    let clusters: String = slow.map(|(.., name)| cluster(name, "STRICT_DNS", "localhost")).collect();
    let here = cluster("here", "STATIC", "127.0.0.1");
    format!("scoped_routes:\n{}clusters:\n{here}{clusters}", list.iter().map(scope).collect::<String>())
}

/// Who answers for a key: the name of a scope, or the status of a failure.
fn finds(port: u16, key: &str) -> String {
    let found = get(port, key);
    found.unwrap_or_else(|error| error.to_string())
}

fn get(port: u16, key: &str) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(SOON))?;
    write!(stream, "GET / HTTP/1.1\r\nhost: h\r\nx-scope: {key}\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let name = text.lines().find_map(|line| line.strip_prefix("x-name: "));
    Ok(name.or_else(|| text.split(' ').nth(1)).unwrap_or("nothing").to_owned())
}

struct World {
    dir: TempDir,
    upstream: Upstream,
    port: u16,
    envoy: Envoy,
    _bridge: Bridge,
}

impl World {
    fn start(version: &str, sotw: bool, list: &[(&str, &str, &str)]) -> World {
        let dir = tempfile::tempdir().expect("a folder for temporary files");
        let (port, upstream) = (free_port(), Upstream::start("here"));
        files::put(dir.path(), "listener.yaml", &listener(port));
        files::put(dir.path(), "scopes.yaml", &scopes(&upstream, list));
        let bridge = Bridge::serve_on(dir.path(), Address::Tcp(free_port()));
        let bootstrap = bridge.bootstrap("edge-1", "edge");
        let bootstrap = if sotw { bootstrap.replace("DELTA_GRPC", "GRPC") } else { bootstrap };
        let envoy = Envoy::start_ready(version, &bootstrap);
        let world = World { dir, upstream, port, envoy, _bridge: bridge };
        world.wait(list);
        world
    }

    /// One change to these; meanwhile a key that `stays` finds somebody at every moment.
    fn change(&self, list: &[(&str, &str, &str)], stays: &str) {
        files::put(self.dir.path(), "scopes.yaml", &scopes(&self.upstream, list));
        wait_until(SOON, "the change", || {
            let found = finds(self.port, stays);
            assert!(stays.is_empty() || found.starts_with('s'), "{stays} finds {found}");
            list.iter().all(|(name, key, _)| finds(self.port, key) == *name)
        });
    }

    fn wait(&self, list: &[(&str, &str, &str)]) {
        wait_until(SOON, "the first scopes", || {
            list.iter().all(|(name, key, _)| finds(self.port, key) == *name)
        });
    }

    /// How many updates of scopes the Envoy took, and how many it refused.
    fn updates(&self) -> [u64; 2] {
        ["success", "rejected"]
            .map(|what| self.envoy.stat(&format!("http.front.scoped_rds.scopes.update_{what}")))
    }
}

#[test]
fn rule_22_scopes_that_take_each_others_keys_lose_none() {
    for (version, sotw) in VERSIONS.into_iter().flat_map(|version| [(version, false), (version, true)]) {
        let world = World::start(version, sotw, &[("s2", "a", "here")]);
        // Another takes the key, and the one that had it waits for its new cluster: in either order of names.
        world.change(&[("s2", "b", "slow-1"), ("s1", "a", "here")], "a");
        world.change(&[("s2", "b", "here"), ("s1", "c", "slow-2"), ("s3", "a", "here")], "b");
        // In circles, of two and of three.
        world.change(&[("s2", "c", "here"), ("s1", "b", "here"), ("s3", "a", "here")], "a");
        world.change(&[("s2", "a", "here"), ("s1", "c", "slow-3"), ("s3", "b", "here")], "");
        // A rename.
        world.change(&[("s9", "a", "here"), ("s0", "c", "here"), ("s3", "b", "here")], "b");
        let [taken, refused] = world.updates();
        assert!(taken >= 5 && refused == 0, "Envoy {version} took {taken} updates and refused {refused}");
    }
}
