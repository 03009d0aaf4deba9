//! `cargo run -p xtask -- <task>`: the door to the workshop.

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo run -p xtask -- <task>

tasks:
  descriptors   compile Envoy's API and our own proto/ into proto/envoy-v3.fds.zz";

fn main() -> anyhow::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies inside the repository");
    let tasks: Vec<String> = std::env::args().skip(1).collect();
    match tasks.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["descriptors"] => {
            let built = xtask::descriptors::build(root)?;
            built.write(root)?;
            println!(
                "{} files of {}: {} bytes, {} compressed, {} of comments",
                built.files,
                built.version.trim_end(),
                built.plain_size,
                built.compressed.len(),
                built.comments.len()
            );
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprintln!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}
