//! `status --watch`: a screen that is drawn anew when something happens; a line for each change where no
//! terminal is, or one that does not say how large it is. Outlives restarts of the daemon.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;

use super::human::{headline, name_of, whole};
use crate::admin::Status;
use crate::app::{Address, Daemon};
use crate::cli::args::ReportFormat;
use crate::cli::status::clean;
use crate::cli::{Exit, output};

/// How long to wait before a daemon that is gone is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Begins a screen: to the upper left corner, without wiping what is about to be overwritten.
const HOME: &str = "\x1b[H";
/// Wipes the rest of a line.
const WIPE_LINE: &str = "\x1b[K";
/// Wipes the rest of the screen.
const WIPE: &str = "\x1b[J";
/// Wipes all of it.
const CLEAR: &str = "\x1b[2J";

/// Shows the status until somebody ends it.
pub fn watch(address: &Address, format: ReportFormat) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut view = View::new(format);
    runtime.block_on(async {
        // Who mistypes the address is told so at once; later on the daemon may be restarted.
        let mut daemon = Some(Daemon::connect(address).await?);
        loop {
            let end = match &mut daemon {
                None => "it cannot be reached".to_owned(),
                Some(daemon) => follow(daemon, &mut view).await?,
            };
            view.gone(address, &end)?;
            tokio::time::sleep(AGAIN).await;
            daemon = Daemon::connect(address).await.ok();
        }
    })
}

/// Shows what one daemon tells until it ends; gives why it did. It is an error if nothing can be shown.
async fn follow(daemon: &mut Daemon, view: &mut View) -> Result<String> {
    let mut answers = match daemon.watch().await {
        Ok(answers) => answers,
        Err(error) => return Ok(error.to_string()),
    };
    loop {
        match answers.next().await {
            Ok(Some(status)) => view.show(&status)?,
            Ok(None) => return Ok("it has ended".to_owned()),
            Err(error) => return Ok(error.to_string()),
        }
    }
}

/// What was shown last.
struct View {
    format: ReportFormat,
    screen: bool,
    begun: bool,
    last: BTreeSet<String>,
    is_gone: bool,
}

impl View {
    fn new(format: ReportFormat) -> View {
        let screen = format == ReportFormat::Human && output::for_a_person() && size().is_some();
        View { format, screen, begun: false, last: BTreeSet::new(), is_gone: false }
    }

    fn show(&mut self, status: &Status) -> Result<()> {
        self.is_gone = false;
        if self.format == ReportFormat::Json {
            // Numbers and texts: nothing in it that JSON cannot say.
            let line = serde_json::to_string(status).unwrap_or_default();
            output::document(&format!("{line}\n"))
        } else if self.screen {
            self.draw(&whole(status))
        } else {
            self.lines(lines(status))
        }
    }

    fn gone(&mut self, address: &Address, why: &str) -> Result<()> {
        if std::mem::replace(&mut self.is_gone, true) {
            return Ok(());
        }
        let text = format!("the bridge on {address} is gone ({}); trying again", clean(why));
        match (self.format, self.screen) {
            (ReportFormat::Json, _) => {
                output::error(&format!("{text}\n"));
                Ok(())
            }
            (_, true) => self.draw(&text),
            (_, false) => self.lines([text].into()),
        }
    }

    fn draw(&mut self, text: &str) -> Result<()> {
        // It was known a moment ago.
        let (width, height) = size().unwrap_or((usize::MAX, usize::MAX));
        let begin =
            if std::mem::replace(&mut self.begun, true) { HOME.to_owned() } else { format!("{CLEAR}{HOME}") };
        output::document(&(begin + &screen(text, width, height) + WIPE))
    }

    /// Prints those lines that were not so a moment ago.
    fn lines(&mut self, now: Vec<String>) -> Result<()> {
        let clock = chrono::Local::now().format("%H:%M:%S");
        for line in now.iter().filter(|line| !self.last.contains(*line)) {
            output::document(&format!("{clock} {line}\n"))?;
        }
        self.last = now.into_iter().collect();
        Ok(())
    }
}

/// Columns and lines of the terminal.
fn size() -> Option<(usize, usize)> {
    terminal_size::terminal_size().map(|(width, height)| (width.0.into(), height.0.into()))
}

/// As much of a text as there is room for; `…` stands for the rest of a line.
fn screen(text: &str, width: usize, height: usize) -> String {
    let all = text.lines().count();
    let room = height.saturating_sub(1).max(1);
    let shown = if all > room { room.saturating_sub(1) } else { all };
    let mut out = String::new();
    for line in text.lines().take(shown) {
        match line.char_indices().nth(width) {
            None => out.push_str(line),
            Some(_) => {
                out.extend(line.chars().take(width.saturating_sub(1)));
                out.push('…');
            }
        }
        out.push_str(WIPE_LINE);
        out.push('\n');
    }
    if all > shown {
        out.push_str(&format!("… and {} more lines{WIPE_LINE}\n", all - shown));
    }
    out
}

/// What there is to be said, without anything that changes by itself.
fn lines(status: &Status) -> Vec<String> {
    let mut lines = vec![headline(status)];
    for fragment in &status.fragments {
        lines.push(format!("{} {}", clean(&fragment.path), clean(&fragment.why)));
    }
    for client in &status.clients {
        match &*client.state {
            "in_sync" => lines.push(format!("{} runs the newest", name_of(client))),
            _ => lines.extend(client.why.iter().map(|why| format!("{} {}", name_of(client), clean(why)))),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_takes_what_there_is_room_for() {
        assert_eq!(screen("abcd\nüvw\nx\n", 3, 10), "ab…\x1b[K\nüvw\x1b[K\nx\x1b[K\n");
        assert_eq!(screen("a\nb\nc\nd\n", 9, 4), "a\x1b[K\nb\x1b[K\n… and 2 more lines\x1b[K\n");
    }
}
