//! What the loader tells of the files, for whoever asks: how they stand now, and the last outcomes.
//!
//! Comes in: each outcome, with tables that are shared and not copied. Goes out: counts, findings and
//! certificates, found out once for each outcome and only when somebody asks. Never holds the loader up.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use imbl::OrdMap;

use super::fragments::Fragments;
use super::life::Life;
use super::look::{FileName, Look};
use super::mix::Places;
use super::outcome::{Outcome, Verdict};
use super::standing::{Condition, Hold, Standing};
use super::warnings::{Warnings, shown};
use crate::admin::{self, Certificate, Entry, Finding, Fragment, Loads, MAX_ENTRIES, MAX_NAMES};
use crate::diagnostic::{Diagnostic, Severity};
use crate::resource::Name;
use crate::snapshot::Store;
use crate::source::{DirState, Directory};

/// Findings that are shown of one fragment.
const MAX_FINDINGS: usize = 5;

/// Fragments that are listed.
const MAX_FRAGMENTS: usize = 200;

/// A file, and what is served of it now; none: nothing any more.
type Served = (FileName, Option<Arc<Look>>);

/// What is known of the files.
#[derive(Debug, Default)]
pub struct Board {
    seen: ArcSwap<Seen>,
    history: Mutex<VecDeque<Entry>>,
    looks: AtomicU64,
    /// How long loads took.
    pub loads: Loads,
    /// Whether the loader is alive.
    pub life: Life,
}

/// How the files stood after an outcome.
#[derive(Debug, Default)]
pub struct Seen {
    standings: OrdMap<FileName, Standing>,
    newest: OrdMap<FileName, Arc<Look>>,
    served: OrdMap<FileName, Arc<Look>>,
    places: Places,
    /// Clusters that the Envoys' own bootstrap has.
    external: Arc<BTreeSet<Name>>,
    dirs: Arc<[Directory]>,
    /// What is wrong with files that their text alone does not show, such as that they are empty now.
    beside: Vec<(Arc<Look>, Finding)>,
    /// What is wrong with how files fit together.
    across: Vec<Finding>,
    /// What is wrong with what fragments stand in or draw on: directories, env files.
    around: Vec<Diagnostic>,
    /// Why nothing is served yet.
    not_ready: Option<String>,
    /// When what is served was published.
    pub published: Option<SystemTime>,
    facts: OnceLock<Facts>,
}

/// What is found out of them on demand.
#[derive(Debug)]
pub struct Facts {
    /// Fragments by state.
    pub files: BTreeMap<String, u64>,
    /// Findings by severity.
    pub findings: BTreeMap<String, u64>,
    /// Why changes are held.
    pub held: Vec<Hold>,
    /// Certificates of what is served.
    pub certificates: Vec<Certificate>,
    /// The first warnings.
    pub warnings: Vec<Finding>,
}

impl Board {
    /// How the files stand.
    pub fn seen(&self) -> Arc<Seen> {
        self.seen.load_full()
    }

    /// Counts the outcomes.
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// The last outcomes, the newest first.
    pub fn history(&self, limit: usize) -> Vec<Entry> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.iter().rev().take(limit).cloned().collect()
    }

    /// Takes what came of a look; `served` are the files of which something else is served now.
    pub fn looked(&self, outcome: &Outcome, fragments: &Fragments, served: &[Served], store: &Store) {
        let now = SystemTime::now();
        let label = label(&outcome.verdict);
        let new = match &outcome.verdict {
            Verdict::Publish(snapshot) | Verdict::Restored(snapshot, _) => Some(snapshot),
            _ => None,
        };
        let is_news = new.is_some()
            || !matches!(outcome.verdict, Verdict::Unchanged)
            || outcome.diagnostics.iter().any(Diagnostic::is_error);
        self.loads.observe(label, outcome.took);
        if is_news {
            let mut entry = admin::entry(now, label, store.current().generation(), new);
            let files = files(outcome, fragments, new.map(|_| served));
            entry.file_count = files.len() as u64;
            entry.files = files.iter().take(MAX_NAMES).map(ToString::to_string).collect();
            entry.why = why(outcome);
            entry.took_micros = u64::try_from(outcome.took.as_micros()).unwrap_or(u64::MAX);
            self.remember(entry, outcome.files_loaded > 0);
        }
        let beside = beside(&self.seen.load().beside, outcome, fragments);
        let around = fragments.wrong_beside();
        let published = if new.is_some() { Some(now) } else { self.seen.load().published };
        self.seen.store(Arc::new(Seen {
            standings: fragments.standings(),
            newest: fragments.newest(),
            served: fragments.served(),
            places: fragments.places(),
            external: fragments.external(),
            dirs: fragments.dirs(),
            across: across(outcome, &beside, &around),
            beside,
            around,
            not_ready: not_ready(outcome),
            published,
            facts: OnceLock::new(),
        }));
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps an entry, unless it only says again what the last one said.
    fn remember(&self, entry: Entry, is_of_files: bool) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let says_the_same = |last: &Entry| {
            (&last.outcome, last.generation, &last.why) == (&entry.outcome, entry.generation, &entry.why)
        };
        if !is_of_files && entry.outcome != "published" && history.back().is_some_and(says_the_same) {
            return;
        }
        if history.len() == MAX_ENTRIES {
            history.pop_front();
        }
        history.push_back(entry);
    }
}

/// The files that an outcome is about: those of which something else is served now, else those that were
/// loaded, else those that wait.
fn files(outcome: &Outcome, fragments: &Fragments, served: Option<&[Served]>) -> Vec<Arc<str>> {
    if let Some(served) = served {
        return served
            .iter()
            .map(|(name, look)| look.as_ref().map_or(name, |look| &look.path).clone())
            .collect();
    }
    let loaded = outcome.looks.iter().take(outcome.files_loaded).map(|look| look.path.clone());
    if outcome.files_loaded > 0 {
        return loaded.collect();
    }
    let standings = fragments.standings();
    let waiting = standings.values().filter(|standing| matches!(standing.state, Condition::Held(_)));
    waiting.map(|standing| standing.path.clone()).collect()
}

fn label(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Publish(_) => "published",
        Verdict::Restored(..) => "restored",
        Verdict::Unchanged => "unchanged",
        Verdict::Held(_) => "held",
        Verdict::NotYet | Verdict::Empty => "not_ready",
    }
}

fn why(outcome: &Outcome) -> Vec<String> {
    let errors = outcome.diagnostics.iter().filter(|finding| finding.is_error()).count();
    let errors = (errors > 0).then(|| format!("{errors} error{}", if errors == 1 { "" } else { "s" }));
    let holds = match &outcome.verdict {
        Verdict::Held(holds) | Verdict::Restored(_, holds) => holds.as_slice(),
        _ => &[],
    };
    holds.iter().map(ToString::to_string).chain(errors).collect()
}

fn not_ready(outcome: &Outcome) -> Option<String> {
    match &outcome.verdict {
        Verdict::NotYet => Some(
            "not serving yet: a first start needs every fragment to be right; mend those with errors".into(),
        ),
        Verdict::Empty => Some("waiting for the first fragment".into()),
        _ => None,
    }
}

/// What is wrong with files whose text is right: what was `known` of them and is still so, and what is new.
fn beside(
    known: &[(Arc<Look>, Finding)],
    outcome: &Outcome,
    fragments: &Fragments,
) -> Vec<(Arc<Look>, Finding)> {
    if outcome.broken == 0 {
        return Vec::new();
    }
    let (newest, standings) = (fragments.newest(), fragments.standings());
    let is_so = |look: &Arc<Look>| {
        let state = standings.get(&look.name).map(|standing| &standing.state);
        let is_newest = newest.get(&look.name).is_some_and(|newest| Arc::ptr_eq(newest, look));
        is_newest && matches!(state, Some(Condition::Stale | Condition::Refused))
    };
    let known = known.iter().filter(|(look, _)| is_so(look)).cloned();
    let loaded = outcome.looks.iter().take(outcome.files_loaded);
    let new = loaded.filter(|look| !look.has_errors() && is_so(look)).flat_map(|look| {
        let of = outcome.diagnostics.iter().filter(|finding| finding.is_error() && finding.file == look.path);
        let of: Vec<Diagnostic> = of.take(MAX_FINDINGS).cloned().collect();
        shown(&of, std::slice::from_ref(look)).into_iter().map(|finding| (look.clone(), finding))
    });
    known.chain(new).take(MAX_FRAGMENTS).collect()
}

/// What holds a change as a whole, or keeps a first start from being served, and is no fault of one file.
fn across(outcome: &Outcome, beside: &[(Arc<Look>, Finding)], around: &[Diagnostic]) -> Vec<Finding> {
    if matches!(outcome.verdict, Verdict::Publish(_) | Verdict::Unchanged) {
        return Vec::new();
    }
    let looks: HashMap<&str, &Arc<Look>> = outcome.looks.iter().map(|look| (&*look.path, look)).collect();
    let is_own = |finding: &Diagnostic| {
        looks.get(&*finding.file).is_some_and(|look| look.loaded.diagnostics.contains(finding))
    };
    let errors = outcome.diagnostics.iter().filter(|finding| finding.is_error() && !is_own(finding));
    let errors = errors.filter(|finding| !around.contains(finding));
    let errors: Vec<Diagnostic> = errors.take(MAX_FRAGMENTS).cloned().collect();
    let files = |finding: &Diagnostic| -> Vec<Arc<str>> {
        let related = finding.related.iter().map(|related| related.file.clone());
        related.chain([finding.file.clone()]).collect()
    };
    let named: HashSet<Arc<str>> = errors.iter().flat_map(files).collect();
    let named: Vec<Arc<Look>> =
        named.iter().filter_map(|file| looks.get(&**file).copied().cloned()).collect();
    let mut findings = shown(&errors, &named);
    findings.retain(|finding| beside.iter().all(|(_, known)| known != finding));
    findings
}

impl Seen {
    /// Counts, and what else takes a walk over all files.
    pub fn facts(&self) -> &Facts {
        self.facts.get_or_init(|| {
            let names = ["good", "stale", "refused", "held", "waiting"];
            let mut files: BTreeMap<String, u64> = names.map(|name| (name.to_owned(), 0)).into();
            let mut held: Vec<Hold> = Vec::new();
            for standing in self.standings.values() {
                *files.entry(state(&standing.state).to_owned()).or_default() += 1;
                if let Condition::Held(holds) = &standing.state {
                    held.extend(holds.iter());
                }
            }
            held.sort();
            held.dedup();
            let severities = ["error", "warning", "note"];
            let mut findings: BTreeMap<String, u64> = severities.map(|name| (name.to_owned(), 0)).into();
            for finding in self.newest.values().flat_map(|look| &look.loaded.diagnostics) {
                *findings.entry(admin::severity(finding.severity).to_owned()).or_default() += 1;
            }
            for finding in self.beside.iter().map(|(_, finding)| finding).chain(&self.across) {
                *findings.entry(finding.severity.clone()).or_default() += 1;
            }
            for finding in &self.around {
                *findings.entry(admin::severity(finding.severity).to_owned()).or_default() += 1;
            }
            let Warnings { across, first } =
                Warnings::of(&self.places, &self.external, &self.newest, &self.served);
            *findings.entry(admin::severity(Severity::Warning).to_owned()).or_default() += across;
            Facts { files, findings, held, certificates: self.certificates(), warnings: first }
        })
    }

    fn certificates(&self) -> Vec<Certificate> {
        let of = |look: &Arc<Look>| {
            let items = look.loaded.items.iter();
            let expiring = items.filter_map(|item| Some((item.expires()?, &item.resource)));
            let path = look.path.to_string();
            let certificate = |(expires, resource): (i64, &Arc<crate::resource::Resource>)| Certificate {
                kind: resource.kind().fragment_key(),
                resource: resource.name().to_string(),
                file: path.clone(),
                expires,
            };
            expiring.map(certificate).collect::<Vec<_>>()
        };
        self.served.values().flat_map(of).collect()
    }

    /// Why nothing is served yet, what holds changes, and what is wrong around the fragments.
    pub fn problems(&self, is_loaded: bool) -> Vec<String> {
        let held = self.facts().held.iter().map(ToString::to_string);
        let mut problems = self.not_ready(is_loaded);
        problems.extend(held);
        problems.extend(self.around());
        problems
    }

    /// Why nothing is served yet.
    pub fn not_ready(&self, is_loaded: bool) -> Vec<String> {
        if is_loaded {
            return Vec::new();
        }
        let why = self.not_ready.clone().unwrap_or_else(|| "the first load is not done yet".into());
        let missing = self.dirs.iter().filter(|dir| dir.state == DirState::Missing);
        [why].into_iter().chain(missing.map(|dir| format!("{} does not exist yet", dir.path))).collect()
    }

    /// What is wrong with directories and env files, and lasts.
    pub fn around(&self) -> impl Iterator<Item = String> {
        self.around.iter().map(|finding| {
            let hint = finding.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("{}: {}{hint}", finding.file, finding.message)
        })
    }

    /// The fragments that are not served as their files stand, and what is wrong with them.
    pub fn fragments(&self, now: SystemTime) -> Vec<Fragment> {
        let not_good = self.standings.iter().filter(|(_, standing)| standing.state != Condition::Good);
        let not_good: Vec<_> = not_good.take(MAX_FRAGMENTS).collect();
        // What is wrong in a file that is served as it stands stays with the first change that is held for it:
        // the route whose cluster was removed.
        let is_listed = |finding: &&Finding| not_good.iter().any(|(_, of)| *of.path == *finding.file);
        let mut elsewhere: Vec<&Finding> = self.across.iter().filter(|finding| !is_listed(finding)).collect();
        let mut fragments = Vec::new();
        for &(name, standing) in &not_good {
            let path = &standing.path;
            let mut own = self.newest.get(name).map(errors).unwrap_or_default();
            let beside = self.beside.iter().filter(|(look, _)| look.name == *name);
            own.extend(beside.map(|(_, finding)| finding.clone()));
            let across = self.across.iter().filter(|finding| finding.file == **path && own.is_empty());
            let held = matches!(standing.state, Condition::Held(_));
            let elsewhere = if held { std::mem::take(&mut elsewhere) } else { Vec::new() };
            let findings = own.iter().chain(across).chain(elsewhere).take(MAX_FINDINGS).cloned().collect();
            fragments.push(Fragment {
                path: path.to_string(),
                state: state(&standing.state).to_owned(),
                since: humantime::format_rfc3339_millis(standing.since).to_string(),
                age_seconds: now.duration_since(standing.since).unwrap_or(Duration::ZERO).as_secs(),
                why: standing.state.to_string(),
                findings,
            });
        }
        fragments
    }
}

fn errors(look: &Arc<Look>) -> Vec<Finding> {
    let errors = look.loaded.diagnostics.iter().filter(|finding| finding.is_error());
    let errors: Vec<Diagnostic> = errors.take(MAX_FINDINGS).cloned().collect();
    shown(&errors, std::slice::from_ref(look))
}

fn state(condition: &Condition) -> &'static str {
    match condition {
        Condition::Good => "good",
        Condition::Stale => "stale",
        Condition::Refused => "refused",
        Condition::Held(_) => "held",
        Condition::Waiting => "waiting",
    }
}
