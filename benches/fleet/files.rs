//! The fragments: clusters with their endpoints in equal files, and one listener with its routes.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// A directory of fragments that the benchmark changes.
pub struct Files {
    dir: PathBuf,
    /// Where new content is written before it is renamed into place; on the same disk.
    aside: PathBuf,
    per_file: usize,
    /// How often each cluster's endpoint was changed.
    generations: Vec<u16>,
}

impl Files {
    /// Writes them all.
    pub fn create(root: &Path, clusters: usize, per_file: usize) -> Files {
        let (dir, aside) = (root.join("config.d"), root.join("aside"));
        for path in [&dir, &aside] {
            fs::create_dir_all(path).expect("a temporary directory is writable");
        }
        let files = Files { dir, aside, per_file, generations: vec![0; clusters] };
        for file in 0..files.count() {
            fs::write(files.path(file), files.text(file)).expect("it is writable");
        }
        fs::write(files.dir.join("edge.yaml"), EDGE).expect("it is writable");
        files
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many files hold clusters.
    pub fn count(&self) -> usize {
        self.generations.len().div_ceil(self.per_file)
    }

    /// Size of all files, in bytes.
    pub fn size(&self) -> u64 {
        (0..self.count()).map(|file| self.text(file).len() as u64).sum()
    }

    /// Changes one endpoint of a file; gives what is to be renamed, and to where.
    pub fn change(&mut self, file: usize, which: usize) -> (PathBuf, PathBuf) {
        let last = self.generations.len() - 1;
        let cluster = (file * self.per_file + which % self.per_file).min(last);
        self.generations[cluster] += 1;
        let new = self.aside.join(format!("f{file:06}.yaml"));
        fs::write(&new, self.text(file)).expect("it is writable");
        (new, self.path(file))
    }

    fn path(&self, file: usize) -> PathBuf {
        self.dir.join(format!("f{file:06}.yaml"))
    }

    fn text(&self, file: usize) -> String {
        let range = file * self.per_file..((file + 1) * self.per_file).min(self.generations.len());
        let mut text = String::from("clusters:\n");
        for cluster in range.clone() {
            let _ = write!(
                text,
                "- name: {name}\n  type: EDS\n  connect_timeout: 1s\n  lb_policy: LEAST_REQUEST\n  \
                 eds_cluster_config:\n    eds_config: {{ads: {{}}, resource_api_version: V3}}\n  \
                 circuit_breakers:\n    thresholds:\n    - max_connections: 1024\n      max_requests: 4096\n",
                name = name(cluster)
            );
        }
        text.push_str("endpoints:\n");
        for cluster in range {
            let _ = write!(
                text,
                "- cluster_name: {name}\n  endpoints:\n  - lb_endpoints:\n",
                name = name(cluster)
            );
            for host in 0..2 {
                let (a, b) = (cluster / 250, cluster % 250);
                let port = 8000 + self.generations[cluster] % 50_000 + host;
                let _ = writeln!(
                    text,
                    "    - endpoint: {{address: {{socket_address: {{address: 10.{}.{}.{b}, port_value: {port}}}}}}}",
                    a / 250,
                    a % 250,
                );
            }
        }
        text
    }
}

/// The name of a cluster and of its endpoints.
pub fn name(cluster: usize) -> String {
    format!("service-{cluster:06}")
}

/// The name of the one route configuration.
pub const ROUTES: &str = "edge";

const EDGE: &str = "\
listeners:
- name: edge
  address: {socket_address: {address: 0.0.0.0, port_value: 10000}}
  filter_chains:
  - filters:
    - name: envoy.filters.network.http_connection_manager
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: edge
        rds: {route_config_name: edge, config_source: {ads: {}, resource_api_version: V3}}
        http_filters:
        - name: envoy.filters.http.router
          typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
routes:
- name: edge
  virtual_hosts:
  - name: all
    domains: ['*']
    routes:
    - {match: {prefix: /}, route: {cluster: service-000000}}
";
