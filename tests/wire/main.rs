//! The protocol on the wire, rule by rule: the real daemon and a client that says what it is told to.
//!
//! Comes in: fragments and raw requests. Goes out: what the daemon answers, in both variants, over ADS
//! and each single service, for all nine types. A test is named after the rule that it keeps
//! (`rule_07_…`), numbered as in docs/conformance.md.

#[path = "../common/mod.rs"]
mod common;

mod acks;
mod clients;
mod hostile;
mod sending;
mod subscriptions;
mod versions;

use std::fmt::Write as _;
use std::path::Path;

use common::bridge::{Address, Bridge};
use common::files;
use common::free_port;
use common::xds::{Answer, Ask, Client, Stream};
use tempfile::TempDir;
use xds_bridge::resource::Kind;
use xds_bridge::serve::Variant;
use xds_bridge::serve::Variant::{Delta, Sotw};

/// A folder of fragments, a daemon that serves it, and a connection to that.
struct World {
    dir: TempDir,
    bridge: Bridge,
    client: Client,
}

impl World {
    fn new(fragments: &[(&str, &str)]) -> World {
        World::with_flags(fragments, &[])
    }

    fn with_flags(fragments: &[(&str, &str)], flags: &[&str]) -> World {
        let dir = tempfile::tempdir().expect("a folder for temporary files");
        for (name, text) in fragments {
            files::put(dir.path(), name, text);
        }
        let bridge = Bridge::serve_with(dir.path(), Address::Tcp(free_port()), flags);
        let client = Client::connect(bridge.address());
        World { dir, bridge, client }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn put(&self, name: &str, text: &str) {
        files::put(self.path(), name, text);
    }

    /// Takes everything out of a fragment. Its removal would do the same, and wait for a moment.
    fn clear(&self, name: &str) {
        self.put(name, "x-nothing: {}\n");
    }

    /// An aggregated delta stream.
    fn delta(&self) -> Stream {
        self.client.ads(Delta)
    }

    /// An aggregated stream of the world's state.
    fn sotw(&self) -> Stream {
        self.client.ads(Sotw)
    }
}

/// Each type in each variant, over ADS and over its own service.
fn everywhere() -> Vec<(Variant, Option<Kind>, Kind)> {
    let mut all = Vec::new();
    for kind in Kind::ALL {
        for variant in [Delta, Sotw] {
            all.push((variant, None, kind));
            // Envoy's API has no such method for virtual hosts.
            if (variant, kind) != (Sotw, Kind::VirtualHost) {
                all.push((variant, Some(kind), kind));
            }
        }
    }
    all
}

/// What a resource called `name` is really called: virtual hosts carry their route configuration.
fn full_name(kind: Kind, name: &str) -> String {
    if kind == Kind::VirtualHost { format!("rc/{name}") } else { name.to_owned() }
}

/// An item of the list of this kind; its content depends on a number.
fn item(kind: Kind, name: &str, content: u32) -> String {
    // Listeners of different names must not open the same address.
    let sum = name.bytes().fold(0, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let name = full_name(kind, name);
    match kind {
        Kind::Secret => {
            format!("{{name: {name}, generic_secret: {{secret: {{inline_string: n{content}}}}}}}")
        }
        Kind::Runtime => format!("{{name: {name}, layer: {{some.value: {content}}}}}"),
        Kind::ExtensionConfig => format!(
            "{{name: {name}, typed_config: {{\
             '@type': type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, \
             max_request_bytes: {}}}}}",
            content + 1
        ),
        Kind::Cluster => format!("{{name: {name}, type: STATIC, connect_timeout: {}s}}", content + 1),
        Kind::Endpoint => format!(
            "{{cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: \
             {{address: 127.0.0.1, port_value: {}}}}}}}}}]}}]}}",
            content + 1
        ),
        Kind::Listener => format!(
            "{{name: {name}, per_connection_buffer_limit_bytes: {}, \
             address: {{socket_address: {{address: 127.0.{}.{}, port_value: 1}}}}, \
             filter_chains: [{{filters: [{{name: echo, typed_config: {{\
             '@type': type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}}}]}}]}}",
            content + 1,
            sum / 256 % 256,
            sum % 256
        ),
        Kind::Route => format!("{{name: {name}, max_direct_response_body_size_bytes: {}}}", content + 1),
        Kind::ScopedRoute => format!(
            "{{name: {name}, route_configuration_name: rc, key: {{fragments: [{{string_key: k{content}}}]}}}}"
        ),
        Kind::VirtualHost => format!("{{name: {name}, domains: [n{content}.{}.example]}}", &name[3..]),
    }
}

/// A fragment of such items.
fn fragment(items: &[(Kind, &str, u32)]) -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        let of_kind: Vec<_> = items.iter().filter(|item| item.0 == kind).collect();
        if !of_kind.is_empty() {
            writeln!(text, "{}:", kind.fragment_key()).expect("texts take everything");
        }
        for (_, name, content) in of_kind {
            writeln!(text, "- {}", item(kind, name, *content)).expect("texts take everything");
        }
    }
    text
}

/// One resource of each type.
fn one_of_each(name: &str, content: u32) -> String {
    fragment(&Kind::ALL.map(|kind| (kind, name, content)))
}

/// State of the world: the list is now this, in answer to `last`.
fn ask_again(stream: &mut Stream, kind: Kind, last: &Answer, names: &[&str]) {
    let ask = Ask { subscribe: names, nonce: &last.nonce, version: &last.version, ..Ask::default() };
    stream.send(kind.type_url(), ask);
}
