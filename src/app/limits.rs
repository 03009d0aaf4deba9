//! How much the daemon takes on: connections, streams, times. Each default stands with its reason.

use std::time::Duration;

/// Bounds on what clients may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. An Envoy has one; some thousand Envoys and as many that are just coming back.
    pub connections: usize,
    /// Open connections of one IP address (of IPv6: one /64) or user of a unix socket. Thousands of Envoys may
    /// stand behind one address; one that goes mad must leave room for others.
    pub connections_per_client: usize,
    /// Open streams. An aggregated one per Envoy, or one for each name that an Envoy asks for by itself.
    pub streams: usize,
    /// Open streams of one connection: an Envoy without ADS opens one for each cluster and route
    /// configuration, and has thousands of them.
    pub streams_per_connection: usize,
    /// How long TLS may take to be set up: some round trips over a bad line, and a loaded machine.
    pub handshake: Duration,
    /// How long a connection, and then a stream, may be open before its first request. Envoy sends it at once.
    pub first_request: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 10_000,
            connections_per_client: 5_000,
            streams: 100_000,
            streams_per_connection: 20_000,
            handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(30),
        }
    }
}

/// Seats for the command line and for those who look at metrics, apart from those of Envoys.
pub fn admin() -> Limits {
    Limits { connections: 200, connections_per_client: 200, ..Limits::default() }
}

/// Longest list of headers, in bytes. Envoy's have some hundred; `initial_metadata` may add tokens.
pub const HEADER_LIST: u32 = 16 * 1024;

/// HTTP/2's own default and smallest bound: larger frames gain nothing and hold more.
pub const FRAME: u32 = 16 * 1024;

/// Streams that a client opened and reset before they were looked at; more of them at once end the connection.
/// An Envoy gives streams up one by one. h2's own default is 20 (CVE-2023-44487).
pub const PENDING_RESETS: usize = 20;

/// Streams that were reset for what the client did wrong on them; more end the connection.
pub const ERROR_RESETS: usize = 100;

/// HTTP/2 pings find clients that are gone without a word, or that no longer read.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long the answer to one may take.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// File descriptors that are kept for files, watches and the log.
const RESERVED_FILES: usize = 256;

/// Raises the limit of open files to what the system allows, and bounds the connections by it.
pub fn fit_to_open_files(limits: &Limits) -> Limits {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let mut limits = limits.clone();
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return limits };
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    let files = usize::try_from(if raised { hard } else { soft }).unwrap_or(usize::MAX);
    let room = files.saturating_sub(RESERVED_FILES).max(files / 2);
    if room < limits.connections {
        tracing::warn!(
            open_files = files,
            connections = room,
            "the limit of open files bounds the connections; raise it (LimitNOFILE= in a unit, or ulimit -n)"
        );
        limits.connections = room;
    }
    limits
}
