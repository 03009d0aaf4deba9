//! What an import did, what stayed behind and why, and what a person must decide: line by line.

use std::fmt;
use std::sync::Arc;

/// What a remark is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It was changed on the way, and means what it meant.
    Changed,
    /// It is not served by the bridge but stays in Envoy's bootstrap.
    Stayed,
    /// It could not be brought over as it was: a person must look.
    Decide,
}

impl Outcome {
    /// The word at the beginning of a line.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Changed => "changed",
            Outcome::Stayed => "stayed",
            Outcome::Decide => "DECIDE",
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Remark {
    /// The source, as people name it.
    pub file: Arc<str>,
    /// The line in it, from 1; 0 if it is about no line.
    pub line: u32,
    /// What became of what stands there.
    pub outcome: Outcome,
    /// In words.
    pub message: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}: {}", self.outcome.word(), self.message)
    }
}

/// Remarks as they come.
#[derive(Debug, Default)]
pub struct Report {
    remarks: Vec<Remark>,
    file: Arc<str>,
}

impl Report {
    /// A report about a source.
    pub fn of(file: &Arc<str>) -> Report {
        Report { remarks: Vec::new(), file: file.clone() }
    }

    /// It was changed.
    pub fn changed(&mut self, line: u32, message: impl Into<String>) {
        self.add(line, Outcome::Changed, message.into());
    }

    /// It stays in the bootstrap.
    pub fn stayed(&mut self, line: u32, message: impl Into<String>) {
        self.add(line, Outcome::Stayed, message.into());
    }

    /// A person must decide.
    pub fn decide(&mut self, line: u32, message: impl Into<String>) {
        self.add(line, Outcome::Decide, message.into());
    }

    fn add(&mut self, line: u32, outcome: Outcome, message: String) {
        self.remarks.push(Remark { file: self.file.clone(), line, outcome, message });
    }

    /// All of another report behind this one.
    pub fn append(&mut self, other: Report) {
        self.remarks.extend(other.remarks);
    }

    /// The remarks by line, each once.
    pub fn finish(mut self) -> Vec<Remark> {
        self.remarks.sort();
        self.remarks.dedup();
        self.remarks
    }
}
