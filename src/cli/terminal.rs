//! `serve` for a person at a terminal: what was loaded, how to connect, each change as one line.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};

use super::findings::{Texts, count};
use super::output;
use super::serve::{counts, inventory, nothing_in, only_unreadable, still_broken};
use crate::app::{self, Address, Outcome, Reporter, TlsSettings, Verdict, reasons};
use crate::diagnostic::Diagnostic;
use crate::resource::{Kind, Name};
use crate::snapshot::{Fate, Snapshot, Store};

/// Names that are listed in the line of a change.
const MAX_NAMES: usize = 6;

/// Talks to a person.
pub struct Terminal {
    dirs: Vec<String>,
    tls: TlsSettings,
    plain: Vec<Address>,
    colour: bool,
    loaded: AtomicBool,
}

impl Terminal {
    /// For the fragments of these directories, and a daemon with these settings.
    pub fn new(dirs: Vec<String>, settings: &app::Settings) -> Terminal {
        let colour = output::colour(std::io::stdout().is_terminal());
        let plain = settings.listen.iter().filter(|listen| listen.plain);
        let plain = plain.map(|listen| listen.address.clone()).collect();
        Terminal { dirs, tls: settings.tls.clone(), plain, colour, loaded: AtomicBool::new(false) }
    }

    fn paint(&self, colour: AnsiColor, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let style = Style::new().fg_color(Some(colour.into())).bold();
        format!("{style}{text}{style:#}")
    }

    fn change_line(&self, snapshot: &Snapshot, outcome: &Outcome) -> String {
        let (added, changed, removed) = counts(snapshot);
        let counts = self.paint(AnsiColor::Green, &format!("+{added} ~{changed} -{removed}"));
        format!("{counts} in {}: {}", time(outcome), names(snapshot))
    }
}

impl Reporter for Terminal {
    fn listening(&self, addresses: &[Address]) {
        let version = env!("CARGO_PKG_VERSION");
        let mut text = format!("xds-bridge {version} serves the fragments of {}\n", self.dirs.join(", "));
        for address in addresses {
            text.push_str(&format!("  listening on   {address}\n"));
        }
        if let Some(first) = addresses.first() {
            text.push_str(&format!(
                "  to connect     {} bootstrap --xds {}{} > envoy.yaml && envoy -c envoy.yaml\n\n",
                program(),
                reached_at(first),
                if self.plain.contains(first) { "" } else { tls_flags(first, &self.tls) }
            ));
        }
        output::print(&text);
    }

    fn looked(&self, outcome: &Outcome, _: &Store) {
        let findings = Texts::of(&outcome.looks).human(&outcome.diagnostics, self.colour);
        let red = |text: &str| self.paint(AnsiColor::Red, text);
        let line = match &outcome.verdict {
            Verdict::Publish(snapshot) if !self.loaded.swap(true, Ordering::Relaxed) => {
                let files = outcome.files_loaded;
                let plural = if files == 1 { "" } else { "s" };
                format!("loaded {files} file{plural} in {}: {}", time(outcome), inventory(snapshot))
            }
            Verdict::Publish(snapshot) => self.change_line(snapshot, outcome),
            Verdict::Unchanged if outcome.diagnostics.iter().any(Diagnostic::is_error) => format!(
                "{}: {}; what was served goes on being served",
                red("not taken over"),
                count(&outcome.diagnostics)
            ),
            Verdict::Unchanged => format!("nothing that is served has changed ({})", time(outcome)),
            Verdict::Held(holds) => {
                format!("{}: {}. What was served goes on being served.", red("held back"), reasons(holds))
            }
            Verdict::Restored(snapshot, holds) => format!(
                "{}: {}. Serving what was served before the start: {}",
                red("held back"),
                reasons(holds),
                inventory(snapshot)
            ),
            Verdict::NotYet if only_unreadable(outcome) => {
                format!("waiting for the first fragment: {}", nothing_in(&self.dirs))
            }
            Verdict::NotYet => format!(
                "{}: {}; a first start needs every fragment to be right. Watching until it is mended.",
                red("not serving yet"),
                count(&outcome.diagnostics)
            ),
            Verdict::Empty => {
                format!("waiting for the first fragment: {}", nothing_in(&self.dirs))
            }
        };
        let reminder = match (&outcome.verdict, still_broken(outcome)) {
            (Verdict::Publish(_) | Verdict::Unchanged, Some(reminder)) => format!(" ({})", red(&reminder)),
            _ => String::new(),
        };
        let clock = chrono::Local::now().format("%H:%M:%S");
        output::print(&format!("{findings}{clock} {line}{reminder}\n"));
    }

    fn nothing_new(&self) {
        output::print("looked at all fragments: no file has changed\n");
    }

    fn draining(&self) {
        output::print("ending: clients are told to connect again\n");
    }
}

/// This program as it was called, so that the line can be copied: `target/release/xds-bridge`.
fn program() -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    let name = std::env::args().next().filter(|name| !name.is_empty() && name.chars().all(plain));
    name.unwrap_or_else(|| "xds-bridge".to_owned())
}

/// What `bootstrap` needs besides the address, with names to be filled in.
fn tls_flags(address: &Address, tls: &TlsSettings) -> &'static str {
    match (address, &tls.certificate, &tls.client_ca) {
        (Address::Unix(_), _, _) | (_, None, _) => "",
        (Address::Tcp(_), Some(_), None) => " --ca FILE",
        (Address::Tcp(_), Some(_), Some(_)) => " --ca FILE --cert FILE --key FILE",
    }
}

/// Where an Envoy connects to; all addresses of this machine are none by which another one finds it.
fn reached_at(address: &Address) -> String {
    match address {
        Address::Tcp(at) if at.ip().is_unspecified() => format!("IP-OF-THIS-MACHINE:{}", at.port()),
        _ => address.to_string(),
    }
}

fn time(outcome: &Outcome) -> String {
    let ms = outcome.took.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// `+ cluster a, ~ listener b, and 3 more`.
fn names(snapshot: &Snapshot) -> String {
    let tally = snapshot.tally(MAX_NAMES);
    let sign = |fate| match fate {
        Fate::Added => '+',
        Fate::Changed => '~',
        Fate::Removed => '-',
    };
    let line = |(fate, kind, name): &(Fate, Kind, Name)| format!("{} {kind} {name}", sign(*fate));
    let mut list: Vec<String> = tally.shown.iter().map(line).collect();
    if tally.total() > list.len() {
        list.push(format!("and {} more", tally.total() - list.len()));
    }
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_on_how_to_connect_names_the_certificates_that_an_envoy_needs() {
        let flags = |address: &str, certificate: bool, client_ca: bool| {
            let tls = TlsSettings {
                certificate: certificate.then(|| "tls.crt".into()),
                key: certificate.then(|| "tls.key".into()),
                client_ca: client_ca.then(|| "ca.crt".into()),
            };
            tls_flags(&address.parse().expect("an address"), &tls)
        };
        assert_eq!(flags("127.0.0.1:1", false, false), "");
        assert_eq!(flags("127.0.0.1:1", true, false), " --ca FILE");
        assert_eq!(flags("127.0.0.1:1", true, true), " --ca FILE --cert FILE --key FILE");
        assert_eq!(flags("unix:x.sock", true, true), "");
    }

    #[test]
    fn the_line_on_how_to_connect_names_no_address_that_means_all() {
        let reached = |address: &str| reached_at(&address.parse().expect("an address"));
        assert_eq!(reached("127.0.0.1:1"), "127.0.0.1:1");
        assert_eq!(
            [reached("0.0.0.0:1"), reached("[::]:1")],
            ["IP-OF-THIS-MACHINE:1", "IP-OF-THIS-MACHINE:1"]
        );
        assert_eq!(reached("unix:x.sock"), "unix:x.sock");
    }
}
