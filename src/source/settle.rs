//! Patience: which untrusted changes wait, and until when.
//!
//! In go places that look different than before, out come those that may be read. Invariant: a
//! place is given out when *all* waiting places have been quiet, so that a `git checkout` is seen
//! whole; or, when that takes too long, when it has been quiet itself; or after twice that time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::known::Place;
use super::scan::Seen;

/// A change that is not believed yet.
#[derive(Debug)]
pub(super) struct Waiting {
    /// What stood there when it was last looked at; `None` is nothing.
    pub(super) seen: Option<Seen>,
    since: Instant,
    last: Instant,
}

/// All changes that are not believed yet.
#[derive(Debug)]
pub(super) struct Settle {
    quiet: Duration,
    limit: Duration,
    waiting: BTreeMap<Place, Waiting>,
    /// When the present period of waiting began.
    first: Option<Instant>,
    last: Instant,
}

impl Settle {
    pub(super) fn new(quiet: Duration, limit: Duration, now: Instant) -> Settle {
        Settle { quiet, limit: limit.max(quiet), waiting: BTreeMap::new(), first: None, last: now }
    }

    pub(super) fn quiet(&self) -> Duration {
        self.quiet
    }

    /// The longest time that a change can wait.
    pub(super) fn longest(&self) -> Duration {
        self.limit * 2
    }

    pub(super) fn waiting(&self) -> &BTreeMap<Place, Waiting> {
        &self.waiting
    }

    /// The place looks like this, differently than what is known of it. `written` says that it
    /// was just written to, even if it looks as it did when it began to wait. `before` is its
    /// entry of [`Settle::take_due`], if it is put back: its time is not forgotten.
    pub(super) fn wait(
        &mut self,
        place: &Place,
        seen: Option<Seen>,
        now: Instant,
        written: bool,
        before: Option<&Waiting>,
    ) {
        if let Some(waiting) = self.waiting.get_mut(place) {
            if written || waiting.seen != seen {
                waiting.last = now;
                self.last = now;
            }
            waiting.seen = seen;
        } else {
            let since = before.map_or(now, |before| before.since);
            self.waiting.insert(place.clone(), Waiting { seen, since, last: now });
            self.first.get_or_insert(now);
            self.last = now;
        }
    }

    /// The place needs not wait any more.
    pub(super) fn forget(&mut self, place: &Place) {
        self.waiting.remove(place);
        if self.waiting.is_empty() {
            self.first = None;
        }
    }

    /// When [`Settle::take_due`] will have something to say.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.first.map(|first| (first + self.limit).min(self.last + self.quiet))
    }

    /// Whether a place is read now even if it has changed since it was last looked at.
    pub(super) fn is_overdue(&self, waiting: &Waiting, now: Instant) -> bool {
        now >= waiting.since + self.longest()
    }

    /// Takes out what may be read.
    pub(super) fn take_due(&mut self, now: Instant) -> BTreeMap<Place, Waiting> {
        let Some(first) = self.first else { return BTreeMap::new() };
        if now >= self.last + self.quiet {
            self.first = None;
            return std::mem::take(&mut self.waiting);
        }
        if now < first + self.limit {
            return BTreeMap::new();
        }
        let (due, rest): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(_, waiting)| now >= waiting.last + self.quiet || self.is_overdue(waiting, now));
        self.waiting = rest;
        self.first = (!self.waiting.is_empty()).then_some(now);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::super::known::Root;
    use super::*;

    fn place(name: &str) -> Place {
        Place { root: Root::Layer(0), rel: name.into() }
    }

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    fn settle(start: Instant) -> Settle {
        Settle::new(Duration::from_millis(300), Duration::from_secs(3), start)
    }

    #[test]
    fn all_wait_for_the_last_one() {
        let start = Instant::now();
        let mut settle = settle(start);
        settle.wait(&place("a"), None, start, true, None);
        settle.wait(&place("b"), None, at(start, 200), true, None);
        assert_eq!(settle.deadline(), Some(at(start, 500)));
        assert!(settle.take_due(at(start, 499)).is_empty());
        assert_eq!(settle.take_due(at(start, 500)).len(), 2);
        assert_eq!(settle.deadline(), None);
    }

    #[test]
    fn a_look_alone_does_not_prolong_the_wait() {
        let start = Instant::now();
        let mut settle = settle(start);
        settle.wait(&place("a"), None, start, true, None);
        settle.wait(&place("a"), None, at(start, 200), false, None);
        assert_eq!(settle.deadline(), Some(at(start, 300)));
    }

    #[test]
    fn one_that_never_rests_does_not_hold_the_others_for_ever() {
        let start = Instant::now();
        let mut settle = settle(start);
        settle.wait(&place("calm"), None, start, true, None);
        let mut due = Vec::new();
        for millis in (0..=6_000).step_by(100) {
            let now = at(start, millis);
            settle.wait(&place("restless"), None, now, true, None);
            due.extend(settle.take_due(now).into_keys().map(|place| (millis, place.rel)));
        }
        assert_eq!(due, [(3_000, "calm".into()), (6_000, "restless".into())]);
    }

    #[test]
    fn what_is_put_back_keeps_its_age() {
        let start = Instant::now();
        let mut settle = settle(start);
        settle.wait(&place("a"), None, start, true, None);
        let mut now = start;
        for _ in 0..20 {
            now = settle.deadline().expect("something waits");
            let due = settle.take_due(now);
            let before = &due[&place("a")];
            if settle.is_overdue(before, now) {
                break;
            }
            settle.wait(&place("a"), None, now, true, Some(before));
        }
        assert_eq!(now, at(start, 6_000));
    }
}
