//! The clients as people ask about them: does each run the newest, and why not?
//!
//! Comes in: the open streams, the current snapshot, the time, and where resources stand. Goes out: one
//! [`Client`] for each node on each host, with all its streams; those that need somebody come first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::refusal::{MAX_LISTED, named, shown};
use super::status::{Client, Refused, Stream, Summary, Type, Version};
use crate::resource::{Digest, Kind, Name};
use crate::serve::{self, Lacking, StreamState, TypeState, Variant};
use crate::snapshot::Snapshot;

/// `file:line` of each place where a resource is defined.
pub type PlacesOf<'a> = &'a dyn Fn(Kind, &Name) -> Vec<String>;

/// What tells clients apart: node id and cluster, and the host that they come from.
type Who = (String, String, String);

/// All clients that have open streams, and how many of them run the newest.
pub fn clients(
    streams: &[StreamState],
    snapshot: &Arc<Snapshot>,
    now: (Instant, SystemTime),
    places: PlacesOf<'_>,
) -> (Vec<Client>, Summary) {
    let clock = Clock { now: now.0, time: now.1 };
    let mut by_node: BTreeMap<Who, Seen> = BTreeMap::new();
    // A stream without a request asks for nothing, and is nobody yet.
    for state in streams.iter().filter(|state| state.insight.is_some()) {
        let address = host(&state.stream.peer).to_owned();
        let node = state.stream.identity.as_ref().map(|identity| &identity.node);
        let (id, cluster) = node.map_or_else(Default::default, |n| (n.id.clone(), n.cluster.clone()));
        let seen = by_node.entry((id, cluster, address)).or_default();
        seen.add(state, snapshot, &clock, places);
    }
    let mut clients: Vec<Client> = by_node.into_iter().map(|(who, seen)| seen.client(who)).collect();
    clients.sort_by_key(|client| match &*client.state {
        REFUSED => 0,
        BEHIND => 1,
        _ => 2,
    });
    let count = |state| clients.iter().filter(|client| client.state == state).count() as u64;
    let summary = Summary {
        clients: clients.len() as u64,
        in_sync: count(IN_SYNC),
        behind: count(BEHIND),
        refused: count(REFUSED),
        streams: streams.len() as u64,
        left_out: 0,
    };
    (clients, summary)
}

const IN_SYNC: &str = "in_sync";
const BEHIND: &str = "behind";
const REFUSED: &str = "refused";

/// Two clocks at one moment: streams are timed by the one that never jumps.
struct Clock {
    now: Instant,
    time: SystemTime,
}

impl Clock {
    fn age(&self, then: Instant) -> Duration {
        self.now.saturating_duration_since(then)
    }

    /// A point of time in words, and its age in seconds.
    fn told(&self, then: Instant) -> (String, u64) {
        let age = self.age(then);
        let time = self.time.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        (humantime::format_rfc3339_millis(time).to_string(), age.as_secs())
    }

    fn version(&self, (version, at): (Digest, Instant)) -> Version {
        let (at, age_seconds) = self.told(at);
        Version { version: version.to_string(), at, age_seconds }
    }
}

/// What is found out of one client, stream by stream.
#[derive(Default)]
struct Seen {
    streams: Vec<Stream>,
    agent: String,
    identity: String,
    behind: Vec<String>,
    refused: Vec<String>,
}

impl Seen {
    fn add(&mut self, state: &StreamState, snapshot: &Arc<Snapshot>, clock: &Clock, places: PlacesOf<'_>) {
        if let Some(identity) = &state.stream.identity {
            self.agent = format!("{} {}", identity.agent, identity.agent_version).trim().to_owned();
        }
        let lacking = state.insight.as_ref().map(|insight| insight.lacking(snapshot)).unwrap_or_default();
        if !snapshot.is_loaded() && state.insight.is_some() {
            self.behind.push("nothing is served yet".to_owned());
        }
        if state.secrets_withheld {
            let why = "asks for secrets over plain TCP as another user and gets none: let it connect by unix:PATH or TLS";
            self.behind.push(why.to_owned());
        }
        if let Some(credential) = &state.stream.credential {
            self.identity = credential.to_string();
        }
        let mut types = Vec::new();
        for (kind, lacking) in &lacking {
            let known = state.types.get(kind).cloned().unwrap_or_default();
            let shown = type_of(*kind, &known, lacking, clock, places);
            self.say(*kind, &shown);
            types.push(shown);
        }
        let (since, age_seconds) = clock.told(state.since);
        self.streams.push(Stream {
            id: state.stream.id,
            peer: state.stream.peer.to_string(),
            variant: variant(&state.stream).to_owned(),
            service: state.stream.only.map_or("ads", Kind::fragment_key).to_owned(),
            since,
            age_seconds,
            types,
        });
    }

    /// In words, what a client lacks of one type.
    fn say(&mut self, kind: Kind, shown: &Type) {
        for refused in &shown.refused {
            let at =
                if refused.at.is_empty() { String::new() } else { format!(" ({})", refused.at.join(", ")) };
            self.refused.push(format!("refuses {kind} `{}`{at}: {}", refused.name, refused.message));
        }
        if shown.behind > 0 {
            let mut what = match &shown.behind_names[..] {
                [] => format!("{} {kind}s", shown.behind),
                [one] if shown.behind == 1 => format!("{kind} `{one}`"),
                [first, ..] => format!("{kind} `{first}` and {} more", shown.behind - 1),
            };
            what.push_str(match shown.pending {
                true => ": on its way, not acknowledged yet",
                false => ": waits for what it needs, or still serves, at this client",
            });
            self.behind.push(format!("lacks {what}"));
        }
        for name in &shown.contested {
            self.behind.push(format!(
                "is not sent {kind} `{name}`: several fragments that define it have `nodes:` that match this client"
            ));
        }
    }

    fn client(self, (node_id, node_cluster, address): Who) -> Client {
        let state = match (self.refused.is_empty(), self.behind.is_empty()) {
            (false, _) => REFUSED,
            (true, false) => BEHIND,
            (true, true) => IN_SYNC,
        };
        let mut why = self.refused;
        why.extend(self.behind);
        why.dedup();
        Client {
            node_id,
            node_cluster,
            agent: self.agent,
            address,
            identity: self.identity,
            state: state.to_owned(),
            why,
            streams: self.streams,
        }
    }
}

fn type_of(kind: Kind, known: &TypeState, lacking: &Lacking, clock: &Clock, places: PlacesOf<'_>) -> Type {
    // The record keeps what was refused in one response; the gap knows what of it still is.
    let still: Vec<_> = known.refusals.iter().filter(|one| lacking.refused.contains(&one.name)).collect();
    let mut refused: Vec<Refused> = Vec::new();
    for one in &still {
        let same: Vec<_> = still.iter().filter(|other| other.message == one.message).collect();
        let meant = named(&one.message, &same, |other| &other.name);
        if !meant.iter().any(|other| other.name == one.name) {
            continue;
        }
        let (since, age_seconds) = clock.told(one.at);
        refused.push(Refused {
            name: one.name.to_string(),
            version: one.version.map(|version| version.to_string()).unwrap_or_default(),
            at: places(kind, &one.name),
            message: shown(kind, &one.message),
            since,
            age_seconds,
        });
    }
    let unrecorded = lacking.refused.iter().filter(|_| still.is_empty()).take(MAX_LISTED);
    refused.extend(unrecorded.map(|name| Refused {
        name: name.to_string(),
        at: places(kind, name),
        ..Refused::default()
    }));
    let rejected = known.rejected.filter(|_| !refused.is_empty());
    let text = |names: &[Name]| names.iter().map(ToString::to_string).collect();
    Type {
        kind: kind.fragment_key().to_owned(),
        wildcard: known.wildcard,
        names: known.names as u64,
        sent: known.sent.map(|sent| clock.version(sent)),
        acknowledged: known.acknowledged.map(|acked| clock.version(acked)),
        rejected: rejected.map(|rejected| clock.version(rejected)),
        behind: lacking.behind as u64,
        behind_names: text(&lacking.names),
        refused,
        contested: text(&lacking.contested),
        pending: lacking.is_pending,
        missing: text(&lacking.missing),
    }
}

fn variant(stream: &serve::Stream) -> &'static str {
    match stream.variant {
        Variant::Delta => "delta",
        Variant::Sotw => "sotw",
    }
}

/// The host of `127.0.0.1:40404`; what has no port is a host as it is.
fn host(peer: &str) -> &str {
    match peer.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => peer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Node, NodePattern, Resource, Selector};
    use crate::serve::{Clients, Event, Identity, Journal, Names, Pace, Request, Response, Rules, Session};
    use crate::snapshot::{Builder, Edit};

    struct Nobody;

    impl Journal for Nobody {
        fn note(&self, _: &serve::Stream, _: &Event) {}

        fn turned_away(&self, _: &str, _: &str) {}
    }

    /// One client on one stream, and what is recorded of it.
    struct World {
        builder: Builder,
        snapshot: Arc<Snapshot>,
        session: Session,
        clients: Clients,
        stream: serve::Stream,
    }

    impl World {
        fn new() -> World {
            let rules = Rules {
                pace: Pace::default(),
                max_response: 1 << 20,
                max_response_envoy: 1 << 20,
                max_names: 1 << 20,
                server: "test".into(),
            };
            World {
                builder: Builder::new(),
                snapshot: Arc::new(Snapshot::unloaded()),
                session: Session::new(Variant::Delta, None, Arc::new(rules)),
                clients: Clients::new(Arc::new(Nobody)),
                stream: serve::Stream {
                    id: 1,
                    peer: "10.0.0.1:4711".into(),
                    credential: None,
                    variant: Variant::Delta,
                    only: None,
                    identity: None,
                },
            }
        }

        /// Publishes a cluster with this content; the stream does not look yet.
        fn publish(&mut self, body: &[u8]) {
            let cluster = Arc::new(Resource::new(Kind::Cluster, "a", body));
            self.snapshot = Arc::new(self.builder.apply([Edit::Put(None, cluster)]).expect("it is new"));
        }

        fn ask(&mut self, kind: Kind, subscribe: &[&str], nonce: &str, error: Option<&str>) {
            let node = Node { id: "n".into(), cluster: "c".into(), ..Node::default() };
            let identity =
                Identity { node, agent: "envoy".into(), agent_version: "1".into(), features: vec![] };
            let subscribe = subscribe.iter().collect();
            let request = Request {
                identity: Some(identity),
                type_url: kind.type_url().into(),
                nonce: nonce.into(),
                error: error.map(str::to_owned),
                names: Names::Delta {
                    subscribe,
                    unsubscribe: Default::default(),
                    initial: Default::default(),
                },
            };
            self.session.on_request(request, &self.snapshot, Instant::now()).expect("taken");
            self.record();
        }

        fn answer(&mut self) -> Response {
            self.session.on_snapshot(&self.snapshot);
            let response = self.session.next(Instant::now()).response.expect("something to send");
            self.record();
            response
        }

        fn record(&mut self) {
            for event in self.session.take_events() {
                if let Event::Identified(identity) = &event {
                    self.stream.identity = Some(identity.clone());
                }
                self.clients.note(&self.stream, &event);
            }
        }

        #[track_caller]
        fn seen(&self, state: &str) -> Client {
            let now = (Instant::now(), SystemTime::now());
            let place = |_: Kind, _: &Name| vec!["f.yaml:3".to_owned()];
            let (clients, summary) = clients(&self.clients.streams(), &self.snapshot, now, &place);
            let [client] = &clients[..] else { panic!("one client: {clients:?}") };
            assert_eq!(client.state, state, "{client:?}");
            assert_eq!((summary.clients, summary.streams), (1, 1));
            client.clone()
        }
    }

    #[test]
    fn a_client_is_behind_until_it_acknowledges_and_refused_until_it_takes_another_version() {
        let mut world = World::new();
        world.publish(b"\x0a\x01a");
        world.ask(Kind::Cluster, &["*"], "", None);
        let client = world.seen("behind");
        assert_eq!((&*client.node_id, &*client.address, &*client.agent), ("n", "10.0.0.1", "envoy 1"));
        let response = world.answer();
        let client = world.seen("behind");
        assert_eq!(client.why, ["lacks cluster `a`: on its way, not acknowledged yet"]);
        assert!(client.streams[0].types[0].pending && client.streams[0].types[0].wildcard);
        world.ask(Kind::Cluster, &[], &response.nonce, None);
        let client = world.seen("in_sync");
        let of = &client.streams[0].types[0];
        assert_eq!(of.sent.as_ref().map(|sent| &sent.version), of.acknowledged.as_ref().map(|a| &a.version));
        assert!(client.why.is_empty() && of.behind == 0 && !of.pending);

        // What the stream has not even looked at counts already.
        world.publish(b"\x0a\x01a\x2a\x01x");
        assert!(world.seen("behind").streams[0].types[0].pending);
        let response = world.answer();
        world.ask(Kind::Cluster, &[], &response.nonce, Some("Error adding/updating cluster(s) a: no"));
        let client = world.seen("refused");
        assert_eq!(client.why, ["refuses cluster `a` (f.yaml:3): Error adding/updating cluster(s) a: no"]);
        let of = &client.streams[0].types[0];
        assert!(of.rejected.is_some() && of.behind == 0 && !of.pending, "{of:?}");

        world.publish(b"\x0a\x01a");
        let response = world.answer();
        world.ask(Kind::Cluster, &[], &response.nonce, None);
        assert_eq!(world.seen("in_sync").streams[0].types[0].rejected, None);
    }

    #[test]
    fn who_gets_none_of_two_that_clash_is_behind_though_it_never_held_one() {
        let mut world = World::new();
        world.publish(b"\x0a\x01a");
        world.ask(Kind::Cluster, &["*"], "", None);
        world.ask(Kind::Route, &["r"], "", None);
        let response = world.answer();
        world.ask(Kind::Cluster, &[], &response.nonce, None);
        let edit = |kind, glob: &str, body: &[u8]| {
            let pattern = NodePattern { id: Some(glob.into()), ..NodePattern::default() };
            let nodes = Some(Arc::new(Selector(vec![pattern])));
            Edit::Put(nodes, Arc::new(Resource::new(kind, "r", body)))
        };
        let clash = [
            edit(Kind::Cluster, "n*", b"\x0a\x01r"),
            edit(Kind::Cluster, "*n", b"\x0a\x01r\x2a\x01x"),
            // For others than this client.
            edit(Kind::Listener, "n*", b"\x0a\x01r"),
            edit(Kind::Listener, "x*", b"\x0a\x01r\x2a\x01x"),
        ];
        world.snapshot = Arc::new(world.builder.apply(clash).expect("it is new"));
        for _ in 0..2 {
            let client = world.seen("behind");
            let of = |kind: &str| {
                let mut types = client.streams[0].types.iter();
                types.find(|of| of.kind == kind).map(|of| of.contested.clone())
            };
            assert_eq!(of("clusters"), Some(vec!["r".to_owned()]), "{client:?}");
            assert_eq!(of("routes"), Some(Vec::new()));
            assert!(client.why.iter().any(|why| why.contains("is not sent cluster `r`")), "{client:?}");
            world.session.on_snapshot(&world.snapshot);
        }
    }

    #[test]
    fn what_is_asked_for_and_not_there_is_told() {
        let mut world = World::new();
        world.publish(b"\x0a\x01a");
        world.ask(Kind::Route, &["gone"], "", None);
        let response = world.answer();
        world.ask(Kind::Route, &[], &response.nonce, None);
        assert_eq!(world.seen("in_sync").streams[0].types[0].missing, ["gone"]);
    }

    #[test]
    fn nobody_holds_the_newest_of_what_is_not_loaded() {
        let mut world = World::new();
        world.ask(Kind::Cluster, &["*"], "", None);
        assert_eq!(world.seen("behind").why, ["nothing is served yet"]);
    }

    #[test]
    fn a_host_is_an_address_without_its_port() {
        assert_eq!(
            ["10.0.0.1:1", "[::1]:9", "unix uid 0 pid 1", "unix", ""].map(host),
            ["10.0.0.1", "[::1]", "unix uid 0 pid 1", "unix", ""]
        );
    }
}
