//! The shape of the status: one set of types for `/status`, the control API and the command line.
//!
//! `docs/status.md` documents it. Fields are added and never change their meaning; when one must,
//! [`SCHEMA_VERSION`] grows. Times are RFC 3339 in UTC, ages are seconds at the time of the report.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::diagnostic::{Located, Severity};

/// Clients that are listed; of more, only the number is told.
pub const MAX_CLIENTS: usize = 2000;

/// The version of the shape.
pub const SCHEMA_VERSION: u32 = 1;

/// `xds_bridge.control.v1.Status`: everything at one moment.
#[derive(Clone, PartialEq, Serialize, prost::Message)]
pub struct Status {
    /// [`SCHEMA_VERSION`].
    #[prost(uint32, tag = "1")]
    pub schema_version: u32,
    /// When this was so.
    #[prost(string, tag = "2")]
    pub at: String,
    /// Which daemon this is.
    #[prost(message, required, tag = "3")]
    pub bridge: Bridge,
    /// What is served, and how the files stand.
    #[prost(message, required, tag = "4")]
    pub serving: Serving,
    /// Whether each Envoy runs the newest.
    #[prost(message, required, tag = "5")]
    pub summary: Summary,
    /// The fragments that are not served as their files stand.
    #[prost(message, repeated, tag = "6")]
    pub fragments: Vec<Fragment>,
    /// What is served and may be wrong all the same: the first of it, what is missing between files before what a
    /// file has for itself.
    #[prost(message, repeated, tag = "8")]
    pub warnings: Vec<Finding>,
    /// The clients; first those that refuse something, then those that are behind.
    #[prost(message, repeated, tag = "7")]
    pub clients: Vec<Client>,
}

/// Which daemon this is.
#[derive(Clone, PartialEq, Eq, Serialize, prost::Message)]
pub struct Bridge {
    /// Its version.
    #[prost(string, tag = "1")]
    pub version: String,
    /// Its process.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
    /// When it was started.
    #[prost(string, tag = "3")]
    pub started: String,
    /// Where Envoys connect.
    #[prost(string, repeated, tag = "4")]
    pub listen: Vec<String>,
    /// Where the fragments are.
    #[prost(string, repeated, tag = "5")]
    pub config_dirs: Vec<String>,
}

/// What is served, and how the files stand.
#[derive(Clone, PartialEq, Eq, Serialize, prost::Message)]
pub struct Serving {
    /// Whether anything was ever loaded as a whole, so that clients are answered.
    #[prost(bool, tag = "1")]
    pub ready: bool,
    /// Why it is not ready, or why changes are held; empty when all is well.
    #[prost(string, repeated, tag = "2")]
    pub problems: Vec<String>,
    /// Counts the snapshots of this process from 1.
    #[prost(uint64, tag = "3")]
    pub generation: u64,
    /// When this snapshot was published; empty when none was.
    #[prost(string, tag = "4")]
    pub published: String,
    /// Resources by kind, as fragments call it.
    #[prost(btree_map = "string, uint64", tag = "5")]
    pub resources: BTreeMap<String, u64>,
    /// Fragments by state.
    #[prost(btree_map = "string, uint64", tag = "6")]
    pub files: BTreeMap<String, u64>,
    /// Findings of the fragments as they stand, by severity.
    #[prost(btree_map = "string, uint64", tag = "7")]
    pub findings: BTreeMap<String, u64>,
}

/// Whether each Envoy runs the newest.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, prost::Message)]
pub struct Summary {
    /// How many clients are connected.
    #[prost(uint64, tag = "1")]
    pub clients: u64,
    /// How many hold the newest of all that they asked for.
    #[prost(uint64, tag = "2")]
    pub in_sync: u64,
    /// How many are still to be sent, or to acknowledge, something.
    #[prost(uint64, tag = "3")]
    pub behind: u64,
    /// How many refuse something.
    #[prost(uint64, tag = "4")]
    pub refused: u64,
    /// How many streams they have.
    #[prost(uint64, tag = "5")]
    pub streams: u64,
    /// Clients that are not listed, since they are so many.
    #[prost(uint64, tag = "6")]
    pub left_out: u64,
}

/// A fragment that is not served as its file stands.
#[derive(Clone, PartialEq, Eq, Serialize, prost::Message)]
pub struct Fragment {
    /// Its path.
    #[prost(string, tag = "1")]
    pub path: String,
    /// `stale`, `refused`, `held` or `waiting`.
    #[prost(string, tag = "2")]
    pub state: String,
    /// Since when.
    #[prost(string, tag = "3")]
    pub since: String,
    /// The same as an age.
    #[prost(uint64, tag = "4")]
    pub age_seconds: u64,
    /// Why, in words.
    #[prost(string, tag = "5")]
    pub why: String,
    /// What is wrong in it: the first errors.
    #[prost(message, repeated, tag = "6")]
    pub findings: Vec<Finding>,
}

/// Something that is wrong.
#[derive(Clone, PartialEq, Eq, Serialize, prost::Message)]
pub struct Finding {
    /// `error`, `warning` or `note`.
    #[prost(string, tag = "1")]
    pub severity: String,
    /// The rule.
    #[prost(string, tag = "2")]
    pub code: String,
    /// The file.
    #[prost(string, tag = "3")]
    pub file: String,
    /// Line and column, from 1; 0 if it is about the whole file.
    #[prost(uint32, tag = "4")]
    pub line: u32,
    /// See `line`.
    #[prost(uint32, tag = "5")]
    pub column: u32,
    /// Where in the fragment, such as `clusters[0].type`.
    #[prost(string, tag = "6")]
    pub path: String,
    /// What is wrong.
    #[prost(string, tag = "7")]
    pub message: String,
    /// What to do about it; may be empty.
    #[prost(string, tag = "8")]
    pub hint: String,
}

/// An Envoy, or another client.
#[derive(Clone, PartialEq, Eq, Serialize, prost::Message)]
pub struct Client {
    /// `node.id`; empty when it did not say.
    #[prost(string, tag = "1")]
    pub node_id: String,
    /// `node.cluster`.
    #[prost(string, tag = "2")]
    pub node_cluster: String,
    /// Program and version, such as `envoy 1.36.2`.
    #[prost(string, tag = "3")]
    pub agent: String,
    /// Where it connects from, without the port.
    #[prost(string, tag = "4")]
    pub address: String,
    /// Who it proved to be, such as the name in its certificate; empty when nothing was asked.
    #[prost(string, tag = "5")]
    pub identity: String,
    /// `in_sync`, `behind` or `refused`.
    #[prost(string, tag = "6")]
    pub state: String,
    /// Why it does not run the newest, in words; empty when it does.
    #[prost(string, repeated, tag = "7")]
    pub why: Vec<String>,
    /// Its streams.
    #[prost(message, repeated, tag = "8")]
    pub streams: Vec<Stream>,
}

/// One of its streams.
#[derive(Clone, PartialEq, Eq, Serialize, prost::Message)]
pub struct Stream {
    /// Counts the streams of this process.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Where it comes from, with the port.
    #[prost(string, tag = "2")]
    pub peer: String,
    /// `delta` or `sotw`.
    #[prost(string, tag = "3")]
    pub variant: String,
    /// `ads`, or the only type of it.
    #[prost(string, tag = "4")]
    pub service: String,
    /// Since when it is open.
    #[prost(string, tag = "5")]
    pub since: String,
    /// The same as an age.
    #[prost(uint64, tag = "6")]
    pub age_seconds: u64,
    /// What it asked for.
    #[prost(message, repeated, tag = "7")]
    pub types: Vec<Type>,
}

/// One type on a stream.
#[derive(Clone, PartialEq, Eq, Serialize, prost::Message)]
pub struct Type {
    /// The kind as fragments call it, such as `clusters`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Everything is wanted.
    #[prost(bool, tag = "2")]
    pub wildcard: bool,
    /// How many are wanted by name.
    #[prost(uint64, tag = "3")]
    pub names: u64,
    /// The last response.
    #[prost(message, optional, tag = "4")]
    pub sent: Option<Version>,
    /// The last one that was acknowledged.
    #[prost(message, optional, tag = "5")]
    pub acknowledged: Option<Version>,
    /// The last one that was refused, as long as anything in it is.
    #[prost(message, optional, tag = "6")]
    pub rejected: Option<Version>,
    /// How many resources the client lacks, or has not acknowledged yet.
    #[prost(uint64, tag = "7")]
    pub behind: u64,
    /// The first of them.
    #[prost(string, repeated, tag = "8")]
    pub behind_names: Vec<String>,
    /// What it refuses.
    #[prost(message, repeated, tag = "9")]
    pub refused: Vec<Refused>,
    /// What it is not sent because several fragments with other `nodes:` have it.
    #[prost(string, repeated, tag = "10")]
    pub contested: Vec<String>,
    /// An answer of the client is awaited, or what changed is on its way to it.
    #[prost(bool, tag = "11")]
    pub pending: bool,
    /// What it asks for by name and what no fragment defines for it: the first of them.
    #[prost(string, repeated, tag = "12")]
    pub missing: Vec<String>,
}

/// A version of a whole type at a time.
#[derive(Clone, PartialEq, Eq, Serialize, prost::Message)]
pub struct Version {
    /// The version.
    #[prost(string, tag = "1")]
    pub version: String,
    /// When.
    #[prost(string, tag = "2")]
    pub at: String,
    /// The same as an age.
    #[prost(uint64, tag = "3")]
    pub age_seconds: u64,
}

/// A resource that a client refuses.
#[derive(Clone, PartialEq, Eq, Serialize, prost::Message)]
pub struct Refused {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The refused version; empty for a refused removal.
    #[prost(string, tag = "2")]
    pub version: String,
    /// `file:line` of each place where it is defined.
    #[prost(string, repeated, tag = "3")]
    pub at: Vec<String>,
    /// The client's words, without what they quote of the resource.
    #[prost(string, tag = "4")]
    pub message: String,
    /// Since when.
    #[prost(string, tag = "5")]
    pub since: String,
    /// The same as an age.
    #[prost(uint64, tag = "6")]
    pub age_seconds: u64,
}

/// A finding as the status shows it.
pub fn finding(located: &Located<'_>) -> Finding {
    let of = located.diagnostic;
    let start = located.range.map(|(start, _)| start);
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Finding {
        severity: severity(of.severity).to_owned(),
        code: of.code.to_owned(),
        file: of.file.to_string(),
        line: start.map_or(0, |start| number(start.line)),
        column: start.map_or(0, |start| number(start.column)),
        path: of.path.clone(),
        message: of.message.clone(),
        hint: of.hint.clone().unwrap_or_default(),
    }
}

/// What a severity is called where machines read.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}
