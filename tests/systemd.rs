//! The daemon as a service: its units by systemd's own tools, sockets that are handed over, what it tells its
//! service manager, and how it ends.
//!
//! Comes in: `systemd/`, systemd-analyze, systemd-socket-activate (fetched by apt if missing), a NOTIFY_SOCKET of
//! the test's own. Goes out: that a service manager would see what it is to see.

mod common;

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::bridge::{Address, program};
use common::process::Process;
use common::xds::Client;
use common::{SOON, files, free_port, wait_until};
use tempfile::TempDir;
use tonic::Code;
use xds_bridge::resource::Kind;
use xds_bridge::serve::Variant::Delta;

const GOOD: &str = "clusters: [{ name: a, type: STATIC, connect_timeout: 1s }]\n";

/// A tool of systemd's; fetched when it is missing, and that fails the test when it cannot be had.
fn tool(name: &str) -> PathBuf {
    let found = || {
        let dirs = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&dirs).map(|dir| dir.join(name)).find(|path| path.is_file())
    };
    found().unwrap_or_else(|| {
        // A failure shows in that the tool is still missing.
        let _ = Command::new("apt-get").args(["install", "--yes", "--quiet", "systemd"]).output();
        found().unwrap_or_else(|| {
            panic!("{name} is missing and `apt-get install systemd` did not bring it: install systemd (252 or newer)")
        })
    })
}

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

/// The shipped units, with programs that are there in place of installed ones, in a folder that systemd-analyze
/// takes for its own.
fn installed() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder for temporary files");
    for name in files::list(&units()) {
        let text = files::read(&units(), &name)
            .replace("/usr/bin/xds-bridge", env!("CARGO_BIN_EXE_xds-bridge"))
            .replace("/usr/bin/envoy", "/bin/true");
        if name == "xds-bridge@.service" {
            files::put(dir.path(), "xds-bridge@edge.service", &text);
        }
        files::put(dir.path(), &name, &text);
    }
    dir
}

#[test]
fn the_units_are_what_systemd_takes_and_locked_down() {
    let dir = installed();
    let analyze = |args: &[&str], unit: &str| {
        let mut command = Command::new(tool("systemd-analyze"));
        command
            .args(args)
            .arg(dir.path().join(unit))
            .env("SYSTEMD_UNIT_PATH", format!("{}:", dir.path().display()));
        let output = command.output().expect("it is there");
        let text =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.success(), text)
    };
    for unit in ["xds-bridge.service", "xds-bridge.socket", "xds-bridge@edge.service", "envoy.service"] {
        let said = analyze(&["verify", "--man=no"], unit);
        assert_eq!(said, (true, String::new()), "{unit}");
    }
    for unit in ["xds-bridge.service", "xds-bridge@edge.service"] {
        let (fine, said) = analyze(&["security", "--offline=true", "--threshold=15"], unit);
        assert!(fine, "{unit} is exposed by more than 1.5:\n{said}");
    }
}

#[test]
fn the_template_is_the_service_but_for_its_places() {
    let own = |name: &str| {
        let text = files::read(&units(), name);
        let (_, service) = text.split_once("[Service]\n").expect("it is a service");
        let is_place = |line: &&str| {
            [
                "WorkingDirectory=",
                "Environment",
                "ConfigurationDirectory=",
                "StateDirectory=",
                "RuntimeDirectory",
            ]
            .iter()
            .any(|key| line.starts_with(key))
                || line.starts_with("LoadCredential=")
                || line.starts_with("Also=")
                || line.starts_with('#')
        };
        service.lines().filter(|line| !is_place(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(own("xds-bridge@.service"), own("xds-bridge.service"));
}

/// A folder with fragments, and a socket for what the daemon tells.
struct Home {
    dir: TempDir,
    socket: UnixDatagram,
    name: String,
}

impl Home {
    /// With a socket that has a path, or one in the abstract namespace.
    fn new(is_abstract: bool) -> Home {
        let dir = tempfile::tempdir().expect("a folder for temporary files");
        files::put(dir.path(), "config.d/a.yaml", GOOD);
        let path = dir.path().join("notify").display().to_string();
        let (socket, name) = if is_abstract {
            let address = SocketAddr::from_abstract_name(&path).expect("a name");
            (UnixDatagram::bind_addr(&address), format!("@{path}"))
        } else {
            (UnixDatagram::bind(&path), path)
        };
        let socket = socket.expect("the name is free");
        socket.set_read_timeout(Some(SOON)).expect("a timeout");
        Home { dir, socket, name }
    }

    fn serve(&self, environment: &[(&str, &str)], flags: &[&str]) -> Process {
        let mut command = program();
        command
            .env("XDS_BRIDGE_ADMIN", "none")
            .env("NOTIFY_SOCKET", &self.name)
            .envs(environment.iter().copied());
        command.current_dir(self.dir.path()).arg("serve").args(flags);
        self.start(&mut command)
    }

    fn start(&self, command: &mut Command) -> Process {
        Process::start("xds-bridge", command, &self.dir.path().join("log"))
    }

    /// The next message.
    #[track_caller]
    fn told(&self) -> String {
        let mut bytes = [0; 4096];
        let read = self.socket.recv(&mut bytes).expect("the daemon tells something");
        String::from_utf8(bytes[..read].to_vec()).expect("messages are text")
    }

    /// The next message that holds this.
    #[track_caller]
    fn told_of(&self, needle: &str) -> String {
        let start = Instant::now();
        loop {
            let told = self.told();
            if told.contains(needle) {
                return told;
            }
            assert!(start.elapsed() < SOON, "{needle} is not told, but {told}");
        }
    }
}

#[test]
fn a_service_manager_is_told_when_it_is_ready_how_it_stands_and_that_it_ends() {
    let home = Home::new(false);
    let port = free_port().to_string();
    let listen = format!("127.0.0.1:{port}");
    let mut process = home.serve(&[], &["--listen", &listen]);
    assert_eq!(home.told(), "READY=1\nSTATUS=serving 1 cluster to 0 clients\n", "it is the first message");
    assert!(TcpStream::connect(&listen).is_ok(), "ready means that its sockets are open");
    let client = Client::connect(&Address::Tcp(port.parse().expect("a port")));
    let mut stream = client.ads(Delta);
    stream.ask(Kind::Cluster, &[]);
    stream.take(Kind::Cluster);
    assert_eq!(home.told(), "STATUS=serving 1 cluster to 1 client\n");
    files::put(home.dir.path(), "config.d/b.yaml", "clusters: [{ nam: b }]\n");
    assert_eq!(
        home.told(),
        "STATUS=serving 1 cluster to 1 client; 1 fragment has errors and keeps its last good content\n"
    );
    process.signal("HUP");
    let told = home.told();
    let time = told
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .and_then(|time| time.trim_end().parse::<u64>().ok());
    assert!(time.is_some_and(|time| time > 0), "{told}");
    assert_eq!(home.told(), "READY=1\n");
    let status = process.terminate(SOON);
    assert!(status.success());
    assert!(home.told().starts_with("STOPPING=1\n"));
    assert_eq!(stream.expect_end().code(), Code::Unavailable);
}

#[test]
fn reloads_that_overlap_are_ready_when_the_last_is_done() {
    let home = Home::new(false);
    for n in 0..200 {
        let cluster = format!("clusters: [{{ name: c{n}, type: STATIC, connect_timeout: 1s }}]\n");
        files::put(home.dir.path(), &format!("config.d/{n}.yaml"), &cluster);
    }
    let mut process = home.serve(&[], &["--listen", "127.0.0.1:0"]);
    home.told_of("READY=1");
    let mut told = vec!["READY".to_owned()];
    // The first word of the next message about starts, reloads and the end.
    let next = || loop {
        let message = home.told();
        if !message.starts_with("STATUS=") {
            return message.split('=').next().unwrap_or_default().to_owned();
        }
    };
    for _ in 0..10 {
        process.signal("HUP");
        while {
            told.push(next());
            told.last().is_some_and(|word| word != "RELOADING")
        } {}
    }
    told.push(next());
    assert_eq!(told.last().map(String::as_str), Some("READY"), "{told:?}");
    assert!(process.terminate(SOON).success());
    assert_eq!(next(), "STOPPING", "{told:?}");
    let twice = told.windows(2).any(|pair| pair[0] == "READY" && pair[1] == "READY");
    assert!(!twice, "READY for what was not asked: {told:?}");
}

#[test]
fn a_start_that_cannot_serve_yet_is_ready_and_says_what_it_waits_for() {
    for (is_abstract, file, says) in [
        (true, "clusters: [{ nam: a }]\n", "not serving: a first start needs every fragment to be right"),
        (false, "x-nothing: 1\n", "waiting for the first fragment"),
    ] {
        let home = Home::new(is_abstract);
        files::put(home.dir.path(), "config.d/a.yaml", file);
        let mut process = home.serve(&[], &["--listen", "127.0.0.1:0"]);
        let told = home.told();
        assert!(told.starts_with("READY=1\nSTATUS=serving nothing") && told.contains(says), "{told}");
        process.signal("TERM");
        wait_until(SOON, "its end", || process.ended().is_some());
    }
}

#[test]
fn the_watchdog_is_fed_by_work_that_goes_on() {
    let home = Home::new(true);
    let _process =
        home.serve(&[("WATCHDOG_USEC", "400000")], &["--listen", "127.0.0.1:0", "--listen", "unix:x"]);
    home.told_of("READY=1");
    (0..5).for_each(|_| assert_eq!(home.told(), "WATCHDOG=1\n"));
    // Meant for another process.
    let home = Home::new(true);
    let environment = [("WATCHDOG_USEC", "400000"), ("WATCHDOG_PID", "1")];
    let _process = home.serve(&environment, &["--listen", "127.0.0.1:0"]);
    home.told_of("READY=1");
    home.socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    assert!(home.socket.recv(&mut [0; 64]).is_err(), "nobody asked for it");
}

#[test]
fn sockets_that_systemd_hands_over_are_used_by_their_names() {
    let home = Home::new(false);
    let (port, path) = (free_port(), home.dir.path().join("xds.sock"));
    let admin = home.dir.path().join("admin.sock");
    let mut command = Command::new(tool("systemd-socket-activate"));
    for (name, _) in program().get_envs() {
        command.env_remove(name);
    }
    command.current_dir(home.dir.path());
    command.arg(format!("--listen=127.0.0.1:{port}"));
    for path in [&path, &admin] {
        command.arg(format!("--listen={}", path.display()));
    }
    command.args(["--fdname=xds:xds:admin", env!("CARGO_BIN_EXE_xds-bridge"), "serve"]);
    let mut process = home.start(&mut command);
    // It starts the daemon with the first connection, which is then waiting.
    for address in [Address::Tcp(port), Address::Unix(path.clone())] {
        wait_until(SOON, "the sockets", || Client::try_connect(&address, None).is_ok());
        let mut stream = Client::try_connect(&address, None).expect("it just did").ads(Delta);
        stream.ask(Kind::Cluster, &[]);
        assert_eq!(stream.take(Kind::Cluster).says(), ["a"]);
    }
    let log = process.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("listening address=")).collect();
    assert_eq!(told.len(), 2, "those two and nothing else: {told:?}");
    let args = ["reload", "--admin", &format!("unix:{}", admin.display())];
    let output = program().args(args).output().expect("it was built with this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(process.terminate(SOON).success());
    assert!(path.exists() && admin.exists(), "whose sockets they are removes them");
}

/// Starts the daemon with a socket that this test goes on holding, as a service manager does.
fn with_socket(home: &Home, socket: &TcpListener) -> Process {
    let serve = format!(
        "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec {} serve",
        env!("CARGO_BIN_EXE_xds-bridge")
    );
    let mut command = Command::new("sh");
    for (name, _) in program().get_envs() {
        command.env_remove(name);
    }
    command.env("XDS_BRIDGE_ADMIN", "none").current_dir(home.dir.path()).args(["-c", &serve]);
    let socket = OwnedFd::from(socket.try_clone().expect("a socket can be doubled"));
    Process::start_with("xds-bridge", &mut command, &home.dir.path().join("log"), Stdio::from(socket))
}

#[test]
fn a_restart_under_a_socket_of_the_service_manager_refuses_no_connection() {
    let home = Home::new(false);
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = Address::Tcp(socket.local_addr().expect("it is bound").port());
    let served = || {
        let mut stream = Client::try_connect(&address, None).expect("nobody is refused").ads(Delta);
        stream.ask(Kind::Cluster, &[]);
        assert_eq!(stream.take(Kind::Cluster).says(), ["a"]);
    };
    let mut first = with_socket(&home, &socket);
    served();
    assert!(first.terminate(SOON).success());
    // Between the two this connects, and waits.
    let early = TcpStream::connect(socket.local_addr().expect("it is bound"));
    assert!(early.is_ok(), "{early:?}");
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(served);
        let second = with_socket(&home, &socket);
        waiting.join().expect("the one that waited is served");
        second
    });
    served();
    drop(waiting);
}

#[test]
fn what_is_handed_over_and_is_no_listening_socket_could_not_run() {
    let home = Home::new(false);
    let serve = format!(
        "exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec {} serve",
        env!("CARGO_BIN_EXE_xds-bridge")
    );
    let output =
        Command::new("sh").args(["-c", &serve]).current_dir(home.dir.path()).output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("LISTEN_FDS") && said.contains("ListenStream="), "{said}");
}

#[test]
fn the_end_takes_a_bounded_time_names_who_holds_on_and_a_second_signal_ends_at_once() {
    const WATCH: &str = "/grpc.health.v1.Health/Watch";
    let home = Home::new(false);
    for signals in [1, 2] {
        let mut process = home.serve(&[], &["--listen", "127.0.0.1:0"]);
        let before = process.log().len();
        home.told_of("READY=1");
        let log = process.log();
        let line = log.lines().rfind(|line| line.contains("listening address=")).expect("it listens");
        let port: u16 = line.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
        let client = Client::connect(&Address::Tcp(port));
        let mut stream = client.ads(Delta);
        stream.ask(Kind::Cluster, &[]);
        stream.take(Kind::Cluster);
        // Watching the health never ends by itself.
        let mut health = client.ask(WATCH, Vec::new()).expect("there is a health service");
        let mut next = || {
            let next =
                common::xds::runtime().block_on(async { tokio::time::timeout(SOON, health.message()).await });
            next.expect("an answer in time").ok().flatten().map(|bytes| bytes.to_vec())
        };
        // A client may have its clusters a moment before the health says so.
        let first = next();
        let serving = if first == Some(vec![8, 2]) { next() } else { first };
        assert_eq!(serving, Some(vec![8, 1]), "SERVING");
        process.signal("TERM");
        let status = stream.expect_end();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("connect again"), "{status:?}");
        assert_eq!(next(), Some(vec![8, 2]), "NOT_SERVING");
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nobody new is let in");
        if signals == 2 {
            process.signal("TERM");
        }
        wait_until(SOON, "its end", || process.ended().is_some());
        assert!(process.ended().is_some_and(|status| status.success()));
        let held =
            process.log()[before..].lines().filter(|line| line.contains("did not take the end")).count();
        assert_eq!(held, 2 - signals, "who holds on is named, unless nobody waits for them");
        if signals == 1 {
            assert!(process.log().contains("clients=\"127.0.0.1:"));
        }
    }
}
