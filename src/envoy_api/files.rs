//! [`Files`]: the descriptors as they came, encoded, and those of them linked that were needed.
//!
//! Comes in: the files that were chosen. Goes out: which types they hold, and a pool with one file and what it
//! imports. Linked, files take many times their bytes, and of what is built in only little is ever met.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use prost::Message;
use prost_reflect::DescriptorPool;

use super::names::NameIndex;
use super::sets::{self, MessageHead, NameHead, RawSet};

/// All files of an API.
pub(super) struct Files {
    files: Box<[File]>,
    /// Of what is built in, what was needed so far; of other APIs all, since to be judged they had to be linked.
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
    /// Takes the files that were chosen, and the pool in which they are linked as far as they are. Also gives their
    /// messages and enums.
    pub fn new(chosen: &[sets::File], linked: DescriptorPool) -> (Files, Vec<TypeHead>, Vec<TypeHead>) {
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
        (Files { files, linked: Mutex::new(linked) }, messages, enums)
    }

    /// Reads in a pool with at least these files and what they import. One after the other, since to add to a
    /// pool that somebody else still holds would copy it.
    pub fn linked<T>(&self, files: Range<usize>, read: impl FnOnce(&DescriptorPool) -> T) -> T {
        let mut pool = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |at: &usize| pool.get_file_by_name(&self.files[*at].name).is_none();
        let mut wanted = files.filter(is_fresh).peekable();
        if wanted.peek().is_some() {
            let set = self.encoded(self.with_imports(wanted).into_iter().filter(is_fresh));
            pool.decode_file_descriptor_set(set.as_slice()).expect("what is built in links");
        }
        read(&pool)
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

    /// The name of a file.
    pub fn name(&self, file: usize) -> &str {
        &self.files[file].name
    }

    /// How many there are.
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
    use crate::envoy_api::Api;

    #[test]
    fn what_is_not_met_takes_no_memory() {
        let (chosen, linked) = sets::choose(&[]).expect("the shipped set is whole");
        let (files, messages, _) = Files::new(&chosen, linked);
        let is_cluster = |head: &&TypeHead| &*head.full_name == "envoy.config.cluster.v3.Cluster";
        let cluster = messages.iter().find(is_cluster).expect("a known type").file;
        let added = |range: Range<usize>| {
            allocation_counter::measure(|| files.linked(range.clone(), |_| ())).bytes_current
        };
        let (met, again, rest) =
            (added(cluster..cluster + 1), added(cluster..cluster + 1), added(0..files.len()));
        assert!(met > 0 && again == 0 && met * 4 < rest, "{met}, {again}, {rest}");
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
