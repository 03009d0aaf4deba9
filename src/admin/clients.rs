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

/// Clients that are listed; of more, only the number is told.
const MAX_CLIENTS: usize = 2000;

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
    for state in streams {
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
        left_out: clients.len().saturating_sub(MAX_CLIENTS) as u64,
    };
    clients.truncate(MAX_CLIENTS);
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
            let why = "asks for secrets over plain TCP and gets none: let it connect by unix:PATH or TLS";
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
