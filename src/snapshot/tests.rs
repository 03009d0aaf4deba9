//! The snapshot room against a model that copies everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::resource::{Node, NodePattern, Reference};

fn audience(id: Option<&str>) -> Audience {
    id.map(|id| Arc::new(Selector(vec![NodePattern { id: Some(id.into()), ..NodePattern::default() }])))
}

fn node(id: &str) -> Node {
    Node { id: id.into(), ..Node::default() }
}

fn resource(kind: Kind, name: &str, content: u8) -> Arc<Resource> {
    let resource = Resource::new(kind, name, &[0x10, content]);
    Arc::new(match kind {
        Kind::Cluster => {
            let used = Reference { kind: Kind::Endpoint, name: format!("e{}", content % 2).into() };
            resource.with_references([used])
        }
        Kind::VirtualHost => resource.with_aliases([format!("{name}-alias{}", content % 2).into()]),
        _ => resource,
    })
}

fn put(id: Option<&str>, kind: Kind, name: &str, content: u8) -> Edit {
    Edit::Put(audience(id), resource(kind, name, content))
}

fn view(snapshot: &Snapshot, id: &str) -> View {
    View::new(Arc::new(snapshot.clone()), Some(&node(id)))
}

fn name(text: &str) -> Name {
    text.into()
}

#[test]
fn an_equal_snapshot_is_no_snapshot() {
    let mut builder = Builder::new();
    assert!(builder.apply([]).expect("the first load counts").is_loaded());
    assert!(builder.apply([]).is_none());
    assert!(builder.apply([put(None, Kind::Cluster, "a", 1)]).is_some());
    assert!(builder.apply([put(None, Kind::Cluster, "a", 1)]).is_none());
    assert!(builder.apply([Edit::Remove(None, Kind::Cluster, name("b"))]).is_none());
}

#[test]
fn a_node_sees_its_own_and_what_is_for_everyone() {
    let mut builder = Builder::new();
    let edits = [put(None, Kind::Cluster, "all", 1), put(Some("edge-*"), Kind::Cluster, "edge", 1)];
    let snapshot = builder.apply(edits).expect("a change");
    let names = |view: &View| view.iter(Kind::Cluster).map(|r| r.name().to_string()).collect::<Vec<_>>();
    assert_eq!(names(&view(&snapshot, "edge-1")), ["all", "edge"]);
    assert_eq!(names(&view(&snapshot, "core")), ["all"]);
    assert_eq!(names(&View::new(Arc::new(snapshot), None)), ["all"]);
}

#[test]
fn a_name_of_two_audiences_is_contested_only_for_who_belongs_to_both() {
    let mut builder = Builder::new();
    let edits = [put(Some("a*"), Kind::Cluster, "x", 1), put(Some("*b"), Kind::Cluster, "x", 2)];
    let snapshot = builder.apply(edits).expect("a change");
    assert!(matches!(view(&snapshot, "ab").find(Kind::Cluster, &name("x")), Found::Contested));
    assert_eq!(view(&snapshot, "ab").iter(Kind::Cluster).count(), 0);
    assert!(matches!(view(&snapshot, "a").find(Kind::Cluster, &name("x")), Found::One(_)));
    let mended =
        builder.apply([Edit::Remove(audience(Some("*b")), Kind::Cluster, name("x"))]).expect("a change");
    assert!(matches!(view(&mended, "ab").find(Kind::Cluster, &name("x")), Found::One(_)));
    assert!(view(&mended, "ab").changed_since(&view(&snapshot, "ab")).contains(&(Kind::Cluster, name("x"))));
}

#[test]
fn an_assignment_has_a_new_version_when_a_cluster_that_uses_it_changes() {
    let mut builder = Builder::new();
    let edits = [
        put(None, Kind::Cluster, "c", 0),
        put(None, Kind::Endpoint, "e0", 1),
        put(None, Kind::Endpoint, "e1", 1),
    ];
    let before = builder.apply(edits).expect("a change");
    let after = builder.apply([put(None, Kind::Cluster, "c", 2)]).expect("a change");
    let (before, after) = (view(&before, "n"), view(&after, "n"));
    assert_ne!(before.version(Kind::Endpoint, &name("e0")), after.version(Kind::Endpoint, &name("e0")));
    assert_eq!(before.version(Kind::Endpoint, &name("e1")), after.version(Kind::Endpoint, &name("e1")));
    assert!(after.changed_since(&before).contains(&(Kind::Endpoint, name("e0"))));
    assert_ne!(before.type_version(Kind::Endpoint), after.type_version(Kind::Endpoint));
}

#[test]
fn the_clusters_of_an_assignment_are_told_in_order_whatever_their_names_are() {
    let mut builder = Builder::new();
    let clusters = ["e0", "a", "z", "e1", "other"];
    let edits = clusters.map(|name| put(None, Kind::Cluster, name, u8::from(name == "other")));
    let all = view(&builder.apply(edits).expect("a change"), "n");
    let users = |view: &View, of: &str| view.users_of(of).map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(users(&all, "e0"), ["a", "e0", "e1", "z"]);
    assert_eq!(users(&all, "e1"), ["other"], "the cluster of this name uses another one");
    let gone = ["e0", "z"].map(|gone| Edit::Remove(None, Kind::Cluster, name(gone)));
    let few = view(&builder.apply(gone).expect("a change"), "n");
    assert_eq!(users(&few, "e0"), ["a", "e1"]);
}

#[test]
fn a_tally_counts_names_once_also_of_the_first_snapshot() {
    let mut builder = Builder::new();
    let edits = [
        put(None, Kind::Listener, "l", 1),
        put(Some("a*"), Kind::Cluster, "x", 1),
        put(Some("*b"), Kind::Cluster, "x", 2),
        put(Some("*b"), Kind::Cluster, "w", 2),
    ];
    let first = builder.apply(edits).expect("a change");
    let shown =
        |tally: &Tally| tally.shown.iter().map(|(fate, _, n)| (*fate, n.to_string())).collect::<Vec<_>>();
    let told = first.tally(2);
    assert_eq!((told.added, told.changed, told.removed, told.total()), (3, 0, 0, 3));
    assert_eq!(shown(&told), [(Fate::Added, "w".into()), (Fate::Added, "x".into())]);
    let edits = [
        put(None, Kind::Listener, "m", 1),
        put(None, Kind::Listener, "l", 2),
        Edit::Remove(audience(Some("*b")), Kind::Cluster, name("w")),
    ];
    let told = builder.apply(edits).expect("a change").tally(9);
    assert_eq!((told.added, told.changed, told.removed), (1, 1, 1));
    let expected = [(Fate::Removed, "w".into()), (Fate::Changed, "l".into()), (Fate::Added, "m".into())];
    assert_eq!(shown(&told), expected);
}

#[test]
fn a_virtual_host_has_a_new_version_when_its_route_configuration_changes() {
    let mut builder = Builder::new();
    let edits = [
        put(None, Kind::Route, "r/1", 0),
        put(None, Kind::VirtualHost, "r/1/h", 0),
        put(None, Kind::VirtualHost, "r/10/h", 0),
    ];
    let before = view(&builder.apply(edits).expect("a change"), "n");
    let after = view(&builder.apply([put(None, Kind::Route, "r/1", 1)]).expect("a change"), "n");
    assert_ne!(
        before.version(Kind::VirtualHost, &name("r/1/h")),
        after.version(Kind::VirtualHost, &name("r/1/h"))
    );
    let changed: Vec<_> = after.changed_since(&before).into_iter().collect();
    assert_eq!(changed, [(Kind::Route, name("r/1")), (Kind::VirtualHost, name("r/1/h"))]);
    assert_eq!(after.by_alias(&name("r/1/h-alias0")), Some(&name("r/1/h")));
}

#[test]
fn versions_do_not_depend_on_the_way_to_a_snapshot() {
    let mut straight = Builder::new();
    let mut winding = Builder::new();
    let last = [put(None, Kind::Endpoint, "e0", 1), put(None, Kind::Cluster, "c", 2)];
    winding.apply([put(None, Kind::Cluster, "c", 1), put(None, Kind::Cluster, "gone", 1)]);
    winding.apply([Edit::Remove(None, Kind::Cluster, name("gone"))]);
    let (one, other) =
        (straight.apply(last.clone()).expect("a change"), winding.apply(last).expect("a change"));
    for kind in Kind::ALL {
        assert_eq!(view(&one, "n").type_version(kind), view(&other, "n").type_version(kind));
    }
}

type Model = BTreeMap<(Option<&'static str>, Kind, String), u8>;

fn arbitrary_edit() -> impl Strategy<Value = (Option<&'static str>, Kind, String, Option<u8>)> {
    let audiences = prop::sample::select(vec![None, Some("a*"), Some("*b"), Some("zz")]);
    let kinds = prop::sample::select(vec![Kind::Cluster, Kind::Endpoint, Kind::Route, Kind::VirtualHost]);
    (audiences, kinds, 0..4u8, prop::option::weighted(0.7, 0..4u8)).prop_map(
        |(audience, kind, n, content)| {
            let name = match kind {
                Kind::Endpoint => format!("e{n}"),
                // Some have the name of the assignment that they use.
                Kind::Cluster => ["d", "e0", "e1", "f"][n as usize].to_owned(),
                Kind::VirtualHost => format!("{}/h{n}", n % 2),
                _ => n.to_string(),
            };
            (audience, kind, name, content)
        },
    )
}

/// Name → version of everything that `id` sees, found the slow way.
fn seen(model: &Model, id: &str) -> BTreeMap<(Kind, Name), Option<Digest>> {
    let mut builder = Builder::new();
    let edits = model.iter().map(|((who, kind, name), content)| put(*who, *kind, name, *content));
    let snapshot = builder.apply(edits.collect::<Vec<_>>()).expect("the first load counts");
    let view = view(&snapshot, id);
    let names: BTreeSet<(Kind, Name)> = model.keys().map(|(_, kind, n)| (*kind, name(n))).collect();
    names.into_iter().map(|key| (key.clone(), view.version(key.0, &key.1))).collect()
}

proptest! {
    #[test]
    fn a_view_is_what_a_fresh_start_would_see_and_its_changes_are_complete(
        steps in prop::collection::vec(prop::collection::vec(arbitrary_edit(), 1..6), 1..8),
        id in prop::sample::select(vec!["a", "b", "ab", "zz"]),
    ) {
        let mut builder = Builder::new();
        let mut model = Model::new();
        let mut views = vec![View::new(Arc::new(Snapshot::unloaded()), Some(&node(id)))];
        for step in steps {
            let mut edits = Vec::new();
            for (who, kind, name, content) in step {
                let key = (who, kind, name.clone());
                match content {
                    Some(content) => { model.insert(key, content); edits.push(put(who, kind, &name, content)); }
                    None => { model.remove(&key); edits.push(Edit::Remove(audience(who), kind, name.into())); }
                }
            }
            let Some(snapshot) = builder.apply(edits) else { continue };
            let new = views[views.len() - 1].of(Arc::new(snapshot), Some(&node(id)));
            let expected = seen(&model, id);
            for ((kind, name), version) in &expected {
                prop_assert_eq!(new.version(*kind, name), *version);
            }
            for kind in Kind::ALL {
                prop_assert_eq!(new.iter(kind).count(), expected.iter().filter(|(k, v)| k.0 == kind && v.is_some()).count());
            }
            // From any earlier view, not only the last, every difference is told.
            for old in &views {
                let told = new.changed_since(old);
                for (kind, name) in expected.keys() {
                    if new.version(*kind, name) != old.version(*kind, name) {
                        prop_assert!(told.contains(&(*kind, name.clone())), "{} {} not told", kind, name);
                    }
                }
            }
            views.push(new);
        }
    }
}
