//! Who may connect, what they may have, and what they may cost: the real daemon against clients that are not
//! what they should be.
//!
//! Comes in: certificates made for the test, raw HTTP/2 frames, floods. Goes out: that the good client beside is
//! served all the while. docs/security.md lists what is tried here.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod certificates;
mod envoys;
mod floods;
mod raw;
mod renewals;

use std::path::{Path, PathBuf};

use common::bridge::{Address, program};
use common::process::Process;
use common::xds::{Client, Stream};
use common::{SOON, files};
use tempfile::TempDir;
use xds_bridge::resource::Kind;
use xds_bridge::serve::Variant;

/// A cluster that everybody receives.
const CLUSTER: &str = "clusters: [{ name: a, type: STATIC, connect_timeout: 1s }]\n";

/// A secret beside it.
const SECRET: &str = "secrets: [{ name: s, generic_secret: { secret: { inline_string: hunter2 } } }]\n";

/// A folder with certificates and fragments, before there is a daemon.
struct Home(TempDir);

impl Home {
    /// With a cluster for everybody.
    fn new() -> Home {
        let home = Home(tempfile::tempdir().expect("a folder for temporary files"));
        home.put("config.d/a.yaml", CLUSTER);
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn put(&self, name: &str, text: &str) {
        files::put(self.path(), name, text);
    }

    /// Starts `serve` there, with these flags after all others; paths in them may be relative. It is waited for
    /// what it serves.
    #[track_caller]
    fn serve(&self, flags: &[&str]) -> Daemon {
        let mut command = program();
        command.env("XDS_BRIDGE_ADMIN", "none").current_dir(self.path());
        command.arg("serve").args(flags);
        self.start(&mut command)
    }

    /// The same of a command that ends in such a `serve`.
    #[track_caller]
    fn start(&self, command: &mut std::process::Command) -> Daemon {
        let log = self.path().join("log");
        let before = std::fs::metadata(&log).map_or(0, |log| log.len() as usize);
        let process = Process::start("xds-bridge", command, &log);
        let mut daemon = Daemon { process, before, home: self.path().to_owned() };
        daemon.process.wait_for_line(SOON, before, "serving a new snapshot");
        daemon
    }
}

/// A running daemon.
struct Daemon {
    process: Process,
    /// Where its log begins, behind that of daemons before it.
    before: usize,
    home: PathBuf,
}

impl Daemon {
    /// Its addresses, in the order of `--listen`.
    fn addresses(&self) -> Vec<Address> {
        let told = self.lines("listening address=");
        let told = told.iter().filter_map(|line| line.split_once("address=")).map(|(_, address)| address);
        told.map(|address| match address.strip_prefix("unix:") {
            Some(path) => Address::Unix(self.home.join(path)),
            None => Address::Tcp(
                address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port"),
            ),
        })
        .collect()
    }

    /// The first of them.
    fn address(&self) -> Address {
        self.addresses().remove(0)
    }

    fn port(&self) -> u16 {
        match self.address() {
            Address::Tcp(port) => port,
            Address::Unix(path) => panic!("{} has no port", path.display()),
        }
    }

    /// Lines of its log that hold this.
    fn lines(&self, needle: &str) -> Vec<String> {
        self.process.log()[self.before..]
            .lines()
            .filter(|line| line.contains(needle))
            .map(str::to_owned)
            .collect()
    }

    /// A client on plain text is served.
    #[track_caller]
    fn serves(&self, address: &Address) {
        let client = Client::try_connect(address, None).expect("the daemon accepts connections");
        receives(&mut client.ads(Variant::Delta), "a");
    }
}

/// The stream is sent this cluster.
#[track_caller]
fn receives(stream: &mut Stream, cluster: &str) {
    stream.ask(Kind::Cluster, &[]);
    let answer = stream.take(Kind::Cluster);
    assert_eq!(answer.says(), [cluster]);
}
