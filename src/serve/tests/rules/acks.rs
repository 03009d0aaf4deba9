//! ACKs, NACKs and nonces (rules 12 to 14).

use super::two_clusters;
use crate::serve::tests::*;
use Kind::{Cluster, Endpoint, Listener};
use Variant::{Delta, Sotw};

#[test]
fn rule_12_a_refused_version_is_not_sent_again_and_the_next_one_is() {
    for variant in [Delta, Sotw] {
        let mut stream = Stream::ads(variant, two_clusters());
        match variant {
            Delta => stream.subscribe(Cluster, &[], &[]),
            Sotw => stream.ask(Cluster, &[], ""),
        }
        stream.take(Cluster);
        stream.publish([plain(Cluster, "a", 66)]);
        let bad = stream.expect(Cluster);
        stream.nack(&bad);
        stream.expect_nothing();
        stream.publish([plain(Cluster, "b", 2)]);
        let other = stream.expect(Cluster);
        let sent: Vec<_> = other
            .items
            .iter()
            .map(|i| (i.name.to_string(), i.resource.clone().expect("a body").body()[1]))
            .collect();
        // A full state repeats what the client still holds, never what it refused.
        let expected = if variant == Delta {
            vec![("b".to_owned(), 2)]
        } else {
            vec![("a".to_owned(), 1), ("b".to_owned(), 2)]
        };
        assert_eq!(sent, expected);
        stream.ack(&other);
        stream.publish([plain(Cluster, "a", 3)]);
        assert!(stream.take(Cluster).contains(&"a".to_owned()));
        stream.expect_nothing();
    }
}

#[test]
fn rule_12_going_back_to_the_version_before_a_refused_one_is_sent() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &[], &[]);
    stream.take(Cluster);
    stream.publish([plain(Cluster, "a", 66)]);
    let bad = stream.expect(Cluster);
    stream.nack(&bad);
    stream.publish([plain(Cluster, "a", 1)]);
    assert_eq!(stream.take(Cluster), ["a"]);
}

#[test]
fn rule_12_a_refused_listener_is_offered_once_more_when_its_cluster_comes() {
    let listener = put(resource(Listener, "l", 1, &[(Cluster, "late")]));
    let mut stream = Stream::ads(Delta, [listener]);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Listener, &[], &[]);
    stream.take(Cluster);
    let refused = stream.expect(Listener);
    stream.nack(&refused);
    stream.publish([plain(Cluster, "other", 1)]);
    assert_eq!(stream.take(Cluster), ["other"]);
    stream.expect_nothing();
    stream.publish([plain(Cluster, "late", 1)]);
    assert_eq!(stream.take(Cluster), ["late"]);
    assert_eq!(stream.take(Listener), ["l"]);
    stream.expect_nothing();
}

#[test]
fn rule_13_sotw_ignores_a_stale_nonce() {
    let mut stream = Stream::ads(Sotw, [plain(Endpoint, "e", 1), plain(Endpoint, "f", 1)]);
    stream.ask(Endpoint, &["e"], "");
    let first = stream.expect(Endpoint);
    stream.answer(&first, None, &["e"]);
    stream.publish([plain(Endpoint, "e", 2)]);
    let second = stream.expect(Endpoint);
    stream.answer(&first, None, &["e", "f"]);
    stream.expect_nothing();
    stream.answer(&second, None, &["e", "f"]);
    assert_eq!(shown(&stream.expect(Endpoint)), ["f"]);
}

#[test]
fn rule_13_delta_takes_the_names_of_a_request_with_a_stale_nonce_and_pairs_nothing() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &["a"], &[]);
    let first = stream.expect(Cluster);
    let names = Names::Delta {
        subscribe: vec!["b"].into(),
        unsubscribe: Default::default(),
        initial: Default::default(),
    };
    let request = stream.request(Cluster, names);
    stream.send(Request { nonce: "from another life".into(), ..request });
    stream.expect_nothing();
    stream.ack(&first);
    assert_eq!(stream.take(Cluster), ["b"]);
}

#[test]
fn rule_14_changes_coalesce_while_a_response_is_in_flight() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &[], &[]);
    let first = stream.expect(Cluster);
    for content in 2..9 {
        stream.publish([plain(Cluster, "a", content)]);
        stream.expect_nothing();
    }
    stream.publish([plain(Cluster, "c", 1), remove(Cluster, "b")]);
    stream.ack(&first);
    assert_eq!(stream.take(Cluster), ["a", "c", "-b"]);
    stream.expect_nothing();
}

#[test]
fn rule_12_what_was_dropped_and_asked_for_anew_is_not_held_although_its_removal_is_refused() {
    let mut stream = Stream::ads(Sotw, [plain(Cluster, "a", 1), plain(Cluster, "b", 1)]);
    stream.ask(Cluster, &["a", "b"], "");
    let first = stream.expect(Cluster);
    stream.answer(&first, None, &["a", "b"]);
    stream.publish([remove(Cluster, "a")]);
    let removal = stream.expect(Cluster);
    stream.ask(Cluster, &["b"], "");
    stream.ask(Cluster, &["a", "b"], "");
    stream.answer(&removal, Some("no"), &["a", "b"]);
    stream.publish([plain(Cluster, "b", 2)]);
    assert_eq!(stream.take(Cluster), ["b"]);
}
