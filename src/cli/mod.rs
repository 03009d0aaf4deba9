//! The door: arguments in, exit codes and output for people out.
//!
//! Every command returns an [`Exit`]: 0 for done, 1 for findings, 2 for "could not run". Knows how to
//! print, not how to do: that is `app`'s and the pure rooms'.

mod args;
mod bootstrap;
mod check;
mod diff;
mod envoy;
mod fetch;
mod findings;
mod gather;
mod import;
mod logging;
mod output;
mod reload;
mod render;
mod serve;
mod settings;
mod terminal;
mod variables;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};

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

/// Says what is wrong with the command line, or the help that was asked for.
fn not_understood(error: &clap::Error) -> ExitCode {
    // Where it goes and how it is coloured is clap's to know; a closed pipe is no error of ours.
    let _ = error.print();
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else {
        return ExitCode::from(if error.use_stderr() { COULD_NOT_RUN } else { 0 });
    };
    // Flags and variables are one to clap; who typed no flag looks for it in vain.
    let own = |(name, all): &(OsString, OsString)| {
        name.to_string_lossy().starts_with("XDS_BRIDGE_")
            && !value.is_empty()
            && all.to_string_lossy().contains(&**value)
    };
    for (name, value) in std::env::vars_os().filter(own) {
        output::error(&format!("  note: the environment has {}={}\n", name.display(), value.display()));
    }
    ExitCode::from(COULD_NOT_RUN)
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return not_understood(&error),
    };
    let exit = match args.command {
        Command::Serve(command) => serve::run(&args.common, &command),
        Command::Check(command) => check::run(&args.common, &command),
        Command::Bootstrap(command) => bootstrap::run(&args.common, &command),
        Command::Import(command) => import::run(&args.common, &command),
        Command::Render(command) => render::run(&args.common, &command),
        Command::Diff(command) => diff::run(&args.common, &command),
        Command::Reload(command) => reload::run(&args.common, &command),
    };
    match exit {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::error(&format!("xds-bridge: {error:#}\n"));
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}
