//! One resource of a fragment: its name, its bytes, what it refers to.

use std::sync::Arc;
use std::time::Duration;

use super::decode::{Decoder, StaticSecrets};
use super::fragment::{Reader, Scope};
use super::lints::{ListenAddress, listen_addresses};
use super::naming;
use super::references::Mention;
use super::scalar::{Typed, typed};
use super::scope_key::scope_key;
use super::warmth;
use super::wire;
use super::yaml::Node;
use super::{Facts, Item, RareFacts};
use crate::diagnostic::{Related, Severity, Span};
use crate::envoy_api::MessageType;
use crate::resource::{Kind, Name, Reference, Resource};

/// All messages that are resources have their name in this field.
const NAME_FIELD: u32 = 1;

impl<'a> Reader<'a> {
    /// Reads an item and keeps it, if nothing is wrong with it. `in_any`: with `@type` among its keys.
    pub(super) fn item(
        &mut self,
        kind: Kind,
        node: &Node<'_>,
        in_any: bool,
        ttl: Option<Duration>,
        scope: &mut Scope,
    ) {
        let errors = self.decoder.findings.errors();
        let Some(ty) = self.decoder.api.message(kind.message()) else {
            return self.decoder.unknown_type(kind.message(), node.span);
        };
        let mut body = self.body(kind, ty, node, in_any);
        let Some((name, name_span)) = self.name(kind, node, &mut body) else { return };
        let name = self.shared(name);
        self.check_duplicate(kind, &name, name_span, scope);
        let aliases =
            if kind == Kind::VirtualHost { self.aliases(&name, name_span, node) } else { Vec::new() };
        let ttl = match scope.ttls.get_mut(&*name) {
            Some(entry) => {
                entry.is_used = true;
                Some(entry.duration)
            }
            None => ttl,
        };
        if self.decoder.findings.errors() > errors {
            return;
        }
        let resource = Resource::new(kind, name, &body).with_aliases(aliases);
        let (mut resource, mentions) = self.with_mentions(resource, name_span);
        if let Some(ttl) = ttl {
            resource = resource.with_ttl(ttl);
        }
        if kind == Kind::Cluster && warmth::is_slow(&body) {
            resource = resource.warming_slowly();
        }
        let addresses = if kind == Kind::Listener { listen_addresses(node) } else { Vec::new() };
        let key = (kind == Kind::ScopedRoute).then(|| scope_key(&body)).flatten();
        let resource = resource.with_claims(addresses.iter().map(|(address, _)| address.digest()).chain(key));
        let facts = facts(node.span, mentions, addresses, self.decoder.certificates.expires);
        self.items.push(Item {
            resource: Arc::new(resource),
            nodes: scope.nodes.clone(),
            span: node.span,
            name_span,
            facts: facts.shared(),
        });
    }

    /// Its message as it is sent.
    fn body(&mut self, kind: Kind, ty: &'a MessageType, node: &Node<'_>, in_any: bool) -> Vec<u8> {
        self.decoder.findings.secret = kind == Kind::Secret;
        if kind == Kind::Secret {
            self.decoder.findings.sensitive.mark_secret(node);
        }
        self.decoder.certificates.expires = None;
        self.decoder.mentions.clear();
        self.decoder.own_name = Some(kind.name_field());
        let mut body = Vec::new();
        if in_any {
            self.decoder.any_content(ty, node, &mut body);
        } else {
            self.decoder.message(ty, node, &mut body);
        }
        if kind == Kind::Endpoint {
            let hint = "EDS takes addresses only; put host names into a cluster of type STRICT_DNS";
            self.decoder.lint_static(Some(node), "", hint);
        }
        self.decoder.findings.secret = false;
        body
    }

    /// The resource with what it names, and where it does, unless that goes without saying.
    fn with_mentions(&mut self, resource: Resource, name_span: Span) -> (Resource, Vec<Mention>) {
        let mut mentions = std::mem::take(&mut self.decoder.mentions);
        for mention in &mut mentions {
            mention.to.name = self.shared(mention.to.name.clone());
        }
        let resource = resource.with_references(mentions.iter().map(|mention| mention.to.clone()));
        mentions.extend(home_of_virtual_host(&resource, name_span));
        mentions.sort();
        if resource.names_own_endpoints()
            && matches!(&mentions[..], [only] if only.is_own(resource.name(), name_span))
        {
            mentions.clear();
        }
        (resource, mentions)
    }

    /// The name as it was first met in this file.
    fn shared(&mut self, name: Name) -> Name {
        let known = self.names.get(&name).cloned();
        known.unwrap_or_else(|| {
            self.names.insert(name.clone());
            name
        })
    }

    /// The item's name and where it stands; a listener without one is given one.
    fn name(&mut self, kind: Kind, node: &Node<'_>, body: &mut Vec<u8>) -> Option<(Name, Span)> {
        let field = kind.name_field();
        let entries = node.entries()?;
        let camel_case = if field == "cluster_name" { "clusterName" } else { field };
        let given = node.get(&[field, camel_case]);
        let place = || entries.first().map_or(node.span, |entry| entry.key_span);
        match given.map(|node| (node, typed(node))) {
            Some((node, Some(Typed::Text(name)))) if !name.is_empty() => {
                return Some((Name::from(&*name), node.span));
            }
            // A name of another type is a finding already.
            Some((_, Some(Typed::Bool(_) | Typed::Number(_)) | None)) => return None,
            _ => {}
        }
        let span = given.map_or_else(place, |node| node.span);
        let made_up = if kind == Kind::Listener { naming::of_listener(node) } else { None };
        if let Some(name) = made_up {
            let mut named = Vec::with_capacity(body.len() + name.len() + 4);
            wire::bytes(NAME_FIELD, name.as_bytes(), &mut named);
            named.append(body);
            *body = named;
            let message = format!("this listener has no name; it is served as `{name}`");
            self.decoder.findings.add(Severity::Note, "unnamed-listener", span, message).hint =
                Some(format!("write `name: {name}`, so that it keeps the name when its address changes"));
            return Some((name.into(), span));
        }
        let message = format!("this {} has no name", kind.noun());
        self.decoder.findings.error("missing-name", span, message).hint = Some(format!("add `{field}:`"));
        None
    }

    fn check_duplicate(&mut self, kind: Kind, name: &Name, span: Span, scope: &Scope) {
        let key = (kind, name.clone(), scope.nodes.clone());
        let Some(first) = self.defined.get(&key).copied() else {
            self.defined.insert(key, span);
            return;
        };
        let file = self.decoder.findings.file().clone();
        let message = format!("a second {} named `{name}`", kind.noun());
        let finding = self.decoder.findings.error("duplicate-resource", span, message);
        finding.hint = Some("rename or remove one of them".to_owned());
        finding.related.push(Related { file, span: first, message: "the first one is here".to_owned() });
    }

    /// A virtual host is asked for by each of its domains, in the scope of its route configuration.
    fn aliases(&mut self, name: &Name, name_span: Span, node: &Node<'_>) -> Vec<Name> {
        let parts = name.rsplit_once('/').filter(|(route, host)| !route.is_empty() && !host.is_empty());
        let Some((route, _)) = parts else {
            let message =
                format!("`{name}` does not say to which route configuration this virtual host belongs");
            self.decoder.findings.error("bad-virtual-host-name", name_span, message).hint =
                Some("write the name as <route configuration>/<virtual host>; if this is a route configuration, it is an item of `routes`, with a `name`".to_owned());
            return Vec::new();
        };
        let domains = node.get(&["domains"]).map(Node::elements).unwrap_or_default();
        let aliases =
            domains.iter().filter_map(Node::text).map(|domain| Name::from(format!("{route}/{domain}")));
        aliases.collect()
    }
}

/// The route configuration that asks for a virtual host. It is no reference of the resource: the
/// client has the route configuration before it asks.
fn home_of_virtual_host(resource: &Resource, name_span: Span) -> Option<Mention> {
    let (route, _) = resource.name().rsplit_once('/').filter(|_| resource.kind() == Kind::VirtualHost)?;
    let to = Reference { kind: Kind::Route, name: route.into() };
    Some(Mention { span: name_span, to, carries_traffic: false, elsewhere: false })
}

const SDS_SECRET: &str = "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig";

impl Decoder<'_> {
    /// A resource that comes over xDS cannot name a secret of a bootstrap, as a static one can
    /// ("Unknown static secret"). The secret is served as well, so the reference is given the source.
    pub(super) fn complete_secret(&mut self, ty: &MessageType, node: &Node<'_>, out: &mut Vec<u8>) {
        // ConfigSource { ads: {}, resource_api_version: V3 }, in field 2 behind the name.
        const OVER_ADS: [u8; 6] = [0x12, 4, 0x1a, 0, 0x30, 2];
        if &*ty.name != SDS_SECRET
            || self.findings.unserved
            || node.get(&["sds_config", "sdsConfig"]).is_some()
        {
            return;
        }
        let Some(name_node) = node.get(&["name"]) else { return };
        let Some(name) = name_node.text().filter(|name| !name.is_empty() && !name.starts_with("xdstp:"))
        else {
            return;
        };
        match &self.static_secrets {
            StaticSecrets::NotAsked => return,
            StaticSecrets::Elsewhere => return self.sourceless_secret(name_node, name, false),
            StaticSecrets::Here(names) if !names.contains(name) => {
                return self.sourceless_secret(name_node, name, true);
            }
            StaticSecrets::Here(_) => {}
        }
        out.extend_from_slice(&OVER_ADS);
        self.mentions.extend(Mention::of(name_node, Kind::Secret, false));
        let message = format!("the secret `{name}` of this file is served too, so it is asked for over ADS");
        self.findings.add(Severity::Note, "secret-over-ads", name_node.span, message).hint =
            Some("say so with `sds_config: {ads: {}, resource_api_version: V3}`".to_owned());
    }

    /// A secret without a source is one of the Envoy's own bootstrap. A whole bootstrap has it or has it not;
    /// of the bootstraps of those who receive a fragment nothing is known.
    fn sourceless_secret(&mut self, node: &Node<'_>, name: &str, in_bootstrap: bool) {
        let shown = self.findings.quote(name);
        let (severity, message) = if in_bootstrap {
            (
                Severity::Error,
                format!("no secret of this file is named {shown}, and there is no `sds_config`"),
            )
        } else {
            let message =
                format!("without `sds_config`, Envoys look for the secret {shown} in their own bootstraps");
            (Severity::Warning, message)
        };
        self.findings.add(severity, "missing-part", node.span, message).hint =
            Some("if it is served here, add `sds_config: {ads: {}, resource_api_version: V3}`".to_owned());
    }
}

/// What is known of an item besides its resource; places count from where it begins.
fn facts(
    item: Span,
    mentions: Vec<Mention>,
    addresses: Vec<(ListenAddress, Span)>,
    expires: Option<i64>,
) -> Facts {
    let inside = |span: Span| Span {
        start: span.start.wrapping_sub(item.start),
        end: span.end.wrapping_sub(item.start),
    };
    let mentions = mentions.into_iter().map(|mention| Mention { span: inside(mention.span), ..mention });
    let addresses = addresses.into_iter().map(|(address, span)| (address, inside(span)));
    let rare = RareFacts { addresses: addresses.collect(), expires };
    let rare = (rare != RareFacts::default()).then(|| Box::new(rare));
    Facts { mentions: mentions.collect(), rare }
}
