//! Holds how much memory a resource takes once it is served, as a multiple of its text: by counting bytes,
//! which are the same on every machine.

#[path = "../benches/shared/fragment.rs"]
#[expect(dead_code, reason = "the benchmark uses more of it")]
mod fragment;

use xds_bridge::app::{FileName, Fragments, Policy, Verdict};
use xds_bridge::envoy_api::Api;
use xds_bridge::source::{DirState, Directory, SourceFile, Sources};

/// Clusters in a file, each with its endpoints.
const PER_FILE: usize = 10;

fn text(file: usize) -> String {
    fragment::text(file * PER_FILE..(file + 1) * PER_FILE, |_| 0)
}

/// The bytes that are held when so many files are served from a start on. They are loaded one after the other: only
/// what this thread allocates is counted, and several files would be loaded by several threads.
fn held(files: usize) -> i64 {
    let api = Api::embedded().expect("the shipped set is whole");
    let mut kept = None;
    let allocated = allocation_counter::measure(|| {
        let dirs = [Directory { path: "d".into(), state: DirState::Present }].into();
        let mut sources = Sources { dirs, ..Sources::default() };
        let mut fragments = Fragments::new(api, Policy::default(), Default::default());
        for file in 0..files {
            let name = FileName::from(format!("f{file:06}.yaml"));
            let content = Ok(text(file).into());
            let path = format!("d/{name}").into();
            sources.files.insert(name.clone(), SourceFile { path, content });
            assert!(fragments.stage(&sources, &[name]));
        }
        let outcome = fragments.update(&sources, &[]);
        let Verdict::Publish(snapshot) = outcome.verdict else { panic!("{:?}", outcome.diagnostics) };
        kept = Some((sources, fragments, snapshot));
    });
    assert!(kept.is_some());
    allocated.bytes_current
}

#[test]
fn what_is_served_takes_a_few_times_the_memory_of_its_text() {
    // What is made once, such as tables of the API, is made here.
    held(1);
    let (few, many) = (20, 220);
    let bytes = held(many) - held(few);
    let texts: usize = (few..many).map(|file| text(file).len()).sum();
    let times = bytes as f64 / texts as f64;
    assert!(
        times < 1.5,
        "{times:.2} times the text, {} bytes a resource",
        bytes as usize / (many - few) / PER_FILE / 2
    );
    assert!(times > 1.0, "the text itself is held, or this counts nothing: {times:.2}");
}
