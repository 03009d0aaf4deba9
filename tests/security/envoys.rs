//! Real Envoys over mutual TLS and over a unix socket, with the bootstraps that the bridge prints.

use super::Home;
use super::certificates::{Ca, uri};
use super::common::bridge::{Address, run};
use super::common::envoy::{Envoy, NEWEST};
use super::common::{SOON, free_port, wait_until};

fn bootstrap(address: &Address, further: &[&str]) -> String {
    let (address, port) = (address.to_string(), free_port().to_string());
    let args =
        ["bootstrap", "--node-id", "e-1", "--node-cluster", "edge", "--xds", &address, "--admin-port", &port];
    let output = run(args.iter().chain(further));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a bootstrap is text")
}

/// A listener that is there only when its secret came.
fn with_secret(home: &Home) -> u16 {
    let port = free_port();
    let shipped = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config.d").join(name);
        std::fs::read_to_string(path).expect("it is part of the sources")
    };
    home.put("config.d/s.yaml", &shipped("50-secret-example-certificate.yaml"));
    home.put("config.d/r.yaml", "routes: [{ name: front-proxy }]\n");
    let listener = shipped("11-listener-front-proxy-tls.yaml").replace("10443", &port.to_string());
    home.put("config.d/l.yaml", &listener);
    port
}

#[test]
fn an_envoy_is_served_over_mutual_tls_secrets_too() {
    let (home, ca) = (Home::new(), Ca::new("ca"));
    with_secret(&home);
    let (server, envoy) = (ca.server(), ca.sign(&[uri("spiffe://prod/edge/e-1")], false));
    for (name, text) in [
        ("server.crt", &server.certificate),
        ("server.key", &server.key),
        ("ca.crt", &ca.pem()),
        ("envoy.crt", &envoy.certificate),
        ("envoy.key", &envoy.key),
    ] {
        home.put(name, text);
    }
    let tls = ["--tls-cert", "server.crt", "--tls-key", "server.key", "--tls-client-ca", "ca.crt"];
    let rule = ["--client", "san_uri=spiffe://prod/{cluster}/{id}"];
    let daemon = home.serve(&[&["--listen", "127.0.0.1:0"], &tls[..], &rule].concat());
    let path = |name: &str| home.path().join(name).display().to_string();
    let files = ["--ca", &path("ca.crt"), "--cert", &path("envoy.crt"), "--key", &path("envoy.key")];
    for name in [&[][..], &["--server-name", "localhost"]] {
        let envoy = Envoy::start_ready(NEWEST, &bootstrap(&daemon.address(), &[&files[..], name].concat()));
        assert_eq!(envoy.listeners(), ["front-proxy-tls"]);
        assert!(envoy.clusters().contains(&"a".to_owned()));
    }
    // One that has the right certificate and says it is somebody else.
    let other = bootstrap(&daemon.address(), &files).replace("id: \"e-1\"", "id: \"e-2\"");
    let envoy = Envoy::start(NEWEST, &other);
    wait_until(SOON, "the refusal", || !daemon.lines("may not claim the node id").is_empty());
    assert_eq!(envoy.listeners(), [""; 0]);
}

#[test]
fn an_envoy_is_served_over_a_unix_socket_secrets_too() {
    let home = Home::new();
    with_secret(&home);
    let daemon = home.serve(&["--listen", "unix:x.sock"]);
    let envoy = Envoy::start_ready(NEWEST, &bootstrap(&daemon.address(), &[]));
    assert_eq!(envoy.listeners(), ["front-proxy-tls"]);
}
