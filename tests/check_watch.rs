//! `check --watch` and `check -` as commands.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::files::put;
use common::process::Process;

const GOOD: &str = "clusters:\n- name: a\n";
const BAD: &str = "clusters:\n- nam: a\n";

/// A change is seen within a blink; a machine under load may take longer.
const SOON: Duration = Duration::from_secs(30);

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_xds-bridge"))
}

fn interrupt(process: &Process) {
    let kill = format!("kill -INT {}", process.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().is_ok_and(|status| status.success()));
}

#[test]
fn every_change_is_checked_and_the_last_result_counts() {
    for (last, code) in [(GOOD, 0), (BAD, 1)] {
        let dir = tempfile::tempdir().expect("writable");
        let (config, log) = (dir.path().join("config.d"), dir.path().join("log"));
        put(&config, "a.yaml", if code == 0 { BAD } else { GOOD });
        let mut command = program();
        command.args(["check", "--watch"]).arg(&config);
        let mut process = Process::start("check --watch", &mut command, &log);
        process.wait_for_line(SOON, 0, if code == 0 { "2 errors" } else { "1 file, 1 resource: no errors" });
        put(&config, "a.yaml", last);
        process.wait_for_line(SOON, 0, if code == 0 { "no errors" } else { "2 errors" });
        let seen = process.log().len();
        put(&config, "b.yaml", "clusters:\n- name: b\n");
        process.wait_for_line(SOON, seen, "2 files");
        interrupt(&process);
        common::wait_until(SOON, "the end after SIGINT", || process.ended().is_some());
        assert_eq!(process.ended().and_then(|status| status.code()), Some(code), "{}", process.log());
        assert!(!process.log().contains('\x1b'), "a file is no terminal: {}", process.log());
    }
}

#[test]
fn what_is_not_there_ends_a_watch_as_it_ends_a_check() {
    let output = program().args(["check", "--watch", "-"]).stdin(Stdio::null()).output().expect("built");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--watch needs files"));
}

#[test]
fn a_fragment_may_come_through_a_pipe() {
    for (name, text, code) in [("-", GOOD, 0), ("/dev/stdin", BAD, 1), ("/dev/fd/0", GOOD, 0)] {
        let mut command = program();
        command.args(["check", name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("built");
        child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads all");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(code), "{name}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.contains("--> /dev/stdin:2:3"), code == 1, "{said}");
    }
}
