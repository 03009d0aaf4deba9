//! How each fragment stands: served as it is, or since when and why not.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Why a change is held back as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// Files contradict each other.
    Contradiction,
    /// Requests would go to what no fragment defines.
    Unresolved,
    /// So much would be removed that it looks like an accident.
    Removal,
    /// A fragment has errors, and errors are to hold everything.
    Errors,
    /// An env file cannot be read since the start, and fragments would fall back to their defaults.
    Variables,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hold::Contradiction => "fragments contradict each other",
            Hold::Unresolved => {
                "requests would go to what no fragment defines; it is taken over when the missing part arrives, \
                 or with `xds-bridge reload --accept-unresolved`"
            }
            Hold::Removal => {
                "so much would be removed that it must be confirmed, with `xds-bridge reload --accept-removals`"
            }
            Hold::Errors => "a fragment has errors, and `--on-error hold` is set",
            Hold::Variables => "an env file cannot be read, and what it held is not known; mend it",
        })
    }
}

/// Several reasons, in words.
pub fn reasons(holds: &[Hold]) -> String {
    holds.iter().map(Hold::to_string).collect::<Vec<_>>().join("; and ")
}

/// What becomes of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is served as it stands in its file.
    Good,
    /// It has errors; its last good content is served.
    Stale,
    /// It has errors, and there is no good content of it.
    Refused,
    /// It is good, and waits with all other changes, for these reasons. Also a removal can be held.
    Held(Arc<[Hold]>),
    /// It is good, and nothing is served yet.
    Waiting,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Condition::Good => "is served",
            Condition::Stale => "has errors; its last good content is served",
            Condition::Refused => "has errors and is not served",
            Condition::Held(holds) => return write!(f, "is held back: {}", reasons(holds)),
            Condition::Waiting => "is good, and waits for others",
        })
    }
}

/// How a fragment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its path, as people name it.
    pub path: Arc<str>,
    /// What becomes of it.
    pub state: Condition,
    /// Since when.
    pub since: SystemTime,
    /// How many errors and warnings its newest content has.
    pub findings: usize,
}
