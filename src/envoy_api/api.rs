//! [`Api`]: the descriptors, and the tables made from them when they are first asked for.
//!
//! Invariant: an index given out stays valid, and what it points to never changes, as long as the
//! `Api` lives; so tables hold indices instead of each other.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use prost_reflect::{DescriptorPool, ExtensionDescriptor};

use super::files::{Files, TypeHead};
use super::names::NameIndex;
use super::{ApiError, EnumId, EnumType, MessageId, MessageType, WellKnown, rules, sets, tables, versioning};

/// Marks a field that Envoy refuses.
const DISALLOWED: &str = "envoy.annotations.disallowed_by_default";
/// Marks a value of an enum that Envoy refuses.
const DISALLOWED_VALUE: &str = "envoy.annotations.disallowed_by_default_enum";
/// Marks a field whose value nobody may see.
const SENSITIVE: &str = "udpa.annotations.sensitive";

/// Envoy's API: message and enum types by name and by index. Cloning it is cheap.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    files: Files,
    messages: Box<[Slot<MessageType>]>,
    enums: Box<[Slot<EnumType>]>,
    message_names: NameIndex,
    enum_names: NameIndex,
    /// Old names to new ones, once somebody has asked.
    renames: OnceLock<HashMap<String, String>>,
}

/// Options of single fields and values, as far as this API has them, and those that carry constraints.
pub(super) struct Marks {
    pub sensitive: Option<ExtensionDescriptor>,
    pub disallowed: Option<ExtensionDescriptor>,
    pub disallowed_value: Option<ExtensionDescriptor>,
    pub rules: rules::Options,
}

impl Marks {
    /// Those of a pool. They hold it, so they are not kept.
    fn of(pool: &DescriptorPool) -> Marks {
        Marks {
            sensitive: pool.get_extension_by_name(SENSITIVE),
            disallowed: pool.get_extension_by_name(DISALLOWED),
            disallowed_value: pool.get_extension_by_name(DISALLOWED_VALUE),
            rules: rules::Options::of(pool),
        }
    }
}

/// Where a type is, and its table once somebody has asked for it.
struct Slot<T> {
    head: TypeHead,
    table: OnceLock<T>,
}

impl<T> Slot<T> {
    fn all(heads: Vec<TypeHead>) -> Box<[Slot<T>]> {
        heads.into_iter().map(|head| Slot { head, table: OnceLock::new() }).collect()
    }

    fn index(slots: &[Slot<T>]) -> NameIndex {
        NameIndex::new(slots.iter().enumerate().map(|(at, slot)| (&*slot.head.full_name, at)))
    }
}

impl Api {
    /// The API that is built in. It is unpacked once in a process.
    ///
    /// # Errors
    /// [`ApiError::BuiltIn`] if the program file is damaged.
    pub fn embedded() -> Result<Api, ApiError> {
        static EMBEDDED: OnceLock<Api> = OnceLock::new();
        if let Some(api) = EMBEDDED.get() {
            return Ok(api.clone());
        }
        let (files, linked) = sets::choose(&[])?;
        let api = Api::from_files(&files, linked);
        Ok(EMBEDDED.get_or_init(|| api).clone())
    }

    /// The API with encoded `FileDescriptorSet`s of the user's.
    ///
    /// A set that is a whole Envoy API of its own, such as that of the very Envoy that is deployed,
    /// replaces the one that is built in: then just what that Envoy knows is known. Of any other set
    /// the files that are not known yet are added; those that are known stay as they are.
    ///
    /// # Errors
    /// Says which set, counted from one, is unusable, and why.
    pub fn with_sets(user_sets: &[&[u8]]) -> Result<Api, ApiError> {
        if user_sets.is_empty() {
            return Api::embedded();
        }
        let (files, linked) = sets::choose(user_sets)?;
        Ok(Api::from_files(&files, linked))
    }

    /// Of files, and of a pool in which those that are not built in are linked.
    pub(super) fn from_files(files: &[sets::File], linked: DescriptorPool) -> Api {
        let (files, messages, enums) = Files::new(files, linked);
        let (messages, enums) = (Slot::all(messages), Slot::all(enums));
        let (message_names, enum_names) = (Slot::index(&messages), Slot::index(&enums));
        Api(Arc::new(Inner { files, messages, enums, message_names, enum_names, renames: OnceLock::new() }))
    }

    /// The message type with this full name (no leading dot).
    pub fn message(&self, full_name: &str) -> Option<&MessageType> {
        self.message_id(full_name).map(|id| self.message_type(id))
    }

    /// The index of the message type with this full name (no leading dot).
    pub fn message_id(&self, full_name: &str) -> Option<MessageId> {
        let messages = &self.0.messages;
        let index = self.0.message_names.find(full_name, |at| *messages[at].head.full_name == *full_name)?;
        Some(MessageId(index as u32))
    }

    /// The message type with this index, which must come from this `Api`.
    pub fn message_type(&self, id: MessageId) -> &MessageType {
        let slot = &self.0.messages[id.0 as usize];
        slot.table.get_or_init(|| {
            self.linked(&slot.head, |pool| {
                let descriptor = pool.get_message_by_name(&slot.head.full_name).expect("its file is linked");
                tables::message(self, &Marks::of(pool), &descriptor)
            })
        })
    }

    /// The index of the enum type with this full name (no leading dot).
    pub fn enum_id(&self, full_name: &str) -> Option<EnumId> {
        let enums = &self.0.enums;
        let index = self.0.enum_names.find(full_name, |at| *enums[at].head.full_name == *full_name)?;
        Some(EnumId(index as u32))
    }

    /// The enum type with this index, which must come from this `Api`.
    pub fn enum_type(&self, id: EnumId) -> &EnumType {
        let slot = &self.0.enums[id.0 as usize];
        slot.table.get_or_init(|| {
            self.linked(&slot.head, |pool| {
                let descriptor = pool.get_enum_by_name(&slot.head.full_name).expect("its file is linked");
                tables::enumeration(&Marks::of(pool), &descriptor)
            })
        })
    }

    /// The full names of all message types that can be named in an `Any` (so no map entries), unsorted.
    pub fn message_names(&self) -> impl Iterator<Item = &str> {
        let named = self.0.messages.iter().filter(|slot| !slot.head.is_map_entry);
        named.map(|slot| &*slot.head.full_name)
    }

    /// The message type that once had this full name, such as `envoy.api.v2.Cluster`.
    pub fn v3_of(&self, old: &str) -> Option<&MessageType> {
        let files = &self.0.files;
        let renames = self.0.renames.get_or_init(|| files.linked(0..files.len(), versioning::renames));
        self.message(versioning::newest(renames, old)?)
    }

    /// The message type of today behind the name of a version that was not finished yet, such as
    /// `envoy.extensions.filters.http.oauth2.v3alpha.OAuth2`.
    pub fn finished(&self, old: &str) -> Option<&MessageType> {
        self.message(&versioning::finished(old)?)
    }

    /// Whether only Envoys that are built with contributed extensions have this type.
    pub fn is_contributed(&self, full_name: &str) -> bool {
        let Some(id) = self.message_id(full_name) else { return false };
        self.0.files.name(self.0.messages[id.0 as usize].head.file).starts_with("contrib/")
    }

    /// Whether a message had this field in an older version, and has it no more.
    pub fn was_field(&self, message: &str, field: &str) -> bool {
        let Some(id) = self.message_id(message) else { return false };
        self.linked(&self.0.messages[id.0 as usize].head, |pool| {
            let descriptor = pool.get_message_by_name(message);
            descriptor.is_some_and(|it| it.descriptor_proto().reserved_name.iter().any(|name| name == field))
        })
    }

    /// A `FileDescriptorSet` of the files that define these services and of all that they import.
    /// Services that this API does not have are left out.
    pub fn descriptors_of(&self, services: &[&str]) -> Vec<u8> {
        self.0.files.defining(services)
    }

    /// Reads in a pool with at least the file of this type.
    fn linked<T>(&self, head: &TypeHead, read: impl FnOnce(&DescriptorPool) -> T) -> T {
        self.0.files.linked(head.file..head.file + 1, read)
    }

    /// Of how many files it is made.
    #[cfg(test)]
    pub(super) fn file_count(&self) -> usize {
        self.0.files.len()
    }

    /// What is special about a message type, without making its table.
    pub(super) fn well_known(&self, id: MessageId) -> Option<WellKnown> {
        tables::well_known(&self.0.messages[id.0 as usize].head.full_name)
    }
}

// By hand, because the descriptors' own overflows the stack.
impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("messages", &self.0.messages.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy_api::{FieldType, Scalar, Shape, ValueType, WellKnown};
    use crate::resource::Kind;

    fn api() -> Api {
        Api::embedded().expect("the built-in API links")
    }

    /// The built-in API of which no type has been met.
    fn unmet() -> Api {
        let (files, linked) = sets::choose(&[]).expect("the shipped set is whole");
        Api::from_files(&files, linked)
    }

    fn linked_at_once() -> DescriptorPool {
        let files = &unmet().0.files;
        files.linked(0..files.len(), DescriptorPool::clone)
    }

    fn message<'a>(api: &'a Api, name: &str) -> &'a MessageType {
        api.message(name).unwrap_or_else(|| panic!("{name} is known"))
    }

    fn field<'a>(message: &'a MessageType, name: &str) -> &'a FieldType {
        message.field(name).unwrap_or_else(|| panic!("{}.{name} is known", message.name))
    }

    const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";

    #[test]
    fn every_type_that_is_built_in_becomes_a_table() {
        let api = api();
        assert!(api.file_count() > 520);
        let all = linked_at_once();
        assert_eq!(
            (api.0.messages.len(), api.0.enums.len()),
            (all.all_messages().count(), all.all_enums().count())
        );
        for (at, slot) in api.0.messages.iter().enumerate() {
            let table = api.message_type(MessageId(at as u32));
            let descriptor = all.get_message_by_name(&slot.head.full_name).expect("the heads are right");
            assert_eq!(slot.head.is_map_entry, descriptor.is_map_entry());
            assert_eq!(table.fields.len(), descriptor.fields().len(), "{}", table.name);
            assert!(table.fields.is_sorted_by_key(|field| field.number), "{}", table.name);
            assert_eq!(api.message_id(&table.name), Some(MessageId(at as u32)));
            for (index, field) in table.fields.iter().enumerate() {
                assert_eq!(table.field_index(&field.name), Some(index), "{}.{}", table.name, field.name);
                assert_eq!(table.field_index(&field.json_name), Some(index), "{}.{}", table.name, field.name);
                if let Some(oneof) = field.oneof {
                    assert!((oneof as usize) < table.oneofs.len() && field.presence);
                }
            }
        }
        for at in 0..api.0.enums.len() {
            let table = api.enum_type(EnumId(at as u32));
            assert_eq!(api.enum_id(&table.name), Some(EnumId(at as u32)));
            assert!(!table.values.is_empty(), "{}", table.name);
        }
    }

    #[test]
    fn a_table_is_the_same_whoever_meets_its_type_and_when() {
        let (api, all) = (unmet(), linked_at_once());
        let marks = Marks::of(&all);
        let compare = |slot: &Slot<MessageType>| {
            let name = &slot.head.full_name;
            let at_once = tables::message(&api, &marks, &all.get_message_by_name(name).expect("known"));
            assert_eq!(format!("{:?}", api.message(name).expect("known")), format!("{at_once:?}"));
        };
        std::thread::scope(|scope| {
            scope.spawn(|| api.0.messages.iter().for_each(compare));
            scope.spawn(|| api.0.messages.iter().rev().for_each(compare));
        });
        for slot in &api.0.enums {
            let name = &slot.head.full_name;
            let at_once = tables::enumeration(&marks, &all.get_enum_by_name(name).expect("known"));
            let id = api.enum_id(name).expect("known");
            assert_eq!(format!("{:?}", api.enum_type(id)), format!("{at_once:?}"));
        }
    }

    #[test]
    fn every_kind_that_is_served_has_its_message_and_name_field() {
        let api = api();
        for kind in Kind::ALL {
            let name = field(message(&api, kind.message()), kind.name_field());
            assert_eq!(name.value, ValueType::Scalar(Scalar::String), "{kind}");
        }
    }

    #[test]
    fn a_field_is_found_by_both_spellings_only() {
        let api = api();
        let cluster = message(&api, CLUSTER);
        assert_eq!(field(cluster, "connect_timeout").number, field(cluster, "connectTimeout").number);
        for wrong in ["ConnectTimeout", "connect-timeout", "", "connect_timeout "] {
            assert!(cluster.field(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn fields_say_what_their_descriptor_says() {
        let api = api();
        let cluster = message(&api, CLUSTER);
        assert!(field(cluster, "http2_protocol_options").deprecated);
        assert!(!field(cluster, "name").deprecated);
        assert!(!field(cluster, "name").presence);
        assert!(field(cluster, "load_assignment").presence);

        let options = field(cluster, "typed_extension_protocol_options");
        assert_eq!(options.shape, Shape::Map(Scalar::String));
        assert!(!options.presence);
        let ValueType::Message(any) = options.value else { panic!("a map of messages") };
        assert_eq!(api.message_type(any).well_known, Some(WellKnown::Any));

        let discovery = field(cluster, "type").oneof.expect("a member of a oneof");
        assert_eq!(Some(discovery), field(cluster, "cluster_type").oneof);
        assert_eq!(&*cluster.oneofs[discovery as usize], "cluster_discovery_type");

        let secret = message(&api, "envoy.extensions.transport_sockets.tls.v3.TlsCertificate");
        assert!(field(secret, "private_key").sensitive);
        assert!(!field(secret, "certificate_chain").sensitive);

        let codes = message(&api, "envoy.config.accesslog.v3.GrpcStatusFilter");
        assert_eq!(field(codes, "statuses").shape, Shape::List { packed: true });
        assert_eq!(field(cluster, "transport_socket_matches").shape, Shape::List { packed: false });
    }

    #[test]
    fn a_proto3_optional_field_has_presence_but_no_oneof() {
        let set = sets::tests::encoded_set("extra.proto", |file| {
            file.message_type = vec![prost_types::DescriptorProto {
                name: Some("Extra".to_owned()),
                field: vec![prost_types::FieldDescriptorProto {
                    proto3_optional: Some(true),
                    oneof_index: Some(0),
                    ..sets::tests::string_field("maybe", 1)
                }],
                oneof_decl: vec![prost_types::OneofDescriptorProto {
                    name: Some("_maybe".to_owned()),
                    options: None,
                }],
                ..Default::default()
            }];
        });
        let api = Api::with_sets(&[&set]).expect("it links");
        let extra = message(&api, "extra.Extra");
        let maybe = field(extra, "maybe");
        assert_eq!((maybe.presence, maybe.oneof, extra.oneofs.len()), (true, None, 0));
    }

    #[test]
    fn types_with_a_json_form_of_their_own_are_told_apart() {
        let api = api();
        let form = |name: &str| message(&api, &format!("google.protobuf.{name}")).well_known;
        assert_eq!(form("Duration"), Some(WellKnown::Duration));
        assert_eq!(form("Value"), Some(WellKnown::Value));
        assert_eq!(form("Empty"), Some(WellKnown::Empty));
        assert_eq!(form("DescriptorProto"), None);
        for name in ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"] {
            let wrapper = message(&api, &format!("google.protobuf.{name}Value"));
            let value = &wrapper.fields[0];
            let ValueType::Scalar(scalar) = value.value else { panic!("{name} is a scalar") };
            assert_eq!((value.number, wrapper.well_known), (1, Some(WellKnown::Wrapper(scalar))));
        }
        assert_eq!(message(&api, CLUSTER).well_known, None);
    }

    #[test]
    fn an_enum_value_is_found_by_name_in_any_case_and_by_number() {
        let api = api();
        let ValueType::Enum(id) = field(message(&api, CLUSTER), "lb_policy").value else { panic!("an enum") };
        let policy = api.enum_type(id);
        assert_eq!(policy.by_name("LEAST_REQUEST").map(|value| value.number), Some(1));
        assert_eq!(policy.by_number(1).map(|value| &*value.name), Some("LEAST_REQUEST"));
        assert_eq!(policy.by_name_any_case("least_Request").map(|value| value.number), Some(1));
        assert!(policy.by_name("least_request").is_none());
        assert!(policy.by_name_any_case("least-request").is_none());
        assert!(policy.by_number(-1).is_none());
    }

    #[test]
    fn a_type_of_v2_is_known_by_its_old_name() {
        let api = api();
        for (old, new) in [
            ("envoy.api.v2.Cluster", CLUSTER),
            ("envoy.config.bootstrap.v2.Bootstrap", "envoy.config.bootstrap.v3.Bootstrap"),
            (
                "envoy.config.filter.network.http_connection_manager.v2.HttpConnectionManager",
                "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            ),
            (
                "envoy.api.v2.auth.UpstreamTlsContext",
                "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            ),
            ("envoy.config.filter.http.lua.v2.Lua", "envoy.extensions.filters.http.lua.v3.Lua"),
        ] {
            assert_eq!(api.v3_of(old).map(|ty| &*ty.name), Some(new), "{old}");
        }
        assert!(api.v3_of("envoy.api.v2.Clusters").is_none());
        assert!(api.was_field(CLUSTER, "hosts") && !api.was_field(CLUSTER, "name"));
    }

    #[test]
    fn the_types_that_we_wrote_ourselves_are_there() {
        let api = api();
        for name in ["xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct", "xds.type.matcher.v3.IPMatcher"] {
            assert!(api.message_names().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn only_names_that_can_stand_in_an_any_are_listed() {
        let api = api();
        assert!(api.message_id("envoy.config.core.v3.Metadata.FilterMetadataEntry").is_some());
        assert!(!api.message_names().any(|name| name.ends_with("Entry") && name.contains("FilterMetadata")));
    }
}
