//! Standard output and error. A reader that went away is no error of ours.

use std::io::{self, IsTerminal, Write};

/// Writes to standard output.
pub fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
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
