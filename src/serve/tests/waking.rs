//! Who is woken for a new snapshot: those whom it concerns, however many clients and resources there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::*;
use crate::serve::subscribers::Subscribers;
use Kind::{Cluster, Endpoint, Listener};

/// Notes that a stream was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Client {
    stream: Stream,
    woken: Arc<Woken>,
}

/// Clients on one store. Each takes all listeners, and the endpoints of its own service only.
struct Fleet {
    builder: Builder,
    snapshot: Arc<Snapshot>,
    subscribers: Subscribers,
    clients: Vec<Client>,
}

fn service(number: usize) -> String {
    format!("service-{number}")
}

impl Fleet {
    fn new(clients: usize, services: usize) -> Fleet {
        let mut builder = Builder::new();
        let services = (0..services).map(service);
        let edits = services.flat_map(|name| [put(eds(&name, 1)), plain(Endpoint, &name, 1)]);
        let own = (0..clients).map(|number| for_node(&number.to_string(), resource(Listener, "own", 1, &[])));
        let snapshot = Arc::new(builder.apply(edits.chain(own)).expect("the first"));
        let mut fleet =
            Fleet { builder, subscribers: Subscribers::new(snapshot.clone()), snapshot, clients: Vec::new() };
        fleet.clients = (0..clients).map(|number| fleet.client(number)).collect();
        fleet
    }

    fn client(&self, number: usize) -> Client {
        let woken = Arc::new(Woken::default());
        let mut stream = Stream::open(Variant::Delta, None);
        stream.snapshot = self.snapshot.clone();
        stream.node = number.to_string();
        self.subscribers.enter(stream.session.siblings(), 0, None);
        stream.session.listen(&Waker::from(woken.clone()));
        stream.subscribe(Endpoint, &[&service(number)], &[]);
        stream.take(Endpoint);
        stream.subscribe(Listener, &[], &[]);
        stream.take(Listener);
        Client { stream, woken }
    }

    /// Publishes, and gives the numbers of those who were woken; they look.
    fn publish(&mut self, edits: impl IntoIterator<Item = Edit>) -> Vec<usize> {
        self.snapshot = Arc::new(self.builder.apply(edits).expect("a change"));
        self.subscribers.announce(&self.snapshot);
        let mut woken = Vec::new();
        for (number, client) in self.clients.iter_mut().enumerate() {
            if client.woken.0.swap(0, Ordering::Relaxed) > 0 {
                client.stream.snapshot = self.snapshot.clone();
                client.stream.session.on_snapshot(&self.snapshot);
                woken.push(number);
            }
        }
        woken
    }
}

#[test]
fn a_change_wakes_those_whom_it_concerns_among_few_and_among_many() {
    for (clients, services) in [(3, 3), (100, 2000)] {
        let mut fleet = Fleet::new(clients, services);
        assert_eq!(fleet.publish([plain(Endpoint, &service(1), 2)]), [1]);
        assert_eq!(fleet.clients[1].stream.take(Endpoint), [service(1)]);
        // The version of endpoints is also that of the cluster that uses them.
        assert_eq!(fleet.publish([put(eds(&service(2), 2))]), [2]);
        assert_eq!(fleet.clients[2].stream.take(Endpoint), [service(2)]);
        assert_eq!(fleet.publish([for_node("0", resource(Listener, "own", 2, &[]))]), [0]);
        assert_eq!(fleet.clients[0].stream.take(Listener), ["own"]);
        assert_eq!(fleet.publish([plain(Kind::Secret, "of nobody", 1)]), [0; 0]);
        assert_eq!(fleet.publish([plain(Listener, "for all", 1)]).len(), clients);
    }
}

#[test]
fn who_was_not_woken_is_told_of_the_newest_as_soon_as_it_asks() {
    let mut fleet = Fleet::new(2, 4);
    assert_eq!(fleet.publish([plain(Endpoint, &service(2), 2)]), [0; 0]);
    let snapshot = fleet.snapshot.clone();
    let stream = &mut fleet.clients[0].stream;
    stream.subscribe(Endpoint, &[&service(2)], &[]);
    // What a stream does each time when it was at work.
    stream.session.on_snapshot(&snapshot);
    let response = stream.expect(Endpoint);
    let newest =
        snapshot.iter(Endpoint).find(|(_, found)| **found.name() == *service(2)).expect("it is there").1;
    let sent = response.items[0].resource.as_ref().expect("a resource");
    assert_eq!(sent.digest(), newest.digest());
}

#[test]
fn who_waits_for_something_is_woken_for_everything() {
    let mut fleet = Fleet::new(3, 3);
    fleet.publish([plain(Endpoint, &service(1), 2)]);
    let refused = fleet.clients[1].stream.expect(Endpoint);
    fleet.clients[1].stream.nack(&refused);
    assert_eq!(fleet.publish([plain(Kind::Secret, "of nobody", 1)]), [1]);
}

#[test]
fn everybody_is_woken_by_what_may_concern_everybody_and_nobody_stays_behind_for_ever() {
    let mut fleet = Fleet::new(3, 3);
    // A new audience: who belongs to it is for each to find out.
    assert_eq!(fleet.publish([for_node("x", resource(Listener, "x", 1, &[]))]), [0, 1, 2]);
    let many = (0..300).map(|number| plain(Cluster, &format!("c{number}"), 1));
    assert_eq!(fleet.publish(many), [0, 1, 2]);
    let changes = (0..64).map(|content| plain(Kind::Secret, "of nobody", content));
    let woken: Vec<usize> = changes.map(|change| fleet.publish([change]).len()).collect();
    assert_eq!(woken.iter().filter(|count| **count == 3).count(), 1, "{woken:?}");
    assert_eq!(woken.iter().filter(|count| **count == 0).count(), 63, "{woken:?}");
}
