//! One stream as a state machine without I/O.
//!
//! Requests and views come in, responses go out; time is an argument. What is sent follows from
//! what the client holds against what it should hold ([`super::holding`]), in an order that breaks
//! nothing ([`super::phases`]). Delta and state of the world differ only in how requests change the
//! subscription and in what a response must carry (`delta`, `sotw`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::holding::{Due, Held, Holding, InFlight, Kept, Sent};
use super::journal::{Event, Rejection};
use super::phases::{Dependencies, Gate, Pace, RecentAcks, StillUsed};
use super::wire::{Identity, Item, Names, Request, Response, Variant};
use super::{delta, sotw};
use crate::resource::{Digest, Kind, Name, Resource};
use crate::snapshot::{Snapshot, View};

/// What a session is told once.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How long things wait for each other.
    pub pace: Pace,
    /// Largest response to a client that is not Envoy, in bytes; larger answers go out in parts.
    /// gRPC clients take 4 MiB by default.
    pub max_response: usize,
    /// Largest response to an Envoy, which takes any size: bounds what one stream buffers.
    pub max_response_envoy: usize,
    /// `control_plane.identifier` of every response.
    pub server: Arc<str>,
}

/// Names longer than this are no names; the longest real ones are xdstp URLs of some hundred bytes.
const MAX_NAME: usize = 16 * 1024;

/// Names that one stream may subscribe to, of one type.
const MAX_NAMES: usize = 1_000_000;

/// Type URLs that are not ours and that one stream gets answered.
const MAX_FOREIGN: usize = 16;

/// Why a stream ends: the client broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request cannot be understood.
    #[error("{0}")]
    InvalidArgument(String),
    /// It asks for more than one stream may.
    #[error("{0}")]
    ResourceExhausted(String),
}

/// What is to be done next.
#[derive(Debug, Default)]
pub struct Next {
    /// Send this.
    pub response: Option<Response>,
    /// With nothing to send: ask again at this time, if no event comes first.
    pub wake_at: Option<Instant>,
}

/// The state of one stream.
#[derive(Debug)]
pub struct Session {
    variant: Variant,
    /// The one type of a single service; none is ADS.
    only: Option<Kind>,
    rules: Arc<Rules>,
    identity: Option<Arc<Identity>>,
    started: bool,
    view: Option<View>,
    types: [Option<Box<Holding>>; Kind::COUNT],
    acks: RecentAcks,
    /// Nothing is sent before this: the client is still telling what it holds.
    quiet_until: Option<Instant>,
    foreign: Vec<(Arc<str>, bool)>,
    nonces: u64,
    events: Vec<Event>,
}

impl Session {
    /// A stream that has just been opened, for all types or for one.
    pub fn new(variant: Variant, only: Option<Kind>, rules: Arc<Rules>) -> Session {
        Session {
            variant,
            only,
            rules,
            identity: None,
            started: false,
            view: None,
            types: Default::default(),
            acks: RecentAcks::default(),
            quiet_until: None,
            foreign: Vec::new(),
            nonces: 0,
            events: Vec::new(),
        }
    }

    /// Who the client said it is.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// What happened since the last call, for the record.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Takes a request of the client.
    pub fn on_request(
        &mut self,
        request: Request,
        snapshot: &Arc<Snapshot>,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.start(request.identity, snapshot);
        let Some(kind) = self.kind_of(&request.type_url)? else { return Ok(()) };
        let names_given = match &request.names {
            Names::Delta { subscribe, unsubscribe, .. } => subscribe.iter().chain(unsubscribe),
            Names::Sotw(names) => names.iter().chain([].as_slice()),
        };
        check_names(names_given, kind)?;
        let first = self.types[kind as usize].is_none();
        let stale = !self.settle(kind, &request.nonce, request.error, now);
        if stale && self.variant == Variant::Sotw {
            return Ok(());
        }
        let view = self.view.as_ref();
        let holding = self.types[kind as usize].get_or_insert_default();
        match request.names {
            Names::Delta { subscribe, unsubscribe, initial } => {
                if first {
                    if !initial.is_empty() {
                        self.quiet_until = Some(now + self.rules.pace.resume);
                    }
                    delta::start(holding, view, kind, subscribe, initial);
                } else {
                    delta::change(holding, view, kind, subscribe);
                }
                delta::drop(holding, view, kind, unsubscribe);
            }
            Names::Sotw(names) => sotw::replace(holding, view, kind, names),
        }
        // Names that were given and dropped again wait for their answer, too.
        let waiting = holding.gap.len().saturating_sub(view.map_or(0, |view| view.count(kind)));
        if holding.subscription.named().max(waiting) > MAX_NAMES {
            return Err(Refusal::ResourceExhausted(format!("a stream may name at most {MAX_NAMES} {kind}s")));
        }
        Ok(())
    }

    /// Takes a new current snapshot.
    pub fn on_snapshot(&mut self, snapshot: &Arc<Snapshot>) {
        if !self.started || !snapshot.is_loaded() {
            return;
        }
        let node = self.identity.as_ref().map(|identity| &identity.node);
        match self.view.take() {
            Some(old) if Arc::ptr_eq(old.snapshot(), snapshot) => self.view = Some(old),
            Some(old) => {
                let new = old.of(snapshot.clone(), node);
                self.advance(&old, &new);
                self.report_contested(Some(&old), &new);
                self.view = Some(new);
            }
            None => {
                let new = View::new(snapshot.clone(), node);
                for kind in Kind::ALL {
                    if let Some(holding) = &mut self.types[kind as usize]
                        && holding.subscription.is_wildcard()
                    {
                        holding.want_all(&new, kind);
                    }
                }
                self.report_contested(None, &new);
                self.view = Some(new);
            }
        }
    }

    fn report_contested(&mut self, old: Option<&View>, new: &View) {
        let known = |kind, name: &Name| old.is_some_and(|old| old.is_contested(kind, name));
        let news = new.contested().filter(|(kind, name)| !known(*kind, name));
        self.events.extend(news.map(|(kind, name)| Event::Contested(kind, name.clone())));
    }

    /// The next response, if there is something to send now.
    pub fn next(&mut self, now: Instant) -> Next {
        if let Some(response) = self.next_foreign() {
            return Next { response: Some(response), wake_at: None };
        }
        self.quiet_until = self.quiet_until.filter(|until| *until > now);
        if self.quiet_until.is_some() {
            return Next { response: None, wake_at: self.quiet_until };
        }
        let Some(view) = self.view.take() else { return Next::default() };
        self.acks.forget_old(now, &self.rules.pace);
        let mut wake_at: Option<Instant> = None;
        let mut response = None;
        for kind in Kind::ALL {
            let plan = self.plan(&view, kind, now);
            if let Some(at) = plan.wake_at {
                wake_at = Some(wake_at.map_or(at, |known| known.min(at)));
            }
            response = self.carry_out(&view, kind, plan, now);
            if response.is_some() {
                break;
            }
        }
        self.view = Some(view);
        Next { response, wake_at }
    }

    fn start(&mut self, identity: Option<Identity>, snapshot: &Arc<Snapshot>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        if let Some(identity) = identity {
            let identity = Arc::new(identity);
            self.events.push(Event::Identified(identity.clone()));
            self.identity = Some(identity);
        }
        self.on_snapshot(snapshot);
    }

    /// The type that a request is about; none if it is one that is not served here.
    fn kind_of(&mut self, type_url: &str) -> Result<Option<Kind>, Refusal> {
        let kind = Kind::from_type_url(type_url);
        match (self.only, kind) {
            (Some(only), _) if type_url.is_empty() || kind == Some(only) => Ok(Some(only)),
            (Some(only), _) => Err(Refusal::InvalidArgument(format!(
                "this service streams {} only, the request asks for {:?}",
                only.type_url(),
                truncated(type_url),
            ))),
            (None, Some(kind)) => Ok(Some(kind)),
            (None, None) if type_url.is_empty() => {
                Err(Refusal::InvalidArgument("type_url is required on an aggregated stream".into()))
            }
            (None, None) => {
                self.note_foreign(type_url);
                Ok(None)
            }
        }
    }

    /// A type that nobody serves is no reason to end the stream: it is answered as empty, once.
    fn note_foreign(&mut self, type_url: &str) {
        let known = self.foreign.iter().any(|(url, _)| **url == *type_url);
        if known || self.foreign.len() >= MAX_FOREIGN || type_url.len() > MAX_NAME {
            return;
        }
        self.events.push(Event::UnknownType(type_url.into()));
        self.foreign.push((type_url.into(), false));
    }

    fn next_foreign(&mut self) -> Option<Response> {
        let (url, answered) = self.foreign.iter_mut().find(|(_, answered)| !answered)?;
        *answered = true;
        let url = url.clone();
        Some(self.response(url, Digest::default()))
    }

    /// Pairs a nonce with the response in flight. False if it belongs to no response or an older one.
    fn settle(&mut self, kind: Kind, nonce: &str, error: Option<String>, now: Instant) -> bool {
        let Some(holding) = &mut self.types[kind as usize] else { return true };
        // Without a nonce, or before any response, there is nothing to pair: it is a subscription.
        let Some(last) = holding.last_nonce.as_deref().filter(|_| !nonce.is_empty()) else { return true };
        if last != nonce {
            return false;
        }
        match error {
            None => {
                let Some(in_flight) = holding.acknowledge() else { return true };
                if kind == Kind::Cluster {
                    for name in
                        in_flight.sent.into_iter().filter(|(_, sent)| sent.version.is_some()).map(|(n, _)| n)
                    {
                        self.acks.insert(name, now);
                    }
                }
                self.events
                    .push(Event::Acknowledged { kind, after: now.saturating_duration_since(in_flight.at) });
            }
            Some(message) => {
                let Some(in_flight) = holding.reject() else { return true };
                let names = in_flight.sent.into_iter().map(|(name, sent)| (name, sent.version)).collect();
                self.events.push(Event::Rejected(Rejection { kind, message, names }));
            }
        }
        true
    }

    /// From one view to the next: what changed and was held enters the gap as it was held.
    fn advance(&mut self, old: &View, new: &View) {
        let changed = new.changed_since(old);
        for (kind, name) in &changed {
            let Some(holding) = &mut self.types[*kind as usize] else { continue };
            if holding.gap.contains_key(name) {
                continue;
            }
            let before = old.get(*kind, name);
            let covers = |r: &Arc<Resource>| holding.subscription.covers_resource(r);
            let was_held = before.is_some_and(covers);
            if was_held || new.get(*kind, name).is_some_and(covers) {
                let kept = before.filter(|_| was_held);
                let kept = kept.map(|r| Kept { version: old.version_of(r), resource: Some(r.clone()) });
                holding.gap.insert(name.clone(), Held::Known(kept));
            }
        }
        for kind in Kind::ALL {
            let Some(holding) = &mut self.types[kind as usize] else { continue };
            for held in holding.gap.values_mut() {
                // What was refused is offered once more when something that it names has changed.
                if let Held::Rejected { refused: Some(refused), before, .. } = held
                    && refused
                        .references()
                        .iter()
                        .any(|r| old.get(r.kind, &r.name) != new.get(r.kind, &r.name))
                {
                    *held = Held::Asked(before.take());
                }
            }
        }
    }

    /// What of one type is to be sent now.
    fn plan(&self, view: &View, kind: Kind, now: Instant) -> Plan {
        let mut plan = Plan::default();
        let Some(holding) = &self.types[kind as usize] else { return plan };
        if holding.in_flight.is_some() || (holding.gap.is_empty() && !holding.answer_due) {
            return plan;
        }
        let deadline = self.rules.pace.deadline;
        let overdue = holding.waiting_since.is_some_and(|since| since + deadline <= now);
        let room = if self.is_full_state(kind, holding) { usize::MAX } else { self.max_response() };
        let dependencies =
            Dependencies { view, types: &self.types, acks: &self.acks, pace: &self.rules.pace, now };
        let mut used: Option<StillUsed> = None;
        let mut size = 0;
        for (name, held) in &holding.gap {
            let (gate, step) = match holding.due(view, kind, name, held) {
                Due::Settled => {
                    plan.settled.push(name.clone());
                    continue;
                }
                Due::Withheld => continue,
                Due::Send(resource, version) => {
                    (dependencies.gate_to_send(resource), Step::Send(resource.clone(), version))
                }
                Due::Remove if held.kept().is_none() => (Gate::Open, Step::Remove { held: false }),
                Due::Remove => {
                    let used = used.get_or_insert_with(|| dependencies.still_used(kind));
                    (used.gate(name), Step::Remove { held: true })
                }
            };
            match gate {
                Gate::Open => {}
                Gate::Waiting if overdue => {}
                Gate::Waiting => {
                    plan.wait_until(holding.waiting_since.unwrap_or(now) + deadline);
                    plan.waiting = true;
                    continue;
                }
                Gate::Until(at) => {
                    plan.wait_until(at);
                    continue;
                }
                Gate::Refused => continue,
            }
            size += step.size(name);
            if size > room && !plan.steps.is_empty() {
                break;
            }
            plan.steps.push((name.clone(), step));
        }
        plan
    }

    fn carry_out(&mut self, view: &View, kind: Kind, plan: Plan, now: Instant) -> Option<Response> {
        let variant = self.variant;
        let holding = self.types[kind as usize].as_mut()?;
        for name in &plan.settled {
            holding.gap.remove(name);
        }
        // Waiting begins with the first thing that waits, and ends when none does.
        holding.waiting_since = plan.waiting.then_some(holding.waiting_since.unwrap_or(now));
        // An answer that is due may be empty, but not as long as something of it only waits.
        let answer = holding.answer_due && plan.wake_at.is_none() && holding.in_flight.is_none();
        if plan.steps.is_empty() && !answer {
            return None;
        }
        let full_state = variant == Variant::Sotw && sotw::is_full_state(kind, holding);
        let content = match variant {
            Variant::Delta => delta::content(view, kind, &plan.steps),
            Variant::Sotw => sotw::content(view, kind, holding, &plan.steps, full_state),
        };
        // State of the world cannot say that a name does not exist, but by leaving what was held out of
        // a full state.
        let telling = plan.steps.iter().any(|(_, step)| match step {
            Step::Send(..) => true,
            Step::Remove { held } => variant == Variant::Delta || (full_state && *held),
        });
        let sent = take_steps(holding, plan.steps);
        if !telling && !answer {
            return None;
        }
        let mut response = self.response(kind.type_url().into(), view.type_version(kind));
        let holding = self.types[kind as usize].as_mut()?;
        holding.answer_due = false;
        holding.last_nonce = Some(response.nonce.clone());
        holding.in_flight = Some(InFlight { sent, at: now });
        response.items = content.items;
        response.removed = content.removed;
        self.events.push(Event::Sent { kind, items: response.items.len(), removed: response.removed.len() });
        Some(response)
    }

    fn response(&mut self, type_url: Arc<str>, version: Digest) -> Response {
        self.nonces += 1;
        Response {
            variant: self.variant,
            type_url,
            version,
            nonce: self.nonces.to_string(),
            items: Vec::new(),
            removed: Vec::new(),
            server: self.rules.server.clone(),
        }
    }

    fn is_full_state(&self, kind: Kind, holding: &Holding) -> bool {
        self.variant == Variant::Sotw && sotw::is_full_state(kind, holding)
    }

    fn max_response(&self) -> usize {
        match &self.identity {
            Some(identity) if identity.agent == "envoy" => self.rules.max_response_envoy,
            _ => self.rules.max_response,
        }
    }
}

/// What is to be sent of one type.
#[derive(Debug, Default)]
struct Plan {
    steps: Vec<(Name, Step)>,
    /// Names of the gap that need nothing any more.
    settled: Vec<Name>,
    /// Something waits for an event.
    waiting: bool,
    /// Something may go out at this time by itself.
    wake_at: Option<Instant>,
}

impl Plan {
    fn wait_until(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }
}

/// What a response says of one name.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// It is this, in this version.
    Send(Arc<Resource>, Digest),
    /// It does not exist (any more); `held` if the client held something under it.
    Remove { held: bool },
}

impl Step {
    /// Whether it carries a resource.
    pub fn sends(&self) -> bool {
        matches!(self, Step::Send(..))
    }

    /// About how many bytes it takes in a response.
    fn size(&self, name: &Name) -> usize {
        const OVERHEAD: usize = 64;
        OVERHEAD
            + name.len()
            + match self {
                Step::Send(resource, _) => resource.element().len(),
                Step::Remove { .. } => 0,
            }
    }
}

/// What a response carries.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub items: Vec<Item>,
    pub removed: Vec<Name>,
}

/// The names leave the gap; what the client held under them is kept for a NACK.
fn take_steps(holding: &mut Holding, steps: Vec<(Name, Step)>) -> BTreeMap<Name, Sent> {
    let sent = |(name, step): (Name, Step)| {
        let before = holding.gap.remove(&name).and_then(|held| held.kept().cloned());
        let (resource, version) = match step {
            Step::Send(resource, version) => (Some(resource), Some(version)),
            Step::Remove { .. } => (None, None),
        };
        (name, Sent { before, version, resource })
    };
    steps.into_iter().map(sent).collect()
}

/// The name as the tables hold it, so that a subscription shares its text with them.
pub(crate) fn intern(view: Option<&View>, kind: Kind, name: String) -> Name {
    match view.and_then(|view| view.get(kind, &name)) {
        Some(resource) => resource.name().clone(),
        None => name.into(),
    }
}

fn check_names<'a>(names: impl Iterator<Item = &'a String>, kind: Kind) -> Result<(), Refusal> {
    for name in names {
        if name.len() > MAX_NAME {
            return Err(Refusal::InvalidArgument(format!(
                "a {kind} name of {} bytes, {:?}…, is longer than the {MAX_NAME} that are allowed",
                name.len(),
                truncated(name),
            )));
        }
    }
    Ok(())
}

/// The beginning of a text that a client sent, short enough for a log line.
fn truncated(text: &str) -> &str {
    let end = text.char_indices().nth(64).map_or(text.len(), |(at, _)| at);
    &text[..end]
}
