//! xds-bridge: a directory of Envoy configuration fragments, streamed to Envoys over xDS.

pub mod diagnostic;
pub mod envoy_api;
pub mod resource;
pub mod serve;
pub mod snapshot;
