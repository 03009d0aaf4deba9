//! Finds the descriptors that every Envoy program carries inside itself.
//!
//! C++ protobuf keeps the `FileDescriptorProto` of each `.proto` file, encoded and uncompressed, as
//! a constant in the program. Comes in: the bytes of the program. Goes out: a `FileDescriptorSet` of
//! them for [`Api::with_sets`](super::Api::with_sets), the API of just that Envoy.
//!
//! Nothing says where a descriptor begins or ends. It begins with its name, a string that ends in
//! `.proto`; it ends where the bytes stop to be fields in ascending order, as protoc writes them.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;
use prost::Message;
use prost::encoding::{decode_varint, encode_varint};

use super::ApiError;
use super::sets::{ROOT_OF_AN_API, RawSet};

/// Longest name of a `.proto` file; the longest of Envoy's has about 130 bytes.
const MAX_NAME: usize = 512;

/// The same with the tag and the length before it.
const MAX_NAME_FIELD: usize = MAX_NAME + 3;

/// Largest descriptor; the largest of Envoy's has about 50 kB.
const MAX_FILE: usize = 1 << 20;

/// How often the program's own size may be read again for what only looks like a descriptor.
const BUDGET: usize = 4;

/// So much of the program is held at once.
const WINDOW: usize = 4 * MAX_FILE;

/// The descriptors in an Envoy program as an encoded `FileDescriptorSet`.
///
/// Takes time in proportion to the size of the program, whatever it holds, and little memory: a program is a
/// hundred megabytes, and an allocator may keep what once was given to it.
///
/// # Errors
/// [`ApiError::NotAnEnvoy`] if Envoy's API is not in there, [`ApiError::Unreadable`] if reading fails.
pub fn descriptors_in(mut program: impl Read) -> Result<Vec<u8>, ApiError> {
    let mut found = Found::default();
    let mut window = Vec::with_capacity(WINDOW);
    // How much of the window was searched before.
    let mut searched = 0;
    loop {
        let free = (WINDOW - window.len()) as u64;
        let read = program.by_ref().take(free).read_to_end(&mut window).map_err(ApiError::Unreadable)?;
        found.budget += read.saturating_mul(BUDGET);
        if (read as u64) < free {
            found.search(&window, searched..window.len());
            return found.set();
        }
        // What begins later may end behind the window.
        let until = WINDOW - MAX_FILE;
        found.search(&window, searched..until);
        searched = MAX_NAME_FIELD;
        let past = until - searched;
        window.drain(..past);
        found.behind_last = found.behind_last.saturating_sub(past);
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    /// By name.
    files: BTreeMap<Vec<u8>, Bytes>,
    /// Bytes that may still be read for what only looks like a descriptor.
    budget: usize,
    /// Where in the window the last one ended.
    behind_last: usize,
}

impl Found {
    /// Looks for descriptors whose names end with a suffix that begins in this range.
    fn search(&mut self, window: &[u8], range: Range<usize>) {
        let behind = window.len().min(range.end + SUFFIX.len() - 1);
        for hit in memmem::find_iter(&window[range.start..behind], SUFFIX) {
            let Some(name) = name_ending_at(window, range.start + hit + SUFFIX.len()) else { continue };
            let file = file_from(window, name.tag, name.end);
            let only_a_name = file.len() == name.end - name.tag;
            if only_a_name || name.tag < self.behind_last || file.len() > self.budget {
                continue;
            }
            self.budget -= file.len();
            if prost_types::FileDescriptorProto::decode(file).is_err() {
                continue;
            }
            self.behind_last = name.tag + file.len();
            // A library may be linked in twice, once without its options: the fuller one counts.
            let best = self.files.entry(window[name.start..name.end].to_vec()).or_default();
            if file.len() > best.len() {
                *best = Bytes::copy_from_slice(file);
            }
        }
    }

    fn set(self) -> Result<Vec<u8>, ApiError> {
        if !self.files.contains_key(ROOT_OF_AN_API.as_bytes()) {
            return Err(ApiError::NotAnEnvoy { files: self.files.len() });
        }
        Ok(RawSet { file: self.files.into_values().collect() }.encode_to_vec())
    }
}

/// How the name of every descriptor ends.
const SUFFIX: &[u8] = b".proto";

/// The first field of a descriptor: where its tag, its text and its end are.
struct NameField {
    tag: usize,
    start: usize,
    end: usize,
}

/// The name that ends here, if a tag and a fitting length stand before it.
fn name_ending_at(program: &[u8], end: usize) -> Option<NameField> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    // Length bytes can look like letters, so the name may go on before what fits: try all, shortest first.
    (end.saturating_sub(MAX_NAME)..end).rev().take_while(|start| is_name(program[*start])).find_map(|start| {
        let mut header = vec![0x0a];
        encode_varint((end - start) as u64, &mut header);
        let tag = start.checked_sub(header.len())?;
        (program[tag..start] == header).then_some(NameField { tag, start, end })
    })
}

/// The bytes of a descriptor, of which only begin and first field are known.
fn file_from(program: &[u8], start: usize, behind_name: usize) -> &[u8] {
    let limit = program.len().min(start + MAX_FILE);
    let mut end = behind_name;
    let mut last = 1;
    while let Some((number, next)) = field_at(&program[..limit], end) {
        let repeats = matches!(number, 3..=7 | 10 | 11);
        if number < last || (number == last && !repeats) {
            break;
        }
        (last, end) = (number, next);
    }
    &program[start..end]
}

/// The number of the field of a `FileDescriptorProto` that begins here, and where it ends.
fn field_at(program: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut rest = program.get(at..)?;
    let key = decode_varint(&mut rest).ok()?;
    let value = decode_varint(&mut rest).ok()?;
    match (key >> 3, key & 7) {
        (number @ (2..=9 | 12), 2) => {
            let value = usize::try_from(value).ok().filter(|len| *len <= rest.len())?;
            Some((number, program.len() - rest.len() + value))
        }
        (number @ (10 | 11 | 14), 0) => Some((number, program.len() - rest.len())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy_api::Api;
    use crate::envoy_api::sets;

    /// A program that holds the built-in descriptors between other things.
    fn program() -> Vec<u8> {
        let mut program = b"\x7fELF\0\0 a.proto \x0a\x07x.proto\x00 source/common/x.proto\0".to_vec();
        for (at, file) in sets::embedded().expect("it loads").into_iter().enumerate() {
            program.extend_from_slice(&file.bytes);
            // C++ aligns its constants, so some stand close together and some do not.
            program.resize(program.len() + at % 9, 0);
        }
        program.extend_from_slice(b"\xff\xff.proto");
        program
    }

    #[test]
    fn the_descriptors_inside_a_program_are_found_and_link() {
        let api =
            Api::with_sets(&[&descriptors_in(program().as_slice()).expect("an Envoy")]).expect("they link");
        let built_in = Api::embedded().expect("links");
        assert_eq!(api.file_count(), built_in.file_count());
        assert_eq!(api.message_names().count(), built_in.message_names().count());
        let secret = api.message("envoy.extensions.transport_sockets.tls.v3.TlsCertificate").expect("known");
        assert!(secret.field("private_key").expect("known").sensitive, "custom options are kept");
    }

    #[test]
    fn a_descriptor_is_found_wherever_in_the_program_it_is() {
        let all = descriptors_in(program().as_slice()).expect("an Envoy");
        for before in (WINDOW - 2 * MAX_FILE..WINDOW + MAX_FILE).step_by(MAX_FILE / 5 + 1) {
            let mut moved = vec![b'a'; before];
            moved.extend_from_slice(&program());
            moved.resize(moved.len() + WINDOW, 0);
            assert!(descriptors_in(moved.as_slice()).expect("an Envoy") == all, "behind {before} bytes");
        }
    }

    #[test]
    fn a_file_that_is_no_envoy_is_refused_in_words() {
        for program in [b"".as_slice(), b"#!/bin/sh\nexec envoy \"$@\"\n", b".proto", b"\x06.proto"] {
            let error = descriptors_in(program).expect_err("no Envoy").to_string();
            assert!(error.starts_with("no Envoy API in there (0 descriptors found)"), "{error}");
        }
    }

    #[test]
    fn garbage_that_looks_like_descriptors_takes_bounded_time() {
        let fields =
            [b"\x0a\x07x.proto\x12\x01p".repeat(1 << 16), b"\x22\x02\x0a\x00".repeat(1 << 18)].concat();
        let nested = b"\x0a\x07x.proto\x22\xff\xff\x03".repeat(1 << 16);
        let start = std::time::Instant::now();
        assert!(descriptors_in(fields.as_slice()).is_err());
        assert!(descriptors_in(nested.as_slice()).is_err());
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }
}
