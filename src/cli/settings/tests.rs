//! What settings promise: what is stronger, what is said of mistakes, and that all is derived from one table.

use super::table::TABLE;
use super::*;
use crate::diagnostic::located;

struct Case {
    settings: Settings,
    /// What is wrong, a line each.
    wrong: Vec<String>,
}

fn case(flags: &[(&'static str, &[&str])], environment: &[(&str, &str)], file: &str) -> Case {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
    let given = Given {
        file: None,
        flags: flags.iter().map(|(name, texts)| (*name, owned(texts))).collect(),
        environment: environment.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
    };
    let text = Text { name: "s.yaml".into(), text: file.to_owned() };
    let (settings, findings) = given.read(&text);
    let wrong = located(&findings, |name| (name == "s.yaml").then_some(file));
    Case { settings, wrong: wrong.iter().map(ToString::to_string).collect() }
}

fn addresses(settings: &Settings) -> Vec<String> {
    settings.listen.value.0.iter().map(ToString::to_string).collect()
}

fn from<T>(setting: &read::Setting<T>) -> String {
    setting.from.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ")
}

#[test]
fn flags_are_stronger_than_variables_those_than_the_file_and_that_than_defaults() {
    let file = "insecure: no\nlisten: ['127.0.0.1:1', 'unix:/x']\n";
    let variables = [("XDS_BRIDGE_LISTEN", "127.0.0.1:2,[::1]:2")];
    let all = case(&[("listen", &["127.0.0.1:3"])], &variables, file);
    assert_eq!(
        (addresses(&all.settings), from(&all.settings.listen)),
        (vec!["127.0.0.1:3".into()], "--listen".into())
    );
    let two = case(&[], &variables, file).settings;
    assert_eq!(
        (addresses(&two), &*from(&two.listen)),
        (vec!["127.0.0.1:2".into(), "[::1]:2".into()], "XDS_BRIDGE_LISTEN")
    );
    let one = case(&[], &[("XDS_BRIDGE_LISTEN", "")], file).settings;
    assert_eq!(
        (addresses(&one), &*from(&one.listen)),
        (vec!["127.0.0.1:1".into(), "unix:/x".into()], "s.yaml:2:1")
    );
    let none = case(&[], &[], "").settings;
    assert_eq!((addresses(&none), &*from(&none.listen)), (vec!["127.0.0.1:18000".into()], "default"));
    assert_eq!(all.wrong, [""; 0]);
}

#[test]
fn every_mistake_is_said_at_once_and_where_it_is_even_where_something_stronger_counts() {
    let file = "lisen: []\nsettle: soon\nlisten: [nowhere, '127.0.0.1:1', 3, '127.0.0.1:1']\npoll: 1ms\n\
                on_error: explode\ninsecure: {}\nsettle: 1s\nrules: { bad-regx: off, bad-regex: loud }\nstate_dir: 7\n";
    let variables =
        [("XDS_BRIDGE_DRAIN", "2 days"), ("XDS_BRIDGE_LISTN", "x"), ("XDS_BRIDGE_SERVICE_HOST", "10.0.0.1")];
    let flags: [(&str, &[&str]); 2] = [("listen", &["a", "b"]), ("settle", &["1s"])];
    let wrong = case(&flags, &variables, file).wrong.join("\n");
    let expected = r#"--listen: error[wrong-setting]: "a" is no address: write IP:PORT, such as 127.0.0.1:18000, or unix:PATH
--listen: error[wrong-setting]: "b" is no address: write IP:PORT, such as 127.0.0.1:18000, or unix:PATH
XDS_BRIDGE_DRAIN: error[wrong-setting]: 2days is not within 0s to 1h
XDS_BRIDGE_LISTN: warning[unknown-variable]: no setting has this variable; it is ignored (did you mean XDS_BRIDGE_LISTEN?)
s.yaml:1:1: error[unknown-setting]: there is no setting `lisen` (did you mean `listen`?)
s.yaml:3:10: error[wrong-setting]: "nowhere" is no address: write IP:PORT, such as 127.0.0.1:18000, or unix:PATH
s.yaml:3:34: error[wrong-setting]: "3" is no address: write IP:PORT, such as 127.0.0.1:18000, or unix:PATH
s.yaml:3:37: error[duplicate-value]: this stands here a second time (remove one of them)
s.yaml:4:7: error[wrong-setting]: 1ms is not within 10ms to 1day
s.yaml:5:11: error[wrong-setting]: "explode" is none of contain, hold
s.yaml:6:11: error[wrong-type]: expected true or false, got a mapping
s.yaml:7:1: error[duplicate-key]: this key stands here a second time (remove one of them)
s.yaml:8:10: error[wrong-setting]: no rule named `bad-regx` can be set: did you mean `bad-regex`?
s.yaml:8:25: error[wrong-setting]: `loud` is no severity: write off, note, warning or error
s.yaml:9:12: error[wrong-type]: expected a path, got a number: put it in quotes"#;
    assert_eq!(wrong, expected);
}

#[test]
fn an_envoy_is_told_only_an_address_at_which_it_can_connect() {
    let told = |file: &str, by_tls: bool| match case(&[], &[], file).settings.first_listen(by_tls) {
        Ok(address) => address.to_string(),
        Err(error) => error.to_string(),
    };
    let tls = "tls_cert: c\ntls_key: k\n";
    assert_eq!(told("", false), "127.0.0.1:18000");
    assert_eq!(told("listen: ['0.0.0.0:1', 'unix:/x']\n", false), "unix:/x");
    assert_eq!(told(&format!("{tls}listen: '10.0.0.1:1,plain'\n"), false), "10.0.0.1:1");
    assert_eq!(told(&format!("{tls}listen: '10.0.0.1:1'\n"), true), "10.0.0.1:1");
    let refused = told(&format!("{tls}listen: '10.0.0.1:1'\n"), false);
    assert!(refused.contains("10.0.0.1:1") && refused.contains("--ca FILE"), "{refused}");
    for all in ["0.0.0.0:1", "[::]:1"] {
        let refused = told(&format!("listen: '{all}'\n"), true);
        assert!(refused.contains(all) && refused.contains("--xds"), "{refused}");
    }
}

#[test]
fn a_mistake_inside_of_a_setting_is_said_once_with_what_is_possible_there() {
    let wrong = |file: &str| case(&[], &[], file).wrong.join("\n");
    assert_eq!(
        wrong("listen: 18000\n"),
        "s.yaml:1:9: error[wrong-setting]: \"18000\" is no address: write IP:PORT, such as 127.0.0.1:18000, or unix:PATH"
    );
    assert_eq!(
        wrong("clients: [{ url: x }]\n"),
        "s.yaml:1:13: error[unknown-setting]: there is no setting `url` \
         (possible here: `san_uri`, `san_dns`, `unix_uid`, `ids`, `clusters`)"
    );
    assert_eq!(
        wrong("something: x\n"),
        "s.yaml:1:1: error[unknown-setting]: there is no setting `something` (`xds-bridge settings` lists them all)"
    );
}

#[test]
fn what_is_not_settings_at_all_is_an_error_with_a_place() {
    for (file, part) in [
        ("- a\n", "s.yaml:1:1: error[wrong-type]: expected a mapping of settings to values"),
        ("a: [\n", "s.yaml:1:4: error[yaml-syntax]: this `[` is never closed"),
        ("{}\n---\n{}\n", "s.yaml:3:1: error[extra-document]"),
        (
            "1: 2\n",
            "s.yaml:1:1: error[unknown-setting]: there is no setting `1` (`xds-bridge settings` lists",
        ),
    ] {
        let wrong = case(&[], &[], file).wrong.join("\n");
        assert!(wrong.contains(part), "{file}: {wrong}");
    }
    for nothing in ["", "# nothing\n", "{}\n", "listen:\n"] {
        assert_eq!(case(&[], &[], nothing).wrong, [""; 0], "{nothing:?}");
    }
}

#[test]
fn a_rule_of_a_flag_counts_beside_those_of_the_file() {
    let case =
        case(&[("rules", &["bad-regex=error"])], &[], "rules: { bad-regex: off, bad-weights: warning }\n");
    assert_eq!(from(&case.settings.rules), "s.yaml:1:1 + --rule");
    let expected = ["bad-regex=off", "bad-weights=warning", "bad-regex=error"];
    let mut severities = Severities::default();
    expected.iter().for_each(|rule| severities.set(rule).expect("a good rule"));
    assert_eq!(case.settings.severities(), severities);
}

#[test]
fn the_state_directory_is_the_users_or_the_first_of_systemds_or_none() {
    let systemd = [("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")];
    let dir = |flags: &[(&'static str, &[&str])], environment: &[_], file| {
        case(flags, environment, file).settings.state_dir
    };
    assert_eq!(dir(&[("state_dir", &["/flag"])], &systemd, "state_dir: /own").value, Some("/flag".into()));
    assert_eq!(dir(&[], &systemd, "state_dir: /own").value, Some("/own".into()));
    let given = dir(&[], &systemd, "");
    assert_eq!(
        (given.value.clone(), &*from(&given)),
        (Some("/var/lib/a".into()), "systemd (STATE_DIRECTORY)")
    );
    assert_eq!(dir(&[], &[("STATE_DIRECTORY", "")], "").value, None);
    assert_eq!(dir(&[], &[], "").value, None);
}

#[test]
fn the_bridges_own_cluster_is_always_known_to_envoys() {
    let names = |flags: &[(&'static str, &[&str])]| {
        let settings = case(flags, &[], "external_clusters: [a, b]\n").settings;
        settings.external_clusters().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["a", "b", CLUSTER]);
    assert_eq!(names(&[("external_clusters", &["c"])]), ["c", CLUSTER]);
}

#[test]
fn variables_of_fragments_may_be_all_some_or_none() {
    let only = |environment: &[_], file| {
        let names = case(&[], environment, file).settings.substitute.value;
        names.map(|names| names.0.join(" "))
    };
    assert_eq!(only(&[], ""), None);
    assert_eq!(only(&[], "substitute: [A, $B]"), Some("A B".into()));
    assert_eq!(only(&[], "substitute: ${A},$B C"), Some("A B C".into()));
    assert_eq!(only(&[("XDS_BRIDGE_SUBSTITUTE", "")], "substitute: [A]"), Some(String::new()));
}

#[test]
fn rules_for_clients_are_mappings_or_texts_and_each_mistake_has_its_place() {
    let file = "clients:\n- { san_uri: 'spiffe://x/{id}', ids: [a, b] }\n- { unix_uid: 0, clusters: c }\n";
    let flags: [(&str, &[&str]); 1] =
        [("clients", &["san_uri=spiffe://x/{id} ids=a,b", "unix_uid=0 clusters=c"])];
    let (read, given) = (case(&[], &[], file), case(&flags, &[], ""));
    assert_eq!((read.wrong, given.wrong), (vec![], vec![]));
    let rules = read.settings.clients.value.rules();
    assert_eq!(rules, given.settings.clients.value.rules());
    assert_eq!(rules[1].who, app::Who::UnixUid(0));
    assert_eq!(rules[0].ids, Some(vec!["a".to_owned(), "b".to_owned()]));
    let file = "clients:\n- { san_url: x }\n- {}\n- { san_uri: x, san_dns: z }\n- { san_uri: 'a{node}' }\n\
                - { unix_uid: no-such-user }\n- 7\n- { san_dns: x, ids: 7 }\nmax_streams: 0\n";
    let flags: [(&str, &[&str]); 1] = [("clients", &["ids=a", "who=x"])];
    let wrong = case(&flags, &[], file).wrong.join("\n");
    let expected = r#"--client: error[wrong-setting]: "who=x" is no part of a rule: there are san_uri=, san_dns=, unix_uid=, ids=, clusters=
--client: error[wrong-setting]: who is it? give one of san_uri, san_dns, unix_uid
s.yaml:2:5: error[unknown-setting]: there is no setting `san_url` (did you mean `san_uri`?)
s.yaml:3:3: error[wrong-setting]: who is it? give one of san_uri, san_dns, unix_uid
s.yaml:4:26: error[wrong-setting]: a rule is for one identity: `san_uri` or `san_dns`, not both
s.yaml:5:3: error[wrong-setting]: in "a{node}" only {id} and {cluster} may stand in braces
s.yaml:6:3: error[wrong-setting]: there is no user "no-such-user" on this machine; a number works, too
s.yaml:7:3: error[wrong-type]: expected a mapping such as { san_dns: x.example.org, ids: [edge-*] }, got something else
s.yaml:8:22: error[wrong-type]: expected a text, got a number: put it in quotes
s.yaml:9:14: error[wrong-setting]: 0 would let nobody in"#;
    assert_eq!(wrong, expected);
}

#[test]
fn the_usual_admin_address_may_be_taken_and_a_given_one_may_not() {
    assert!(matches!(case(&[], &[], "").settings.daemon().admin, Admin::Usual(_)));
    assert!(matches!(case(&[], &[], "admin: 127.0.0.1:18001").settings.daemon().admin, Admin::At(_)));
    assert!(matches!(case(&[("admin", &["none"])], &[], "").settings.daemon().admin, Admin::None));
}

#[test]
fn the_example_is_a_settings_file_of_all_settings_and_their_defaults() {
    let example = show::example();
    let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
    let file: String = example.lines().filter(is_setting).map(|line| format!("{}\n", &line[1..])).collect();
    let read = case(&[], &[], &file);
    assert_eq!(read.wrong, [""; 0]);
    assert_eq!(file.lines().count(), TABLE.len());
    for (row, plain) in read.settings.rows().iter().zip(case(&[], &[], "").settings.rows()) {
        assert_ne!(plain.from, row.from, "{}", row.entry.name);
        if row.entry.example.is_empty() {
            assert_eq!(row.value, plain.value, "{}", row.entry.name);
        }
    }
    keep("packaging/xds-bridge.yaml", |_| example);
}

/// A file of the sources is what is made of the table; UPDATE=1 makes it so.
fn keep(path: &str, made_of: impl FnOnce(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let shipped = std::fs::read_to_string(&path).expect("it is part of the sources");
    let made = made_of(&shipped);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, made).expect("the sources are writable");
    } else {
        assert!(shipped == made, "UPDATE=1 cargo test --lib cli::settings rewrites {}", path.display());
    }
}

#[test]
fn what_settings_prints_is_a_settings_file_that_says_the_same() {
    let file = "listen: ['[::1]:1', 'unix:/run/a b']\nrules: { bad-regex: off }\nlog: 'debug'\npoll: 1m 30s\n\
                substitute: []\nexternal_clusters: ['yes', '7', 'a: b', '- c', '#', '[d]', \"é\\n\"]\n";
    let first = case(&[], &[], file);
    let shown = show::human(&first.settings.rows());
    let second = case(&[], &[], &shown);
    assert_eq!((first.wrong, second.wrong), (vec![], vec![]), "{shown}");
    for (row, again) in first.settings.rows().iter().zip(second.settings.rows()) {
        assert_eq!(row.value, again.value, "{shown}");
    }
}

#[test]
fn every_flag_and_variable_is_one_settings_alone_and_the_readme_has_them() {
    let mut seen = BTreeSet::new();
    let mut table = String::from("| flag | variable | settings file | default |\n|---|---|---|---|\n");
    for entry in TABLE {
        let (flag, variable) = (format!("--{}", entry.flag()), entry.variable());
        assert!(seen.insert(flag.clone()) && seen.insert(variable.clone()), "{}", entry.name);
        let value = if entry.is_switch { String::new() } else { format!(" {}", entry.value_name) };
        let repeat = if entry.repeats { " (repeat)" } else { "" };
        let split = entry.split.map_or(String::new(), |sign| format!(" (`a{sign}b`)"));
        let also = entry.also.map_or(String::new(), |name| format!(", `{name}`"));
        let default = show::usual(entry);
        table += &format!(
            "| `{flag}{value}`{repeat} | `{variable}`{split}{also} | `{}` | {default} |\n",
            entry.name
        );
    }
    let (begin, end) =
        ("<!-- settings, made by UPDATE=1 cargo test --lib cli::settings -->\n", "<!-- end of settings -->");
    keep("README.md", |readme| {
        let (head, rest) = readme.split_once(begin).expect("the table has a begin");
        let (_, tail) = rest.split_once(end).expect("the table has an end");
        format!("{head}{begin}{table}{end}{tail}")
    });
}
