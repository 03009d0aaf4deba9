//! The door: arguments in, exit codes and output for people out.
//!
//! Every command returns an [`Exit`]: 0 for done, 1 for findings, 2 for "could not run". Knows how to
//! print, not how to do: that is `app`'s and the pure rooms'.

mod args;
mod bootstrap;
mod check;
mod daemon;
mod diff;
mod envoy;
mod fetch;
mod findings;
mod gather;
mod history;
mod import;
mod logging;
mod manual;
mod output;
mod reload;
mod render;
mod schema;
mod serve;
mod settings;
mod status;
mod terminal;
mod variables;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use args::{Args, Command};
use settings::Given;

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
    // Where it goes and how it is coloured is clap's to know.
    let printed = output::written(error.print());
    if error.use_stderr() {
        return ExitCode::from(COULD_NOT_RUN);
    }
    ended(printed.map(|()| Exit::Done))
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let matches = settings::with_flags(Args::command()).try_get_matches();
    let args = matches.and_then(|matches| Ok((Args::from_arg_matches(&matches)?, matches)));
    let (args, matches) = match args {
        Ok(args) => args,
        Err(error) => return not_understood(&error),
    };
    let given = Given::new(&matches, args.settings);
    let exit = match args.command {
        Command::Serve => serve::run(&given),
        Command::Check(command) => check::run(&given, &command),
        Command::Bootstrap(command) => bootstrap::run(&given, &command),
        Command::Import(command) => import::run(&given, &command),
        Command::Render(command) => render::run(&given, &command),
        Command::Diff(command) => diff::run(&given, &command),
        Command::Reload(command) => reload::run(&given, &command),
        Command::Schema(command) => schema::run(&given, &command),
        Command::Status(command) => status::run(&given, &command),
        Command::History(command) => history::run(&given, &command),
        Command::Completions(command) => manual::completions(&command),
        Command::Man(command) => manual::pages(&command),
        Command::Settings(command) => settings::show::run(&given, &command),
    };
    ended(exit)
}

/// The exit code; a command that could not run says why.
fn ended(exit: anyhow::Result<Exit>) -> ExitCode {
    match exit {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::error(&format!("xds-bridge: {error:#}\n"));
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}
