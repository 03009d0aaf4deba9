//! What a client does wrong (rule 27).

use super::two_clusters;
use crate::serve::tests::*;
use Kind::{Cluster, Listener};
use Variant::{Delta, Sotw};

#[test]
fn rule_27_an_unknown_type_is_answered_as_empty_once() {
    for service in [None, Some(Cluster)] {
        let mut stream = Stream::open(Delta, service);
        stream.publish(two_clusters());
        for _ in 0..3 {
            let request = Request {
                type_url: "type.googleapis.com/x.Y".into(),
                ..stream.request(Cluster, Names::default())
            };
            stream.send(request);
        }
        let response = stream.next().expect("an answer");
        assert_eq!((&*response.type_url, response.items.len()), ("type.googleapis.com/x.Y", 0));
        stream.expect_nothing();
        assert_eq!(stream.events().iter().filter(|event| matches!(event, Event::UnknownType(_))).count(), 1);
        stream.subscribe(Cluster, &[], &[]);
        assert_eq!(stream.take(Cluster), ["a", "b"]);
    }
}

#[test]
fn rule_27_a_single_service_refuses_other_types_and_fills_in_its_own() {
    let mut stream = Stream::open(Delta, Some(Cluster));
    stream.publish(two_clusters());
    let snapshot = stream.snapshot.clone();
    let wrong = Request { type_url: Listener.type_url().into(), ..Request::default() };
    let refused = stream.session.on_request(wrong, &snapshot, stream.now).expect_err("another type");
    assert!(refused.to_string().contains("Cluster"), "{refused}");
    let names = Names::Delta {
        subscribe: Default::default(),
        unsubscribe: Default::default(),
        initial: Default::default(),
    };
    stream.send(Request { names, ..Request::default() });
    assert_eq!(stream.take(Cluster), ["a", "b"]);
}

#[test]
fn rule_27_more_names_than_a_stream_may_have_are_refused() {
    for variant in [Delta, Sotw] {
        let mut stream = Stream::ads(variant, two_clusters());
        let limit = (0..10).map(|n| format!("n{n}")).collect::<Vec<_>>();
        let names = |list: Vec<String>| match variant {
            Delta => Names::Delta {
                subscribe: list.into(),
                unsubscribe: Default::default(),
                initial: Default::default(),
            },
            Sotw => Names::Sotw(list.into()),
        };
        let request = stream.request(Cluster, names(limit.clone()));
        stream.send(request);
        let more = if variant == Delta {
            vec!["more".to_owned()]
        } else {
            [limit, vec!["more".to_owned()]].concat()
        };
        let request = stream.request(Cluster, names(more));
        let snapshot = stream.snapshot.clone();
        let refusal = stream.session.on_request(request, &snapshot, stream.now).expect_err("too many");
        assert!(matches!(refusal, Refusal::ResourceExhausted(_)), "{refusal}");
    }
}

#[test]
fn rule_27_names_asked_for_and_dropped_at_once_count_as_long_as_they_wait() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &["*"], &[]);
    // Never acknowledged: what is asked for now waits for its answer.
    stream.expect(Cluster);
    let snapshot = stream.snapshot.clone();
    let mut ask = |n: u32| {
        let list = vec![format!("n{n}")];
        let names = Names::Delta {
            subscribe: list.clone().into(),
            unsubscribe: list.into(),
            initial: Default::default(),
        };
        let request = stream.request(Cluster, names);
        stream.session.on_request(request, &snapshot, stream.now)
    };
    // Two more, since two are there without being asked for by name.
    assert!((0..12).all(|n| ask(n).is_ok()));
    assert!(matches!(ask(12), Err(Refusal::ResourceExhausted(_))));
}

#[test]
fn rule_27_a_name_without_end_is_refused() {
    let mut stream = Stream::ads(Delta, two_clusters());
    let names = Names::Delta {
        subscribe: vec!["x".repeat(1 << 20)].into(),
        unsubscribe: Default::default(),
        initial: Default::default(),
    };
    let request = stream.request(Cluster, names);
    let snapshot = stream.snapshot.clone();
    assert!(stream.session.on_request(request, &snapshot, stream.now).is_err());
}
