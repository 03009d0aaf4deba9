//! Whether the work loop is alive: it says when it begins to wait and when it begins to work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The waiting loop looks up at least this often ([`super::systemd`]).
const IDLE: Duration = Duration::from_secs(60);

/// What a look-up may come late on a machine that is busy.
const SLACK: Duration = Duration::from_secs(30);

/// Loading a hundred thousand resources takes seconds; a loop that works for longer is stuck.
const LONGEST_WORK: Duration = Duration::from_secs(300);

/// The last sign of the loop.
#[derive(Debug)]
pub struct Life {
    start: Instant,
    /// Milliseconds since `start`, doubled; odd when the loop works.
    beat: AtomicU64,
}

impl Default for Life {
    fn default() -> Life {
        Life { start: Instant::now(), beat: AtomicU64::new(0) }
    }
}

impl Life {
    /// The loop waits from now on.
    pub fn waits(&self) {
        self.beat.store(self.millis() * 2, Ordering::Relaxed);
    }

    /// The loop works from now on.
    pub fn works(&self) {
        self.beat.store(self.millis() * 2 + 1, Ordering::Relaxed);
    }

    /// What is wrong, if the loop gave no sign for too long.
    pub fn problem(&self) -> Option<String> {
        problem(self.beat.load(Ordering::Relaxed), self.millis())
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX / 4)
    }
}

fn problem(beat: u64, now: u64) -> Option<String> {
    let age = Duration::from_millis(now.saturating_sub(beat / 2));
    match beat % 2 {
        0 if age > IDLE + SLACK => {
            Some(format!("the thread that loads files gave no sign for {} s", age.as_secs()))
        }
        1 if age > LONGEST_WORK => Some(format!("loading files takes {} s already", age.as_secs())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_may_wait_for_a_while_and_work_for_longer() {
        assert_eq!((problem(0, 89_000), problem(1, 299_000)), (None, None));
        assert!(problem(0, 91_000).is_some_and(|text| text.contains("91 s")));
        assert!(problem(1, 301_000).is_some_and(|text| text.contains("301 s")));
        let pulse = Life::default();
        pulse.works();
        assert_eq!(pulse.problem(), None);
    }
}
