//! What to serve and what to hold back, as its owner wants it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diagnostic::Severity;
use crate::load::Severities;
use crate::resource::Name;

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
    pub external_clusters: Arc<BTreeSet<Name>>,
    /// How much each rule matters.
    pub severities: Severities,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            allow_empty: false,
            on_error: OnError::Contain,
            // What is missing may be elsewhere, and was missing before.
            unresolved: Severity::Warning,
            external_clusters: Arc::default(),
            severities: Severities::default(),
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
