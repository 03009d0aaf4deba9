//! Completions and man pages, made from the definitions of the command line.

use anyhow::{Context, Result};
use clap::CommandFactory;

use super::args::{Args, Completions, Man};
use super::settings::with_flags;
use super::{Exit, output};

const NAME: &str = "xds-bridge";

/// The whole command line, with the flags of settings.
fn command_line() -> clap::Command {
    with_flags(Args::command())
}

/// Prints the completions of a shell.
pub fn completions(command: &Completions) -> Result<Exit> {
    let mut out = Vec::new();
    clap_complete::generate(command.shell, &mut command_line(), NAME, &mut out);
    output::document(&String::from_utf8_lossy(&out))?;
    Ok(Exit::Done)
}

/// Prints the first man page, or writes all of them.
pub fn pages(command: &Man) -> Result<Exit> {
    match &command.out {
        Some(dir) => {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
            clap_mangen::generate_to(command_line(), dir)
                .with_context(|| format!("cannot write to {}", dir.display()))?;
        }
        None => {
            let mut out = Vec::new();
            clap_mangen::Man::new(command_line()).render(&mut out).context("cannot make the page")?;
            output::document(&String::from_utf8_lossy(&out))?;
        }
    }
    Ok(Exit::Done)
}
