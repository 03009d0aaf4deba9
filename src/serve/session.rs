//! One stream as a state machine without I/O.
//!
//! Requests and views come in, responses go out; time is an argument. What is sent follows from
//! what the client holds against what it should hold ([`super::holding`]), in an order that breaks
//! nothing ([`super::phases`]). Delta and state of the world differ only in how requests change the
//! subscription and in what a response must carry (`delta`, `sotw`).

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::common::Common;
use super::holding::{Holding, InFlight};
use super::insight::Insight;
use super::journal::{Event, Rejection};
use super::phases::{Dependencies, Pace};
use super::plan::{self, Plan, Step, take_steps};
use super::siblings::{Shared, Siblings, StreamId};
use super::wire::{Identity, Names, Request, Response, Variant};
use super::{delta, heartbeat, sotw};
use crate::resource::{Digest, Kind, Name};
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
    /// Names that one stream may subscribe to, of one type.
    pub max_names: usize,
    /// `control_plane.identifier` of every response.
    pub server: Arc<str>,
}

/// Names longer than this are no names; the longest real ones are xdstp URLs of some hundred bytes.
const MAX_NAME: usize = 16 * 1024;

/// What an Envoy calls itself.
const ENVOY: &str = "envoy";

/// Type URLs that are not ours and that one stream gets answered.
const MAX_FOREIGN: usize = 16;

/// Why a stream ends: the client broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request cannot be understood.
    #[error("{0}")]
    InvalidArgument(String),
    /// It is not for this client.
    #[error("{0}")]
    PermissionDenied(String),
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
    /// What is shared with streams that are alike.
    common: Arc<Common>,
    identity: Option<Arc<Identity>>,
    started: bool,
    siblings: Arc<Siblings>,
    id: StreamId,
    /// Nothing is sent before this: the client is still telling what it holds.
    quiet_until: Option<Instant>,
    foreign: Vec<(Arc<str>, bool)>,
    /// Secrets are not sent here, and whether that was noted.
    withheld: Option<bool>,
    nonces: u64,
    events: Vec<Event>,
}

impl Session {
    /// A stream that has just been opened, for all types or for one.
    pub fn new(variant: Variant, only: Option<Kind>, rules: Arc<Rules>) -> Session {
        let siblings = Arc::new(Siblings::default());
        let id = siblings.lock().enter();
        Session {
            variant,
            only,
            rules,
            common: Arc::default(),
            identity: None,
            started: false,
            siblings,
            id,
            quiet_until: None,
            foreign: Vec::new(),
            withheld: None,
            nonces: 0,
            events: Vec::new(),
        }
    }

    /// Lets this stream share with others what they have alike.
    pub(crate) fn share(&mut self, common: Arc<Common>) {
        self.common = common;
    }

    /// Makes this stream, before its first request, one of several of the same client.
    pub(crate) fn join(&mut self, siblings: Arc<Siblings>) {
        self.id = siblings.lock().enter();
        self.siblings = siblings;
    }

    /// Never sends secrets: not even that there are none, so that a client keeps what it has.
    pub(crate) fn withhold_secrets(&mut self) {
        self.withheld = Some(false);
    }

    /// Whether what is asked for is withheld.
    pub(crate) fn withholds(&self, request: &Request) -> bool {
        let is_secret = |url: &str| url == Kind::Secret.type_url();
        self.withheld.is_some() && (self.only == Some(Kind::Secret) || is_secret(&request.type_url))
    }

    /// Sends secrets after all.
    pub(crate) fn release_secrets(&mut self) {
        self.withheld = None;
    }

    /// Whether the first request was taken, which alone may say who the client is.
    pub(crate) fn has_started(&self) -> bool {
        self.started
    }

    /// Has this woken when another stream of the same client has brought what this one waits for.
    pub(crate) fn listen(&self, waker: &Waker) {
        self.siblings.listen(self.id, waker);
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
        if self.is_withheld(kind)? {
            return Ok(());
        }
        let names_given = match &request.names {
            Names::Delta { subscribe, unsubscribe, .. } => subscribe.iter().chain(unsubscribe),
            Names::Sotw(names) => names.iter().chain([].as_slice()),
        };
        check_names(names_given, kind)?;
        let siblings = self.siblings.clone();
        let mut shared = siblings.lock();
        let first = shared.holdings.get(kind, self.id).is_none();
        let stale = !self.settle(&mut shared, kind, &request.nonce, request.error, now);
        if stale && self.variant == Variant::Sotw {
            return Ok(());
        }
        let Shared { view, holdings, .. } = &mut *shared;
        let view = view.as_ref();
        let mut holding = holdings.get_or_start(kind, self.id);
        let before = (holding.subscription.is_wildcard(), holding.subscription.named());
        match request.names {
            Names::Delta { subscribe, unsubscribe, initial } => {
                if first {
                    if !initial.is_empty() {
                        self.quiet_until = Some(now + self.rules.pace.resume);
                    }
                    delta::start(&mut holding, view, kind, subscribe, initial);
                } else {
                    delta::change(&mut holding, view, kind, subscribe);
                }
                delta::drop(&mut holding, view, kind, unsubscribe);
            }
            Names::Sotw(names) => sotw::replace(&mut holding, view, kind, names),
        }
        holding.subscription.share(&self.common.names);
        let wanted = (holding.subscription.is_wildcard(), holding.subscription.named());
        if first || wanted != before {
            self.events.push(Event::Subscribed { kind, wildcard: wanted.0, names: wanted.1 });
        }
        // Names that were given and dropped again wait for their answer, too.
        let waiting = holding.gap.len().saturating_sub(view.map_or(0, |view| view.count(kind)));
        let max = self.rules.max_names;
        if holding.subscription.named().max(waiting) > max {
            return Err(Refusal::ResourceExhausted(format!("a stream may name at most {max} {kind}s")));
        }
        drop(holding);
        siblings.stir(holdings, self.id, kind);
        Ok(())
    }

    /// Takes a new current snapshot.
    pub fn on_snapshot(&mut self, snapshot: &Arc<Snapshot>) {
        if !self.started || !snapshot.is_loaded() {
            return;
        }
        let siblings = self.siblings.clone();
        let mut shared = siblings.lock();
        let node = self.identity.as_ref().map(|identity| &identity.node);
        let old = shared.view.take();
        let new = match &old {
            // A sibling was here first, perhaps with a newer one.
            Some(old) if old.snapshot().generation() >= snapshot.generation() => old.clone(),
            Some(old) => {
                let new = old.of(snapshot.clone(), node);
                advance(&mut shared, old, &new);
                self.report_contested(Some(old), &new);
                new
            }
            None => {
                let new = View::new(snapshot.clone(), node);
                for kind in Kind::ALL {
                    shared.holdings.change_all(kind, |holding| {
                        if holding.subscription.is_wildcard() {
                            holding.want_all(&new, kind);
                        }
                    });
                }
                self.report_contested(None, &new);
                new
            }
        };
        shared.view = Some(new);
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
        let siblings = self.siblings.clone();
        let mut shared = siblings.lock();
        let Some(view) = shared.view.clone() else { return Next::default() };
        shared.acks.forget_old(now, &self.rules.pace);
        shared.draining.forget_old(now);
        let mut wake_at: Option<Instant> = None;
        for kind in Kind::ALL {
            let late = shared
                .holdings
                .get_mut(kind, self.id)
                .map(|mut h| h.newly_overdue(now, self.rules.pace.deadline));
            self.events.extend(late.flatten().map(|after| Event::Overdue { kind, after }));
            let plan = match shared.holdings.get(kind, self.id) {
                Some(holding) => plan::plan(
                    &dependencies(&shared, &view, &self.rules, now),
                    holding,
                    kind,
                    self.room(kind, holding),
                ),
                None => continue,
            };
            if let Some(at) = plan.wake_at {
                wake_at = Some(wake_at.map_or(at, |known| known.min(at)));
            }
            let response = self.carry_out(&mut shared, &view, kind, plan, now);
            if response.is_some() {
                return Next { response, wake_at };
            }
        }
        let beat = self.beat(&mut shared, &view, now);
        let wake_at = [wake_at, beat.wake_at].into_iter().flatten().min();
        Next { response: beat.response, wake_at }
    }

    /// Tells a client that understands TTLs what goes on being valid, when it is time.
    fn beat(&mut self, shared: &mut Shared, view: &View, now: Instant) -> Next {
        let mut next = Next::default();
        if !self.supports_ttl() {
            return next;
        }
        for kind in Kind::ALL {
            let Some(mut holding) = shared.holdings.get_mut(kind, self.id) else { continue };
            let Some(at) = heartbeat::schedule(&mut holding, view, kind, now) else { continue };
            if holding.in_flight.is_some() {
                continue;
            }
            if at > now {
                next.wake_at = Some(next.wake_at.map_or(at, |known| known.min(at)));
                continue;
            }
            holding.next_beat = None;
            // Where absence deletes, a heartbeat cannot leave anything out: everything is sent again.
            let full_state = self.is_full_state(kind, &holding);
            let items = match full_state {
                true => sotw::content(view, kind, &holding, &[], true).items,
                false => heartbeat::items(&holding, view, kind),
            };
            let mut response = self.response(kind.type_url().into(), view.type_version(kind));
            holding.last_nonce = Some(response.nonce.clone());
            holding.in_flight =
                Some(InFlight { sent: Arc::default(), at: now, changed: None, overdue: false });
            response.items = items;
            next.response = Some(response);
            return next;
        }
        next
    }

    fn supports_ttl(&self) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.supports_ttl())
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
        let insight = Insight::new(&self.siblings, self.id, self.identity.clone());
        self.events.push(Event::Started(insight));
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

    /// On an aggregated stream such a request stays without an answer; a stream for nothing else ends.
    fn is_withheld(&mut self, kind: Kind) -> Result<bool, Refusal> {
        let Some(noted) = self.withheld.as_mut().filter(|_| kind == Kind::Secret) else { return Ok(false) };
        if !std::mem::replace(noted, true) {
            self.events.push(Event::SecretsWithheld);
        }
        match self.only {
            Some(_) => Err(Refusal::PermissionDenied(
                "xds-bridge sends no secrets over plain TCP to another user: connect by a unix socket or TLS"
                    .into(),
            )),
            None => Ok(true),
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
    fn settle(
        &mut self,
        shared: &mut Shared,
        kind: Kind,
        nonce: &str,
        error: Option<String>,
        now: Instant,
    ) -> bool {
        let Some(mut holding) = shared.holdings.get_mut(kind, self.id) else { return true };
        // Without a nonce, or before any response, there is nothing to pair: it is a subscription.
        let Some(last) = holding.last_nonce.as_deref().filter(|_| !nonce.is_empty()) else { return true };
        if last != nonce {
            return false;
        }
        match error {
            None => {
                let Some(in_flight) = holding.acknowledge() else { return true };
                let mended = in_flight.sent.iter().filter(|(_, sent)| sent.after_refusal);
                let mended = mended.map(|(name, _)| name.clone()).collect();
                let after = now.saturating_duration_since(in_flight.at);
                let since_change = in_flight.changed.map(|seen| now.saturating_duration_since(seen));
                if kind == Kind::Listener
                    && self.identity.as_ref().is_some_and(|client| client.agent == ENVOY)
                {
                    let replaced =
                        in_flight.sent.values().filter_map(|sent| sent.before.as_ref()?.resource.as_ref());
                    let named = replaced.flat_map(|listener| listener.references_to(Kind::Cluster).cloned());
                    shared.draining.keep(named, now + self.rules.pace.drain);
                }
                if kind == Kind::Cluster {
                    shared.lingering.clear();
                    shared.acks.insert(in_flight.sent, now);
                }
                self.events.push(Event::Acknowledged { kind, after, since_change, mended });
            }
            Some(message) => {
                let Some(in_flight) = holding.reject() else { return true };
                let names = in_flight.sent.iter().map(|(name, sent)| (name.clone(), sent.version)).collect();
                if kind == Kind::Cluster {
                    shared.lingering.clear();
                }
                self.events.push(Event::Rejected(Rejection { kind, message, names }));
            }
        }
        true
    }

    fn carry_out(
        &mut self,
        shared: &mut Shared,
        view: &View,
        kind: Kind,
        plan: Plan,
        now: Instant,
    ) -> Option<Response> {
        let variant = self.variant;
        let lingering = !shared.lingering.is_empty();
        let mut holding = shared.holdings.get_mut(kind, self.id)?;
        for name in &plan.settled {
            holding.gap.remove(name);
        }
        // An answer that is due may be empty, but not as long as something of it only waits.
        let answer = holding.answer_due && plan.wake_at.is_none();
        if plan.steps.is_empty() && !answer {
            if plan.wake_at.is_none() && holding.in_flight.is_none() {
                holding.changed = None;
            }
            return None;
        }
        let full_state = variant == Variant::Sotw && sotw::is_full_state(kind, &holding);
        let content = match variant {
            Variant::Delta => delta::content(view, kind, &plan.steps),
            Variant::Sotw => sotw::content(view, kind, &holding, &plan.steps, full_state),
        };
        // State of the world cannot say that a name does not exist, but by leaving what was held out of
        // a full state.
        let telling = plan.steps.iter().any(|(_, step)| match step {
            Step::Send(..) => true,
            Step::Remove { held } => variant == Variant::Delta || (full_state && *held),
        });
        let sent = take_steps(&mut holding, plan.steps);
        if !telling && !answer {
            return None;
        }
        if lingering {
            holding.enter_lingering(view, kind, &sent);
        }
        let starting_over: Vec<Name> = match (variant, kind) {
            (Variant::Sotw, Kind::Cluster) => {
                let fresh =
                    sent.values().filter(|sent| sent.before.is_none()).filter_map(|s| s.resource.as_ref());
                fresh.flat_map(|cluster| cluster.references_to(Kind::Endpoint).cloned()).collect()
            }
            _ => Vec::new(),
        };
        let mut response = self.response(kind.type_url().into(), view.type_version(kind));
        let supports_ttl = self.supports_ttl();
        holding.answer_due = false;
        holding.last_nonce = Some(response.nonce.clone());
        // What is left in the gap follows, and is as old.
        let changed = if holding.gap.is_empty() { holding.changed.take() } else { holding.changed };
        holding.in_flight = Some(InFlight { sent: self.common.sent(sent), at: now, changed, overdue: false });
        response.items = content.items;
        if !supports_ttl {
            response.items.iter_mut().for_each(|item| item.ttl = None);
        }
        response.removed = content.removed;
        drop(holding);
        self.events.push(Event::Sent {
            kind,
            version: response.version,
            items: response.items.len(),
            removed: response.removed.len(),
            bytes: response.encoded_len(),
        });
        // A cluster that goes and comes back faster than a list of names can tell starts without
        // endpoints, while the list still names them: they are sent again behind it.
        for name in &starting_over {
            let again = |holding: &mut Holding| holding.repeat(view, Kind::Endpoint, name);
            shared.holdings.change_of_name(Kind::Endpoint, name, again);
        }
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

    /// How large a response may be, in bytes. A full state cannot be parted.
    fn room(&self, kind: Kind, holding: &Holding) -> usize {
        match &self.identity {
            _ if self.is_full_state(kind, holding) => usize::MAX,
            Some(identity) if identity.agent == ENVOY => self.rules.max_response_envoy,
            _ => self.rules.max_response,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.siblings.leave(self.id);
    }
}

fn dependencies<'a>(shared: &'a Shared, view: &'a View, rules: &'a Rules, now: Instant) -> Dependencies<'a> {
    Dependencies {
        view,
        holdings: &shared.holdings,
        acks: &shared.acks,
        draining: &shared.draining,
        lingering: &shared.lingering,
        pace: &rules.pace,
        now,
    }
}

/// From one view to the next: what changed and was held enters the gap as it was held.
fn advance(shared: &mut Shared, old: &View, new: &View) {
    let changed = new.changed_since(old);
    let Shared { holdings, lingering, .. } = shared;
    lingering.keep(holdings, old, &changed);
    for (kind, name) in &changed {
        holdings.change_of_name(*kind, name, |holding| holding.enter(old, new, *kind, name));
    }
    for kind in Kind::ALL {
        holdings.change_waiting(kind, |holding| holding.offer_again(old, new));
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
