//! From flags, variables and the settings file to what the program is to do; the stronger wins, in that
//! order.
//!
//! [`table`] has the settings, [`kind`] what values there are, [`read`] how they are found; here is what
//! the rest of the program makes of them.

mod clients;
mod kind;
mod read;
pub mod show;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::ArgMatches;
use clap::parser::ValueSource;

use super::args::{AdminAddress, OnErrorChoice};
use super::findings::{Texts, count};
use super::output;
use crate::app::{
    self, Access, Address, Admin, Environment, Limits, Listen, OnError, Policy, TlsSettings, VariableSources,
};
use crate::diagnostic::{Diagnostic, Severity};
use crate::envoy_api::{Api, descriptors_in};
use crate::load::Severities;
use crate::migrate::CLUSTER;
use crate::resource::Name;
use crate::source;

use read::{Reader, Text};
pub use table::{Settings, with_flags};

/// Where the settings file is looked for.
pub const DEFAULT_FILE: &str = "/etc/xds-bridge/xds-bridge.yaml";

/// What a user has given: flags, variables, and the name of a settings file.
#[derive(Debug, Default)]
pub struct Given {
    file: Option<PathBuf>,
    /// By the name of the setting.
    flags: BTreeMap<&'static str, Vec<String>>,
    environment: BTreeMap<String, String>,
}

impl Given {
    /// What the command line and the environment of this process say.
    pub fn new(matches: &ArgMatches, file: Option<PathBuf>) -> Given {
        let matches = matches.subcommand().map_or(matches, |(_, inner)| inner);
        let typed = |name: &str| {
            let known = matches.try_contains_id(name).unwrap_or(false);
            known && matches.value_source(name) == Some(ValueSource::CommandLine)
        };
        let texts = |entry: &table::Entry| match entry.is_switch {
            true => vec![matches.get_flag(entry.name).to_string()],
            false => matches.get_many::<String>(entry.name).into_iter().flatten().cloned().collect(),
        };
        let entries = table::TABLE.iter().filter(|entry| typed(entry.name));
        Given {
            file,
            flags: entries.map(|entry| (entry.name, texts(entry))).collect(),
            environment: std::env::vars_os().filter_map(utf8).collect(),
        }
    }

    /// The settings that follow. What is wrong is shown on standard error, all of it.
    ///
    /// # Errors
    /// If anything is wrong.
    pub fn settings(&self) -> Result<Settings> {
        let text = self.text()?;
        let (settings, findings) = self.read(&text);
        if !findings.is_empty() {
            let colour = output::colour(io::IsTerminal::is_terminal(&io::stderr()));
            let texts = Texts::given([(&*text.name, &*text.text, &[][..])]);
            output::error(&format!("{}\n", texts.human(&findings, colour)));
        }
        if findings.iter().any(Diagnostic::is_error) {
            bail!("the settings are wrong: {}", count(&findings));
        }
        Ok(settings)
    }

    fn read(&self, text: &Text) -> (Settings, Vec<Diagnostic>) {
        Settings::take(Reader::new(&self.flags, &self.environment, text))
    }

    /// The file that was named, or the usual one if it exists.
    fn text(&self) -> Result<Text> {
        let (path, named) = match &self.file {
            Some(path) => (path.as_path(), true),
            None => (Path::new(DEFAULT_FILE), false),
        };
        let name: Arc<str> = path.display().to_string().into();
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Text { name, text }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !named => Ok(Text::default()),
            Err(error) => Err(error).context(format!("cannot read the settings file {name}")),
        }
    }
}

impl Settings {
    /// The directories of fragments: those that a command was given, or those of the settings.
    pub fn dirs(&self, given: &[PathBuf]) -> Vec<PathBuf> {
        if given.is_empty() { self.config_dirs.value.clone() } else { given.to_vec() }
    }

    /// Where an Envoy is to connect if nobody says it: by a unix socket, if there is one, over which it may have
    /// secrets. `by_tls`: it is said how it knows the bridge's certificate.
    ///
    /// # Errors
    /// If an Envoy that is told this address could not connect.
    pub fn first_listen(&self, by_tls: bool) -> Result<Address> {
        let listens = &self.listen.value.0;
        let unix = listens.iter().find(|listen| matches!(listen.address, Address::Unix(_)));
        let listen = unix.or_else(|| listens.first()).context("`listen` in the settings is empty")?;
        if let Address::Tcp(at) = &listen.address {
            if at.ip().is_unspecified() {
                bail!(
                    "the bridge listens on all addresses ({at}): say with --xds by which of them the Envoy is to connect"
                );
            }
            if self.tls_cert.value.is_some() && !listen.plain && !by_tls {
                bail!(
                    "the bridge speaks TLS on {at}: give --ca FILE with the CA certificate of its own, and --cert and --key \
                     if the Envoy is to show one"
                );
            }
        }
        Ok(listen.address.clone())
    }

    /// Addresses to which no secrets go.
    pub fn without_secrets(&self) -> Vec<String> {
        let tls = self.tls_cert.value.is_some();
        let plain = |listen: &&Listen| matches!(listen.address, Address::Tcp(_)) && (listen.plain || !tls);
        let addresses = self.listen.value.0.iter().filter(plain).map(|listen| listen.address.to_string());
        if self.insecure.value { Vec::new() } else { addresses.collect() }
    }

    /// Where the daemon is commanded; nothing if nowhere.
    pub fn admin(&self) -> Option<&Listen> {
        match &self.admin.value {
            AdminAddress::At(address) => Some(address),
            AdminAddress::None => None,
        }
    }

    /// All that the daemon needs.
    pub fn daemon(&self) -> app::Settings {
        let mut source = source::Options::new(self.config_dirs.value.clone());
        source.settle = self.settle.value;
        source.poll = self.poll.value;
        let pace = app::Pace {
            settle: self.warm_up.value,
            drain: self.drain.value,
            deadline: self.ack_deadline.value,
            ..app::Pace::default()
        };
        app::Settings {
            source,
            listen: self.listen.value.0.clone(),
            usual_listen: !self.listen.is_given(),
            admin: match (self.admin(), self.admin.is_given()) {
                (None, _) => Admin::None,
                (Some(address), true) => Admin::At(address.clone()),
                (Some(address), false) => Admin::Usual(address.clone()),
            },
            insecure: self.insecure.value,
            tls: self.tls(),
            access: Access { rules: self.clients.value.rules() },
            limits: Limits {
                connections: self.max_connections.value,
                connections_per_client: self.max_connections_per_client.value,
                streams: self.max_streams.value,
                streams_per_connection: self.max_streams_per_connection.value,
                handshake: self.handshake_deadline.value,
                first_request: self.request_deadline.value,
            },
            policy: self.policy(),
            variables: self.variables(),
            state_dir: self.state_dir.value.clone(),
            pace,
            instance: format!("{} pid {}", host_name().unwrap_or_default(), std::process::id()),
        }
    }

    fn tls(&self) -> TlsSettings {
        TlsSettings {
            certificate: self.tls_cert.value.clone(),
            key: self.tls_key.value.clone(),
            client_ca: self.tls_client_ca.value.clone(),
        }
    }

    /// How much each rule matters: first what the file says, then variable and flags.
    pub fn severities(&self) -> Severities {
        self.rules.value.severities()
    }

    /// Where variables of fragments come from.
    pub fn variables(&self) -> VariableSources {
        VariableSources {
            environment: Environment(std::env::vars_os().filter_map(utf8).collect()),
            env_files: self.env_files.value.clone(),
            only: self.substitute.value.clone().map(|names| names.0),
        }
    }

    fn policy(&self) -> Policy {
        Policy {
            allow_empty: self.allow_empty.value,
            on_error: match self.on_error.value {
                OnErrorChoice::Hold => OnError::Hold,
                OnErrorChoice::Contain => OnError::Contain,
            },
            unresolved: Severity::Warning,
            external_clusters: self.external_clusters().into(),
            severities: self.severities(),
        }
    }

    /// The clusters of the Envoys' own bootstrap; what `bootstrap` prints has one for this bridge.
    pub fn external_clusters(&self) -> BTreeSet<Name> {
        self.external_clusters.value.iter().map(String::as_str).chain([CLUSTER]).map(Name::from).collect()
    }

    /// Envoy's API with what the user adds to it.
    pub fn api(&self) -> Result<Api> {
        let cannot_read = |path: &Path| format!("cannot read the descriptors {}", path.display());
        let mut sets = Vec::new();
        if let Some(program) = &self.descriptors_from.value {
            let set = descriptors_in(File::open(program).with_context(|| cannot_read(program))?);
            sets.push(set.with_context(|| format!("in {}", program.display()))?);
        }
        for path in &self.descriptors.value {
            sets.push(std::fs::read(path).with_context(|| cannot_read(path))?);
        }
        let sets: Vec<&[u8]> = sets.iter().map(Vec::as_slice).collect();
        Ok(if sets.is_empty() { Api::embedded() } else { Api::with_sets(&sets) }?)
    }
}

/// What is not UTF-8 cannot stand in a fragment or a setting, and counts as not set.
fn utf8((name, value): (OsString, OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

/// The host's name, if it has one. Not from /proc, which a hardened service sees little of.
pub fn host_name() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
