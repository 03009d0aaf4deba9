//! Clients that come again with all that they hold: nothing is sent, and it costs no allocation for each name.

use super::*;
use crate::serve::common::Common;
use Kind::{Cluster, Endpoint};

/// Requests of a client that holds everything: all clusters, and their endpoints by name.
fn requests(snapshot: &Arc<Snapshot>) -> [Request; 2] {
    let node = Node { id: "n".into(), ..Node::default() };
    let identity = Identity { node: node.clone(), agent: "envoy".into(), ..Identity::default() };
    let view = crate::snapshot::View::new(snapshot.clone(), Some(&node));
    [Cluster, Endpoint].map(|kind| {
        let held = view.iter(kind).map(|found| (found.name().clone(), view.version_of(found).to_string()));
        let named = view.iter(kind).map(|found| found.name().clone()).filter(|_| kind == Endpoint);
        Request {
            identity: (kind == Cluster).then(|| identity.clone()),
            type_url: kind.type_url().into(),
            names: Names::Delta {
                subscribe: named.collect(),
                unsubscribe: Default::default(),
                initial: held.collect(),
            },
            ..Request::default()
        }
    })
}

/// How many allocations a stream needs to take these requests; nothing is sent but an empty answer.
fn come_again(snapshot: &Arc<Snapshot>, common: &Arc<Common>) -> u64 {
    let mut stream = Stream::ads(Variant::Delta, []);
    let rules = Rules { max_names: 1 << 20, ..Rules::of_tests() };
    stream.session = Session::new(Variant::Delta, None, Arc::new(rules));
    stream.session.share(common.clone());
    let requests = requests(snapshot);
    let work = allocation_counter::measure(|| {
        for request in requests {
            stream.session.on_request(request, snapshot, stream.now).expect("a good request");
        }
    });
    stream.wait(Pace::default().resume);
    let response = stream.expect(Cluster);
    assert_eq!((response.items.len(), response.removed.len()), (0, 0));
    stream.expect_nothing();
    work.count_total
}

#[test]
fn whoever_comes_again_as_others_did_costs_no_allocation_for_a_name() {
    let allocations = [100, 10_000].map(|count| {
        let names = (0..count).map(|number| format!("service-{number}"));
        let edits = names.flat_map(|name| [put(eds(&name, 1)), plain(Endpoint, &name, 1)]);
        let snapshot = Arc::new(Builder::new().apply(edits).expect("the first"));
        let common = Arc::new(Common::default());
        let first = come_again(&snapshot, &common);
        assert!(first > count, "the first makes the tables: {first}");
        come_again(&snapshot, &common)
    });
    // A tree that is looked into may be a level or two deeper.
    assert!(allocations[1] <= allocations[0] + 16, "{allocations:?}");
}
