//! [`Files`]: the descriptors as they came, encoded, and those of them linked that were needed.
//!
//! Comes in: the files that were chosen, which link. Goes out: which types they hold, and a pool with one file
//! and what it imports. Linked, files take many times their bytes, and of most APIs only little is ever met.
//!
//! Invariant: what a file means does not depend on which others were linked before it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DescriptorError, DescriptorPool};

use super::names::NameIndex;
use super::sets::{self, MessageHead, NameHead, RawSet};

/// All files of an API.
pub(super) struct Files {
    files: Box<[File]>,
    /// Those that define options, by which others are understood whether they import them or not.
    options: Box<[usize]>,
    linked: Mutex<DescriptorPool>,
}

struct File {
    name: Box<str>,
    bytes: Bytes,
    /// Where in `Files::files` they are.
    imports: Box<[usize]>,
    /// Full names.
    services: Box<[Box<str>]>,
}

/// A message or enum type in a file.
pub(super) struct TypeHead {
    pub full_name: Box<str>,
    pub file: usize,
    pub is_map_entry: bool,
}

impl Files {
    /// Takes files that link in this order, and each name once. Also gives their messages and enums.
    pub fn new(chosen: &[sets::File]) -> (Files, Vec<TypeHead>, Vec<TypeHead>) {
        let names = NameIndex::new(chosen.iter().enumerate().map(|(at, file)| (&*file.head.name, at)));
        let file_at = |name: &String| names.find(name, |at| chosen[at].head.name == *name);
        let (mut messages, mut enums) = (Vec::new(), Vec::new());
        let files = chosen.iter().enumerate().map(|(at, sets::File { head, bytes })| {
            let mut types = Types { file: at, messages: &mut messages, enums: &mut enums };
            types.add(&head.package, &head.message_type, &head.enum_type);
            File {
                name: head.name.as_str().into(),
                bytes: bytes.clone(),
                imports: head.dependency.iter().filter_map(file_at).collect(),
                services: head.service.iter().map(|it| full_name(&head.package, &it.name)).collect(),
            }
        });
        let files = files.collect();
        let defines_options = |at: &usize| !chosen[*at].head.extension.is_empty();
        let options = (0..chosen.len()).filter(defines_options).collect();
        (Files { files, options, linked: Mutex::default() }, messages, enums)
    }

    /// Reads in a pool with at least this file, what it imports, and all options. One after the other, since to
    /// add to a pool that somebody else still holds would copy it.
    pub fn linked<T>(&self, file: usize, read: impl FnOnce(&DescriptorPool) -> T) -> T {
        let mut pool = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.get_file_by_name(&self.files[file].name).is_none()
            && self.link(&mut pool, self.options.iter().copied().chain([file])).is_err()
        {
            // A name that is not written from the root on can be hidden by a package of a later set.
            *pool = self.all_linked();
        }
        read(&pool)
    }

    /// All files, linked in the order in which they were chosen.
    pub fn all_linked(&self) -> DescriptorPool {
        let mut pool = DescriptorPool::new();
        for file in 0..self.files.len() {
            self.link(&mut pool, std::iter::once(file)).expect("so they were linked when they were chosen");
        }
        pool
    }

    /// Adds files and what they import, as far as they are not there yet; if that fails, nothing.
    fn link(
        &self,
        pool: &mut DescriptorPool,
        files: impl Iterator<Item = usize>,
    ) -> Result<(), DescriptorError> {
        let is_fresh = |at: &usize| pool.get_file_by_name(&self.files[*at].name).is_none();
        let set = self.encoded(self.with_imports(files).into_iter().filter(is_fresh));
        pool.decode_file_descriptor_set(set.as_slice())
    }

    /// A `FileDescriptorSet` of the files that define these services and of all that they import.
    pub fn defining(&self, services: &[&str]) -> Vec<u8> {
        let defines = |at: &usize| self.files[*at].services.iter().any(|name| services.contains(&&**name));
        self.encoded(self.with_imports((0..self.files.len()).filter(defines)).into_iter())
    }

    /// These files and all that they import.
    fn with_imports(&self, files: impl Iterator<Item = usize>) -> BTreeSet<usize> {
        let mut open: Vec<usize> = files.collect();
        let mut found = BTreeSet::new();
        while let Some(file) = open.pop() {
            if found.insert(file) {
                open.extend(&self.files[file].imports);
            }
        }
        found
    }

    fn encoded(&self, files: impl Iterator<Item = usize>) -> Vec<u8> {
        RawSet { file: files.map(|at| self.files[at].bytes.clone()).collect() }.encode_to_vec()
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.files.len()
    }
}

fn full_name(scope: &str, name: &str) -> Box<str> {
    if scope.is_empty() { name.into() } else { format!("{scope}.{name}").into() }
}

/// Collects the types of a file.
struct Types<'t> {
    file: usize,
    messages: &'t mut Vec<TypeHead>,
    enums: &'t mut Vec<TypeHead>,
}

impl Types<'_> {
    fn add(&mut self, scope: &str, messages: &[MessageHead], enums: &[NameHead]) {
        let file = self.file;
        let head =
            |name: &str, is_map_entry| TypeHead { full_name: full_name(scope, name), file, is_map_entry };
        self.enums.extend(enums.iter().map(|it| head(&it.name, false)));
        for message in messages {
            let is_map_entry = message.options.as_ref().is_some_and(|options| options.map_entry);
            let head = head(&message.name, is_map_entry);
            self.add(&head.full_name, &message.nested_type, &message.enum_type);
            self.messages.push(head);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy_api::sets::tests::{encoded_set, string_field};
    use crate::envoy_api::{Api, ValueType};
    use prost_types::field_descriptor_proto::Type;
    use prost_types::{DescriptorProto, FieldDescriptorProto};

    #[test]
    fn a_set_with_names_that_a_later_one_hides_means_what_it_meant_when_it_was_given() {
        let message = |name: &str, field: FieldDescriptorProto| {
            vec![DescriptorProto { name: Some(name.to_owned()), field: vec![field], ..Default::default() }]
        };
        let of = |type_name: &str| FieldDescriptorProto {
            r#type: Some(Type::Message as i32),
            type_name: Some(type_name.to_owned()),
            ..string_field("field", 1)
        };
        let part = encoded_set("part.proto", |file| {
            file.package = Some("parts".to_owned());
            file.message_type = message("Part", string_field("name", 1));
        });
        let whole = encoded_set("whole.proto", |file| {
            file.dependency = vec!["part.proto".to_owned()];
            file.message_type = message("Whole", of("parts.Part"));
        });
        let option = FieldDescriptorProto {
            extendee: Some(".google.protobuf.FieldOptions".to_owned()),
            ..string_field("option", 50_000)
        };
        for options in [vec![], vec![option]] {
            let later = encoded_set("later.proto", |file| {
                file.package = Some("extra.parts".to_owned());
                file.dependency = vec!["google/protobuf/descriptor.proto".to_owned()];
                file.message_type = message("Other", string_field("name", 1));
                file.extension = options;
            });
            let api = Api::with_sets(&[&part, &whole, &later]).expect("one after the other they link");
            assert!(api.message("extra.parts.Other").expect("met first").field("name").is_some());
            let field = api.message("extra.Whole").expect("met last").field("field").expect("it is there");
            assert_eq!(field.value, ValueType::Message(api.message_id("parts.Part").expect("known")));
        }
    }

    #[test]
    fn an_option_is_understood_whether_it_is_imported_or_not() {
        const IMPORT: &[u8] = b"\x1a\x20udpa/annotations/sensitive.proto";
        const FILE: &str = "envoy/extensions/transport_sockets/tls/v3/common.proto";
        let mut chosen = sets::embedded().expect("the shipped set is whole");
        let file = chosen.iter_mut().find(|file| file.head.name == FILE).expect("a known file");
        let at = file.bytes.windows(IMPORT.len()).position(|bytes| bytes == IMPORT).expect("an import");
        file.bytes = [&file.bytes[..at], &file.bytes[at + IMPORT.len()..]].concat().into();
        file.head.dependency.retain(|name| name != "udpa/annotations/sensitive.proto");
        let api = Api::from_files(&chosen);
        let key = api.message("envoy.extensions.transport_sockets.tls.v3.TlsCertificate").expect("known");
        assert!(key.field("private_key").expect("known").sensitive);
    }

    #[test]
    fn what_is_not_met_takes_no_memory() {
        let (files, messages, _) = Files::new(&sets::embedded().expect("the shipped set is whole"));
        let is_cluster = |head: &&TypeHead| &*head.full_name == "envoy.config.cluster.v3.Cluster";
        let cluster = messages.iter().find(is_cluster).expect("a known type").file;
        let met = allocation_counter::measure(|| files.linked(cluster, |_| ())).bytes_current;
        let again = allocation_counter::measure(|| files.linked(cluster, |_| ())).bytes_current;
        let mut all = None;
        let whole = allocation_counter::measure(|| all = Some(files.all_linked())).bytes_current;
        assert!(all.is_some() && again == 0 && met > 0 && met * 5 < whole, "{met} of {whole}, then {again}");
    }

    #[test]
    fn what_defines_a_service_is_given_with_its_imports_and_its_options() {
        let service = crate::resource::Kind::Cluster.service();
        let set = Api::embedded().expect("links").descriptors_of(&[service, "envoy.nothing.Service"]);
        let pool = DescriptorPool::decode(set.as_slice()).expect("nothing is missing");
        assert!(pool.get_service_by_name(service).is_some());
        assert!((10..100).contains(&pool.files().len()), "{}", pool.files().len());
        let response = pool.get_message_by_name("envoy.service.discovery.v3.DiscoveryResponse");
        let versioning = pool.get_extension_by_name("udpa.annotations.versioning").expect("it is imported");
        assert!(response.expect("it is used").options().has_extension(&versioning));
    }
}
