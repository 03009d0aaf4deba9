//! A client that subscribes as Envoy does, under changes that come at any moment: whatever a held
//! route names is there, with endpoints, at every moment.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use Kind::{Cluster, Endpoint, Listener, Route};

/// One consistent configuration: listener `l` and its route, which names these clusters.
fn world(clusters: &BTreeSet<u8>, content: u8) -> BTreeMap<(Kind, String), Arc<Resource>> {
    let mut all: Vec<Arc<Resource>> = Vec::new();
    let names: Vec<String> = clusters.iter().map(|n| format!("c{n}")).collect();
    for name in &names {
        all.push(eds(name, content));
        all.push(resource(Endpoint, name, content, &[]));
    }
    let refs: Vec<(Kind, &str)> = names.iter().map(|name| (Cluster, name.as_str())).collect();
    all.push(resource(Route, "r", content, &refs));
    all.push(resource(Listener, "l", content % 2, &[(Route, "r")]));
    all.into_iter().map(|r| ((r.kind(), r.name().to_string()), r)).collect()
}

fn edits(
    old: &BTreeMap<(Kind, String), Arc<Resource>>,
    new: &BTreeMap<(Kind, String), Arc<Resource>>,
) -> Vec<Edit> {
    let gone = old.keys().filter(|key| !new.contains_key(*key)).map(|(kind, name)| remove(*kind, name));
    gone.chain(new.values().cloned().map(put)).collect()
}

/// What Envoy does with responses.
struct Envoy {
    stream: Stream,
    held: BTreeMap<(Kind, String), Arc<Resource>>,
    watched: BTreeMap<Kind, BTreeSet<String>>,
    nonces: BTreeMap<Kind, String>,
    waiting: Vec<Response>,
    /// Clusters that wait for their endpoints. As long as there are any, clusters are not acknowledged.
    warming: BTreeSet<String>,
    unacknowledged: Option<Response>,
    serving: bool,
}

impl Envoy {
    fn start(mut stream: Stream) -> Envoy {
        match stream.variant {
            Variant::Delta => {
                stream.subscribe(Cluster, &[], &[]);
                stream.subscribe(Listener, &[], &[]);
            }
            Variant::Sotw => {
                stream.ask(Cluster, &[], "");
                stream.ask(Listener, &[], "");
            }
        }
        Envoy {
            stream,
            held: BTreeMap::new(),
            watched: BTreeMap::new(),
            nonces: BTreeMap::new(),
            waiting: Vec::new(),
            warming: BTreeSet::new(),
            unacknowledged: None,
            serving: false,
        }
    }

    fn receive(&mut self) -> bool {
        let Some(response) = self.stream.next() else { return false };
        self.waiting.push(response);
        true
    }

    /// Applies the oldest response, acknowledges it, and asks for what that made interesting.
    fn apply(&mut self) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        let response = self.waiting.remove(0);
        let kind = Kind::from_type_url(&response.type_url).expect("a type of ours");
        let before = self.held.clone();
        if self.stream.variant == Variant::Sotw && matches!(kind, Cluster | Listener) {
            self.held.retain(|(held, _), _| *held != kind);
        }
        for item in response.items.iter() {
            let key = (kind, item.name.to_string());
            let resource = item.resource.clone().expect("a body");
            match kind {
                Cluster if before.get(&key) != Some(&resource) => {
                    self.warming.insert(key.1.clone());
                }
                Endpoint => {
                    self.warming.remove(&key.1);
                }
                _ => {}
            }
            self.held.insert(key, resource);
        }
        for name in &response.removed {
            self.held.remove(&(kind, name.to_string()));
            self.warming.remove(&**name);
        }
        let held = &self.held;
        self.warming.retain(|name| held.contains_key(&(Cluster, name.clone())));
        self.check();
        self.nonces.insert(kind, response.nonce.clone());
        self.watch(Cluster, Endpoint);
        if kind == Cluster {
            self.unacknowledged = Some(response);
        } else {
            self.acknowledge(&response, kind);
        }
        if self.warming.is_empty()
            && let Some(clusters) = self.unacknowledged.take()
        {
            self.acknowledge(&clusters, Cluster);
        }
        self.watch(Listener, Route);
        true
    }

    fn acknowledge(&mut self, response: &Response, kind: Kind) {
        let watched: Vec<String> = self.watched.get(&kind).into_iter().flatten().cloned().collect();
        let names: Vec<&str> = watched.iter().map(String::as_str).collect();
        self.stream.answer(response, None, &names);
    }

    fn watch(&mut self, from: Kind, kind: Kind) {
        let wanted: BTreeSet<String> = self
            .held
            .iter()
            .filter(|((held, _), _)| *held == from)
            .flat_map(|(_, r)| r.references_to(kind).map(ToString::to_string).collect::<Vec<_>>())
            .collect();
        let old = self.watched.insert(kind, wanted.clone()).unwrap_or_default();
        if old == wanted {
            return;
        }
        let strs = |set: Vec<&String>| set.into_iter().cloned().collect::<Vec<_>>();
        match self.stream.variant {
            Variant::Delta => {
                let (new, gone) =
                    (strs(wanted.difference(&old).collect()), strs(old.difference(&wanted).collect()));
                let (new, gone): (Vec<&str>, Vec<&str>) =
                    (new.iter().map(String::as_str).collect(), gone.iter().map(String::as_str).collect());
                self.stream.subscribe(kind, &new, &gone);
            }
            Variant::Sotw => {
                let all: Vec<&str> = wanted.iter().map(String::as_str).collect();
                let nonce = self.nonces.get(&kind).cloned().unwrap_or_default();
                self.stream.ask(kind, &all, &nonce);
            }
        }
        // Dropped subscriptions are forgotten, as Envoy forgets them.
        self.held.retain(|(held, name), _| *held != kind || wanted.contains(name));
    }

    /// Every cluster that the held route names is held, and has endpoints.
    fn check(&mut self) {
        let Some(route) = self.held.get(&(Route, "r".to_owned())) else { return };
        self.serving = true;
        for cluster in route.references_to(Cluster) {
            assert!(
                self.held.contains_key(&(Cluster, cluster.to_string())),
                "the route names {cluster}, which is gone"
            );
            assert!(self.held.contains_key(&(Endpoint, cluster.to_string())), "{cluster} has no endpoints");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_route_never_names_what_the_client_does_not_hold(
        worlds in prop::collection::vec((prop::collection::btree_set(0..5u8, 1..4), 0..8u8), 1..12),
        moves in prop::collection::vec(0..3u8, 0..120),
        delta in any::<bool>(),
    ) {
        let mut current = world(&worlds[0].0, worlds[0].1);
        let first = edits(&BTreeMap::new(), &current);
        let mut envoy = Envoy::start(Stream::ads(if delta { Variant::Delta } else { Variant::Sotw }, first));
        let mut coming = worlds[1..].iter();
        for step in moves {
            match step {
                0 => { envoy.receive(); }
                1 => { envoy.apply(); }
                _ => if let Some((clusters, content)) = coming.next() {
                    let next = world(clusters, *content);
                    envoy.stream.publish(edits(&current, &next));
                    current = next;
                },
            }
        }
        // What connections of before may use goes when they are drained.
        for wait in [Duration::ZERO, Pace::default().drain] {
            envoy.stream.wait(wait);
            for _ in 0..200 {
                if !envoy.receive() && !envoy.apply() {
                    break;
                }
            }
        }
        prop_assert!(envoy.serving);
        prop_assert!(envoy.warming.is_empty(), "{:?} warm for ever", envoy.warming);
        // It ends with exactly the last configuration: nothing old is left behind.
        let held: BTreeMap<_, _> = envoy.held.iter().map(|(key, r)| (key.clone(), r.digest())).collect();
        let expected: BTreeMap<_, _> = current.iter().map(|(key, r)| (key.clone(), r.digest())).collect();
        prop_assert_eq!(held, expected);
    }
}
