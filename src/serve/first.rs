//! First answers: all that somebody wants who holds nothing, made once for those who ask alike.
//!
//! A thousand Envoys that start together hold nothing and ask for the same. Comes in: a view, and what is asked for.
//! Goes out: the answer as it goes on the wire, and what waits for its ACK, both shared. Keeps the invariant
//! that it is what [`plan`](super::plan) would have come to from an empty client: so it is made only where nothing
//! has to wait, and nothing is contested.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::fingerprint::Fingerprint;
use super::holding::Sent;
use super::holdings::Holdings;
use super::names::Shared;
use super::subscription::Subscription;
use super::wire::{Encoded, Item, Items, Variant};
use crate::resource::{Kind, Name, Resource};
use crate::snapshot::{Audience, View};

/// First answers that are known at a time. Where nearly every node sees or asks for something else, nothing is shared.
const MAX_KNOWN: usize = 64;

/// The answer to a first request for a type, of a client that holds nothing of it.
#[derive(Debug)]
pub(crate) struct First {
    encoded: Arc<Encoded>,
    removed: Vec<Name>,
    sent: Arc<BTreeMap<Name, Sent>>,
    /// The names that were asked for; none is everything.
    asked: Option<Arc<Shared>>,
}

/// The first answers of the newest snapshot that are in use.
#[derive(Debug, Default)]
pub(crate) struct Firsts(Mutex<Newest>);

#[derive(Debug, Default)]
struct Newest {
    generation: u64,
    known: BTreeMap<Key, Known>,
}

/// An answer that was asked for.
#[derive(Debug)]
struct Known {
    /// Length of its resources on the wire, in bytes.
    len: usize,
    first: Weak<First>,
}

/// What is answered: of a kind, to those who see the same and ask alike.
type Key = (Variant, Kind, Arc<[Audience]>, Option<Fingerprint>);

/// Whether resources of a kind that a client does not hold wait for nothing now ([`Dependencies`](super::phases)).
pub(crate) fn waits_for_nothing(variant: Variant, kind: Kind, holdings: &Holdings) -> bool {
    match kind {
        Kind::Secret | Kind::Runtime => true,
        // Of endpoints that were asked for before, state of the world tells again.
        Kind::Cluster => variant == Variant::Delta || !holdings.any(Kind::Endpoint),
        // They go behind the clusters that use them.
        Kind::Endpoint => holdings.waiting(Kind::Cluster).next().is_none(),
        Kind::Listener | Kind::Route | Kind::ScopedRoute | Kind::VirtualHost | Kind::ExtensionConfig => false,
    }
}

impl Firsts {
    /// What those are answered who ask for this, in so many bytes at most; none where they are answered one by one.
    pub fn of(
        &self,
        variant: Variant,
        (view, kind): (&View, Kind),
        wanted: &Subscription,
        room: usize,
    ) -> Option<Arc<First>> {
        let asked = match (wanted.is_wildcard(), wanted.named()) {
            (true, 0) => None,
            (true, _) | (false, 0) => return None,
            (false, _) => Some(wanted.shared()?),
        };
        // Whoever comes meanwhile waits for what it would else make as well.
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = view.snapshot().generation();
        if newest.generation < generation {
            *newest = Newest { generation, known: BTreeMap::new() };
        }
        if newest.generation > generation {
            return None;
        }
        let key = (variant, kind, view.audiences().clone(), asked.map(|list| list.fingerprint()));
        match newest.known.get(&key) {
            Some(known) if known.len > room => return None,
            Some(known) => {
                if let Some(first) = known.first.upgrade() {
                    return Some(first).filter(|first| first.is_for(asked));
                }
            }
            None => {
                if newest.known.len() >= MAX_KNOWN {
                    newest.known.retain(|_, known| known.first.strong_count() > 0);
                }
                if newest.known.len() >= MAX_KNOWN {
                    return None;
                }
            }
        }
        let plain = Plain::new(variant, (view, kind), asked)?;
        let len = Item::encoded_len_all(&plain.items, variant);
        let first = (len <= room).then(|| Arc::new(plain.encode(variant, asked)));
        let known = Known { len, first: first.as_ref().map(Arc::downgrade).unwrap_or_default() };
        newest.known.insert(key, known);
        first
    }
}

/// An answer before it is encoded.
struct Plain {
    items: Vec<Item>,
    removed: Vec<Name>,
    sent: BTreeMap<Name, Sent>,
}

impl Plain {
    fn new(variant: Variant, (view, kind): (&View, Kind), asked: Option<&Arc<Shared>>) -> Option<Plain> {
        // What is contested is withheld, and what is valid for a time only is not told alike to all.
        if view.contested().next().is_some() || view.mortal(kind).next().is_some() {
            return None;
        }
        let found: BTreeMap<&Name, Option<&Arc<Resource>>> = match asked {
            None => view.iter(kind).map(|resource| (resource.name(), Some(resource))).collect(),
            Some(list) => list.names().map(|name| (name, view.get(kind, name))).collect(),
        };
        let (mut items, mut removed) = (Vec::with_capacity(found.len()), Vec::new());
        let sent = found.into_iter().map(|(name, resource)| {
            let version = resource.map(|resource| view.version_of(resource));
            let resource = resource.cloned();
            match version {
                Some(version) => {
                    items.push(Item { name: name.clone(), version, resource: resource.clone(), ttl: None });
                }
                None => removed.push(name.clone()),
            }
            (name.clone(), Sent { before: None, after_refusal: false, version, resource })
        });
        let sent = sent.collect();
        if variant == Variant::Sotw {
            // It cannot say that a name is not there: where none is, nothing is said.
            removed.clear();
            if items.is_empty() && asked.is_some() {
                return None;
            }
        }
        Some(Plain { items, removed, sent })
    }

    fn encode(self, variant: Variant, asked: Option<&Arc<Shared>>) -> First {
        let Plain { items, removed, sent } = self;
        let encoded = Arc::new(Encoded::new(variant, items));
        First { encoded, removed, sent: Arc::new(sent), asked: asked.cloned() }
    }
}

impl First {
    /// Lists are kept once, so the same list is the same one.
    fn is_for(&self, asked: Option<&Arc<Shared>>) -> bool {
        match (&self.asked, asked) {
            (Some(known), Some(list)) => Arc::ptr_eq(known, list),
            (known, list) => known.is_none() && list.is_none(),
        }
    }

    /// The resources.
    pub fn items(&self) -> Items {
        Items::Shared(self.encoded.clone())
    }

    /// Names that were asked for and are not there.
    pub fn removed(&self) -> &[Name] {
        &self.removed
    }

    /// What waits for the ACK.
    pub fn sent(&self) -> Arc<BTreeMap<Name, Sent>> {
        self.sent.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::names::Pool;
    use crate::serve::tests::{for_node, plain, put, resource};
    use crate::snapshot::{Builder, Edit};
    use std::time::Duration;

    const DELTA: Variant = Variant::Delta;

    fn view(edits: impl IntoIterator<Item = Edit>) -> View {
        View::new(Arc::new(Builder::new().apply(edits).expect("the first")), None)
    }

    fn everything() -> Subscription {
        let mut wanted = Subscription::default();
        wanted.start_delta(true);
        wanted
    }

    fn named(pool: &Pool, numbers: impl IntoIterator<Item = u8>) -> Subscription {
        let mut wanted = Subscription::default();
        for number in numbers {
            wanted.subscribe(&format!("c{number}").into());
        }
        wanted.share(pool);
        wanted
    }

    #[test]
    fn those_who_ask_alike_are_given_one_answer_and_it_goes_with_the_last_of_them() {
        let view = view((0..50).map(|n| plain(Kind::Cluster, &format!("c{n}"), n)));
        let (firsts, pool) = (Firsts::default(), Pool::default());
        let of = |wanted: &Subscription| {
            firsts.of(DELTA, (&view, Kind::Cluster), wanted, usize::MAX).expect("an answer")
        };
        let all = of(&everything());
        assert!(Arc::ptr_eq(&all, &of(&everything())));
        let lists = [named(&pool, 0..60), named(&pool, 0..60), named(&pool, 1..61)];
        let [one, same, other] = lists.each_ref().map(of);
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
        assert_eq!((one.items().len(), one.removed().len(), one.sent().len()), (50, 10, 60));
        assert_eq!(other.items().len(), 49);
        let gone = Arc::downgrade(&all);
        drop(all);
        assert!(gone.upgrade().is_none());
    }

    #[test]
    fn what_is_withheld_or_valid_for_a_time_only_is_answered_one_by_one() {
        let firsts = Firsts::default();
        let cluster = |n| resource(Kind::Cluster, "c", n, &[]);
        let mortal = Resource::new(Kind::Cluster, "c", &[1]).with_ttl(Duration::from_secs(9));
        assert!(
            firsts
                .of(DELTA, (&view([put(Arc::new(mortal))]), Kind::Cluster), &everything(), usize::MAX)
                .is_none()
        );
        let edits = [put(cluster(1)), for_node("n", cluster(2))];
        let snapshot = Arc::new(Builder::new().apply(edits).expect("the first"));
        let node = crate::resource::Node { id: "n".into(), ..Default::default() };
        let [here, elsewhere] = [Some(&node), None].map(|node| View::new(snapshot.clone(), node));
        assert!(firsts.of(DELTA, (&here, Kind::Cluster), &everything(), usize::MAX).is_none());
        assert!(firsts.of(DELTA, (&elsewhere, Kind::Cluster), &everything(), usize::MAX).is_some());
    }

    #[test]
    fn those_who_see_an_older_snapshot_are_answered_one_by_one() {
        let firsts = Firsts::default();
        let mut builder = Builder::new();
        let mut next = |n| {
            let snapshot = builder.apply([plain(Kind::Cluster, "c", n)]).expect("a change");
            View::new(Arc::new(snapshot), None)
        };
        let [old, new] = [next(1), next(2)];
        let known = firsts.of(DELTA, (&new, Kind::Cluster), &everything(), usize::MAX).expect("an answer");
        assert!(firsts.of(DELTA, (&old, Kind::Cluster), &everything(), usize::MAX).is_none());
        assert!(Arc::ptr_eq(
            &known,
            &firsts.of(DELTA, (&new, Kind::Cluster), &everything(), usize::MAX).expect("an answer")
        ));
    }

    #[test]
    fn what_does_not_fit_is_answered_in_parts() {
        let view = view((0..50).map(|n| plain(Kind::Cluster, &format!("c{n}"), n)));
        let firsts = Firsts::default();
        let all = firsts.of(DELTA, (&view, Kind::Cluster), &everything(), usize::MAX).expect("an answer");
        let len = all.items().encoded_len(Variant::Delta);
        for known in [Some(all), None] {
            assert!(firsts.of(DELTA, (&view, Kind::Cluster), &everything(), len - 1).is_none());
            assert!(firsts.of(DELTA, (&view, Kind::Cluster), &everything(), len).is_some());
            drop(known);
        }
    }

    #[test]
    fn there_are_not_too_many_of_them_at_a_time() {
        let view = view((0..50).map(|n| plain(Kind::Cluster, &format!("c{n}"), n)));
        let (firsts, pool) = (Firsts::default(), Pool::default());
        let lists: Vec<_> = (0..=MAX_KNOWN).map(|n| named(&pool, 0..40 + n as u8)).collect();
        let mut known: Vec<_> =
            lists.iter().map(|list| firsts.of(DELTA, (&view, Kind::Cluster), list, usize::MAX)).collect();
        assert!(known.pop().is_some_and(|last| last.is_none()));
        assert!(known.iter().all(Option::is_some));
        drop(known);
        assert!(firsts.of(DELTA, (&view, Kind::Cluster), &lists[MAX_KNOWN], usize::MAX).is_some());
    }
}
