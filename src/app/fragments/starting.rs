//! The first snapshot: a start is judged by what was served before it, as a change is by what is served.
//!
//! Comes in: the good content of all files, and what the state directory kept. Goes out: the first snapshot, of
//! the one or of the other. Keeps the invariant that a restart confirms nothing: what would be held while the
//! daemon runs is held, and what was served before is served again. What is not known to have been served
//! is taken as if it had been, so that nothing that is lost in the state directory holds up a start.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;

use super::judging::{Judgement, Step};
use super::{Fragments, same};
use crate::app::look::{FileName, Kept, Look, on_all_cores};
use crate::app::mix::{Mix, Places};
use crate::app::outcome::Verdict;
use crate::app::policy::Accept;
use crate::app::standing::Hold;
use crate::diagnostic::Diagnostic;
use crate::snapshot::Snapshot;

/// What was served before the daemon was started.
struct Before {
    looks: OrdMap<FileName, Arc<Look>>,
    /// Files whose good content is not that.
    pending: BTreeSet<FileName>,
    /// From nothing to what was served; nothing if there is no difference.
    mix: Mix,
}

impl Fragments {
    /// Serves the good content of all files, or what was served before where that is to be held.
    pub(super) fn serve_first(
        &mut self,
        accept: Accept,
        looks: &mut Vec<Arc<Look>>,
    ) -> (Verdict, Vec<Diagnostic>) {
        let mix = Mix::new(&self.places, &self.pending, &self.served, &self.good);
        let (places, served, pending) = (&self.places, &self.served, &self.pending);
        let step = Step { places, served, pending, mix: &mix, is_first: true };
        let Judgement { mut findings, holds, .. } = self.judge(&step, accept);
        let contradicts = holds.contains(&Hold::Contradiction);
        // Without variables, what may have been served is not told from what their defaults give.
        let may_be_known = !self.is_lacking() && (self.all_saved || !self.surroundings.is_incomplete());
        let before = if may_be_known { self.before(contradicts) } else { None };
        let is_known = before.is_some();
        if let Some(before) = before
            && let Some((holds, findings)) = self.judge_by(&before, accept, looks)
        {
            let restored = self.restore(before);
            return (
                restored.map_or(Verdict::NotYet, |snapshot| Verdict::Restored(snapshot, holds)),
                findings,
            );
        }
        self.place(&mix, &mut findings, looks);
        if !is_known && (self.is_incomplete() || !holds.is_empty()) {
            return (Verdict::NotYet, findings);
        }
        if !self.policy.allow_empty && mix.places.catalog.is_empty() {
            return (Verdict::Empty, findings);
        }
        (self.serve(mix).map_or(Verdict::Unchanged, Verdict::Publish), findings)
    }

    /// What was served before; nothing if nothing is known of it, or what is known contradicts itself.
    fn before(&self, contradicts: bool) -> Option<Before> {
        if self.saved.is_empty() {
            return None;
        }
        let saved: Vec<(&FileName, &Kept)> = self.saved.iter().collect();
        let known = on_all_cores(&saved, |(name, kept)| Some(((*name).clone(), self.last(name, kept)?)));
        let known: OrdMap<FileName, Arc<Look>> = known.into_iter().flatten().collect();
        let mut all = known.clone();
        let may_have_been = |name: &FileName| !self.all_saved || self.saved.contains_key(name);
        for (name, look) in self.good.iter().filter(|(name, _)| may_have_been(name)) {
            all.entry(name.clone()).or_insert_with(|| look.clone());
        }
        // What nobody knows of may be what contradicts.
        [all, known].into_iter().filter(|looks| !looks.is_empty()).find_map(|looks| {
            let names = self.good.keys().chain(looks.keys());
            let pending: BTreeSet<FileName> =
                names.filter(|name| !same(self.good.get(*name), looks.get(*name))).cloned().collect();
            // Of what is the same the answer is there.
            let names = looks.keys().filter(|_| !pending.is_empty());
            let mix = Mix::new(&Places::default(), names, &OrdMap::new(), &looks);
            let is_sound = match pending.is_empty() {
                true => !contradicts,
                false => mix.places.catalog.clashes(&mix.touched).is_empty(),
            };
            is_sound.then_some(Before { looks, pending, mix })
        })
    }

    /// What was served last of a file: what it holds now, if that is the same, or if what is kept is older.
    fn last(&self, name: &FileName, kept: &Kept) -> Option<Arc<Look>> {
        match self.good.get(name) {
            Some(good) if kept.is_of(good) || matches!(kept, Kept::Outdated(_)) => Some(good.clone()),
            _ => self.load_saved(name, kept.read()?).filter(|old| !old.has_errors()),
        }
    }

    /// Why what is good now is held, as a change of what was served before.
    fn judge_by(
        &mut self,
        before: &Before,
        accept: Accept,
        looks: &mut Vec<Arc<Look>>,
    ) -> Option<(Vec<Hold>, Vec<Diagnostic>)> {
        let Before { looks: served, pending, mix: Mix { places, .. } } = before;
        if pending.is_empty() {
            return None;
        }
        let mix = Mix::new(places, pending, served, &self.good);
        let step = Step { places, served, pending, mix: &mix, is_first: false };
        let Judgement { mut findings, holds, missed } = self.judge(&step, accept);
        if holds.is_empty() {
            return None;
        }
        self.missed = missed;
        self.place(&mix, &mut findings, looks);
        Some((holds, findings))
    }

    /// Serves what was served before; what the files hold now waits.
    fn restore(&mut self, before: Before) -> Option<Snapshot> {
        let newest = std::mem::replace(&mut self.good, before.looks);
        self.pending = self.good.keys().cloned().collect();
        let snapshot = self.serve(before.mix);
        self.good = newest;
        self.pending = before.pending;
        snapshot
    }
}
