//! A configuration of many clusters without a disk, and clients of it without a network.
//!
//! For the benchmarks of single rooms and for the tests that count: the real loader, snapshots and
//! sessions, called as the daemon calls them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use xds_bridge::app::{FileName, Fragments, Outcome, Policy, Verdict};
use xds_bridge::envoy_api::Api;
use xds_bridge::resource::{Kind, Node};
use xds_bridge::serve::{Identity, Names, Pace, Request, Response, Rules, Session, Variant};
use xds_bridge::snapshot::Snapshot;
use xds_bridge::source::{DirState, Directory, SourceFile, Sources};

use super::fragment;

/// Fragments in memory, and what is served of them.
pub struct Configuration {
    fragments: Fragments,
    sources: Sources,
    clusters: usize,
    per_file: usize,
    changes: u16,
    pub served: Arc<Snapshot>,
}

impl Configuration {
    /// Loads all of it.
    pub fn new(clusters: usize, per_file: usize) -> Configuration {
        let api = Api::embedded().expect("the shipped set is whole");
        let dirs = [Directory { path: "d".into(), state: DirState::Present }].into();
        let sources = Sources { dirs, ..Sources::default() };
        let fragments = Fragments::new(api, Policy::default(), Default::default());
        let served = Arc::new(Snapshot::unloaded());
        let mut all = Configuration { fragments, sources, clusters, per_file, changes: 0, served };
        let names: Vec<FileName> = (0..clusters.div_ceil(per_file)).map(|file| all.write(file)).collect();
        all.put("edge.yaml", fragment::EDGE);
        let mut changed = names;
        changed.push("edge.yaml".into());
        let outcome = all.update(&changed);
        assert!(outcome.diagnostics.iter().all(|finding| !finding.is_error()), "{:?}", outcome.diagnostics);
        all
    }

    /// Writes a file in which one endpoint is another than before.
    pub fn write(&mut self, file: usize) -> FileName {
        let range = file * self.per_file..((file + 1) * self.per_file).min(self.clusters);
        let (first, changes) = (range.start, self.changes);
        let text = fragment::text(range, |cluster| if cluster == first { changes } else { 0 });
        self.changes += 1;
        self.put(&format!("f{file:06}.yaml"), &text)
    }

    fn put(&mut self, name: &str, text: &str) -> FileName {
        let content = Ok(text.to_owned().into());
        let name = FileName::from(name);
        self.sources.files.insert(name.clone(), SourceFile { path: format!("d/{name}").into(), content });
        name
    }

    /// Loads files that were written, and serves what is new.
    pub fn update(&mut self, files: &[FileName]) -> Outcome {
        let outcome = self.fragments.update(&self.sources, files);
        if let Verdict::Publish(snapshot) = &outcome.verdict {
            self.served = Arc::new(snapshot.clone());
        }
        outcome
    }
}

/// One client that takes everything.
pub struct Client {
    session: Session,
    now: Instant,
}

impl Client {
    /// A stream that was just opened.
    pub fn new(name: &str, served: &Arc<Snapshot>) -> Client {
        let rules = Rules {
            pace: Pace::default(),
            max_names: 1 << 20,
            max_response: usize::MAX,
            max_response_envoy: usize::MAX,
            server: "bench".into(),
        };
        let mut client =
            Client { session: Session::new(Variant::Delta, None, Arc::new(rules)), now: Instant::now() };
        let node = Node { id: name.into(), ..Node::default() };
        let identity = Identity { node, agent: "envoy".into(), ..Identity::default() };
        client.ask(Kind::Cluster, Vec::new(), Some(identity), served);
        client
    }

    /// Asks for endpoints by name.
    pub fn ask_for_endpoints(&mut self, clusters: std::ops::Range<usize>, served: &Arc<Snapshot>) {
        self.ask(Kind::Endpoint, clusters.map(fragment::name).collect(), None, served);
    }

    fn ask(
        &mut self,
        kind: Kind,
        subscribe: Vec<String>,
        identity: Option<Identity>,
        served: &Arc<Snapshot>,
    ) {
        let names = Names::Delta {
            subscribe: subscribe.into(),
            unsubscribe: Default::default(),
            initial: Default::default(),
        };
        let type_url = kind.type_url().into();
        let request = Request { identity, type_url, names, ..Request::default() };
        self.session.on_request(request, served, self.now).expect("a good request");
    }

    /// A new snapshot was published.
    pub fn wake(&mut self, served: &Arc<Snapshot>) {
        self.session.on_snapshot(served);
    }

    /// Takes and acknowledges everything that there is to send.
    pub fn take_all(&mut self, served: &Arc<Snapshot>) -> Vec<Response> {
        let mut all = Vec::new();
        loop {
            self.now += Duration::from_secs(1);
            let Some(response) = self.session.next(self.now).response else { return all };
            let names = Names::Delta {
                subscribe: Default::default(),
                unsubscribe: Default::default(),
                initial: Default::default(),
            };
            let (type_url, nonce) = (response.type_url.to_string(), response.nonce.clone());
            let ack = Request { type_url, nonce, names, ..Request::default() };
            self.session.on_request(ack, served, self.now).expect("a good ACK");
            self.session.take_events();
            all.push(response);
        }
    }
}
