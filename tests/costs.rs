//! Holds that the cost of a change is the size of the change, by counting: what is loaded, made anew,
//! compared, sent, and allocated for one endpoint among few resources and among many.
//!
//! Counts are the same on every machine; times are measured by `benches/` and told in docs/performance.md.

#[path = "../benches/shared/fragment.rs"]
#[expect(dead_code, reason = "the benchmark uses more of it")]
mod fragment;
#[path = "../benches/shared/memory.rs"]
mod memory;

use std::sync::Arc;

use memory::{Client, Configuration};
use xds_bridge::resource::{Kind, Resource};
use xds_bridge::snapshot::{Snapshot, View};

/// Clusters in a file.
const PER_FILE: usize = 10;

/// Everything that one change costs.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    files_loaded: usize,
    resources_decoded: usize,
    /// Resources that are other values than before: what was encoded and taken over.
    resources_renewed: usize,
    /// What each client compares with what it holds.
    names_compared: usize,
    /// Responses and resources that went out, over all clients.
    responses: usize,
    resources_sent: usize,
}

/// Allocations, which grow with the depth of trees and with nothing else.
struct Allocations {
    loading: u64,
    a_client: u64,
}

fn all(snapshot: &Snapshot) -> Vec<Arc<Resource>> {
    Kind::ALL.into_iter().flat_map(|kind| snapshot.iter(kind)).map(|(_, resource)| resource.clone()).collect()
}

/// Clients, every other one of which asks for the endpoints of the first file only; then one endpoint
/// of the first file changes, or of the last.
fn change_one(clusters: usize, per_file: usize, clients: usize, file: usize) -> (Counts, Allocations) {
    let mut files = Configuration::new(clusters, per_file);
    let before = files.served.clone();
    let mut fleet: Vec<Client> = (0..clients)
        .map(|number| {
            let mut client = Client::new(&number.to_string(), &before);
            client.take_all(&before);
            client.ask_for_endpoints(
                0..if number % 2 == 0 { clusters } else { PER_FILE.min(clusters) },
                &before,
            );
            client.take_all(&before);
            client
        })
        .collect();
    let name = files.write(file);
    let mut outcome = None;
    let loading = allocation_counter::measure(|| outcome = Some(files.update(&[name])));
    let outcome = outcome.expect("it was run");
    let after = files.served.clone();
    let old = all(&before);
    let renewed = all(&after).iter().zip(&old).filter(|(new, old)| !Arc::ptr_eq(new, old)).count();
    let compared = View::new(after.clone(), None).changed_since(&View::new(before, None)).len();
    let (mut responses, mut sent, mut a_client) = (0, 0, 0);
    for client in &mut fleet {
        let mut answers = Vec::new();
        let work = allocation_counter::measure(|| {
            client.wake(&after);
            answers = client.take_all(&after);
        });
        a_client = a_client.max(work.count_total);
        responses += answers.len();
        sent += answers.iter().map(|response| response.items.len()).sum::<usize>();
    }
    let counts = Counts {
        files_loaded: outcome.files_loaded,
        resources_decoded: outcome.looks.iter().map(|look| look.loaded.decoded).sum(),
        resources_renewed: renewed,
        names_compared: compared,
        responses,
        resources_sent: sent,
    };
    (counts, Allocations { loading: loading.count_total, a_client })
}

/// One endpoint for twenty clients.
const EXPECTED: Counts = Counts {
    files_loaded: 1,
    resources_decoded: 1,
    resources_renewed: 1,
    names_compared: 1,
    responses: 20,
    resources_sent: 20,
};

/// Many times the resources are one more level of a tree.
fn alike(few: &Allocations, many: &Allocations) {
    for (few, many) in [(few.loading, many.loading), (few.a_client, many.a_client)] {
        assert!(many <= few + few / 4 + 16, "{many} allocations among many, {few} among few");
    }
}

#[test]
fn one_change_among_many_costs_what_it_costs_among_few() {
    let (few, few_allocations) = change_one(100, PER_FILE, 20, 0);
    assert_eq!(few, EXPECTED);
    let (many, many_allocations) = change_one(5_000, PER_FILE, 20, 0);
    assert_eq!(many, EXPECTED);
    alike(&few_allocations, &many_allocations);
}

#[test]
fn one_change_in_a_large_file_costs_what_it_costs_in_a_small_one() {
    let (few, few_allocations) = change_one(100, 100, 20, 0);
    assert_eq!(few, EXPECTED);
    let (many, many_allocations) = change_one(2_000, 2_000, 20, 0);
    assert_eq!(many, EXPECTED);
    alike(&few_allocations, &many_allocations);
}

#[test]
fn a_client_that_does_not_ask_for_what_changed_is_sent_nothing() {
    let (counts, _) = change_one(100, PER_FILE, 20, 9);
    assert_eq!((counts.responses, counts.resources_sent), (10, 10));
}
