//! What is served and may be wrong all the same: for whoever looks later than the log.
//!
//! Comes in: what is served of each file, and where. Goes out: how much is loose
//! between files, and the first warnings, each where it stands. Found out when somebody asks.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use imbl::OrdMap;

use super::look::{FileName, Look};
use super::mix::Places;
use crate::admin::{self, Finding};
use crate::diagnostic::{self, Diagnostic, Severity};
use crate::resource::Name;

/// Warnings that are shown; of more, only the number is told.
const MAX_WARNINGS: usize = 20;

/// Warnings of what is served.
#[derive(Debug, Default)]
pub struct Warnings {
    /// How many there are that no file has for itself.
    pub across: u64,
    /// The first of all: those, then each file's own.
    pub first: Vec<Finding>,
}

impl Warnings {
    /// Those of these files.
    pub fn of(
        places: &Places,
        external: &BTreeSet<Name>,
        newest: &OrdMap<FileName, Arc<Look>>,
        served: &OrdMap<FileName, Arc<Look>>,
    ) -> Warnings {
        let mut across = places.loose_ends(external);
        across.retain(|finding| finding.severity == Severity::Warning);
        // Of very many, not all are found out.
        let count = across.len().max(places.loose_items()) as u64;
        across.truncate(MAX_WARNINGS);
        let is_newest = |look: &Arc<Look>| newest.get(&look.name).is_some_and(|of| Arc::ptr_eq(of, look));
        let mut looks = Vec::new();
        places.place(&mut across, is_newest, &mut looks);
        let mut first = shown(&across, &looks);
        for look in served.values() {
            let room = MAX_WARNINGS - first.len();
            let own = look.loaded.diagnostics.iter().filter(|own| own.severity == Severity::Warning);
            let own: Vec<Diagnostic> = own.take(room).cloned().collect();
            if !own.is_empty() {
                first.extend(shown(&own, std::slice::from_ref(look)));
            }
        }
        Warnings { across: count, first }
    }
}

/// Findings with the lines and columns of these files.
pub fn shown(findings: &[Diagnostic], looks: &[Arc<Look>]) -> Vec<Finding> {
    let text = |look: &Arc<Look>| Some((look.path.clone(), look.text()?));
    let texts: HashMap<Arc<str>, String> = looks.iter().filter_map(text).collect();
    let located = diagnostic::located(findings, |file| texts.get(file).map(String::as_str));
    located.iter().map(admin::finding).collect()
}
