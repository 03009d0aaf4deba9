//! Any client against any history: a model client does at random what a client may do, and checks
//! what it is sent against the rules that hold whatever it does.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::resource::{Digest, Name};
use crate::snapshot::View;

const KINDS: [Kind; 3] = [Kind::Cluster, Kind::Endpoint, Kind::Route];

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<(Kind, u8, Option<u8>)>),
    Subscribe(Kind, Vec<u8>, bool),
    Unsubscribe(Kind, Vec<u8>, bool),
    Receive,
    Answer(Kind, bool),
    Reconnect,
    Wait,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(KINDS.to_vec())
}

fn step() -> impl Strategy<Value = Step> {
    let names = || prop::collection::vec(0..4u8, 0..3);
    prop_oneof![
        4 => prop::collection::vec((kind(), 0..4u8, prop::option::weighted(0.75, 0..4u8)), 1..5).prop_map(Step::Publish),
        3 => (kind(), names(), prop::bool::weighted(0.3)).prop_map(|(k, n, star)| Step::Subscribe(k, n, star)),
        1 => (kind(), names(), prop::bool::weighted(0.2)).prop_map(|(k, n, star)| Step::Unsubscribe(k, n, star)),
        6 => Just(Step::Receive),
        6 => (kind(), prop::bool::weighted(0.8)).prop_map(|(k, ack)| Step::Answer(k, ack)),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Wait),
    ]
}

fn make(kind: Kind, name: u8, content: u8) -> Arc<Resource> {
    let other = format!("n{}", content % 4);
    match kind {
        Kind::Cluster if content.is_multiple_of(2) => {
            resource(kind, &format!("n{name}"), content, &[(Kind::Endpoint, &other)])
        }
        Kind::Route => resource(kind, &format!("n{name}"), content, &[(Kind::Cluster, &other)]),
        _ => resource(kind, &format!("n{name}"), content, &[]),
    }
}

/// What the client knows of one type.
#[derive(Debug, Default)]
struct Known {
    started: bool,
    named_once: bool,
    wildcard: bool,
    names: BTreeSet<String>,
    held: BTreeMap<String, Digest>,
    /// Asked for since the last answer: must be, and may be, told whatever is held.
    asked: BTreeSet<String>,
    /// The last refused version of a name. It may come again only after another one did.
    refused: BTreeMap<String, Digest>,
    /// Names in refused responses: what the client holds of them is not known.
    disputed: BTreeSet<String>,
    /// Every version that was ever refused.
    refused_versions: BTreeSet<(String, Digest)>,
    /// Removals that were refused: the client goes on holding what it held.
    refused_removals: BTreeSet<String>,
    /// The response that was not answered yet, and when it came.
    waiting: Option<(Response, Instant)>,
}

impl Known {
    fn covers(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }
}

struct Client {
    stream: Stream,
    known: BTreeMap<Kind, Known>,
    /// What was sent under a version of all clusters, and the other way round.
    full_states: BTreeMap<Digest, FullState>,
    versions: BTreeMap<FullState, Digest>,
}

type FullState = Vec<(Name, Digest)>;

impl Client {
    fn known(&mut self, kind: Kind) -> &mut Known {
        self.known.get_mut(&kind).expect("all kinds are there")
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Publish(edits) => {
                let edits: Vec<Edit> = edits
                    .iter()
                    .map(|(kind, name, content)| match content {
                        Some(content) => put(make(*kind, *name, *content)),
                        None => remove(*kind, &format!("n{name}")),
                    })
                    .collect();
                self.stream.publish(edits);
                self.forgive();
            }
            Step::Subscribe(kind, names, star) => self.subscribe(*kind, names, *star),
            Step::Unsubscribe(kind, names, star) => self.unsubscribe(*kind, names, *star),
            Step::Receive => {
                self.receive();
            }
            Step::Answer(kind, ack) => self.answer(*kind, *ack),
            Step::Reconnect => self.reconnect(),
            Step::Wait => self.stream.wait(Pace::default().deadline * 2),
        }
    }

    /// One that was taken away and comes back is offered afresh.
    fn forgive(&mut self) {
        let view = View::new(self.stream.snapshot.clone(), None);
        for (kind, known) in &mut self.known {
            known.refused.retain(|name, _| view.get(*kind, name).is_some());
        }
    }

    fn subscribe(&mut self, kind: Kind, names: &[u8], star: bool) {
        let mut list: Vec<String> =
            names.iter().collect::<BTreeSet<_>>().into_iter().map(|n| format!("n{n}")).collect();
        let variant = self.stream.variant;
        let known = self.known(kind);
        let first = !std::mem::replace(&mut known.started, true);
        match variant {
            Variant::Delta => {
                if list.is_empty() && !star && !first {
                    return;
                }
                let wild = star || (first && list.is_empty());
                if wild && !known.wildcard {
                    // Everything is asked for anew: what was dropped before may come again.
                    known.asked.extend((0..4).map(|n| format!("n{n}")));
                }
                known.wildcard |= wild;
                known.asked.extend(list.iter().cloned());
                known.names.extend(list.iter().cloned());
                if star {
                    list.push("*".into());
                }
                let list: Vec<&str> = list.iter().map(String::as_str).collect();
                self.stream.subscribe(kind, &list, &[]);
            }
            Variant::Sotw => {
                let mut names: BTreeSet<String> = known.names.clone();
                names.extend(list);
                self.ask(kind, names, star);
            }
        }
    }

    /// State of the world: says the whole list, beside the last nonce.
    fn ask(&mut self, kind: Kind, names: BTreeSet<String>, star: bool) {
        let known = self.known(kind);
        let mut list: Vec<String> = names.iter().cloned().collect();
        if star {
            list.push("*".into());
        }
        known.named_once |= !list.is_empty();
        known.asked.extend(names.difference(&known.names).cloned());
        known.wildcard = star || !known.named_once;
        known.names = names;
        let covered: Vec<String> = known.held.keys().filter(|name| known.covers(name)).cloned().collect();
        known.held.retain(|name, _| covered.contains(name));
        known.refused.retain(|name, _| known.wildcard || known.names.contains(name));
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        self.stream.ask(kind, &list, "");
    }

    fn unsubscribe(&mut self, kind: Kind, names: &[u8], star: bool) {
        let list: BTreeSet<String> = names.iter().map(|n| format!("n{n}")).collect();
        let variant = self.stream.variant;
        let known = self.known(kind);
        if !known.started || (list.is_empty() && !star) {
            return;
        }
        match variant {
            Variant::Delta => {
                let mut sent: Vec<&str> = list.iter().map(String::as_str).collect();
                for name in &list {
                    if known.names.remove(name) && known.wildcard {
                        known.asked.insert(name.clone());
                    }
                }
                if star {
                    known.wildcard = false;
                    sent.push("*");
                }
                let (names, wildcard) = (known.names.clone(), known.wildcard);
                let covers = |name: &String| wildcard || names.contains(name);
                known.held.retain(|name, _| covers(name));
                known.asked.retain(covers);
                known.refused.retain(|name, _| covers(name));
                self.stream.subscribe(kind, &[], &sent);
            }
            Variant::Sotw => {
                let left = known.names.difference(&list).cloned().collect();
                let star = known.wildcard && known.named_once && !star;
                self.ask(kind, left, star);
            }
        }
    }

    /// The version of a full state names what is in it (protocol rule 4).
    fn check_version(&mut self, response: &Response) {
        let state: FullState = response.items.iter().map(|item| (item.name.clone(), item.version)).collect();
        let known = self.full_states.entry(response.version).or_insert_with(|| state.clone());
        assert_eq!(*known, state, "one version for two states");
        let known = self.versions.entry(state).or_insert(response.version);
        assert_eq!(*known, response.version, "two versions for one state");
    }

    /// Takes a response and checks it against what may be sent.
    fn receive(&mut self) -> bool {
        let Some(response) = self.stream.next() else { return false };
        let variant = self.stream.variant;
        let kind = Kind::from_type_url(&response.type_url).expect("a type that was asked for");
        if variant == Variant::Sotw && kind == Kind::Cluster {
            self.check_version(&response);
        }
        let now = self.stream.now;
        if let Some((earlier, at)) = self.known(kind).waiting.take() {
            assert!(at + Pace::default().deadline <= now, "a second response of {kind} in flight");
            // The client took it and never said so.
            self.apply(kind, &earlier, true);
        }
        let known = self.known(kind);
        let said = shown(&response);
        let distinct: BTreeSet<&str> = said.iter().map(|name| name.trim_start_matches('-')).collect();
        assert_eq!(distinct.len(), said.len(), "a name twice in {said:?}");
        for item in response.items.iter() {
            let name = item.name.to_string();
            assert!(known.covers(&name), "{kind} {name} was not asked for");
            let asked = known.asked.contains(&name);
            let full_state = variant == Variant::Sotw && kind == Kind::Cluster;
            let version = item.version;
            if !full_state && variant == Variant::Delta {
                // What a refusal left behind is not known: then it may come again.
                let unsure = known.refused_removals.contains(&name) || known.disputed.contains(&name);
                assert!(
                    asked || unsure || known.held.get(&name) != Some(&version),
                    "{kind} {name} sent again"
                );
            }
            // One that names others may be offered again when those have changed.
            if !full_state && item.resource.as_ref().is_some_and(|r| r.references().next().is_none()) {
                let refused = known.refused.get(&name) == Some(&version);
                assert!(asked || !refused, "{kind} {name} sent again after a NACK");
            }
        }
        for name in &response.removed {
            assert!(known.covers(name), "the removal of {kind} {name} was not asked for");
        }
        // What is asked for from now on is not answered by this response.
        for name in response.items.iter().map(|item| &item.name).chain(&response.removed) {
            known.asked.remove(&**name);
        }
        known.waiting = Some((response, now));
        true
    }

    fn answer(&mut self, kind: Kind, ack: bool) {
        let Some((response, _)) = self.known(kind).waiting.take() else { return };
        self.apply(kind, &response, ack);
        let known = self.known(kind);
        let mut names: Vec<String> = known.names.iter().cloned().collect();
        if known.wildcard && known.named_once {
            names.push("*".into());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.stream.answer(&response, (!ack).then_some("no"), &names);
        self.forgive();
    }

    fn apply(&mut self, kind: Kind, response: &Response, ack: bool) {
        let variant = self.stream.variant;
        let known = self.known(kind);
        let before = known.held.clone();
        if variant == Variant::Sotw && ack && kind == Kind::Cluster {
            known.held.clear();
        }
        for item in response.items.iter() {
            let name = item.name.to_string();
            if !known.covers(&name) {
                continue;
            }
            let version = item.version;
            if ack {
                known.disputed.remove(&name);
            } else {
                known.disputed.insert(name.clone());
                known.refused_versions.insert((name.clone(), version));
            }
            if ack {
                // A full state repeats what was held before: that mends nothing.
                let repeats = variant == Variant::Sotw && kind == Kind::Cluster;
                if !repeats || before.get(&name) != Some(&version) {
                    known.refused.remove(&name);
                }
                known.held.insert(name, version);
            } else if known.held.get(&name) != Some(&version) {
                known.refused.insert(name, version);
            } else {
                // It has that, whatever it says; and another one came.
                known.refused.remove(&name);
            }
        }
        if !ack && variant == Variant::Sotw && kind == Kind::Cluster {
            let sent: BTreeSet<&str> = response.items.iter().map(|item| &*item.name).collect();
            let absent: Vec<String> =
                known.held.keys().filter(|name| !sent.contains(name.as_str())).cloned().collect();
            known.refused_removals.extend(absent);
        }
        for name in &response.removed {
            if !ack {
                known.refused_removals.insert(name.to_string());
            }
            if ack {
                known.held.remove(&**name);
                known.refused.remove(&**name);
            }
        }
    }

    fn reconnect(&mut self) {
        self.stream.reopen();
        let variant = self.stream.variant;
        for kind in KINDS {
            let known = self.known(kind);
            if !known.started {
                continue;
            }
            known.waiting = None;
            known.refused.clear();
            known.asked = if variant == Variant::Delta {
                known.names.iter().filter(|name| !known.held.contains_key(*name)).cloned().collect()
            } else {
                known.names.clone()
            };
            let (names, wildcard) = (known.names.clone(), known.wildcard);
            let held: Vec<(String, String)> =
                known.held.iter().map(|(n, v)| (n.clone(), v.to_string())).collect();
            match variant {
                Variant::Delta => {
                    let mut list: Vec<&str> = names.iter().map(String::as_str).collect();
                    if wildcard {
                        list.push("*");
                    } else if list.is_empty() {
                        known.started = false;
                        known.held.clear();
                        continue;
                    }
                    let initial: Vec<(&str, &str)> =
                        held.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                    self.stream.resume(kind, &list, &initial);
                }
                Variant::Sotw => {
                    known.held.clear();
                    known.names.clear();
                    known.named_once = false;
                    if names.is_empty() && !wildcard {
                        known.started = false;
                        continue;
                    }
                    self.ask(kind, names, wildcard);
                }
            }
        }
    }

    /// Answers everything with ACKs until there is silence, then compares with the snapshot.
    fn settle_and_compare(&mut self) {
        for _ in 0..200 {
            for kind in KINDS {
                self.answer(kind, true);
            }
            if !self.receive() {
                self.stream.wait(Pace::default().deadline * 2);
                if !self.receive() {
                    break;
                }
            }
        }
        let node = Node { id: "n".into(), ..Node::default() };
        let view = View::new(self.stream.snapshot.clone(), Some(&node));
        if !self.stream.snapshot.is_loaded() {
            return;
        }
        // A route that needs something refused is withheld.
        let refused = |kind: Kind, name: &str| {
            let version = view.version(kind, name);
            version.is_some_and(|version| {
                self.known[&kind].refused_versions.contains(&(name.to_owned(), version))
            })
        };
        let lacking: BTreeSet<String> = view
            .iter(Kind::Cluster)
            .filter(|c| {
                refused(Kind::Cluster, c.name())
                    || c.references_to(Kind::Endpoint).any(|e| refused(Kind::Endpoint, e))
            })
            .map(|c| c.name().to_string())
            .collect();
        // What the client goes on using because it refused something is not taken away.
        let left_behind =
            self.known.values().any(|known| !known.refused_removals.is_empty() || !known.refused.is_empty());
        for kind in KINDS {
            let variant = self.stream.variant;
            let known = self.known(kind);
            assert!(known.waiting.is_none(), "it never falls silent");
            if !known.started {
                continue;
            }
            for n in 0..4 {
                let name = format!("n{n}");
                let expected = view.get(kind, &name).filter(|_| known.covers(&name));
                let version = expected.map(|r| view.version_of(r));
                let held = known.held.get(&name).copied();
                let withheld =
                    expected.is_some_and(|r| r.references_to(Kind::Cluster).any(|c| lacking.contains(&**c)));
                let refused =
                    version.is_some_and(|version| known.refused_versions.contains(&(name.clone(), version)));
                let excused = refused || withheld || (version.is_none() && left_behind);
                // State of the world cannot take anything away but clusters.
                let stays = variant == Variant::Sotw && kind != Kind::Cluster && version.is_none();
                assert!(
                    held == version || excused || stays,
                    "{kind} {name}: holds {held:?}, should hold {version:?}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_client_ends_with_what_it_asked_for_and_never_sees_what_is_forbidden(
        steps in prop::collection::vec(step(), 1..60),
        delta in any::<bool>(),
    ) {
        let stream = Stream::open(if delta { Variant::Delta } else { Variant::Sotw }, None);
        let known = KINDS.into_iter().map(|kind| (kind, Known::default())).collect();
        let mut client = Client { stream, known, full_states: BTreeMap::new(), versions: BTreeMap::new() };
        for step in &steps {
            client.run(step);
        }
        client.settle_and_compare();
    }
}
