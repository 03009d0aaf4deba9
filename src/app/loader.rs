//! The thread between the files and the store: waits for changes, loads them, publishes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use tokio::sync::mpsc;

use super::board::Board;
use super::control::{Job, ReloadResponse};
use super::fragments::Fragments;
use super::outcome::{Outcome, Verdict};
use super::record::Record;
use super::standing::Condition;
use super::state::State;
use super::systemd::Pulse;
use super::{AppError, DRAIN, Reporter};
use crate::snapshot::{Snapshot, Store};
use crate::source::{Next, Watch};

/// The only one that publishes.
pub struct Loader {
    pub watching: Watch,
    pub fragments: Fragments,
    pub store: Arc<Store>,
    pub record: Arc<Record>,
    pub reporter: Arc<dyn Reporter>,
    /// What people may know of the files.
    pub board: Arc<Board>,
    pub state: State,
    /// What the control API asks for.
    pub jobs: Receiver<Job>,
    /// The files beside the fragments that are watched.
    pub watched: BTreeSet<PathBuf>,
    /// Tells that the thread works.
    pub pulse: Pulse,
    /// Dropped when the thread ends, however it ends.
    pub _ended: mpsc::Sender<()>,
}

impl Loader {
    /// Starts the thread; it ends when the watch is stopped.
    pub fn start(mut self) -> Result<JoinHandle<()>, AppError> {
        std::thread::Builder::new()
            .name("load".into())
            .spawn(move || self.run())
            .map_err(|error| AppError::System { what: "a thread to load files", error })
    }

    fn run(&mut self) {
        self.watch_wanted();
        loop {
            let mut outcome = None;
            self.pulse.beat();
            self.board.life.waits();
            let next = self.watching.next(self.pulse.every());
            self.board.life.works();
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
        self.record.set_places(self.fragments.places());
        if let Verdict::Publish(snapshot) | Verdict::Restored(snapshot, _) = &outcome.verdict {
            let seen = Instant::now().checked_sub(outcome.took).unwrap_or_else(Instant::now);
            self.store.publish(snapshot.clone().seen_at(seen));
        }
        let unsaved = self.fragments.take_unsaved();
        self.board.looked(outcome, &self.fragments, &unsaved, &self.store);
        self.reporter.looked(outcome, &self.store);
        // Last: what is on the disk matters at the next start, what is served matters now.
        self.state.keep(unsaved);
    }

    /// Everything has been looked at; `outcome` is what came of it, if anything was new.
    fn do_jobs(&mut self, outcome: Option<&Outcome>) {
        while let Ok(job) = self.jobs.try_recv() {
            let accepted = self.fragments.accept(job.accept);
            if !matches!(accepted.verdict, Verdict::Unchanged) {
                self.publish(&accepted);
            }
            let answer = self.answer(outcome, &accepted);
            // Who asked may be gone.
            let _ = job.answer.send(answer);
        }
    }

    fn answer(&self, looked: Option<&Outcome>, accepted: &Outcome) -> ReloadResponse {
        let mut response =
            ReloadResponse { generation: self.store.current().generation(), ..ReloadResponse::default() };
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
        let fragments = self.board.seen().fragments(SystemTime::now());
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
