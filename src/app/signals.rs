//! What the operating system asks the process for: to read everything anew, or to end.

use std::io::{self, IsTerminal};

use tokio::signal::unix::{self, SignalKind, signal};

use super::AppError;

/// What is asked for.
pub enum Signal {
    /// SIGHUP.
    Reload,
    /// SIGTERM, SIGINT, or the end of the terminal in which a person runs it.
    End,
}

/// The signals that are listened to, from the moment that there is one of these.
#[derive(Debug)]
pub struct Signals {
    hangup: unix::Signal,
    terminate: unix::Signal,
    interrupt: unix::Signal,
    /// A person's terminal is written to: when it is closed, SIGHUP comes as well.
    in_terminal: bool,
}

impl Signals {
    /// Listens from now on.
    pub fn new() -> Result<Signals, AppError> {
        let open = |kind| signal(kind).map_err(|error| AppError::System { what: "signals", error });
        Ok(Signals {
            hangup: open(SignalKind::hangup())?,
            terminate: open(SignalKind::terminate())?,
            interrupt: open(SignalKind::interrupt())?,
            in_terminal: in_terminal(),
        })
    }

    /// Waits for the next.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => match self.in_terminal && !in_terminal() {
                true => Signal::End,
                false => Signal::Reload,
            },
            _ = self.terminate.recv() => Signal::End,
            _ = self.interrupt.recv() => Signal::End,
        }
    }

    /// Waits for one that asks to end.
    pub async fn end(&mut self) {
        while !matches!(self.next().await, Signal::End) {}
    }
}

/// Whether what is said here is said in a terminal that is open: one that was closed is none any more.
fn in_terminal() -> bool {
    io::stdout().is_terminal() || io::stderr().is_terminal()
}
