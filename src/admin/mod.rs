//! The window: what the daemon does, as values for people and for machines.
//!
//! Comes in: the current snapshot, the streams, and what the loader says of the files. Goes out:
//! [`Status`] (JSON, and by `proto/control.proto` for the command line), the history, and metrics as
//! Prometheus reads them. Keeps the invariant that nothing here can change what is served: there is no
//! way from here to files, store or streams but to read. Secrets never come here: resources are told by
//! name and version, and what an Envoy quotes of them is cut out (`refusal`).

mod clients;
mod exposition;
mod history;
mod metrics;
mod pages;
mod refusal;
mod status;

pub use clients::{PlacesOf, clients};
pub use history::{Change, Entry, MAX_ENTRIES, MAX_NAMES, entry};
pub use metrics::{Certificate, Loads, Process, Scrape, metrics};
pub use pages::{Answer, Page, TEXT, foreign, index, page};
pub use refusal::{MAX_LISTED, named, shown, without_quotes};
pub use status::{
    Bridge, Client, Finding, Fragment, MAX_CLIENTS, Refused, SCHEMA_VERSION, Serving, Status, Stream,
    Summary, Type, Version, finding, severity,
};
