//! The descriptors inside real Envoys: they are found, they link, and they judge as that Envoy does.

mod common;
mod pool;

use std::fs;

use common::envoy;
use pool::BUILT_IN;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind as FieldKind, MessageDescriptor};
use xds_bridge::envoy_api::{Api, descriptors_in};
use xds_bridge::resource::Kind;

/// The descriptors in the Envoy of that version.
fn set_of(version: &str) -> Vec<u8> {
    let program = fs::File::open(envoy::binary(version)).expect("it was fetched");
    descriptors_in(program).expect("it is an Envoy")
}

/// The API of the Envoy of that version.
fn api_of(version: &str) -> Api {
    Api::with_sets(&[&set_of(version)]).expect("an Envoy's own descriptors fit together")
}

/// The same, as prost-reflect links it.
fn pool_of(version: &str) -> DescriptorPool {
    DescriptorPool::decode(set_of(version).as_slice()).expect("it has all that it imports")
}

#[test]
fn every_supported_envoy_gives_its_own_api() {
    for version in envoy::VERSIONS {
        let (api, pool) = (api_of(version), pool_of(version));
        assert!(pool.files().len() > 450, "{version}: {} files", pool.files().len());
        for message in pool.all_messages() {
            let fields = api.message(message.full_name()).map(|message| message.fields.len());
            assert_eq!(fields, Some(message.fields().len()), "{version}: {}", message.full_name());
        }
        for kind in Kind::ALL {
            let message = api.message(kind.message()).unwrap_or_else(|| panic!("{version} has no {kind}"));
            assert!(message.field(kind.name_field()).is_some(), "{version}: {kind}");
        }
        for name in api.message_names() {
            assert!(api.message(name).is_some(), "{version}: {name}");
        }
        let key = api.message("envoy.extensions.transport_sockets.tls.v3.TlsCertificate").expect("known");
        assert!(key.field("private_key").expect("known").sensitive, "{version} keeps the custom options");
    }
}

#[test]
fn what_came_and_what_went_between_two_envoys_is_told_apart() {
    let (old, new) = (api_of(envoy::VERSIONS[0]), api_of(envoy::NEWEST));
    let knows = |api: &Api, message: &str, field: &str| {
        api.message(message).is_some_and(|message| message.field(field).is_some())
    };
    let cluster = Kind::Cluster.message();
    assert!(!knows(&old, cluster, "stats_matcher") && knows(&new, cluster, "stats_matcher"));
    let manager = "envoy.config.listener.v3.ListenerManager";
    assert!(old.message(manager).is_some() && new.message(manager).is_none());
    // Contrib, which we know ourselves, is not in these programs: they would refuse it.
    assert!(new.message("envoy.extensions.filters.http.dynamo.v3.Dynamo").is_none());
}

/// All that decides how a message is read, written and judged.
fn shape(message: &MessageDescriptor) -> String {
    let field = |field: FieldDescriptor| {
        let kind = match field.kind() {
            FieldKind::Message(message) => message.full_name().to_owned(),
            FieldKind::Enum(descriptor) => descriptor.full_name().to_owned(),
            scalar => format!("{scalar:?}"),
        };
        let oneof = field.containing_oneof().map(|oneof| oneof.name().to_owned());
        let (number, name, json) = (field.number(), field.name(), field.json_name());
        format!("{number} {name} {json} {kind} {:?} {oneof:?} {}", field.cardinality(), field.options())
    };
    format!("{}: {:#?}", message.full_name(), message.fields().map(field).collect::<Vec<_>>())
}

fn messages_of(pool: &DescriptorPool, file: &str) -> Option<Vec<String>> {
    let messages = pool.all_messages().filter(|message| message.parent_file().name() == file);
    pool.get_file_by_name(file)?;
    Some(messages.map(|message| shape(&message)).collect())
}

#[test]
fn the_files_that_we_wrote_ourselves_say_what_envoys_own_say() {
    let theirs = pool_of(envoy::NEWEST);
    let own =
        |name: &str| fs::exists(format!("{}/proto/{name}", env!("CARGO_MANIFEST_DIR"))).expect("readable");
    let mut compared = 0;
    for file in BUILT_IN.files().filter(|file| own(file.name())) {
        if let Some(expected) = messages_of(&theirs, file.name()) {
            assert_eq!(messages_of(&BUILT_IN, file.name()), Some(expected), "{}", file.name());
            compared += 1;
        }
    }
    assert!(compared >= 12, "{compared}");
}

/// What there is to write in a configuration: names, numbers and types of fields, and the values of enums.
fn written_in(message: &MessageDescriptor) -> Vec<String> {
    let values = |field: &FieldDescriptor| match field.kind() {
        FieldKind::Enum(ty) => {
            ty.values().map(|value| format!("{}={}", value.name(), value.number())).collect::<Vec<_>>()
        }
        FieldKind::Message(message) => vec![message.full_name().to_owned()],
        scalar => vec![format!("{scalar:?}")],
    };
    let fields = message.fields();
    fields.map(|field| format!("{} {} {:?}", field.number(), field.name(), values(&field))).collect()
}

#[test]
fn all_that_the_newest_envoy_takes_is_built_in() {
    let newest = pool_of(envoy::NEWEST);
    let is_configuration = |message: &MessageDescriptor| {
        message.parent_file().name().starts_with("envoy/") && message.full_name().contains(".v3")
    };
    let mut compared = 0;
    let mut missing = Vec::new();
    for message in newest.all_messages().filter(is_configuration) {
        let known = BUILT_IN
            .get_message_by_name(message.full_name())
            .map(|known| written_in(&known))
            .unwrap_or_default();
        let new = written_in(&message).into_iter().filter(|field| !known.contains(field));
        missing.extend(new.map(|field| format!("{}: {field}", message.full_name())));
        compared += 1;
    }
    assert_eq!(missing, Vec::<String>::new(), "write it below proto/newer, or proto/ if the file is new");
    assert!(compared > 1000, "{compared}");
}
