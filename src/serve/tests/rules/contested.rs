//! Names that several fragments define for the same client: nobody is served by choice, and who asks is told.

use crate::serve::tests::*;
use Kind::{Cluster, Endpoint, VirtualHost};
use Variant::{Delta, Sotw};

/// Two of one name, both of which the node `n` would receive.
fn both(kind: Kind, name: &str) -> [Edit; 2] {
    [for_node("n*", resource(kind, name, 1, &[])), for_node("*n", resource(kind, name, 2, &[]))]
}

/// Takes one of them away.
fn without(id: &str, kind: Kind, name: &str) -> Edit {
    let pattern = crate::resource::NodePattern { id: Some(id.into()), ..Default::default() };
    Edit::Remove(Some(Arc::new(Selector(vec![pattern]))), kind, name.into())
}

/// What is in the resources of a response.
fn contents(response: &Response) -> Vec<u8> {
    response.items.iter().filter_map(|item| Some(item.resource.as_ref()?.body()[1])).collect()
}

#[test]
fn a_contested_name_is_neither_sent_nor_taken_away_and_is_reported() {
    let mut stream = Stream::ads(Delta, [for_node("n*", eds("x", 1))]);
    stream.subscribe(Cluster, &[], &[]);
    assert_eq!(stream.take(Cluster), ["x"]);
    stream.publish([for_node("*n", eds("x", 2)), plain(Cluster, "y", 1)]);
    assert_eq!(stream.take(Cluster), ["y"]);
    assert!(
        stream
            .events()
            .iter()
            .any(|event| matches!(event, Event::Contested(Cluster, name) if &**name == "x"))
    );
    stream.publish([for_node("n*", eds("x", 3))]);
    stream.expect_nothing();
}

#[test]
fn rule_7_a_contested_name_that_the_client_never_held_is_told_as_missing_and_sent_when_it_is_agreed_on() {
    for kind in Kind::ALL {
        let mut stream = Stream::ads(Delta, both(kind, "x").into_iter().chain([plain(kind, "y", 1)]));
        stream.subscribe(kind, &["x", "y"], &[]);
        let missing = if kind == VirtualHost { vec!["?x", "y"] } else { vec!["y", "-x"] };
        assert_eq!(stream.take(kind), missing);
        stream.expect_nothing();
        stream.publish([plain(kind, "y", 2)]);
        assert_eq!(stream.take(kind), ["y"]);
        stream.publish([without("*n", kind, "x")]);
        assert_eq!(stream.take(kind), ["x"]);
        stream.expect_nothing();
    }
}

#[test]
fn rule_7_a_contested_name_that_the_client_holds_is_told_as_it_was() {
    let mut stream = Stream::ads(Delta, [for_node("n*", resource(Endpoint, "x", 1, &[]))]);
    stream.subscribe(Endpoint, &["x"], &[]);
    stream.take(Endpoint);
    stream.publish([for_node("*n", resource(Endpoint, "x", 2, &[]))]);
    stream.expect_nothing();
    for _ in 0..2 {
        stream.subscribe(Endpoint, &["x"], &[]);
        let again = stream.expect(Endpoint);
        assert_eq!((shown(&again), contents(&again)), (vec!["x".to_owned()], vec![1]));
        stream.ack(&again);
        stream.expect_nothing();
    }
    // A refusal takes nothing away either.
    stream.subscribe(Endpoint, &["x"], &[]);
    let refused = stream.expect(Endpoint);
    stream.nack(&refused);
    stream.expect_nothing();
    // The other one it is in the end.
    stream.publish([without("n*", Endpoint, "x")]);
    let agreed = stream.expect(Endpoint);
    assert_eq!(contents(&agreed), [2]);
    stream.ack(&agreed);
    stream.expect_nothing();
}

#[test]
fn rule_7_a_contested_name_that_is_brought_stays_and_is_told_if_it_is_one_of_those() {
    let held = |content| resource(Cluster, "x", content, &[]).digest().to_string();
    for (version, again) in [(held(2), vec![2]), ("of an earlier day".to_owned(), vec![])] {
        let mut stream = Stream::ads(Delta, both(Cluster, "x"));
        stream.resume(Cluster, &["x"], &[("x", &version)]);
        stream.wait(Pace::default().resume);
        stream.expect_nothing();
        stream.subscribe(Cluster, &["x"], &[]);
        let response = stream.next();
        assert_eq!(response.as_ref().map(contents).unwrap_or_default(), again);
        assert!(response.is_none_or(|response| response.removed.is_empty()));
    }
}

#[test]
fn rule_9_a_contested_name_that_is_dropped_under_the_star_is_answered() {
    let mut stream = Stream::ads(Delta, both(Cluster, "x"));
    stream.subscribe(Cluster, &["*", "x"], &[]);
    assert_eq!(stream.take(Cluster), ["-x"]);
    stream.subscribe(Cluster, &[], &["x"]);
    assert_eq!(stream.take(Cluster), ["-x"]);
    stream.publish([without("*n", Cluster, "x")]);
    assert_eq!(stream.take(Cluster), ["x"]);
    stream.expect_nothing();
}

#[test]
fn rule_8_sotw_leaves_a_contested_name_out_and_a_full_state_goes_on_with_what_was_held() {
    let mut stream = Stream::ads(Sotw, both(Endpoint, "x"));
    stream.ask(Endpoint, &["x"], "");
    stream.expect_nothing();
    stream.publish([without("*n", Endpoint, "x")]);
    assert_eq!(stream.take(Endpoint), ["x"]);
    let mut stream = Stream::ads(Sotw, [for_node("n*", resource(Cluster, "x", 1, &[]))]);
    stream.ask(Cluster, &[], "");
    stream.take(Cluster);
    stream.publish([for_node("*n", resource(Cluster, "x", 2, &[]))]);
    stream.expect_nothing();
    stream.publish([plain(Cluster, "y", 3)]);
    let full = stream.expect(Cluster);
    assert_eq!((shown(&full), contents(&full)), (vec!["x".to_owned(), "y".to_owned()], vec![1, 3]));
}
