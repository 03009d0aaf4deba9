//! Fragments as sequences of changes: what is served after each, what is held, and what is said.
//!
//! Comes in: files by name and text. Goes out: what the snapshot would give, by name and audience.

mod loose;
mod narrowing;
mod references;
mod restarts;
mod starts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;

use super::{
    Accept, Condition, Drew, FileName, Fragments, Hold, Kept, Look, OnError, Outcome, Policy, Saved, Verdict,
};
use crate::diagnostic::{Diagnostic, Position, Severity};
use crate::envoy_api::Api;
use crate::resource::Kind;
use crate::snapshot::Snapshot;
use crate::source::{DirState, Directory, FileKind, ReadProblem, SourceFile, Sources};

const BROKEN: &str = "clusters: [\n";

/// A directory of fragments and what is served of it.
struct Bench {
    sources: Sources,
    fragments: Fragments,
    served: Option<Snapshot>,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Policy::default(), &[])
    }

    fn with(policy: Policy, saved: &[(&str, &str)]) -> Bench {
        let saved = saved.iter().map(|(name, text)| {
            let text = Bytes::copy_from_slice(text.as_bytes());
            let saved = Saved { path: format!("d/{name}").into(), text, drew: Drew::default() };
            (FileName::from(*name), Kept::Here(saved))
        });
        let api = Api::embedded().expect("the shipped set is whole");
        let dirs = [Directory { path: "d".into(), state: DirState::Present }].into();
        Bench {
            sources: Sources { files: OrdMap::new(), dirs, extra: OrdMap::new() },
            fragments: Fragments::new(api, policy, saved.collect()),
            served: None,
        }
    }

    /// Ends the daemon at this moment, changes files, and starts it again.
    fn restart(self, files: &[(&str, Option<&str>)]) -> (Bench, Outcome) {
        let served = self.fragments.served();
        let text = |look: &Look| look.text().expect("what is served is text");
        let texts: Vec<(&str, String)> = served.iter().map(|(name, look)| (&**name, text(look))).collect();
        let saved: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, &**text)).collect();
        let mut bench = Bench::with(Policy::default(), &saved);
        bench.fragments = bench.fragments.with_all_saved(true);
        bench.sources = self.sources;
        bench.write(files);
        let names: Vec<FileName> = bench.sources.files.keys().cloned().collect();
        let outcome = bench.fragments.update(&bench.sources, &names);
        let outcome = bench.take(outcome);
        (bench, outcome)
    }

    /// One change: files with their new text, or without one to remove them.
    fn change(&mut self, files: &[(&str, Option<&str>)]) -> Outcome {
        self.write(files);
        let changed: Vec<FileName> = files.iter().map(|(name, _)| (*name).into()).collect();
        let outcome = self.fragments.update(&self.sources, &changed);
        self.take(outcome)
    }

    fn write(&mut self, files: &[(&str, Option<&str>)]) {
        for (name, text) in files {
            match text {
                Some(text) => {
                    let content = Ok((*text).to_owned().into());
                    let file = SourceFile { path: format!("d/{name}").into(), content };
                    self.sources.files.insert((*name).into(), file);
                }
                None => {
                    self.sources.files.remove(*name);
                }
            }
        }
    }

    fn put(&mut self, name: &str, text: &str) -> Outcome {
        self.change(&[(name, Some(text))])
    }

    fn remove(&mut self, name: &str) -> Outcome {
        self.change(&[(name, None)])
    }

    fn accept(&mut self, accept: Accept) -> Outcome {
        let outcome = self.fragments.accept(accept);
        self.take(outcome)
    }

    fn take(&mut self, outcome: Outcome) -> Outcome {
        if let Verdict::Publish(snapshot) | Verdict::Restored(snapshot, _) = &outcome.verdict {
            self.served = Some(snapshot.clone());
        }
        outcome
    }

    /// Names of everything that is served.
    fn served(&self) -> Vec<String> {
        let names = |snapshot: &Snapshot| {
            let of = |kind| snapshot.iter(kind).map(|(_, r)| r.name().to_string()).collect::<Vec<_>>();
            let mut all: Vec<String> = Kind::ALL.into_iter().flat_map(of).collect();
            all.sort();
            all
        };
        self.served.as_ref().map(names).unwrap_or_default()
    }

    fn condition(&self, name: &str) -> Option<Condition> {
        self.fragments.standings().get(name).map(|standing| standing.state.clone())
    }
}

fn cluster(name: &str) -> String {
    format!("clusters:\n- name: {name}\n")
}

fn eds_cluster(name: &str) -> String {
    format!("clusters:\n- name: {name}\n  type: EDS\n  eds_cluster_config: {{eds_config: {{ads: {{}}}}}}\n")
}

fn endpoints(name: &str) -> String {
    format!("endpoints:\n- cluster_name: {name}\n")
}

fn route(name: &str, cluster: &str) -> String {
    format!(
        "routes:\n- name: {name}\n  virtual_hosts:\n  - name: all\n    domains: ['*']\n    routes:\n    - match: {{prefix: /}}\n      \
         route: {{cluster: {cluster}}}\n"
    )
}

fn listener(name: &str, route: &str) -> String {
    let hcm = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    format!(
        "listeners:\n- name: {name}\n  address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}\n  \
         filter_chains:\n  - filters:\n    - name: hcm\n      typed_config:\n        '@type': {hcm}\n        stat_prefix: x\n        \
         rds: {{route_config_name: {route}, config_source: {{ads: {{}}}}}}\n        http_filters:\n        - name: router\n          \
         typed_config: {{'@type': {router}}}\n"
    )
}

fn for_node(id: &str, text: &str) -> String {
    format!("nodes: [{{id: '{id}'}}]\n{text}")
}

fn is_published(outcome: &Outcome) -> bool {
    matches!(outcome.verdict, Verdict::Publish(_))
}

fn codes(outcome: &Outcome) -> Vec<&'static str> {
    outcome.diagnostics.iter().map(|finding| finding.code).collect()
}

fn held(outcome: &Outcome) -> Vec<Hold> {
    match &outcome.verdict {
        Verdict::Held(holds) | Verdict::Restored(_, holds) => holds.clone(),
        _ => Vec::new(),
    }
}

/// `severity code file:line:column path` of each finding.
fn said(outcome: &Outcome) -> Vec<String> {
    let place = |finding: &Diagnostic| {
        let look = outcome.looks.iter().find(|look| look.path == finding.file);
        let span = finding.span.zip(look.and_then(|look| look.text()));
        span.map_or(String::new(), |(span, text)| {
            format!(":{} {}", Position::of(&text, span.start), finding.path)
        })
    };
    let line = |f: &Diagnostic| format!("{} {} {}{}", f.severity, f.code, f.file, place(f));
    outcome.diagnostics.iter().map(line).collect()
}

/// All orders of a list.
fn orders<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let with_first = |at: usize| {
        let mut rest = items.to_vec();
        let first = rest.remove(at);
        orders(&rest).into_iter().map(move |mut order| {
            order.insert(0, first.clone());
            order
        })
    };
    (0..items.len()).flat_map(with_first).collect()
}

#[test]
fn a_broken_fragment_keeps_its_last_good_content_and_the_others_go_on() {
    let mut bench = Bench::new();
    bench.change(&[("a.yaml", Some(&cluster("a1"))), ("b.yaml", Some(&cluster("b1")))]);
    let outcome = bench.change(&[("a.yaml", Some(BROKEN)), ("b.yaml", Some(&cluster("b2")))]);
    assert!(is_published(&outcome));
    assert_eq!(bench.served(), ["a1", "b2"]);
    assert_eq!(bench.condition("a.yaml"), Some(Condition::Stale));
    let since = bench.fragments.standings()["a.yaml"].since;
    assert!(matches!(bench.put("a.yaml", &format!("{BROKEN}#")).verdict, Verdict::Unchanged));
    assert_eq!(bench.fragments.standings()["a.yaml"].since, since);
    assert!(bench.fragments.standings()["a.yaml"].findings > 0);
    bench.put("a.yaml", &cluster("a2"));
    assert_eq!(bench.served(), ["a2", "b2"]);
    assert_eq!(bench.condition("a.yaml"), Some(Condition::Good));
    assert!(matches!(bench.put("new.yaml", BROKEN).verdict, Verdict::Unchanged));
    assert_eq!(bench.condition("new.yaml"), Some(Condition::Refused));
    bench.remove("new.yaml");
    assert_eq!(bench.condition("new.yaml"), None);
}

#[test]
fn a_file_that_cannot_be_read_is_broken_and_not_removed() {
    let mut bench = Bench::new();
    bench.change(&[("a.yaml", Some(&cluster("a"))), ("b.yaml", Some(&cluster("b")))]);
    let file = SourceFile { path: "d/a.yaml".into(), content: Err(ReadProblem::PermissionDenied) };
    bench.sources.files.insert("a.yaml".into(), file);
    let outcome = bench.fragments.update(&bench.sources, &["a.yaml".into()]);
    assert!(matches!(outcome.verdict, Verdict::Unchanged));
    assert_eq!(said(&outcome), ["error unreadable-file d/a.yaml"]);
    assert_eq!(bench.condition("a.yaml"), Some(Condition::Stale));
}

#[test]
fn a_contradiction_keeps_the_whole_previous_snapshot() {
    let mut bench = Bench::new();
    bench.change(&[("a.yaml", Some(&cluster("a"))), ("b.yaml", Some(&cluster("b")))]);
    let outcome = bench.change(&[("b.yaml", Some(&cluster("a"))), ("c.yaml", Some(&cluster("c")))]);
    assert_eq!(held(&outcome), [Hold::Contradiction]);
    assert_eq!(said(&outcome), ["error duplicate-resource d/b.yaml:2:9 clusters[0].name"]);
    assert!(
        outcome.looks.iter().any(|look| &*look.path == "d/a.yaml"),
        "the text of the first place is there"
    );
    assert_eq!(bench.served(), ["a", "b"]);
    bench.put("b.yaml", &cluster("b"));
    assert_eq!(bench.served(), ["a", "b", "c"]);
}

#[test]
fn a_place_in_a_content_that_its_file_has_no_more_is_not_pointed_at() {
    let mut bench = Bench::new();
    bench.change(&[("a.yaml", Some(&cluster("a"))), ("b.yaml", Some(&cluster("b")))]);
    bench.put("b.yaml", "clusters: [}");
    let outcome = bench.put("a.yaml", &cluster("b"));
    assert_eq!(held(&outcome), [Hold::Contradiction]);
    assert_eq!(said(&outcome), ["error duplicate-resource d/b.yaml"]);
}

#[test]
fn with_on_error_hold_an_error_holds_every_change() {
    let mut bench = Bench::with(Policy { on_error: OnError::Hold, ..Policy::default() }, &[]);
    bench.change(&[("a.yaml", Some(&cluster("a1"))), ("b.yaml", Some(&cluster("b1")))]);
    let outcome = bench.change(&[("a.yaml", Some(BROKEN)), ("b.yaml", Some(&cluster("b2")))]);
    assert_eq!(held(&outcome), [Hold::Errors]);
    assert_eq!(bench.served(), ["a1", "b1"]);
    bench.put("a.yaml", &cluster("a2"));
    assert_eq!(bench.served(), ["a2", "b2"]);
}

fn clusters(names: std::ops::Range<usize>) -> String {
    let list: String = names.map(|n| format!("- name: c{n}\n")).collect();
    format!("clusters:\n{list}")
}

#[test]
fn more_than_half_of_more_than_ten_resources_are_not_removed_unasked() {
    let start = || {
        let mut bench = Bench::new();
        bench.change(&[("a.yaml", Some(&clusters(0..5))), ("b.yaml", Some(&clusters(5..12)))]);
        bench
    };
    let mut bench = start();
    let outcome = bench.remove("b.yaml");
    assert_eq!(held(&outcome), [Hold::Removal]);
    assert_eq!(said(&outcome), ["error mass-removal d"]);
    assert!(
        outcome.diagnostics[0].message.contains("7 of the 12")
            && outcome.diagnostics[0].message.contains("b.yaml")
    );
    assert_eq!(bench.served().len(), 12);
    assert_eq!(bench.condition("b.yaml"), Some(Condition::Held([Hold::Removal].into())));
    // The files come back.
    assert!(!is_published(&bench.put("b.yaml", &clusters(5..12))));
    assert_eq!(bench.condition("b.yaml"), Some(Condition::Good));
    assert!(is_published(&bench.put("a.yaml", &clusters(0..4))));
    // Half is not more than half; and it is confirmed otherwise.
    let mut bench = start();
    assert!(is_published(&bench.put("b.yaml", &clusters(5..6))));
    let mut bench = start();
    bench.put("b.yaml", "x-nothing: 1\n");
    assert_eq!(held(&bench.accept(Accept { unresolved: true, removals: false })), [Hold::Removal]);
    assert!(is_published(&bench.accept(Accept { removals: true, unresolved: false })));
    assert_eq!(bench.served().len(), 5);
    assert!(is_published(&bench.put("b.yaml", &clusters(5..12))));
    // Of ten, any part may go.
    let mut bench = Bench::new();
    bench.change(&[("a.yaml", Some(&clusters(0..1))), ("b.yaml", Some(&clusters(1..10)))]);
    assert!(is_published(&bench.remove("b.yaml")));
}

#[test]
fn files_that_come_back_one_by_one_take_nothing_away_meanwhile() {
    let files = |numbers: std::ops::Range<usize>| {
        numbers.map(|n| (format!("{n}.yaml"), clusters(n..n + 1))).collect::<Vec<_>>()
    };
    let start = || {
        let mut bench = Bench::new();
        for (name, text) in files(0..12) {
            bench.put(&name, &text);
        }
        let all = files(0..12);
        let changes: Vec<(&str, Option<&str>)> = all[2..].iter().map(|(name, _)| (&**name, None)).collect();
        assert_eq!(held(&bench.change(&changes)), [Hold::Removal]);
        bench
    };
    let mut bench = start();
    for (name, text) in files(2..11) {
        assert_eq!(held(&bench.put(&name, &text)), [Hold::Removal], "{name}");
        assert_eq!(bench.served().len(), 12);
    }
    let (name, text) = &files(11..12)[0];
    assert!(!is_published(&bench.put(name, text)));
    assert_eq!(bench.condition(name), Some(Condition::Good));
    // All were back: what is removed now is a change of its own.
    assert!(is_published(&bench.remove(name)));
    // What is still gone may be confirmed.
    let mut bench = start();
    for (name, text) in files(2..9) {
        bench.put(&name, &text);
    }
    assert!(is_published(&bench.accept(Accept { removals: true, unresolved: false })));
    assert_eq!(bench.served().len(), 9);
    assert!(is_published(&bench.remove("0.yaml")));
}

#[test]
fn a_file_that_is_put_back_is_good_while_something_else_is_held() {
    let mut bench = Bench::new();
    bench.change(&[("a.yaml", Some(&clusters(0..5))), ("b.yaml", Some(&clusters(5..12)))]);
    assert_eq!(held(&bench.remove("b.yaml")), [Hold::Removal]);
    bench.put("a.yaml", "clusters: [\n");
    assert_eq!(bench.condition("a.yaml"), Some(Condition::Stale));
    bench.put("a.yaml", &clusters(0..5));
    assert_eq!(bench.condition("a.yaml"), Some(Condition::Good));
    assert_eq!(bench.condition("b.yaml"), Some(Condition::Held([Hold::Removal].into())));
}

#[test]
fn the_last_resource_is_not_removed_unasked() {
    for text in [None, Some("clusters: []\n")] {
        let mut bench = Bench::new();
        bench.put("a.yaml", &cluster("a"));
        assert_eq!(held(&bench.change(&[("a.yaml", text)])), [Hold::Removal], "{text:?}");
        assert_eq!(bench.served(), ["a"]);
        assert!(is_published(&bench.accept(Accept { removals: true, unresolved: false })));
        assert_eq!(bench.served(), [""; 0]);
    }
}

#[test]
fn a_directory_that_vanished_became_empty_or_unreadable_takes_nothing_away() {
    let dir = |path: &str, state| Directory { path: path.into(), state };
    for state in [DirState::Missing, DirState::Present] {
        let mut bench = Bench::new();
        bench.sources.dirs = [dir("d", DirState::Present), dir("other/", DirState::Missing)].into();
        let file = SourceFile { path: "other/o.yaml".into(), content: Ok(cluster("o").into()) };
        bench.sources.files.insert("o.yaml".into(), file);
        bench.change(&[("o.yaml", None)]);
        let file = SourceFile { path: "other/o.yaml".into(), content: Ok(clusters(20..40).into()) };
        bench.sources.files.insert("o.yaml".into(), file);
        bench.fragments.update(&bench.sources, &["o.yaml".into()]);
        bench.put("a.yaml", &cluster("a"));
        bench.sources.dirs = [dir("d", state), dir("other/", DirState::Present)].into();
        let outcome = bench.remove("a.yaml");
        assert_eq!(held(&outcome), [Hold::Removal]);
        assert_eq!(said(&outcome), ["error config-dir-lost d"]);
        bench.sources.dirs = [dir("d", DirState::Present), dir("other/", DirState::Present)].into();
        assert!(!is_published(&bench.put("a.yaml", &cluster("a"))));
        assert_eq!(bench.condition("a.yaml"), Some(Condition::Good));
    }
    let mut bench = Bench::new();
    bench.put("a.yaml", &cluster("a"));
    bench.sources.dirs = [dir("d", DirState::Unreadable("permission denied".into()))].into();
    let outcome = bench.change(&[]);
    assert!(matches!(outcome.verdict, Verdict::Unchanged));
    assert_eq!(said(&outcome), ["error config-dir-lost d"]);
    // At a first start it is not known what is in it.
    let mut bench = Bench::new();
    bench.sources.dirs =
        [dir("e", DirState::Unreadable("permission denied".into())), dir("d", DirState::Present)].into();
    assert!(matches!(bench.put("a.yaml", &cluster("a")).verdict, Verdict::NotYet));
}

#[test]
fn random_changes_end_in_what_a_first_look_at_the_same_files_serves() {
    // A linear congruence is random enough, and the same each time.
    let mut seed = 7_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut bench = Bench::new();
    bench.put("keep.yaml", &cluster("keep"));
    let mut compared = 0;
    for _ in 0..1_500 {
        let name = format!("{}.yaml", random(6));
        let target = random(6);
        let nodes = ["edge-1", "edge-*", "*"][random(3) as usize];
        let text = match random(6) {
            0 => None,
            1 => Some(BROKEN.to_owned()),
            2 => Some(for_node(nodes, &cluster(&format!("c{target}")))),
            3 => Some(eds_cluster(&format!("c{target}"))),
            4 => Some(for_node(nodes, &endpoints(&format!("c{target}")))),
            _ => Some(route(&format!("r{}", random(3)), &format!("c{target}"))),
        };
        let outcome = bench.change(&[(&name, text.as_deref())]);
        let errors = outcome.diagnostics.iter().any(Diagnostic::is_error);
        assert!(errors || held(&outcome).is_empty(), "what is held has an error that says why: {outcome:?}");
        bench.accept(Accept { unresolved: random(4) == 0, removals: true });
        let is_waiting = bench.fragments.standings().values().any(|s| s.state != Condition::Good);
        if !is_waiting {
            let mut fresh = Bench::new();
            fresh.sources = bench.sources.clone();
            let names: Vec<FileName> = bench.sources.files.keys().cloned().collect();
            let outcome = fresh.fragments.update(&fresh.sources, &names);
            fresh.take(outcome);
            assert_eq!(bench.served(), fresh.served());
            compared += 1;
        }
    }
    assert!(compared >= 100, "only {compared} states could be compared");
}

#[test]
fn the_cost_of_a_change_does_not_depend_on_how_much_there_is() {
    let time = |count: usize| {
        let mut bench = Bench::new();
        let names: Vec<String> = (0..count).map(|n| format!("{n}.yaml")).collect();
        let texts: Vec<String> = (0..count)
            .map(|n| format!("{}{}", route(&format!("r{n}"), "c"), cluster(&format!("c{n}"))))
            .collect();
        let files = names.iter().zip(&texts).map(|(name, text)| (name.as_str(), Some(text.as_str())));
        bench.change(&files.chain([("c.yaml", Some(&*cluster("c")))]).collect::<Vec<_>>());
        let changes =
            (0..30).map(|n| bench.put("c.yaml", &format!("{}  alt_stat_name: s{n}\n", cluster("c"))).took);
        changes.min().expect("some changes")
    };
    let (few, many) = (time(50), time(3_000));
    let limit = few * 8 + std::time::Duration::from_millis(1);
    assert!(many < limit, "{few:?} among few, {many:?} among sixty times as many");
}

#[test]
fn standings_name_the_path_that_people_know() {
    let mut bench = Bench::new();
    bench.put("a.yaml", &cluster("a"));
    assert_eq!(bench.fragments.standings()["a.yaml"].path, Arc::from("d/a.yaml"));
}

#[test]
fn any_number_of_old_dangling_references_hides_no_new_one() {
    let mut bench = Bench::new();
    let many: String = (0..1_500)
        .map(|n| format!("    - match: {{prefix: /{n}}}\n      route: {{cluster: m{n}}}\n"))
        .collect();
    let start = format!("{}{many}", route("r", "m"));
    bench.change(&[("r.yaml", Some(&start)), ("c.yaml", Some(&cluster("c")))]);
    let outcome =
        bench.put("r.yaml", &format!("{start}    - match: {{prefix: /x}}\n      route: {{cluster: new}}\n"));
    assert_eq!(held(&outcome), [Hold::Unresolved]);
    let errors: Vec<&Diagnostic> = outcome.diagnostics.iter().filter(|finding| finding.is_error()).collect();
    assert!(errors.len() == 1 && errors[0].message.contains("`new`"), "{errors:?}");
    assert!(outcome.diagnostics.len() <= 1_003, "{}", outcome.diagnostics.len());
}

#[test]
fn a_file_that_is_emptied_in_place_keeps_what_it_held_until_somebody_means_it() {
    for nothing in ["", "\n\n", "# clusters:\n# - name: a\n", "---\n", "\u{feff}"] {
        let mut bench = Bench::new();
        bench.change(&[("a", Some(&cluster("a"))), ("b", Some(&cluster("b")))]);
        let outcome = bench.put("a", nothing);
        assert_eq!(codes(&outcome), ["emptied-file"], "{nothing:?}");
        assert!(matches!(outcome.verdict, Verdict::Unchanged), "{outcome:?}");
        assert_eq!(bench.condition("a"), Some(Condition::Stale));
        let other = bench.put("b", &cluster("c"));
        assert!(is_published(&other));
        assert_eq!(other.still_broken, ["d/a".into()], "the others go on, with a reminder");
        assert_eq!(bench.served(), ["a", "c"]);
        assert_eq!(codes(&bench.put("a", "# still nothing\n")), ["emptied-file"]);
        let accepted = bench.accept(Accept { removals: true, ..Accept::default() });
        assert!(is_published(&accepted) && accepted.still_broken.is_empty());
        assert_eq!((bench.served(), bench.condition("a")), (vec!["c".into()], Some(Condition::Good)));
        assert_eq!(codes(&bench.put("a", "# as before\n")), ["empty-fragment"]);
    }
}

#[test]
fn an_emptied_file_that_is_written_anew_or_deleted_counts_at_once() {
    let mut bench = Bench::new();
    bench.change(&[("a", Some(&cluster("a"))), ("b", Some(&cluster("b")))]);
    bench.put("a", "");
    assert!(is_published(&bench.put("a", &cluster("new"))));
    assert_eq!(bench.served(), ["b", "new"]);
    bench.put("a", "");
    assert!(is_published(&bench.remove("a")));
    assert_eq!(bench.served(), ["b"]);
    assert!(is_published(&bench.put("a", &cluster("a"))));
    assert!(is_published(&bench.put("a", "clusters: []\n")), "whoever writes that there are none means it");
    assert_eq!(bench.served(), ["b"]);
}

#[test]
fn a_file_that_never_held_a_resource_may_be_empty() {
    let mut bench = Bench::new();
    let outcome = bench.change(&[("a", Some("# to be written\n")), ("b", Some(&cluster("b")))]);
    assert!(is_published(&outcome));
    assert_eq!((codes(&outcome), bench.condition("a")), (vec!["empty-fragment"], Some(Condition::Good)));
}

#[test]
fn a_start_with_an_emptied_file_serves_what_was_saved_of_it() {
    let saved = [("a", &*cluster("a")), ("b", &*cluster("b"))];
    let mut bench = Bench::with(Policy::default(), &saved);
    let outcome = bench.change(&[("a", Some("")), ("b", Some(&cluster("b")))]);
    assert!(is_published(&outcome));
    assert_eq!((codes(&outcome), bench.served()), (vec!["emptied-file"], vec!["a".into(), "b".into()]));
    let accepted = bench.accept(Accept { removals: true, ..Accept::default() });
    assert!(is_published(&accepted));
    assert_eq!(bench.served(), ["b"]);
    let kept = bench.fragments.take_unsaved();
    assert!(
        kept.iter().any(|(name, look)| &**name == "a" && look.as_ref().is_some_and(|l| l.text.is_empty()))
    );

    let mut bench = Bench::with(Policy::default(), &[("a", "clusters:\n- nam: a\n")]);
    let outcome = bench.change(&[("a", Some("")), ("b", Some(&cluster("b")))]);
    assert!(matches!(outcome.verdict, Verdict::NotYet), "what it held is unknown: {outcome:?}");
}
