//! The descriptor set that is checked in is what the sources give, byte for byte.

use std::fs;
use std::path::Path;

const REMEDY: &str =
    "is not what its sources give: run `cargo run -p xtask -- descriptors` and commit proto/";

#[test]
fn the_checked_in_descriptor_set_is_what_its_sources_give() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = xtask::descriptors::build(root).expect("the sources compile");
    let set = fs::read(root.join(xtask::descriptors::SET_FILE)).expect("the set is checked in");
    // Not `assert_eq!`: nobody wants to see 160 kB of bytes.
    assert!(set == built.compressed, "{} {REMEDY}", xtask::descriptors::SET_FILE);
    let comments = fs::read(root.join(xtask::descriptors::COMMENTS_FILE)).expect("so are its comments");
    assert!(comments == built.comments, "{} {REMEDY}", xtask::descriptors::COMMENTS_FILE);
    let version = fs::read_to_string(root.join(xtask::descriptors::VERSION_FILE)).expect("so is its version");
    assert!(version == built.version, "{} {REMEDY}", xtask::descriptors::VERSION_FILE);
}
