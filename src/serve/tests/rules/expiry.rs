//! Resources that are valid for a time only (rule 28).

use crate::serve::tests::*;
use Kind::{Cluster, Endpoint};
use Variant::{Delta, Sotw};

#[test]
fn rule_28_what_expires_is_kept_alive_at_clients_that_understand_it() {
    let ttl = Duration::from_secs(9);
    let mortal = |kind| put(Arc::new(Resource::new(kind, "mortal", &[1]).with_ttl(ttl)));
    for (variant, kind) in [(Delta, Cluster), (Delta, Endpoint), (Sotw, Endpoint), (Sotw, Cluster)] {
        let mut stream = Stream::ads(variant, [mortal(kind), plain(kind, "plain", 1)]);
        stream.features = vec!["xds.config.supports-resource-ttl".into()];
        match variant {
            Delta => stream.subscribe(kind, &["*"], &[]),
            Sotw => stream.ask(kind, &["*"], ""),
        }
        let first = stream.expect(kind);
        stream.answer(&first, None, &["*"]);
        assert_eq!(first.items.iter().filter_map(|item| item.ttl).collect::<Vec<_>>(), [ttl]);
        for _ in 0..3 {
            let next = stream.session.next(stream.now);
            assert!(next.response.is_none());
            assert_eq!(next.wake_at, Some(stream.now + ttl / 3));
            stream.wait(ttl / 3);
            let beat = stream.expect(kind);
            // A full state cannot leave the rest out.
            let full = variant == Sotw && kind == Cluster;
            assert_eq!(shown(&beat), if full { vec!["mortal", "plain"] } else { vec!["?mortal"] });
            assert_eq!(beat.items[0].ttl, Some(ttl));
            stream.answer(&beat, None, &["*"]);
        }
        stream.publish([remove(kind, "mortal")]);
        if variant == Delta || kind == Cluster {
            let gone = stream.expect(kind);
            stream.answer(&gone, None, &["*"]);
        }
        assert_eq!(stream.session.next(stream.now).wake_at, None);
    }
}

#[test]
fn rule_28_a_client_that_does_not_announce_it_sees_no_ttl() {
    let mortal = Resource::new(Cluster, "mortal", &[1]).with_ttl(Duration::from_secs(9));
    let mut stream = Stream::ads(Delta, [put(Arc::new(mortal))]);
    stream.subscribe(Cluster, &[], &[]);
    let response = stream.expect(Cluster);
    stream.ack(&response);
    assert_eq!(response.items[0].ttl, None);
    stream.wait(Duration::from_secs(100));
    let next = stream.session.next(stream.now);
    assert!(next.response.is_none() && next.wake_at.is_none());
}
