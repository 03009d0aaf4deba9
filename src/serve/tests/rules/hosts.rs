//! Virtual hosts, which are asked for by the domain of a request (rule 11).

use crate::serve::tests::*;
use Kind::{Route, VirtualHost};
use Variant::Delta;

#[test]
fn rule_11_virtual_hosts_are_found_by_alias_and_unknown_hosts_answered_without_a_body() {
    let host = |content| {
        let host = Resource::new(VirtualHost, "r/v", &[0x10, content]);
        put(Arc::new(host.with_aliases(["r/a.example".into(), "r/b.example".into()])))
    };
    let mut stream = Stream::ads(Delta, [host(1), plain(Route, "r", 1)]);
    stream.subscribe(VirtualHost, &["r/a.example", "r/b.example", "r/unknown"], &[]);
    assert_eq!(stream.take(VirtualHost), ["r/v", "?r/unknown"]);
    stream.publish([host(2)]);
    assert_eq!(stream.take(VirtualHost), ["r/v"]);
    // The route configuration empties Envoy's table of virtual hosts.
    stream.publish([plain(Route, "r", 2)]);
    assert_eq!(stream.take(VirtualHost), ["r/v"]);
    stream.publish([remove(VirtualHost, "r/v")]);
    assert_eq!(stream.take(VirtualHost), ["-r/v"]);
    stream.expect_nothing();
}
