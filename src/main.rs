//! The `xds-bridge` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    xds_bridge::cli::main()
}
