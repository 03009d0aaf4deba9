//! The session as a state machine: requests and snapshots in, responses out, on made-up time.

mod envoy;
mod exchange;
mod family;
mod followers;
mod model;
mod returning;
mod rules;
mod starting;
mod waking;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::session::{Refusal, Rules, Session};
use super::wire::{Identity, Names, Request, Response, Variant};
use super::{Event, Pace};
use crate::resource::{Kind, Node, Reference, Resource, Selector};
use crate::snapshot::{Builder, Edit, Snapshot};

/// A resource whose content is a number, and which names others: clusters `c` their endpoints, routes
/// and listeners what is given.
pub fn resource(kind: Kind, name: &str, content: u8, refs: &[(Kind, &str)]) -> Arc<Resource> {
    let mut body = vec![0x10, content];
    // As in real messages, what is named is part of the content.
    body.extend(refs.iter().flat_map(|(_, name)| name.bytes()));
    let refs = refs.iter().map(|(kind, name)| Reference { kind: *kind, name: (*name).into() });
    Arc::new(Resource::new(kind, name, &body).with_references(refs))
}

pub fn put(resource: Arc<Resource>) -> Edit {
    Edit::Put(None, resource)
}

pub fn remove(kind: Kind, name: &str) -> Edit {
    Edit::Remove(None, kind, name.into())
}

/// A cluster that takes its endpoints from an assignment of its own name.
pub fn eds(name: &str, content: u8) -> Arc<Resource> {
    resource(Kind::Cluster, name, content, &[(Kind::Endpoint, name)])
}

pub fn plain(kind: Kind, name: &str, content: u8) -> Edit {
    put(resource(kind, name, content, &[]))
}

impl Rules {
    /// Small limits, so that tests reach them.
    pub fn of_tests() -> Rules {
        Rules {
            pace: Pace::default(),
            max_response: 3_500_000,
            max_response_envoy: 64_000_000,
            max_names: 10,
            server: "test".into(),
        }
    }
}

/// One stream and the world around it.
pub struct Stream {
    pub session: Session,
    pub builder: Builder,
    pub snapshot: Arc<Snapshot>,
    pub now: Instant,
    pub variant: Variant,
    /// What the client announces in its first request.
    pub features: Vec<String>,
    /// The node that it says it is.
    pub node: String,
    started: bool,
}

impl Stream {
    pub fn open(variant: Variant, only: Option<Kind>) -> Stream {
        Stream {
            session: Session::new(variant, only, Arc::new(Rules::of_tests())),
            builder: Builder::new(),
            snapshot: Arc::new(Snapshot::unloaded()),
            now: Instant::now(),
            variant,
            features: Vec::new(),
            node: "n".into(),
            started: false,
        }
    }

    /// An aggregated stream over a first snapshot.
    pub fn ads(variant: Variant, edits: impl IntoIterator<Item = Edit>) -> Stream {
        let mut stream = Stream::open(variant, None);
        stream.publish(edits);
        stream
    }

    /// The same files, a new stream: what a client does when it connects again.
    pub fn reopen(&mut self) {
        let mut fresh = Stream::open(self.variant, None);
        std::mem::swap(&mut fresh.session, &mut self.session);
        self.started = false;
    }

    pub fn publish(&mut self, edits: impl IntoIterator<Item = Edit>) {
        if let Some(snapshot) = self.builder.apply(edits) {
            self.snapshot = Arc::new(snapshot);
            self.session.on_snapshot(&self.snapshot);
        }
    }

    pub fn request(&mut self, kind: Kind, names: Names) -> Request {
        let identity = Identity {
            node: Node { id: self.node.clone(), ..Node::default() },
            agent: "envoy".into(),
            features: self.features.clone(),
            ..Identity::default()
        };
        let first = !std::mem::replace(&mut self.started, true);
        Request {
            identity: first.then_some(identity),
            type_url: kind.type_url().into(),
            names,
            ..Request::default()
        }
    }

    pub fn send(&mut self, request: Request) {
        let snapshot = self.snapshot.clone();
        self.session.on_request(request, &snapshot, self.now).expect("a good request");
    }

    /// Delta: adds and drops names.
    pub fn subscribe(&mut self, kind: Kind, subscribe: &[&str], unsubscribe: &[&str]) {
        let names = Names::Delta {
            subscribe: subscribe.iter().collect(),
            unsubscribe: unsubscribe.iter().collect(),
            initial: Default::default(),
        };
        let request = self.request(kind, names);
        self.send(request);
    }

    /// Delta: a first request that brings versions from an earlier stream.
    pub fn resume(&mut self, kind: Kind, subscribe: &[&str], initial: &[(&str, &str)]) {
        let names = Names::Delta {
            subscribe: subscribe.iter().collect(),
            unsubscribe: Default::default(),
            initial: initial.iter().copied().collect(),
        };
        let request = self.request(kind, names);
        self.send(request);
    }

    /// State of the world: the whole list.
    pub fn ask(&mut self, kind: Kind, names: &[&str], nonce: &str) {
        let names = Names::Sotw(names.iter().collect());
        let request = Request { nonce: nonce.into(), ..self.request(kind, names) };
        self.send(request);
    }

    pub fn next(&mut self) -> Option<Response> {
        self.session.next(self.now).response
    }

    #[track_caller]
    pub fn expect(&mut self, kind: Kind) -> Response {
        let response = self.next().unwrap_or_else(|| panic!("no response, expected one of {kind}"));
        assert_eq!(&*response.type_url, kind.type_url());
        response
    }

    #[track_caller]
    pub fn expect_nothing(&mut self) {
        if let Some(response) = self.next() {
            panic!("expected nothing, got {} {:?}", response.type_url, shown(&response));
        }
    }

    pub fn ack(&mut self, response: &Response) {
        self.answer(response, None, &[]);
    }

    pub fn nack(&mut self, response: &Response) {
        self.answer(response, Some("no"), &[]);
    }

    /// Answers a response; `names` is the list that a state-of-the-world client repeats.
    pub fn answer(&mut self, response: &Response, error: Option<&str>, names: &[&str]) {
        let kind = Kind::from_type_url(&response.type_url).expect("a type of ours");
        let names = match self.variant {
            Variant::Delta => Names::Delta {
                subscribe: Default::default(),
                unsubscribe: Default::default(),
                initial: Default::default(),
            },
            Variant::Sotw => Names::Sotw(names.iter().collect()),
        };
        let request = self.request(kind, names);
        self.send(Request { nonce: response.nonce.clone(), error: error.map(Into::into), ..request });
    }

    /// Takes and acknowledges a response of this type; gives what was in it.
    #[track_caller]
    pub fn take(&mut self, kind: Kind) -> Vec<String> {
        let response = self.expect(kind);
        self.ack(&response);
        shown(&response)
    }

    pub fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    pub fn events(&mut self) -> Vec<Event> {
        self.session.take_events()
    }
}

/// What a response says, as text: `a`, and `-b` for a removal.
pub fn shown(response: &Response) -> Vec<String> {
    let items = response.items.iter().map(|item| match item.resource {
        Some(_) => item.name.to_string(),
        None => format!("?{}", item.name),
    });
    items.chain(response.removed.iter().map(|name| format!("-{name}"))).collect()
}

pub fn for_node(id: &str, resource: Arc<Resource>) -> Edit {
    let pattern = crate::resource::NodePattern { id: Some(id.into()), ..Default::default() };
    Edit::Put(Some(Arc::new(Selector(vec![pattern]))), resource)
}
