//! Clients that start with nothing, as others did before: their answer is there, and costs no allocation for each
//! name.

use super::*;
use crate::serve::common::Common;
use Kind::{Cluster, Endpoint};

/// A world of so many clusters, each with its endpoints.
fn world(count: usize) -> Vec<Edit> {
    let names = (0..count).map(|number| format!("service-{number}"));
    names.flat_map(|name| [put(eds(&name, 1)), plain(Endpoint, &name, 1)]).collect()
}

/// A stream that has asked for nothing yet, beside others.
fn beside(variant: Variant, common: &Arc<Common>, count: usize) -> Stream {
    let mut stream = Stream::open(variant, None);
    let rules = Rules { max_names: 1 << 20, ..Rules::of_tests() };
    stream.session = Session::new(variant, None, Arc::new(rules));
    stream.session.share(common.clone());
    stream.publish(world(count));
    stream
}

/// Starts one of several streams: how many allocations that takes, and what it is sent.
fn start(stream: &mut Stream, count: usize) -> (u64, [Vec<String>; 2]) {
    let mut work = 0;
    let sent = [Cluster, Endpoint].map(|kind| {
        let names = (0..count).filter(|_| kind == Endpoint).map(|number| format!("service-{number}"));
        let (unsubscribe, initial) = Default::default();
        let names = match stream.variant {
            Variant::Delta => Names::Delta { subscribe: names.collect(), unsubscribe, initial },
            Variant::Sotw => Names::Sotw(names.collect()),
        };
        let mut request = stream.request(kind, names);
        // A node is read once for a stream, and not for each name.
        request.identity = (kind == Cluster).then(Identity::default);
        let snapshot = stream.snapshot.clone();
        let mut response = None;
        work += allocation_counter::measure(|| {
            stream.session.on_request(request, &snapshot, stream.now).expect("a good request");
            response = stream.session.next(stream.now).response;
        })
        .count_total;
        let response = response.expect("an answer");
        assert_eq!(&*response.type_url, kind.type_url());
        shown(&response)
    });
    (work, sent)
}

#[test]
fn whoever_starts_as_others_did_costs_no_allocation_for_a_name() {
    for variant in [Variant::Delta, Variant::Sotw] {
        let allocations = [100, 2_000].map(|count| {
            let common = Arc::new(Common::default());
            // The snapshot is one: what is shared goes by it.
            let mut first = beside(variant, &common, count);
            let [mut second, mut third] = [(); 2].map(|()| beside(variant, &common, count));
            second.snapshot = first.snapshot.clone();
            third.snapshot = first.snapshot.clone();
            // The first list of names is looked up one by one: nobody has asked so before.
            let (made, sent) = start(&mut first, count);
            assert_eq!(sent.each_ref().map(Vec::len), [count; 2]);
            start(&mut second, count);
            let (work, again) = start(&mut third, count);
            assert_eq!(again, sent);
            (made, work)
        });
        let [few, many] = allocations;
        assert!(many.0 > few.0 + 500, "{variant:?}: the first makes it: {allocations:?}");
        // A tree that is looked into may be a level or two deeper.
        assert!(many.1 <= few.1 + 16, "{variant:?}: {allocations:?}");
    }
}

#[test]
fn an_ack_that_says_again_what_is_wanted_costs_no_allocation_for_a_name() {
    let allocations = [100, 2_000].map(|count| {
        let names: Vec<String> = (0..count).map(|number| format!("service-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut stream = beside(Variant::Sotw, &Arc::default(), count);
        stream.ask(Endpoint, &names, "");
        let mut nonce = stream.expect(Endpoint).nonce;
        let work = [0; 2].map(|_| {
            let mut request = stream.request(Endpoint, Names::Sotw(names.iter().collect()));
            request.nonce = nonce.clone();
            let snapshot = stream.snapshot.clone();
            let ack = || stream.session.on_request(request, &snapshot, stream.now).expect("a good request");
            let work = allocation_counter::measure(ack).count_total;
            stream.publish([plain(Endpoint, "service-7", 2)]);
            nonce = stream.session.next(stream.now).response.map_or(nonce.clone(), |next| next.nonce);
            work
        });
        work[1]
    });
    assert_eq!(allocations[0], allocations[1]);
}

#[test]
fn an_answer_that_has_not_gone_out_becomes_a_part_of_what_is_asked_for_next() {
    let mut stream = Stream::ads(Variant::Delta, [plain(Cluster, "a", 1), plain(Cluster, "b", 1)]);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Cluster, &["a", "c"], &[]);
    assert_eq!(stream.take(Cluster), ["a", "b", "-c"]);
    stream.expect_nothing();
}

#[test]
fn the_time_to_acknowledge_begins_when_the_answer_goes_out() {
    let mut stream = Stream::ads(Variant::Delta, [plain(Cluster, "a", 1)]);
    stream.subscribe(Cluster, &[], &[]);
    // It does not read.
    stream.wait(Pace::default().deadline * 2);
    let response = stream.expect(Cluster);
    stream.publish([plain(Cluster, "a", 2)]);
    stream.expect_nothing();
    stream.ack(&response);
    assert_eq!(stream.take(Cluster), ["a"]);
}

#[test]
fn what_changes_before_the_answer_goes_out_follows_it() {
    let mut stream = Stream::ads(Variant::Delta, [plain(Cluster, "a", 1), plain(Cluster, "b", 1)]);
    stream.subscribe(Cluster, &[], &[]);
    stream.publish([plain(Cluster, "a", 2), remove(Cluster, "b")]);
    assert_eq!(stream.take(Cluster), ["a", "b"]);
    assert_eq!(stream.take(Cluster), ["a", "-b"]);
    stream.expect_nothing();
}

#[test]
fn what_went_and_came_back_before_the_answer_goes_out_is_not_taken_to_be_held() {
    for variant in [Variant::Delta, Variant::Sotw] {
        let mut stream = Stream::ads(variant, [plain(Cluster, "a", 1)]);
        let ask = |stream: &mut Stream, names: &[&str]| match variant {
            Variant::Delta => stream.subscribe(Cluster, names, &[]),
            Variant::Sotw => stream.ask(Cluster, names, ""),
        };
        ask(&mut stream, &[]);
        stream.publish([remove(Cluster, "a")]);
        ask(&mut stream, &["*", "b"]);
        stream.publish([plain(Cluster, "a", 1)]);
        let expected: &[&str] = if variant == Variant::Delta { &["a", "-b"] } else { &["a"] };
        assert_eq!(stream.take(Cluster), expected);
        stream.expect_nothing();
    }
}
