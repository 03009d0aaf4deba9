//! A file of the state directory: what one fragment held, with what it drew on.
//!
//! Comes in: a look at a fragment, or the bytes of a file. Goes out: the bytes, or what was saved, and the digest
//! by which the two are compared. Keeps the invariant that damage is told from content, whatever it is.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::app::look::{Drew, FileName, Kept, Look, Saved};
use crate::resource::Digest;

/// The beginning of every file, before the digest of all that follows its line.
const MAGIC: &str = "xds-bridge fragment ";

/// What stands in front of a fragment's text.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    name: String,
    path: String,
    /// The variables that it drew on and that were set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    variables: BTreeMap<String, String>,
    /// The files that it drew on, in base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<PathBuf, String>,
}

impl Kept {
    /// The content; nothing if its file was damaged meanwhile.
    pub(in crate::app) fn read(&self) -> Option<Saved> {
        match self {
            Kept::Here(saved) => Some(saved.clone()),
            Kept::There(path, _) | Kept::Outdated(path) => read(path).map(|(_, _, saved)| saved),
        }
    }

    /// Whether this look is at that very content, which then need not be read.
    pub(in crate::app) fn is_of(&self, look: &Look) -> bool {
        let drew = Drew::of(&look.loaded.drawn);
        match self {
            Kept::Here(saved) => {
                (&saved.path, &saved.text, &saved.drew) == (&look.path, &look.text.bytes(), &drew)
            }
            Kept::There(_, content) => header(&look.name, &look.path, &drew)
                .is_ok_and(|header| digest(&header, &look.text.bytes()) == *content),
            Kept::Outdated(_) => false,
        }
    }
}

/// What a file of the folder holds, with the digest of it. One that is damaged is told of.
pub(super) fn read(path: &Path) -> Option<(FileName, Digest, Saved)> {
    let bytes = fs::read(path).map_err(|error| error.to_string());
    let decoded = bytes.and_then(|bytes| decode(&Bytes::from(bytes)));
    let told = |problem: &String| {
        let file = path.display();
        tracing::warn!(%file, problem, "a file in the state directory is damaged, and is ignored");
    };
    decoded.inspect_err(told).ok()
}

/// `xds-bridge fragment <digest>\n<header>\n<text>`, and the digest.
pub(super) fn encode(name: &FileName, look: &Look) -> io::Result<(Vec<u8>, Digest)> {
    let header = header(name, &look.path, &Drew::of(&look.loaded.drawn))?;
    let text = look.text.bytes();
    let digest = digest(&header, &text);
    Ok(([format!("{MAGIC}{digest}\n").as_bytes(), &header, b"\n", &text].concat(), digest))
}

fn header(name: &FileName, path: &str, drew: &Drew) -> io::Result<Vec<u8>> {
    let files = drew.files.iter().map(|(path, content)| (path.clone(), STANDARD.encode(content)));
    Ok(serde_json::to_vec(&Header {
        name: name.to_string(),
        path: path.to_owned(),
        variables: drew.variables.clone(),
        files: files.collect(),
    })?)
}

/// Covers all behind its line.
fn digest(header: &[u8], text: &[u8]) -> Digest {
    Digest::of([header, b"\n".as_slice(), text])
}

fn decode(bytes: &Bytes) -> Result<(FileName, Digest, Saved), String> {
    let line_end = |bytes: &[u8]| memchr::memchr(b'\n', bytes).ok_or_else(|| "it is cut off".to_owned());
    let first = line_end(bytes)?;
    let told = bytes[..first].strip_prefix(MAGIC.as_bytes()).ok_or("it is of another program")?;
    let rest = bytes.slice(first + 1..);
    let second = line_end(&rest)?;
    let text = rest.slice(second + 1..);
    let content = digest(&rest[..second], &text);
    if content.to_string().as_bytes() != told {
        return Err("its content does not match its digest".into());
    }
    let header: Header = serde_json::from_slice(&rest[..second]).map_err(|error| error.to_string())?;
    let decoded = header.files.into_iter().map(|(path, text)| Ok((path, STANDARD.decode(text)?.into())));
    let files: Result<_, base64::DecodeError> = decoded.collect();
    let drew = Drew { variables: header.variables, files: files.map_err(|error| error.to_string())? };
    let saved = Saved { path: header.path.into(), text, drew };
    Ok((header.name.into(), content, saved))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Loaded;

    #[test]
    fn any_part_of_a_file_and_any_other_byte_in_it_is_damage() {
        let (text, loaded) = ("clusters: []\n".to_owned().into(), Loaded::default());
        let look = &Look { name: "a".into(), path: "d/a".into(), text, loaded };
        let (bytes, _) = encode(&"a".into(), look).expect("encoded");
        for end in 0..bytes.len() {
            assert!(decode(&Bytes::copy_from_slice(&bytes[..end])).is_err(), "cut off at {end}");
        }
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(decode(&other.into()).is_err(), "changed at {at}");
        }
        assert!(decode(&bytes.into()).is_ok());
    }
}
