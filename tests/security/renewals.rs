//! Certificates that change while they are served with.

use std::os::unix::fs::symlink;

use tonic::Code;
use xds_bridge::resource::Kind;
use xds_bridge::serve::Variant::Delta;

use super::certificates::{Ca, Pair, dns};
use super::common::bridge::Address;
use super::common::xds::{Client, Stream};
use super::common::{free_port, http, wait_until};
use super::{Daemon, Home, SOON, receives};

/// Writes a version of everything beside the others, and swaps the link that leads there, as Kubernetes does.
fn write(home: &Home, version: &str, ca: &Ca, server: &Pair) {
    home.put(&format!("tls/{version}/tls.crt"), &server.certificate);
    home.put(&format!("tls/{version}/tls.key"), &server.key);
    home.put(&format!("tls/{version}/ca.crt"), &ca.pem());
    let (data, beside) = (home.path().join("tls/..data"), home.path().join("tls/..new"));
    symlink(version, &beside).expect("a link in a folder of our own");
    std::fs::rename(beside, data).expect("a rename in a folder of our own");
}

fn serve(home: &Home) -> Daemon {
    serve_with(home, &[])
}

fn serve_with(home: &Home, flags: &[&str]) -> Daemon {
    for name in ["tls.crt", "tls.key", "ca.crt"] {
        symlink(format!("..data/{name}"), home.path().join("tls").join(name)).expect("a link");
    }
    let files = ["--tls-cert", "tls/tls.crt", "--tls-key", "tls/tls.key", "--tls-client-ca", "tls/ca.crt"];
    home.serve(&[&["--listen", "127.0.0.1:0"], &files[..], flags].concat())
}

/// A stream of a client that believes `ca` and is served, or what went wrong.
fn served(address: &Address, ca: &Ca, own: &Pair) -> Result<Stream, String> {
    let client = Client::try_connect(address, Some(ca.client(Some(own))))?;
    let mut stream = client.open(Delta, None).map_err(|status| format!("{status:?}"))?;
    stream.ask(Kind::Cluster, &[]);
    match stream.next_within(SOON) {
        Some(Ok(Some(answer))) => {
            stream.ack(&answer);
            Ok(stream)
        }
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn a_renewal_by_a_swapped_link_is_taken_over_without_a_signal_and_streams_go_on() {
    let (home, old, new) = (Home::new(), Ca::new("old"), Ca::new("new"));
    write(&home, "1", &old, &old.server());
    let mut daemon = serve(&home);
    let address = daemon.address();
    let (old_client, new_client) = (old.sign(&[dns("e")], false), new.sign(&[dns("e")], false));
    let mut stream = served(&address, &old, &old_client).expect("all of one CA");
    assert!(served(&address, &new, &new_client).is_err());
    write(&home, "2", &new, &new.server());
    daemon.process.wait_for_line(SOON, 0, "took over new certificates");
    served(&address, &new, &new_client).expect("the new CA counts, and the new certificate is shown");
    assert!(served(&address, &old, &old_client).is_err(), "the old one counts no more");
    home.put("config.d/b.yaml", "clusters: [{ name: b, type: STATIC, connect_timeout: 1s }]\n");
    assert_eq!(stream.take(Kind::Cluster).says(), ["b"], "an open stream goes on");
}

#[test]
fn a_bad_renewal_changes_nothing_and_is_told_once() {
    let (home, ca) = (Home::new(), Ca::new("ca"));
    let (first, second) = (ca.server(), ca.server());
    write(&home, "1", &ca, &first);
    let mut daemon = serve(&home);
    let (address, client) = (daemon.address(), ca.sign(&[dns("e")], false));
    let mut stream = served(&address, &ca, &client).expect("it is good");
    let pair = |certificate: &str, key: &str| Pair { certificate: certificate.into(), key: key.into() };
    let half = &second.certificate[..second.certificate.len() / 2];
    for (version, bad, says) in [
        ("mismatch", pair(&second.certificate, &first.key), "does not belong to the certificate"),
        ("half", pair(half, &second.key), "tls.crt"),
        ("garbage", pair("no certificate", &second.key), "holds no certificate"),
        ("empty-key", pair(&second.certificate, ""), "holds no private key"),
        ("ended", ca.sign(&[dns("localhost")], true), "it ended at"),
    ] {
        let before = daemon.process.log().len();
        write(&home, version, &ca, &bad);
        // The second signal finds the same, and says nothing of it.
        for _ in 0..2 {
            let seen = daemon.process.log().len();
            daemon.process.signal("HUP");
            daemon.process.wait_for_line(SOON, seen, "looked at all fragments: no file has changed");
        }
        let log = daemon.process.log()[before..].to_owned();
        let told: Vec<&str> = log.lines().filter(|line| line.contains("are not taken over")).collect();
        assert!(told.len() == 1 && told[0].contains(says), "{version}: {told:#?}");
        assert!(!log.contains("PRIVATE KEY"));
        served(&address, &ca, &client).unwrap_or_else(|error| panic!("{version}: {error}"));
    }
    let before = daemon.process.log().len();
    std::fs::remove_file(home.path().join("tls/..data")).expect("it is there");
    daemon.process.signal("HUP");
    daemon.process.wait_for_line(SOON, before, "cannot read");
    served(&address, &ca, &client).expect("what is in use stays, even without a file");
    write(&home, "2", &ca, &second);
    daemon.process.signal("HUP");
    daemon.process.wait_for_line(SOON, before, "took over new certificates");
    served(&address, &ca, &client).expect("the good renewal");
    stream.expect_silence();
    let status = daemon.process.terminate(SOON);
    assert!(status.success());
    assert_eq!(stream.expect_end().code(), Code::Unavailable);
}

#[test]
fn renewals_are_counted_and_the_end_of_the_certificate_in_use_is_told() {
    let (home, ca) = (Home::new(), Ca::new("ca"));
    let (first, second) = (ca.server_until(2040), ca.server_until(2041));
    write(&home, "1", &ca, &first);
    let port = free_port();
    let mut daemon = serve_with(&home, &["--admin", &format!("127.0.0.1:{port}")]);
    // When it ends, and how many renewals were taken over and refused.
    let told = || {
        let metrics = http::get(port, "/metrics").expect("the admin address answers").body;
        let of = |sample: &str| {
            let mut values = metrics.lines().filter_map(|line| line.strip_prefix(sample));
            let value = values.next().and_then(|value| value.trim().parse::<u64>().ok());
            value.unwrap_or_else(|| panic!("no number for {sample} in\n{metrics}"))
        };
        let own = r#"{kind="listen",resource="",file="tls/tls.crt"}"#;
        let ends = of(&format!("xds_bridge_certificate_expiry_timestamp_seconds{own}"));
        let renewals = |outcome| of(&format!("xds_bridge_tls_renewals_total{{outcome=\"{outcome}\"}}"));
        (ends, renewals("taken"), renewals("refused"))
    };
    let (in_2040, in_2041) = (2_208_988_800, 2_240_611_200);
    assert_eq!(told(), (in_2040, 0, 0));
    let mismatch = Pair { certificate: second.certificate.clone(), key: first.key };
    for (version, pair, says, expected) in [
        ("bad", &mismatch, "are not taken over", (in_2040, 0, 1)),
        ("good", &second, "took over new certificates", (in_2041, 1, 1)),
    ] {
        let before = daemon.process.log().len();
        write(&home, version, &ca, pair);
        daemon.process.signal("HUP");
        daemon.process.wait_for_line(SOON, before, says);
        // It is logged a moment before it is counted.
        wait_until(SOON, &format!("{expected:?}"), || told() == expected);
    }
}

#[test]
fn a_certificate_that_has_ended_is_told_of_at_the_start() {
    let (home, ca) = (Home::new(), Ca::new("ca"));
    write(&home, "1", &ca, &ca.sign(&[dns("localhost")], true));
    let daemon = serve(&home);
    assert_eq!(daemon.lines("the certificate ends soon, or has ended").len(), 1);
    let client = Client::try_connect(&daemon.address(), Some(ca.client(None)));
    assert!(client.is_err(), "clients see it themselves");
    write(&home, "2", &ca, &ca.server());
    daemon.process.signal("HUP");
    let (mut daemon, client) = (daemon, ca.sign(&[dns("e")], false));
    daemon.process.wait_for_line(SOON, 0, "took over new certificates");
    let client = Client::try_connect(&daemon.address(), Some(ca.client(Some(&client)))).expect("renewed");
    receives(&mut client.ads(Delta), "a");
}
