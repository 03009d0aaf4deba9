//! The rules of the protocol, one by one, by the subject of `docs/conformance.md`.

mod acks;
mod contested;
mod expiry;
mod hostile;
mod hosts;
mod order;
mod sending;
mod subscriptions;
mod versions;

use super::*;
use Kind::Cluster;

/// The version of a resource that the client of a test sees.
fn version(stream: &Stream, kind: Kind, name: &str) -> String {
    let node = Node { id: "n".into(), ..Node::default() };
    let view = crate::snapshot::View::new(stream.snapshot.clone(), Some(&node));
    view.version(kind, name).expect("it is there").to_string()
}

fn two_clusters() -> [Edit; 2] {
    [plain(Cluster, "a", 1), plain(Cluster, "b", 1)]
}
