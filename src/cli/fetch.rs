//! Asks an Envoy on this machine for its configuration: one plain HTTP/1.1 GET.
//!
//! Comes in: a URL. Goes out: the body. Only loopback addresses are asked: a config dump tells more
//! than should cross a network in the clear.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long to wait for the connection, and for each piece of the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for the whole answer: a server that sends a byte now and then is none.
const WHOLE: Duration = Duration::from_secs(120);

/// Largest answer; a dump of 100 000 resources has some hundred megabytes.
const MAX_BODY: u64 = 1 << 30;

/// What people are to write.
const FORM: &str = "the address of its admin interface on this machine, such as http://127.0.0.1:9901";

/// Longest line of a head, and most lines.
const MAX_LINE: u64 = 8 << 10;
const MAX_HEAD: usize = 100;

/// The configuration of the Envoy whose admin interface is at this URL.
pub fn config_dump(url: &str) -> Result<String> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url}: an Envoy is asked by {FORM}"))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if matches!(path, "" | "/" | "/config_dump") { "/config_dump?include_eds" } else { path };
    let address = authority
        .to_socket_addrs()
        .with_context(|| format!("{url}: `{authority}` cannot be asked; an Envoy is, by {FORM}"))?
        .find(|address| address.ip().is_loopback())
        .with_context(|| {
            format!(
                "{url}: not on this machine; save the dump there (curl {url} >dump.json) and import the file"
            )
        })?;
    let body = get(address, authority, path)
        .with_context(|| format!("cannot read {url}: is the admin interface of an Envoy there?"))?;
    String::from_utf8(body).with_context(|| format!("{url}: the answer is no text"))
}

fn get(address: std::net::SocketAddr, host: &str, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut reader = BufReader::new(Bounded { stream, until: Instant::now() + WHOLE });
    let status = line(&mut reader)?;
    let code = status.split(' ').nth(1).unwrap_or_default();
    if code != "200" {
        bail!("the answer is `{status}`");
    }
    let (mut length, mut is_chunked) = (None, false);
    for _ in 0..MAX_HEAD {
        let header = line(&mut reader)?;
        if header.is_empty() {
            return body(reader, length, is_chunked);
        }
        let (name, value) = header.split_once(':').unwrap_or((&header, ""));
        match &*name.to_ascii_lowercase() {
            "content-length" => length = Some(value.trim().parse()?),
            "transfer-encoding" => is_chunked = value.to_ascii_lowercase().contains("chunked"),
            _ => {}
        }
    }
    bail!("the head of the answer has no end")
}

/// A connection that is read for so long and no longer.
struct Bounded {
    stream: TcpStream,
    until: Instant,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "the answer takes too long"));
        }
        self.stream.set_read_timeout(Some(left.min(PATIENCE)))?;
        self.stream.read(buffer)
    }
}

fn body(mut reader: BufReader<Bounded>, length: Option<u64>, is_chunked: bool) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    if !is_chunked {
        let expected = length.unwrap_or(MAX_BODY).min(MAX_BODY);
        reader.take(expected).read_to_end(&mut body)?;
        if length.is_some_and(|length| body.len() as u64 != length) {
            bail!("the answer broke off");
        }
        return Ok(body);
    }
    loop {
        let size = line(&mut reader)?;
        let size = u64::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)?;
        if size == 0 {
            return Ok(body);
        }
        if (body.len() as u64).saturating_add(size) > MAX_BODY {
            bail!("the answer is larger than {MAX_BODY} bytes");
        }
        let before = body.len() as u64;
        (&mut reader).take(size).read_to_end(&mut body)?;
        if body.len() as u64 - before != size {
            bail!("the answer broke off");
        }
        line(&mut reader)?;
    }
}

fn line(reader: &mut BufReader<Bounded>) -> Result<String> {
    let mut line = Vec::new();
    reader.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        bail!("the answer broke off");
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answer(text: &'static str) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = Vec::new();
            // A request may come in pieces.
            while !request.ends_with(b"\r\n\r\n") {
                let mut piece = [0; 1024];
                let size = stream.read(&mut piece).expect("a request");
                request.extend_from_slice(&piece[..size]);
            }
            stream.write_all(text.as_bytes()).expect("taken");
            String::from_utf8_lossy(&request).into_owned()
        });
        let body = config_dump(&format!("http://127.0.0.1:{port}"));
        let request = server.join().expect("served");
        assert!(request.starts_with("GET /config_dump?include_eds HTTP/1.1\r\n"), "{request}");
        body
    }

    #[test]
    fn answers_of_both_forms_are_read_and_broken_ones_refused() {
        assert_eq!(answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").expect("whole"), "{}");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x\r\n}\r\n0\r\n\r\n";
        assert_eq!(answer(chunked).expect("whole"), "{}");
        for broken in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\nffffffffffffffff\r\n}\r\n",
            "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-",
            "",
        ] {
            assert!(answer(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn only_this_machine_is_asked() {
        for url in ["https://127.0.0.1/", "http://192.0.2.1:9901/", "http://127.0.0.1"] {
            assert!(config_dump(url).is_err(), "{url}");
        }
    }
}
