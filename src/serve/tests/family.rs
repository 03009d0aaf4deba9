//! Many streams on one connection: what one of them does costs the others nothing, however many they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::*;
use crate::serve::siblings::Siblings;
use Kind::{Cluster, Endpoint, Route};

/// Counts how often a stream is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One stream of clusters, one for each endpoint assignment, one for the routes; all up to date.
struct Family {
    siblings: Arc<Siblings>,
    clusters: Stream,
    endpoints: Vec<Stream>,
    routes: Stream,
    woken: Arc<Count>,
}

impl Family {
    fn of(count: usize) -> Family {
        let siblings = Arc::new(Siblings::default());
        let woken = Arc::new(Count::default());
        let join = |kind| {
            let mut stream = Stream::open(Variant::Delta, Some(kind));
            stream.session.join(siblings.clone());
            stream.session.listen(&Waker::from(woken.clone()));
            stream
        };
        let mut clusters = join(Cluster);
        let names: Vec<String> = (0..count).map(|number| format!("c{number}")).collect();
        clusters.publish(names.iter().flat_map(|name| [put(eds(name, 1)), plain(Endpoint, name, 1)]));
        clusters.publish([put(resource(Route, "r", 1, &[(Cluster, "c0")]))]);
        clusters.subscribe(Cluster, &[], &[]);
        clusters.take(Cluster);
        let endpoints = names.iter().map(|name| {
            let mut stream = join(Endpoint);
            stream.snapshot = clusters.snapshot.clone();
            stream.subscribe(Endpoint, &[name], &[]);
            assert_eq!(stream.take(Endpoint), [name.as_str()]);
            stream
        });
        let endpoints = endpoints.collect();
        let mut routes = join(Route);
        routes.snapshot = clusters.snapshot.clone();
        routes.subscribe(Route, &["r"], &[]);
        routes.take(Route);
        Family { siblings, clusters, endpoints, routes, woken }
    }

    fn take_woken(&self) -> usize {
        self.woken.0.swap(0, Ordering::Relaxed)
    }

    /// How many streams are looked at for one name, and how many are not settled.
    fn looked_at(&self) -> (usize, usize) {
        let holdings = &self.siblings.lock().holdings;
        let of_name = holdings.of_name(Endpoint, &"c0".into()).count();
        (of_name, Kind::ALL.into_iter().map(|kind| holdings.unsettled(kind).count()).sum())
    }
}

#[test]
fn opening_a_stream_and_its_ack_wake_no_other_that_waits_for_nothing() {
    for count in [3, 300] {
        let family = Family::of(count);
        assert_eq!(family.take_woken(), 0);
        assert_eq!(family.looked_at(), (1, 0));
    }
}

#[test]
fn an_event_wakes_those_that_wait_for_its_type_however_many_streams_there_are() {
    let costs = [3, 300].map(|count| {
        let mut family = Family::of(count);
        // The route waits for the cluster and its endpoints.
        family.clusters.publish([
            put(eds("new", 1)),
            plain(Endpoint, "new", 1),
            put(resource(Route, "r", 2, &[(Cluster, "new")])),
        ]);
        family.routes.expect_nothing();
        family.endpoints[0].expect_nothing();
        let mut steps = vec![family.take_woken()];
        assert_eq!(family.clusters.take(Cluster), ["new"]);
        steps.push(family.take_woken());
        family.endpoints[0].snapshot = family.clusters.snapshot.clone();
        family.endpoints[0].subscribe(Endpoint, &["new"], &[]);
        assert_eq!(family.endpoints[0].take(Endpoint), ["new"]);
        steps.push(family.take_woken());
        assert_eq!(family.routes.take(Route), ["r"]);
        steps.push(family.take_woken());
        steps
    });
    // The route stream: at the ACK of the cluster, and at the request for its endpoints and their ACK.
    assert_eq!(costs, [vec![0, 1, 2, 0], vec![0, 1, 2, 0]]);
}

#[test]
fn a_stream_that_ends_wakes_those_that_waited_for_it_and_leaves_nothing_behind() {
    let mut family = Family::of(3);
    family.clusters.publish([plain(Endpoint, "c1", 2), put(resource(Route, "r", 2, &[(Cluster, "c1")]))]);
    family.routes.expect_nothing();
    // It ends without having sent the endpoints that the route waits for.
    let ended = family.endpoints.remove(1);
    drop(ended);
    assert_eq!(family.take_woken(), 1);
    // Nobody asks for them any more: what remains is the time that one had to ask.
    family.routes.now += Pace::default().ask;
    assert_eq!(family.routes.take(Route), ["r"]);
    drop((family.clusters, family.endpoints, family.routes));
    let holdings = &family.siblings.lock().holdings;
    assert_eq!(Kind::ALL.into_iter().map(|kind| holdings.unsettled(kind).count()).sum::<usize>(), 0);
    assert_eq!(holdings.of_name(Endpoint, &"c0".into()).count(), 0);
}

#[test]
fn a_stream_is_found_by_the_names_that_it_wants_now_few_or_many() {
    let mut holdings = crate::serve::holdings::Holdings::default();
    let is_found = |holdings: &crate::serve::holdings::Holdings, name: &str| {
        holdings.of_name(Endpoint, &name.into()).any(|holding| holding.subscription.covers(name))
    };
    let all: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    let wanted = [0..1, 1..2, 0..30, 4..5, 0..0, 7..9];
    for range in wanted {
        let names = all[range.clone()].iter().map(|name| name.as_str().into()).collect();
        holdings.get_or_start(Endpoint, 1).subscription.replace([vec!["x".into()], names].concat());
        for (number, name) in all.iter().enumerate() {
            assert_eq!(is_found(&holdings, name), range.contains(&number), "{name} of {range:?}");
        }
    }
    holdings.get_or_start(Endpoint, 1).subscription.subscribe(&"*".into());
    assert!(is_found(&holdings, "29"));
    holdings.get_or_start(Endpoint, 1).subscription.unsubscribe(&"*".into());
    assert!(!is_found(&holdings, "29") && is_found(&holdings, "7"));
}
