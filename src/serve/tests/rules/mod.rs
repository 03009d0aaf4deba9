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
use Kind::{Cluster, Endpoint, Route};
use Variant::{Delta, Sotw};

/// The version of a resource that the client of a test sees.
fn version(stream: &Stream, kind: Kind, name: &str) -> String {
    let node = Node { id: "n".into(), ..Node::default() };
    let view = crate::snapshot::View::new(stream.snapshot.clone(), Some(&node));
    view.version(kind, name).expect("it is there").to_string()
}

fn two_clusters() -> [Edit; 2] {
    [plain(Cluster, "a", 1), plain(Cluster, "b", 1)]
}

/// What a real client does: listener aside, all of a route to one cluster.
fn service(name: &str, content: u8) -> [Edit; 3] {
    let route = resource(Route, "r", content, &[(Cluster, name)]);
    [put(eds(name, 1)), plain(Endpoint, name, 1), put(route)]
}

fn without(name: &str) -> [Edit; 2] {
    [remove(Cluster, name), remove(Endpoint, name)]
}

/// A stream over a route to `c0`, all of it acknowledged.
fn serving_c0(variant: Variant) -> Stream {
    let mut stream = Stream::ads(variant, service("c0", 0));
    for (kind, names) in [(Cluster, vec![]), (Endpoint, vec!["c0"]), (Route, vec!["r"])] {
        match variant {
            Delta => stream.subscribe(kind, &names, &[]),
            Sotw => stream.ask(kind, &names, ""),
        }
        let response = stream.expect(kind);
        stream.answer(&response, None, &names);
    }
    stream
}
