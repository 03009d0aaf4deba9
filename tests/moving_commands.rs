//! `import`, `render` and `diff` as commands: what they write, what they leave alone, how they end.

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

use common::bridge::run;
use tempfile::TempDir;

const STATIC: &str = "\
static_resources:
  clusters:
  - name: one  # the first
    connect_timeout: 1s
  - name: two
    connect_timeout: 1s
";

fn home(files: &[(&str, &str)]) -> TempDir {
    let home = tempfile::tempdir().expect("the folder for temporary files is writable");
    for (name, text) in files {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().expect("a joined path has a parent")).expect("writable");
        fs::write(path, text).expect("writable");
    }
    home
}

/// Runs a command; words that name something in `home` are paths there.
fn at(home: &TempDir, words: &[&str]) -> Output {
    let args = words.iter().map(|word| match word.strip_prefix("./") {
        Some(name) => home.path().join(name).into_os_string(),
        None => word.into(),
    });
    run(args)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Everything below a folder, by path, sorted.
fn tree(folder: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of ours") {
            let path = entry.expect("a folder of ours").path();
            if path.is_dir() {
                all.push((path.display().to_string(), "a folder".to_owned()));
                open.push(path);
            } else {
                all.push((path.display().to_string(), text(&fs::read(&path).expect("a file of ours"))));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn import_overwrites_nothing_and_leaves_nothing_behind() {
    let home = home(&[("envoy.yaml", STATIC), ("config.d/cluster-two.yaml", "mine\n")]);
    let before = tree(home.path());
    let output = at(&home, &["import", "./envoy.yaml", "--out", "./config.d", "--node-id", "n"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("cluster-two.yaml"), "{}", text(&output.stderr));
    assert_eq!(tree(home.path()), before);

    let output = at(&home, &["import", "./envoy.yaml", "--out", "./new", "--bootstrap", "./no/dir.yaml"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    assert_eq!(tree(home.path()), before);

    let words = ["import", "./envoy.yaml", "--out", "./new/er/dir", "--bootstrap"];
    let output = at(&home, &[&words[..], &["./no/dir.yaml"]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    assert!(!home.path().join("new").exists());
    let output = at(&home, &[&words[..], &["./b.yaml"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(home.path().join("new/er/dir/cluster-two.yaml").is_file());
}

/// The limit on the size of files stands for a disk that is full: the first file fits, the second does not.
#[test]
fn a_write_that_fails_in_the_middle_leaves_nothing_behind() {
    let many: String = (0..200)
        .map(|at| {
            format!("      - lb_endpoints: [{{ endpoint: {{ address: {{ pipe: {{ path: /{at} }} }} }} }}]\n")
        })
        .collect();
    let large = format!("{STATIC}    load_assignment:\n      cluster_name: two\n      endpoints:\n{many}");
    let home = home(&[("envoy.yaml", &large)]);
    let before = tree(home.path());
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$0\" import envoy.yaml --out config.d --node-id n"]);
    let output = command.arg(env!("CARGO_BIN_EXE_xds-bridge")).current_dir(home.path()).output().expect("sh");
    let errors = text(&output.stderr);
    assert!(errors.contains("nothing was left behind"), "{errors}{}", text(&output.stdout));
    assert_eq!((output.status.code(), tree(home.path())), (Some(2), before));
}

#[test]
fn what_cannot_be_printed_whole_is_an_error() {
    let home =
        home(&[("c/all.yaml", "clusters: [{name: all, connect_timeout: 1s}]\n"), ("old.yaml", STATIC)]);
    for words in [
        "exec \"$0\" render c >/dev/full",
        "exec \"$0\" import --upgrade-only old.yaml >/dev/full",
        "exec \"$0\" bootstrap --node-id n --xds unix:/x >/dev/full",
        "exec \"$0\" import old.yaml --out new >/dev/full",
        "exec \"$0\" check c >/dev/full",
        "exec \"$0\" check --format json c >/dev/full",
        "exec \"$0\" check --variables c >/dev/full",
        "exec \"$0\" diff c c >/dev/full",
        "exec \"$0\" diff c old.yaml >/dev/full",
        "exec \"$0\" schema settings >/dev/full",
        "exec \"$0\" settings >/dev/full",
        "exec \"$0\" settings --example >/dev/full",
        "exec \"$0\" completions bash >/dev/full",
        "exec \"$0\" man >/dev/full",
        "exec \"$0\" --help >/dev/full",
        "exec \"$0\" --version >/dev/full",
    ] {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", words, env!("CARGO_BIN_EXE_xds-bridge")]).current_dir(home.path());
        let output = command.output().expect("sh");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert_eq!(said.matches("cannot write to standard output").count(), 1, "{words}: {said}");
    }
}

#[test]
fn that_nobody_reads_on_is_no_error() {
    let home = home(&[("c/all.yaml", "clusters: [{name: all, connect_timeout: 1s}]\n")]);
    for words in [&["schema"][..], &["check", "c"], &["man"], &["render", "c"], &["--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_xds-bridge"));
        let output = command.args(words).current_dir(home.path()).stdout(writer).output().expect("built");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{words:?}");
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let home = home(&[("envoy.yaml", STATIC)]);
    let before = tree(home.path());
    let output =
        at(&home, &["import", "./envoy.yaml", "--out", "./config.d", "--dry-run", "--format", "json"]);
    assert!(output.status.success());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (report["written"].as_bool(), report["files"].as_array().map(Vec::len)),
        (Some(false), Some(3))
    );
    assert_eq!(tree(home.path()), before);
}

#[test]
fn who_could_not_read_the_source_cannot_read_the_fragments() {
    use std::os::unix::fs::PermissionsExt;
    let home = home(&[("envoy.yaml", STATIC)]);
    let source = home.path().join("envoy.yaml");
    fs::set_permissions(&source, fs::Permissions::from_mode(0o600)).expect("ours");
    let output = at(&home, &["import", "./envoy.yaml", "--out", "./config.d"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let fragment = home.path().join("config.d/cluster-one.yaml");
    assert_eq!(fs::metadata(fragment).expect("written").permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_was_imported_is_no_difference() {
    let home = home(&[("envoy.yaml", STATIC)]);
    assert!(at(&home, &["import", "./envoy.yaml", "--out", "./config.d"]).status.success());
    let output = at(&home, &["diff", "./envoy.yaml", "./config.d"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "no difference\n".to_owned()));
}

/// A dump is no template: what looks like a placeholder in it is a text that Envoy goes by.
#[test]
fn a_dump_means_after_its_import_what_it_said() {
    let values = [
        "x=${HOME} y=${A:-b} z=$${C}",
        "${A:-a\"b\\c} $${",
        "$${A:-d'e} ${",
        "é\n${HOME}\n",
        "${1} $HOME $$",
    ];
    let metadata: serde_json::Map<String, serde_json::Value> =
        values.iter().map(|value| (format!("k${{HOME}}{value}"), (*value).into())).collect();
    let cluster = |name: &str| serde_json::json!({"name": name, "connect_timeout": "1s", "metadata": {"filter_metadata": {"a": metadata}}});
    let dump = serde_json::json!({"configs": [
        {
            "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump",
            "bootstrap": {"node": {"id": "${HOME}"}, "static_resources": {"clusters": [cluster("fixed")]}},
        },
        {
            "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "version_info": "1",
            "dynamic_active_clusters": [{"version_info": "1", "cluster": cluster("moving")}],
        },
    ]});
    let yaml = format!("# kept\n{dump:#}\n");
    for (name, source) in [("dump.json", dump.to_string()), ("lines.json", yaml)] {
        let home = home(&[(name, &source)]);
        let source = format!("./{name}");
        let output = at(&home, &["import", &source, "--out", "./config.d", "--bootstrap", "./b.yaml"]);
        let (said, told) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success() && !said.contains("placeholders"), "{said}{told}");
        assert_eq!(said.matches(".yaml").count(), 3, "{said}");
        assert!(fs::read_to_string(home.path().join("b.yaml")).expect("written").contains("id: \"${HOME}\""));
        let output = at(&home, &["diff", &source, "./config.d"]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "no difference\n".to_owned()));
        let output = at(&home, &["render", "./config.d"]);
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
        let rendered = text(&output.stdout);
        assert!(
            !rendered.contains("/root") && rendered.contains("x=${HOME} y=${A:-b} z=$${C}"),
            "{rendered}"
        );
    }
}

#[test]
fn diff_says_what_is_added_changed_and_removed_and_for_whom() {
    let after = "nodes: [{cluster: edge-*}]\nclusters:\n- {name: three, connect_timeout: 1s}\n";
    let changed = "clusters:\n- {name: one, connect_timeout: 2s}\n";
    let home = home(&[("a.yaml", STATIC), ("b/after.yaml", after), ("b/changed.yaml", changed)]);
    let output = at(&home, &["diff", "./a.yaml", "./b"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "\
~ cluster `one` changed, for every Envoy
    connect_timeout: 1s -> 2s
+ cluster `three` added, for nodes with cluster edge-*
- cluster `two` removed, for every Envoy
1 added, 1 changed, 1 removed
";
    assert_eq!(text(&output.stdout), expected);
    let output = at(&home, &["diff", "./a.yaml", "./b", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["differences"][0]["fields"][0]["path"], "connect_timeout");
    assert_eq!(at(&home, &["diff", "./a.yaml", "./nowhere"]).status.code(), Some(2));
    fs::write(home.path().join("b/broken.yaml"), "clusters: [").expect("writable");
    assert_eq!(at(&home, &["diff", "./a.yaml", "./b"]).status.code(), Some(2));
}

#[test]
fn a_v2_file_is_compared_as_what_it_became() {
    let old = "static_resources: {clusters: [{name: a, connect_timeout: 1s, hosts: [{pipe: {path: /x}}]}]}\n";
    let new = "\
clusters:
- name: a
  connect_timeout: 1s
  load_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /x}}}}]}]}
";
    let home = home(&[("old.yaml", old), ("new.yaml", new)]);
    let output = at(&home, &["diff", "./old.yaml", "./new.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn render_gives_a_node_what_is_for_it() {
    let fragments = [
        ("c/all.yaml", "clusters: [{name: all, connect_timeout: 1s}]\n"),
        ("c/edge.yaml", "nodes: [{id: edge-*}]\nclusters: [{name: edge, connect_timeout: 1s}]\n"),
    ];
    let home = home(&fragments);
    let names = |flags: &[&str]| {
        let output = at(&home, &[&["render", "./c"], flags].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let text = text(&output.stdout);
        ["all", "edge"].map(|name| text.contains(&format!("- name: {name}\n")))
    };
    assert_eq!(names(&[]), [true, false]);
    assert_eq!(names(&["--node-id", "edge-7"]), [true, true]);
}

#[test]
fn render_gives_the_same_as_json_with_what_a_bootstrap_holds_besides() {
    let cluster = "clusters: [{name: all, connect_timeout: 0.5s, max_requests_per_connection: 0x10, metadata: \
        {filter_metadata: {a: {b: '1', c: 1, d: yes}}}}]\n";
    let bootstrap = "node: {id: &i 'on', cluster: *i}\nadmin: {}\n";
    let home = home(&[("c/all.yaml", cluster), ("b.yaml", bootstrap)]);
    let output = at(&home, &["render", "./c", "--bootstrap", "./b.yaml", "--format", "json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!(json["node"], serde_json::json!({"id": "on", "cluster": "on"}));
    let cluster = &json["static_resources"]["clusters"][0];
    assert_eq!(
        (&cluster["name"], &cluster["connect_timeout"], &cluster["metadata"]["filter_metadata"]["a"]),
        (&"all".into(), &"0.5s".into(), &serde_json::json!({"b": "1", "c": 1, "d": true})),
    );
    fs::write(home.path().join("out.json"), &output.stdout).expect("writable");
    let same = at(&home, &["diff", "./c", "./out.json"]);
    assert_eq!(same.status.code(), Some(0), "{}{}", text(&same.stdout), text(&same.stderr));
}

#[test]
fn render_as_json_keeps_each_number_and_each_text_as_what_it_is() {
    let values = r#"{"b":2.5,"c":3000000000,"d":"2.5","e":"1e3","f":[-0.25],"g":1e-7,"h":7,"i":"yes"}"#;
    let cluster = r#"{"clusters":[{"name":"0.5","common_lb_config":{"healthy_panic_threshold":{"value":12.5}},
        "metadata":{"filter_metadata":{"a":VALUES}}}]}"#;
    let json = cluster.replace("VALUES", values);
    let bootstrap = format!(r#"{{"node":{{"id":"1.5","cluster":"c","metadata":{values}}}}}"#);
    let home = home(&[
        ("c/a.json", &json),
        ("c/b.yaml", &json.replace("0.5", "b")),
        ("b.json", &bootstrap),
        ("b.yaml", &bootstrap),
    ]);
    let render = |bootstrap: &str| -> serde_json::Value {
        let output = at(&home, &["render", "./c", "--bootstrap", bootstrap, "--format", "json"]);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
        serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
    };
    let as_json: serde_json::Value = serde_json::from_str(values).expect("JSON");
    // As Envoy reads it, YAML has no numbers but integers of 32 bits.
    let as_yaml = serde_json::json!({
        "b": "2.5", "c": "3000000000", "d": "2.5", "e": "1e3", "f": ["-0.25"], "g": "1e-7", "h": 7, "i": "yes"
    });
    for (bootstrap, metadata) in [("./b.json", &as_json), ("./b.yaml", &as_yaml)] {
        let whole = render(bootstrap);
        assert_eq!(whole["node"]["metadata"], *metadata, "{bootstrap}");
        let clusters = whole["static_resources"]["clusters"].as_array().expect("a list");
        for (name, metadata) in [("0.5", &as_json), ("b", &as_yaml)] {
            let cluster = clusters.iter().find(|cluster| cluster["name"] == name).expect("it is there");
            assert_eq!(cluster["metadata"]["filter_metadata"]["a"], *metadata, "{name}");
            assert_eq!(cluster["common_lb_config"]["healthy_panic_threshold"]["value"], 12.5);
        }
    }
    let out = at(&home, &["render", "./c", "--format", "json"]);
    fs::write(home.path().join("out.json"), &out.stdout).expect("writable");
    let same = at(&home, &["diff", "./c", "./out.json"]);
    assert_eq!(same.status.code(), Some(0), "{}{}", text(&same.stdout), text(&same.stderr));
}

#[test]
fn render_leaves_out_what_two_fragments_contest_and_tells_both_places() {
    let fragment = |glob: &str, time: &str| {
        format!("nodes: [{{id: \"{glob}\"}}]\nclusters: [{{name: x, connect_timeout: {time}}}]\n")
    };
    let (one, two) = (fragment("a*", "1s"), fragment("*b", "2s"));
    let home = home(&[("c/1.yaml", &one), ("c/2.yaml", &two), ("c/3.yaml", "clusters: [{name: every}]\n")]);
    let output = at(&home, &["render", "./c", "--node-id", "ab"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(!out.contains("name: x\n") && out.contains("name: every\n"), "{out}");
    assert!(err.contains("`x`") && err.contains("1.yaml:2:19") && err.contains("2.yaml:2:19"), "{err}");
    let output = at(&home, &["render", "./c", "--node-id", "ac"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("connect_timeout: 1s"), "{}", text(&output.stdout));
}

#[test]
fn an_upgrade_that_envoy_will_refuse_ends_as_one() {
    let good =
        "static_resources: {clusters: [{name: a, connect_timeout: 1s, hosts: [{pipe: {path: /x}}]}]}\n";
    let home =
        home(&[("good.yaml", good), ("bad.yaml", &good.replace("connect_timeout", "connect_tiemout"))]);
    assert_eq!(at(&home, &["import", "--upgrade-only", "./good.yaml"]).status.code(), Some(0));
    let output = at(&home, &["import", "--upgrade-only", "./bad.yaml"]);
    assert!(
        text(&output.stderr).contains("will refuse what was printed: 1 error"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn numbers_are_numbers_in_json_and_what_yaml_has_no_number_for_is_told() {
    let metadata = r#"{"f":0.5,"e":1e3,"big":3000000000,"one":1.0,"i":7,"s":"0.5","l":[2.5]}"#;
    let clusters = format!(
        r#"{{"clusters":[{{"name":"a","connect_timeout":"1s","metadata":{{"filter_metadata":{{"m":{metadata}}}}}}}]}}"#
    );
    let bootstrap = format!(r#"{{"static_resources":{clusters}}}"#);
    let files =
        [("j/a.json", &clusters), ("y/a.yaml", &clusters), ("b.json", &bootstrap), ("b.yaml", &bootstrap)];
    let home = home(&files.map(|(name, text)| (name, &**text)));
    let render = |dir: &str| {
        let output = at(&home, &["render", dir]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let told =
        |said: &str| ["0.5", "3000000000", "2.5"].map(|n| said.contains(&format!("{n} is a number in JSON")));
    let has = |text: &str, values: &[&str]| values.iter().all(|value| text.contains(value));
    let (yaml, said) = render("./j");
    assert!(has(&yaml, &["f: 0.5", "e: 1000", "big: 3000000000", "one: 1", "i: 7", "s: \"0.5\""]), "{yaml}");
    assert_eq!(told(&said), [true; 3], "{said}");
    let (yaml, said) = render("./y");
    assert!(
        has(&yaml, &["f: \"0.5\"", "e: \"1e3\"", "big: \"3000000000\"", "one: \"1.0\"", "i: 7"]),
        "{yaml}"
    );
    assert_eq!(told(&said), [false; 3], "{said}");
    for (source, is_told) in [("./b.json", true), ("./b.yaml", false)] {
        let output = at(&home, &["import", source, "--out", "./out", "--dry-run"]);
        let said = text(&output.stdout);
        assert_eq!(told(&said), [is_told; 3], "{said}");
        assert_eq!(has(&said, &["e: 1000"]), is_told, "{said}");
        assert_eq!(said.contains("b.json:1: DECIDE:"), is_told, "{said}");
    }
    let name = |number: &str| clusters.replace("\"a\"", number);
    for (file, number, code) in
        [("n.json", "0.5", 1), ("n.yaml", "0.5", 0), ("n.json", "5", 1), ("n.json", "\"0.5\"", 0)]
    {
        fs::write(home.path().join(file), name(number)).expect("writable");
        let output = at(&home, &["check", &format!("./{file}")]);
        assert_eq!(output.status.code(), Some(code), "{file} {number}: {}", text(&output.stdout));
    }
    let diff = at(&home, &["diff", "./b.json", "./j"]);
    assert_eq!(text(&diff.stdout), "no difference\n", "{}", text(&diff.stderr));
    assert_eq!(at(&home, &["diff", "./b.json", "./y"]).status.code(), Some(1));
}
