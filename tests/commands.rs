//! The commands as people and scripts meet them: exit code, standard output, standard error.
//!
//! Comes in: a folder with files, arguments, environment. Goes out: how the program ended and what it
//! said. Holds the promise of the exit codes: 0 done, 1 findings, 2 could not run and one clear line.

mod common;

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use common::bridge::{Address, Bridge};
use common::free_port;
use tempfile::TempDir;

const GOOD: &str = "clusters:\n- name: a\n  connect_timeout: 1s\n";
const BAD: &str = "clusters:\n- name: a\n  conect_timeout: 1s\n";

/// A folder to run commands in.
struct Home(TempDir);

/// How a command ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Home {
    fn with(files: &[(&str, &str)]) -> Home {
        let home = Home(tempfile::tempdir().expect("the folder for temporary files is writable"));
        for (name, text) in files {
            let path = home.0.path().join(name);
            let parent = path.parent().expect("it was joined to one");
            fs::create_dir_all(parent).expect("a folder of our own is writable");
            fs::write(&path, text).expect("a folder of our own is writable");
        }
        home
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xds-bridge"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("XDS_BRIDGE_") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        ended(&mut self.command(args))
    }
}

fn ended(command: &mut Command) -> Ended {
    let output = command.output().expect("the program was built with this test");
    let text = |bytes| String::from_utf8(bytes).expect("people are told things in UTF-8");
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs `args`, and expects exit code 2, nothing on standard output and this on standard error.
#[track_caller]
fn could_not_run(home: &Home, args: &[&str], err: &str) {
    let ended = home.run(args);
    assert_eq!((ended.code, &*ended.out, &*ended.err), (Some(2), "", err), "{args:?}");
}

#[test]
fn check_of_good_fragments_ends_with_0_and_a_summary() {
    let home = Home::with(&[("config.d/a.yaml", GOOD), ("config.d/notes.txt", "no fragment")]);
    for args in [&["check"][..], &["check", "config.d"], &["check", "--deny", "warnings", "config.d/a.yaml"]]
    {
        let ended = home.run(args);
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{args:?}");
        assert_eq!(ended.out, "1 file, 1 resource: no errors\n", "{args:?}");
    }
}

#[test]
fn check_loads_a_file_once_that_is_given_with_its_folder_too() {
    let files =
        [("d/a.yaml", GOOD), ("d/sub/b.yaml", &GOOD.replace("name: a", "name: b")), ("d/.c.yaml", GOOD)];
    let home = Home::with(&files);
    for paths in [&["d/a.yaml", "d"][..], &["d", "./d/a.yaml"], &["d/sub", "d", "d/sub/b.yaml"]] {
        let ended = home.run(&[&["check"], paths].concat());
        assert_eq!((ended.code, &*ended.out), (Some(0), "2 files, 2 resources: no errors\n"), "{paths:?}");
    }
    // What the folder does not hold for us is a file of its own, and so the same name twice.
    assert_eq!(home.run(&["check", "d", "d/.c.yaml"]).code, Some(1));
}

#[test]
fn check_of_a_mistake_ends_with_1_and_shows_the_place_and_the_remedy() {
    let home = Home::with(&[("config.d/a.yaml", BAD)]);
    let ended = home.run(&["check"]);
    assert_eq!((ended.code, &*ended.err), (Some(1), ""));
    let expected = "\
error[unknown-field]: Cluster has no field `conect_timeout`
 --> config.d/a.yaml:3:3
  |
3 |   conect_timeout: 1s
  |   ^^^^^^^^^^^^^^
  |
  = at: clusters[0].conect_timeout
  = help: did you mean `connect_timeout`?

1 file, 0 resources: 1 error
";
    assert_eq!(ended.out, expected);
}

#[test]
fn a_cluster_that_is_nowhere_may_be_a_slip_or_the_bootstraps_own() {
    let route = "virtual_hosts: [{ name: v, domains: ['*'], routes: [{ match: { prefix: / }, route: { cluster: b-1 } }] }]";
    let routes = format!("routes:\n- {{ name: r, {route} }}\n");
    let near = GOOD.replace("name: a", "name: b-2");
    let own = "if the Envoys' own bootstrap has it, say `--external-cluster b-1`";
    for (clusters, advice) in [(&*near, "did you mean `b-2`? "), (GOOD, "define it under `clusters`; ")] {
        let home = Home::with(&[("d/r.yaml", &routes), ("d/c.yaml", clusters)]);
        let ended = home.run(&["check", "d"]);
        assert!(ended.out.contains(&format!("help: {advice}{own}\n")), "{}", ended.out);
        assert_eq!(home.run(&["check", "--external-cluster", "b-1", "d"]).code, Some(0));
    }
}

#[test]
fn check_says_the_same_to_machines() {
    let home = Home::with(&[("config.d/a.yaml", BAD)]);
    let ended = home.run(&["check", "--format", "json"]);
    let findings: serde_json::Value = serde_json::from_str(&ended.out).expect("JSON and nothing else");
    let found = &findings[0];
    assert_eq!((ended.code, findings.as_array().map(Vec::len)), (Some(1), Some(1)));
    assert_eq!((&found["code"], &found["file"]), (&"unknown-field".into(), &"config.d/a.yaml".into()));
    assert_eq!((&found["line"], &found["column"]), (&3.into(), &3.into()));
    let ended = home.run(&["check", "--format", "sarif"]);
    let report: serde_json::Value = serde_json::from_str(&ended.out).expect("JSON and nothing else");
    assert_eq!((ended.code, &report["version"]), (Some(1), &"2.1.0".into()));
    let nothing = Home::with(&[("config.d/a.yaml", GOOD)]).run(&["check", "--format", "json"]);
    assert_eq!((nothing.code, &*nothing.out), (Some(0), "[]\n"));
}

#[test]
fn warnings_fail_a_check_only_when_asked_to() {
    // Twice the same key: Envoy takes the last one without a word.
    let home = Home::with(&[("config.d/a.yaml", "clusters:\n- name: a\n  connect_timeout: 1s\n  name: b\n")]);
    let ended = home.run(&["check"]);
    assert_eq!(ended.code, Some(0), "{}", ended.out);
    assert!(ended.out.ends_with("1 file, 1 resource: 1 warning\n"), "{}", ended.out);
    assert_eq!(home.run(&["check", "--deny", "warnings"]).code, Some(1));
}

#[test]
fn check_of_an_empty_folder_says_what_would_be_a_fragment() {
    let home = Home::with(&[("config.d/notes.txt", "")]);
    let ended = home.run(&["check"]);
    let expected = "there is no fragment: fragments are files that end in .yaml, .yml or .json\n\
                    0 files, 0 resources: no errors\n";
    assert_eq!((ended.code, &*ended.out, &*ended.err), (Some(0), expected, ""));
}

#[test]
fn check_of_a_path_that_is_not_there_could_not_run() {
    let home = Home::with(&[("good/a.yaml", GOOD)]);
    could_not_run(&home, &["check"], "xds-bridge: config.d: there is no such file or directory\n");
    could_not_run(
        &home,
        &["check", "good", "nope"],
        "xds-bridge: nope: there is no such file or directory\n",
    );
}

#[test]
fn a_bad_settings_file_could_not_run_and_names_the_file_and_the_key() {
    let home = Home::with(&[("wrong.yaml", "lisen: []\nsettle: soon\n")]);
    for (settings, parts) in [
        ("missing.yaml", ["missing.yaml", "settings file", "No such file"]),
        (".", ["settings file", ".", "directory"]),
    ] {
        let ended = home.run(&["serve", "--settings", settings]);
        assert_eq!((ended.code, ended.err.lines().count()), (Some(2), 1), "{settings}: {}", ended.err);
        assert!(parts.iter().all(|part| ended.err.contains(part)), "{settings}: {}", ended.err);
    }
    let expected = "\
error[wrong-setting]: \"a=b=c\" is no log filter: write one such as `debug` or `xds_bridge::serve=debug,info`
--> --log

error[unknown-setting]: there is no setting `lisen`
 --> wrong.yaml:1:1
  |
1 | lisen: []
  | ^^^^^
  |
  = help: did you mean `listen`?

error[wrong-setting]: \"soon\" is no time: write one such as 300ms, 2s or 1m
 --> wrong.yaml:2:9
  |
2 | settle: soon
  |         ^^^^
  |
  = at: settle

xds-bridge: the settings are wrong: 3 errors
";
    for command in ["serve", "check", "settings"] {
        could_not_run(&home, &[command, "--settings", "wrong.yaml", "--log", "a=b=c"], expected);
    }
}

#[test]
fn settings_are_shown_with_where_they_come_from_to_people_and_machines() {
    let home = Home::with(&[("s.yaml", "listen: ['127.0.0.1:7']\n\nsettle: 1s\n")]);
    let args = ["settings", "--settings", "s.yaml", "--listen", "unix:/run/x.sock"];
    let shown = ended(home.command(&args).env("XDS_BRIDGE_INSECURE", "yes").env("XDS_BRIDGE_POL", "1s"));
    assert_eq!(shown.code, Some(0));
    let lines: Vec<String> =
        shown.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "listen: [unix:/run/x.sock] # --listen",
        "settle: 1s # s.yaml:3:1",
        "insecure: true # XDS_BRIDGE_INSECURE",
        "config_dirs: [config.d] # default",
    ] {
        assert!(lines.iter().any(|known| known == line), "{line}: {}", shown.out);
    }
    // A slip in the name of a variable is worth a word, and stops nothing.
    assert!(shown.err.contains("did you mean XDS_BRIDGE_POLL?"), "{}", shown.err);
    let rows = home.run(&["settings", "--settings", "s.yaml", "--format", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&rows.out).expect("JSON and nothing else");
    let rows = rows.as_array().expect("a list").iter();
    let row = rows.clone().find(|row| row["name"] == "settle").expect("a setting");
    assert_eq!((&row["value"], &row["default"]), (&"1s".into(), &"300ms".into()));
    let from = serde_json::json!([{ "kind": "file", "file": "s.yaml", "line": 3, "column": 1 }]);
    assert_eq!((&row["from"], &row["variable"]), (&from, &"XDS_BRIDGE_SETTLE".into()));
}

#[test]
fn a_bad_flag_could_not_run() {
    let home = Home::with(&[]);
    for (args, part) in [
        (&["serve", "--bogus"][..], "unexpected argument '--bogus'"),
        (&["serv"], "a similar subcommand exists: 'serve'"),
        (&["check", "--format", "xml"], "possible values: human, json, sarif"),
        (&["serve", "--listen", "nowhere:1"], "write IP:PORT, such as 127.0.0.1:18000, or unix:PATH"),
        (&[], "Usage:"),
    ] {
        let ended = home.run(args);
        assert_eq!((ended.code, &*ended.out), (Some(2), ""), "{args:?}");
        assert!(ended.err.contains(part), "{args:?}: {}", ended.err);
    }
}

#[test]
fn help_and_version_are_no_mistakes() {
    let home = Home::with(&[]);
    for args in [&["--help"][..], &["serve", "--help"], &["help"], &["--version"]] {
        let ended = home.run(args);
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{args:?}");
        assert!(ended.out.contains("xds-bridge"), "{}", ended.out);
    }
}

#[test]
fn a_bad_variable_is_named_since_nobody_typed_the_flag() {
    let home = Home::with(&[]);
    let ended = ended(home.command(&["serve"]).env("XDS_BRIDGE_LISTEN", "nonsense"));
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("--> XDS_BRIDGE_LISTEN\n"), "{}", ended.err);
    let typed = home.run(&["serve", "--listen", "nonsense"]);
    assert!(typed.err.contains("--> --listen\n"), "{}", typed.err);
}

#[test]
fn a_switch_in_the_environment_is_on_or_off_in_any_of_the_usual_words() {
    let home = Home::with(&[]);
    // The first address is no machine's, and should it be had all the same, the second one is not.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["serve", "--listen", "192.0.2.1:1", "--listen", &address];
    let serve = |value| {
        let ended = ended(home.command(&args).env("XDS_BRIDGE_INSECURE", value));
        assert_eq!(ended.code, Some(2), "{value}: {}", ended.err);
        ended.err
    };
    for off in ["0", "no", "false"] {
        assert!(serve(off).contains("would be plain text"), "{off}: {}", serve(off));
    }
    for on in ["1", "yes", "true"] {
        let err = serve(on);
        assert!(err.contains("cannot listen on 192.0.2.1:1") || err.contains("is in use"), "{on}: {err}");
    }
}

#[test]
fn an_address_that_cannot_be_had_could_not_run() {
    let home = Home::with(&[("config.d/a.yaml", GOOD)]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    could_not_run(
        &home,
        &["serve", "--listen", &address],
        &format!(
            "xds-bridge: {address} is in use: another program, or another xds-bridge, listens there; \
             stop it or choose another --listen\n"
        ),
    );
    could_not_run(
        &home,
        &["serve", "--listen", "unix:config.d/a.yaml"],
        "xds-bridge: unix:config.d/a.yaml cannot be had: what is there is no socket; remove it, or choose another path\n",
    );
    could_not_run(
        &home,
        &["serve", "--listen", "unix:x", "--listen", "unix:x"],
        "xds-bridge: unix:x stands twice among the addresses to listen on: leave one of them out\n",
    );
    could_not_run(
        &home,
        &["serve", "--listen", "unix:x", "--admin", "unix:x"],
        "xds-bridge: --listen unix:x and --admin unix:x are in each other's way: give each an address of its own\n",
    );
    could_not_run(
        &home,
        &["serve", "--listen", "0.0.0.0:0"],
        "xds-bridge: 0.0.0.0:0 is not a loopback address and the stream would be plain text: \
         give it a certificate (--tls-cert, --tls-key), listen on 127.0.0.1 or a unix socket, or say --insecure\n",
    );
}

#[test]
fn serve_waits_for_its_fragments_says_why_and_ends_well_when_asked() {
    let home = Home::with(&[("empty/notes.txt", "")]);
    // Nobody may read it, not even root.
    std::os::unix::fs::symlink("loop", home.0.path().join("loop")).expect("writable");
    for (dir, why) in
        [("missing", "does not exist yet"), ("empty", "holds no resource yet"), ("loop", "cannot be read: ")]
    {
        let mut bridge = Bridge::serve_on(&home.0.path().join(dir), Address::Tcp(free_port()));
        let line = bridge.wait_for_line(0, "waiting for the first fragment");
        assert!(line.contains(&format!("{dir} {why}")), "{line}");
        assert!(bridge.terminate().success(), "{}", bridge.log());
    }
}

/// Opening a pipe waits for who reads it: then the daemon is about to read its settings.
#[test]
fn a_hangup_before_the_settings_are_read_ends_nothing() {
    let home = Home::with(&[("config.d/a.yaml", GOOD)]);
    let settings = home.0.path().join("settings.yaml");
    assert!(Command::new("mkfifo").arg(&settings).status().expect("a usual tool").success());
    let listen = format!("127.0.0.1:{}", free_port());
    let args = ["serve", "--settings", "settings.yaml", "--listen", &listen, "--admin", "none"];
    let mut command = home.command(&args);
    let mut process = common::process::Process::start("serve", &mut command, &home.0.path().join("log"));
    let mut pipe = fs::OpenOptions::new().write(true).open(&settings).expect("it reads its settings");
    let hangup = Command::new("kill").args(["-HUP", &process.id().to_string()]).status();
    assert!(hangup.expect("a usual tool").success());
    std::io::Write::write_all(&mut pipe, b"state_dir: state\n").expect("it reads on");
    drop(pipe);
    process.wait_for_line(common::SOON, 0, "serving a new snapshot");
    assert!(process.terminate(common::SOON).success(), "{}", process.log());
}

#[test]
fn serve_with_a_mistake_at_its_start_says_it_and_begins_when_it_is_mended() {
    let home = Home::with(&[("config.d/a.yaml", BAD)]);
    let dir = home.0.path().join("config.d");
    let mut bridge = Bridge::serve(&dir);
    let line = bridge.wait_for_line(0, "a fragment is wrong");
    assert!(line.contains("a.yaml:3:3") && line.contains("did you mean `connect_timeout`?"), "{line}");
    bridge.wait_for_line(0, "not serving");
    fs::write(dir.join(".a"), GOOD).unwrap();
    fs::rename(dir.join(".a"), dir.join("a.yaml")).unwrap();
    bridge.wait_for_line(0, "serving a new snapshot");
}

/// Runs a program in a terminal, sends it SIGHUP, closes the terminal, and prints how the program ended.
const IN_A_TERMINAL: &str = r#"
import os, pty, signal, sys
signal.alarm(60)
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
def until(text):
    seen = b""
    while text not in seen:
        seen += os.read(terminal, 4096)
until(b"1 cluster")
os.kill(pid, signal.SIGHUP)
until(b"no file has changed")
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn serve_ends_with_the_terminal_in_which_it_runs() {
    let home = Home::with(&[("config.d/a.yaml", GOOD)]);
    let listen = format!("127.0.0.1:{}", free_port());
    let serve = ["serve", "--listen", &listen, "--admin", "none", "--state-dir", "state"];
    let mut python = Command::new("python3");
    python
        .args(["-c", IN_A_TERMINAL, env!("CARGO_BIN_EXE_xds-bridge")])
        .args(serve)
        .current_dir(home.0.path());
    let ended = ended(&mut python);
    assert_eq!((&*ended.out, &*ended.err), ("0\n", ""));
}

#[test]
fn bootstrap_names_what_it_was_told() {
    let home = Home::with(&[
        ("s.yaml", "listen: ['127.0.0.1:7', '[::1]:8']\n"),
        ("unix.yaml", "listen: ['127.0.0.1:7', 'unix:x.sock,mode=0660']\n"),
    ]);
    let args = ["bootstrap", "--settings", "s.yaml", "--node-id", "edge-1", "--node-cluster", "edge"];
    let ended = home.run(&args);
    assert_eq!((ended.code, &*ended.err), (Some(0), ""));
    for part in ["id: \"edge-1\"", "cluster: \"edge\"", "port_value: 7 }", "port_value: 9901 }", "DELTA_GRPC"]
    {
        assert!(ended.out.contains(part), "{part}: {}", ended.out);
    }
    assert!(ended.out.contains("# Plain TCP: secrets come this way only if"), "{}", ended.out);
    // Over a unix socket any Envoy may have secrets; its path is whole, wherever Envoy is started.
    let unix = home.run(&["bootstrap", "--settings", "unix.yaml"]).out;
    let path = home.0.path().join("x.sock");
    assert!(unix.contains(&format!("pipe: {{ path: \"{}\" }}", path.display())), "{unix}");
    assert!(!unix.contains("Plain TCP"), "{unix}");
    let other = home.run(&["bootstrap", "--xds", "unix:/run/y.sock", "--admin-port", "9", "--api", "sotw"]);
    for part in ["pipe: { path: \"/run/y.sock\" }", "port_value: 9 }", "api_type: GRPC "] {
        assert!(other.out.contains(part), "{part}: {}", other.out);
    }
    let json = home.run(&[&args[..], &["--format", "json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json.out).expect("JSON and nothing else");
    assert_eq!(json["node"], serde_json::json!({"id": "edge-1", "cluster": "edge"}));
    let ads = &json["dynamic_resources"]["ads_config"];
    assert_eq!(
        (&ads["api_type"], &json["dynamic_resources"]["cds_config"]["ads"]),
        (&"DELTA_GRPC".into(), &serde_json::json!({}))
    );
    // Envoy would refuse it.
    let empty = "xds-bridge: an Envoy needs a `node.id` and a `node.cluster` that are not empty (--node-id, --node-cluster)\n";
    could_not_run(&home, &["bootstrap", "--xds", "unix:/x", "--node-id", ""], empty);
}
