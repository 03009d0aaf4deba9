//! Compiles Envoy's API into the descriptor set that is checked in under `proto/`.
//!
//! Comes in: the `.proto` files of the `envoy-types` crate (found by `cargo metadata`; the crate
//! itself is never compiled) and our own under `proto/`, of which those in `newer` add to files of the crate. Goes out: [`Descriptors`], the set as
//! `FileDescriptorSet`, zlib-compressed, what its comments say, and the version of what it was made from. The same input
//! gives the same bytes on every machine, so that a test can compare them with those checked in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use crate::{comments, newer, scope};

/// The crate that carries Envoy's `.proto` files.
const SOURCE_CRATE: &str = "envoy-types";

/// The import roots inside the crate's `proto/`.
const IMPORT_ROOTS: [&str; 8] = [
    "cel-spec/proto",
    "client_model",
    "data-plane-api",
    "googleapis",
    "opentelemetry-proto",
    "protoc-gen-validate",
    "ratelimit",
    "xds",
];

/// The well-known types, whether or not a file of Envoy's imports them: any of them may stand in an `Any`.
const WELL_KNOWN: [&str; 8] = [
    "google/protobuf/any.proto",
    "google/protobuf/descriptor.proto",
    "google/protobuf/duration.proto",
    "google/protobuf/empty.proto",
    "google/protobuf/field_mask.proto",
    "google/protobuf/struct.proto",
    "google/protobuf/timestamp.proto",
    "google/protobuf/wrappers.proto",
];

/// The highest level of miniz_oxide: the set is compressed once and shipped often.
const COMPRESSION_LEVEL: u8 = 10;

/// Where the set lies, relative to the repository.
pub const SET_FILE: &str = "proto/envoy-v3.fds.zz";

/// Where what its comments say lies, relative to the repository.
pub const COMMENTS_FILE: &str = "proto/envoy-v3.comments.zz";

/// Where its version lies, relative to the repository.
pub const VERSION_FILE: &str = "proto/envoy-v3.version";

/// The compiled descriptor set.
pub struct Descriptors {
    /// The zlib-compressed `FileDescriptorSet`.
    pub compressed: Vec<u8>,
    /// The zlib-compressed lines of `comments`.
    pub comments: Vec<u8>,
    /// Size before compression in bytes.
    pub plain_size: usize,
    /// Number of `.proto` files in it.
    pub files: usize,
    /// Name and version of the crate it was made from, one line.
    pub version: String,
}

impl Descriptors {
    /// Writes both files into the repository.
    pub fn write(&self, root: &Path) -> Result<()> {
        for (name, content) in [
            (SET_FILE, self.compressed.as_slice()),
            (COMMENTS_FILE, &self.comments),
            (VERSION_FILE, self.version.as_bytes()),
        ] {
            fs::write(root.join(name), content).with_context(|| format!("writing {name}"))?;
        }
        Ok(())
    }
}

/// Compiles the set for the repository at `root`; writes nothing.
pub fn build(root: &Path) -> Result<Descriptors> {
    let (crate_dir, version) = source_crate(root)?;
    let mut files = BTreeMap::new();
    for import_root in IMPORT_ROOTS {
        let dir = crate_dir.join("proto").join(import_root);
        let before = files.len();
        read_protos(&dir, &dir, &mut files)?;
        ensure!(files.len() > before, "no .proto files in {}: has {SOURCE_CRATE} moved them?", dir.display());
    }
    let own = root.join("proto");
    read_protos(&own, &own, &mut files)?;
    let Compiled { set, files, comments } = compile(files)?;
    let compress = |bytes: &[u8]| miniz_oxide::deflate::compress_to_vec_zlib(bytes, COMPRESSION_LEVEL);
    Ok(Descriptors {
        compressed: compress(&set),
        comments: compress(comments.as_bytes()),
        plain_size: set.len(),
        files,
        version,
    })
}

/// Where cargo keeps the sources of the crate, and `name version`.
fn source_crate(root: &Path) -> Result<(PathBuf, String)> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(["--locked".to_owned()])
        .exec()
        .context("asking cargo where the dependencies lie")?;
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == SOURCE_CRATE)
        .with_context(|| format!("{SOURCE_CRATE} is not among the dependencies"))?;
    let dir = package.manifest_path.parent().context("a manifest lies in a directory")?;
    Ok((dir.as_std_path().to_owned(), format!("{SOURCE_CRATE} {}\n", package.version)))
}

/// Adds all `.proto` files below `dir`, by their name relative to `root`.
fn read_protos(root: &Path, dir: &Path, files: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            read_protos(root, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let name = path
                .strip_prefix(root)?
                .to_str()
                .context("a file name that is not UTF-8")?
                .replace('\\', "/");
            if files.insert(name.clone(), text).is_some() {
                bail!("{name} exists twice: if {SOURCE_CRATE} has it now, remove ours");
            }
        }
    }
    Ok(())
}

/// What the compiler gives.
struct Compiled {
    /// The encoded set.
    set: Vec<u8>,
    /// How many files it holds.
    files: usize,
    /// What the comments say.
    comments: String,
}

/// Parses and links all files.
fn compile(sources: BTreeMap<String, String>) -> Result<Compiled> {
    let google = GoogleFileResolver::new();
    let mut parsed = BTreeMap::new();
    for name in WELL_KNOWN {
        parsed.insert(name.to_owned(), google.open_file(name)?.file_descriptor_proto().clone());
    }
    let mut additions = BTreeMap::new();
    for (name, text) in sources {
        let file = File::from_source(&name, &text).with_context(|| format!("parsing {name}"))?;
        let file = file.file_descriptor_proto().clone();
        match name.strip_prefix(newer::FOLDER) {
            Some(of) => additions.insert(of.to_owned(), file),
            None => parsed.insert(name, file),
        };
    }
    let comments = comments::lines(parsed.values().chain(additions.values()));
    newer::add(&additions, &mut parsed)?;
    scope::make_names_absolute(&mut parsed)?;

    let names: Vec<String> = parsed.keys().cloned().collect();
    let mut resolver = ChainFileResolver::new();
    resolver.add(Parsed(parsed));
    resolver.add(google);
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(false);
    compiler.open_files(names).context("linking")?;
    // Not `file_descriptor_set()`: that one loses the custom options, so the constraint rules.
    Ok(Compiled { set: compiler.encode_file_descriptor_set(), files: compiler.files().len(), comments })
}

/// Files that are parsed already, by name.
struct Parsed(BTreeMap<String, prost_types::FileDescriptorProto>);

impl FileResolver for Parsed {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let file = self.0.get(name).ok_or_else(|| protox::Error::file_not_found(name))?;
        Ok(File::from_file_descriptor_proto(file.clone()))
    }
}
