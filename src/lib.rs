//! xds-bridge: a directory of Envoy configuration fragments, streamed to Envoys over xDS.

pub mod admin;
pub mod app;
pub mod cli;
pub mod diagnostic;
pub mod envoy_api;
pub mod load;
pub mod migrate;
pub mod resource;
pub mod schema;
pub mod serve;
pub mod snapshot;
pub mod source;
