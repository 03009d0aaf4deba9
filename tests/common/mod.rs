//! The harness of the tests that run real parts: real Envoys, real upstreams, the real daemon.
//!
//! Comes in: versions, bootstraps and fragments as text. Goes out: running processes on ports of
//! their own that end with their test. Keeps two invariants: every wait has a bound and says what it
//! waited for, and what is missing on this machine is fetched or fails the test, never skipped.
#![allow(dead_code, reason = "compiled into each test program, and each uses a part of it")]

pub mod bridge;
pub mod dump;
pub mod envoy;
pub mod fetched;
pub mod files;
pub mod fragments;
pub mod http;
pub mod peek;
pub mod process;
pub mod upstream;
pub mod xds;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

/// The bound of a wait that should take milliseconds: wide, since a loaded machine is no failure.
pub const SOON: Duration = Duration::from_secs(60);

/// Waits until `condition` gives a value; panics with `what` when it does not within `bound`.
#[track_caller]
pub fn wait_for<T>(bound: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < bound, "waited {bound:?} in vain for: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// Waits until `condition` holds; panics with `what` when it does not within `bound`.
#[track_caller]
pub fn wait_until(bound: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(bound, what, || condition().then_some(()));
}

/// A loopback port that nothing listens on, given to one caller only in this program.
///
/// Taken below the kernel's range for outgoing connections, so that none of those gets it between
/// here and its use; tried by binding, so that a neighbour's Envoy (`SO_REUSEPORT`) is not joined.
/// Only bound, never listened on: a child that another test starts at that moment has a copy of the
/// socket until it runs its program, and a copy that listens would be taken for the daemon, or keep
/// the port from it.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Programs that run side by side start their search far from each other.
    let offset = (std::process::id() % 97) * 123;
    (0..COUNT)
        .map(|_| {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            FIRST + ((offset + u32::from(step)) % u32::from(COUNT)) as u16
        })
        .find(|port| is_free(*port))
        .expect("one of twelve thousand ports is free")
}

fn is_free(port: u16) -> bool {
    let socket = TcpSocket::new_v4().expect("a socket");
    // As servers do: a copy of this one in a child is then in nobody's way.
    socket.set_reuseaddr(true).expect("a socket has this option");
    socket.bind((Ipv4Addr::LOCALHOST, port).into()).is_ok()
}
