//! Fuzzing for everyone: the kept corpus, and mutations of it, for a bounded time.
//!
//! Comes in: `fuzz/corpus/<entry>/`. Goes out: the input that broke a promise, printed so that it can be
//! kept. Mutations are the same each time; `FUZZ_SECONDS` gives them longer.

#[path = "../fuzz/entries.rs"]
mod entries;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// Inputs larger than this are cut: time is better spent on more of them.
const MAX_BYTES: usize = 4_096;

/// No single input may take longer, on a loaded machine and without optimisation.
const SLOWEST: Duration = Duration::from_secs(10);

/// What fragments are made of; mutations put it in where it hurts.
const PIECES: [&str; 32] = [
    "${A}",
    "${UNSET}",
    "${UNSET:-",
    "${B:-{}}",
    "$${",
    "$",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "#",
    "&a ",
    "*a",
    "<<: ",
    "!file x",
    "!ignore ",
    "---\n",
    "\t",
    "\r\n",
    "\u{feff}",
    "\u{e000}",
    "\\uE000",
    "\0",
    "secrets:\n- name: x\n  generic_secret: { secret: { inline_string: ",
];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

fn mutate(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(5) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(30)).min(bytes.len());
        match random.below(6) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let piece = PIECES[random.below(PIECES.len())].as_bytes();
                drop(bytes.splice(at..at, piece.iter().copied()));
            }
            2 => {
                let copy = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                drop(bytes.splice(to..to, copy));
            }
            3 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                let part = &other[from..(from + 80).min(other.len())];
                drop(bytes.splice(at..end, part.iter().copied()));
            }
            4 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => bytes.truncate(at.max(20)),
        }
    }
    bytes.truncate(MAX_BYTES);
    bytes
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&folder).expect("the corpus is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "the corpus {name} has lost its files");
    paths.iter().map(|path| std::fs::read(path).expect("readable")).collect()
}

fn fuzz(name: &str, entry: fn(&[u8])) {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let corpus = corpus(name);
    let mut random = Random(1);
    let start = Instant::now();
    let mut runs = 0;
    while runs < corpus.len() || start.elapsed() < Duration::from_secs(seconds) {
        let input = corpus.get(runs).cloned().unwrap_or_else(|| mutate(&corpus, &mut random));
        let begin = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| entry(&input)));
        let shown = || format!("input {runs} of {name}: {:?}", String::from_utf8_lossy(&input));
        assert!(result.is_ok(), "{}", shown());
        assert!(begin.elapsed() < SLOWEST, "{:?} for {}", begin.elapsed(), shown());
        runs += 1;
    }
    assert!(runs > corpus.len() * 2, "only {runs} inputs in {seconds} s");
}

#[test]
fn no_fragment_breaks_a_promise() {
    fuzz("load", entries::load);
}

#[test]
fn no_reference_breaks_a_promise_and_values_come_out_as_they_went_in() {
    fuzz("substitute", entries::substitute);
}
