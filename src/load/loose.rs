//! Loose ends: what is served and names what no fragment defines, or is used by nothing.
//!
//! Comes in: each step from what was served to what is. Goes out: all findings of this kind, when somebody
//! asks; the references of a step say only what that step brought. The cost of a step follows the change.

use std::borrow::Cow;
use std::collections::BTreeSet;

use imbl::OrdSet;

use super::catalog::{Catalog, Home, Key};
use super::unresolved::References;
use crate::diagnostic::{Diagnostic, Severity};
use crate::resource::Name;

/// The items at whose end something is missing. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct LooseEnds(OrdSet<Key>);

impl LooseEnds {
    /// Takes the step from `before` to `now`, in which the `touched` items differ.
    pub fn follow(
        &mut self,
        before: &Catalog,
        now: &Catalog,
        touched: &BTreeSet<Key>,
        external: &BTreeSet<Name>,
    ) {
        let concerned = concerned(before, now, touched);
        // Mostly nothing is loose.
        if !self.0.is_empty() {
            concerned.iter().for_each(|key| drop(self.0.remove(key)));
        }
        let references = References { before: now, now, external, is_lacking: false };
        let dangling = references.dangling(&concerned).into_iter();
        self.0.extend(dangling.map(|dangling| (dangling.by.0, dangling.by.1.clone())));
        self.0.extend(references.unused(&concerned).into_iter().map(|(key, _)| key));
    }

    /// What is loose now, as warnings: it is served.
    pub fn findings(&self, now: &Catalog, external: &BTreeSet<Name>) -> Vec<Diagnostic> {
        let references = References { before: now, now, external, is_lacking: false };
        let keys: BTreeSet<Key> = self.0.iter().cloned().collect();
        let dangling = references.dangling(&keys);
        let weighed: Vec<_> = dangling.into_iter().map(|dangling| (dangling, Severity::Warning)).collect();
        let mut findings = references.findings(&weighed);
        findings.extend(references.unused_endpoints(&keys));
        findings
    }
}

/// The touched items, those that name what is there for others now, and what they use or used.
fn concerned<'t>(before: &Catalog, now: &Catalog, touched: &'t BTreeSet<Key>) -> Cow<'t, BTreeSet<Key>> {
    if before.is_empty() {
        return Cow::Borrowed(touched);
    }
    let mut concerned = touched.clone();
    for key in touched {
        let both = [before, now].map(|catalog| catalog.homes(key.0, &key.1));
        concerned.extend(both.into_iter().flatten().flat_map(Home::endpoints));
        let audiences = both.map(|homes| homes.iter().map(|home| &home.nodes));
        let [of_before, of_now] = audiences;
        if !of_before.eq(of_now) {
            concerned.extend(now.named_by(key).map(|(kind, name)| (kind, name.clone())));
        }
    }
    Cow::Owned(concerned)
}
