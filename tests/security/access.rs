//! Who is let in, who may claim what, and to whom secrets go.

use tonic::{Code, Status};
use xds_bridge::resource::Kind;
use xds_bridge::serve::Variant::{self, Delta, Sotw};

use super::certificates::{Ca, Pair, dns, uri};
use super::common::bridge::Address;
use super::common::xds::{Client, Node, Stream};
use super::{Home, SECRET, receives};

/// The flags of mutual TLS, with what [`with_certificates`] writes.
const MTLS: [&str; 8] = [
    "--listen",
    "127.0.0.1:0",
    "--tls-cert",
    "server.crt",
    "--tls-key",
    "server.key",
    "--tls-client-ca",
    "ca.crt",
];

fn with_certificates(home: &Home, ca: &Ca) {
    let server = ca.server();
    home.put("server.crt", &server.certificate);
    home.put("server.key", &server.key);
    home.put("ca.crt", &ca.pem());
}

/// What comes of a first request: the names in the answer, or the status. In TLS 1.3 a client learns with the
/// first answer only that its certificate was refused.
fn asks(address: &Address, ca: &Ca, pair: Option<&Pair>, node: &str) -> Result<Vec<String>, String> {
    let client = Client::try_connect(address, Some(ca.client(pair)))?;
    let mut stream = client.open(Delta, None).map_err(|status| format!("{status:?}"))?;
    stream.node = Some(Node::envoy(node));
    stream.ask(Kind::Cluster, &[]);
    match stream.next_within(super::SOON) {
        Some(Ok(Some(answer))) => Ok(answer.says()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn only_clients_with_a_certificate_of_the_ca_are_served() {
    let (home, ca, other) = (Home::new(), Ca::new("ca"), Ca::new("other"));
    with_certificates(&home, &ca);
    let daemon = home.serve(&MTLS);
    let address = daemon.address();
    let good = ca.sign(&[dns("edge")], false);
    assert_eq!(asks(&address, &ca, Some(&good), "n"), Ok(vec!["a".to_owned()]));
    for (what, wrong) in [
        ("no certificate", None),
        ("one of another CA", Some(other.sign(&[dns("edge")], false))),
        ("one that has ended", Some(ca.sign(&[dns("edge")], true))),
    ] {
        let answer = asks(&address, &ca, wrong.as_ref(), "n");
        assert!(answer.is_err(), "{what}: {answer:?}");
    }
    let answer = asks(&address, &other, Some(&good), "n");
    assert!(answer.is_err(), "a client that does not believe the bridge: {answer:?}");
    let plain = Client::try_connect(&address, None).map(|client| client.open(Delta, None).is_ok());
    assert!(!plain.unwrap_or(false), "plain text on a TLS port");
    assert_eq!(asks(&address, &ca, Some(&good), "n"), Ok(vec!["a".to_owned()]), "the good one still is");
    assert_eq!(daemon.lines("could not set up TLS").len(), 1, "one line a minute");
    assert_eq!(daemon.lines("may claim to be any node").len(), 1, "without rules there is a warning");
}

#[test]
fn a_client_claims_the_node_that_its_certificate_names_and_no_other() {
    let (home, ca) = (Home::new(), Ca::new("ca"));
    with_certificates(&home, &ca);
    home.put("config.d/a.yaml", "nodes: [{ id: e-1 }]\nclusters: [{ name: one, connect_timeout: 1s }]\n");
    home.put("config.d/b.yaml", "nodes: [{ id: e-2 }]\nclusters: [{ name: two, connect_timeout: 1s }]\n");
    home.put(
        "settings.yaml",
        "clients:\n- san_uri: spiffe://prod/{cluster}/{id}\n- san_dns: '*.ops.example.org'\n  ids: [e-*]\n",
    );
    let daemon = home.serve(&[&MTLS[..], &["--settings", "settings.yaml"]].concat());
    let address = daemon.address();
    let one = ca.sign(&[uri("spiffe://prod/test/e-1")], false);
    assert_eq!(asks(&address, &ca, Some(&one), "e-1"), Ok(vec!["one".to_owned()]));
    for (pair, node) in [
        (&one, "e-2"),
        (&one, "*"),
        (&one, ""),
        (&ca.sign(&[uri("spiffe://prod/other/e-1")], false), "e-1"),
        (&ca.sign(&[dns("spiffe://prod/test/e-1")], false), "e-1"),
        (&ca.sign(&[dns("a.ops.example.org")], false), "core-1"),
        (&ca.sign(&[], false), "e-1"),
    ] {
        let answer = asks(&address, &ca, Some(pair), node);
        assert!(answer.as_ref().is_err_and(|end| end.contains("may not claim")), "{node}: {answer:?}");
    }
    let ops = ca.sign(&[dns("a.ops.example.org")], false);
    assert_eq!(asks(&address, &ca, Some(&ops), "e-2"), Ok(vec!["two".to_owned()]));

    // A node that is named later changes nothing: neither what is checked nor what is sent.
    let client = Client::try_connect(&address, Some(ca.client(Some(&one)))).expect("its certificate is good");
    for variant in [Delta, Sotw] {
        let mut stream = client.ads(variant);
        stream.node = Some(Node::envoy("e-1"));
        receives(&mut stream, "one");
        stream.node = Some(Node::envoy("e-2"));
        stream.ask(Kind::Cluster, &["one", "two"]);
        let time = if variant == Delta { "2s" } else { "3s" };
        for (file, id, name) in [("b", "e-2", "two"), ("a", "e-1", "one")] {
            let text =
                format!("nodes: [{{ id: {id} }}]\nclusters: [{{ name: {name}, connect_timeout: {time} }}]\n");
            home.put(&format!("config.d/{file}.yaml"), &text);
        }
        let answer = stream.take_until(Kind::Cluster, "the change", |answer| {
            answer.resources.iter().any(|got| got.name == "one")
        });
        assert!(!answer.says().contains(&"two".to_owned()), "{:?}", answer.says());
    }
    let connected = daemon.lines("a client connected");
    assert!(connected[0].contains("credential=\"spiffe://prod/test/e-1\""), "{connected:?}");
}

#[test]
fn users_of_a_unix_socket_claim_what_their_rule_allows() {
    let own = std::process::Command::new("id").arg("-u").output().expect("`id` is everywhere").stdout;
    let own = String::from_utf8(own).expect("digits").trim().to_owned();
    let home = Home::new();
    let rule = format!("unix_uid={own} ids=e-*");
    let daemon =
        home.serve(&["--listen", "unix:x.sock,mode=0600", "--listen", "127.0.0.1:0", "--client", &rule]);
    let [unix, tcp] = &daemon.addresses()[..] else { panic!("two addresses") };
    let end = |address: &Address, node: &str| {
        let mut stream = Client::try_connect(address, None).expect("it listens").ads(Delta);
        stream.node = Some(Node::envoy(node));
        stream.ask(Kind::Cluster, &[]);
        stream
            .next_within(super::SOON)
            .expect("an answer or an end")
            .map(|answer| answer.expect("not cut").says())
    };
    assert_eq!(end(unix, "e-1").expect("it may"), ["a"]);
    for (address, node) in [(unix, "core-1"), (tcp, "e-1")] {
        let status = end(address, node).expect_err("it may not");
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    }
    assert!(daemon.lines("a client connected")[0].contains(&format!("credential=\"uid {own}\"")));
}

/// Asks for a cluster and a secret; what comes of the secret.
fn secret(client: &Client, variant: Variant, only: Option<Kind>) -> Result<bool, Status> {
    let mut stream: Stream = client.open(variant, only)?;
    stream.ask(Kind::Secret, &["s"]);
    if only.is_some() {
        return stream.next_within(super::SOON).expect("an answer or an end").map(|answer| answer.is_some());
    }
    stream.ask(Kind::Cluster, &["a"]);
    let first = stream.next();
    if first.type_url == Kind::Secret.type_url() {
        assert_eq!(first.says(), ["s"]);
        return Ok(true);
    }
    assert_eq!((first.type_url.as_str(), first.says()), (Kind::Cluster.type_url(), vec!["a".to_owned()]));
    stream.ack(&first);
    stream.expect_silence();
    Ok(false)
}

/// A user that is not the one of the tests.
const OTHER: u32 = 65_533;

fn client(address: &Address) -> Client {
    Client::try_connect(address, None).unwrap_or_else(|error| panic!("{address}: {error}"))
}

#[test]
fn secrets_go_over_unix_sockets_and_tls_and_over_plain_tcp_to_no_other_user_unless_it_is_said_aloud() {
    let home = Home::new();
    home.put("config.d/s.yaml", SECRET);
    let listen = ["--listen", "127.0.0.1:0", "--listen", "unix:x.sock"];
    let daemon = home.serve(&listen);
    let [tcp, unix] = &daemon.addresses()[..] else { panic!("two addresses") };
    for only in [None, Some(Kind::Secret)] {
        for variant in [Delta, Sotw] {
            assert!(secret(&client(unix), variant, only).expect("it goes on"));
            assert!(secret(&client(tcp), variant, only).expect("of the same user"));
        }
    }
    let told = daemon.lines("over plain TCP secrets go to clients of the bridge's own user");
    assert!(
        told.len() == 1 && told[0].contains(&tcp.to_string()) && told[0].contains("--insecure"),
        "{told:?}"
    );
    // Only root may play another user. Everybody else has what `neighbour` and the session show by themselves.
    if let Some(other) = Client::connect_as(OTHER, tcp) {
        for variant in [Delta, Sotw] {
            assert!(!secret(&other, variant, None).expect("the stream goes on"));
            let status =
                secret(&other, variant, Some(Kind::Secret)).expect_err("a stream for nothing else ends");
            assert_eq!(status.code(), Code::PermissionDenied);
            assert!(status.message().contains("unix socket or TLS"), "{status:?}");
        }
        assert_eq!(daemon.lines("asks for secrets over plain TCP").len(), 1, "once a client");
    }
    drop(daemon);
    let daemon = home.serve(&[&listen[..], &["--insecure"]].concat());
    if let Some(other) = Client::connect_as(OTHER, &daemon.address()) {
        assert!(secret(&other, Delta, None).expect("it goes on"));
    }
    assert!(!daemon.process.log().contains("hunter2"));
}

#[test]
fn some_addresses_may_stay_plain_and_only_on_loopback() {
    let (home, ca) = (Home::new(), Ca::new("ca"));
    with_certificates(&home, &ca);
    home.put("config.d/s.yaml", SECRET);
    let daemon = home.serve(&[&MTLS[..], &["--listen", "127.0.0.1:0,plain"]].concat());
    let [tls, plain] = &daemon.addresses()[..] else { panic!("two addresses") };
    let good = ca.sign(&[dns("edge")], false);
    assert_eq!(asks(tls, &ca, Some(&good), "n"), Ok(vec!["a".to_owned()]));
    daemon.serves(plain);
    if let Some(other) = Client::connect_as(OTHER, plain) {
        assert!(!secret(&other, Delta, None).expect("it goes on"), "plain is plain");
    }
    let client = Client::try_connect(tls, Some(ca.client(Some(&good)))).expect("it is good");
    let mut stream = client.ads(Delta);
    stream.ask(Kind::Secret, &["s"]);
    assert_eq!(stream.take(Kind::Secret).says(), ["s"], "over TLS secrets go");
}

#[test]
fn certificates_that_are_of_no_use_could_not_run_and_say_why() {
    let (home, ca) = (Home::new(), Ca::new("ca"));
    with_certificates(&home, &ca);
    home.put("other.key", &ca.server().key);
    home.put("half.crt", &ca.pem()[..100]);
    let end = |flags: &[&str], environment: &[(&str, &str)]| {
        let mut command = super::program();
        command.env("XDS_BRIDGE_ADMIN", "none").envs(environment.iter().copied()).current_dir(home.path());
        let output = command.arg("serve").args(flags).output().expect("it was built with this test");
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        String::from_utf8(output.stderr).expect("people are told things in UTF-8")
    };
    for (flags, says) in [
        (&["--tls-cert", "server.crt", "--tls-key", "other.key"][..], "the key other.key does not belong to"),
        (&["--tls-cert", "half.crt", "--tls-key", "server.key"], "half.crt"),
        (&["--tls-cert", "gone.crt", "--tls-key", "server.key"], "cannot read gone.crt"),
        (&["--tls-cert", "server.key", "--tls-key", "server.key"], "holds no certificate"),
        (&["--tls-cert", "server.crt", "--tls-key", "server.crt"], "holds no private key"),
        (&["--tls-cert", "server.crt"], "give --tls-cert and --tls-key"),
        (&["--tls-client-ca", "ca.crt"], "give --tls-cert and --tls-key"),
        (
            &["--tls-cert", "server.crt", "--tls-key", "server.key", "--tls-client-ca", "server.key"],
            "server.key",
        ),
    ] {
        let said = end(&[&["--listen", "127.0.0.1:0"], flags].concat(), &[]);
        assert!(said.contains(says), "{flags:?}: {said}");
    }
    let said = end(&["--listen", "0.0.0.0:0"], &[]);
    for way in ["--tls-cert", "unix socket", "--insecure"] {
        assert!(said.contains(way), "{said}");
    }
    // Those that systemd brings are used without a word.
    home.put("credentials/tls.crt", &ca.pem());
    home.put("credentials/tls.key", &ca.server().key);
    let dir = home.path().join("credentials").display().to_string();
    let said = end(&["--listen", "127.0.0.1:0"], &[("CREDENTIALS_DIRECTORY", &dir)]);
    assert!(said.contains("credentials/tls.key does not belong to"), "{said}");
}
