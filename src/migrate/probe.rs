//! A static configuration that some Envoy on this machine is to judge: [`render`] made self-contained.
//!
//! Comes in: what one kind of node receives, and what is on this machine. Goes out: a bootstrap in
//! which files that are not here are stood in for, clusters that are defined elsewhere exist, and
//! nothing writes to the disk. Keeps the invariant that all else is as it will be served, so that a
//! refusal is about what the fragments hold.
//!
//! [`render`]: super::render

use std::collections::BTreeSet;
use std::sync::Arc;

use super::render::{RenderError, assemble, base, read, written};
use super::report::Report;
use super::tree::{Child, Node};
use super::{bootstrap, numbers, typed};
use crate::envoy_api::Api;
use crate::resource::{self, Name, Resource};

/// A certificate that means nothing, and its key. They are never served.
const CERTIFICATE: &str = include_str!("probe/stand-in.pem");
const KEY: &str = include_str!("probe/stand-in.key");

/// A key set of one key that means nothing.
const KEY_SET: &str = r#"{"keys":[{"kty":"oct","alg":"HS256","kid":"x","k":"c3RhbmQtaW4"}]}"#;

/// A user list of one user: the format is that of `htpasswd -s`.
const USERS: &str = "x:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n";

/// 80 bytes of session ticket key, in base64.
const TICKET_KEY_LENGTH: usize = 80;

/// A comment in Lua, a text anywhere else.
const TEXT: &str = "-- stand-in";

/// What an Envoy reads from its own machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside<'a> {
    /// The file or directory of this path.
    Path(&'a str),
    /// The environment variable of this name.
    Variable(&'a str),
}

/// Renders what this node receives, to be judged here. `clusters` are names that exist elsewhere;
/// `is_here` says what this machine has.
///
/// # Errors
/// If a resource is not of this API.
pub fn probe<'r>(
    api: &Api,
    resources: impl IntoIterator<Item = &'r Resource>,
    node: &resource::Node,
    clusters: &BTreeSet<Name>,
    is_here: &dyn Fn(Beside<'_>) -> bool,
) -> Result<String, RenderError> {
    let file: Arc<str> = "probe".into();
    let report = &mut Report::of(&file);
    let resources = read(api, resources, |kind, node| numbers::settle(api, kind.message(), node, report))?;
    let mut document = assemble(api, resources, base(None)?, report);
    let root = &mut document.root;
    root.set("node", identity(node));
    // Internal listeners need it; it does nothing otherwise.
    let internal = Node::map([
        ("name", Node::text("envoy.bootstrap.internal_listener")),
        ("typed_config", Node::typed("envoy.extensions.bootstrap.internal_listener.v3.InternalListener")),
    ]);
    root.push_at("bootstrap_extensions", Child::item(internal));
    for name in clusters {
        let cluster = Node::map([("name", Node::text(name)), ("type", Node::text("STATIC"))]);
        root.map_at("static_resources").push_at("clusters", Child::item(cluster));
    }
    typed::walk(api, bootstrap::BOOTSTRAP, root, &mut |ty, node| stand_in(&ty.name, node, is_here));
    Ok(written(&document, &file)?)
}

fn identity(node: &resource::Node) -> Node {
    let or = |text: &str, other: &str| Node::text(if text.is_empty() { other } else { text });
    let locality = Node::map([
        ("region", Node::text(&node.region)),
        ("zone", Node::text(&node.zone)),
        ("sub_zone", Node::text(&node.sub_zone)),
    ]);
    Node::map([
        ("id", or(&node.id, "check")),
        ("cluster", or(&node.cluster, "check")),
        ("locality", locality),
    ])
}

/// Puts something in the place of what this machine lacks.
fn stand_in(ty: &str, node: &mut Node, is_here: &dyn Fn(Beside<'_>) -> bool) {
    let lacks = |node: &Node, key: &str| node.get(key).is_some_and(|source| is_missing(source, is_here));
    match ty.strip_prefix("envoy.extensions.transport_sockets.tls.v3.").unwrap_or(ty) {
        "TlsCertificate" => {
            if ["certificate_chain", "private_key", "pkcs12"].iter().any(|key| lacks(node, key)) {
                stand_in_pair(node);
            }
            drop_missing(node, &["ocsp_staple", "password"], is_here);
        }
        "CertificateValidationContext" => {
            if lacks(node, "trusted_ca") {
                node.set("trusted_ca", inline(CERTIFICATE));
            }
            drop_missing(node, &["crl"], is_here);
        }
        "TlsSessionTicketKeys" => stand_in_ticket_keys(node, is_here),
        "envoy.extensions.filters.http.jwt_authn.v3.JwtProvider" if lacks(node, "local_jwks") => {
            node.set("local_jwks", inline(KEY_SET));
        }
        "envoy.extensions.filters.http.basic_auth.v3.BasicAuth" if lacks(node, "users") => {
            node.set("users", inline(USERS));
        }
        // Judging must not write.
        "envoy.extensions.access_loggers.file.v3.FileAccessLog" => node.set("path", Node::text("/dev/null")),
        "envoy.config.core.v3.ConfigSource" => {
            let nested = node.at(&["path_config_source", "path"]).or_else(|| node.get("path"));
            if nested.and_then(Node::as_text).is_some_and(|path| !is_here(Beside::Path(path))) {
                node.remove("path_config_source");
                node.remove("path");
                node.set("ads", Node::map([]));
            }
        }
        // The code of a Wasm module cannot be made up.
        "envoy.config.core.v3.DataSource" if is_missing(node, is_here) && !is_wasm(node) => {
            node.remove("filename");
            node.remove("environment_variable");
            node.set("inline_string", Node::text(TEXT));
        }
        _ => {}
    }
    let watched = node.at(&["watched_directory", "path"]).and_then(Node::as_text);
    if watched.is_some_and(|path| !is_here(Beside::Path(path))) {
        node.remove("watched_directory");
    }
}

/// A certificate and key instead of those that are somewhere else, one or both.
fn stand_in_pair(node: &mut Node) {
    for gone in ["pkcs12", "password", "ocsp_staple", "signed_certificate_timestamp"] {
        node.remove(gone);
    }
    node.set("certificate_chain", inline(CERTIFICATE));
    node.set("private_key", inline(KEY));
}

fn stand_in_ticket_keys(node: &mut Node, is_here: &dyn Fn(Beside<'_>) -> bool) {
    let keys = node.get_mut("keys").map(Node::elements_mut).into_iter().flatten();
    for key in keys.filter(|key| is_missing(key, is_here)) {
        // Three bytes are four characters; the last group is two bytes.
        let bytes = "A".repeat(TICKET_KEY_LENGTH / 3 * 4 + 3) + "=";
        *key = Node::map([("inline_bytes", Node::text(&bytes))]);
    }
}

fn drop_missing(node: &mut Node, keys: &[&str], is_here: &dyn Fn(Beside<'_>) -> bool) {
    for key in keys {
        if node.get(key).is_some_and(|source| is_missing(source, is_here)) {
            node.remove(key);
        }
    }
}

/// Whether a `DataSource` names what is not on this machine.
fn is_missing(source: &Node, is_here: &dyn Fn(Beside<'_>) -> bool) -> bool {
    let path = source.text_at("filename").map(Beside::Path);
    let named = path.or_else(|| source.text_at("environment_variable").map(Beside::Variable));
    named.is_some_and(|named| !is_here(named))
}

fn is_wasm(source: &Node) -> bool {
    source.text_at("filename").is_some_and(|path| path.ends_with(".wasm"))
}

fn inline(text: &str) -> Node {
    Node::map([("inline_string", Node::long_text(text))])
}
