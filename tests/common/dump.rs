//! What an Envoy runs, whichever way it came: `/config_dump` without the traces of that way.
//!
//! Comes in: the JSON of `/config_dump?include_eds`. Goes out: listeners, clusters, routes and
//! endpoints by name. A static and a dynamic start of the same configuration give equal values.

use std::collections::BTreeMap;

use serde_json::Value;

/// Resources by section and name, such as `("clusters", "service_1")`.
pub type Running = BTreeMap<(&'static str, String), Value>;

/// Section, field of the resource in an entry, field of its name.
const SECTIONS: [(&str, &str, &str, &str); 4] = [
    ("listeners", "ListenersConfigDump", "listener", "name"),
    ("clusters", "ClustersConfigDump", "cluster", "name"),
    ("routes", "RoutesConfigDump", "route_config", "name"),
    ("endpoints", "EndpointsConfigDump", "endpoint_config", "cluster_name"),
];

/// The configuration in a dump, without the clusters in `own` (the way to the xDS server).
pub fn running(dump: &Value, own: &[&str]) -> Running {
    let mut running = Running::new();
    for config in dump["configs"].as_array().into_iter().flatten() {
        let kind = config["@type"].as_str().unwrap_or_default().rsplit('.').next().unwrap_or_default();
        let Some((section, _, field, name_field)) = SECTIONS.iter().find(|entry| entry.1 == kind) else {
            continue;
        };
        for entry in entries(config) {
            // A listener that came dynamically is wrapped once more; what is warming or draining is
            // not what runs.
            let entry = if entry["active_state"].is_object() { &entry["active_state"] } else { entry };
            let Some(resource) = entry[field].as_object() else { continue };
            let mut resource = resource.clone();
            resource.remove("@type");
            let name = resource.get(*name_field).and_then(Value::as_str).unwrap_or_default().to_owned();
            if !own.contains(&name.as_str()) {
                running.insert((section, name), Value::Object(resource));
            }
        }
    }
    running
}

/// All entries of the lists of a section: static and dynamic ones.
fn entries(config: &Value) -> impl Iterator<Item = &Value> {
    let lists = config.as_object().into_iter().flatten();
    lists.filter(|(key, _)| !key.contains("warming")).filter_map(|(_, value)| value.as_array()).flatten()
}

/// The `last_updated` of everything that came over xDS, with the versions: what must not move when
/// nothing was received.
pub fn receipts(dump: &Value) -> BTreeMap<String, (String, String)> {
    fn walk(path: &str, value: &Value, into: &mut BTreeMap<String, (String, String)>) {
        match value {
            Value::Object(map) => {
                let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                if map.contains_key("version_info") && map.contains_key("last_updated") {
                    into.insert(path.to_owned(), (text("version_info"), text("last_updated")));
                }
                map.iter().for_each(|(key, inner)| walk(&format!("{path}.{key}"), inner, into));
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, inner)| walk(&format!("{path}[{at}]"), inner, into));
            }
            _ => {}
        }
    }
    let mut receipts = BTreeMap::new();
    walk("", dump, &mut receipts);
    receipts
}
