//! One client: a connection, one aggregated stream on it, and the behaviour of an Envoy.
//!
//! Asks for all clusters, then for their endpoints by name, then for all listeners, then for the routes
//! by name; acknowledges everything at once. Comes in: bytes of the server. Goes out: requests, and to the
//! [`Fleet`] what has arrived and when.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::wire::{self, Fields, MAX_FRAME, frame, put_bytes, put_frame, text};

/// The types, in the order in which a client asks for them.
pub const TYPES: [&str; 4] = [
    "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    "type.googleapis.com/envoy.config.listener.v3.Listener",
    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
];

const ENDPOINTS: usize = 1;

/// What all clients share.
pub struct Fleet {
    pub port: u16,
    pub sotw: bool,
    /// Field `resource_names` of each type's subscription, encoded: nothing is a wildcard.
    pub names: [Vec<u8>; 4],
    /// How many endpoint assignments there are.
    pub expected: usize,
    pub synced: AtomicUsize,
    pub failed: AtomicUsize,
    /// Responses, resources and bytes that came, over all clients.
    pub responses: AtomicU64,
    pub resources: AtomicU64,
    pub bytes: AtomicU64,
    /// What is being waited for.
    pub round: Mutex<Round>,
    pub done: Notify,
    /// Name → version by type, as the first client learnt them.
    pub learnt: Mutex<[HashMap<String, String>; 4]>,
    /// Field `initial_resource_versions` of each type's first request, encoded; empty at the first connect.
    pub initial: Arc<[Vec<u8>; 4]>,
    /// The running clients.
    pub tasks: Mutex<Vec<AbortHandle>>,
}

/// A change on its way: who has it is written down.
#[derive(Default)]
pub struct Round {
    pub start: Option<Instant>,
    /// How many endpoint assignments each client is to receive.
    pub needed: usize,
    pub latencies: Vec<Duration>,
}

impl Fleet {
    /// A client connects.
    pub fn spawn(self: &Arc<Self>, number: usize) {
        let task = tokio::spawn(run(self.clone(), number));
        self.tasks.lock().expect("no client panics").push(task.abort_handle());
    }

    /// All connections end.
    pub fn disconnect(&self) {
        self.tasks.lock().expect("no client panics").drain(..).for_each(|task| task.abort());
    }

    fn synced(&self) {
        self.synced.fetch_add(1, Ordering::Relaxed);
        self.done.notify_one();
    }

    fn note_round(&self, had: usize, has: usize) {
        let now = Instant::now();
        let mut round = self.round.lock().expect("no client panics");
        if let Some(start) = round.start
            && had < round.needed
            && has >= round.needed
        {
            round.latencies.push(now.saturating_duration_since(start));
            self.done.notify_one();
        }
    }
}

/// Runs a client until its connection ends; counts it as failed when it was not asked to end.
async fn run(fleet: Arc<Fleet>, number: usize) {
    let error = match Client::connect(fleet.clone(), number).await {
        Ok(mut client) => client.run().await,
        Err(error) => Err(error),
    };
    if let Err(error) = error {
        if fleet.failed.fetch_add(1, Ordering::Relaxed) == 0 {
            eprintln!("client {number}: {error}");
        }
        fleet.done.notify_one();
    }
}

struct Client {
    fleet: Arc<Fleet>,
    number: usize,
    socket: TcpStream,
    /// What the server lets us send, on the connection and on the stream.
    windows: [i64; 2],
    /// The stream's share of a window that the server announces in its settings.
    initial_window: i64,
    message: Vec<u8>,
    /// gRPC messages that wait for a window.
    unsent: Vec<u8>,
    out: Vec<u8>,
    /// Which types were asked for and answered.
    answered: [bool; 4],
    initial: Arc<[Vec<u8>; 4]>,
    /// Endpoint assignments that came at all, and in this round.
    endpoints: usize,
    in_round: (Option<Instant>, usize),
    is_synced: bool,
}

fn broken(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

impl Client {
    async fn connect(fleet: Arc<Fleet>, number: usize) -> io::Result<Client> {
        let socket = TcpStream::connect(("127.0.0.1", fleet.port)).await?;
        socket.set_nodelay(true)?;
        let method = if fleet.sotw { "StreamAggregatedResources" } else { "DeltaAggregatedResources" };
        let path = format!("/envoy.service.discovery.v3.AggregatedDiscoveryService/{method}");
        let initial = fleet.initial.clone();
        let mut client = Client {
            number,
            socket,
            windows: [65_535; 2],
            initial_window: 65_535,
            message: Vec::new(),
            unsent: Vec::new(),
            out: wire::opening(&path),
            answered: [false; 4],
            endpoints: 0,
            in_round: (None, 0),
            is_synced: !initial[0].is_empty(),
            initial,
            fleet,
        };
        client.ask(0);
        if client.is_synced {
            // A client that comes again asks for all that it had, at once.
            (1..4).for_each(|kind| client.ask(kind));
            client.fleet.synced();
        }
        Ok(client)
    }

    async fn run(&mut self) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(MAX_FRAME + 9);
        loop {
            self.flush();
            if !self.out.is_empty() {
                self.socket.write_all(&self.out).await?;
                self.out = Vec::new();
            }
            if self.socket.read_buf(&mut buffer).await? == 0 {
                return Err(broken("the server closed the connection"));
            }
            let mut used = 0;
            while let Some((head, rest)) = buffer[used..].split_at_checked(9) {
                let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                let Some(payload) = rest.get(..len) else { break };
                let (kind, flags) = (head[3], head[4]);
                let is_connection = head[5..9] == [0; 4];
                used += 9 + len;
                // Cheap: frames of DATA are the only large ones.
                let payload = payload.to_vec();
                self.on_frame(kind, flags, is_connection, &payload)?;
            }
            buffer.drain(..used);
        }
    }

    fn on_frame(&mut self, kind: u8, flags: u8, is_connection: bool, payload: &[u8]) -> io::Result<()> {
        match kind {
            frame::DATA => {
                self.fleet.bytes.fetch_add(payload.len() as u64 + 9, Ordering::Relaxed);
                self.message.extend_from_slice(payload);
                self.take_messages();
            }
            frame::HEADERS if flags & frame::END_STREAM != 0 => {
                return Err(broken("the server ended the stream"));
            }
            frame::RESET | frame::GOAWAY => return Err(broken("the server refused the stream")),
            frame::SETTINGS if flags & frame::ACK == 0 => {
                for setting in payload.chunks_exact(6).filter(|setting| setting[..2] == [0, 4]) {
                    let window =
                        i64::from(u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]));
                    self.windows[1] += window - self.initial_window;
                    self.initial_window = window;
                }
                put_frame(&mut self.out, frame::SETTINGS, frame::ACK, 0, &[]);
            }
            frame::PING if flags & frame::ACK == 0 => {
                put_frame(&mut self.out, frame::PING, frame::ACK, 0, payload);
            }
            frame::WINDOW_UPDATE => {
                let bytes: [u8; 4] = payload.try_into().map_err(|_| broken("a frame of another size"))?;
                self.windows[usize::from(!is_connection)] += i64::from(u32::from_be_bytes(bytes));
            }
            _ => {}
        }
        Ok(())
    }

    fn take_messages(&mut self) {
        let mut message = std::mem::take(&mut self.message);
        let mut used = 0;
        while let Some((head, rest)) = message[used..].split_at_checked(5) {
            let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let Some(body) = rest.get(..len) else { break };
            self.on_response(body);
            used += 5 + len;
        }
        if used == message.len() {
            message = Vec::new();
        } else {
            message.drain(..used);
        }
        self.message = message;
    }

    fn on_response(&mut self, body: &[u8]) {
        let (mut kind, mut nonce, mut version, mut count) = (0, "", "", 0);
        for (field, bytes) in Fields(body) {
            match field {
                1 => version = text(bytes),
                2 => count += 1,
                4 => kind = TYPES.iter().position(|url| *url == text(bytes)).unwrap_or(0),
                5 => nonce = text(bytes),
                _ => {}
            }
        }
        self.fleet.responses.fetch_add(1, Ordering::Relaxed);
        self.fleet.resources.fetch_add(count as u64, Ordering::Relaxed);
        if self.number == 0 && !self.fleet.sotw {
            self.learn(kind, body);
        }
        let mut ack = Vec::new();
        if self.fleet.sotw {
            put_bytes(&mut ack, 1, version.as_bytes());
            ack.extend_from_slice(&self.fleet.names[kind]);
            put_bytes(&mut ack, 4, TYPES[kind].as_bytes());
            put_bytes(&mut ack, 5, nonce.as_bytes());
        } else {
            put_bytes(&mut ack, 2, TYPES[kind].as_bytes());
            put_bytes(&mut ack, 6, nonce.as_bytes());
        }
        self.send(&ack);
        if kind == ENDPOINTS && count > 0 {
            self.note_endpoints(count);
        }
        let is_first = !std::mem::replace(&mut self.answered[kind], true);
        if !self.is_synced && is_first && kind != ENDPOINTS {
            self.after(kind);
        }
    }

    /// The next type is asked for when the one before is there.
    fn after(&mut self, kind: usize) {
        if kind < 3 {
            self.ask(kind + 1);
        } else {
            self.is_synced = true;
            self.fleet.synced();
        }
    }

    fn note_endpoints(&mut self, count: usize) {
        if !self.is_synced {
            let before = self.endpoints;
            self.endpoints += count;
            if before < self.fleet.expected && self.endpoints >= self.fleet.expected {
                self.after(ENDPOINTS);
            }
            return;
        }
        let start = self.fleet.round.lock().expect("no client panics").start;
        if self.in_round.0 != start {
            self.in_round = (start, 0);
        }
        let before = self.in_round.1;
        self.in_round.1 += count;
        self.fleet.note_round(before, self.in_round.1);
    }

    fn learn(&self, kind: usize, body: &[u8]) {
        let mut learnt = self.fleet.learnt.lock().expect("no client panics");
        for (_, resource) in Fields(body).filter(|(field, _)| *field == 2) {
            let (mut name, mut version) = ("", "");
            for (field, bytes) in Fields(resource) {
                match field {
                    1 => version = text(bytes),
                    3 => name = text(bytes),
                    _ => {}
                }
            }
            learnt[kind].insert(name.to_owned(), version.to_owned());
        }
    }

    fn ask(&mut self, kind: usize) {
        let mut request = Vec::new();
        let (node, url, names) = if self.fleet.sotw { (2, 4, 3) } else { (1, 2, 3) };
        if kind == 0 {
            let mut identity = Vec::new();
            put_bytes(&mut identity, 1, format!("envoy-{}", self.number).as_bytes());
            put_bytes(&mut identity, 2, b"fleet");
            put_bytes(&mut identity, 6, b"envoy");
            put_bytes(&mut request, node, &identity);
        }
        put_bytes(&mut request, url, TYPES[kind].as_bytes());
        debug_assert_eq!(names, 3);
        request.extend_from_slice(&self.fleet.names[kind]);
        request.extend_from_slice(&self.initial[kind]);
        self.send(&request);
    }

    fn send(&mut self, message: &[u8]) {
        self.unsent.push(0);
        self.unsent.extend_from_slice(&u32::try_from(message.len()).expect("a small message").to_be_bytes());
        self.unsent.extend_from_slice(message);
    }

    /// As much as the windows allow becomes frames.
    fn flush(&mut self) {
        let mut used = 0;
        while used < self.unsent.len() {
            let window = usize::try_from(self.windows[0].min(self.windows[1])).unwrap_or(0);
            let len = window.min(MAX_FRAME).min(self.unsent.len() - used);
            if len == 0 {
                break;
            }
            put_frame(&mut self.out, frame::DATA, 0, 1, &self.unsent[used..used + len]);
            self.windows.iter_mut().for_each(|window| *window -= len as i64);
            used += len;
        }
        if used == self.unsent.len() {
            self.unsent = Vec::new();
        } else {
            self.unsent.drain(..used);
        }
    }
}
