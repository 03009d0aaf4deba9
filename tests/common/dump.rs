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

/// The configuration in a dump, whatever way it came.
pub fn running(dump: &Value) -> Running {
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
            running.insert((*section, name), Value::Object(resource));
        }
    }
    running
}

/// The configuration in a dump without that of its bootstrap: the way to the xDS server.
pub fn served(dump: &Value) -> Running {
    let mut served = running(dump);
    for config in dump["configs"].as_array().into_iter().flatten() {
        for cluster in config["bootstrap"]["static_resources"]["clusters"].as_array().into_iter().flatten() {
            for name in [&cluster["name"], &cluster["load_assignment"]["cluster_name"]] {
                let name = name.as_str().unwrap_or_default();
                served.retain(|(_, other), _| other != name);
            }
        }
    }
    served
}

/// All entries of the lists of a section: static and dynamic ones.
fn entries(config: &Value) -> impl Iterator<Item = &Value> {
    let lists = config.as_object().into_iter().flatten();
    lists.filter(|(key, _)| !key.contains("warming")).filter_map(|(_, value)| value.as_array()).flatten()
}

/// Version and time of receipt of everything that came over xDS, by section and name: what must not
/// move when nothing was received. Envoy tells neither of endpoints.
pub fn receipts(dump: &Value) -> BTreeMap<(String, String), (String, String)> {
    let mut receipts = BTreeMap::new();
    for config in dump["configs"].as_array().into_iter().flatten() {
        for entry in entries(config) {
            let entry = if entry["active_state"].is_object() { &entry["active_state"] } else { entry };
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let fields = ["listener", "cluster", "route_config", "secret"];
            let name = fields.iter().map(|field| &entry[*field]["name"]).find(|name| name.is_string());
            if let (Some(name), true) = (name, entry["version_info"].is_string()) {
                let receipt = (text(&entry["version_info"]), text(&entry["last_updated"]));
                receipts.insert((text(&config["@type"]), text(name)), receipt);
            }
        }
    }
    receipts
}
