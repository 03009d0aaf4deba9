//! What is sent, to whom, and in how large parts (rules 15 to 21).

use super::two_clusters;
use crate::serve::tests::*;
use Kind::{Cluster, Endpoint, Listener, Route};
use Variant::{Delta, Sotw};

#[test]
fn rule_15_a_stream_without_a_node_gets_what_is_for_everyone() {
    let mut stream = Stream::ads(Delta, [plain(Cluster, "a", 1), for_node("n", eds("mine", 1))]);
    let names = Names::Delta {
        subscribe: Default::default(),
        unsubscribe: Default::default(),
        initial: Default::default(),
    };
    stream.send(Request { type_url: Cluster.type_url().into(), names, ..Request::default() });
    assert_eq!(stream.take(Cluster), ["a"]);
    let mut known = Stream::ads(Delta, [plain(Cluster, "a", 1), for_node("n", eds("mine", 1))]);
    known.subscribe(Cluster, &[], &[]);
    assert_eq!(known.take(Cluster), ["a", "mine"]);
    let mut other = Stream::ads(Delta, [plain(Cluster, "a", 1), for_node("other", eds("mine", 1))]);
    other.subscribe(Cluster, &[], &[]);
    assert_eq!(other.take(Cluster), ["a"]);
}

#[test]
fn rule_16_delta_sends_what_changed_and_nothing_else() {
    let mut stream = Stream::ads(Delta, (0..100).map(|n| plain(Cluster, &format!("c{n:03}"), 1)));
    stream.subscribe(Cluster, &[], &[]);
    assert_eq!(stream.take(Cluster).len(), 100);
    stream.publish([plain(Cluster, "c007", 2), remove(Cluster, "c050")]);
    assert_eq!(stream.take(Cluster), ["c007", "-c050"]);
}

#[test]
fn rule_17_sotw_clusters_and_listeners_are_full_state_and_others_are_not() {
    for (kind, full) in
        [(Cluster, true), (Listener, true), (Kind::ScopedRoute, true), (Route, false), (Endpoint, false)]
    {
        let mut stream = Stream::ads(Sotw, [plain(kind, "a", 1), plain(kind, "b", 1)]);
        stream.ask(kind, &[], "");
        assert_eq!(stream.take(kind), ["a", "b"]);
        stream.publish([plain(kind, "a", 2)]);
        assert_eq!(stream.take(kind), if full { vec!["a", "b"] } else { vec!["a"] }, "{kind}");
        stream.publish([remove(kind, "a")]);
        if full {
            assert_eq!(stream.take(kind), ["b"]);
        }
        stream.expect_nothing();
    }
}

#[test]
fn rule_18_nothing_is_sent_before_the_first_load() {
    let mut stream = Stream::open(Delta, None);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Endpoint, &["e"], &[]);
    stream.expect_nothing();
    stream.publish([plain(Cluster, "a", 1)]);
    assert_eq!(stream.take(Cluster), ["a"]);
    assert_eq!(stream.take(Endpoint), ["-e"]);
}

#[test]
fn rule_18_a_change_and_its_reversal_before_the_ack_send_nothing() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &[], &[]);
    let first = stream.expect(Cluster);
    stream.publish([plain(Cluster, "a", 2)]);
    stream.publish([plain(Cluster, "a", 1)]);
    stream.ack(&first);
    stream.expect_nothing();
}

#[test]
fn rule_20_every_response_names_its_type_nonce_and_server() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Listener, &[], &[]);
    let (one, two) = (stream.expect(Cluster), stream.expect(Listener));
    assert_ne!(one.nonce, two.nonce);
    assert_eq!((&*one.server, &*two.server), ("test", "test"));
}

#[test]
fn rule_21_a_large_answer_goes_out_in_parts_that_fit() {
    let big = |name: &str| put(Arc::new(Resource::new(Cluster, name, &vec![7; 1_000_000])));
    let names: Vec<String> = (0..9).map(|n| format!("c{n}")).collect();
    for (agent, parts) in [("grpc-c", 3), ("envoy", 1)] {
        let mut stream = Stream::ads(Delta, names.iter().map(|name| big(name)));
        let identity = Identity { agent: agent.into(), ..Identity::default() };
        let names = Names::Delta {
            subscribe: Default::default(),
            unsubscribe: Default::default(),
            initial: Default::default(),
        };
        stream.send(Request {
            identity: Some(identity),
            type_url: Cluster.type_url().into(),
            names,
            ..Request::default()
        });
        stream.started = true;
        let mut sizes = Vec::new();
        let mut got = 0;
        while let Some(response) = stream.next() {
            sizes.push(response.encoded_len());
            got += response.items.len();
            stream.ack(&response);
        }
        assert_eq!((sizes.len(), got), (parts, 9));
        assert!(agent == "envoy" || sizes.iter().all(|size| *size < 4 << 20));
    }
}
