//! Standard output and error. A reader that went away is no error of ours.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};

/// Writes to standard output for who looks on while something runs, which a full disk must not end.
pub fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes to standard output what a command was asked for: all of it, or it is an error. That nobody
/// reads on is none.
pub fn document(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What became of writing to standard output.
pub fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output: what is there is not whole")
        }
        _ => Ok(()),
    }
}

/// Writes to standard error.
pub fn error(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Whether a person reads standard output.
pub fn for_a_person() -> bool {
    io::stdout().is_terminal()
}

/// Whether to colour what goes to a terminal (<https://no-color.org>).
pub fn colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
