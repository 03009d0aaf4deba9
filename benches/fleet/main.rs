//! The fleet benchmark: a server as a process, many clients that behave like Envoys, files that change.
//!
//!     cargo bench --bench fleet -- --clusters 1000 --streams 1000
//!     cargo bench --bench fleet -- --clusters 1000 --streams 1000 --server 'OTHER {dir} {port}'
//!
//! Any server that reads such files and speaks ADS can be measured: what goes out is rename → client,
//! CPU and memory of the server, and what a bare loop over as many sockets takes in the same run.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it measured")]

mod client;
mod files;
mod floor;
#[path = "../shared/fragment.rs"]
mod fragment;
mod server;
mod wire;

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client::{Fleet, Round};
use files::Files;
use server::Server;

const USAGE: &str = "\
--clusters M     clusters, each with its endpoints [100]
--streams N      clients, each with a connection and an aggregated stream [1]
--per-file K     clusters in a file [10]
--changes C      changes of one endpoint, one after the other [20]
--sotw           state of the world instead of delta
--burst          then change one endpoint in every file at once
--reconnect      then end all connections and connect again with initial_resource_versions
--server CMD     another server; {dir} and {port} are filled in [this xds-bridge]";

struct Options {
    clusters: usize,
    streams: usize,
    per_file: usize,
    changes: usize,
    sotw: bool,
    burst: bool,
    reconnect: bool,
    server: Option<String>,
}

fn options() -> Options {
    let mut options = Options {
        clusters: 100,
        streams: 1,
        per_file: 10,
        changes: 20,
        sotw: false,
        burst: false,
        reconnect: false,
        server: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse().ok()).filter(|n| *n > 0).expect(USAGE);
        match &*word {
            "--clusters" => options.clusters = number(),
            "--streams" => options.streams = number(),
            "--per-file" => options.per_file = number(),
            "--changes" => options.changes = number(),
            "--sotw" => options.sotw = true,
            "--burst" => options.burst = true,
            "--reconnect" => options.reconnect = true,
            "--server" => options.server = Some(words.next().expect(USAGE)),
            // What cargo says to every benchmark.
            "--bench" => {}
            _ => panic!("{USAGE}"),
        }
    }
    options
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("the system has threads").block_on(async {
        let options = options();
        tokio::spawn(measure(options)).await.expect("the benchmark ends");
    });
}

/// However slow a server is, it does not take longer than this for one thing.
const PATIENCE: Duration = Duration::from_secs(300);

async fn measure(options: Options) {
    let root = tempfile::tempdir().expect("the folder for temporary files is writable");
    let mut files = Files::create(root.path(), options.clusters, options.per_file);
    println!(
        "{} clusters in {} files, {} KiB; {} streams, {}",
        options.clusters,
        files.count(),
        files.size() / 1024,
        options.streams,
        if options.sotw { "state of the world" } else { "delta" },
    );
    let port = free_port();
    let command = options.server.clone().unwrap_or_else(|| {
        format!(
            "{} serve --config-dir {{dir}} --listen 127.0.0.1:{{port}} --admin none --state-dir {} --log warn",
            env!("CARGO_BIN_EXE_xds-bridge"),
            root.path().join("state").display(),
        )
    });
    let server = Server::start(&command, files.dir(), port);
    let fleet = fleet(&options, port, Default::default());
    start(&server, &fleet, &files).await;
    connect_all(&server, &fleet, options.streams).await;
    if options.changes > 0 {
        let bytes = changes(&server, &fleet, &mut files, &options).await;
        let floor = floor::measure(options.streams, bytes, 9);
        println!("floor          last {}  CPU {}  ({bytes} bytes each)", ms(floor.last), ms(floor.cpu));
    }
    if options.burst {
        burst(&server, &fleet, &mut files, options.streams).await;
    }
    if options.reconnect {
        reconnect(&server, &fleet, &options).await;
    }
}

fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("it is bound").port()
}

fn fleet(options: &Options, port: u16, initial: [Vec<u8>; 4]) -> Arc<Fleet> {
    let mut names: [Vec<u8>; 4] = Default::default();
    for cluster in 0..options.clusters {
        wire::put_bytes(&mut names[1], 3, fragment::name(cluster).as_bytes());
    }
    wire::put_bytes(&mut names[3], 3, fragment::ROUTES.as_bytes());
    Arc::new(Fleet {
        port,
        sotw: options.sotw,
        names,
        expected: options.clusters,
        synced: AtomicUsize::new(0),
        failed: AtomicUsize::new(0),
        responses: Default::default(),
        resources: Default::default(),
        bytes: Default::default(),
        round: Default::default(),
        done: Default::default(),
        learnt: Default::default(),
        initial: Arc::new(initial),
        tasks: Default::default(),
    })
}

/// From the start of the process until one client has everything.
async fn start(server: &Server, fleet: &Arc<Fleet>, files: &Files) {
    let begin = Instant::now();
    while TcpStream::connect(("127.0.0.1", fleet.port)).is_err() {
        assert!(begin.elapsed() < PATIENCE, "the server does not listen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let listening = begin.elapsed();
    fleet.spawn(0);
    wait(fleet, || fleet.synced.load(Ordering::Relaxed) >= 1).await;
    let synced = begin.elapsed();
    server.idle().await;
    println!(
        "start          listening {}  one client has all {}  CPU {}  RSS {:.1} MiB = {:.1} x the files",
        ms(listening),
        ms(synced),
        ms(server.cpu()),
        server.memory(),
        server.memory() * 1024.0 * 1024.0 / files.size() as f64,
    );
}

/// All others connect at once.
async fn connect_all(server: &Server, fleet: &Arc<Fleet>, streams: usize) {
    if streams == 1 {
        return;
    }
    let (begin, cpu, memory) = (Instant::now(), server.cpu(), server.memory());
    for number in 1..streams {
        fleet.spawn(number);
    }
    wait(fleet, || fleet.synced.load(Ordering::Relaxed) >= streams).await;
    let synced = begin.elapsed();
    server.idle().await;
    let each = (server.memory() - memory) * 1024.0 / (streams - 1) as f64;
    println!(
        "first sync     last {}  CPU {}  RSS {:.1} MiB  ({each:.1} KiB a stream)",
        ms(synced),
        ms(server.cpu() - cpu),
        server.memory(),
    );
}

/// One endpoint after the other; gives the bytes of one response.
async fn changes(server: &Server, fleet: &Arc<Fleet>, files: &mut Files, options: &Options) -> usize {
    let (cpu, bytes) = (server.cpu(), fleet.bytes.load(Ordering::Relaxed));
    let (mut medians, mut p99s, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
    for change in 0..options.changes {
        let (new, place) = files.change(change * 7919 % files.count(), change * 31);
        begin_round(fleet, 1);
        std::fs::rename(new, place).expect("on one disk");
        let mut latencies = end_round(fleet, options.streams).await;
        latencies.sort();
        medians.push(latencies[latencies.len() / 2]);
        p99s.push(latencies[latencies.len() * 99 / 100]);
        lasts.extend(latencies.last());
        settled(server).await;
    }
    server.idle().await;
    let count = u32::try_from(options.changes).expect("a small number");
    let each = (fleet.bytes.load(Ordering::Relaxed) - bytes) as usize / options.changes / options.streams;
    println!(
        "one endpoint   median {}  p99 {}  last {}  CPU {}  {each} bytes  RSS {:.1} MiB  (medians of {count} changes)",
        ms(middle(&mut medians)),
        ms(middle(&mut p99s)),
        ms(middle(&mut lasts)),
        ms((server.cpu() - cpu) / count),
        server.memory(),
    );
    each
}

/// Every file is replaced, as fast as renames go.
async fn burst(server: &Server, fleet: &Arc<Fleet>, files: &mut Files, streams: usize) {
    let moves: Vec<_> = (0..files.count()).map(|file| files.change(file, 3)).collect();
    server.idle().await;
    let (cpu, responses) = (server.cpu(), fleet.responses.load(Ordering::Relaxed));
    begin_round(fleet, files.count());
    let begin = Instant::now();
    for (new, place) in moves {
        std::fs::rename(new, place).expect("on one disk");
    }
    let renamed = begin.elapsed();
    let mut latencies = end_round(fleet, streams).await;
    latencies.sort();
    server.idle().await;
    println!(
        "burst          {} files renamed in {}  median {}  last {}  CPU {}  {:.1} responses a client",
        files.count(),
        ms(renamed),
        ms(latencies[latencies.len() / 2]),
        ms(*latencies.last().expect("there are clients")),
        ms(server.cpu() - cpu),
        (fleet.responses.load(Ordering::Relaxed) - responses) as f64 / streams as f64,
    );
}

/// All connections end, and all clients come again with what they hold.
async fn reconnect(server: &Server, fleet: &Arc<Fleet>, options: &Options) {
    let streams = options.streams;
    let learnt = fleet.learnt.lock().expect("no client panics").clone();
    let initial = learnt.map(|versions| {
        let mut out = Vec::new();
        for (name, version) in versions {
            let mut entry = Vec::new();
            wire::put_bytes(&mut entry, 1, name.as_bytes());
            wire::put_bytes(&mut entry, 2, version.as_bytes());
            wire::put_bytes(&mut out, 5, &entry);
        }
        out
    });
    assert!(
        !fleet.sotw && initial.iter().all(|list| !list.is_empty()),
        "only delta clients tell what they hold"
    );
    let again = self::fleet(options, fleet.port, initial);
    fleet.disconnect();
    server.idle().await;
    let (cpu, begin) = (server.cpu(), Instant::now());
    for number in 0..streams {
        again.spawn(number);
    }
    wait(&again, || again.synced.load(Ordering::Relaxed) >= streams).await;
    let quiet = server.idle().await;
    println!(
        "reconnect      quiet after {}  CPU {}  {} resources sent again in {} responses  RSS {:.1} MiB",
        ms(quiet - begin),
        ms(server.cpu() - cpu),
        again.resources.load(Ordering::Relaxed),
        again.responses.load(Ordering::Relaxed),
        server.memory(),
    );
}

fn begin_round(fleet: &Fleet, needed: usize) {
    let round = Round { start: Some(Instant::now()), needed, latencies: Vec::new() };
    *fleet.round.lock().expect("no client panics") = round;
}

/// Waits until every client has what changed.
async fn end_round(fleet: &Fleet, streams: usize) -> Vec<Duration> {
    let arrived = || fleet.round.lock().expect("no client panics").latencies.len() >= streams;
    wait(fleet, arrived).await;
    std::mem::take(&mut *fleet.round.lock().expect("no client panics")).latencies
}

async fn wait(fleet: &Fleet, is_done: impl Fn() -> bool) {
    let all = async {
        while !is_done() {
            fleet.done.notified().await;
            assert_eq!(fleet.failed.load(Ordering::Relaxed), 0, "a client lost its stream");
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the server answers in time");
}

/// What follows a change, such as the ACKs, is over.
async fn settled(server: &Server) {
    loop {
        let before = server.cpu();
        tokio::time::sleep(Duration::from_millis(40)).await;
        if server.cpu() <= before + Duration::from_millis(10) {
            return;
        }
    }
}

fn middle(list: &mut [Duration]) -> Duration {
    list.sort();
    list[list.len() / 2]
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
