//! The `xds-bridge` program.
fn main() {}
