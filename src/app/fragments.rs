//! The fragments as they are served: what each file holds now, and what it last held that was good.
//!
//! New sources come in, at most one snapshot comes out. Keeps the promise of containment: a file
//! that does not load keeps its own last good content and the others go on; a mix that contradicts
//! itself, leaves requests without a destination or removes too much is not served at all, and the
//! previous snapshot stays until the mix is good or somebody accepts it. Only what changed is
//! loaded, compared and built.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use imbl::OrdMap;

use super::guard::{self, Removal};
use super::look::{FileName, Look, load_all};
use super::standing::{Condition, Hold, Standing};
use crate::diagnostic::{Diagnostic, Position, Severity, Span};
use crate::envoy_api::Api;
use crate::load::{self, Catalog, Key, References};
use crate::resource::{Kind, Name};
use crate::snapshot::{Audience, Builder, Edit, Snapshot};
use crate::source::{DirState, SourceFile, Sources};

/// Where served resources stand, for those who report on them. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Places {
    catalog: Catalog,
    served: OrdMap<Arc<str>, Arc<Look>>,
}

impl Places {
    /// `file:line` of each place where this resource is defined.
    pub fn of(&self, kind: Kind, name: &Name) -> Vec<String> {
        let line = |home: &load::Home| {
            let text = self.served.get(&home.file).and_then(|look| look.text()).unwrap_or_default();
            format!("{}:{}", home.file, Position::of(text, home.name_span.start).line)
        };
        self.catalog.homes(kind, name).iter().map(line).collect()
    }
}

/// What came of a look at the sources.
#[derive(Debug)]
pub struct Outcome {
    /// What became of the snapshot.
    pub verdict: Verdict,
    /// Findings of the files that changed, and of how files fit together; by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that the findings point into: files that were loaded, then others.
    pub looks: Vec<Arc<Look>>,
    /// Files read and loaded for it.
    pub files_loaded: usize,
    /// Time from the sources to this outcome.
    pub took: Duration,
}

/// What became of the snapshot.
#[derive(Debug)]
pub enum Verdict {
    /// This is to be served from now on.
    Publish(Snapshot),
    /// What was served before the daemon was started is to be served again; what the files hold now
    /// is held back, for these reasons.
    Restored(Snapshot, Vec<Hold>),
    /// Nothing that is served has changed.
    Unchanged,
    /// The change is held back, for these reasons; what was served goes on being served.
    Held(Vec<Hold>),
    /// Nothing was ever served, and nothing can be yet: for the findings, a start with a part only
    /// would take away from running Envoys what is missing in it.
    NotYet,
    /// Nothing was ever served, and there is nothing to serve.
    Empty,
}

/// What an error in a fragment does to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Nothing: the fragment keeps its last good content, the others go on.
    #[default]
    Contain,
    /// It holds every change back.
    Hold,
}

/// What to serve, and what not.
#[derive(Clone, Debug)]
pub struct Policy {
    /// An empty directory is served as such, at once.
    pub allow_empty: bool,
    /// What an error in a fragment does to the others.
    pub on_error: OnError,
    /// How much it matters at a first look that requests would go to what no fragment defines.
    pub unresolved: Severity,
    /// Clusters that the Envoys' own bootstrap has.
    pub external_clusters: BTreeSet<Name>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            allow_empty: false,
            on_error: OnError::Contain,
            // What is missing may be elsewhere, and was missing before.
            unresolved: Severity::Warning,
            external_clusters: BTreeSet::new(),
        }
    }
}

/// What somebody takes upon them for the change that is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// Requests may go to what no fragment defines.
    pub unresolved: bool,
    /// As much may be removed as it would.
    pub removals: bool,
}

/// The last good content of a fragment, from before the daemon was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The path as people named it.
    pub path: Arc<str>,
    /// Its bytes.
    pub text: Bytes,
}

/// All fragments. There is one, and what it builds goes to one store.
#[derive(Debug)]
pub struct Fragments {
    api: Api,
    policy: Policy,
    sources: Sources,
    /// The newest look at each file, good or not.
    looks: OrdMap<FileName, Arc<Look>>,
    /// The files whose newest look has errors.
    broken: BTreeSet<FileName>,
    /// The newest good look at each file.
    good: OrdMap<FileName, Arc<Look>>,
    /// What is served of each file.
    served: OrdMap<FileName, Arc<Look>>,
    /// Files whose good content is not what is served.
    pending: BTreeSet<FileName>,
    /// Files of which something else is served than what was last given out to be saved.
    unsaved: BTreeSet<FileName>,
    /// What was served before the daemon was started; forgotten when the first snapshot is built.
    saved: BTreeMap<FileName, Saved>,
    standings: OrdMap<FileName, Standing>,
    places: Places,
    builder: Builder,
}

/// The good content of all files together.
struct Mix {
    places: Places,
    /// Names that differ from what is served.
    touched: BTreeSet<Key>,
}

impl Fragments {
    /// No fragments yet. Files that have errors at the start get their last good content from `saved`.
    pub fn new(api: Api, policy: Policy, saved: BTreeMap<FileName, Saved>) -> Fragments {
        Fragments {
            api,
            policy,
            sources: Sources::default(),
            looks: OrdMap::new(),
            broken: BTreeSet::new(),
            good: OrdMap::new(),
            served: OrdMap::new(),
            pending: BTreeSet::new(),
            unsaved: BTreeSet::new(),
            saved,
            standings: OrdMap::new(),
            places: Places::default(),
            builder: Builder::new(),
        }
    }

    /// Where what is served stands.
    pub fn places(&self) -> Places {
        self.places.clone()
    }

    /// The newest look at each file, good or not, by name.
    pub fn looks(&self) -> impl Iterator<Item = &Arc<Look>> {
        self.looks.values()
    }

    /// How each fragment stands, by name. Cloning is cheap.
    pub fn standings(&self) -> OrdMap<FileName, Standing> {
        self.standings.clone()
    }

    /// What is served of the files of which something else is served than at the last call; `None`
    /// for those that are gone.
    pub fn take_unsaved(&mut self) -> Vec<(FileName, Option<Arc<Look>>)> {
        let names = std::mem::take(&mut self.unsaved).into_iter();
        names.map(|name| (name.clone(), self.served.get(&name).cloned())).collect()
    }

    /// Takes new sources, of which the `changed` files differ from those before.
    pub fn update(&mut self, sources: &Sources, changed: &[FileName]) -> Outcome {
        let start = Instant::now();
        self.sources = sources.clone();
        let present: Vec<(&FileName, &SourceFile)> =
            changed.iter().filter_map(|n| Some((n, sources.files.get(n)?))).collect();
        let looks = load_all(&self.api, &present);
        let mut findings: Vec<Diagnostic> = looks.iter().flat_map(|l| l.loaded.diagnostics.clone()).collect();
        for name in changed.iter().filter(|name| !sources.files.contains_key(*name)) {
            self.looks.remove(name);
            self.broken.remove(name);
            self.good.remove(name);
        }
        for look in &looks {
            let name = &look.name;
            self.looks.insert(name.clone(), look.clone());
            if look.has_errors() {
                self.broken.insert(name.clone());
                findings.extend(self.recall(look));
            } else {
                self.broken.remove(name);
                self.good.insert(name.clone(), look.clone());
            }
        }
        self.pending.extend(changed.iter().cloned());
        self.finish(start, looks, findings, Accept::default())
    }

    /// Takes over what is held, if what was accepted is all that held it.
    pub fn accept(&mut self, accept: Accept) -> Outcome {
        self.finish(Instant::now(), Vec::new(), Vec::new(), accept)
    }

    fn finish(
        &mut self,
        start: Instant,
        mut looks: Vec<Arc<Look>>,
        mut findings: Vec<Diagnostic>,
        accept: Accept,
    ) -> Outcome {
        let files_loaded = looks.len();
        let concerned = self.pending.clone();
        let (verdict, across) = self.serve_good(accept, &mut looks);
        findings.extend(across);
        findings.sort();
        self.note_standings(&concerned, &verdict);
        Outcome { verdict, diagnostics: findings, files_loaded, looks, took: start.elapsed() }
    }

    /// At the start, a broken file has its last good content from before; gives what to say of it.
    fn recall(&mut self, broken: &Look) -> Option<Diagnostic> {
        if self.builder.current().is_loaded() || self.good.contains_key(&broken.name) {
            return None;
        }
        let saved = self.saved.get(&broken.name)?;
        let source = SourceFile { path: broken.path.clone(), content: Ok(saved.text.clone()) };
        let old = load_all(&self.api, &[(&broken.name, &source)]).pop()?;
        let (severity, message) = if old.has_errors() {
            (Severity::Error, "its last good content, from the state directory, has errors now, too")
        } else {
            self.good.insert(broken.name.clone(), old);
            (Severity::Warning, "its last good content, from the state directory, is served in its place")
        };
        Some(Diagnostic::new(severity, "last-good-content", broken.path.clone(), message))
    }

    /// Serves the good content of all files, if together it is good.
    fn serve_good(&mut self, accept: Accept, looks: &mut Vec<Arc<Look>>) -> (Verdict, Vec<Diagnostic>) {
        self.pending.retain(|name| !same(self.good.get(name), self.served.get(name)));
        let mix = self.mix();
        let first = !self.builder.current().is_loaded();
        let (mut findings, holds) = self.judge(&mix, accept);
        self.placed(&mut findings, &mix, looks);
        if first {
            let contradicts = holds.iter().any(|hold| matches!(hold, Hold::Contradiction | Hold::Errors));
            if contradicts && let Some(snapshot) = self.restore() {
                return (Verdict::Restored(snapshot, holds), findings);
            }
            if contradicts || self.is_incomplete() {
                return (Verdict::NotYet, findings);
            }
            if !self.policy.allow_empty && mix.places.catalog.is_empty() {
                return (Verdict::Empty, findings);
            }
        } else if !holds.is_empty() && !self.pending.is_empty() {
            return (Verdict::Held(holds), findings);
        }
        (self.serve(mix).map_or(Verdict::Unchanged, Verdict::Publish), findings)
    }

    /// Whether it is not known what all files are to give, not even from before.
    fn is_incomplete(&self) -> bool {
        self.broken.iter().any(|name| !self.good.contains_key(name))
            || self.sources.dirs.iter().any(|dir| matches!(dir.state, DirState::Unreadable(_)))
    }

    fn mix(&self) -> Mix {
        let mut places = self.places.clone();
        let mut touched = BTreeSet::new();
        for name in &self.pending {
            let (old, new) = (self.served.get(name), self.good.get(name));
            if let Some(old) = old {
                places.served.remove(&old.path);
                touched.extend(places.catalog.replace(&old.path, Some(&old.loaded), None));
            }
            if let Some(new) = new {
                places.served.insert(new.path.clone(), new.clone());
                touched.extend(places.catalog.replace(&new.path, None, Some(&new.loaded)));
            }
        }
        Mix { places, touched }
    }

    /// What is wrong with files that are good each for themselves, and what of that holds them back.
    fn judge(&self, mix: &Mix, accept: Accept) -> (Vec<Diagnostic>, Vec<Hold>) {
        let first = !self.builder.current().is_loaded();
        let mut holds = Vec::new();
        let mut findings = mix.places.catalog.clashes(&mix.touched);
        if !findings.is_empty() {
            holds.push(Hold::Contradiction);
        }
        let unresolved = self.unresolved(mix, first, accept);
        if !first && unresolved.iter().any(Diagnostic::is_error) {
            holds.push(Hold::Unresolved);
        }
        findings.extend(unresolved);
        findings.extend(guard::unreadable(&self.sources));
        if !first && !accept.removals {
            let gone = self.pending.iter().filter(|name| !self.sources.files.contains_key(*name));
            let gone: Vec<&Arc<Look>> = gone.filter_map(|name| self.served.get(name)).collect();
            let (before, now) = (&self.places.catalog, &mix.places.catalog);
            let removal = Removal { before, now, touched: &mix.touched, gone: &gone, sources: &self.sources };
            let accidents = removal.findings();
            if !accidents.is_empty() {
                holds.push(Hold::Removal);
            }
            findings.extend(accidents);
        }
        if self.policy.on_error == OnError::Hold && !self.broken.is_empty() {
            holds.push(Hold::Errors);
        }
        (findings, holds)
    }

    /// References that nothing satisfies; an error if it is new and requests depend on it.
    fn unresolved(&self, mix: &Mix, first: bool, accept: Accept) -> Vec<Diagnostic> {
        let (before, now) = (&self.places.catalog, &mix.places.catalog);
        let references = References { before, now, external: &self.policy.external_clusters };
        // What is missing may stand in a file that could not be read.
        let at_first = if self.is_incomplete() { Severity::Warning } else { self.policy.unresolved };
        let severity = |dangling: &load::Dangling<'_>| match dangling.mention.carries_traffic {
            true if first => at_first,
            true if dangling.is_new && !accept.unresolved => Severity::Error,
            _ => Severity::Warning,
        };
        let dangling = references.dangling(&mix.touched);
        let weighed: Vec<_> = dangling.iter().map(|dangling| (*dangling, severity(dangling))).collect();
        let mut findings = references.findings(&weighed);
        findings.extend(references.unused_endpoints(&mix.touched));
        findings
    }

    /// Makes the mix what is served; nothing if no resource is another.
    fn serve(&mut self, mix: Mix) -> Option<Snapshot> {
        let edits = self.edits();
        if !self.builder.current().is_loaded() {
            // All that was saved for files that are gone is to be forgotten.
            self.unsaved.extend(std::mem::take(&mut self.saved).into_keys());
        }
        for name in std::mem::take(&mut self.pending) {
            match self.good.get(&name) {
                Some(good) => self.served.insert(name.clone(), good.clone()),
                None => self.served.remove(&name),
            };
            self.unsaved.insert(name);
        }
        self.places = mix.places;
        self.builder.apply(edits)
    }

    /// Serves all that was served before the daemon was started, if it still can be.
    fn restore(&mut self) -> Option<Snapshot> {
        let source = |saved: &Saved| SourceFile { path: saved.path.clone(), content: Ok(saved.text.clone()) };
        let sources: Vec<(FileName, SourceFile)> =
            self.saved.iter().map(|(name, saved)| (name.clone(), source(saved))).collect();
        let files: Vec<_> = sources.iter().map(|(name, source)| (name, source)).collect();
        let looks = load_all(&self.api, &files);
        if looks.is_empty() || looks.iter().any(|look| look.has_errors()) {
            return None;
        }
        let restored = looks.into_iter().map(|look| (look.name.clone(), look)).collect();
        let newest = std::mem::replace(&mut self.good, restored);
        let waiting = std::mem::replace(&mut self.pending, self.good.keys().cloned().collect());
        let mix = self.mix();
        let is_sound = mix.places.catalog.clashes(&mix.touched).is_empty();
        let snapshot = if is_sound { self.serve(mix) } else { None };
        self.good = newest;
        self.pending = waiting;
        self.pending.extend(self.served.keys().cloned());
        snapshot
    }

    /// From what is served to what is good, in the files where they differ.
    fn edits(&self) -> Vec<Edit> {
        let items = |look: Option<&'_ Arc<Look>>| look.cloned().into_iter();
        let mut puts = Vec::new();
        let mut kept: HashSet<(Audience, Kind, Name)> = HashSet::new();
        for look in self.pending.iter().flat_map(|name| items(self.good.get(name))) {
            for item in &look.loaded.items {
                let (kind, name) = (item.resource.kind(), item.resource.name().clone());
                kept.insert((item.nodes.clone(), kind, name));
                puts.push(Edit::Put(item.nodes.clone(), item.resource.clone()));
            }
        }
        let mut edits = Vec::new();
        for look in self.pending.iter().flat_map(|name| items(self.served.get(name))) {
            for item in &look.loaded.items {
                let key = (item.nodes.clone(), item.resource.kind(), item.resource.name().clone());
                if !kept.contains(&key) {
                    edits.push(Edit::Remove(key.0, key.1, key.2));
                }
            }
        }
        edits.extend(puts);
        edits
    }

    /// Completes findings across the files of a mix: each with the path to its place, and all with
    /// the texts that they point into. A place in a content that its file has no more is left out.
    fn placed(&self, findings: &mut Vec<Diagnostic>, mix: &Mix, looks: &mut Vec<Arc<Look>>) {
        let newest = |file: &Arc<str>| {
            let look = mix.places.served.get(file)?;
            Some((look, self.looks.get(&look.name).is_some_and(|newest| Arc::ptr_eq(newest, look))))
        };
        let mut spans: BTreeMap<Arc<str>, BTreeSet<Span>> = BTreeMap::new();
        for finding in findings.iter_mut() {
            if let Some((_, false)) = newest(&finding.file) {
                finding.span = None;
            }
            finding.related.retain(|related| !matches!(newest(&related.file), Some((_, false))));
            spans.entry(finding.file.clone()).or_default().extend(finding.span);
            for related in &finding.related {
                spans.entry(related.file.clone()).or_default();
            }
        }
        let mut paths: HashMap<(Arc<str>, Span), String> = HashMap::new();
        let known: HashSet<FileName> = looks.iter().map(|look| look.name.clone()).collect();
        for (file, spans) in spans {
            let Some((look, true)) = newest(&file) else { continue };
            if !known.contains(&look.name) {
                looks.push(look.clone());
            }
            let found = load::paths_at(look.text().unwrap_or_default(), spans);
            paths.extend(found.into_iter().map(|(span, path)| ((file.clone(), span), path)));
        }
        for finding in findings {
            let place = finding.span.map(|span| (finding.file.clone(), span));
            if let Some(path) = place.and_then(|place| paths.get(&place)) {
                finding.path.clone_from(path);
            }
        }
    }

    /// Writes down what became of these fragments.
    fn note_standings(&mut self, concerned: &BTreeSet<FileName>, verdict: &Verdict) {
        let now = SystemTime::now();
        for name in concerned {
            let look = self.looks.get(name).or_else(|| self.served.get(name));
            let Some(look) = look else {
                self.standings.remove(name);
                continue;
            };
            let held = self.pending.contains(name);
            let state = match verdict {
                _ if self.broken.contains(name) && self.served.contains_key(name) => Condition::Stale,
                _ if self.broken.contains(name) => Condition::Refused,
                Verdict::Held(holds) | Verdict::Restored(_, holds) if held => {
                    Condition::Held(holds.as_slice().into())
                }
                Verdict::NotYet | Verdict::Empty => Condition::Waiting,
                _ => Condition::Good,
            };
            let known = self.standings.get(name).filter(|known| known.state == state);
            let since = known.map_or(now, |known| known.since);
            let findings = look.loaded.diagnostics.iter().filter(|f| f.severity > Severity::Note).count();
            let standing = Standing { path: look.path.clone(), state, since, findings };
            self.standings.insert(name.clone(), standing);
        }
    }
}

fn same(a: Option<&Arc<Look>>, b: Option<&Arc<Look>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}
