//! A small HTTP/1.1 server that answers every request with its own name.
//!
//! Goes out: a port, and how many requests came. Keeps connections alive, and writes each answer in
//! one piece, so that neither Nagle's algorithm nor reconnects blur what a test sees.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

struct Shared {
    name: String,
    requests: AtomicU64,
    stopped: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

/// A running upstream; ends when dropped, with all its connections.
pub struct Upstream {
    port: u16,
    shared: Arc<Shared>,
}

impl Upstream {
    /// Starts one that answers `name`.
    pub fn start(name: &str) -> Upstream {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("the kernel has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            requests: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || accept(&listener, &accepting));
        Upstream { port, shared }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many requests it has answered.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the accepting thread; if even this fails, the thread ends with the program.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Ok(connections) = self.shared.connections.lock() {
            for connection in connections.iter() {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let (Ok(handle), Ok(())) = (stream.try_clone(), stream.set_nodelay(true)) else { continue };
        shared.connections.lock().expect("no thread panics with the list").push(handle);
        let shared = shared.clone();
        // A connection that breaks is the client's affair: its thread just ends.
        std::thread::spawn(move || answer(stream, &shared));
    }
}

fn answer(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line == "\r\n" {
            let name = &shared.name;
            let response = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{name}",
                name.len()
            );
            shared.requests.fetch_add(1, Ordering::Relaxed);
            reader.get_mut().write_all(response.as_bytes())?;
        }
    }
}
