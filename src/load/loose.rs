//! Loose ends: what is served and names what no fragment defines, or is used by nothing.
//!
//! Comes in: each step from what was served to what is. Goes out: all findings of this kind, when somebody
//! asks; the references of a step say only what that step brought. The cost of a step follows the change.

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
        let references = References { before: now, now, external, is_lacking: false };
        for key in touched {
            self.look_at(key, &references);
            // At a start all are touched.
            if before.is_empty() {
                continue;
            }
            let both = [before, now].map(|catalog| catalog.homes(key.0, &key.1));
            for used in both.into_iter().flatten().flat_map(Home::endpoints) {
                self.look_at(&used, &references);
            }
            let [of_before, of_now] = both.map(|homes| homes.iter().map(|home| &home.nodes));
            if !of_before.eq(of_now) {
                self.look_at_users(key, &references);
            }
        }
    }

    fn look_at(&mut self, key: &Key, references: &References<'_>) {
        if references.is_dangling((key.0, &key.1), None) || references.is_unused(key) {
            self.0.insert(key.clone());
        } else if !self.0.is_empty() {
            self.0.remove(key);
        }
    }

    /// One may name thousands: of what it names besides, nothing changed.
    fn look_at_users(&mut self, target: &Key, references: &References<'_>) {
        for (kind, name) in references.now.named_by(target) {
            let by = (kind, name.clone());
            if references.is_dangling((kind, name), Some(target)) {
                self.0.insert(by);
            } else if self.0.contains(&by) {
                self.look_at(&by, references);
            }
        }
    }

    /// How many items are loose now.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// What is loose now, as warnings: it is served. If there is very much, not all.
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
