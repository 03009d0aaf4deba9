//! Holds that a file of which only a part is read again gives what reading all of it gives: the same
//! resources, findings and places, whatever was changed; and that for ordinary edits only a part is read.
//!
//! Comes in: lists in the styles that people use, edited as people edit them; and the cases of
//! `tests/cases`, `config.d` and the kept inputs of the fuzzers, changed at random. Each edit starts from
//! what the one before gave, so that what is taken over is taken over many times. Edits are the same each
//! time; `FUZZ_STEPS` makes more of them.

use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use xds_bridge::app::{FileName, Fragments, Policy, Verdict};
use xds_bridge::diagnostic::Diagnostic;
use xds_bridge::envoy_api::Api;
use xds_bridge::load::{Inputs, Loaded, Severities, Variables, load_changed, load_filled};
use xds_bridge::resource::{Kind, Resource};
use xds_bridge::snapshot::Snapshot;
use xds_bridge::source::{DirState, Directory, SourceFile, Sources};

static API: LazyLock<Api> = LazyLock::new(|| Api::embedded().expect("the shipped set is whole"));

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

/// All that can be seen of a loaded file, and what is kept for the next time.
fn seen(loaded: &Loaded) -> String {
    let all = format!("{loaded:#?}").replacen(&format!("    decoded: {},\n", loaded.decoded), "", 1);
    let variables: Vec<_> = loaded.drawn.variables().collect();
    format!("{all}\n{variables:?}")
}

/// One file, as it is edited.
struct File {
    name: Arc<str>,
    text: String,
    loaded: Loaded,
    variables: Variables,
}

impl File {
    fn new(text: String, variables: Variables) -> File {
        let ending = if text.starts_with('{') { "json" } else { "yaml" };
        let name: Arc<str> = format!("dir/a.{ending}").into();
        let loaded = File::with(&variables, |inputs| load_filled(&API, &name, text.as_bytes(), inputs));
        File { name, text, loaded, variables }
    }

    fn with(variables: &Variables, load: impl Fn(&Inputs<'_>) -> Loaded) -> Loaded {
        let key = |path: &Path| path.ends_with("key").then(|| Ok("content".into()));
        load(&Inputs { variables, files: &key, now: Some(1), severities: &Severities::default() })
    }

    /// Goes on to another text; gives how many items were read.
    fn edit(&mut self, text: String) -> usize {
        let before = (self.text.as_bytes(), &self.loaded);
        let File { name, variables, .. } = &*self;
        let quick = File::with(variables, |inputs| load_changed(&API, name, text.as_bytes(), inputs, before));
        let whole = File::with(variables, |inputs| load_filled(&API, name, text.as_bytes(), inputs));
        let (one, other) = (seen(&quick), seen(&whole));
        if one != other {
            let (one, other) =
                one.lines().zip(other.lines()).find(|(one, other)| one != other).unwrap_or_default();
            panic!("from\n{}\n===== to\n{text}\n===== {one} is {other} when all is read", self.text);
        }
        let decoded = quick.decoded;
        // From what is broken nothing can be taken over; the daemon starts from what was good, too.
        if quick.is_sound() {
            (self.text, self.loaded) = (text, quick);
        }
        decoded
    }
}

/// A cluster, as a list of lines without indentation.
fn cluster(name: &str, port: usize, kind: usize) -> Vec<String> {
    let mut lines = vec![format!("name: {name}"), "type: STATIC".into()];
    match kind {
        // A finding, and a block of text with blank lines behind it.
        0 => lines.push("max_requests_per_connection: 3  # old".into()),
        1 => lines.extend(
            ["metadata:", "  filter_metadata:", "    own:", "      note: |+", "        text", ""]
                .map(Into::into),
        ),
        2 => lines.extend(["", "# a comment", "alt_stat_name: >-", "  folded", "  text"].map(Into::into)),
        _ => {}
    }
    lines.push(format!("load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]}}"));
    lines
}

type Clusters = Vec<(String, usize, usize)>;

/// A list of clusters with the dashes in this column.
fn list(clusters: &Clusters, column: usize, first: &str) -> String {
    let mut text = String::new();
    for (name, port, kind) in clusters {
        let lines = cluster(name, *port, *kind);
        for (at, line) in first.lines().map(String::from).chain(lines).enumerate() {
            let lead = if at == 0 { "- " } else { "  " };
            let _ = if line.is_empty() {
                writeln!(text)
            } else {
                writeln!(text, "{}{lead}{line}", " ".repeat(column))
            };
        }
    }
    text
}

/// The same clusters in JSON.
fn objects(clusters: &Clusters, ty: Option<&str>) -> serde_json::Value {
    let object = |(name, port, kind): &(String, usize, usize)| {
        let address = serde_json::json!({"socketAddress": {"address": "127.0.0.1", "portValue": port}});
        let endpoints = serde_json::json!([{"lbEndpoints": [{"endpoint": {"address": address}}]}]);
        let mut object = serde_json::json!({
            "name": name,
            "type": "STATIC",
            "loadAssignment": {"clusterName": name, "endpoints": endpoints}
        });
        match kind {
            0 => object["maxRequestsPerConnection"] = 3.into(),
            1 => object["altStatName"] = "${A}".into(),
            2 => object["metadata"] = serde_json::json!({"filterMetadata": {"own": {"note": "a], {b} # ä"}}}),
            _ => {}
        }
        if let Some(ty) = ty {
            object["@type"] = ty.into();
        }
        object
    };
    clusters.iter().map(object).collect()
}

fn json(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).expect("it is JSON")
}

const ENDPOINTS: &str = "endpoints:\n- cluster_name: x\n  endpoints:\n  - lb_endpoints:\n    \
    - endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}\n- cluster_name: other\n";
const LISTENER: &str = "listeners:\n- name: l\n  address: {socket_address: {address: 127.0.0.1, port_value: 1}}\n  \
    filter_chains:\n  - filters:\n    - name: t\n      typed_config:\n        \
    \"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy\n        \
    stat_prefix: t\n        cluster: a\n- address: {socket_address: {address: 127.0.0.1, port_value: 2}}\n  filter_chains: [{}]\n";

/// The ways in which people write their lists.
fn styles(clusters: &Clusters) -> Vec<(&'static str, String)> {
    let plain = list(clusters, 0, "");
    let indented = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let secrets = "secrets:\n- name: p\n  generic_secret: {secret: {inline_string: hunter2}}\n- name: q\n  \
        generic_secret:\n    secret:\n      inline_string: |\n        hunter3\n\n";
    vec![
        ("alone", format!("clusters:\n{plain}")),
        ("with others", format!("clusters:\n{plain}{ENDPOINTS}{LISTENER}")),
        ("behind others", format!("# head\n---\n{LISTENER}{secrets}# between\nclusters:\n{plain}")),
        ("between secrets", format!("{secrets}clusters:\n{plain}x-own: {{a: 1}}\n")),
        ("indented", format!("clusters:\n{}\nendpoints: []\n", list(clusters, 4, ""))),
        ("crlf", format!("clusters:\n{plain}{ENDPOINTS}").replace('\n', "\r\n")),
        ("for some nodes", format!("nodes:\n- id: 'a*'\nclusters:\n{plain}\n# tail\n")),
        ("nodes behind", format!("clusters:\n{plain}nodes: {{id: a}}\n")),
        (
            "json beside",
            format!("clusters:\n{plain}endpoints: [{{cluster_name: x}}, {{cluster_name: other}}]\n"),
        ),
        (
            "a bootstrap",
            format!(
                "admin: {{address: {{pipe: {{path: /x}}}}}}\nstatic_resources:\n{}  clusters:\n{}",
                indented(LISTENER),
                list(clusters, 2, "")
            ),
        ),
        (
            "a bootstrap's first",
            format!(
                "static_resources:\n    clusters:\n{}    listeners: []\nnode: {{id: a}}\n",
                list(clusters, 6, "")
            ),
        ),
        (
            "a bootstrap's last",
            format!(
                "static_resources:\n  clusters:\n{}\nadmin:\n  address: {{pipe: {{path: /x}}}}\n",
                list(clusters, 4, "")
            ),
        ),
        (
            "filesystem",
            format!(
                "version_info: '1'\nresources:\n{}",
                list(clusters, 0, "\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster")
            ),
        ),
        (
            "anchors beside",
            format!(
                "x-own:\n  timeout: &t 1s\nclusters:\n{plain}{ENDPOINTS}- &e\n  cluster_name: z\nroutes:\n- name: r\n  max_direct_response_body_size_bytes: &n 7\n- name: s\n  max_direct_response_body_size_bytes: *n\n"
            ),
        ),
        (
            "variables beside",
            format!(
                "clusters:\n{plain}endpoints:\n- cluster_name: ${{A}}\n- cluster_name: ${{B:-b}}\nsecrets:\n- name: k\n  generic_secret: {{secret: {{inline_string: !file key}}}}\n"
            ),
        ),
        ("json", json(&serde_json::json!({"clusters": objects(clusters, None), "x-own": "${A}"}))),
        (
            "json in one line",
            serde_json::json!({"clusters": objects(clusters, None), "endpoints": [{"clusterName": "x"}]})
                .to_string()
                .replace("${A}", "value"),
        ),
        (
            "a bootstrap in json",
            json(&serde_json::json!({
                "admin": {},
                "staticResources": {"listeners": [], "clusters": objects(clusters, None)},
                "node": {"id": "${A}"}
            })),
        ),
        (
            "filesystem in json",
            json(&serde_json::json!({
                "x-own": "${A}",
                "resources": objects(clusters, Some("type.googleapis.com/envoy.config.cluster.v3.Cluster"))
            })),
        ),
        ("variables in each", with_variables(&format!("clusters:\n{plain}{ENDPOINTS}"))),
    ]
}

/// The same text with a reference in each cluster, of whatever form.
fn with_variables(text: &str) -> String {
    let forms = ["${A}", "${UNSET:-a${B}c}", "$${A}", "${B:?needed}-${A:-b}"];
    let lines = text.lines().map(|line| match line.strip_prefix("- name: ") {
        Some(name) => {
            let form = forms[name.bytes().map(usize::from).sum::<usize>() % forms.len()];
            format!("- name: {name}\n  lrs_report_endpoint_metrics: [x-{form}]\n")
        }
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// One edit, and the most items that are to be read for it.
fn ordinary(clusters: &mut Clusters, random: &mut Random, step: usize) -> (&'static str, usize) {
    let at = random.below(clusters.len());
    let kind = random.below(5);
    match random.below(if clusters.len() > 1 { 6 } else { 3 }) {
        0 | 1 => {
            clusters[at].1 = 1 + (clusters[at].1 + 1 + random.below(40_000)) % 60_000;
            ("a port", 1)
        }
        2 => {
            clusters.insert(random.below(clusters.len() + 1), (format!("new-{step}"), 80, kind));
            ("one more", 2)
        }
        3 => {
            clusters.remove(at);
            ("one less", 2)
        }
        4 => {
            clusters[at].0 = format!("renamed-{step}");
            ("another name", 1)
        }
        _ => {
            let other = (at + 1) % clusters.len();
            clusters[at].1 = 1 + random.below(60_000);
            clusters[other].1 = 1 + random.below(60_000);
            ("two ports", clusters.len())
        }
    }
}

#[test]
fn for_an_ordinary_edit_of_a_list_only_what_changed_is_read_and_all_is_as_if_all_was() {
    let variables = Variables::new([("A", "value"), ("B", "longer value")]);
    let count = styles(&Clusters::new()).len();
    for style in 0..count {
        let mut random = Random(style as u64);
        let mut clusters: Clusters = ["a", "b", "c", "d", "e", "f"]
            .iter()
            .enumerate()
            .map(|(at, name)| ((*name).into(), at + 1, at))
            .collect();
        let (name, text) = styles(&clusters).swap_remove(style);
        let mut file = File::new(text, variables.clone());
        assert!(file.loaded.is_sound(), "{name}: {:?}", file.loaded.diagnostics);
        for step in 0..25 {
            let (what, limit) = ordinary(&mut clusters, &mut random, step);
            let text = styles(&clusters).swap_remove(style).1;
            let before = file.text.clone();
            let decoded = file.edit(text);
            assert!(
                decoded <= limit,
                "{name}, {what}: {decoded} were read, from\n{before}\n===== to\n{}",
                file.text
            );
        }
    }
}

#[test]
fn what_is_as_it_was_is_the_same_value() {
    let clusters: Clusters = ["a", "b", "c"].map(|name| (name.to_owned(), 1, 9)).into();
    let mut file = File::new(format!("clusters:\n{}", list(&clusters, 0, "")), Variables::default());
    let before = file.loaded.items.clone();
    // What is read again, because something is gone behind it, is as it was.
    let shorter = file.text[..file.text.find("- name: c").unwrap()].to_owned();
    assert_eq!(file.edit(shorter), 1);
    assert_eq!(file.loaded.items.len(), 2);
    for (new, old) in file.loaded.items.iter().zip(&*before) {
        assert!(Arc::ptr_eq(&new.resource, &old.resource), "{}", new.resource.name());
    }
}

#[test]
fn what_bears_on_more_than_its_item_is_read_whole() {
    let base = "x-own: &o {a: 1}\nclusters:\n- name: a\n  type: STATIC\n- name: b\n  type: STATIC\n- name: c\n  type: STATIC\nendpoints:\n- cluster_name: x\n";
    for (from, to) in [
        ("- name: b", "- name: a"),
        ("- name: b", "- name: \"b"),
        ("- name: b", "- name: b\n  alt_stat_name: |"),
        ("- name: b", "- name: {b"),
        ("- name: b", " - name: b"),
        ("- name: b", "b:\n- name: b"),
        ("- name: b\n", "- name: b\nendpoints:\n- cluster_name: other\n- cluster_name: z\n"),
        ("- name: b\n", "- name: b\nclusters:\n- name: y\n  "),
        ("- name: b\n", "- name: b\nnext: 1\n"),
        ("- name: b\n", "- name: b\n---\nclusters:\n- name: y\n"),
        ("- name: b\n", "- name: b\n...\n"),
        ("- name: b\n", "- name: b\n  metadata: *o\n"),
        ("- name: b\n", "- name: b\n  <<: {type: STATIC}\n"),
        ("- name: c\n  type: STATIC\n", "- name: c\n  type: STATIC\n<<: {routes: [{name: r}]}\n"),
        ("- name: c\n  type: STATIC\n", "- name: c\n  type: STATIC\n!ignore endpoints: 1\n"),
        ("- cluster_name: x", "- cluster_name: x\n...\nclusters: []"),
        ("clusters:\n", "clusters: #\n"),
        ("x-own", "x-other"),
        ("endpoints:", "endpoints: "),
        ("endpoints:", "ttls: {b: 1s}\nendpoints:"),
        ("endpoints:", "nodes: {id: z}\nendpoints:"),
        ("type: STATIC\n- name: b", "type: STATIC\0\n- name: b"),
    ] {
        let mut file = File::new(base.to_owned(), Variables::new([("A", "1s")]));
        file.edit(base.replacen(from, to, 1));
        // And back.
        let mut file = File::new(base.replacen(from, to, 1), Variables::new([("A", "1s")]));
        file.edit(base.to_owned());
    }
}

#[test]
fn what_is_no_object_among_the_others_of_its_list_is_read_whole_in_json() {
    let base = r#"{"clusters": [{"name": "a"}, {"name": "b"}, {"name": "c"}], "endpoints": [{"cluster_name": "x"}]}"#;
    let object = r#"{"name": "b"}"#;
    // What is merged stands for more than itself; a reference goes to the brace that closes it, wherever that is.
    let merged = r#"{"clusters": [&a {"name": "a", "connect_timeout": "1s"}, {"<<": *a, "name": "b"}, {"name": "c"}]}"#;
    let unquoted = merged.replace("\"<<\"", "<<");
    let open =
        r#"{"clusters": [{"name": "a", "alt_stat_name": "${X:-{{"}, {"name": "b", "alt_stat_name": "1s"}]}"#;
    for (before, to) in [(merged, "2s"), (&*unquoted, "2s"), (open, "}")] {
        let variables = Variables::new([("A", "value")]);
        File::new(before.to_owned(), variables.clone()).edit(before.replacen("1s", to, 1));
        File::new(before.replacen("1s", to, 1), variables).edit(before.to_owned());
    }
    for to in [
        r#"{"name": "b"}], "routes": [{"name": "r"}"#,
        r#"{"name": "b"}], "clusters": [{"name": "r"}"#,
        r#"{"name": "b"}}"#,
        r#"{"name": "b"}]"#,
        r#"{"name": "b""#,
        r#"{"name": "b}"#,
        r#"{"name": "a"}"#,
        r#"{"name": "b"} #"#,
        "{\"name\": \"b\"} #\n",
        r#"{"name": "b"}: 1"#,
        r#"? {"name": "b"}"#,
        r#"&o {"name": "b"}"#,
        r#"!ignore {"name": "b"}"#,
        r#"{"name": "b"}, "#,
        r#"{"name": "b"},,"#,
        r#"{"name": "b"} {"name": "d"}"#,
        r#"[{"name": "b"}]"#,
        r#"{"name": "b"}, "d""#,
        "",
        "null",
        "\n---\n{\"name\": \"b\"}",
        "\t{\"name\":\t\"b\"}",
        "{\"name\": \"b\"\u{0}}",
    ] {
        for (before, after) in
            [(base, base.replacen(object, to, 1)), (&base.replacen(object, to, 1), base.into())]
        {
            File::new(before.to_owned(), Variables::default()).edit(after);
        }
    }
    let mut file = File::new(base.to_owned(), Variables::default());
    assert_eq!(file.edit(base.replacen(object, r#"{"name": "b"}, {"name": "d"}"#, 1)), 2);
    assert_eq!(file.edit(base.replacen(object, r#"{"name": "d"}"#, 1)), 1);
    assert_eq!(file.edit(base.replacen(r#", {"name": "c"}"#, "", 1).replacen("\"b\"", "\"d\"", 1)), 1);
}

#[test]
fn a_list_may_stand_far_to_the_right() {
    let wide = " ".repeat(70_000);
    let text = |port: usize| {
        let clusters: Clusters = ["a", "b", "c"].map(|name| (name.to_owned(), port, 9)).into();
        let list = list(&clusters, 70_002, "");
        format!("static_resources:\n{wide}clusters:\n{list}{wide}listeners: []\n")
    };
    let mut file = File::new(text(1), Variables::default());
    assert_eq!(file.edit(text(2).replacen("port_value: 2", "port_value: 1", 2)), 1);
    assert!(file.loaded.is_sound());
}

#[test]
fn an_item_of_which_others_speak_is_read_with_them() {
    const TLS: &str = "    transport_socket:\n      name: t\n      typed_config:\n        \
        '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n        \
        common_tls_context: {validation_context_sds_secret_config: {name: s}}\n";
    let secrets = format!(
        "static_resources:\n  secrets:\n  - name: s\n    validation_context: {{}}\n  clusters:\n  \
         - name: a\n    type: STATIC\n{TLS}  - name: b\n    type: STATIC\n"
    );
    let anchor =
        "clusters:\n- name: a\n  connect_timeout: &t 1s\n- name: b\n  connect_timeout: *t\n- name: c\n";
    let ttls = "clusters:\n- name: a\n- name: b\n- name: c\nttls: {b: 1s}\n";
    let key = "secrets:\n- name: a\n  generic_secret: {secret: {inline_string: !file key}}\n- name: b\n  \
        generic_secret: {secret: {inline_string: key}}\n- name: c\n  generic_secret: {secret: {inline_string: x}}\n";
    let scope = |name: &str| {
        format!(
            "- name: {name}\n  route_configuration_name: r\n  \
             key: {{fragments: [{{string_key: x}}]}}\n"
        )
    };
    let spelled = format!(
        "scopedRoutes:\n{}{}scoped_routes:\n{}{}",
        scope("a"),
        scope("b"),
        scope("c"),
        scope("d\n  on_demand: true\n  on_demand: false")
    );
    let without = spelled.replacen(&scope("b"), "", 1);
    let variable = "clusters:\n- name: ${A}\n- name: b\n";
    for (base, from, to) in [
        (&*secrets, "name: a", "name: c"),
        (&*secrets, "name: b", "name: c"),
        (&*secrets, "  - name: s", "  - name: r"),
        (anchor, "&t 1s", "1s"),
        (anchor, "&t 1s", "&t 2s"),
        (anchor, "*t", "1s"),
        (anchor, "name: b", "name: e"),
        (ttls, "name: b", "name: b\n  type: STATIC"),
        (ttls, "name: b", "name: e"),
        (ttls, "name: a", "name: e"),
        (key, "!file key", "key"),
        (key, "string: key", "string: !file key"),
        (key, "string: x", "string: w"),
        (variable, "${A}", "x"),
        (&spelled, "name: b", "name: e"),
        (&spelled, &spelled, &without),
    ] {
        let changed = base.replacen(from, to, 1);
        for (before, after) in [(base, &*changed), (&*changed, base)] {
            File::new(before.to_owned(), Variables::new([("A", "1s")])).edit(after.to_owned());
        }
    }
    assert!(File::new(spelled, Variables::default()).loaded.is_sound());
    let file = File::new(secrets, Variables::default());
    assert!(
        file.loaded.diagnostics.iter().any(|finding| finding.code == "secret-over-ads"),
        "{:?}",
        file.loaded.diagnostics
    );
}

#[test]
fn what_the_file_draws_on_counts_as_much_as_its_text() {
    let text = |port: usize| {
        format!(
            "clusters:\n- name: a\n  alt_stat_name: $HOME\n- name: ${{A:-x}}\n- name: c\n{}",
            list(&vec![("d".to_owned(), port, 9), ("e".to_owned(), 1, 9)], 0, "")
        )
    };
    let (one, two) = (Variables::new([("A", "one")]), Variables::new([("A", "two")]));
    let some = one.clone().only(["A".to_owned()]);
    let all = [one, two, some, Variables::default()];
    for (at, before) in all.iter().enumerate() {
        for (other, now) in all.iter().enumerate() {
            let mut file = File::new(text(1), before.clone());
            file.variables = now.clone();
            let decoded = file.edit(text(2));
            assert_eq!(decoded == 1, at == other, "{before:?} to {now:?}");
        }
    }
}

/// What is served of these files after a start with them, and what is said of names that stand twice.
fn served(
    fragments: &mut Fragments,
    sources: &Sources,
    changed: &[&str],
) -> (Option<Snapshot>, Vec<Diagnostic>) {
    let changed: Vec<FileName> = changed.iter().map(|name| (*name).into()).collect();
    let outcome = fragments.update(sources, &changed);
    let snapshot = match outcome.verdict {
        Verdict::Publish(snapshot) => Some(snapshot),
        _ => None,
    };
    (
        snapshot,
        outcome.diagnostics.into_iter().filter(|finding| finding.code == "duplicate-resource").collect(),
    )
}

fn all(snapshot: &Snapshot) -> Vec<Arc<Resource>> {
    let all = Kind::ALL.into_iter().flat_map(|kind| snapshot.iter(kind));
    all.map(|(_, resource)| resource.clone()).collect()
}

#[test]
fn many_edits_of_a_file_end_in_what_a_start_with_it_serves_and_says() {
    let start = || Fragments::new(API.clone(), Policy::default(), Default::default());
    let mut sources = Sources {
        dirs: [Directory { path: "d".into(), state: DirState::Present }].into(),
        ..Sources::default()
    };
    let put = |sources: &mut Sources, name: &str, text: &str| {
        let file = SourceFile { path: format!("d/{name}").into(), content: Ok(text.to_owned().into()) };
        sources.files.insert(name.into(), file);
    };
    let other = "# other\nclusters:\n- name: twice\n  type: STATIC\n";
    put(&mut sources, "other.yaml", other);
    let mut clusters: Clusters = (0..12).map(|at| (format!("c{at}"), at + 1, at)).collect();
    let (mut random, mut last, mut clashes) = (Random(3), None, 0);
    let mut fragments = start();
    for step in 0..60 {
        if step > 0 {
            ordinary(&mut clusters, &mut random, step);
        }
        clusters.retain(|(name, ..)| name != "twice");
        if step % 5 == 4 {
            clusters.insert(random.below(clusters.len()), ("twice".into(), 80, step % 4));
        }
        put(&mut sources, "list.yaml", &styles(&clusters).swap_remove(1).1);
        let changed: &[&str] = if step == 0 { &["list.yaml", "other.yaml"] } else { &["list.yaml"] };
        let (snapshot, said) = served(&mut fragments, &sources, changed);
        last = snapshot.or(last);
        let (fresh, fresh_said) = served(&mut start(), &sources, &["list.yaml", "other.yaml"]);
        assert_eq!(said, fresh_said, "step {step}");
        clashes += said.len();
        if let Some(fresh) = fresh {
            assert_eq!(last.as_ref().map(all), Some(all(&fresh)), "step {step}");
        }
    }
    assert_eq!(clashes, 12);
}

const PIECES: [&str; 48] = [
    "1",
    "a",
    "\n",
    "\n\n",
    " ",
    "  ",
    "# c\n",
    "- ",
    "\n- ",
    "\n  - ",
    "- name: a\n",
    "- name: fresh\n",
    "  - name: fresh\n",
    "- name: fresh\n  type: STATIC\n- name: other\n",
    "clusters:\n",
    "\nendpoints:\n",
    "endpoints: []\n",
    "nodes: [{id: z}]\n",
    "ttls: {a: 1s}\n",
    "x-more: 1\n",
    "next: {}\n",
    "&a ",
    "*a",
    "*n",
    "<<: {}\n",
    "---\n",
    "...\n",
    "%TAG ! x\n",
    "\t",
    "\r\n",
    "\r",
    "\0",
    "|\n",
    "|+\n",
    ">-\n",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    ": ",
    "? ",
    "${A}",
    "$${",
    "!file key",
    "!ignore ",
    "\u{feff}",
];

/// The same text with a random change.
fn damaged(text: &str, random: &mut Random) -> String {
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let lines: Vec<usize> =
        std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let line = lines[random.below(lines.len())];
    let at = if random.below(3) == 0 { line } else { boundary(random.below(text.len() + 1)) };
    let (before, rest) = text.split_at(at);
    match random.below(8) {
        0 => {
            let end = boundary(at + random.below(text.len() - at + 1).min(40));
            format!("{before}{}", &text[end.max(at)..])
        }
        // Lines go, or stand twice.
        1 | 2 => {
            let to =
                (lines.partition_point(|known| *known < line) + 1 + random.below(4)).min(lines.len() - 1);
            let stretch = &text[line..lines[to].max(line)];
            let kept = if random.below(2) == 0 { "" } else { stretch };
            format!("{}{kept}{kept}{}", &text[..line], &text[line + stretch.len()..])
        }
        3 | 4 => {
            let digits: Vec<usize> =
                text.match_indices(|c: char| c.is_ascii_digit()).map(|(at, _)| at).collect();
            let Some(at) = digits.get(random.below(digits.len())) else { return text.to_owned() };
            format!("{}{}{}", &text[..*at], random.below(12), &text[at + 1..])
        }
        _ => format!("{before}{}{rest}", PIECES[random.below(PIECES.len())]),
    }
}

/// How many times as many random edits as usual there are to be.
fn steps(usual: usize) -> usize {
    let more = std::env::var("FUZZ_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    usual * more
}

/// Changes a file again and again; gives how often less than all was read, and how often it stayed sound.
fn change_often(first: &str, steps: usize, random: &mut Random) -> (usize, usize) {
    let (mut hits, mut sound) = (0, 0);
    let mut file = File::new(first.to_owned(), Variables::new([("A", "value")]));
    for _ in 0..steps {
        let mut next = damaged(&file.text, random);
        if random.below(4) == 0 {
            next = damaged(&next, random);
        }
        let decoded = file.edit(next.clone());
        let is_sound = file.text == next && file.loaded.items.len() > 1;
        sound += usize::from(is_sound);
        hits += usize::from(is_sound && decoded < file.loaded.items.len());
        if random.below(10) == 0 {
            file = File::new(first.to_owned(), file.variables);
        }
    }
    (hits, sound)
}

#[test]
fn whatever_is_done_to_lists_a_part_that_is_read_alone_gives_what_the_whole_gives() {
    let clusters: Clusters =
        ["a", "b", "c"].iter().enumerate().map(|(at, name)| ((*name).into(), at, at)).collect();
    let mut random = Random(7);
    let all: Vec<_> =
        styles(&clusters).iter().map(|(_, text)| change_often(text, steps(120), &mut random)).collect();
    let (hits, sound) = all.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(hits * 2 > sound && hits > 300, "{hits} of {sound} were read in part");
}

fn files(dir: &Path, all: &mut Vec<String>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("readable").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, all);
        } else if let Ok(text) = std::fs::read_to_string(&path)
            && text.len() < 20_000
            && path.file_name().is_some_and(|name| name != "expect.txt")
        {
            all.push(text);
        }
    }
}

#[test]
fn whatever_is_done_to_the_cases_it_gives_what_the_whole_gives() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for dir in ["tests/cases", "config.d", "fuzz/corpus"] {
        files(&root.join(dir), &mut all);
    }
    let mut random = Random(11);
    let hits: usize = all.iter().map(|text| change_often(text, steps(6), &mut random).0).sum();
    assert!(all.len() > 100 && hits > 10, "{} files, {hits} read in part", all.len());
}
