//! Properties of what `load` encodes: the same message has the same bytes however it is written, the
//! bytes mean what was written, and no input breaks the reader.

#![allow(clippy::unwrap_used, reason = "a test that cannot make its own input has failed")]

mod made;
mod pool;
mod show;

use std::sync::Arc;
use std::time::{Duration, Instant};

use made::{Dice, Maker, written};
use pool::BUILT_IN;
use proptest::prelude::*;
use prost_reflect::MessageDescriptor;
use prost_reflect::prost::Message;
use xds_bridge::envoy_api::Api;
use xds_bridge::load::{Severities, load_file, load_message_as};

/// Messages that together use nearly every kind of field.
const ROOTS: [&str; 8] = [
    "envoy.config.cluster.v3.Cluster",
    "envoy.config.listener.v3.Listener",
    "envoy.config.route.v3.RouteConfiguration",
    "envoy.config.endpoint.v3.ClusterLoadAssignment",
    "envoy.extensions.transport_sockets.tls.v3.Secret",
    "envoy.config.core.v3.TypedExtensionConfig",
    "envoy.extensions.filters.network.dubbo_proxy.v3.MethodMatch",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
];

fn api() -> Api {
    Api::embedded().unwrap()
}

fn text_of(descriptor: &MessageDescriptor, bytes: &[u8]) -> String {
    let mut out = String::new();
    show::show_message(descriptor, bytes, 0, &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Key order, comments, flow or block style, JSON, quoting, spelling of names, of numbers and of enums do not count.
    #[test]
    fn the_same_message_has_the_same_bytes_and_means_what_was_written(seed: u64, root in 0..ROOTS.len()) {
        let api = api();
        let descriptor = BUILT_IN.get_message_by_name(ROOTS[root]).unwrap();
        let map_entries = if seed % 2 == 0 { 4 } else { 1 };
        let (message, tree) = Maker { dice: Dice(seed), map_entries }.message(&descriptor, 0);
        let file: Arc<str> = "made.yaml".into();
        // Made-up values are read, not judged: hardly any of them makes sense.
        let mut severities = Severities::default();
        for code in Severities::codes() {
            severities.set(&format!("{code}=off")).unwrap();
        }
        let mut first: Option<Vec<u8>> = None;
        for writing in 0..4 {
            let text = written(&tree, seed ^ (writing << 7));
            let (bytes, findings) = load_message_as(&api, &severities, ROOTS[root], &file, text.as_bytes());
            let errors: Vec<_> = findings.iter().filter(|finding| finding.is_error()).collect();
            prop_assert!(errors.is_empty(), "{errors:#?}\n{text}");
            let bytes = bytes.unwrap();
            let same = first.get_or_insert_with(|| bytes.clone());
            prop_assert!(*same == bytes, "written in another way, other bytes:\n{text}");
        }
        let (meant, read) = (message.encode_to_vec(), first.unwrap());
        prop_assert_eq!(text_of(&descriptor, &meant), text_of(&descriptor, &read));
        if map_entries == 1 {
            // Fields by number, lists packed, no defaults: what another encoder writes as well.
            prop_assert_eq!(meant, read);
        }
    }

    /// Whatever bytes a file holds, reading it ends soon, without a panic.
    #[test]
    fn mutated_files_never_break_the_reader(seed: u64) {
        let api = api();
        let mut dice = Dice(seed);
        let seeds: Vec<Vec<u8>> = case_files();
        let mut text = dice.pick(&seeds).clone();
        for _ in 0..=dice.below(6) {
            mutate(&mut text, &seeds, &mut dice);
        }
        let started = Instant::now();
        let loaded = load_file(&api, &"mutated.yaml".into(), &text);
        prop_assert!(loaded.diagnostics.len() <= 1_001);
        prop_assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
    }
}

#[test]
fn the_deepest_file_fits_the_stack_of_a_small_thread() {
    const OUTER: &str = "\"@type\": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig, name: a";
    let nested = |levels: usize| {
        let innermost = "{ \"@type\": type.googleapis.com/google.protobuf.Empty }".to_owned();
        let inside = (0..levels).fold(innermost, |inner, _| format!("{{ {OUTER}, typed_config: {inner} }}"));
        format!("extension_configs: [{{ name: a, typed_config: {inside} }}]")
    };
    let load = |text: String| {
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        let run = move || load_file(&api(), &"deep.yaml".into(), text.as_bytes());
        thread.spawn(run).unwrap().join().unwrap()
    };
    let deepest = load(nested(96));
    assert!(deepest.is_sound(), "{:?}", deepest.diagnostics);
    let deeper = load(nested(97));
    assert_eq!(deeper.diagnostics[0].code, "nesting-too-deep");
}

fn case_files() -> Vec<Vec<u8>> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let folders = std::fs::read_dir(root).unwrap().map(|case| case.unwrap().path().join("config.d"));
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut files: Vec<Vec<u8>> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    files.sort();
    files
}

fn mutate(text: &mut Vec<u8>, seeds: &[Vec<u8>], dice: &mut Dice) {
    const PIECES: [&[u8]; 12] =
        [b"- ", b": ", b"{", b"[", b"&a ", b"*a", b"<<: ", b"\t", b"\"", b"\xff", b"---\n", b"? "];
    let at = dice.below(text.len() + 1);
    match dice.below(5) {
        0 if at < text.len() => text[at] = dice.roll() as u8,
        1 if at < text.len() => drop(text.remove(at)),
        2 => {
            let piece = *dice.pick(&PIECES);
            text.splice(at..at, piece.iter().copied());
        }
        3 => {
            let end = (at + dice.below(40)).min(text.len());
            let copy = text[at..end].to_vec();
            text.splice(at..at, copy);
        }
        _ => {
            let other = dice.pick(seeds);
            let from = dice.below(other.len() + 1);
            text.truncate(at);
            text.extend_from_slice(&other[from..]);
        }
    }
}
