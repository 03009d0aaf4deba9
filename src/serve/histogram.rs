//! Times, counted in buckets: written on the hot path with two atomic additions, read at any time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in seconds: from what a good day takes to what wakes people up.
pub const BOUNDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Each time once, in the first bucket that holds it; the last one is for what is longer than all.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// What a histogram held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// How many took at most as long as the bound of the same place; the last one counts all.
    pub up_to: [u64; BOUNDS.len() + 1],
    /// All times together, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What it holds now. The sum may be one observation ahead of the counts or behind them.
    pub fn counted(&self) -> Counted {
        let mut counted = Counted::default();
        let mut all = 0;
        for (bucket, up_to) in self.buckets.iter().zip(&mut counted.up_to) {
            all += bucket.load(Ordering::Relaxed);
            *up_to = all;
        }
        counted.sum = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        counted
    }
}

impl Counted {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.up_to[BOUNDS.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_buckets_add_up() {
        let histogram = Histogram::default();
        for millis in [0, 1, 2, 1000, 3_600_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let counted = histogram.counted();
        assert_eq!(counted.up_to[..2], [2, 3]);
        assert_eq!((counted.up_to[9], counted.up_to[13], counted.count()), (4, 4, 5));
        assert!((counted.sum - 3601.003).abs() < 1e-6, "{}", counted.sum);
    }
}
