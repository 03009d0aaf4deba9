//! The daemon under test, as a process of its own.
//!
//! Comes in: a folder of fragments. Goes out: a running `xds-bridge serve` that accepts connections,
//! restartable on the same address, and the output of its other commands.

use std::ffi::OsStr;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};

use tempfile::TempDir;

use super::process::Process;
use super::{SOON, free_port, wait_until};

/// Where it serves xDS.
#[derive(Clone, Debug)]
pub enum Address {
    /// On this port of 127.0.0.1.
    Tcp(u16),
    /// On this unix socket.
    Unix(PathBuf),
}

impl Address {
    fn accepts(&self) -> bool {
        match self {
            Address::Tcp(port) => TcpStream::connect(("127.0.0.1", *port)).is_ok(),
            Address::Unix(path) => UnixStream::connect(path).is_ok(),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp(port) => write!(f, "127.0.0.1:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The program with nothing of this machine's environment that could change what it does.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xds-bridge"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("XDS_BRIDGE_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command of the program to its end.
pub fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    program().args(args).output().expect("the program was built with this test")
}

/// A running daemon; killed when dropped.
pub struct Bridge {
    address: Address,
    config: PathBuf,
    /// Further flags of `serve`.
    flags: Vec<String>,
    process: Process,
    /// Holds its log and its working directory.
    home: TempDir,
}

impl Bridge {
    /// Serves `config` on a free port of 127.0.0.1.
    pub fn serve(config: &Path) -> Bridge {
        Bridge::serve_on(config, Address::Tcp(free_port()))
    }

    /// Serves `config` on `address`, and waits until connections are accepted there.
    pub fn serve_on(config: &Path, address: Address) -> Bridge {
        Bridge::serve_with(config, address, &[])
    }

    /// The same with further flags.
    pub fn serve_with(config: &Path, address: Address, flags: &[&str]) -> Bridge {
        let home = tempfile::tempdir().expect("the folder for temporary files is writable");
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        let mut process = spawn(config, &address, &flags, home.path());
        wait_until_accepting(&mut process, &address, &flags);
        Bridge { address, config: config.to_owned(), flags, process, home }
    }

    /// Starts it again after it was killed or terminated: same fragments, same address.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(&self.config, &self.address, &self.flags, self.home.path());
        wait_until_accepting(&mut self.process, &self.address, &self.flags);
    }

    /// Asks it to end (SIGTERM) and waits for that.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.terminate(SOON)
    }

    /// Ends it as a power cut would (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Its resident memory in bytes.
    #[track_caller]
    pub fn memory(&self) -> u64 {
        self.process.memory()
    }

    /// Everything it has logged, over restarts too.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits for a log line that holds `needle` behind the first `from` bytes of the log; returns it.
    #[track_caller]
    pub fn wait_for_line(&mut self, from: usize, needle: &str) -> String {
        self.process.wait_for_line(SOON, from, needle)
    }

    /// Where it serves.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The bootstrap that it prints for an Envoy with this node id and cluster.
    #[track_caller]
    pub fn bootstrap(&self, node_id: &str, node_cluster: &str) -> String {
        let address = self.address.to_string();
        let admin = free_port().to_string();
        let args = ["bootstrap", "--xds", &address, "--admin-port", &admin];
        let node = ["--node-id", node_id, "--node-cluster", node_cluster];
        let output = run(args.iter().chain(&node));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`bootstrap` failed ({}):\n{errors}", output.status);
        String::from_utf8(output.stdout).expect("a bootstrap is text")
    }
}

fn spawn(config: &Path, address: &Address, flags: &[String], home: &Path) -> Process {
    let mut command = program();
    // The usual admin address is one for the whole machine; a flag is stronger than this.
    command.env("XDS_BRIDGE_ADMIN", "none");
    command.arg("serve").arg("--config-dir").arg(config).arg("--listen").arg(address.to_string());
    command.args(flags);
    command.current_dir(home);
    Process::start("xds-bridge", &mut command, &home.join("log"))
}

/// The admin address among flags.
fn admin_of(flags: &[String]) -> Option<Address> {
    let at = flags.iter().position(|flag| flag == "--admin")?;
    let address = flags.get(at + 1)?.split(',').next()?;
    match address.strip_prefix("unix:") {
        Some(path) => Some(Address::Unix(path.into())),
        None => address.rsplit_once(':')?.1.parse().ok().map(Address::Tcp),
    }
}

/// Waits for both addresses: the admin address is there a moment later.
#[track_caller]
fn wait_until_accepting(process: &mut Process, address: &Address, flags: &[String]) {
    for address in [Some(address.clone()), admin_of(flags)].into_iter().flatten() {
        wait_until(SOON, &format!("the daemon to accept connections on {address}"), || {
            process.assert_alive();
            address.accepts()
        });
    }
}
