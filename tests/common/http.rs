//! A small HTTP/1.1 client, and a closed loop of requests for the tests that no request may fail.
//!
//! Comes in: a port and a path. Goes out: responses, and tallies of them. Keeps the invariant that a
//! failed request is counted: only a kept-alive connection that was closed before one byte of an
//! answer is tried again (once, on a new connection, as every client of HTTP/1.1 does), and those
//! are counted too.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request that takes longer has failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Body, dechunked.
    pub body: String,
}

/// A client of one server that keeps its connection.
pub struct Client {
    port: u16,
    connection: Option<BufReader<TcpStream>>,
    retries: u64,
}

impl Client {
    /// A client of `127.0.0.1:port`; it connects with its first request.
    pub fn new(port: u16) -> Client {
        Client { port, connection: None, retries: 0 }
    }

    /// One GET.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        if let Some(kept) = self.connection.take() {
            match self.exchange(kept, path) {
                Err(e) if is_closed_before_answer(&e) => self.retries += 1,
                result => return result,
            }
        }
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
        stream.set_write_timeout(Some(REQUEST_TIMEOUT))?;
        self.exchange(BufReader::new(stream), path)
    }

    fn exchange(&mut self, mut connection: BufReader<TcpStream>, path: &str) -> io::Result<Response> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        connection.get_mut().write_all(request.as_bytes())?;
        let (response, keep) = read_response(&mut connection)?;
        if keep {
            self.connection = Some(connection);
        }
        Ok(response)
    }
}

/// One GET on a connection of its own.
pub fn get(port: u16, path: &str) -> io::Result<Response> {
    Client::new(port).get(path)
}

fn is_closed_before_answer(e: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    // A close in the middle of an answer is `UnexpectedEof` and thus no reason to try again.
    matches!(e.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// Reads one answer; also says whether the connection may be used again.
fn read_response(from: &mut impl BufRead) -> io::Result<(Response, bool)> {
    if from.fill_buf()?.is_empty() {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let status_line = read_line(from)?;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| bad(format!("not a status line: {status_line:?}")))?;
    let (mut length, mut chunked, mut keep) = (None, false, true);
    loop {
        let line = read_line(from)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad(format!("not a header: {line:?}")))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse().map_err(|_| bad("bad content-length"))?),
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => keep = !value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    match length {
        _ if chunked => read_chunks(from, &mut body)?,
        Some(length) => {
            body.resize(length, 0);
            from.read_exact(&mut body)?;
        }
        None => {
            from.read_to_end(&mut body)?;
            keep = false;
        }
    }
    let body = String::from_utf8(body).map_err(|_| bad("the body is not UTF-8"))?;
    Ok((Response { status, body }, keep))
}

fn read_chunks(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let size = read_line(from)?;
        let size = usize::from_str_radix(&size, 16).map_err(|_| bad(format!("bad chunk size {size:?}")))?;
        let start = body.len();
        body.resize(start + size, 0);
        from.read_exact(&mut body[start..])?;
        read_line(from)?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// What a load has seen.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// How many answers had this status.
    pub statuses: BTreeMap<u16, u64>,
    /// How many answers had this body (of those with status 200).
    pub bodies: BTreeMap<String, u64>,
    /// Requests without an answer, in words.
    pub errors: Vec<String>,
    /// Requests sent a second time because the server had closed a kept connection.
    pub retries: u64,
}

impl Tally {
    /// All requests that were not answered by 200.
    pub fn failures(&self) -> u64 {
        let bad: u64 = self.statuses.iter().filter(|(status, _)| **status != 200).map(|(_, n)| n).sum();
        bad + self.errors.len() as u64
    }

    fn add(&mut self, result: io::Result<Response>) {
        match result {
            Ok(response) => {
                *self.statuses.entry(response.status).or_default() += 1;
                if response.status == 200 {
                    *self.bodies.entry(response.body).or_default() += 1;
                }
            }
            Err(e) => self.errors.push(e.to_string()),
        }
    }
}

/// Connections that each send the next request as soon as the last one was answered.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    tally: Arc<Mutex<Tally>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts `connections` loops of GETs of `path` at `127.0.0.1:port`.
    pub fn start(port: u16, path: &str, connections: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let threads = (0..connections)
            .map(|_| {
                let (stop, answered, tally) = (stop.clone(), answered.clone(), tally.clone());
                let path = path.to_owned();
                std::thread::spawn(move || {
                    let mut client = Client::new(port);
                    while !stop.load(Ordering::Relaxed) {
                        let result = client.get(&path);
                        tally.lock().expect("no thread panics with the tally").add(result);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    tally.lock().expect("no thread panics with the tally").retries += client.retries;
                })
            })
            .collect();
        Load { stop, answered, tally, threads }
    }

    /// How many requests have ended so far, well or not.
    pub fn requests(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends the load and tells what it saw.
    pub fn stop(mut self) -> Tally {
        self.end();
        let tally = self.tally.lock().expect("no thread panics with the tally");
        tally.clone()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has printed why, and its missing answers fail the test.
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}
