//! "Did you mean": the nearest of the names that would have been right.

use crate::envoy_api::{FieldType, MessageType};

/// How many names are listed at most when none is near.
const LISTED: usize = 8;

/// The name nearest to `wrong`, if one is near enough to have been meant. `_`, `-` and capitals do
/// not count, so that `connectTimeOut` is near to `connect_timeout`.
pub fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let plain = |name: &str| -> String {
        name.chars().filter(|c| *c != '_' && *c != '-').flat_map(char::to_lowercase).take(200).collect()
    };
    let wrong = plain(wrong);
    let limit = (wrong.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| {
            let name_plain = plain(name);
            let far = wrong.len().abs_diff(name_plain.len()) > limit * 2;
            let distance = if far { usize::MAX } else { strsim::damerau_levenshtein(&wrong, &name_plain) };
            (distance, name)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// What to do about an unknown key: the nearest name, or all if they are few.
pub(super) fn hint<'n>(wrong: &str, names: impl Iterator<Item = &'n str> + Clone) -> Option<String> {
    if let Some(name) = nearest(wrong, names.clone()) {
        return Some(format!("did you mean `{name}`?"));
    }
    possible(names)
}

/// All that is possible, if it is not too much.
pub(super) fn possible<'n>(names: impl Iterator<Item = &'n str>) -> Option<String> {
    listed(names).map(|list| format!("possible here: {list}"))
}

/// Names as a list, if they are few.
fn listed<'n>(names: impl Iterator<Item = &'n str>) -> Option<String> {
    let names: Vec<&str> = names.take(LISTED + 1).collect();
    if names.is_empty() || names.len() > LISTED {
        return None;
    }
    Some(names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
}

/// What to do about a field that a message does not have.
pub(super) fn field_hint(ty: &MessageType, key: &str) -> Option<String> {
    if let Some(replacement) = v2_field(&ty.name, key) {
        return Some(format!(
            "this is a field of Envoy's old v2 API, now `{replacement}`; `xds-bridge import` converts whole files"
        ));
    }
    let fields = ty.fields.iter().filter(|field| !field.deprecated);
    let names = fields.map(|field| &*field.name);
    if let Some(name) = nearest(key, names.clone()) {
        return Some(format!("did you mean `{name}`?"));
    }
    if ty.fields.is_empty() {
        return Some(format!("{} has no fields at all", short(&ty.name)));
    }
    listed(names).map(|list| format!("fields of {}: {list}", short(&ty.name)))
}

/// Whether an unknown key is a field of old.
pub(super) fn is_old_field(ty: &MessageType, key: &str) -> bool {
    v2_field(&ty.name, key).is_some()
}

/// The field that an unknown key probably is.
pub(super) fn meant_field<'t>(ty: &'t MessageType, key: &str) -> Option<&'t FieldType> {
    let names = ty.fields.iter().map(|field| &*field.name);
    ty.field(v2_field(&ty.name, key).or_else(|| nearest(key, names))?)
}

/// What took the place of the fields that old configurations use most.
fn v2_field(message: &str, key: &str) -> Option<&'static str> {
    match (short(message), key) {
        ("Cluster", "hosts") => Some("load_assignment"),
        ("Cluster" | "FilterChain", "tls_context") => Some("transport_socket"),
        (
            "AccessLog" | "CustomHealthCheck" | "Filter" | "Http" | "HttpFilter" | "ResourceMonitor"
            | "StatsSink" | "TransportSocket",
            "config",
        ) => Some("typed_config"),
        ("VirtualHost" | "Route" | "WeightedCluster.ClusterWeight", "per_filter_config") => {
            Some("typed_per_filter_config")
        }
        _ => None,
    }
}

/// The last part of a full name.
pub(super) fn short(full_name: &str) -> &str {
    full_name.rsplit('.').next().unwrap_or(full_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_the_name_and_other_words_do_not() {
        let names = ["connect_timeout", "lb_policy", "name", "type"];
        let near = |wrong| nearest(wrong, names);
        assert_eq!(near("conect_timeout"), Some("connect_timeout"));
        assert_eq!(near("connectTimeOut"), Some("connect_timeout"));
        assert_eq!(near("lb-policy"), Some("lb_policy"));
        assert_eq!(near("nmae"), Some("name"));
        assert_eq!(near("hosts"), None);
        assert_eq!(near(""), None);
    }
}
