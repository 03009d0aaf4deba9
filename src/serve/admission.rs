//! What a stream must meet before it is served, and how many there may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::access::Access;
use super::peer::Peer;

/// The conditions for streams.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Who may claim which node.
    pub access: Access,
    /// Secrets go out over plain TCP, to anybody.
    pub secrets_in_clear: bool,
    /// Open streams in the whole process.
    pub streams: usize,
    /// Open streams of one connection.
    pub streams_per_connection: usize,
    /// How long a stream may be open without a request.
    pub first_request: Duration,
}

/// The open streams of the process.
#[derive(Debug, Default)]
pub(crate) struct OpenStreams(AtomicUsize);

/// An open stream is counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Seat {
    all: Arc<OpenStreams>,
    peer: Arc<Peer>,
}

impl OpenStreams {
    /// Counts one more, if there may be one; else the reason why not.
    pub fn enter(self: &Arc<Self>, peer: &Arc<Peer>, admission: &Admission) -> Result<Seat, String> {
        // Counted first and looked at then: two at once cannot both be the last.
        let seat = Seat { all: self.clone(), peer: peer.clone() };
        let own = peer.streams().fetch_add(1, Ordering::Relaxed) + 1;
        let all = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        if own > admission.streams_per_connection {
            let most = admission.streams_per_connection;
            return Err(format!("this connection has {most} open streams, as many as one may have"));
        }
        if all > admission.streams {
            return Err(format!("xds-bridge serves {} streams, as many as it may", admission.streams));
        }
        Ok(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.peer.streams().fetch_sub(1, Ordering::Relaxed);
        self.all.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Proof;

    #[test]
    fn streams_are_counted_in_total_and_by_connection_and_given_back() {
        let admission = Admission {
            access: Access::default(),
            secrets_in_clear: false,
            streams: 3,
            streams_per_connection: 2,
            first_request: Duration::from_secs(1),
        };
        let open = Arc::new(OpenStreams::default());
        let [a, b] = ["a", "b"].map(|name| Arc::new(Peer::new(name, Proof::Nothing)));
        let seats = [open.enter(&a, &admission), open.enter(&a, &admission)];
        assert!(open.enter(&a, &admission).expect_err("its third").contains("this connection"));
        let last = open.enter(&b, &admission).expect("the third of all");
        assert!(open.enter(&b, &admission).expect_err("the fourth of all").contains("3 streams"));
        drop((seats, last));
        assert!(open.enter(&a, &admission).is_ok());
        assert_eq!(open.0.load(Ordering::Relaxed), 0);
    }
}
