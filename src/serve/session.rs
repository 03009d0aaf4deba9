//! One stream as a state machine without I/O.
//!
//! Requests and views come in, responses go out; time is an argument. What is sent follows from
//! what the client holds against what it should hold ([`super::holding`]), in an order that breaks
//! nothing ([`super::phases`]). Delta and state of the world differ only in how requests change the
//! subscription and in what a response must carry (`delta`, `sotw`). Here is what comes in; what goes out is
//! in `sending`, and how the two are paired in `pairing`.

mod pairing;
mod sending;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::common::Common;
use super::first::waits_for_nothing;
use super::holding::Holding;
use super::insight::Insight;
use super::journal::Event;
use super::phases::Pace;
use super::siblings::{Shared, Siblings, StreamId};
use super::subscription::truncated;
use super::wire::{Identity, Malformed, Names, Request, Response, Variant};
use super::{delta, sotw};
use crate::resource::{Kind, Name};
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

/// What an Envoy calls itself.
const ENVOY: &str = "envoy";

/// Type URLs that are not ours and that one stream gets answered.
const MAX_FOREIGN: usize = 16;

/// Longer ones are not answered.
const MAX_TYPE_URL: usize = 16 * 1024;

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

impl From<Malformed> for Refusal {
    fn from(error: Malformed) -> Refusal {
        Refusal::InvalidArgument(error.to_string())
    }
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
    /// What goes out next, made when it was asked for.
    ready: Option<Box<(Kind, Response)>>,
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
            ready: None,
            events: Vec::new(),
        }
    }

    /// Lets this stream share with others what they have alike.
    pub(crate) fn share(&mut self, common: Arc<Common>) {
        self.common = common;
    }

    /// The client's streams, of which this is one.
    pub(crate) fn siblings(&self) -> &Arc<Siblings> {
        &self.siblings
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

    /// Has this woken when a snapshot concerns it, or another stream of the same client has brought what this
    /// one waits for.
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
        let siblings = self.siblings.clone();
        let mut shared = siblings.lock();
        let first = shared.holdings.get(kind, self.id).is_none();
        self.take_back(&mut shared, kind);
        let stale = !self.settle(&mut shared, kind, &request.nonce, request.error, now);
        if stale && self.variant == Variant::Sotw {
            return Ok(());
        }
        let Shared { view, holdings, lingering, .. } = &mut *shared;
        let view = view.as_ref();
        let is_free = lingering.is_empty() && waits_for_nothing(self.variant, kind, holdings);
        let mut holding = holdings.get_or_start(kind, self.id);
        let before = (holding.subscription.is_wildcard(), holding.subscription.named());
        match first {
            true => self.begin(&mut holding, view, kind, &request.names, is_free, now)?,
            false => change(&mut holding, view, kind, &request.names)?,
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

    /// The first request for a type. It is answered as others are who ask alike, if nothing stands against it.
    fn begin(
        &mut self,
        holding: &mut Holding,
        view: Option<&View>,
        kind: Kind,
        names: &Names,
        is_free: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        match names {
            Names::Delta { subscribe, unsubscribe, initial } => {
                if !initial.is_empty() {
                    self.quiet_until = Some(now + self.rules.pace.resume);
                }
                delta::start(holding, view, kind, subscribe, &self.common)?;
                let is_alone = !is_free || !unsubscribe.is_empty();
                if is_alone || !self.answer_first(view, kind, holding, now) {
                    delta::compare(holding, view, kind, initial, &self.common)?;
                }
                delta::drop(holding, view, kind, unsubscribe)
            }
            Names::Sotw(names) => {
                sotw::start(holding, view, kind, names, &self.common)?;
                if !is_free || !self.answer_first(view, kind, holding, now) {
                    holding.ask_all(view, kind);
                }
                Ok(())
            }
        }
    }

    /// Takes a new current snapshot.
    pub fn on_snapshot(&mut self, snapshot: &Arc<Snapshot>) {
        if !self.started || !snapshot.is_loaded() {
            return;
        }
        let siblings = self.siblings.clone();
        let mut shared = siblings.lock();
        let node = self.identity.as_ref().map(|identity| &identity.node);
        let known = shared.view.as_ref().map(|view| view.snapshot().generation());
        // A sibling was here first, perhaps with a newer one.
        if known.is_some_and(|known| known >= snapshot.generation()) {
            return;
        }
        let old = shared.view.take();
        let (new, contested) = match &old {
            Some(old) => {
                let new = old.of(snapshot.clone(), node);
                let changed = advance(&mut shared, old, &new);
                // Names may stand in many places for other clients: only what changed is looked at.
                let is_news = |(kind, name): &(Kind, Name)| {
                    new.is_contested(*kind, name) && !old.is_contested(*kind, name)
                };
                let contested = changed.into_iter().filter(is_news).collect();
                (new, contested)
            }
            None => {
                let new = View::new(snapshot.clone(), node);
                for kind in Kind::ALL {
                    shared.holdings.change_all(kind, |holding| {
                        if holding.subscription.is_wildcard() {
                            holding.want_all(&new, kind);
                        }
                        holding.resolve_aliases(&new, kind);
                    });
                }
                let contested: Vec<_> = new.contested().map(|(kind, name)| (kind, name.clone())).collect();
                (new, contested)
            }
        };
        self.events.extend(contested.into_iter().map(|(kind, name)| Event::Contested(kind, name)));
        shared.view = Some(new);
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
            (Some(only), Some(_)) => Err(Refusal::InvalidArgument(format!(
                "this service streams {} only, the request asks for {:?}",
                only.type_url(),
                truncated(type_url),
            ))),
            (None, Some(kind)) => Ok(Some(kind)),
            (_, None) if type_url.is_empty() => {
                Err(Refusal::InvalidArgument("type_url is required on an aggregated stream".into()))
            }
            (_, None) => {
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
        if known || self.foreign.len() >= MAX_FOREIGN || type_url.len() > MAX_TYPE_URL {
            return;
        }
        self.events.push(Event::UnknownType(type_url.into()));
        self.foreign.push((type_url.into(), false));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.siblings.leave(self.id);
    }
}

/// A later request for a type.
fn change(holding: &mut Holding, view: Option<&View>, kind: Kind, names: &Names) -> Result<(), Refusal> {
    match names {
        Names::Delta { subscribe, unsubscribe, .. } => {
            delta::change(holding, view, kind, subscribe)?;
            delta::drop(holding, view, kind, unsubscribe)
        }
        Names::Sotw(names) => sotw::replace(holding, view, kind, names),
    }
}

/// From one view to the next: what changed and was held enters the gap as it was held. Gives what may have changed.
fn advance(shared: &mut Shared, old: &View, new: &View) -> BTreeSet<(Kind, Name)> {
    let changed = new.changed_since(old);
    let Shared { holdings, lingering, .. } = shared;
    lingering.keep(holdings, old, &changed);
    for (kind, name) in &changed {
        holdings.change_of_name(*kind, name, |holding| holding.enter(old, new, *kind, name));
    }
    for kind in Kind::ALL {
        holdings.change_waiting(kind, |holding| holding.offer_again(old, new));
    }
    changed
}
