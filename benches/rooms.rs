//! What each room takes for one step, with the allocations that it makes: `cargo bench --bench rooms`.

#[path = "shared/fragment.rs"]
#[expect(dead_code, reason = "the fleet uses more of it")]
mod fragment;
#[path = "shared/memory.rs"]
mod memory;

use std::sync::Arc;

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher};
use memory::{Client, Configuration};
use xds_bridge::app::Outcome;
use xds_bridge::envoy_api::Api;
use xds_bridge::load;
use xds_bridge::snapshot::View;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];

fn main() {
    divan::main();
}

/// One changed endpoint.
fn change(files: &mut Configuration) -> Outcome {
    let name = files.write(0);
    files.update(&[name])
}

/// A fragment with so many clusters and their endpoints: text → resources.
#[divan::bench(args = [10, 100, 10_000])]
fn load_a_file(bencher: Bencher<'_, '_>, clusters: usize) {
    let api = Api::embedded().expect("the shipped set is whole");
    let text = fragment::text(0..clusters, |_| 0);
    let file: Arc<str> = "f.yaml".into();
    let bench = bencher.counter(BytesCount::of_str(&text));
    bench.bench(|| load::load_file(&api, &file, text.as_bytes()));
}

/// The tree alone, of the same files.
#[divan::bench(args = [10, 100, 10_000])]
fn parse_a_file(bencher: Bencher<'_, '_>, clusters: usize) {
    let text = fragment::text(0..clusters, |_| 0);
    bencher.counter(BytesCount::of_str(&text)).bench(|| load::yaml::parse(&text));
}

/// One endpoint in a file of ten clusters, among so many: text → snapshot.
#[divan::bench(args = SIZES, max_time = 3)]
fn change_among(bencher: Bencher<'_, '_>, clusters: usize) {
    let mut files = Configuration::new(clusters, 10);
    bencher.bench_local(|| change(&mut files));
}

/// One endpoint in a file of so many clusters: text → snapshot.
#[divan::bench(args = [10, 100, 10_000], max_time = 3)]
fn change_in_a_file_of(bencher: Bencher<'_, '_>, clusters: usize) {
    let files = std::cell::RefCell::new(Configuration::new(clusters, clusters));
    let write = || files.borrow_mut().write(0);
    bencher.with_inputs(write).bench_local_values(|name| files.borrow_mut().update(&[name]));
}

/// What differs between two snapshots, as one node sees it.
#[divan::bench(args = SIZES, max_time = 1)]
fn compare_among(bencher: Bencher<'_, '_>, clusters: usize) {
    let mut files = Configuration::new(clusters, 10);
    let before = View::new(files.served.clone(), None);
    change(&mut files);
    let after = View::new(files.served.clone(), None);
    bencher.bench_local(|| after.changed_since(&before));
}

/// From the wake-up of one client to its ACK, without the network.
#[divan::bench(args = SIZES, max_time = 3)]
fn push_among(bencher: Bencher<'_, '_>, clusters: usize) {
    let mut files = Configuration::new(clusters, 10);
    let mut client = Client::new("a", &files.served);
    client.take_all(&files.served);
    client.ask_for_endpoints(0..clusters, &files.served);
    client.take_all(&files.served);
    let mut step = || {
        change(&mut files);
        files.served.clone()
    };
    let client = std::cell::RefCell::new(client);
    bencher.with_inputs(&mut step).bench_local_values(|served| {
        let mut client = client.borrow_mut();
        client.wake(&served);
        let responses = client.take_all(&served);
        assert_eq!(responses.len(), 1);
        responses
    });
}

/// The one response of such a push, as bytes.
#[divan::bench]
fn encode_one(bencher: Bencher<'_, '_>) {
    let mut files = Configuration::new(100, 10);
    let mut client = Client::new("a", &files.served);
    client.take_all(&files.served);
    client.ask_for_endpoints(0..100, &files.served);
    client.take_all(&files.served);
    change(&mut files);
    client.wake(&files.served);
    let response = client.take_all(&files.served).pop().expect("something changed");
    bencher.bench_local(|| {
        let mut out = Vec::with_capacity(response.encoded_len());
        response.encode(&mut out);
        out
    });
}

/// A client that connects and takes everything.
#[divan::bench(args = [100, 1_000, 10_000], max_time = 3)]
fn first_sync(bencher: Bencher<'_, '_>, clusters: usize) {
    let files = Configuration::new(clusters, 10);
    bencher.bench_local(|| {
        let mut client = Client::new("a", &files.served);
        client.take_all(&files.served);
        client.ask_for_endpoints(0..clusters, &files.served);
        client.take_all(&files.served)
    });
}
