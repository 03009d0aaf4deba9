//! Chooses the files of which the API is made, and links what the user brings.
//!
//! Comes in: the descriptor set that is built in, and encoded `FileDescriptorSet`s of the user's.
//! Goes out: the files, and a pool. They are handled as bytes, because decoding them into prost's own
//! types would lose the custom options. Whatever a user's bytes hold, the answer is an error, never
//! a panic.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use prost::Message;
use prost_reflect::DescriptorPool;

/// zlib over a `FileDescriptorSet`; `cargo run -p xtask -- descriptors` writes it.
static EMBEDDED: &[u8] = include_bytes!("../../proto/envoy-v3.fds.zz");

/// A set that holds this file is a whole Envoy API, not an addition to one.
pub(super) const ROOT_OF_AN_API: &str = "envoy/config/bootstrap/v3/bootstrap.proto";

/// What files may say of their syntax; proto2 says nothing.
const SYNTAXES: [&str; 3] = ["", "proto2", "proto3"];

/// Why there is no API. All of them stop the daemon before it serves.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The built-in set does not load.
    #[error("the built-in description of Envoy's API is damaged ({0}): install xds-bridge again")]
    BuiltIn(String),
    /// The bytes are no `FileDescriptorSet`.
    #[error(
        "descriptor set {set} is not an encoded FileDescriptorSet ({reason}): make one with \
         `protoc --include_imports --descriptor_set_out=FILE` or `buf build -o FILE`"
    )]
    NotASet {
        /// Which of the user's sets, from one.
        set: usize,
        /// What the parser said.
        reason: String,
    },
    /// The files do not fit together or not to the rest of the API.
    #[error("descriptor set {set} does not fit: {reason} (of a file that is built in, our version counts)")]
    DoesNotLink {
        /// Which of the user's sets, from one.
        set: usize,
        /// The first thing that does not fit.
        reason: String,
    },
    /// The program does not hold Envoy's API.
    #[error(
        "no Envoy API in there ({files} descriptors found): give the envoy program itself, not a \
         wrapper script and not a packed copy"
    )]
    NotAnEnvoy {
        /// How many `.proto` files it does hold.
        files: usize,
    },
    /// The program could not be read to its end.
    #[error("it cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// More than one set brings a whole Envoy API.
    #[error("descriptor sets {first} and {second} both hold a whole Envoy API: give one of them")]
    TwoApis {
        /// The first of them, from one.
        first: usize,
        /// The second of them, from one.
        second: usize,
    },
}

/// A `FileDescriptorSet` whose files stay encoded.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RawSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) file: Vec<Bytes>,
}

/// What must be known of a file to choose it, and to find what is in it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FileHead {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) package: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) dependency: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub(super) message_type: Vec<MessageHead>,
    #[prost(message, repeated, tag = "5")]
    pub(super) enum_type: Vec<NameHead>,
    #[prost(message, repeated, tag = "6")]
    pub(super) service: Vec<NameHead>,
    #[prost(string, tag = "12")]
    syntax: String,
}

/// What must be known of a message to find it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MessageHead {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) nested_type: Vec<MessageHead>,
    #[prost(message, repeated, tag = "4")]
    pub(super) enum_type: Vec<NameHead>,
    #[prost(message, optional, tag = "7")]
    pub(super) options: Option<MessageOptions>,
}

/// The one option of messages that says what they are.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MessageOptions {
    #[prost(bool, tag = "7")]
    pub(super) map_entry: bool,
}

/// The name of what else is defined; all that must be known of it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NameHead {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// A file of a set.
#[derive(Clone)]
pub(super) struct File {
    pub(super) head: FileHead,
    pub(super) bytes: Bytes,
}

/// The built-in API, or the user's own, with all further sets: its files, and a pool. What the user brings is linked
/// there with all the rest, so that it is judged at once; what is built in alone is not linked yet.
pub(super) fn choose(user_sets: &[&[u8]]) -> Result<(Vec<File>, DescriptorPool), ApiError> {
    if user_sets.is_empty() {
        return Ok((embedded()?, DescriptorPool::new()));
    }
    let user: Vec<Vec<File>> =
        user_sets.iter().enumerate().map(|(at, set)| files_of(set, at + 1)).collect::<Result<_, _>>()?;
    let mut whole =
        (0..user.len()).filter(|at| user[*at].iter().any(|file| file.head.name == ROOT_OF_AN_API));
    let base = whole.next();
    if let (Some(first), Some(second)) = (base, whole.next()) {
        return Err(ApiError::TwoApis { first: first + 1, second: second + 1 });
    }

    let embedded = embedded()?;
    let mut pool = DescriptorPool::new();
    let mut chosen = match base {
        Some(at) => add(&mut pool, completed(&user[at], &embedded), &does_not_link(at + 1))?,
        None => add(&mut pool, embedded, &ApiError::BuiltIn)?,
    };
    for (at, files) in user.into_iter().enumerate().filter(|(at, _)| Some(*at) != base) {
        chosen.extend(add(&mut pool, files, &does_not_link(at + 1))?);
    }
    Ok((chosen, pool))
}

fn does_not_link(set: usize) -> impl Fn(String) -> ApiError {
    move |reason| ApiError::DoesNotLink { set, reason }
}

/// The files of the built-in set.
pub(super) fn embedded() -> Result<Vec<File>, ApiError> {
    let bytes = miniz_oxide::inflate::decompress_to_vec_zlib(EMBEDDED)
        .map_err(|error| ApiError::BuiltIn(error.to_string()))?;
    // Boxed, since what a vector has to spare would be kept, too.
    split(bytes.into_boxed_slice().into()).map_err(|error| ApiError::BuiltIn(error.to_string()))
}

fn files_of(bytes: &[u8], set: usize) -> Result<Vec<File>, ApiError> {
    let not_a_set = |reason: String| ApiError::NotASet { set, reason };
    let files = split(Bytes::copy_from_slice(bytes)).map_err(|error| not_a_set(error.to_string()))?;
    // An empty file, or one that only happens to parse, is a mistake that should not pass in silence.
    if files.is_empty() || files.iter().any(|file| file.head.name.is_empty()) {
        return Err(not_a_set("it holds no files with names".to_owned()));
    }
    Ok(files)
}

fn split(bytes: Bytes) -> Result<Vec<File>, prost::DecodeError> {
    let set = RawSet::decode(bytes)?;
    set.file.into_iter().map(|bytes| Ok(File { head: FileHead::decode(bytes.clone())?, bytes })).collect()
}

/// The set with the imports that it lacks and the built-in one has, such as `google/protobuf/any.proto`.
fn completed(set: &[File], embedded: &[File]) -> Vec<File> {
    let at_hand: HashMap<&str, &File> = embedded.iter().map(|file| (file.head.name.as_str(), file)).collect();
    let mut known: HashSet<String> = set.iter().map(|file| file.head.name.clone()).collect();
    let mut files = set.to_vec();
    let mut next = 0;
    while next < files.len() {
        for import in files[next].head.dependency.clone() {
            if let Some(file) = at_hand.get(import.as_str())
                && known.insert(import)
            {
                files.push((*file).clone());
            }
        }
        next += 1;
    }
    files
}

/// Adds the files whose names are not in the pool yet; gives them.
fn add(
    pool: &mut DescriptorPool,
    files: Vec<File>,
    failure: &impl Fn(String) -> ApiError,
) -> Result<Vec<File>, ApiError> {
    // The linker would panic.
    if let Some(file) = files.iter().find(|file| !SYNTAXES.contains(&file.head.syntax.as_str())) {
        let FileHead { name, syntax, .. } = &file.head;
        return Err(failure(format!(
            "{name}: its syntax is {syntax:?}, and only proto2 and proto3 are understood"
        )));
    }
    let known: HashSet<String> = pool.files().map(|file| file.name().to_owned()).collect();
    let mut seen = HashSet::new();
    let fresh: Vec<File> = files
        .into_iter()
        .filter(|file| !known.contains(&file.head.name) && seen.insert(file.head.name.clone()))
        .collect();
    let set = RawSet { file: fresh.iter().map(|file| file.bytes.clone()).collect() };
    pool.decode_file_descriptor_set(set.encode_to_vec().as_slice()).map_err(|error| {
        let place = error.file().map(|file| format!("{file}: ")).unwrap_or_default();
        failure(format!("{place}{error}"))
    })?;
    // The linker trusts this of map entries, and panics where it is not so.
    match pool
        .all_messages()
        .find(|entry| entry.is_map_entry() && (entry.get_field(1).is_none() || entry.get_field(2).is_none()))
    {
        Some(entry) => Err(failure(format!("{} is a map entry without key or value", entry.full_name()))),
        None => Ok(fresh),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::envoy_api::Api;
    use prost_types::field_descriptor_proto::{Label, Type};
    use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

    /// An encoded set of one file with the package `extra`.
    pub(in crate::envoy_api) fn encoded_set(
        name: &str,
        fill: impl FnOnce(&mut FileDescriptorProto),
    ) -> Vec<u8> {
        let mut file = FileDescriptorProto {
            name: Some(name.to_owned()),
            package: Some("extra".to_owned()),
            syntax: Some("proto3".to_owned()),
            ..Default::default()
        };
        fill(&mut file);
        FileDescriptorSet { file: vec![file] }.encode_to_vec()
    }

    /// A field `name` of type `string`.
    pub(in crate::envoy_api) fn string_field(name: &str, number: i32) -> FieldDescriptorProto {
        FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            label: Some(Label::Optional as i32),
            r#type: Some(Type::String as i32),
            ..Default::default()
        }
    }

    fn one_message(name: &str, field: FieldDescriptorProto) -> Vec<DescriptorProto> {
        vec![DescriptorProto { name: Some(name.to_owned()), field: vec![field], ..Default::default() }]
    }

    #[test]
    fn a_set_adds_types_that_refer_to_built_in_ones() {
        let set = encoded_set("plugin.proto", |file| {
            file.dependency = vec!["envoy/config/core/v3/base.proto".to_owned()];
            let node = FieldDescriptorProto {
                r#type: Some(Type::Message as i32),
                type_name: Some(".envoy.config.core.v3.Node".to_owned()),
                ..string_field("node", 1)
            };
            file.message_type = one_message("Plugin", node);
        });
        let api = Api::with_sets(&[&set]).expect("it links");
        assert!(api.message("extra.Plugin").expect("added").field("node").is_some());
        assert!(api.message("envoy.config.cluster.v3.Cluster").is_some());
        assert!(Api::embedded().expect("links").message("extra.Plugin").is_none());
    }

    #[test]
    fn an_imported_file_that_is_built_in_stays_as_it_is() {
        let set = encoded_set("envoy/config/core/v3/base.proto", |file| {
            file.message_type = one_message("Old", string_field("gone", 1));
        });
        let api = Api::with_sets(&[&set]).expect("the file is known and skipped");
        assert!(api.message("extra.Old").is_none());
        assert!(api.message("envoy.config.core.v3.Node").is_some());
    }

    #[test]
    fn a_whole_api_replaces_the_built_in_one_and_borrows_only_the_imports_that_it_lacks() {
        let set = encoded_set(ROOT_OF_AN_API, |file| {
            file.package = Some("envoy.config.bootstrap.v3".to_owned());
            file.dependency = vec!["google/protobuf/any.proto".to_owned()];
            file.message_type = one_message("Bootstrap", string_field("only_field", 1));
        });
        let api = Api::with_sets(&[&set]).expect("it links");
        let bootstrap = api.message("envoy.config.bootstrap.v3.Bootstrap").expect("its own");
        assert!(bootstrap.field("only_field").is_some());
        assert!(api.message("google.protobuf.Any").is_some());
        assert!(api.message("envoy.config.cluster.v3.Cluster").is_none());

        let error = Api::with_sets(&[&set, &set]).expect_err("which of the two?");
        assert!(matches!(error, ApiError::TwoApis { first: 1, second: 2 }), "{error}");
    }

    #[test]
    fn a_mistake_names_its_set_and_what_is_wrong() {
        let good = encoded_set("a.proto", |file| file.message_type = one_message("A", string_field("a", 1)));
        let missing = encoded_set("b.proto", |file| file.dependency = vec!["nowhere.proto".to_owned()]);
        let twice = encoded_set("c.proto", |file| file.message_type = one_message("A", string_field("a", 1)));
        let editions = encoded_set("d.proto", |file| file.syntax = Some("editions".to_owned()));
        for (set, expected) in [
            (
                editions.as_slice(),
                "descriptor set 2 does not fit: d.proto: its syntax is \"editions\", and only proto2 and proto3",
            ),
            (
                missing.as_slice(),
                "descriptor set 2 does not fit: b.proto: imported file 'nowhere.proto' has not been added",
            ),
            (
                &twice,
                "descriptor set 2 does not fit: c.proto: name 'extra.A' is already defined in file 'a.proto'",
            ),
            (b"not a set", "descriptor set 2 is not an encoded FileDescriptorSet ("),
            (b"", "descriptor set 2 is not an encoded FileDescriptorSet (it holds no files"),
        ] {
            let error = Api::with_sets(&[&good, set]).expect_err("it cannot be used").to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_damaged_set_is_an_error_and_never_a_panic() {
        let embedded = embedded().expect("links");
        let wanted =
            ["validate/validate.proto", "google/protobuf/struct.proto", "google/protobuf/descriptor.proto"];
        let small = RawSet {
            file: embedded
                .iter()
                .filter(|file| wanted.contains(&file.head.name.as_str()))
                .map(|file| file.bytes.clone())
                .collect(),
        };
        let bytes = small.encode_to_vec();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..3000 {
            let mut damaged = bytes.clone();
            for _ in 0..3 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let at = random as usize % damaged.len();
                damaged[at] = (random >> 40) as u8;
            }
            let mut pool = DescriptorPool::new();
            if let Ok(files) = files_of(&damaged, 1)
                && let Ok(files) = add(&mut pool, files, &does_not_link(1))
            {
                let api = Api::from_files(&files, pool);
                for name in api.message_names() {
                    assert!(api.message(name).is_some());
                }
            }
        }
    }
}
