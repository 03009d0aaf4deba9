//! Virtual hosts, which are asked for by the domain of a request (rule 11).

use super::version;
use crate::serve::tests::*;
use Kind::{Cluster, Route, VirtualHost};
use Variant::Delta;

#[test]
fn rule_11_virtual_hosts_are_found_by_alias_and_unknown_hosts_answered_without_a_body() {
    let host = |content| {
        let host = Resource::new(VirtualHost, "r/v", &[0x10, content]);
        put(Arc::new(host.with_aliases(["r/a.example".into(), "r/b.example".into()])))
    };
    let mut stream = Stream::ads(Delta, [host(1), plain(Route, "r", 1)]);
    stream.subscribe(VirtualHost, &["r/a.example", "r/b.example", "r/unknown"], &[]);
    assert_eq!(stream.take(VirtualHost), ["?r/unknown", "r/v"]);
    stream.publish([host(2)]);
    assert_eq!(stream.take(VirtualHost), ["r/v"]);
    // The route configuration empties Envoy's table of virtual hosts.
    stream.publish([plain(Route, "r", 2)]);
    assert_eq!(stream.take(VirtualHost), ["r/v"]);
    stream.publish([remove(VirtualHost, "r/v")]);
    assert_eq!(stream.take(VirtualHost), ["-r/v"]);
    stream.expect_nothing();
}

/// A virtual host of the route configuration `r`, with these domains.
fn host(name: &str, content: u8, domains: &[&str]) -> Edit {
    let aliases = domains.iter().map(|domain| format!("r/{domain}").into());
    put(Arc::new(Resource::new(VirtualHost, format!("r/{name}"), &[0x10, content]).with_aliases(aliases)))
}

#[test]
fn rule_11_a_domain_that_moves_to_another_host_is_followed() {
    let mut stream = Stream::ads(Delta, [host("h", 1, &["a", "b"]), host("k", 1, &["c"])]);
    stream.subscribe(VirtualHost, &["r/a"], &[]);
    assert_eq!(stream.take(VirtualHost), ["r/h"]);
    stream.publish([host("h", 2, &["b"]), host("k", 2, &["c", "a"])]);
    assert_eq!(stream.take(VirtualHost), ["r/k", "-r/h"]);
    stream.publish([host("h", 3, &["b"])]);
    stream.expect_nothing();
    // It goes, and comes back at another one.
    stream.publish([host("k", 3, &["c"])]);
    assert_eq!(stream.take(VirtualHost), ["-r/k"]);
    stream.publish([host("new", 1, &["a"])]);
    assert_eq!(stream.take(VirtualHost), ["r/new"]);
    // By another of its domains it goes on being wanted.
    stream.subscribe(VirtualHost, &["r/z"], &[]);
    assert_eq!(stream.take(VirtualHost), ["?r/z"]);
    stream.publish([host("new", 2, &["a", "z"])]);
    assert_eq!(stream.take(VirtualHost), ["r/new"]);
    stream.publish([host("new", 3, &["z"])]);
    assert_eq!(stream.take(VirtualHost), ["r/new"]);
    stream.subscribe(VirtualHost, &[], &["r/z"]);
    stream.publish([host("new", 4, &["y"])]);
    stream.expect_nothing();
}

#[test]
fn rule_11_who_comes_again_is_told_of_the_hosts_that_its_domains_have_now() {
    let known = Stream::ads(Delta, [host("h", 1, &["a", "b"]), host("k", 1, &["c"])]);
    let held = [("r/h", version(&known, VirtualHost, "r/h")), ("r/k", version(&known, VirtualHost, "r/k"))];
    let held = held.each_ref().map(|(name, version)| (*name, version.as_str()));
    for (now, told) in [
        (vec![host("h", 1, &["a", "b"]), host("k", 1, &["c"])], vec![]),
        (vec![host("h", 2, &["a", "b"]), host("k", 1, &["c"])], vec!["r/h"]),
        (vec![host("h", 1, &["a", "b"])], vec!["?r/c", "-r/k"]),
        (vec![host("h", 2, &["x"]), host("k", 2, &["a", "b", "c"])], vec!["r/k", "-r/h"]),
        (vec![host("n", 1, &["a", "b", "c"])], vec!["r/n", "-r/h", "-r/k"]),
    ] {
        let mut stream = Stream::ads(Delta, now);
        stream.resume(VirtualHost, &["r/a", "r/b", "r/c"], &held);
        stream.wait(Pace::default().resume);
        let response = stream.next();
        assert_eq!(response.as_ref().map(shown).unwrap_or_default(), told);
        response.iter().for_each(|response| stream.ack(response));
        stream.expect_nothing();
    }
}

#[test]
fn rule_11_aliases_asked_for_before_the_first_load_are_answered_as_after_it() {
    let mut stream = Stream::open(Delta, None);
    stream.subscribe(VirtualHost, &["r/a", "r/b", "r/none"], &[]);
    stream.expect_nothing();
    stream.publish([host("h", 1, &["a", "b"])]);
    assert_eq!(stream.take(VirtualHost), ["r/h", "?r/none"]);
    stream.expect_nothing();
}

#[test]
fn rule_11_a_host_asked_for_by_alias_waits_for_its_cluster_as_one_by_name_does() {
    let to = |cluster: &str| Reference { kind: Cluster, name: cluster.into() };
    let leading = |cluster: &str| {
        let host = Resource::new(VirtualHost, "r/h", &[0x10, 1]).with_references([to(cluster)]);
        put(Arc::new(host.with_aliases(["r/a".into()])))
    };
    let mut stream = Stream::ads(Delta, [plain(Cluster, "c", 1)]);
    stream.subscribe(Cluster, &[], &[]);
    stream.take(Cluster);
    stream.publish([plain(Cluster, "new", 1), leading("new")]);
    let clusters = stream.expect(Cluster);
    stream.subscribe(VirtualHost, &["r/a"], &[]);
    stream.expect_nothing();
    stream.ack(&clusters);
    assert_eq!(stream.take(VirtualHost), ["r/h"]);
    stream.expect_nothing();
}

#[test]
fn rule_11_a_domain_of_a_contested_host_is_answered_without_a_body() {
    let of = |id: &str, content: u8| {
        let host = Resource::new(VirtualHost, "r/h", &[0x10, content]).with_aliases(["r/a".into()]);
        for_node(id, Arc::new(host))
    };
    let mut stream = Stream::ads(Delta, [of("n*", 1), of("*n", 2)]);
    stream.subscribe(VirtualHost, &["r/a"], &[]);
    assert_eq!(stream.take(VirtualHost), ["?r/a"]);
    stream.expect_nothing();
}
