//! The door: arguments in, exit codes and output for people out.
//!
//! Every command returns an [`Exit`]: 0 for done, 1 for findings, 2 for "could not run". Knows how to
//! print, not how to do: that is `app`'s and the pure rooms'.

mod args;
mod bootstrap;
mod check;
mod diff;
mod fetch;
mod findings;
mod gather;
mod import;
mod logging;
mod output;
mod render;
mod serve;
mod settings;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// As wished.
    Done,
    /// It ran, and found what must be mended.
    Findings,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        match exit {
            Exit::Done => ExitCode::SUCCESS,
            Exit::Findings => ExitCode::from(1),
        }
    }
}

/// Exit code of a command that could not run: bad flags, unreadable settings, a port in use.
const COULD_NOT_RUN: u8 = 2;

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let exit = match args.command {
        Command::Serve(command) => serve::run(&args.common, &command),
        Command::Check(command) => check::run(&args.common, &command),
        Command::Bootstrap(command) => bootstrap::run(&args.common, &command),
        Command::Import(command) => import::run(&args.common, &command),
        Command::Render(command) => render::run(&args.common, &command),
        Command::Diff(command) => diff::run(&args.common, &command),
    };
    match exit {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::error(&format!("xds-bridge: {error:#}\n"));
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}
