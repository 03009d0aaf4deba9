//! The old names of Envoy's types: every message of v3 says which one it was before.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, Value};

const VERSIONING: &str = "udpa.annotations.versioning";

/// Longest chain of renames, `v2` to `v2alpha` to `v3` and some.
const MAX_RENAMES: usize = 4;

/// From the name before to the name after.
pub(super) fn renames(pool: &DescriptorPool) -> HashMap<String, String> {
    let mut renames = HashMap::new();
    let Some(option) = pool.get_extension_by_name(VERSIONING) else { return renames };
    for message in pool.all_messages() {
        if message.descriptor_proto().options.is_none() {
            continue;
        }
        let options = message.options();
        let versioning = options.get_extension(&option);
        let Value::Message(versioning) = &*versioning else { continue };
        let previous = versioning.get_field_by_name("previous_message_type");
        if let Some(previous) =
            previous.as_ref().and_then(|value| value.as_str()).filter(|name| !name.is_empty())
        {
            renames.insert(previous.to_owned(), message.full_name().to_owned());
        }
    }
    renames
}

/// The newest name of what once had this one.
pub(super) fn newest<'r>(renames: &'r HashMap<String, String>, old: &str) -> Option<&'r str> {
    let mut name = renames.get(old)?;
    for _ in 0..MAX_RENAMES {
        match renames.get(name) {
            Some(newer) => name = newer,
            None => break,
        }
    }
    Some(name)
}

/// Names that Envoy gave up before it annotated what it renamed, or without doing so.
const MOVED: [(&str, &str); 3] = [
    ("envoy.config.cluster.aggregate.ClusterConfig", "envoy.extensions.clusters.aggregate.v3.ClusterConfig"),
    (
        "envoy.extensions.cache.simple_http_cache.v3alpha.SimpleHttpCacheConfig",
        "envoy.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig",
    ),
    (
        "envoy.source.extensions.filters.http.cache.SimpleHttpCacheConfig",
        "envoy.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig",
    ),
];

/// What the type of an unfinished version would be called in the finished one, such as `v3` for `v3alpha`.
pub(super) fn finished(old: &str) -> Option<String> {
    if let Some((_, new)) = MOVED.iter().find(|(name, _)| *name == old) {
        return Some((*new).to_owned());
    }
    let version = old.split('.').find(|part| {
        let digits = part.strip_prefix('v').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        part.len() > 2 && digits.is_some_and(|rest| rest.starts_with("alpha") || rest.starts_with("beta"))
    })?;
    let plain = version.trim_end_matches(|c: char| c.is_ascii_digit());
    let plain = plain.trim_end_matches("alpha").trim_end_matches("beta");
    Some(old.replacen(&format!(".{version}."), &format!(".{plain}."), 1))
}
