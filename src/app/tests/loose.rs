//! What is loose between files is known at any time, and not only when a change brings it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A finding without its place.
type Said = (&'static str, Arc<str>, String);

fn said_of<'f>(findings: impl IntoIterator<Item = &'f Diagnostic>) -> Vec<Said> {
    let of = |finding: &Diagnostic| (finding.code, finding.file.clone(), finding.message.clone());
    let mut said: Vec<Said> = findings.into_iter().map(of).collect();
    said.sort();
    said
}

/// What a start with these files would warn of.
fn at_a_start(policy: &Policy, files: &BTreeMap<&str, String>) -> Vec<Said> {
    let policy = Policy { allow_empty: true, ..policy.clone() };
    let mut bench = Bench::with(policy, &[]);
    let changes: Vec<(&str, Option<&str>)> =
        files.iter().map(|(name, text)| (*name, Some(&**text))).collect();
    said_of(&bench.change(&changes).diagnostics)
}

/// One of the texts that a file may hold, or none.
fn text(file: &str, choice: u8) -> Option<String> {
    let name = if choice.is_multiple_of(2) { "a" } else { "b" };
    let text = match file {
        "l" => listener(name, name),
        "r" => route(name, if choice < 4 { "own" } else { name }),
        "c" => eds_cluster(name),
        "e" => endpoints(name),
        _ => format!("{}{}", eds_cluster(name), route(name, name)),
    };
    match choice {
        0..2 => None,
        2..8 => Some(text),
        8..10 => Some(for_node("edge-1", &text)),
        _ => Some(for_node("core-*", &text)),
    }
}

proptest! {
    #[test]
    fn after_any_changes_it_is_what_a_start_would_warn_of(
        steps in prop::collection::vec((0..6usize, 0..12u8), 1..25)
    ) {
        let external_clusters = Arc::new(BTreeSet::from(["own".into()]));
        let policy = Policy { external_clusters, allow_empty: true, ..Policy::default() };
        let mut bench = Bench::with(policy.clone(), &[]);
        bench.change(&[]);
        let mut files = BTreeMap::new();
        for (at, choice) in steps {
            let name = ["l.yaml", "r.yaml", "c.yaml", "e.yaml", "m.yaml", "n.yaml"][at];
            let new = text(&name[..1], choice);
            let outcome = bench.change(&[(name, new.as_deref())]);
            if held(&outcome).contains(&Hold::Contradiction) {
                let old = files.get(name).cloned();
                bench.change(&[(name, old.as_deref())]);
                continue;
            }
            bench.accept(Accept { unresolved: true, removals: true });
            match new {
                Some(text) => files.insert(name, text),
                None => files.remove(name),
            };
            let loose = bench.fragments.places().loose_ends(&policy.external_clusters);
            prop_assert_eq!(said_of(&loose), at_a_start(&policy, &files));
        }
    }
}

#[test]
fn what_is_loose_beside_very_much_is_not_forgotten() {
    let names: Vec<String> = (0..1_100).map(|number| format!("c{number}")).collect();
    let clusters: String = names.iter().map(|name| eds_cluster(name).replace("clusters:\n", "")).collect();
    let assignments: String = names.iter().map(|name| endpoints(name).replace("endpoints:\n", "")).collect();
    let mut bench = Bench::new();
    let clusters = format!("clusters:\n{clusters}");
    bench.change(&[("c.yaml", Some(&clusters)), ("r.yaml", Some(&route("r", "missing")))]);
    assert_eq!(bench.fragments.places().loose_items(), 1_101);
    bench.put("e.yaml", &format!("endpoints:\n{assignments}"));
    let loose = bench.fragments.places().loose_ends(&BTreeSet::new());
    assert_eq!(said_of(&loose).len(), 1, "{loose:?}");
    assert_eq!(&*loose[0].file, "d/r.yaml");
}
