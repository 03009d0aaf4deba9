//! What fuzzing calls for the session, with cargo-fuzz and in tests/fuzz_session.rs.
//!
//! Comes in: any bytes, read as a sequence of requests, changes and waits. Goes out: nothing, or a
//! panic that says which promise is broken: no request makes the session panic, what it says is sound,
//! it falls silent by itself, and it does not grow with the length of the sequence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use xds_bridge::resource::{Kind, Node, Reference, Resource};
use xds_bridge::serve::{Identity, Names, Next, Pace, Request, Response, Rules, Session, Variant};
use xds_bridge::snapshot::{Builder, Edit, Snapshot};

/// How many names there are; the star is one of them.
const NAMES: u8 = 8;

/// Responses that may follow from one event: each type in parts of one resource, and types unknown.
const MAX_RESPONSES: usize = 9 * 2 * NAMES as usize + 16;

/// Bytes of a session over so few names, written out. Whatever was said before does not add to it.
const MAX_STATE: usize = 1 << 20;

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn kind(&mut self) -> Kind {
        Kind::ALL[self.next() as usize % Kind::COUNT]
    }

    fn name(&mut self) -> String {
        match self.next() % NAMES {
            0 => "*".into(),
            n => format!("r/{n}"),
        }
    }

    fn names(&mut self) -> Vec<String> {
        (0..self.next() % 5).map(|_| self.name()).collect()
    }
}

struct World {
    session: Session,
    variant: Variant,
    builder: Builder,
    snapshot: Arc<Snapshot>,
    now: Instant,
    nonces: BTreeMap<Kind, Vec<String>>,
}

/// Any sequence of requests and changes.
pub fn session(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let variant = if bytes.next() % 2 == 0 { Variant::Delta } else { Variant::Sotw };
    let only = Some(bytes.next()).filter(|byte| byte % 3 == 0).map(|_| bytes.kind());
    let size = if bytes.next() % 2 == 0 { 64 } else { 1 << 20 };
    let rules = Rules {
        pace: Pace::default(),
        max_response: size,
        max_response_envoy: size,
        max_names: 1_000,
        server: "fuzz".into(),
    };
    let mut world = World {
        session: Session::new(variant, only, Arc::new(rules)),
        variant,
        builder: Builder::new(),
        snapshot: Arc::new(Snapshot::unloaded()),
        now: Instant::now(),
        nonces: BTreeMap::new(),
    };
    while !bytes.0.is_empty() {
        match bytes.next() % 6 {
            0 => world.change(&mut bytes),
            1 => world.now += Duration::from_millis(20) * u32::from(bytes.next()),
            2 => drop(world.receive()),
            3 => world.drain(),
            _ => {
                if !world.ask(&mut bytes) {
                    return;
                }
            }
        }
    }
    world.drain();
    let _ = world.session.take_events();
    let state = format!("{:?}", world.session).len();
    assert!(state < MAX_STATE, "the session has grown to {state} bytes");
}

impl World {
    fn change(&mut self, bytes: &mut Bytes<'_>) {
        let (kind, name) = (bytes.kind(), bytes.name());
        let edit = match bytes.next() {
            byte if byte % 4 == 0 => Edit::Remove(None, kind, name.as_str().into()),
            content => {
                let to = Reference { kind: bytes.kind(), name: bytes.name().as_str().into() };
                let resource = Resource::new(kind, name.as_str(), &[0x10, content % 4]).with_references([to]);
                let alias = format!("r/{}", bytes.next() % NAMES);
                let aliases = (kind == Kind::VirtualHost).then(|| alias.as_str().into());
                Edit::Put(None, Arc::new(resource.with_aliases(aliases)))
            }
        };
        if let Some(snapshot) = self.builder.apply([edit]) {
            self.snapshot = Arc::new(snapshot);
            self.session.on_snapshot(&self.snapshot);
        }
    }

    /// Sends a request; false if the session is to end for it.
    fn ask(&mut self, bytes: &mut Bytes<'_>) -> bool {
        let kind = bytes.kind();
        let type_url = match bytes.next() % 16 {
            0 => String::new(),
            1 => format!("type.googleapis.com/made.up.T{}", bytes.next()),
            _ => kind.type_url().into(),
        };
        let told = self.nonces.entry(kind).or_default();
        let nonce = match bytes.next() % 5 {
            0 => String::new(),
            1 => "18446744073709551616".into(),
            2 => told.get(bytes.next() as usize % 8).cloned().unwrap_or_default(),
            _ => told.last().cloned().unwrap_or_default(),
        };
        let names = match self.variant {
            Variant::Delta => Names::Delta {
                subscribe: bytes.names().into(),
                unsubscribe: bytes.names().into(),
                initial: bytes.names().into_iter().map(|name| (name, "0".repeat(32))).collect(),
            },
            Variant::Sotw => Names::Sotw(bytes.names().into()),
        };
        let said = bytes.next();
        let identity = said.is_multiple_of(2).then(|| Identity {
            node: Node { id: "n".into(), ..Node::default() },
            agent: if said.is_multiple_of(4) { "envoy".into() } else { String::new() },
            features: vec!["xds.config.supports-resource-ttl".into()],
            ..Identity::default()
        });
        let error = said.is_multiple_of(5).then(|| "no".to_owned());
        let request = Request { identity, type_url, nonce, error, names };
        self.session.on_request(request, &self.snapshot, self.now).is_ok()
    }

    fn receive(&mut self) -> Next {
        let next = self.session.next(self.now);
        if let Some(response) = &next.response {
            self.check(response);
        }
        next
    }

    /// Takes all there is without an answer: each type has one response in flight and then waits.
    fn drain(&mut self) {
        for _ in 0..MAX_RESPONSES {
            let next = self.receive();
            if next.response.is_none() {
                assert!(next.wake_at.is_none_or(|at| at > self.now), "it wants to be asked again at once");
                return;
            }
        }
        panic!("it never falls silent");
    }

    fn check(&mut self, response: &Response) {
        let mut encoded = Vec::new();
        response.encode(&mut encoded);
        assert_eq!(encoded.len(), response.encoded_len());
        let items = response.items.iter().map(|item| &item.name);
        let names: BTreeSet<_> = items.chain(&response.removed).collect();
        assert_eq!(names.len(), response.items.len() + response.removed.len(), "a name twice: {response:?}");
        assert!(self.variant == Variant::Delta || response.removed.is_empty());
        if let Some(kind) = Kind::from_type_url(&response.type_url) {
            let told = self.nonces.entry(kind).or_default();
            assert!(!told.contains(&response.nonce), "a nonce twice");
            told.push(response.nonce.clone());
        }
    }
}
