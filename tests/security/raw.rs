//! HTTP/2 frames as no well-behaved client sends them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::common::SOON;

/// A method that is there, so that streams are opened.
const PATH: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// Types of frames.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const GOAWAY: u8 = 7;

/// Flags of frames.
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection on which anything may be written.
pub struct Raw(TcpStream);

impl Raw {
    /// Connects, and says nothing.
    pub fn silent(port: u16) -> Raw {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("the daemon accepts connections");
        socket.set_read_timeout(Some(SOON)).expect("a timeout");
        socket.set_write_timeout(Some(SOON)).expect("a timeout");
        Raw(socket)
    }

    /// Connects and begins HTTP/2.
    pub fn connect(port: u16) -> Raw {
        let mut raw = Raw::silent(port);
        raw.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.frame(SETTINGS, 0, 0, &[]);
        raw.frame(SETTINGS, ACK, 0, &[]);
        raw
    }

    /// Writes bytes; whether they went out.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).expect("frames are small").to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        self.write(&bytes)
    }

    /// Opens a stream.
    pub fn open(&mut self, stream: u32) -> bool {
        self.frame(HEADERS, END_HEADERS, stream, &request())
    }

    /// Gives it up.
    pub fn reset(&mut self, stream: u32) -> bool {
        self.frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
    }

    /// Opens a stream with so many headers of a kilobyte, without an end of them if `endless`.
    pub fn open_with(&mut self, stream: u32, headers: usize, endless: bool) -> bool {
        if !self.frame(HEADERS, 0, stream, &request()) {
            return false;
        }
        (0..headers).all(|at| {
            let last = at + 1 == headers && !endless;
            let header = literal(&format!("x-{at}"), &"v".repeat(1000));
            self.frame(CONTINUATION, if last { END_HEADERS } else { 0 }, stream, &header)
        })
    }

    /// Waits until the other side has closed the connection; gives what it sent before.
    #[track_caller]
    pub fn expect_close(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut part = [0; 4096];
        loop {
            match self.0.read(&mut part) {
                Ok(0) => return all,
                Ok(read) => all.extend(&part[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return all,
                Err(error) => panic!("the connection stays open: {error}"),
            }
        }
    }

    /// What has come by now, for at most a moment.
    pub fn read_some(&mut self) -> Vec<u8> {
        self.0.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        let mut part = vec![0; 65536];
        let read = self.0.read(&mut part).unwrap_or(0);
        self.0.set_read_timeout(Some(SOON)).expect("a timeout");
        part.truncate(read);
        part
    }
}

/// The types of the frames in what came, and the error code of a GOAWAY.
pub fn goaway(mut bytes: &[u8]) -> Option<u32> {
    while bytes.len() >= 9 {
        let length = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
        let payload = bytes.get(9..9 + length)?;
        if bytes[3] == GOAWAY {
            return Some(u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?));
        }
        bytes = &bytes[9 + length..];
    }
    None
}

/// HPACK: a header that is written out.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        match u8::try_from(text.len()).ok().filter(|length| *length < 127) {
            Some(length) => bytes.push(length),
            None => {
                // A length beyond seven bits goes on in groups of seven.
                bytes.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128).expect("below 128") | 128);
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).expect("below 128"));
            }
        }
        bytes.extend(text.bytes());
    }
    bytes
}

fn request() -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", PATH),
        (":authority", "x"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    headers.iter().flat_map(|(name, value)| literal(name, value)).collect()
}
