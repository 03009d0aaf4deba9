//! Make before break: what must wait for what, within one client.
//!
//! There is no schedule of phases; each resource waits for exactly what it needs. A route goes out
//! when the clusters that it names, and their endpoints, are acknowledged; a cluster is removed when
//! nothing that the client still holds names it; endpoints go out behind the cluster that uses
//! them. So a change that touches many things comes in the right order by itself, and one refused
//! resource holds back only what depends on it (protocol rules 22 to 24).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::draining::Draining;
use super::holding::{Due, Held, Holding, Sent};
use super::holdings::Holdings;
use super::lingering::Lingering;
use super::removals::users_of;
use crate::resource::{Kind, Name, Resource};
use crate::snapshot::{Found, View};

/// How long things wait for each other.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After the ACK of a cluster that resolves names or checks health, until routes may use it: an
    /// ACK does not say that it is warm.
    pub settle: Duration,
    /// How long a client may take to ask for the endpoints of a cluster after its ACK. One that never
    /// asks holds nothing up for longer.
    pub ask: Duration,
    /// How long requests that bring versions from an earlier stream must be quiet. The client asks for
    /// all its types in one go; only when all are there can it be told what it may drop.
    pub resume: Duration,
    /// How long a cluster outlives the listener that named it, at an Envoy: connections of before keep the
    /// old routes until they are drained (`--drain-time-s`), an ACK says nothing of them.
    pub drain: Duration,
    /// After this time without an answer to a response, nothing waits for it any longer.
    pub deadline: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            // A name server in the same network answers well within it.
            settle: Duration::from_millis(300),
            // Envoy asks in the same turn of its main loop in which it applies the cluster.
            ask: Duration::from_millis(500),
            resume: Duration::from_millis(50),
            // In it, Envoy closes what is busy; what is quiet may take all of its drain time.
            drain: Duration::from_secs(10),
            // An Envoy that applies 20 000 clusters was seen to take 8 s to its ACK, and one waits for
            // endpoints that never come, with its ACK, for 15 s (`initial_fetch_timeout`).
            deadline: Duration::from_secs(20),
        }
    }
}

/// What a listener needs, what that needs, and so on: real ones are at most three deep, and cycles end.
const MAX_DEPTH: usize = 3;

/// Whether something may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It may.
    Open,
    /// Not yet: something else must go out before, and will.
    Waiting,
    /// Not yet: it opens at this time by itself.
    Until(Instant),
    /// Not as long as what it needs stands refused.
    Refused,
}

impl Gate {
    /// The gate of two needs together: the one that stays closed longer.
    pub fn and(self, other: Gate) -> Gate {
        match (self, other) {
            (Gate::Refused, _) | (_, Gate::Refused) => Gate::Refused,
            (Gate::Waiting, _) | (_, Gate::Waiting) => Gate::Waiting,
            (Gate::Until(a), Gate::Until(b)) => Gate::Until(a.max(b)),
            (Gate::Until(at), Gate::Open) | (Gate::Open, Gate::Until(at)) => Gate::Until(at),
            (Gate::Open, Gate::Open) => Gate::Open,
        }
    }
}

/// Which clusters were acknowledged when, as long as that still matters.
#[derive(Debug, Default)]
pub(crate) struct RecentAcks(Vec<(Instant, Arc<BTreeMap<Name, Sent>>)>);

impl RecentAcks {
    pub fn insert(&mut self, clusters: Arc<BTreeMap<Name, Sent>>, now: Instant) {
        self.0.push((now, clusters));
    }

    pub fn forget_old(&mut self, now: Instant, pace: &Pace) {
        let age = pace.settle.max(pace.ask);
        // They are in the order of time: nothing is old where the first is not.
        if self.0.first().is_some_and(|(at, _)| *at + age > now) {
            return;
        }
        self.0.retain(|(at, _)| *at + age > now);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }

    /// When a cluster was acknowledged last.
    fn of(&self, cluster: &Name) -> Option<Instant> {
        let has = |sent: &BTreeMap<Name, Sent>| sent.get(cluster).is_some_and(|sent| sent.version.is_some());
        self.0.iter().rev().find(|(_, sent)| has(sent)).map(|(at, _)| *at)
    }
}

/// Everything that the gates look at.
pub(crate) struct Dependencies<'a> {
    pub view: &'a View,
    pub holdings: &'a Holdings,
    pub acks: &'a RecentAcks,
    pub draining: &'a Draining,
    pub lingering: &'a Lingering,
    pub pace: &'a Pace,
    pub now: Instant,
}

impl Dependencies<'_> {
    /// Whether a new or changed resource may go out to a client that holds this under its name.
    pub fn gate_to_send(&self, resource: &Resource, held: &Held) -> Gate {
        let replaces = held.kept().is_some();
        match resource.kind() {
            Kind::Endpoint => self.gate_behind_users(resource.name()),
            Kind::Listener | Kind::Route | Kind::ScopedRoute | Kind::VirtualHost | Kind::ExtensionConfig => {
                let gate = self.gate_of_clusters(resource);
                match self.gate_of_followers(resource, MAX_DEPTH) {
                    // With nothing to go on with meanwhile, what can be had counts more than what is refused.
                    Gate::Refused if !replaces => gate,
                    followers => gate.and(followers),
                }
            }
            // A cluster of clusters goes on with those that it has until a new one is there. Two that name each other
            // and both change do not wait.
            Kind::Cluster if replaces => {
                let others = resource.references_to(Kind::Cluster).filter(|name| !self.is_replaced(name));
                others.fold(Gate::Open, |gate, cluster| gate.and(self.gate_of_cluster(cluster)))
            }
            Kind::Secret | Kind::Runtime | Kind::Cluster => Gate::Open,
        }
    }

    fn gate_of_clusters(&self, resource: &Resource) -> Gate {
        let clusters = resource.references_to(Kind::Cluster);
        clusters.fold(Gate::Open, |gate, cluster| gate.and(self.gate_of_cluster(cluster)))
    }

    /// Whether what the client asks for as soon as it has this can go out then: the routes of a listener. Until they are
    /// there it goes on with what it has, and may do so for ever if they wait for a refused cluster.
    fn gate_of_followers(&self, resource: &Resource, depth: usize) -> Gate {
        let mut gate = Gate::Open;
        for kind in [Kind::Route, Kind::ExtensionConfig] {
            for name in resource.references_to(kind).filter(|name| !self.holds(kind, name)) {
                if let Found::One(follower) = self.view.find(kind, name) {
                    gate = gate.and(self.gate_of_clusters(follower));
                    if depth > 0 {
                        gate = gate.and(self.gate_of_followers(follower, depth - 1));
                    }
                }
            }
        }
        gate
    }

    /// Whether the client holds something under a name that the view has, in whatever version.
    fn holds(&self, kind: Kind, name: &Name) -> bool {
        let mut asking =
            self.holdings.of_name(kind, name).filter(|holding| holding.subscription.covers(name));
        asking.any(|holding| self.holds_instead(holding, name).unwrap_or(true))
    }

    /// Whether the client holds a cluster in another version than the view.
    fn is_replaced(&self, cluster: &Name) -> bool {
        let mut clusters = self.holdings.of_name(Kind::Cluster, cluster);
        clusters.any(|holding| self.holds_instead(holding, cluster) == Some(true))
    }

    /// Whether something else than the view has is held under a name; `None` if it is just that.
    fn holds_instead(&self, holding: &Holding, name: &Name) -> Option<bool> {
        let in_flight = holding.awaited(self.now, self.pace.deadline).and_then(|it| it.sent.get(name));
        let before = in_flight.map(|sent| sent.before.is_some());
        before.or_else(|| holding.gap.get(name).map(|held| held.kept().is_some()))
    }

    /// A changed cluster waits for its endpoints to arrive after it: they must not go before it.
    fn gate_behind_users(&self, assignment: &Name) -> Gate {
        let unsent = |cluster: &Name| {
            self.holdings.of_name(Kind::Cluster, cluster).any(|clusters| {
                let held = clusters.gap.get(cluster);
                held.is_some_and(|held| {
                    matches!(clusters.due(self.view, Kind::Cluster, cluster, held), Due::Send(..))
                })
            })
        };
        if self.view.users_of(assignment).any(unsent) { Gate::Waiting } else { Gate::Open }
    }

    /// Whether the client can use a cluster: acknowledged, with endpoints, and given time to warm.
    /// One that this server does not have, or that the client does not ask for, holds nothing up.
    fn gate_of_cluster(&self, name: &Name) -> Gate {
        let Found::One(cluster) = self.view.find(Kind::Cluster, name) else { return Gate::Open };
        match self.gate_of_arrival(Kind::Cluster, name) {
            None => Gate::Open,
            Some(Gate::Open) => {
                let endpoints = cluster.references_to(Kind::Endpoint);
                let gate = endpoints
                    .fold(Gate::Open, |gate, service| gate.and(self.gate_of_endpoints(name, service)));
                gate.and(self.gate_of_warming(cluster))
            }
            Some(closed) => closed,
        }
    }

    fn gate_of_endpoints(&self, cluster: &Name, assignment: &Name) -> Gate {
        if !matches!(self.view.find(Kind::Endpoint, assignment), Found::One(_)) {
            return Gate::Open;
        }
        let arrival = self.gate_of_arrival(Kind::Endpoint, assignment);
        arrival.unwrap_or_else(|| self.until_after_ack(cluster, self.pace.ask))
    }

    fn gate_of_warming(&self, cluster: &Resource) -> Gate {
        if cluster.warms_slowly() {
            self.until_after_ack(cluster.name(), self.pace.settle)
        } else {
            Gate::Open
        }
    }

    fn until_after_ack(&self, cluster: &Name, time: Duration) -> Gate {
        match self.acks.of(cluster) {
            Some(at) if at + time > self.now => Gate::Until(at + time),
            _ => Gate::Open,
        }
    }

    /// Whether a resource has arrived at the client in its current version, or was refused while the
    /// client goes on with an earlier one. Nothing if it did not ask for it.
    fn gate_of_arrival(&self, kind: Kind, name: &Name) -> Option<Gate> {
        let asking = self.holdings.of_name(kind, name).filter(|holding| holding.subscription.covers(name));
        asking.map(|holding| self.gate_of_arrival_at(holding, kind, name)).reduce(Gate::and)
    }

    fn gate_of_arrival_at(&self, holding: &Holding, kind: Kind, name: &Name) -> Gate {
        let awaited = holding.awaited(self.now, self.pace.deadline);
        if let Some(in_flight) = awaited.filter(|in_flight| in_flight.sent.contains_key(name)) {
            return Gate::Until(in_flight.at + self.pace.deadline);
        }
        let Some(held) = holding.gap.get(name) else { return Gate::Open };
        match holding.due(self.view, kind, name, held) {
            Due::Send(..) => Gate::Waiting,
            Due::Withheld if held.kept().is_none() => Gate::Refused,
            Due::Settled | Due::Withheld | Due::Repeat(..) | Due::Remove => Gate::Open,
        }
    }
}

/// Whether something of one type may wait for what happens to another: what the gates look at.
pub(crate) fn may_wait_for(waiter: Kind, event: Kind) -> bool {
    let to_send = match waiter {
        Kind::Endpoint => event == Kind::Cluster,
        Kind::Listener
        | Kind::Route
        | Kind::ScopedRoute
        | Kind::VirtualHost
        | Kind::ExtensionConfig
        | Kind::Cluster => matches!(event, Kind::Cluster | Kind::Endpoint),
        Kind::Secret | Kind::Runtime => false,
    };
    to_send || users_of(waiter).contains(&event)
}
