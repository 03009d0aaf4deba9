//! A child process with its output in a file: what is waited for in it, and how it ends.
//!
//! Comes in: a command. Goes out: its log so far, and its end. Keeps the invariant that no child
//! outlives its test, and that a failing test shows the last lines of each of its children.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::{wait_for, wait_until};

/// How much of a log is shown when a test fails.
const TAIL_LINES: usize = 60;

/// A running child; killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; stdout and stderr are appended to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Process {
        Process::start_with(name, command, log, Stdio::null())
    }

    /// The same with this as its standard input.
    pub fn start_with(name: &str, command: &mut Command, log: &Path, stdin: Stdio) -> Process {
        let open = || File::options().create(true).append(true).open(log);
        let stdout = open().unwrap_or_else(|e| panic!("cannot write {}: {e}", log.display()));
        let stderr = open().unwrap_or_else(|e| panic!("cannot write {}: {e}", log.display()));
        let child = command
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {name} ({command:?}): {e}"));
        Process { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory in bytes, all of it that is its own.
    #[track_caller]
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        1024 * kilobytes.expect("the kernel tells the memory of a process")
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits for a log line that holds `needle`, counting from byte `from` of the log; returns it.
    #[track_caller]
    pub fn wait_for_line(&mut self, bound: Duration, from: usize, needle: &str) -> String {
        let what = format!("a line of {} with {needle:?}", self.name);
        wait_for(bound, &what, || {
            let ended = self.ended();
            let log = self.log();
            let found = log.get(from..).unwrap_or_default().lines().find(|line| line.contains(needle));
            assert!(found.is_some() || ended.is_none(), "{} ended early: {ended:?}\n{log}", self.name);
            found.map(str::to_owned)
        })
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child of ours can be asked")
    }

    /// Panics with its log if it has ended: for conditions that only a living child can meet.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        let ended = self.ended();
        assert!(ended.is_none(), "{} ended early: {ended:?}\n{}", self.name, self.tail());
    }

    /// Sends SIGTERM and waits for the end.
    #[track_caller]
    pub fn terminate(&mut self, bound: Duration) -> ExitStatus {
        self.signal("TERM");
        let what = format!("the end of {} after SIGTERM", self.name);
        wait_until(bound, &what, || self.ended().is_some());
        self.ended().expect("it has just been seen to have ended")
    }

    /// Sends a signal, such as `HUP`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        // Through the shell's own `kill`: std has no signals, and unsafe code is forbidden here.
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIG{name} to {}", self.name);
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(&mut self) {
        // An error means that it has ended by itself, and `wait` then returns at once.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the log of a failed test is for the person who reads it")]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- last lines of {}:\n{}\n---", self.name, self.tail());
        }
    }
}
