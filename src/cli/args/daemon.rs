//! The arguments of the commands that ask a running daemon, and of those about the command line itself.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as Arguments;

use super::ReportFormat;

#[derive(Debug, Arguments)]
pub struct Status {
    /// Go on showing it: redrawn on a terminal, a line for each change elsewhere
    #[arg(long, short)]
    pub watch: bool,
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ReportFormat,
}

#[derive(Debug, Arguments)]
pub struct History {
    /// How many of the last changes
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 20)]
    pub limit: u32,
    /// How to show them
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ReportFormat,
}

#[derive(Debug, Arguments)]
pub struct Reload {
    /// Serve what is held because requests would go to what no fragment defines
    #[arg(long)]
    pub accept_unresolved: bool,
    /// Serve what is held because so much would be removed, and take files that are empty now as they are
    #[arg(long)]
    pub accept_removals: bool,
    /// Wait until every connected client has acknowledged or refused what is served then
    #[arg(long)]
    pub wait: bool,
    /// How long to wait for clients
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration, requires = "wait")]
    pub timeout: Duration,
    /// How to show the outcome
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ReportFormat,
}

#[derive(Debug, Arguments)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Arguments)]
pub struct Man {
    /// Write the pages of all commands to this directory, instead of printing the first one
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
