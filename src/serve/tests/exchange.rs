//! Scopes that take each other's keys in one change, under the eyes of an Envoy as it really is: it refuses a key that
//! another scope has, and forgets one that is let go of behind the one that takes it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::resource::{Claim, Reference};
use Kind::{Cluster, ScopedRoute};
use Variant::{Delta, Sotw};

/// A scope with this key that leads to a cluster.
fn scope(name: &str, key: &str, cluster: &str) -> Edit {
    let cluster = Reference { kind: Cluster, name: cluster.into() };
    let scope = Resource::new(ScopedRoute, name, key.as_bytes()).with_references([cluster]);
    put(Arc::new(scope.with_claims([Claim::of([key.as_bytes()])])))
}

/// What an Envoy has of scopes: their keys by name, and names by key as its workers find them.
#[derive(Default)]
struct Scopes {
    keys: BTreeMap<String, String>,
    by_key: BTreeMap<String, String>,
}

impl Scopes {
    /// Takes a response, all of it or nothing.
    fn take(&mut self, variant: Variant, response: &Response) -> bool {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a key is a text");
        let of = |item: &crate::serve::Item| text(item.resource.as_ref().expect("a body").body());
        let sent: Vec<(String, String)> =
            response.items.iter().map(|item| (item.name.to_string(), of(item))).collect();
        let stays = |name: &String| sent.iter().any(|(sent, _)| sent == name);
        let gone: Vec<String> = match variant {
            Delta => response.removed.iter().map(ToString::to_string).collect(),
            Sotw => self.keys.keys().filter(|name| !stays(name)).cloned().collect(),
        };
        let mut keys = self.keys.clone();
        keys.retain(|name, _| !gone.contains(name));
        keys.extend(sent.iter().cloned());
        if keys.values().collect::<std::collections::BTreeSet<_>>().len() < keys.len() {
            return false;
        }
        for name in &gone {
            self.forget(name);
        }
        for (name, key) in sent {
            if self.keys.get(&name) != Some(&key) {
                self.forget(&name);
                self.by_key.insert(key.clone(), name.clone());
                self.keys.insert(name, key);
            }
        }
        true
    }

    fn forget(&mut self, name: &str) {
        if let Some(key) = self.keys.remove(name) {
            self.by_key.remove(&key);
        }
    }

    fn finds(&self) -> Vec<(&str, &str)> {
        self.by_key.iter().map(|(key, name)| (key.as_str(), name.as_str())).collect()
    }
}

/// A stream over clusters `c` and `d`, and an Envoy that has these scopes.
struct World {
    stream: Stream,
    envoy: Scopes,
}

impl World {
    fn new(variant: Variant, scopes: &[(&str, &str)]) -> World {
        let scopes = scopes.iter().map(|(name, key)| scope(name, key, "c"));
        let edits = [plain(Cluster, "c", 1), plain(Cluster, "d", 1)].into_iter().chain(scopes);
        let mut world = World { stream: Stream::ads(variant, edits), envoy: Scopes::default() };
        for kind in [Cluster, ScopedRoute] {
            match variant {
                Delta => world.stream.subscribe(kind, &[], &[]),
                Sotw => world.stream.ask(kind, &[], ""),
            }
        }
        world.run();
        world
    }

    /// Takes and acknowledges all that comes; gives how many responses of scopes that were.
    #[track_caller]
    fn run(&mut self) -> usize {
        let mut scopes = 0;
        while let Some(response) = self.stream.next() {
            if *response.type_url == *ScopedRoute.type_url() {
                scopes += 1;
                let variant = self.stream.variant;
                assert!(self.envoy.take(variant, &response), "refused: {:?}", shown(&response));
            }
            self.stream.ack(&response);
            assert!(scopes < 10, "it never falls silent");
        }
        scopes
    }
}

#[test]
fn rule_22_scopes_that_exchange_keys_are_neither_refused_nor_lost() {
    for variant in [Delta, Sotw] {
        // Before, after, and in how many steps that goes.
        for (before, after, steps) in [
            (vec![("a", "1")], vec![("a", "2"), ("b", "1")], 1),
            (vec![("z", "1")], vec![("z", "2"), ("b", "1")], 1),
            (vec![("b", "1"), ("a", "2"), ("c", "3")], vec![("b", "4"), ("a", "1"), ("c", "2")], 1),
            (vec![("a", "1"), ("b", "2")], vec![("a", "2"), ("b", "1")], 2),
            (vec![("a", "1"), ("b", "2"), ("c", "3")], vec![("a", "2"), ("b", "3"), ("c", "1")], 2),
        ] {
            let mut world = World::new(variant, &before);
            world.stream.publish(after.iter().map(|(name, key)| scope(name, key, "c")));
            assert_eq!(world.run(), steps, "{before:?} to {after:?}");
            let mut expected: Vec<(&str, &str)> = after.iter().map(|(name, key)| (*key, *name)).collect();
            expected.sort();
            assert_eq!(world.envoy.finds(), expected, "{before:?} to {after:?}");
            world.stream.expect_nothing();
        }
    }
}

#[test]
fn rule_22_a_scope_takes_over_the_key_of_one_that_goes() {
    for (old, new) in [("a", "b"), ("b", "a")] {
        let mut world = World::new(Delta, &[(old, "1")]);
        world.stream.publish([remove(ScopedRoute, old), scope(new, "1", "c")]);
        assert_eq!(world.run(), 1);
        assert_eq!(world.envoy.finds(), [("1", new)]);
    }
}

#[test]
fn rule_22_who_takes_a_key_waits_for_who_has_it_and_for_what_that_waits_for() {
    for variant in [Delta, Sotw] {
        let mut world = World::new(variant, &[("a", "1")]);
        let [new, moved, taker] = [plain(Cluster, "new", 1), scope("a", "2", "new"), scope("b", "1", "c")];
        world.stream.publish([new, moved, taker, scope("other", "3", "c")]);
        let clusters = world.stream.expect(Cluster);
        let other = world.stream.expect(ScopedRoute);
        assert!(!shown(&other).contains(&"b".to_owned()), "{:?}", shown(&other));
        assert!(world.envoy.take(variant, &other));
        world.stream.ack(&other);
        world.stream.expect_nothing();
        world.stream.ack(&clusters);
        assert_eq!(world.run(), 1);
        assert_eq!(world.envoy.finds(), [("1", "b"), ("2", "a"), ("3", "other")]);
    }
}

#[test]
fn rule_24_who_takes_a_key_of_a_refused_scope_comes_when_that_is_mended() {
    let mut world = World::new(Delta, &[("a", "1")]);
    world.stream.publish([scope("a", "bad", "c")]);
    let refused = world.stream.expect(ScopedRoute);
    world.stream.nack(&refused);
    world.stream.publish([scope("b", "1", "c")]);
    world.stream.expect_nothing();
    world.stream.publish([scope("a", "2", "c")]);
    assert_eq!(world.run(), 1);
    assert_eq!(world.envoy.finds(), [("1", "b"), ("2", "a")]);
}

#[test]
fn rule_12_a_scope_that_was_refused_for_its_key_is_offered_once_more_when_that_is_free() {
    let mut world = World::new(Delta, &[("a", "1")]);
    // Two fragments contradict each other, until one lets go.
    world.stream.publish([scope("b", "1", "c")]);
    let refused = world.stream.expect(ScopedRoute);
    assert!(!world.envoy.take(Delta, &refused));
    world.stream.nack(&refused);
    world.stream.expect_nothing();
    world.stream.publish([scope("a", "2", "c")]);
    assert_eq!(world.run(), 2);
    assert_eq!(world.envoy.finds(), [("1", "b"), ("2", "a")]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn rule_22_scopes_may_take_each_others_keys_in_any_way(
        before in Just((0..6u8).collect::<Vec<_>>()).prop_shuffle(),
        after in Just((0..8u8).collect::<Vec<_>>()).prop_shuffle(),
        kept in 0..6usize,
        slow in prop::collection::vec(any::<bool>(), 6),
        delta in any::<bool>(),
    ) {
        let name = |number: usize| format!("s{number}");
        let first: Vec<(String, String)> =
            before.iter().enumerate().map(|(number, key)| (name(number), key.to_string())).collect();
        let first: Vec<(&str, &str)> = first.iter().map(|(name, key)| (name.as_str(), key.as_str())).collect();
        let mut world = World::new(if delta { Delta } else { Sotw }, &first);
        let edits = (0..6).map(|number| match number {
            _ if number < kept => scope(&name(number), &after[number].to_string(), if slow[number] { "new" } else { "c" }),
            _ => remove(ScopedRoute, &name(number)),
        });
        world.stream.publish(edits.chain([plain(Cluster, "new", 1)]));
        world.run();
        let mut expected: Vec<(String, String)> =
            (0..kept).map(|number| (after[number].to_string(), name(number))).collect();
        expected.sort();
        let found: Vec<(String, String)> = world.envoy.by_key.into_iter().collect();
        prop_assert_eq!(found, expected);
    }
}
