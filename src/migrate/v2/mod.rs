//! From the v2 API of 2017-2020 to v3, in place.
//!
//! Comes in: a tree that was written for either. Goes out: the same tree for v3, with a remark for
//! each line that was changed and each that a person must decide. Old and new messages have nearly
//! the same fields, so a tree is walked by the new ones; what is not among them is looked up in
//! `rules`. Keeps the invariant that nothing is dropped without a word.

mod gzip;
mod matchers;
mod rules;

use std::collections::HashSet;

use super::names::{self, Extension, Fate, Slot};
use super::report::Report;
use super::tree::{Child, Form, Node};
use super::typed;
use crate::envoy_api::{Api, MessageType, WellKnown};

/// For which API a file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// For Envoys up to 1.16.
    V2,
    /// For those of today.
    V3,
}

const CONTRIBUTED: &str = "only in Envoys with contributed extensions (images named envoy-contrib)";
const LISTENER: &str = "envoy.config.listener.v3.Listener";
const TLS: &str = "envoy.extensions.transport_sockets.tls.v3";
const GZIP_V2: &str = "envoy.config.filter.http.gzip.v2.Gzip";
const GZIP_V3: &str = "envoy.extensions.filters.http.gzip.v3.Gzip";
const TLS_NAMES: [&str; 3] = ["tls", "envoy.transport_sockets.tls", "envoy.tls"];

/// Tells for which API a tree was written, by what only the old one has.
pub fn era(api: &Api, message: &str, node: &Node) -> Era {
    let mut era = Era::V3;
    typed::look(api, message, node, &mut |ty, node| {
        let is_old = match ty.well_known {
            Some(WellKnown::Any) => {
                node.text_at("@type").is_some_and(|url| is_old_type(api, typed::type_of(url)))
            }
            Some(_) => false,
            None => node.entries().iter().any(|child| {
                ty.field(&child.key).is_none()
                    && (api.was_field(&ty.name, &child.key)
                        || rules::was_field(&ty.name, &child.key)
                        || child.key == "config" && ty.field("typed_config").is_some())
            }),
        };
        let is_old_version = ["api_version", "transport_api_version", "resource_api_version"]
            .iter()
            .any(|key| node.text_at(key).is_some_and(|text| text.eq_ignore_ascii_case("V2")));
        if is_old || is_old_version {
            era = Era::V2;
        }
    });
    era
}

/// Whether a type belongs to the old API.
pub fn is_old_type(api: &Api, name: &str) -> bool {
    api.message(name).is_none()
        && (v3_of(api, name).is_some()
            || name.starts_with("envoy.")
                && name.split('.').any(|part| part == "v2" || part.starts_with("v2alpha")))
}

/// The message of today that was this one, also where Envoy's annotations do not lead back so far:
/// those of `v2alpha` became `v2` under the same name, and ext_authz begins at a `v3` of its own.
fn v3_of<'a>(api: &'a Api, old: &str) -> Option<&'a MessageType> {
    let plain = old.replace(".v2alpha1.", ".v2.").replace(".v2alpha.", ".v2.");
    let later =
        plain.replace("envoy.config.filter.http.ext_authz.v2.", "envoy.config.filter.http.ext_authz.v3.");
    [old, &*plain, &*later].into_iter().find_map(|name| api.v3_of(name))
}

/// Whether a file is of the first API, whose addresses are URLs.
pub fn is_v1(root: &Node) -> bool {
    let is_url = |node: &Node| node.as_text().is_some_and(|text| text.starts_with("tcp://"));
    let listeners = root.get("listeners").map(Node::elements).unwrap_or_default();
    listeners.iter().any(|listener| listener.get("address").is_some_and(is_url))
        || root.at(&["admin", "address"]).is_some_and(is_url)
}

/// Brings a tree to v3. The remarks go into `report`.
pub fn upgrade(api: &Api, message: &str, node: &mut Node, era: Era, report: &mut Report) {
    if era == Era::V2 && message == super::bootstrap::BOOTSTRAP {
        rules::share_rate_limit_service(node, report);
    }
    let mut upgrade = Upgrade { api, era, report, told: HashSet::new() };
    typed::walk(api, message, node, &mut |ty, node| upgrade.message(ty, node));
}

/// One walk.
struct Upgrade<'a> {
    api: &'a Api,
    era: Era,
    report: &'a mut Report,
    /// The types of which it was just said, by the extension's name, that not every Envoy has them.
    told: HashSet<String>,
}

impl Upgrade<'_> {
    fn message(&mut self, ty: &MessageType, node: &mut Node) {
        if ty.well_known == Some(WellKnown::Any) {
            return self.any(node);
        }
        if ty.well_known.is_some() || !node.is_map() {
            return;
        }
        self.transport_socket(ty, node);
        if &*ty.name == LISTENER {
            rules::Rules { report: self.report }.internal_listener(node);
        }
        self.extension(ty, node);
        if self.era == Era::V2 {
            let mut rules = rules::Rules { report: self.report };
            rules.message(&ty.name, node);
            self.versions(ty, node);
            self.per_filter(ty, node);
        }
        self.left_over(ty, node);
    }

    /// A type by its name of today.
    fn any(&mut self, node: &mut Node) {
        let Some(url) = node.text_at("@type").map(str::to_owned) else { return };
        let old = typed::type_of(&url);
        if matches!(old, GZIP_V2 | GZIP_V3) {
            return gzip::to_compressor(node, self.report);
        }
        let line = node.get("@type").map_or(node.line, |node| node.line);
        if self.api.message(old).is_some() {
            if self.api.is_contributed(old) && !self.told.remove(old) {
                self.report.decide(line, format!("{old} is {CONTRIBUTED}"));
            }
        } else if let Some(ty) = v3_of(self.api, old).or_else(|| self.api.finished(old)) {
            self.report.changed(line, format!("{old} is {} now", ty.name));
            let url = format!("type.googleapis.com/{}", ty.name);
            if let Some(node) = node.get_mut("@type") {
                node.set_text(&url);
            }
            if self.api.is_contributed(&ty.name) && !self.told.remove(&*ty.name) {
                self.report.decide(line, format!("{} is {CONTRIBUTED}", ty.name));
            }
        } else if is_old_type(self.api, old) {
            self.report.decide(line, format!("{old} is gone from Envoy{}", replacement(old)));
        }
    }

    /// TLS and the like: the message depends on the side.
    fn transport_socket(&mut self, ty: &MessageType, node: &mut Node) {
        let context = match &*ty.name {
            "envoy.config.cluster.v3.Cluster" | "envoy.config.cluster.v3.Cluster.TransportSocketMatch" => {
                "UpstreamTlsContext"
            }
            "envoy.config.listener.v3.FilterChain" => "DownstreamTlsContext",
            _ => return,
        };
        let message = format!("{TLS}.{context}");
        if let Some(mut entry) = node.remove("tls_context").filter(|_| ty.field("tls_context").is_none()) {
            self.report
                .changed(entry.line, format!("`tls_context` is a transport socket with {context} now"));
            let mut typed = Node::typed(&message);
            append(&mut typed, &mut entry.value);
            entry.value =
                Node::map([("name", Node::text("envoy.transport_sockets.tls")), ("typed_config", typed)]);
            node.edit().expect("it is a mapping").push(Child {
                before: entry.before,
                comment: entry.comment,
                line: entry.line,
                ..Child::entry("transport_socket", entry.value)
            });
        }
        let Some(socket) = node.get_mut("transport_socket") else { return };
        if socket.text_at("name").is_some_and(|name| TLS_NAMES.contains(&name)) {
            if self.era == Era::V2 {
                socket.set("name", Node::text("envoy.transport_sockets.tls"));
            }
            self.type_config(socket, &message);
        }
    }

    /// An extension that is named: its body gets a type, and what is gone is told.
    fn extension(&mut self, ty: &MessageType, node: &mut Node) {
        if ty.field("typed_config").is_none() || ty.field("name").is_none() {
            return;
        }
        let Some(name) = node.text_at("name").map(str::to_owned) else { return };
        let is_discovered = node.get("config_discovery").is_some();
        let Some(found) = names::find(Slot::of(&ty.name), &name) else {
            let untyped = node.remove("config").filter(|_| ty.field("config").is_none());
            if let Some(entry) = untyped {
                self.report.decide(
                    entry.line,
                    format!("`{name}` is no extension that is known here: which type has its `config`?"),
                );
                let typed = Child { value: entry.value, ..Child::entry("typed_config", Node::map([])) };
                node.edit().expect("it is a mapping").push(typed);
            }
            return;
        };
        let line = node.line;
        self.fate(&found, &name, line);
        if self.era == Era::V2 && found.name != name {
            self.report.changed(line, format!("`{name}` is `{}` now", found.name));
            if let Some(node) = node.get_mut("name") {
                node.set_text(&found.name);
            }
        }
        if !is_discovered {
            self.type_config(node, &found.message());
        }
        let is_gzip = name.ends_with("gzip") && Slot::of(&ty.name) == Slot::HttpFilter;
        if is_gzip && node.at(&["typed_config", "@type"]).is_some_and(|ty| ty.line == 0) {
            let typed = node.get_mut("typed_config").expect("it was looked at just now");
            gzip::to_compressor(typed, self.report);
        }
    }

    fn fate(&mut self, extension: &Extension, name: &str, line: u32) {
        match extension.fate {
            Fate::Alive => {}
            Fate::Contrib => {
                self.report.decide(line, format!("`{name}` is {CONTRIBUTED}"));
                self.told.insert(extension.message());
            }
            Fate::Removed(year, instead) => {
                self.report.decide(line, format!("`{name}` was removed from Envoy in {year}: {instead}"));
            }
        }
    }

    /// Makes `config`, or nothing, a `typed_config` of this type.
    fn type_config(&mut self, node: &mut Node, message: &str) {
        if let Some(mut entry) = node.remove("config") {
            self.report.changed(entry.line, format!("`config` is a `typed_config` with {message} now"));
            let mut typed = Node::typed(message);
            // Some wrote a typed config under the old key.
            if entry.value.get("@type").is_some() {
                typed = entry.value;
            } else {
                append(&mut typed, &mut entry.value);
            }
            typed.line = entry.line;
            let value = Child { value: typed, ..Child::entry("typed_config", Node::map([])) };
            let value = Child { before: entry.before, comment: entry.comment, line: entry.line, ..value };
            node.edit().expect("it is a mapping").push(value);
            return;
        }
        let typed = node.get("typed_config");
        if typed.is_some_and(|typed| typed.get("@type").is_some() || !typed.is_map()) {
            return;
        }
        let line = typed.map_or(node.line, |typed| typed.line);
        self.report.changed(line, format!("an extension needs its type: {message} added"));
        match node.get_mut("typed_config") {
            Some(typed) => {
                let ty = Child::entry("@type", Node::text(&format!("type.googleapis.com/{message}")));
                typed.insert_behind("", ty);
            }
            None => {
                node.remove("typed_config");
                node.set("typed_config", Node::typed(message));
            }
        }
    }

    /// Whoever is asked over gRPC or xDS has to speak v3.
    fn versions(&mut self, ty: &MessageType, node: &mut Node) {
        for key in ["resource_api_version", "transport_api_version"] {
            let is_v3 = node.text_at(key).is_some_and(|text| text.eq_ignore_ascii_case("V3") || text == "2");
            if ty.field(key).is_none() || is_v3 {
                continue;
            }
            node.remove(key);
            node.set(key, Node::plain("V3"));
            if key == "transport_api_version" {
                self.report
                    .decide(node.line, "Envoy speaks v3 only: the server that is asked here must, too");
            } else {
                self.report.changed(node.line, format!("`{key}: V3` added"));
            }
        }
    }

    /// Settings of filters for a route, by the filter's name.
    fn per_filter(&mut self, ty: &MessageType, node: &mut Node) {
        for (old, new, slot) in [
            ("per_filter_config", "typed_per_filter_config", Slot::HttpFilter),
            ("extension_protocol_options", "typed_extension_protocol_options", Slot::NetworkFilter),
        ] {
            if ty.field(new).is_none() {
                continue;
            }
            let is_old = ty.field(old).is_none() && node.has(old);
            if is_old {
                let line = node.get(old).map_or(node.line, |node| node.line);
                self.report.changed(line, format!("`{old}` is `{new}` now"));
                node.rename(old, new);
            }
            let Some(filters) = node.get_mut(new) else { continue };
            let keys: Vec<String> = filters.entries().iter().map(|child| child.key.clone()).collect();
            for key in keys {
                self.route_setting(filters, &key, slot, is_old);
            }
        }
    }

    fn route_setting(&mut self, filters: &mut Node, key: &str, slot: Slot, is_old: bool) {
        let Some(found) = names::find(slot, key) else {
            if let (true, Some(value)) = (is_old, filters.get(key)) {
                self.report.decide(
                    value.line,
                    format!("`{key}` is no filter that is known here: which type is this?"),
                );
            }
            return;
        };
        if let Some(value) = filters.get_mut(key)
            && is_old
            && value.get("@type").is_none()
            && value.is_map()
        {
            let message = found.per_route();
            let ty = Child::entry("@type", Node::text(&format!("type.googleapis.com/{message}")));
            value.insert_behind("", ty);
        }
        if found.name != key {
            filters.rename(key, &found.name);
        }
    }

    /// What neither is a field nor became one.
    fn left_over(&mut self, ty: &MessageType, node: &mut Node) {
        for child in node.entries() {
            let is_known = ty.field(&child.key).is_some()
                || matches!(&*child.key, "@type" | "<<")
                || child.key == "value" && node.has("deprecated_v1")
                || child.key.starts_with('!')
                || matches!(child.value.form, Form::Alias(..));
            if !is_known && !child.value.is_null() {
                let short = ty.name.rsplit('.').next().unwrap_or(&ty.name);
                let advice = advice(&ty.name, &child.key);
                let was = self.api.was_field(&ty.name, &child.key) || !advice.is_empty();
                let since = if self.era == Era::V2 && was { " any more" } else { "" };
                let message = format!("{short} has no field `{}`{since}{advice}", child.key);
                self.report.decide(child.line, message);
            }
        }
    }
}

/// Moves the entries of one mapping to the end of another.
fn append(to: &mut Node, from: &mut Node) {
    if to.line == 0 {
        to.line = from.line;
    }
    let Some(children) = from.edit() else { return };
    let children = std::mem::take(children);
    let tail = std::mem::take(&mut from.tail);
    if let Some(all) = to.edit() {
        all.extend(children);
    }
    to.tail.extend(tail);
}

/// What to use instead of a type that is gone.
fn replacement(old: &str) -> &'static str {
    match old.rsplit('.').next().unwrap_or_default() {
        "Squash" => " (removed in 2025; nothing takes its place)",
        "LightstepConfig" | "DynamicOtConfig" | "OpenCensusConfig" => {
            ": use envoy.config.trace.v3.OpenTelemetryConfig"
        }
        _ => ", and no type of today says that it was this one",
    }
}

/// What to do about a field that is gone.
fn advice(message: &str, field: &str) -> &'static str {
    match (message.rsplit('.').next().unwrap_or_default(), field) {
        ("TcpProxy", "deprecated_v1") => {
            ": write its routes as filter chains with a `filter_chain_match` each, or as `cluster`"
        }
        ("UdpListenerConfig", "config" | "udp_listener_name") => ": QUIC is configured by `quic_options` now",
        ("PrivateKeyProvider", "config") => ": use `typed_config`",
        (_, "deprecated_v1") => ": what is in it is of the v1 API (2016-2017), write it anew",
        ("RouteAction", "websocket_config") => {
            ": use `upgrade_configs`, and the settings of a tcp_proxy elsewhere"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_where_the_annotations_do_not_lead_back_so_far() {
        let api = Api::embedded().expect("linked");
        for (old, new) in [
            ("http.ext_authz.v2.ExtAuthz", "http.ext_authz.v3.ExtAuthz"),
            ("http.ext_authz.v2alpha.ExtAuthz", "http.ext_authz.v3.ExtAuthz"),
            ("http.ext_authz.v2.ExtAuthzPerRoute", "http.ext_authz.v3.ExtAuthzPerRoute"),
            ("http.jwt_authn.v2alpha.JwtAuthentication", "http.jwt_authn.v3.JwtAuthentication"),
            ("network.kafka_broker.v2alpha1.KafkaBroker", "network.kafka_broker.v3.KafkaBroker"),
        ] {
            let found = v3_of(&api, &format!("envoy.config.filter.{old}")).map(|ty| &*ty.name);
            assert_eq!(found, Some(&*format!("envoy.extensions.filters.{new}")), "{old}");
        }
        assert!(v3_of(&api, "envoy.config.filter.http.squash.v2.Squash").is_none());
    }
}
