//! The thread between the files and the store: waits for changes, loads them, publishes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use tokio::sync::oneshot;

use super::control::{Job, ReloadResponse};
use super::fragments::Fragments;
use super::hall::Hall;
use super::outcome::{Outcome, Verdict};
use super::standing::Condition;
use super::state::State;
use super::systemd::Pulse;
use super::{AppError, DRAIN, Reporter, Settings};
use crate::snapshot::Snapshot;
use crate::source::{Handle, Next, Watch};

/// The thread, from outside.
pub struct Loading {
    /// Asks it to look at the files, or to end.
    pub files: Handle,
    /// What it does once it has looked.
    pub jobs: Sender<Job>,
    /// Closed when it has ended, however that came.
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Loading {
    /// Waits until it has ended.
    pub async fn ended(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.ended).await;
    }

    /// Waits until it has ended, and tells whether it broke.
    pub fn join(self) -> Result<(), AppError> {
        self.thread.join().map_err(|_| AppError::Serve("the thread that loads files panicked".into()))
    }
}

/// Starts the thread; it ends when it is told to stop.
pub fn start(
    hall: &Hall,
    settings: &Settings,
    reporter: Arc<dyn Reporter>,
    pulse: Pulse,
) -> Result<Loading, AppError> {
    let watching = Watch::new(settings.source.clone())?;
    let files = watching.handle();
    let (state, saved) = State::open(settings.state_dir.as_deref())
        .map_err(|error| AppError::System { what: "a thread to keep state", error })?;
    let fragments = Fragments::new(hall.api.clone(), settings.policy.clone(), saved)
        .with_variables(settings.variables.clone())
        .with_all_saved(state.is_whole());
    let (jobs, asked) = mpsc::channel();
    let (alive, ended) = oneshot::channel();
    let mut loader = Loader {
        watching,
        fragments,
        hall: hall.clone(),
        reporter,
        state,
        jobs: asked,
        watched: BTreeSet::new(),
        pulse,
    };
    let work = move || {
        let _alive: oneshot::Sender<()> = alive;
        loader.run();
    };
    let thread = std::thread::Builder::new()
        .name("load".into())
        .spawn(work)
        .map_err(|error| AppError::System { what: "a thread to load files", error })?;
    Ok(Loading { files, jobs, ended, thread })
}

/// The only one that publishes.
struct Loader {
    watching: Watch,
    fragments: Fragments,
    hall: Hall,
    reporter: Arc<dyn Reporter>,
    state: State,
    /// What the control API asks for.
    jobs: Receiver<Job>,
    /// The files beside the fragments that are watched.
    watched: BTreeSet<PathBuf>,
    /// Tells that the thread works.
    pulse: Pulse,
}

impl Loader {
    fn run(&mut self) {
        self.watch_wanted();
        loop {
            let mut outcome = None;
            self.pulse.beat();
            self.hall.board.life.waits();
            let next = self.watching.next(self.pulse.every());
            self.hall.board.life.works();
            match next {
                Next::Changed(change) => {
                    let start = Instant::now();
                    let is_complete = self.fragments.stage(&change.sources, &change.changed);
                    // Of files beside, only what a fragment draws on is news.
                    let is_news = self.fragments.has_staged() || change.changed_extra.is_empty();
                    if is_complete && is_news {
                        let mut new = self.fragments.update(&change.sources, &[]);
                        // With the reading of what it is made of.
                        new.took = start.elapsed();
                        self.publish(&new);
                        outcome = Some(new);
                    }
                    self.watch_wanted();
                    if change.looked {
                        self.do_jobs(outcome.as_ref());
                    }
                }
                Next::Looked => {
                    self.reporter.nothing_new();
                    self.do_jobs(None);
                }
                Next::Idle => {}
                Next::Stopped => return self.state.finish(DRAIN),
            }
        }
    }

    /// What fragments name is read with the next value, and watched as they are.
    fn watch_wanted(&mut self) {
        let wanted = self.fragments.wanted();
        if wanted != self.watched {
            self.watching.also(wanted.iter().cloned());
            self.watched = wanted;
        }
    }

    fn publish(&mut self, outcome: &Outcome) {
        // Places first: a refusal that comes back at once already finds them.
        self.hall.record.set_places(self.fragments.places());
        let unsaved = self.fragments.take_unsaved();
        self.state.announce(&unsaved);
        if let Verdict::Publish(snapshot) | Verdict::Restored(snapshot, _) = &outcome.verdict {
            let seen = Instant::now().checked_sub(outcome.took).unwrap_or_else(Instant::now);
            self.hall.store.publish(snapshot.clone().seen_at(seen));
        }
        self.hall.board.looked(outcome, &self.fragments, &unsaved, &self.hall.store);
        self.reporter.looked(outcome, &self.hall.store);
        // Last: what is on the disk matters at the next start, what is served matters now.
        self.state.keep(unsaved);
    }

    /// Everything has been looked at; `outcome` is what came of it, if anything was new.
    fn do_jobs(&mut self, outcome: Option<&Outcome>) {
        let mut told = None;
        while let Ok(job) = self.jobs.try_recv() {
            let accepted = self.fragments.accept(job.accept);
            // Several may ask at once, and the look itself has been told of.
            let is_told = told.as_ref().or(outcome).is_some_and(|told: &Outcome| told.says_all_of(&accepted));
            if !matches!(accepted.verdict, Verdict::Unchanged) && !is_told {
                self.publish(&accepted);
            }
            // Who asked may be gone.
            let _ = job.answer.send(self.answer(outcome, &accepted));
            told = Some(accepted);
        }
    }

    fn answer(&self, looked: Option<&Outcome>, accepted: &Outcome) -> ReloadResponse {
        let mut response = ReloadResponse {
            generation: self.hall.store.current().generation(),
            ..ReloadResponse::default()
        };
        for outcome in looked.into_iter().chain([accepted]) {
            if let Verdict::Publish(snapshot) | Verdict::Restored(snapshot, _) = &outcome.verdict {
                count(snapshot, &mut response);
            }
        }
        if let Verdict::Held(holds) | Verdict::Restored(_, holds) = &accepted.verdict {
            response.held = holds.iter().map(ToString::to_string).collect();
        }
        let standings = self.fragments.standings();
        response.problems = standings
            .values()
            .filter(|standing| standing.state != Condition::Good)
            .map(|standing| match &standing.state {
                // Why is said for all of them, once.
                Condition::Held(_) => format!("{} is held back", standing.path),
                state => format!("{} {state}", standing.path),
            })
            .collect();
        let fragments = self.hall.board.seen().fragments(SystemTime::now());
        response.findings = fragments.into_iter().flat_map(|fragment| fragment.findings).collect();
        response
    }
}

fn count(snapshot: &Snapshot, response: &mut ReloadResponse) {
    let tally = snapshot.tally(0);
    response.added += tally.added as u32;
    response.changed += tally.changed as u32;
    response.removed += tally.removed as u32;
}
