//! The floor: a bare loop that writes as many bytes to as many loopback sockets, and reads the answers.
//!
//! No server can be faster on this machine at this moment, so other figures are given as multiples of it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What one round costs: time until the last reader has everything, and CPU time of the loop.
pub struct Floor {
    pub last: Duration,
    pub cpu: Duration,
}

/// Bytes of an ACK in its frames, about.
const ANSWER: usize = 110;

/// Writes `bytes` to each of `streams` sockets, some times; the median round.
pub fn measure(streams: usize, bytes: usize, rounds: usize) -> Floor {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let (sender, receiver) = std::sync::mpsc::channel();
    // One after the other: a listener forgets those that come faster than it is asked for them.
    let connect = |_| (TcpStream::connect(("127.0.0.1", port)), listener.accept());
    let pairs: Vec<_> = (0..streams).map(connect).collect();
    let mut sockets = Vec::with_capacity(streams);
    for (reader, writer) in pairs {
        tokio::spawn(read(reader.expect("it listens"), bytes, sender.clone()));
        let (writer, _) = writer.expect("a client comes");
        writer.set_nodelay(true).expect("a TCP socket");
        sockets.push(writer);
    }
    let loops = std::thread::spawn(move || run(sockets, bytes, rounds, &receiver));
    tokio::task::block_in_place(|| loops.join().expect("the loop ends"))
}

async fn read(socket: TcpStream, bytes: usize, arrived: Sender<Instant>) {
    socket.set_nonblocking(true).expect("a TCP socket");
    let mut socket = tokio::net::TcpStream::from_std(socket).expect("within a runtime");
    let mut buffer = vec![0; bytes];
    while socket.read_exact(&mut buffer).await.is_ok() {
        // Nobody counts them any more behind the last round.
        if arrived.send(Instant::now()).is_err() || socket.write_all(&[0; ANSWER]).await.is_err() {
            break;
        }
    }
}

fn run(mut sockets: Vec<TcpStream>, bytes: usize, rounds: usize, arrived: &Receiver<Instant>) -> Floor {
    let content = vec![0; bytes];
    let mut answer = [0; ANSWER];
    let mut lasts = Vec::new();
    let mut cpus = Vec::new();
    for _ in 0..rounds {
        let (start, before) = (Instant::now(), thread_cpu());
        for socket in &mut sockets {
            socket.write_all(&content).expect("a reader reads");
        }
        for socket in &mut sockets {
            socket.read_exact(&mut answer).expect("a reader answers");
        }
        cpus.push(thread_cpu() - before);
        let last = (0..sockets.len()).map(|_| arrived.recv().expect("readers tell")).max();
        lasts.push(last.expect("there are readers") - start);
    }
    lasts.sort();
    cpus.sort();
    Floor { last: lasts[rounds / 2], cpu: cpus[rounds / 2] }
}

fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a kernel with schedstat");
    let nanos = text.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.expect("a number"))
}
