//! The endpoints in a dump: those that came over EDS, as somebody would have written them.
//!
//! Comes in: the part of a dump that holds what Envoy knows of all endpoints, resolved names and
//! health included. Goes out: an item for each assignment that a cluster asks for. Keeps the invariant
//! that what is served is what was served, without what Envoy filled in.

use std::collections::BTreeSet;

use super::super::report::Report;
use super::super::split::Item;
use super::super::tree::Node;
use super::{EDS_SOURCE, is_ads, item};
use crate::migrate::bootstrap;
use crate::resource::Kind;

/// How much more than its share a locality takes, unless something else is said.
const DEFAULT_OVERPROVISIONING: &str = "140";

/// What the name of the endpoints is that a cluster asks for; nothing if it asks nobody.
pub(super) fn asked_by(cluster: &Node) -> Option<String> {
    let is_eds = cluster.text_at("type").is_some_and(|ty| ty.eq_ignore_ascii_case("EDS"));
    let service = cluster.at(&["eds_cluster_config", "service_name"]).and_then(Node::as_text);
    let name = service.filter(|name| !name.is_empty()).or_else(|| cluster.text_at("name"));
    name.filter(|_| is_eds).map(str::to_owned)
}

/// Drops the endpoints that stand in their clusters, and adds those that clusters of the bootstrap ask
/// the replaced server for.
pub(super) fn keep_asked_for(
    root: &Node,
    part: Option<&Node>,
    items: &mut Vec<Item>,
    source: usize,
    report: &mut Report,
) {
    let clusters = items.iter().filter(|item| item.kind == Kind::Cluster);
    let mut asked: BTreeSet<String> = clusters.filter_map(|item| asked_by(&item.child.value)).collect();
    items.retain(|item| item.kind != Kind::Endpoint || asked.contains(&item.name));
    let fixed = bootstrap::list(root, "clusters");
    let fixed = fixed.iter().filter(|cluster| cluster.at(&EDS_SOURCE).is_some_and(is_ads));
    let wanted: BTreeSet<String> = fixed.filter_map(|cluster| asked_by(cluster)).collect();
    let known = part.and_then(|part| part.get("static_endpoint_configs")).map(Node::elements);
    for entry in known.unwrap_or_default() {
        let Some(assignment) = entry.get("endpoint_config") else { continue };
        let found = item(Kind::Endpoint, assignment, source);
        if wanted.contains(&found.name) && asked.insert(found.name.clone()) {
            items.push(found);
        }
    }
    for item in items.iter_mut().filter(|item| item.kind == Kind::Endpoint) {
        tidy(&mut item.child.value, &item.name, report);
    }
}

/// Takes out what Envoy filled in: zeros that its own checks refuse, defaults, and what it found out
/// about the health of each host.
fn tidy(assignment: &mut Node, name: &str, report: &mut Report) {
    drop_if(assignment, "policy", |policy| {
        policy.entries().iter().all(|child| {
            child.key == "overprovisioning_factor" && child.value.as_text() == Some(DEFAULT_OVERPROVISIONING)
        })
    });
    let localities = assignment.get_mut("endpoints").map(Node::elements_mut).unwrap_or_default();
    for locality in localities {
        drop_if(locality, "locality", is_empty);
        drop_if(locality, "load_balancing_weight", |weight| weight.as_text() == Some("0"));
        drop_if(locality, "priority", |priority| priority.as_text() == Some("0"));
        let endpoints = locality.get_mut("lb_endpoints").map(Node::elements_mut).unwrap_or_default();
        for endpoint in endpoints {
            drop_if(endpoint, "health_status", |status| {
                matches!(status.as_text(), Some("HEALTHY" | "UNKNOWN"))
            });
            drop_if(endpoint, "metadata", is_empty);
            drop_if(endpoint, "load_balancing_weight", |weight| weight.as_text() == Some("1"));
            if let Some(inner) = endpoint.get_mut("endpoint") {
                drop_if(inner, "health_check_config", is_empty);
            }
            if let Some(status) = endpoint.get("health_status") {
                let word = status.as_text().unwrap_or_default().to_owned();
                report.decide(
                    status.line,
                    format!("an endpoint of `{name}` was {word}: if Envoy found that out itself, remove it"),
                );
            }
        }
    }
}

fn is_empty(node: &Node) -> bool {
    node.is_map() && node.children().is_empty()
}

fn drop_if(node: &mut Node, key: &str, what: impl Fn(&Node) -> bool) {
    if node.get(key).is_some_and(what) {
        node.remove(key);
    }
}
