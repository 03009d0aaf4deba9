//! What Prometheus scrapes: counters of the streams and of the loads, and what is so right now.
//!
//! Comes in: a [`Scrape`], gathered when somebody asks. Goes out: text. On the way of a change there are
//! only additions to atomics; all else is counted here. Names follow Prometheus' conventions: base units,
//! `_total` for what only grows; no label has a value that a client can choose.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::exposition::Exposition;
use super::status::{Serving, Summary};
use crate::resource::Kind;
use crate::serve::{Clients, Histogram, Totals};

/// What may come of a load, as a label.
const OUTCOMES: [&str; 5] = ["published", "unchanged", "held", "not_ready", "restored"];

/// How long loads took, by what came of them.
#[derive(Debug, Default)]
pub struct Loads([Histogram; OUTCOMES.len()]);

impl Loads {
    /// Counts one; an `outcome` that is not known is not counted.
    pub fn observe(&self, outcome: &str, took: Duration) {
        if let Some(at) = OUTCOMES.iter().position(|known| *known == outcome) {
            self.0[at].observe(took);
        }
    }
}

/// When a certificate expires, in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The kind of the resource that holds it, as fragments call it; `listen`: the daemon's own.
    pub kind: &'static str,
    /// Its name.
    pub resource: String,
    /// The file.
    pub file: String,
    /// When.
    pub expires: i64,
}

/// What the operating system says of the process; what is not known is left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Processor time, user and system, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// Virtual memory in bytes.
    pub virtual_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// How many there may be.
    pub max_fds: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// When it was started, in seconds since 1970.
    pub start_seconds: f64,
}

/// Everything that is scraped.
pub struct Scrape<'a> {
    /// The program's version.
    pub version: &'a str,
    /// What is served.
    pub serving: &'a Serving,
    /// When it was published, in seconds since 1970.
    pub published_seconds: Option<f64>,
    /// Whether a change is held back.
    pub held: bool,
    /// How clients stand.
    pub summary: &'a Summary,
    /// What streams did.
    pub clients: &'a Clients,
    /// What loads took.
    pub loads: &'a Loads,
    /// When certificates expire.
    pub certificates: &'a [Certificate],
    /// How often the daemon's own certificates were taken over, and how often new ones were of no use.
    pub renewals: Option<(u64, u64)>,
    /// The process.
    pub process: Process,
}

/// The text for Prometheus.
pub fn metrics(scrape: &Scrape<'_>) -> String {
    let mut out = Exposition::default();
    out.family("xds_bridge_build_info", "gauge", "The program; always 1.")
        .sample(&[("version", scrape.version)], 1);
    files(&mut out, scrape);
    clients(&mut out, scrape);
    process(&mut out, &scrape.process);
    out.finish()
}

fn files(out: &mut Exposition, scrape: &Scrape<'_>) {
    let serving = scrape.serving;
    out.one("xds_bridge_ready", "gauge", "Whether a first complete load is served.", u8::from(serving.ready));
    let help = "Snapshots published since the start; what is served is the last of them.";
    out.one("xds_bridge_snapshot_generation", "gauge", help, serving.generation);
    if let Some(time) = scrape.published_seconds {
        let help = "When the snapshot that is served was published, in Unix time.";
        out.one("xds_bridge_snapshot_published_timestamp_seconds", "gauge", help, time);
    }
    let help = "Whether a change is held back.";
    out.one("xds_bridge_change_held", "gauge", help, u8::from(scrape.held));
    let mut family = out.family("xds_bridge_resources", "gauge", "Resources that are served, by kind.");
    for (kind, count) in &serving.resources {
        family.sample(&[("kind", kind)], count);
    }
    let mut family = out.family("xds_bridge_files", "gauge", "Fragments, by how they stand.");
    for (state, count) in &serving.files {
        family.sample(&[("state", state)], count);
    }
    let help = "Findings of the fragments as they stand and of what holds a change, by severity.";
    let mut family = out.family("xds_bridge_findings", "gauge", help);
    for (severity, count) in &serving.findings {
        family.sample(&[("severity", severity)], count);
    }
    let help = "Time from reading changed files to what came of them.";
    let mut family = out.family("xds_bridge_load_duration_seconds", "histogram", help);
    for (outcome, loads) in OUTCOMES.iter().zip(&scrape.loads.0) {
        family.histogram(&[("outcome", outcome)], &loads.counted());
    }
    let help = "When the first certificate in a resource expires, in Unix time.";
    let mut family = out.family("xds_bridge_certificate_expiry_timestamp_seconds", "gauge", help);
    for Certificate { kind, resource, file, expires } in scrape.certificates {
        family.sample(&[("kind", kind), ("resource", resource), ("file", file)], expires);
    }
    if let Some((taken, refused)) = scrape.renewals {
        let help = "New certificates of the daemon's own, by whether they were taken over.";
        let mut family = out.family("xds_bridge_tls_renewals_total", "counter", help);
        family.sample(&[("outcome", "taken")], taken);
        family.sample(&[("outcome", "refused")], refused);
    }
}

/// One of the counters of a type.
type Counter = fn(&Totals) -> &AtomicU64;

fn clients(out: &mut Exposition, scrape: &Scrape<'_>) {
    let Summary { in_sync, behind, refused, streams, .. } = scrape.summary;
    out.one("xds_bridge_streams", "gauge", "Open discovery streams.", streams);
    let mut family = out.family("xds_bridge_clients", "gauge", "Connected clients, by how they stand.");
    for (state, count) in [("in_sync", in_sync), ("behind", behind), ("refused", refused)] {
        family.sample(&[("state", state)], count);
    }
    let counters: [(&'static str, &str, Counter); 6] = [
        ("xds_bridge_responses_total", "Responses sent, by type.", |totals| &totals.responses),
        ("xds_bridge_sent_resources_total", "Resources sent, by type.", |totals| &totals.resources),
        ("xds_bridge_sent_removals_total", "Removals sent, by type.", |totals| &totals.removals),
        ("xds_bridge_sent_bytes_total", "Bytes of responses sent, without framing, by type.", |t| &t.bytes),
        ("xds_bridge_acks_total", "Responses that were acknowledged, by type.", |totals| &totals.acks),
        ("xds_bridge_nacks_total", "Responses that were refused, by type.", |totals| &totals.nacks),
    ];
    for (name, help, counter) in counters {
        let mut family = out.family(name, "counter", help);
        for kind in Kind::ALL {
            let count = counter(scrape.clients.totals(kind)).load(Ordering::Relaxed);
            family.sample(&[("type", kind.fragment_key())], count);
        }
    }
    let help = "Time from reading a changed file to a client's ACK of it, by type.";
    let mut family = out.family("xds_bridge_change_to_ack_seconds", "histogram", help);
    for kind in Kind::ALL {
        let counted = scrape.clients.totals(kind).change_to_ack.counted();
        family.histogram(&[("type", kind.fragment_key())], &counted);
    }
}

/// The names are those that all of Prometheus' own clients use.
fn process(out: &mut Exposition, process: &Process) {
    let mut gauge = |name, help: &str, value: Option<u64>| {
        if let Some(value) = value {
            out.one(name, "gauge", help, value);
        }
    };
    gauge("process_resident_memory_bytes", "Resident memory.", process.resident_bytes);
    gauge("process_virtual_memory_bytes", "Virtual memory.", process.virtual_bytes);
    gauge("process_open_fds", "Open file descriptors.", process.open_fds);
    gauge("process_max_fds", "How many file descriptors may be open.", process.max_fds);
    gauge("process_threads", "Threads.", process.threads);
    let help = "When the process was started, in Unix time.";
    out.one("process_start_time_seconds", "gauge", help, process.start_seconds);
    if let Some(seconds) = process.cpu_seconds {
        out.one("process_cpu_seconds_total", "counter", "Processor time, user and system.", seconds);
    }
}
