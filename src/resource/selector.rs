//! Who receives a resource: a fragment's `nodes:` as a value, and its matching.
//!
//! A [`Selector`] is a list of [`NodePattern`]s of which any may match; within a pattern all given
//! parts must. Selectors compare and sort by their content, so that fragments with the same
//! `nodes:` share one group of resources in a snapshot.

use std::collections::BTreeMap;

use serde_json::Value;
use wildmatch::WildMatch;

/// What an Envoy says of itself in its first request, as far as it decides what it receives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `node.id`.
    pub id: String,
    /// `node.cluster`.
    pub cluster: String,
    /// `node.locality.region`.
    pub region: String,
    /// `node.locality.zone`.
    pub zone: String,
    /// `node.locality.sub_zone`.
    pub sub_zone: String,
    /// `node.metadata`.
    pub metadata: BTreeMap<String, Value>,
}

/// The nodes that receive a fragment: those that match any of these patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(pub Vec<NodePattern>);

/// One entry of `nodes:`. An absent part matches everything; texts are globs (`*`, `?`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodePattern {
    /// Glob over `node.id`.
    pub id: Option<String>,
    /// Glob over `node.cluster`.
    pub cluster: Option<String>,
    /// Glob over the locality's region.
    pub region: Option<String>,
    /// Glob over the locality's zone.
    pub zone: Option<String>,
    /// Glob over the locality's sub-zone.
    pub sub_zone: Option<String>,
    /// Paths into `node.metadata` (keys from the outside in; those that follow each other may also be one key, with
    /// dots between them) and a glob over the value there.
    pub metadata: Vec<(Vec<String>, String)>,
}

impl Selector {
    /// Whether this node receives what the selector stands beside.
    pub fn matches(&self, node: &Node) -> bool {
        self.0.iter().any(|pattern| pattern.matches(node))
    }
}

/// Whether it is known that a node can belong to both audiences, none being everyone: every node of
/// some part of one belongs to the other. Patterns over different things (an id here, a cluster
/// there) may or may not meet in a node; that shows only when such a node comes.
pub fn surely_meet(a: Option<&Selector>, b: Option<&Selector>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return true };
    a.0.iter().any(|p| b.0.iter().any(|q| p.implies(q) || q.implies(p)))
}

/// Whether a node that belongs to both audiences is possible, none being everyone.
pub fn may_meet(a: Option<&Selector>, b: Option<&Selector>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return true };
    a.0.iter().any(|p| b.0.iter().any(|q| p.may_meet(q)))
}

/// Whether it is known that every node of the first audience belongs to the second, none being everyone.
pub fn surely_within(a: Option<&Selector>, b: Option<&Selector>) -> bool {
    let Some(b) = b else { return true };
    let everyone = [NodePattern::default()];
    let a = a.map_or(&everyone[..], |a| &a.0);
    a.iter().all(|p| b.0.iter().any(|q| p.implies(q)))
}

/// Whether it is known that a node can belong to the first audience and not to the second, none being
/// everyone. Patterns over different things (an id here, a cluster there) leave it open, and so does metadata.
pub fn surely_beyond(a: Option<&Selector>, b: Option<&Selector>) -> bool {
    surely_beyond_all(a, &[b])
}

/// Whether it is known that a node can belong to the first audience and to none of the others.
pub fn surely_beyond_all(a: Option<&Selector>, others: &[Option<&Selector>]) -> bool {
    let others: Option<Vec<&Selector>> = others.iter().copied().collect();
    // Nobody is beyond everyone.
    let Some(others) = others else { return false };
    let Some(a) = a else {
        let any = || ANYTHING.to_owned();
        let (id, cluster, region, zone, sub_zone) = (any(), any(), any(), any(), any());
        let node = Node { id, cluster, region, zone, sub_zone, metadata: BTreeMap::new() };
        return !others.iter().any(|b| b.matches(&node));
    };
    let within = |p: &NodePattern| others.iter().flat_map(|b| &b.0).any(|q| p.may_lie_within(q));
    !a.0.iter().all(within)
}

/// A text that no glob names: what it stands for in one, any other text may.
const ANYTHING: &str = "\u{1}";

/// Globs together longer than this are not compared; such are not written by people.
const MAX_COMPARED: usize = 1_000;

/// Whether there is a text that both globs match.
fn globs_meet(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() + b.len() > MAX_COMPARED {
        return true;
    }
    // `meets[j]`: whether the rest of `a` and `b[j..]` meet, for ever longer rests of `a`.
    let only_stars = |rest: &[char]| rest.iter().all(|c| *c == '*');
    let mut meets: Vec<bool> = (0..=b.len()).map(|j| only_stars(&b[j..])).collect();
    for i in (0..a.len()).rev() {
        let mut diagonal = meets[b.len()];
        meets[b.len()] = a[i] == '*' && diagonal;
        for j in (0..b.len()).rev() {
            let shorter_a = meets[j];
            meets[j] = match (a[i], b[j]) {
                // A star ends here, or takes what the other glob has next.
                ('*', _) | (_, '*') => shorter_a || meets[j + 1],
                (x, y) => (x == y || x == '?' || y == '?') && diagonal,
            };
            diagonal = shorter_a;
        }
    }
    meets[0]
}

impl NodePattern {
    /// What is asked of a node, but for its metadata, in one order for all patterns.
    fn globs(&self) -> impl Iterator<Item = Option<&str>> {
        let NodePattern { id, cluster, region, zone, sub_zone, metadata: _ } = self;
        [id, cluster, region, zone, sub_zone].into_iter().map(Option::as_deref)
    }

    /// Whether there can be a node that matches both patterns. Metadata never rules that out, since
    /// a value there may be a list.
    fn may_meet(&self, other: &NodePattern) -> bool {
        self.globs().zip(other.globs()).all(|globs| match globs {
            (Some(a), Some(b)) => globs_meet(a, b),
            _ => true,
        })
    }

    /// Whether no node is known that matches this pattern and not the other one.
    fn may_lie_within(&self, other: &NodePattern) -> bool {
        self.globs().zip(other.globs()).all(|globs| match globs {
            (Some(own), Some(wide)) => glob_matches(wide, &own.replace(['*', '?'], ANYTHING)),
            _ => true,
        })
    }

    /// Whether every node that matches this pattern matches the other one too.
    fn implies(&self, other: &NodePattern) -> bool {
        let within = |own: Option<&str>, wide: Option<&str>| match (own, wide) {
            (_, None) => true,
            (None, Some(wide)) => wide.chars().all(|c| c == '*') && !wide.is_empty(),
            (Some(own), Some(wide)) => own == wide || (!own.contains(['*', '?']) && glob_matches(wide, own)),
        };
        self.globs().zip(other.globs()).all(|(own, wide)| within(own, wide))
            && other.metadata.iter().all(|(path, wide)| {
                self.metadata.iter().any(|(own, glob)| own == path && within(Some(glob), Some(wide)))
            })
    }

    fn matches(&self, node: &Node) -> bool {
        let fits =
            |glob: &Option<String>, text: &str| glob.as_deref().is_none_or(|glob| glob_matches(glob, text));
        fits(&self.id, &node.id)
            && fits(&self.cluster, &node.cluster)
            && fits(&self.region, &node.region)
            && fits(&self.zone, &node.zone)
            && fits(&self.sub_zone, &node.sub_zone)
            && self.metadata.iter().all(|(path, glob)| metadata_matches(&node.metadata, path, glob))
    }
}

fn glob_matches(glob: &str, text: &str) -> bool {
    WildMatch::new(glob).matches(text)
}

fn metadata_matches(metadata: &BTreeMap<String, Value>, path: &[String], glob: &str) -> bool {
    lies_at(&|key| metadata.get(key), path, glob)
}

/// Whether a value that matches is at this path. A key may hold dots itself (`app.kubernetes.io/name`) and then
/// stands for several parts of the path. No value is looked at twice: its keys make up one path.
fn lies_at<'v>(get: &dyn Fn(&str) -> Option<&'v Value>, path: &[String], glob: &str) -> bool {
    (1..=path.len()).any(|end| match get(&path[..end].join(".")) {
        Some(Value::Object(map)) => lies_at(&|key| map.get(key), &path[end..], glob),
        Some(value) => end == path.len() && value_matches(value, glob),
        None => false,
    })
}

/// A list matches when one of its elements does; numbers and booleans by their JSON text.
fn value_matches(value: &Value, glob: &str) -> bool {
    match value {
        Value::String(text) => glob_matches(glob, text),
        Value::Bool(_) | Value::Number(_) => glob_matches(glob, &number_text(value)),
        Value::Array(items) => items.iter().any(|item| value_matches(item, glob)),
        Value::Null | Value::Object(_) => false,
    }
}

/// Struct numbers are doubles: what an operator wrote as `1` arrives as 1.0 and must still match `1`.
fn number_text(value: &Value) -> String {
    match value.as_f64() {
        Some(number) => format!("{number}"),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node() -> Node {
        let metadata = json!({"role": "edge", "tier": 1.0, "canary": true, "a": {"b": "deep", "x.y": {"z": "dotted"}}, "tags": ["x", "y"],
                   "app.kubernetes.io/name": "web"});
        Node {
            id: "edge-1".into(),
            cluster: "edge".into(),
            region: "eu".into(),
            zone: "eu-1".into(),
            sub_zone: "rack7".into(),
            metadata: serde_json::from_value(metadata).expect("an object"),
        }
    }

    fn with(change: impl FnOnce(&mut NodePattern)) -> bool {
        let mut pattern = NodePattern::default();
        change(&mut pattern);
        Selector(vec![pattern]).matches(&node())
    }

    #[test]
    fn an_empty_pattern_matches_and_an_empty_list_does_not() {
        assert!(with(|_| ()));
        assert!(!Selector(Vec::new()).matches(&node()));
    }

    #[test]
    fn globs_cover_the_whole_text() {
        assert!(with(|p| p.id = Some("edge-*".into())));
        assert!(with(|p| p.id = Some("edge-?".into())));
        assert!(!with(|p| p.id = Some("edge".into())));
        assert!(!with(|p| p.zone = Some("us-*".into())));
    }

    #[test]
    fn all_parts_must_match_and_any_entry_may() {
        let part = |id: &str, cluster: &str| NodePattern {
            id: Some(id.into()),
            cluster: Some(cluster.into()),
            ..NodePattern::default()
        };
        assert!(!Selector(vec![part("edge-1", "core")]).matches(&node()));
        assert!(Selector(vec![part("edge-1", "core"), part("*", "edge")]).matches(&node()));
    }

    #[test]
    fn audiences_surely_meet_when_one_lies_within_the_other() {
        let id = |glob: &str| Selector(vec![NodePattern { id: Some(glob.into()), ..NodePattern::default() }]);
        let cluster = Selector(vec![NodePattern { cluster: Some("edge".into()), ..NodePattern::default() }]);
        assert!(surely_meet(None, Some(&id("a"))));
        assert!(surely_meet(Some(&id("edge-1")), Some(&id("edge-*"))));
        assert!(surely_meet(Some(&id("edge-*")), Some(&id("edge-*"))));
        assert!(!surely_meet(Some(&id("edge-1")), Some(&id("edge-2"))));
        assert!(!surely_meet(Some(&id("a*")), Some(&id("*b"))));
        assert!(!surely_meet(Some(&id("a")), Some(&cluster)));
    }

    #[test]
    fn audiences_may_meet_unless_no_text_matches_both_globs() {
        let id = |glob: &str| Selector(vec![NodePattern { id: Some(glob.into()), ..NodePattern::default() }]);
        let meet = |a: &str, b: &str| {
            let met = may_meet(Some(&id(a)), Some(&id(b)));
            assert_eq!(met, may_meet(Some(&id(b)), Some(&id(a))), "{a} {b}");
            met
        };
        for (a, b) in [("a*", "*b"), ("edge-?", "*-1"), ("*", ""), ("a", "a"), ("a*c*", "*bc"), ("**", "?")] {
            assert!(meet(a, b), "{a} {b}");
        }
        for (a, b) in
            [("a", "b"), ("a*", "b*"), ("edge-?", "edge-10"), ("?", ""), ("a*c", "*b"), ("a?", "?b*c")]
        {
            assert!(!meet(a, b), "{a} {b}");
        }
        let cluster = Selector(vec![NodePattern { cluster: Some("x".into()), ..NodePattern::default() }]);
        assert!(may_meet(Some(&id("a")), Some(&cluster)));
        assert!(may_meet(None, Some(&id("a"))));
        assert!(!may_meet(Some(&id("a")), Some(&Selector(Vec::new()))));
    }

    #[test]
    fn an_audience_lies_within_another_or_beyond_it_or_it_is_not_known() {
        let id = |glob: &str| Selector(vec![NodePattern { id: Some(glob.into()), ..NodePattern::default() }]);
        let cluster = Selector(vec![NodePattern { cluster: Some("x".into()), ..NodePattern::default() }]);
        let known = |a: Option<&Selector>, b: Option<&Selector>| {
            let (within, beyond) = (surely_within(a, b), surely_beyond(a, b));
            assert!(!(within && beyond), "{a:?} {b:?}");
            within.then_some(true).or(beyond.then_some(false))
        };
        assert_eq!(known(Some(&id("a")), None), Some(true));
        assert_eq!(known(None, None), Some(true));
        assert_eq!(known(None, Some(&id("*"))), Some(true));
        assert_eq!(known(None, Some(&id("b"))), Some(false));
        assert_eq!(known(Some(&id("b")), Some(&id("b"))), Some(true));
        assert_eq!(known(Some(&id("edge-1")), Some(&id("edge-*"))), Some(true));
        assert_eq!(known(Some(&id("edge-*")), Some(&id("edge-1"))), Some(false));
        assert_eq!(known(Some(&id("edge-1*")), Some(&id("edge-*"))), None);
        assert_eq!(known(Some(&id("a")), Some(&cluster)), None);
        let (one, other, all) = (id("edge-1"), id("core-*"), id("edge-*"));
        assert!(surely_beyond_all(None, &[Some(&one), Some(&other)]));
        assert!(surely_beyond_all(Some(&all), &[Some(&one), Some(&other)]));
        assert!(!surely_beyond_all(Some(&one), &[Some(&other), Some(&all)]));
        assert!(!surely_beyond_all(Some(&one), &[Some(&other), None]));
        assert!(!surely_beyond_all(Some(&all), &[Some(&other), Some(&cluster)]));
        assert!(surely_beyond_all(None, &[]));
    }

    #[test]
    fn metadata_is_matched_by_path_and_text() {
        let at = |path: &[&str], glob: &str| {
            with(|p| p.metadata = vec![(path.iter().map(ToString::to_string).collect(), glob.into())])
        };
        assert!(at(&["role"], "ed*"));
        assert!(at(&["a", "b"], "deep"));
        assert!(at(&["app", "kubernetes", "io/name"], "web"));
        assert!(!at(&["app", "kubernetes"], "*"));
        assert!(at(&["a", "x", "y", "z"], "dotted"));
        assert!(at(&["tier"], "1"));
        assert!(at(&["canary"], "true"));
        assert!(at(&["tags"], "y"));
        assert!(!at(&["a"], "*"));
        assert!(!at(&["a", "b", "c"], "*"));
        assert!(!at(&["none"], "*"));
        assert!(!at(&[], "*"));
    }
}
