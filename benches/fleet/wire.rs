//! Protobuf, gRPC and HTTP/2 by hand, as little of them as a load client needs.
//!
//! Comes in: names, versions, nonces. Goes out: frames; and of responses only what a client looks at
//! (type, nonce, how many resources; name and version where somebody wants to learn them). The clients
//! share two cores with the server that they measure: nothing is parsed that nobody asked for.

/// Kinds of HTTP/2 frames.
pub mod frame {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RESET: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    /// Flag of DATA and HEADERS.
    pub const END_STREAM: u8 = 1;
    /// Flag of SETTINGS and PING.
    pub const ACK: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

/// Largest payload that every peer takes.
pub const MAX_FRAME: usize = 16_384;

/// What is granted to the server at once, so that it never waits for us.
pub const WINDOW: u32 = (1 << 31) - 1;

/// Writes a frame.
pub fn put_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let len = u32::try_from(payload.len()).expect("frames are small").to_be_bytes();
    out.extend_from_slice(&len[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Everything that opens a connection and one gRPC stream on it.
pub fn opening(path: &str) -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut settings = vec![0, 2, 0, 0, 0, 0, 0, 4];
    settings.extend_from_slice(&WINDOW.to_be_bytes());
    put_frame(&mut out, frame::SETTINGS, 0, 0, &settings);
    put_frame(&mut out, frame::WINDOW_UPDATE, 0, 0, &(WINDOW - 65_535).to_be_bytes());
    let mut headers = Vec::new();
    let list = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "fleet"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    for (name, value) in list {
        // Literal without indexing, new name.
        headers.push(0);
        for text in [name, value] {
            headers.push(u8::try_from(text.len()).ok().filter(|len| *len < 127).expect("short texts"));
            headers.extend_from_slice(text.as_bytes());
        }
    }
    put_frame(&mut out, frame::HEADERS, frame::END_HEADERS, 1, &headers);
    out
}

/// Writes a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Writes a length-delimited field.
pub fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field << 3 | 2));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The fields of a message: number and bytes of those that are length-delimited; others are passed over.
pub struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let key = self.varint()?;
            let len = match key & 7 {
                0 => {
                    self.varint()?;
                    continue;
                }
                1 => 8,
                5 => 4,
                2 => usize::try_from(self.varint()?).ok()?,
                _ => return None,
            };
            let (bytes, rest) = self.0.split_at_checked(len)?;
            self.0 = rest;
            if key & 7 == 2 {
                return Some((key >> 3, bytes));
            }
        }
    }
}

/// A text that came from the server.
pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
