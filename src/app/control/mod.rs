//! The control API: what the command line asks of a running daemon (`proto/xds_bridge/control`).
//!
//! Everything but `Reload` only looks. A reload is a [`Job`] for the thread that loads files, the only
//! one that may change what is served; its answer comes back when the job is done.

mod client;
mod service;

use serde::Serialize;
use tokio::sync::oneshot;

use super::policy::Accept;
use crate::admin::{Client, Entry, Finding, Summary};

pub use client::{ControlError, Daemon};
pub use service::Control;

/// The service's full name.
const SERVICE: &str = "xds_bridge.control.v1.Control";

const RELOAD: &str = "/xds_bridge.control.v1.Control/Reload";
const STATUS: &str = "/xds_bridge.control.v1.Control/Status";
const WATCH: &str = "/xds_bridge.control.v1.Control/Watch";
const HISTORY: &str = "/xds_bridge.control.v1.Control/History";
const DUMP: &str = "/xds_bridge.control.v1.Control/Dump";

/// `xds_bridge.control.v1.ReloadRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReloadRequest {
    /// Serve what is held because requests would go to what no fragment defines.
    #[prost(bool, tag = "1")]
    pub accept_unresolved: bool,
    /// Serve what is held because so much would be removed.
    #[prost(bool, tag = "2")]
    pub accept_removals: bool,
    /// Answer when every connected client has acknowledged or refused the outcome.
    #[prost(bool, tag = "3")]
    pub wait: bool,
    /// But not later than after this time, in milliseconds.
    #[prost(uint64, tag = "4")]
    pub timeout_millis: u64,
}

/// `xds_bridge.control.v1.ReloadResponse`.
#[derive(Clone, PartialEq, Serialize, prost::Message)]
pub struct ReloadResponse {
    /// Counts the snapshots of this process; 0 when nothing was ever served.
    #[prost(uint64, tag = "1")]
    pub generation: u64,
    /// Resources added.
    #[prost(uint32, tag = "2")]
    pub added: u32,
    /// Resources changed.
    #[prost(uint32, tag = "3")]
    pub changed: u32,
    /// Resources removed.
    #[prost(uint32, tag = "4")]
    pub removed: u32,
    /// Why changes are held back; empty when none are.
    #[prost(string, repeated, tag = "5")]
    pub held: Vec<String>,
    /// Why nothing is served, directories and env files that cannot be used, and fragments that are not served
    /// as their files stand.
    #[prost(string, repeated, tag = "6")]
    pub problems: Vec<String>,
    /// How the clients stand, when that was waited for.
    #[prost(message, optional, tag = "7")]
    pub summary: Option<Summary>,
    /// Those that do not hold the newest.
    #[prost(message, repeated, tag = "8")]
    pub clients: Vec<Client>,
    /// What is wrong in the fragments that are not served as they stand, or with them.
    #[prost(message, repeated, tag = "9")]
    pub findings: Vec<Finding>,
}

/// A request without anything in it: `StatusRequest`, `WatchRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Nothing {}

/// `xds_bridge.control.v1.HistoryRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HistoryRequest {
    /// How many entries at most; 0: all that are kept.
    #[prost(uint32, tag = "1")]
    pub limit: u32,
}

/// `xds_bridge.control.v1.HistoryResponse`.
#[derive(Clone, PartialEq, Serialize, prost::Message)]
pub struct HistoryResponse {
    /// The newest first.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Entry>,
}

/// `xds_bridge.control.v1.DumpRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DumpRequest {
    /// What an Envoy with this id and cluster sees; both empty: everything, for whomever it is.
    #[prost(string, tag = "1")]
    pub node_id: String,
    /// See `node_id`.
    #[prost(string, tag = "2")]
    pub node_cluster: String,
}

/// `xds_bridge.control.v1.Resource`: one that is served, without its secrets.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dumped {
    /// Its kind as fragments call it.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Who receives it, in words; empty: every Envoy.
    #[prost(string, tag = "3")]
    pub nodes: String,
    /// The digest of its content, secrets included.
    #[prost(string, tag = "4")]
    pub version: String,
    /// How long it is valid at its receiver, such as `10s`; empty: for good.
    #[prost(string, tag = "5")]
    pub ttl: String,
    /// Its content as JSON, secrets as `[redacted]`.
    #[prost(string, tag = "6")]
    pub json: String,
}

/// A request to look at the files now.
#[derive(Debug)]
pub struct Job {
    /// What is to be taken over although it would be held.
    pub accept: Accept,
    /// Where the answer goes.
    pub answer: oneshot::Sender<ReloadResponse>,
}
