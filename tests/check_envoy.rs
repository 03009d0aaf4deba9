//! `check --envoy` with real Envoys: what only they refuse is found, at its place, and nothing else is.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::bridge::run;
use common::envoy::{NEWEST, VERSIONS, binary};
use common::files::put;
use serde_json::Value;
use tempfile::TempDir;

const LISTENER: &str = r#"
nodes: [{ cluster: "edge-*" }]
listeners:
- name: front
  address: { socket_address: { address: 127.0.0.1, port_value: 1 } }
  filter_chains:
  - filters:
    - name: hcm
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: front
        access_log:
        - name: file
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
            path: /nonexistent/of/the/envoys/access.log
        rds: { route_config_name: all, config_source: { ads: {}, resource_api_version: V3 } }
        http_filters:
        - name: lua
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
            default_source_code: { inline_string: "function envoy_on_request(handle) end" }
        - name: router
          typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
        common_tls_context:
          tls_certificates:
          - certificate_chain: { filename: /nonexistent/of/the/envoys/cert.pem }
            private_key: { environment_variable: OF_THE_ENVOYS }
          validation_context:
            trusted_ca: { filename: /nonexistent/of/the/envoys/ca.pem }
            crl: { filename: /nonexistent/of/the/envoys/crl.pem }
"#;

const ROUTES: &str = r#"
routes:
- name: all
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - match: { connect_matcher: {} }
      route:
        cluster: a
        upgrade_configs: [{ upgrade_type: CONNECT }]
"#;

const CLUSTERS: &str = r#"
clusters:
- name: a
  type: EDS
  eds_cluster_config: { eds_config: { ads: {}, resource_api_version: V3 } }
- name: b
  type: STATIC
  lb_policy: MAGLEV
  maglev_lb_config: { table_size: 101 }
endpoints:
- cluster_name: a
  endpoints:
  - lb_endpoints: [{ endpoint: { address: { pipe: { path: /x } } } }]
"#;

fn good() -> TempDir {
    let dir = tempfile::tempdir().expect("writable");
    put(dir.path(), "listener.yaml", LISTENER);
    put(dir.path(), "routes.yaml", ROUTES);
    put(dir.path(), "clusters.yaml", CLUSTERS);
    dir
}

/// The exit code and the findings that are more than a note.
fn asked(dir: &Path, envoy: &Path) -> (Option<i32>, Vec<Value>) {
    let output = run([
        "check".as_ref(),
        dir.as_os_str(),
        "--format".as_ref(),
        "json".as_ref(),
        "--envoy".as_ref(),
        envoy.as_os_str(),
    ]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).expect(&errors);
    (output.status.code(), findings.into_iter().filter(|finding| finding["severity"] != "note").collect())
}

/// The only finding, as `file:line path`, and its message.
fn only(dir: &Path, envoy: &Path) -> (String, String) {
    let (code, findings) = asked(dir, envoy);
    assert_eq!((code, findings.len()), (Some(1), 1), "{findings:#?}");
    let finding = &findings[0];
    assert_eq!(finding["code"], "envoy-refused");
    let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let file = Path::new(&text("file")).file_name().expect("a file").to_string_lossy().into_owned();
    (format!("{file}:{} {}", finding["line"], text("path")), text("message"))
}

#[test]
fn what_is_good_is_taken_by_the_oldest_and_the_newest_envoy() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.d");
    let made = good();
    for version in VERSIONS {
        for dir in [&*shipped, made.path()] {
            let (code, findings) = asked(dir, &binary(version));
            assert_eq!((code, findings.len()), (Some(0), 0), "{version} {}: {findings:#?}", dir.display());
        }
    }
}

#[test]
fn a_cluster_that_only_envoy_refuses_is_found_although_it_does_not_say_which() {
    let dir = good();
    put(dir.path(), "clusters.yaml", &CLUSTERS.replace("101", "100"));
    for version in VERSIONS {
        let (place, message) = only(dir.path(), &binary(version));
        assert_eq!(place, "clusters.yaml:6 ", "{message}");
        assert!(message.contains("the cluster `b`") && message.contains("must be prime"), "{message}");
    }
}

#[test]
fn a_listener_that_only_envoy_refuses_is_found_for_the_nodes_that_receive_it() {
    let dir = good();
    put(dir.path(), "listener.yaml", &LISTENER.replace("(handle) end", "(handle)"));
    let (place, message) = only(dir.path(), &binary(NEWEST));
    assert!(place.starts_with("listener.yaml:4 ") || place.starts_with("listener.yaml:22 "), "{place}");
    assert!(message.contains("the listener `front` for a node such as cluster=edge-"), "{message}");
}

#[test]
fn a_route_configuration_is_blamed_and_not_the_listener_that_asks_for_it() {
    let dir = good();
    let unknown = "response_headers_to_add: [{ header: { key: x, value: '%UNHEARD_OF%' } }]\n      route:";
    put(dir.path(), "routes.yaml", &ROUTES.replace("route:", unknown));
    put(dir.path(), "other.yaml", "nodes: [{ id: other }]\nclusters:\n- { name: other, type: STATIC }\n");
    let (place, _) = only(dir.path(), &binary(NEWEST));
    assert_eq!(place, "routes.yaml:3 ");
}

#[test]
fn several_refusals_are_found_in_one_go_each_once() {
    let dir = good();
    put(dir.path(), "clusters.yaml", &CLUSTERS.replace("101", "100"));
    put(dir.path(), "listener.yaml", &LISTENER.replace("(handle) end", "(handle)"));
    put(
        dir.path(),
        "more.yaml",
        "nodes: [{ id: one }, { id: two }]\nclusters:\n- { name: more, type: STATIC }\n",
    );
    let (code, findings) = asked(dir.path(), &binary(NEWEST));
    assert_eq!((code, findings.len()), (Some(1), 2), "{findings:#?}");
}

#[test]
fn what_cannot_be_asked_is_said_and_is_no_finding() {
    let dir = good();
    let script = |name: &str, text: &str| -> PathBuf {
        let path = put(dir.path(), name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file of ours");
        path
    };
    let greets = "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'envoy  version: 0/1.2.3/x'; exit; fi\n";
    let cases = [
        (PathBuf::from("/nonexistent/envoy"), "cannot run /nonexistent/envoy"),
        (PathBuf::from("/bin/true"), "is not an Envoy"),
        (script("crash", &format!("{greets}kill -SEGV $$\n")), "SIGSEGV"),
        (script("slow", &format!("{greets}exec sleep 600\n")), "did not end within 1s"),
    ];
    for (program, expected) in cases {
        let dir = dir.path().as_os_str();
        let program = program.as_os_str();
        let flags = ["check", "--envoy-timeout", "1s", "--envoy"].map(AsRef::as_ref);
        let output = run(flags.into_iter().chain([program, dir]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn an_envoy_is_not_asked_about_what_is_known_to_be_wrong() {
    let dir = good();
    put(dir.path(), "clusters.yaml", "clusters:\n- { name: a, typ: EDS }\n");
    let (code, findings) = asked(dir.path(), &binary(NEWEST));
    assert_eq!(code, Some(1));
    assert!(findings.iter().all(|finding| finding["code"] != "envoy-refused"), "{findings:#?}");
}
