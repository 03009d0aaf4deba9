//! Whether the good content of all files may be served: contradictions, what dangles, what would go.
//!
//! Comes in: the mix that would be served, and what somebody has accepted. Goes out: findings, and the
//! reasons to hold the change back. Changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;

use super::Fragments;
use crate::app::guard::{self, Removal};
use crate::app::look::{FileName, Look};
use crate::app::mix::{Mix, Places};
use crate::app::policy::{Accept, OnError};
use crate::app::standing::Hold;
use crate::diagnostic::{Diagnostic, Severity};
use crate::load::{self, Key, References};

/// A step from what is served to what would be.
pub(super) struct Step<'a> {
    /// Where what is served stands.
    pub places: &'a Places,
    /// What is served of each file.
    pub served: &'a OrdMap<FileName, Arc<Look>>,
    /// The files that differ.
    pub pending: &'a BTreeSet<FileName>,
    /// What would be served.
    pub mix: &'a Mix,
    /// Whether it is the first, from nothing.
    pub is_first: bool,
}

/// What is to be said of a step, and what speaks against it.
pub(super) struct Judgement {
    /// What is wrong with files that are good each for themselves.
    pub findings: Vec<Diagnostic>,
    /// What of that holds them back.
    pub holds: Vec<Hold>,
    /// The names that would go, where that is a reason.
    pub missed: BTreeSet<Key>,
}

impl Fragments {
    /// Whether it is not known what all files are to give.
    pub(super) fn is_incomplete(&self) -> bool {
        self.surroundings.is_incomplete() || self.is_lacking()
    }

    /// Whether it is not known what files gave that give nothing good now.
    pub(super) fn is_lacking(&self) -> bool {
        self.broken.iter().any(|name| !self.good.contains_key(name) && self.may_lack(name))
            || self.may_lack_unreadable()
    }

    /// Whether a step may be taken.
    pub(super) fn judge(&self, step: &Step<'_>, accept: Accept) -> Judgement {
        let &Step { mix, is_first: first, .. } = step;
        let (mut holds, mut missed) = (Vec::new(), BTreeSet::new());
        let mut findings = mix.places.catalog.clashes(&mix.touched);
        if !findings.is_empty() {
            holds.push(Hold::Contradiction);
        }
        let unresolved = self.unresolved(step, accept);
        if !first && unresolved.iter().any(Diagnostic::is_error) {
            holds.push(Hold::Unresolved);
        }
        findings.extend(unresolved);
        findings.extend(guard::unreadable(&self.sources));
        if !first && !accept.removals {
            let gone = step.pending.iter().filter(|name| !self.sources.files.contains_key(*name));
            let gone: Vec<&Arc<Look>> = gone.filter_map(|name| step.served.get(name)).collect();
            let (before, now) = (&step.places.catalog, &mix.places.catalog);
            let Fragments { missed: known, sources, .. } = self;
            let removal = Removal { before, now, touched: &mix.touched, gone: &gone, missed: known, sources };
            let (accidents, would_go) = removal.findings();
            missed = would_go;
            if !accidents.is_empty() {
                holds.push(Hold::Removal);
            }
            findings.extend(accidents);
        }
        if !first && self.surroundings.is_incomplete() {
            holds.push(Hold::Variables);
            findings.extend(self.surroundings.problems().cloned());
        }
        if self.policy.on_error == OnError::Hold && !self.broken.is_empty() {
            holds.push(Hold::Errors);
        }
        Judgement { findings, holds, missed }
    }

    /// References that nothing satisfies; an error if it is new and requests depend on it.
    fn unresolved(&self, step: &Step<'_>, accept: Accept) -> Vec<Diagnostic> {
        let &Step { places, mix, is_first: first, .. } = step;
        let (before, now) = (&places.catalog, &mix.places.catalog);
        // What is missing may stand in a file that could not be read.
        let is_lacking = self.is_incomplete();
        let external = &self.policy.external_clusters;
        let references = References { before, now, external, is_lacking };
        let at_first = if is_lacking { Severity::Warning } else { self.policy.unresolved };
        let severity = |dangling: &load::Dangling<'_>| match dangling.is_urgent() {
            true if first => at_first,
            true if !accept.unresolved => Severity::Error,
            _ => Severity::Warning,
        };
        let dangling = references.dangling(&mix.touched);
        let weighed: Vec<_> = dangling.iter().map(|dangling| (*dangling, severity(dangling))).collect();
        let mut findings = references.findings(&weighed);
        findings.extend(references.unused_endpoints(&mix.touched));
        findings
    }
}
