//! What clients of a unix socket say of the host that they call.
//!
//! Comes in: what was read of a connection, piece by piece. Goes out: the same, in the `:authority` of each request
//! a `-` for what HTTP/2 does not allow there. gRPC's C core (C++, Python, Ruby) names the path of the socket,
//! escaped; Java, Swift and others the path itself. `h2` ends such a call, though nobody here asks for the host.
//! Keeps the invariant that nothing changes its length: frames stay whole, and both sides' tables of header fields alike.

/// What every connection by HTTP/2 begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

const NAME: &[u8] = b":authority";

/// Its place in the table of fields that are known beforehand (RFC 7541, appendix A).
const NAME_INDEX: usize = 1;

/// A connection, as far as it was read.
#[derive(Debug)]
pub struct Authority {
    at: At,
    fields: Fields,
}

#[derive(Debug)]
enum At {
    Preface(usize),
    Head([u8; 9], usize),
    Frame(Frame),
    /// This is no HTTP/2, or none that can be followed: it stays as it is.
    Aside,
}

/// What is left of a frame.
#[derive(Debug)]
struct Frame {
    left: usize,
    has_fields: bool,
    /// The next byte says how much padding is at the end.
    is_padded: bool,
    /// So much stands in front of the fields.
    lead: usize,
    padding: usize,
}

impl Authority {
    /// A connection of which nothing was read.
    pub fn new() -> Authority {
        Authority { at: At::Preface(0), fields: Fields::Start }
    }

    /// Mends what was read next.
    pub fn mend(&mut self, mut read: &mut [u8]) {
        while !read.is_empty() {
            let taken = match &mut self.at {
                At::Aside => return,
                At::Preface(seen) => {
                    let part = &PREFACE[*seen..PREFACE.len().min(*seen + read.len())];
                    let (taken, is_same) = (part.len(), read.starts_with(part));
                    *seen += taken;
                    match (is_same, *seen == PREFACE.len()) {
                        (true, true) => self.at = At::Head([0; 9], 0),
                        (true, false) => {}
                        (false, _) => self.at = At::Aside,
                    }
                    taken
                }
                At::Head(head, seen) => {
                    head[*seen] = read[0];
                    *seen += 1;
                    if *seen == head.len() {
                        let head = *head;
                        self.begin(head);
                    }
                    1
                }
                At::Frame(frame) => {
                    let taken = frame.mend(&mut self.fields, read);
                    let is_over = frame.left == 0;
                    if matches!(self.fields, Fields::Lost) {
                        self.at = At::Aside;
                    } else if is_over {
                        self.at = At::Head([0; 9], 0);
                    }
                    taken
                }
            };
            read = &mut read[taken..];
        }
    }

    fn begin(&mut self, head: [u8; 9]) {
        let [a, b, c, kind, flags, ..] = head;
        let left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if left == 0 {
            self.at = At::Head([0; 9], 0);
            return;
        }
        let (is_first, is_padded) = (kind == HEADERS, kind == HEADERS && flags & PADDED != 0);
        if is_first {
            self.fields = Fields::Start;
        }
        let priority = if is_first && flags & PRIORITY != 0 { 5 } else { 0 };
        self.at = At::Frame(Frame {
            left,
            has_fields: is_first || kind == CONTINUATION,
            is_padded,
            lead: usize::from(is_padded) + priority,
            padding: 0,
        });
    }
}

impl Frame {
    /// Mends what of this frame was read next; gives how much that is.
    fn mend(&mut self, fields: &mut Fields, read: &mut [u8]) -> usize {
        let here = self.left.min(read.len());
        if std::mem::take(&mut self.is_padded) {
            self.padding = usize::from(read[0]);
        }
        let lead = self.lead.min(here);
        let end = here.min(self.left.saturating_sub(self.padding)).max(lead);
        if self.has_fields {
            fields.mend(&mut read[lead..end]);
        }
        self.lead -= lead;
        self.left -= here;
        here
    }
}

/// Fields of a header, as far as they were read (RFC 7541, 6).
#[derive(Clone, Copy, Debug)]
enum Fields {
    /// A field begins.
    Start,
    /// A number goes on.
    Number { value: usize, shift: u32, of: Of },
    /// A text begins.
    Length(Text),
    /// So much of a text is left.
    Text { text: Text, left: usize, is_coded: bool, is_whole: bool },
    /// This is against the rules; `h2` will say so.
    Lost,
}

/// What a number says.
#[derive(Clone, Copy, Debug)]
enum Of {
    /// Nothing of interest: a field that is known, or how large the table may be.
    Nothing,
    /// Which name the field has; 0 if it is written out.
    Name,
    /// How long a text is.
    Length { text: Text, is_coded: bool },
}

#[derive(Clone, Copy, Debug)]
enum Text {
    /// A name, of which so much is that of interest; none if it is another.
    Name(Option<usize>),
    /// A value, perhaps the one of interest.
    Value(bool),
}

impl Fields {
    fn mend(&mut self, read: &mut [u8]) {
        let mut at = 0;
        while at < read.len() {
            let byte = read[at];
            let next = match *self {
                Fields::Lost => return,
                Fields::Text { text, left, is_coded, is_whole } => {
                    let end = read.len().min(at + left);
                    *self = text_seen(text, &mut read[at..end], left, is_coded, is_whole);
                    at = end;
                    continue;
                }
                Fields::Start => match byte {
                    0x80.. => number(byte, 7, Of::Nothing),
                    0x40.. => number(byte, 6, Of::Name),
                    0x20.. => number(byte, 5, Of::Nothing),
                    _ => number(byte, 4, Of::Name),
                },
                Fields::Length(text) => number(byte, 7, Of::Length { text, is_coded: byte & 0x80 != 0 }),
                // More than four octets: nothing here is that long.
                Fields::Number { shift: 28.., .. } => Fields::Lost,
                Fields::Number { value, shift, of } => {
                    let value = value + (usize::from(byte & 0x7f) << shift);
                    match byte & 0x80 {
                        0 => said(value, of),
                        _ => Fields::Number { value, shift: shift + 7, of },
                    }
                }
            };
            *self = next;
            at += 1;
        }
    }
}

/// A number that begins in so many bits of a byte.
fn number(byte: u8, bits: u32, of: Of) -> Fields {
    let most = (1 << bits) - 1;
    match usize::from(byte) & most {
        value if value < most => said(value, of),
        value => Fields::Number { value, shift: 0, of },
    }
}

/// What comes after a number.
fn said(value: usize, of: Of) -> Fields {
    match of {
        Of::Nothing => Fields::Start,
        Of::Name if value == 0 => Fields::Length(Text::Name(Some(0))),
        Of::Name => Fields::Length(Text::Value(value == NAME_INDEX)),
        Of::Length { text, .. } if value == 0 => after(text),
        Of::Length { text, is_coded } => Fields::Text { text, left: value, is_coded, is_whole: true },
    }
}

/// What comes after a text.
fn after(text: Text) -> Fields {
    match text {
        Text::Name(same) => Fields::Length(Text::Value(same == Some(NAME.len()))),
        Text::Value(_) => Fields::Start,
    }
}

/// Mends a part of a text of which so much was left.
fn text_seen(text: Text, part: &mut [u8], left: usize, is_coded: bool, is_whole: bool) -> Fields {
    let text = match text {
        Text::Name(same) => {
            let same = same.filter(|same| !is_coded && NAME[*same..].starts_with(part));
            Text::Name(same.map(|same| same + part.len()))
        }
        Text::Value(true) if !is_coded => {
            part.iter_mut().filter(|byte| !is_allowed(**byte)).for_each(|byte| *byte = b'-');
            text
        }
        // Letters of a code cross the borders of bytes: in pieces, such a text stays as it is.
        Text::Value(true) if is_whole && part.len() == left => {
            mend_coded(part);
            text
        }
        Text::Value(_) => text,
    };
    match left - part.len() {
        0 => after(text),
        left => Fields::Text { text, left, is_coded, is_whole: false },
    }
}

/// What the crate `http` allows in an authority, but for `%`, which it takes in the name of a user only.
fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@[]".contains(&byte)
}

/// The characters whose codes have 5, 6, … 15 bits, in the order of their codes (RFC 7541, appendix B). The codes of
/// a length follow each other, and those of the next length follow them.
const CODE: [&[u8]; 11] = [
    b"012aceiost",
    b" %-./3456789=A_bdfghlmnpru",
    b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    b"&*,;XZ",
    b"",
    b"!\"()?",
    b"'+|",
    b"#>",
    b"\0$@[]~",
    b"^}",
    b"<`{",
];

/// The same in a text that is compressed: a blank, `%` and `/` have codes as long as that of `-`. Others stay.
fn mend_coded(text: &mut [u8]) {
    let bits = text.len() * 8;
    let mut at = 0;
    while let Some((length, letter)) = decode(text, at) {
        if b" %/".contains(&letter) {
            for (n, bit) in [0, 1, 0, 1, 1, 0].into_iter().enumerate() {
                let (byte, mask) = ((at + n) / 8, 0x80 >> ((at + n) % 8));
                text[byte] = if bit == 0 { text[byte] & !mask } else { text[byte] | mask };
            }
        }
        at += length;
        if at >= bits {
            return;
        }
    }
}

/// The letter whose code begins at this bit, and how many bits it has; none if it is a rare one, or the end.
fn decode(text: &[u8], at: usize) -> Option<(usize, u8)> {
    let (mut code, mut first) = (0, 0);
    for length in 1..=15 {
        let bit = at + length - 1;
        let byte = *text.get(bit / 8)?;
        code = code << 1 | usize::from(byte >> (7 - bit % 8) & 1);
        first <<= 1;
        if let Some(letters) = length.checked_sub(5).and_then(|n| CODE.get(n)) {
            if let Some(letter) = code.checked_sub(first).and_then(|n| letters.get(n)) {
                return Some((length, *letter));
            }
            first += letters.len();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of HTTP/2 on the stream 1.
    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// A text of a header field as it is.
    fn text(text: &[u8]) -> Vec<u8> {
        assert!(text.len() < 127);
        [&[u8::try_from(text.len()).unwrap()], text].concat()
    }

    fn with_name(name: &[u8], value: &[u8]) -> Vec<u8> {
        [vec![0x40], text(name), text(value)].concat()
    }

    fn with_index(index: u8, value: &[u8]) -> Vec<u8> {
        [vec![index], text(value)].concat()
    }

    /// What is made of a connection that is read in pieces of this size.
    fn mended(connection: &[u8], piece: usize) -> Vec<u8> {
        let (mut authority, mut read) = (Authority::new(), connection.to_vec());
        read.chunks_mut(piece).for_each(|piece| authority.mend(piece));
        read
    }

    fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
        [PREFACE.to_vec(), frame(4, 0, &[0, 3, 0, 0, 0, 9]), frames.concat()].concat()
    }

    #[test]
    fn paths_become_hosts_wherever_a_request_may_name_them_and_nothing_else_changes() {
        let path = b"tmp%2Fx.sock";
        let host = b"tmp-2Fx.sock";
        let fields = |value: &[u8]| {
            let one =
                [vec![0x82, 0x3f, 0xe1, 0x1f], with_index(0x44, b"/a%b/c"), with_index(0x41, value)].concat();
            let two = [with_name(b":authority", value), with_name(b":authoritx", b"/"), with_name(b"a", b"")]
                .concat();
            let three = [with_index(0x01, value), with_index(0x11, b"a:80"), with_index(0x0f, b"/")].concat();
            let padded = [&[3], &[0, 0, 0, 0, 1][..], &one[..], &[0x41, 1, b'/']].concat();
            connection(&[
                frame(0, 0, b"\x41\x01/"),
                frame(HEADERS, 0, &one[..4]),
                frame(CONTINUATION, 0, &one[4..15]),
                frame(CONTINUATION, 0, b""),
                frame(CONTINUATION, 4, &one[15..]),
                frame(HEADERS, 4, &two),
                frame(HEADERS, 4, &three),
                frame(HEADERS, 4 | PADDED | PRIORITY, &padded),
            ])
        };
        let data = frame(0, 0, &frame(HEADERS, 0, &with_index(0x41, path)));
        let [given, expected] = [path, host].map(|value| [fields(value), data.clone()].concat());
        for piece in 1..200 {
            assert_eq!(mended(&given, piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn compressed_paths_become_hosts() {
        // `/a%b/c.sock:1 `, `-a-b-c.sock:1-` and `{/`, coded by hand from the table of RFC 7541.
        let coded = |codes: &[(u32, u32)]| {
            let bits: String = codes
                .iter()
                .map(|(code, length)| format!("{code:0length$b}", length = *length as usize))
                .collect();
            let bits = format!("{bits:1<width$}", width = bits.len().next_multiple_of(8));
            let bytes =
                (0..bits.len()).step_by(8).map(|at| u8::from_str_radix(&bits[at..at + 8], 2).unwrap());
            bytes.collect::<Vec<u8>>()
        };
        let (slash, percent, blank, dash) = ((0x18, 6), (0x15, 6), (0x14, 6), (0x16, 6));
        let path = |slash, percent, blank| {
            coded(&[
                slash,
                (0x3, 5),
                percent,
                (0x23, 6),
                slash,
                (0x4, 5),
                (0x17, 6),
                (0x8, 5),
                (0x7, 5),
                (0x4, 5),
                (0x75, 7),
                (0x5c, 7),
                (0x1, 5),
                (0xfc, 8),
                (0x7fa, 11),
                (0x3ffc, 14),
                blank,
            ])
        };
        let field = |value: &[u8]| [&[0x41, 0x80 | u8::try_from(value.len()).unwrap()], value].concat();
        let of = |value: &[u8]| connection(&[frame(HEADERS, 4, &field(value))]);
        let expected = of(&path(dash, dash, dash));
        assert_eq!(mended(&of(&path(slash, percent, blank)), 1000), expected);
        assert_eq!(mended(&expected, 1000), expected);
        // Behind a letter that is not in our table all stays, and so does what comes in pieces.
        for odd in [coded(&[(0x7fff0, 19), slash]), path(slash, percent, blank)] {
            assert_eq!(mended(&of(&odd), 7), of(&odd));
        }
    }

    #[test]
    fn what_is_no_http_2_stays_as_it_is() {
        let fields = with_index(0x41, b"/a");
        let endless = [vec![0x7f; 40], fields.clone()].concat();
        for other in
            [b"GET /a%b HTTP/1.1\r\nHost: /a\r\n\r\n".to_vec(), connection(&[frame(HEADERS, 4, &endless)])]
        {
            for piece in [1, 7, 1000] {
                assert_eq!(mended(&other, piece), other);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let mut seed = 7_u32;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            seed
        };
        for _ in 0..2000 {
            let payload: Vec<u8> = (0..next() % 60).map(|_| next().to_le_bytes()[0]).collect();
            let flags = next().to_le_bytes()[0];
            let made =
                connection(&[frame(HEADERS, flags, &payload), frame(CONTINUATION, flags, &payload), payload]);
            assert_eq!(mended(&made, 1 + next() as usize % 50).len(), made.len());
        }
    }
}
