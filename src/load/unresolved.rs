//! References across files: what is named and nowhere defined, and what is defined and never named.
//!
//! Comes in: the catalog as it is served and as it would be, and the names that differ. Goes out:
//! what dangles among these names and those that name them, so that the cost follows the change. A
//! reference is satisfied if an Envoy that receives the one may receive the other; which Envoys
//! there are is not known here, so `nodes:` that only overlap are given the benefit of the doubt. What was
//! there for all who need it, and is now known not to be, counts as taken away.

use std::collections::{BTreeSet, HashSet};

use super::catalog::{Catalog, Home, Key};
use super::references::Mentioned;
use super::suggest;
use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::resource::{Kind, Name, Selector, may_meet, surely_beyond, surely_within};

/// More findings of one sort in one step say no more than "something is missing altogether".
const MAX_DANGLING: usize = 1_000;

/// How many names are compared for all "did you mean" of a step together.
const MAX_COMPARED: usize = 300_000;

/// The question: what becomes of references from `before` to `now`?
#[derive(Clone, Copy, Debug)]
pub struct References<'a> {
    /// What is served.
    pub before: &'a Catalog,
    /// What is to be served.
    pub now: &'a Catalog,
    /// Clusters that the Envoys' own bootstrap has.
    pub external: &'a BTreeSet<Name>,
    /// Whether there are files of which it is not known what they define.
    pub is_lacking: bool,
}

/// A reference that nothing satisfies.
#[derive(Clone, Copy, Debug)]
pub struct Dangling<'a> {
    /// The item that makes it.
    pub by: (Kind, &'a Name),
    /// Where that stands.
    pub home: &'a Home,
    /// The reference.
    pub mention: Mentioned<'a>,
    /// Whether the same item's reference was satisfied before, or was not there.
    pub is_new: bool,
}

impl Dangling<'_> {
    /// Whether requests that were answered would not be any more.
    pub fn is_urgent(&self) -> bool {
        self.mention.carries_traffic && self.is_new
    }
}

/// What was found, up to a number of each sort: the others must not hide what is urgent.
#[derive(Default)]
struct Found<'a> {
    list: Vec<Dangling<'a>>,
    urgent: usize,
}

impl<'a> Found<'a> {
    fn add(&mut self, dangling: Dangling<'a>) {
        let others = self.list.len() - self.urgent;
        let of_its_sort = if dangling.is_urgent() { self.urgent } else { others };
        if of_its_sort < MAX_DANGLING {
            self.urgent += usize::from(dangling.is_urgent());
            self.list.push(dangling);
        }
    }
}

impl<'a> References<'a> {
    /// The dangling references of the `touched` items, and those of others to them. If there are very
    /// many, not all; but urgent ones if there are any.
    pub fn dangling(&self, touched: &'a BTreeSet<Key>) -> Vec<Dangling<'a>> {
        let mut found = Found::default();
        for key in touched {
            self.dangling_of((key.0, &key.1), None, &mut found);
        }
        for key in touched.iter().filter(|key| self.may_be_missed(key)) {
            let others = self.now.named_by(key).filter(|by| !touched.contains(&(by.0, by.1.clone())));
            for by in others {
                self.dangling_of(by, Some(key), &mut found);
            }
        }
        found.list
    }

    /// Whether somebody who received an item of this name may receive none any more.
    fn may_be_missed(&self, (kind, name): &Key) -> bool {
        let audiences = |catalog: &'a Catalog| catalog.homes(*kind, name).iter().map(|home| &home.nodes);
        audiences(self.before).next().is_some() && !audiences(self.before).eq(audiences(self.now))
    }

    /// What dangles of the item's references, or of those to `target`.
    fn dangling_of(&self, by: (Kind, &'a Name), target: Option<&Key>, found: &mut Found<'a>) {
        for home in self.now.homes(by.0, by.1) {
            let mut known: Option<HashSet<(Kind, &Name)>> = None;
            let mut covered: Option<HashSet<(Kind, &Name)>> = None;
            for mention in home.mentions() {
                let to = (mention.kind, mention.name);
                if target.is_some_and(|(kind, name)| to != (*kind, name)) {
                    continue;
                }
                if self.satisfies(self.now, to, home.nodes.as_deref()) {
                    let is_newly_partial = self.is_partial(to, home.nodes.as_deref())
                        && covered.get_or_insert_with(|| self.covered_before(by)).contains(&to);
                    if is_newly_partial {
                        found.add(Dangling { by, home, mention, is_new: true });
                    }
                    continue;
                }
                // What was never here may be at another server.
                if mention.elsewhere && !self.satisfies(self.before, to, home.nodes.as_deref()) {
                    continue;
                }
                let known = known.get_or_insert_with(|| self.mentioned_before(by, home));
                let was_dangling =
                    known.contains(&to) && !self.satisfies(self.before, to, home.nodes.as_deref());
                found.add(Dangling { by, home, mention, is_new: !was_dangling });
            }
        }
    }

    /// What the same item, for the same nodes, named before.
    fn mentioned_before(&self, by: (Kind, &Name), now: &Home) -> HashSet<(Kind, &'a Name)> {
        let homes = self.before.homes(by.0, by.1).iter().filter(|home| home.nodes == now.nodes);
        homes.flat_map(|home| home.mentions().map(|mention| (mention.kind, mention.name))).collect()
    }

    /// What the same item named before that was there for all nodes that received the item.
    fn covered_before(&self, by: (Kind, &Name)) -> HashSet<(Kind, &'a Name)> {
        let mut all = HashSet::new();
        for user in self.before.homes(by.0, by.1) {
            let named = user.mentions().map(|mention| (mention.kind, mention.name));
            all.extend(named.filter(|(kind, name)| {
                let homes = self.before.homes(*kind, name).iter();
                let mut audiences = homes.map(|home| home.nodes.as_deref());
                audiences.any(|nodes| surely_within(user.nodes.as_deref(), nodes))
            }));
        }
        all
    }

    /// Whether it is known that not all of these nodes receive it. What is there several times, each for other
    /// nodes, may be there for all nodes that there are.
    fn is_partial(&self, (kind, name): (Kind, &Name), nodes: Option<&Selector>) -> bool {
        let mut homes = self.now.homes(kind, name).iter();
        let is_external = kind == Kind::Cluster && self.external.contains(name);
        let is_beyond = |home: &Home| surely_beyond(nodes, home.nodes.as_deref());
        !is_external && homes.next().is_some_and(is_beyond) && homes.next().is_none()
    }

    fn satisfies(&self, catalog: &Catalog, (kind, name): (Kind, &Name), nodes: Option<&Selector>) -> bool {
        let external = kind == Kind::Cluster && self.external.contains(name);
        external || catalog.homes(kind, name).iter().any(|home| may_meet(home.nodes.as_deref(), nodes))
    }

    /// Whether something that an item names is not there; with a target, only that.
    pub fn is_dangling(&self, by: (Kind, &'a Name), target: Option<&Key>) -> bool {
        let mut found = Found::default();
        self.dangling_of(by, target, &mut found);
        !found.list.is_empty()
    }

    /// Whether this is an endpoint assignment that no cluster uses.
    pub fn is_unused(&self, key: &Key) -> bool {
        self.unused(key).next().is_some()
    }

    /// Where such an assignment stands.
    fn unused<'k>(&'k self, key: &'k Key) -> impl Iterator<Item = &'a Home> + 'k {
        let may_be = key.0 == Kind::Endpoint && !self.external.contains(&key.1);
        let homes = if may_be { self.now.homes(key.0, &key.1) } else { &[] };
        homes.iter().filter(|home| !self.is_used(key, home))
    }

    /// Endpoint assignments that no cluster uses, among the touched and those that touched clusters
    /// used before.
    pub fn unused_endpoints(&self, touched: &BTreeSet<Key>) -> Vec<Diagnostic> {
        let mut candidates: BTreeSet<Key> = BTreeSet::new();
        for key in touched {
            if key.0 == Kind::Endpoint {
                candidates.insert(key.clone());
            }
            let before = self.before.homes(key.0, &key.1).iter().filter(|_| key.0 == Kind::Cluster);
            candidates.extend(before.flat_map(Home::endpoints));
        }
        let say = |key| self.unused(key).map(move |home| unused(key, home, self.now.name_span(home)));
        candidates.iter().flat_map(say).take(MAX_DANGLING).collect()
    }

    fn is_used(&self, key: &Key, home: &Home) -> bool {
        let users = self.now.named_by(key).flat_map(|(kind, name)| self.now.homes(kind, name));
        let names =
            |user: &Home| user.mentions().any(|mention| (mention.kind, mention.name) == (key.0, &key.1));
        users.filter(|user| may_meet(user.nodes.as_deref(), home.nodes.as_deref())).any(names)
    }

    /// What to say of dangling references, each with its severity.
    pub fn findings(&self, dangling: &[(Dangling<'_>, Severity)]) -> Vec<Diagnostic> {
        let mut budget = MAX_COMPARED;
        let say =
            |(dangling, severity): &(Dangling<'_>, Severity)| self.finding(dangling, *severity, &mut budget);
        let mut findings: Vec<Diagnostic> = dangling.iter().map(say).collect();
        if let Some((last, _)) = dangling.last().filter(|_| dangling.len() >= MAX_DANGLING) {
            let message = "there may be further unresolved references, which are not shown";
            let file = last.home.file.clone();
            findings.push(Diagnostic::new(Severity::Note, "too-many-findings", file, message));
        }
        findings
    }

    fn finding(&self, dangling: &Dangling<'_>, severity: Severity, budget: &mut usize) -> Diagnostic {
        let Dangling { home, mention, .. } = dangling;
        let Mentioned { kind, name, .. } = *mention;
        let elsewhere = self.now.homes(kind, name).first();
        let message = match elsewhere {
            None => format!("no fragment defines the {kind} `{name}`"),
            Some(_) if self.satisfies(self.now, (kind, name), home.nodes.as_deref()) => {
                format!("not every node that receives this still receives the {kind} `{name}`")
            }
            Some(_) => format!("no node that receives this also receives the {kind} `{name}`"),
        };
        let finding = Diagnostic::new(severity, "unresolved-reference", home.file.clone(), message);
        let finding = finding.at(self.now.place_of(home, *mention), "");
        match elsewhere {
            Some(other) => {
                let key = "it is defined here, for other nodes only";
                let finding = finding.with_related(other.file.clone(), self.now.name_span(other), key);
                finding.with_hint("let the `nodes:` of one include those of the other")
            }
            None => finding.with_hint(self.advice(kind, name, budget)),
        }
    }

    fn advice(&self, kind: Kind, name: &Name, budget: &mut usize) -> String {
        if let Some(home) = self.before.homes(kind, name).first() {
            let file = &home.file;
            return format!("{file} defined it until now: put it back, or take away what names it first");
        }
        let names = self.now.names(kind).chain(self.external.iter().filter(|_| kind == Kind::Cluster));
        let allowed = *budget;
        let names = names.take(allowed).inspect(|_| *budget -= 1);
        let near = suggest::nearest(name, names.map(|name| &**name));
        let own = || format!("if the Envoys' own bootstrap has it, say `--external-cluster {name}`");
        match near {
            Some(near) if self.is_lacking => {
                format!("did you mean `{near}`? if not, it may be in a file that has errors: mend that first")
            }
            Some(near) if kind == Kind::Cluster => format!("did you mean `{near}`? {}", own()),
            Some(near) => format!("did you mean `{near}`?"),
            None if self.is_lacking => {
                "it may be in a file that has errors or cannot be read: mend that first".to_owned()
            }
            None if kind == Kind::Cluster => format!("define it under `clusters`; {}", own()),
            None => format!("define it under `{}`", kind.fragment_key()),
        }
    }
}

fn unused((kind, name): &Key, home: &Home, span: Span) -> Diagnostic {
    let message = format!("no cluster uses the {kind} `{name}`");
    let hint = "an assignment is used by the cluster of type EDS with this name, or with this `service_name`";
    Diagnostic::new(Severity::Warning, "unused-endpoints", home.file.clone(), message)
        .at(span, "")
        .with_hint(hint)
}
