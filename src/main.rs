//! The `xds-bridge` program.

use std::process::ExitCode;

/// Gives back what a thousand clients that connected at once needed; the system's allocator keeps most of it
/// (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    xds_bridge::cli::main()
}
