//! The fragments as they are served: what each file holds now, and what it last held that was good.
//!
//! New sources come in, at most one snapshot comes out. Keeps the promise of containment: a file
//! that does not load keeps its own last good content and the others go on; a mix that contradicts
//! itself, leaves requests without a destination or removes too much is not served at all, and the
//! previous snapshot stays until the mix is good or somebody accepts it. Only what changed is
//! loaded, compared and built.

mod judging;
mod noting;
mod recall;
mod starting;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use imbl::OrdMap;

use self::judging::{Judgement, Step};
use super::guard;
use super::look::{FileName, Kept, Look, load_changed};
use super::mix::{Mix, Places};
use super::outcome::{Outcome, Verdict};
use super::policy::{Accept, Policy};
use super::standing::Standing;
use super::surroundings::{Surroundings, VariableSources};
use crate::diagnostic::Diagnostic;
use crate::envoy_api::Api;
use crate::load::Key;
use crate::resource::{Name, packed_map};
use crate::snapshot::{Builder, Snapshot};
use crate::source::{Directory, SourceFile, Sources};

/// All fragments. There is one, and what it builds goes to one store.
#[derive(Debug)]
pub struct Fragments {
    api: Api,
    policy: Policy,
    sources: Sources,
    /// The newest look at each file, good or not.
    looks: OrdMap<FileName, Arc<Look>>,
    /// The files whose newest look has errors, or is empty where resources were.
    broken: BTreeSet<FileName>,
    /// Those of them that are empty.
    emptied: BTreeSet<FileName>,
    /// The files whose newest look draws on something beside its text.
    drawing: BTreeSet<FileName>,
    /// The newest good look at each file.
    good: OrdMap<FileName, Arc<Look>>,
    /// What is served of each file.
    served: OrdMap<FileName, Arc<Look>>,
    /// Files whose good content is not what is served.
    pending: BTreeSet<FileName>,
    /// The names that what is held would remove, if that is why.
    missed: BTreeSet<Key>,
    /// Files of which something else is served than what was last given out to be saved.
    unsaved: BTreeSet<FileName>,
    /// What was served before the daemon was started; forgotten when the first snapshot is built.
    saved: BTreeMap<FileName, Kept>,
    /// Whether that is all that was served, and not only a part of it.
    all_saved: bool,
    /// Files whose directory cannot be read, with what was saved of them.
    unseen: BTreeSet<FileName>,
    standings: OrdMap<FileName, Standing>,
    surroundings: Surroundings,
    staged: Staged,
    places: Places,
    builder: Builder,
}

/// What was loaded and not taken over yet.
#[derive(Debug, Default)]
struct Staged {
    changed: BTreeSet<FileName>,
    looks: BTreeMap<FileName, Arc<Look>>,
    /// Findings about what fragments draw on.
    findings: Vec<Diagnostic>,
    /// Something that was wrong with what fragments draw on is so no more.
    is_mended: bool,
    /// Nothing was taken over yet: that there are no fragments is news, too.
    is_first: bool,
}

impl Fragments {
    /// No fragments yet. Files that have errors at the start get their last good content from `saved`.
    pub fn new(api: Api, policy: Policy, saved: BTreeMap<FileName, Kept>) -> Fragments {
        Fragments {
            api,
            policy,
            sources: Sources::default(),
            looks: OrdMap::new(),
            broken: BTreeSet::new(),
            emptied: BTreeSet::new(),
            drawing: BTreeSet::new(),
            good: OrdMap::new(),
            served: OrdMap::new(),
            pending: BTreeSet::new(),
            missed: BTreeSet::new(),
            unsaved: BTreeSet::new(),
            saved,
            all_saved: false,
            unseen: BTreeSet::new(),
            standings: OrdMap::new(),
            surroundings: Surroundings::new(VariableSources::default()),
            staged: Staged { is_first: true, ..Staged::default() },
            places: Places::default(),
            builder: Builder::new(),
        }
    }

    /// The same with variables.
    #[must_use]
    pub fn with_variables(mut self, variables: VariableSources) -> Fragments {
        self.surroundings = Surroundings::new(variables);
        self
    }

    /// The same where it is known whether what was saved is all that was served: a fragment that is not among it
    /// was never good then, and what is broken in it takes nothing away.
    #[must_use]
    pub fn with_all_saved(mut self, all_saved: bool) -> Fragments {
        self.all_saved = all_saved && !self.saved.is_empty();
        self
    }

    /// The files that fragments name, and the env files: to be in [`Sources::extra`].
    pub fn wanted(&self) -> BTreeSet<PathBuf> {
        self.surroundings.wanted(self.staged.looks.values().chain(self.drawing_looks()))
    }

    /// Loads what is new, and what draws on what is new. `false` if something that is [`wanted`] is
    /// still to be read: then there is nothing to take over yet.
    ///
    /// [`wanted`]: Fragments::wanted
    pub fn stage(&mut self, sources: &Sources, changed: &[FileName]) -> bool {
        let renewed = !self.sources.extra.ptr_eq(&sources.extra) || self.surroundings.is_waiting();
        self.sources = sources.clone();
        self.staged.changed.extend(changed.iter().cloned());
        if renewed {
            let wrong = self.surroundings.problems().count();
            self.staged.findings.extend(self.surroundings.take(sources));
            self.staged.is_mended |= self.surroundings.problems().count() < wrong;
            let outdated = self.outdated();
            self.staged.changed.extend(outdated);
        }
        let (looks, staged) = (&mut self.staged.looks, &self.staged.changed);
        looks.retain(|name, _| !changed.contains(name) && sources.files.contains_key(name));
        let present = staged.iter().filter(|name| !looks.contains_key(*name));
        let present: Vec<(&FileName, &SourceFile)> =
            present.filter_map(|name| Some((name, sources.files.get(name)?))).collect();
        // From a look with errors nothing can be taken over; from the one before it perhaps.
        let before = |name: &FileName| {
            let newest = self.looks.get(name).filter(|look| !look.has_errors());
            newest.or_else(|| self.good.get(name))
        };
        let loaded = self
            .surroundings
            .with_inputs(&self.policy.severities, |inputs| load_changed(&self.api, inputs, &present, before));
        looks.extend(loaded.into_iter().map(|look| (look.name.clone(), look)));
        !self.surroundings.is_waiting() && !looks.values().any(|look| look.loaded.drawn.is_waiting())
    }

    /// Whether anything was loaded or found that is not taken over yet.
    pub fn has_staged(&self) -> bool {
        let Staged { changed, findings, is_mended, is_first, .. } = &self.staged;
        !changed.is_empty() || !findings.is_empty() || *is_mended || *is_first
    }

    /// What is wrong beside the fragments and lasts: directories that cannot be read, env files.
    pub fn wrong_beside(&self) -> Vec<Diagnostic> {
        guard::unreadable(&self.sources).chain(self.surroundings.problems().cloned()).collect()
    }

    /// The newest looks that draw on something beside their text.
    fn drawing_looks(&self) -> impl Iterator<Item = &Arc<Look>> {
        self.drawing.iter().filter_map(|name| self.looks.get(name))
    }

    /// The files that drew on what is another now.
    fn outdated(&mut self) -> Vec<FileName> {
        let Staged { looks: staged, .. } = &mut self.staged;
        self.surroundings.with_inputs(&self.policy.severities, |inputs| {
            staged.retain(|_, look| look.loaded.drawn.is_current(inputs));
            let drawing = self.drawing.iter().filter_map(|name| self.looks.get(name));
            let old = drawing.filter(|look| !look.loaded.drawn.is_current(inputs));
            old.map(|look| look.name.clone()).collect()
        })
    }

    /// Where what is served stands.
    pub fn places(&self) -> Places {
        self.places.clone()
    }

    /// Clusters that the Envoys' own bootstrap has.
    pub fn external(&self) -> Arc<BTreeSet<Name>> {
        self.policy.external_clusters.clone()
    }

    /// The newest look at each file, good or not, by name.
    pub fn looks(&self) -> impl Iterator<Item = &Arc<Look>> {
        self.looks.values()
    }

    /// The same as a table. Cloning is cheap.
    pub fn newest(&self) -> OrdMap<FileName, Arc<Look>> {
        self.looks.clone()
    }

    /// What is served of each file. Cloning is cheap.
    pub fn served(&self) -> OrdMap<FileName, Arc<Look>> {
        self.served.clone()
    }

    /// The directories, as they were last seen.
    pub fn dirs(&self) -> Arc<[Directory]> {
        self.sources.dirs.clone()
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
        self.stage(sources, changed);
        let Staged { changed, looks, mut findings, .. } = std::mem::take(&mut self.staged);
        let looks: Vec<Arc<Look>> = looks.into_values().map(|look| self.as_served(look)).collect();
        findings.extend(looks.iter().flat_map(|look| look.loaded.diagnostics.clone()));
        for name in &changed {
            self.emptied.remove(name);
        }
        for name in changed.iter().filter(|name| !sources.files.contains_key(*name)) {
            self.looks.remove(name);
            self.broken.remove(name);
            self.drawing.remove(name);
            self.good.remove(name);
        }
        for look in &looks {
            let name = &look.name;
            self.looks.insert(name.clone(), look.clone());
            if look.loaded.drawn.is_nothing() {
                self.drawing.remove(name);
            } else {
                self.drawing.insert(name.clone());
            }
            if look.has_errors() {
                self.broken.insert(name.clone());
                findings.extend(self.recall(look));
            } else if let Some(finding) = self.emptied(look) {
                self.emptied.insert(name.clone());
                self.broken.insert(name.clone());
                // It says more than the note that there is nothing in the file.
                findings.retain(|note| note.file != look.path);
                findings.push(finding);
            } else {
                self.broken.remove(name);
                self.good.insert(name.clone(), look.clone());
            }
        }
        self.pending.extend(changed);
        self.forget_unseen();
        self.recall_unreadable();
        self.finish(start, looks, findings, Accept::default())
    }

    /// A file that was put back to what is served of it is no change, whatever else is held.
    fn as_served(&self, look: Arc<Look>) -> Arc<Look> {
        let served = self.served.get(&look.name);
        let is_alone = |look: &Look| look.loaded.drawn.is_nothing();
        let same = served.filter(|served| {
            served.path == look.path && served.text == look.text && is_alone(served) && is_alone(&look)
        });
        same.filter(|served| !served.has_errors()).cloned().unwrap_or(look)
    }

    /// Takes over what is held, if what was accepted is all that held it.
    pub fn accept(&mut self, accept: Accept) -> Outcome {
        if self.staged.is_first {
            // What the files hold is still being read: all would seem to be gone.
            return Outcome::nothing();
        }
        if accept.removals {
            self.accept_emptied();
        }
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
        let still_broken = self.still_broken(&looks);
        let mut concerned = self.pending.clone();
        let (verdict, across) = self.serve_good(accept, &mut looks);
        // Also what is gone since the daemon ended.
        concerned.extend(self.pending.iter().cloned());
        findings.extend(across);
        findings.sort();
        // What lasts may be said anew by what finds it, and by what is held for it.
        findings.dedup();
        let first = self.standings.is_empty();
        self.note_standings(&concerned, &verdict);
        if first {
            self.standings = packed_map(&self.standings);
        }
        let broken = self.broken.len();
        let took = start.elapsed();
        Outcome { verdict, diagnostics: findings, looks, still_broken, broken, files_loaded, took }
    }

    /// Serves the good content of all files, if together it is good.
    fn serve_good(&mut self, accept: Accept, looks: &mut Vec<Arc<Look>>) -> (Verdict, Vec<Diagnostic>) {
        self.pending.retain(|name| !same(self.good.get(name), self.served.get(name)));
        if !self.builder.current().is_loaded() {
            return self.serve_first(accept, looks);
        }
        let mix = Mix::new(&self.places, &self.pending, &self.served, &self.good);
        let (places, served, pending) = (&self.places, &self.served, &self.pending);
        let step = Step { places, served, pending, mix: &mix, is_first: false };
        let Judgement { mut findings, holds, missed } = self.judge(&step, accept);
        self.missed = missed;
        self.place(&mix, &mut findings, looks);
        if !holds.is_empty() && !self.pending.is_empty() {
            return (Verdict::Held(holds), findings);
        }
        (self.serve(mix).map_or(Verdict::Unchanged, Verdict::Publish), findings)
    }

    /// Completes findings across the files of a mix with the places in their newest texts.
    fn place(&self, mix: &Mix, findings: &mut [Diagnostic], looks: &mut Vec<Arc<Look>>) {
        let is_newest =
            |look: &Arc<Look>| self.looks.get(&look.name).is_some_and(|newest| Arc::ptr_eq(newest, look));
        mix.places.place(findings, is_newest, looks);
    }

    /// Makes the mix what is served; nothing if no resource is another.
    fn serve(&mut self, mix: Mix) -> Option<Snapshot> {
        let first = !self.builder.current().is_loaded();
        if first {
            // All that was saved for files that are gone is to be forgotten.
            self.unsaved.extend(std::mem::take(&mut self.saved).into_keys());
        }
        let snapshot = self.builder.apply(mix.edits());
        for name in std::mem::take(&mut self.pending) {
            match self.good.get(&name) {
                Some(good) => self.served.insert(name.clone(), good.clone()),
                None => self.served.remove(&name),
            };
            self.unsaved.insert(name);
        }
        self.places = mix.after(&self.places, &self.policy.external_clusters);
        if first {
            self.pack();
        }
        snapshot
    }

    /// Takes no more room than it needs, after all files came at once and in order. Mostly the three tables of
    /// looks are one then.
    fn pack(&mut self) {
        self.served = packed_map(&self.served);
        for table in [&mut self.good, &mut self.looks] {
            let is_same = table.len() == self.served.len()
                && table.iter().zip(&self.served).all(|(a, b)| a.0 == b.0 && Arc::ptr_eq(a.1, b.1));
            *table = if is_same { self.served.clone() } else { packed_map(table) };
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
