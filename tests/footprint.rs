//! Holds how much memory a resource takes once it is served, as a multiple of its text: by counting bytes,
//! which are the same on every machine.

#[path = "../benches/shared/fragment.rs"]
#[expect(dead_code, reason = "the benchmark uses more of it")]
mod fragment;

use xds_bridge::app::{FileName, Fragments, Policy, Verdict};
use xds_bridge::envoy_api::Api;
use xds_bridge::source::{DirState, Directory, SourceFile, Sources};

/// A file with so many clusters, each with its endpoints.
fn text(file: usize, clusters: usize) -> String {
    fragment::text(file * clusters..(file + 1) * clusters, |_| 0)
}

/// The bytes that are held when so many files are served from a start on. They are loaded one after the other: only
/// what this thread allocates is counted, and several files would be loaded by several threads.
fn held(files: usize, clusters: usize) -> i64 {
    let api = Api::embedded().expect("the shipped set is whole");
    let mut kept = None;
    let allocated = allocation_counter::measure(|| {
        let dirs = [Directory { path: "d".into(), state: DirState::Present }].into();
        let mut sources = Sources { dirs, ..Sources::default() };
        let mut fragments = Fragments::new(api, Policy::default(), Default::default());
        for file in 0..files {
            let name = FileName::from(format!("f{file:06}.yaml"));
            let content = Ok(text(file, clusters).into());
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
    held(1, 10);
    // In a small file its own tables count, in a larger one the resources alone.
    for (clusters, few, many, limit) in [(10, 20, 220, 1.5), (100, 2, 22, 1.3)] {
        let bytes = held(many, clusters) - held(few, clusters);
        let texts: usize = (few..many).map(|file| text(file, clusters).len()).sum();
        let times = bytes as f64 / texts as f64;
        let each = bytes as usize / (many - few) / clusters / 2;
        let what = format!("{clusters} in a file: {times:.2} times the text, {each} bytes a resource");
        assert!(times < limit, "{what}");
        assert!(times > 0.5, "what is on the wire is held, or this counts nothing: {what}");
    }
}
