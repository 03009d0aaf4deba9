//! From flags, environment and the settings file to what the program is to do; the stronger wins, in
//! that order.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;

use super::args::{
    AdminAddress, Common, Descriptors, LogFormat, OnErrorChoice, Outside, Rules, Serve, VariableFlags,
    duration,
};
use super::clients::Client;
use crate::app::{
    self, Access, Admin, Environment, Limits, Listen, Listens, OnError, Policy, Settings, TlsFiles,
    VariableSources,
};
use crate::diagnostic::Severity;
use crate::envoy_api::{Api, descriptors_in};
use crate::load::Severities;
use crate::migrate::CLUSTER;
use crate::resource::Name;
use crate::source;

/// Where the settings file is looked for.
const DEFAULT_FILE: &str = "/etc/xds-bridge/xds-bridge.yaml";

/// Where fragments are looked for: beside the one who starts the program, as in a clone of it.
const DEFAULT_DIR: &str = "config.d";

/// Loopback: nothing leaves the machine unless somebody says so.
const DEFAULT_LISTEN: &str = "127.0.0.1:18000";

/// Beside the port for Envoys.
const DEFAULT_ADMIN: &str = "127.0.0.1:18001";

/// The settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    config_dirs: Option<Vec<PathBuf>>,
    listen: Option<Vec<String>>,
    admin: Option<String>,
    insecure: Option<bool>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_client_ca: Option<PathBuf>,
    #[serde(default)]
    clients: Vec<Client>,
    #[serde(default)]
    limits: LimitSettings,
    allow_empty: Option<bool>,
    settle: Option<String>,
    poll: Option<String>,
    warm_up: Option<String>,
    drain: Option<String>,
    ack_deadline: Option<String>,
    on_error: Option<OnErrorChoice>,
    state_dir: Option<PathBuf>,
    #[serde(default)]
    external_clusters: Vec<String>,
    #[serde(default)]
    env_files: Vec<PathBuf>,
    substitute: Option<Names>,
    #[serde(default)]
    descriptors: Vec<PathBuf>,
    descriptors_from: Option<PathBuf>,
    /// Codes of rules with `off`, `note`, `warning` or `error`.
    #[serde(default)]
    rules: BTreeMap<String, String>,
    pub log: Option<String>,
    pub log_format: Option<LogFormat>,
}

/// How much clients may take; absent: the default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitSettings {
    connections: Option<usize>,
    connections_per_client: Option<usize>,
    streams: Option<usize>,
    streams_per_connection: Option<usize>,
    handshake: Option<String>,
    first_request: Option<String>,
}

/// Names as a list, or in one text as envsubst takes them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Names {
    List(Vec<String>),
    Text(String),
}

/// The names in a text: with commas or blanks between, and with or without `$` and braces.
fn names(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split(|c: char| c == ',' || c.is_whitespace());
    let bare = parts.map(|part| part.trim_start_matches('$').trim_start_matches('{').trim_end_matches('}'));
    bare.filter(|name| !name.is_empty()).map(str::to_owned)
}

impl File {
    /// Reads the file that was named, or the usual one if it exists.
    pub fn read(common: &Common) -> Result<File> {
        let (path, named) = match &common.settings {
            Some(path) => (path.as_path(), true),
            None => (Path::new(DEFAULT_FILE), false),
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !named => return Ok(File::default()),
            Err(error) => {
                return Err(error).context(format!("cannot read the settings file {}", path.display()));
            }
        };
        if text.trim().is_empty() {
            return Ok(File::default());
        }
        serde_yaml::from_str(&text).with_context(|| format!("the settings file {} is wrong", path.display()))
    }

    /// The directories of fragments.
    pub fn dirs(&self, flags: &[PathBuf]) -> Vec<PathBuf> {
        match (flags, &self.config_dirs) {
            ([], None) => vec![DEFAULT_DIR.into()],
            ([], Some(dirs)) => dirs.clone(),
            (flags, _) => flags.to_vec(),
        }
    }

    /// Where to listen.
    pub fn listen(&self, flags: &[Listens]) -> Result<Vec<Listen>> {
        if !flags.is_empty() {
            return Ok(flags.iter().flat_map(|listens| listens.0.iter().cloned()).collect());
        }
        let own = self.listen.clone().unwrap_or_else(|| vec![DEFAULT_LISTEN.into()]);
        own.iter().map(|text| text.parse().context("`listen` in the settings file")).collect()
    }

    /// Where the daemon is commanded; nothing if nowhere.
    pub fn admin(&self, flag: Option<&AdminAddress>) -> Result<Option<Listen>> {
        let own = self.admin.as_deref().unwrap_or(DEFAULT_ADMIN);
        Ok(match flag {
            Some(AdminAddress::At(address)) => Some(address.clone()),
            Some(AdminAddress::None) => None,
            None if own == "none" => None,
            None => Some(own.parse().context("`admin` in the settings file")?),
        })
    }

    /// All that the daemon needs.
    pub fn daemon(&self, flags: &Serve) -> Result<Settings> {
        let time = |flag: Option<Duration>, own: &Option<String>, key: &str| match (flag, own) {
            (Some(time), _) => Ok(Some(time)),
            (None, None) => Ok(None),
            (None, Some(text)) => {
                duration(text).map(Some).map_err(|error| anyhow!("`{key}` in the settings file: {error}"))
            }
        };
        let mut source = source::Options::new(self.dirs(&flags.config_dir));
        source.settle = time(flags.settle, &self.settle, "settle")?.unwrap_or(source.settle);
        source.poll = time(flags.poll, &self.poll, "poll")?;
        let waits = &flags.waits;
        let mut pace = app::Pace::default();
        pace.settle = time(waits.warm_up, &self.warm_up, "warm_up")?.unwrap_or(pace.settle);
        pace.drain = time(waits.drain, &self.drain, "drain")?.unwrap_or(pace.drain);
        pace.deadline =
            time(waits.ack_deadline, &self.ack_deadline, "ack_deadline")?.unwrap_or(pace.deadline);
        Ok(Settings {
            source,
            listen: self.listen(&flags.listen)?,
            usual_listen: flags.listen.is_empty() && self.listen.is_none(),
            admin: match (self.admin(flags.admin.as_ref())?, flags.admin.is_some() || self.admin.is_some()) {
                (None, _) => Admin::None,
                (Some(address), true) => Admin::At(address),
                (Some(address), false) => Admin::Usual(address),
            },
            tls: self.tls(flags, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).as_deref())?,
            access: Access { rules: self.clients.iter().map(Client::rule).collect::<Result<_>>()? },
            limits: self.limits()?,
            insecure: flags.insecure || self.insecure.unwrap_or(false),
            policy: self.policy(flags)?,
            variables: self.variables(&flags.variables, std::env::vars_os()),
            state_dir: self
                .state_dir(flags.state_dir.as_deref(), std::env::var_os("STATE_DIRECTORY").as_deref()),
            pace,
            instance: format!("{} pid {}", host_name().unwrap_or_default(), std::process::id()),
        })
    }

    /// How much each rule matters: first what the file says, then the flags.
    pub fn severities(&self, flags: &Rules) -> Result<Severities> {
        let mut severities = Severities::default();
        for (code, level) in &self.rules {
            let set = severities.set(&format!("{code}={level}"));
            set.map_err(|error| anyhow!("`rules` in the settings file: {error}"))?;
        }
        for rule in &flags.rules {
            severities.set(rule).map_err(|error| anyhow!("--rule: {error}"))?;
        }
        Ok(severities)
    }

    /// Where variables come from. One that is not UTF-8 cannot stand in a fragment, and counts as not set.
    pub fn variables(
        &self,
        flags: &VariableFlags,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> VariableSources {
        let utf8 =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let files = if flags.env_file.is_empty() { &self.env_files } else { &flags.env_file };
        let only = match (&flags.substitute, &self.substitute) {
            (Some(text), _) | (None, Some(Names::Text(text))) => Some(names(text).collect()),
            (None, Some(Names::List(list))) => Some(list.iter().flat_map(|text| names(text)).collect()),
            (None, None) => None,
        };
        VariableSources {
            environment: Environment(environment.filter_map(utf8).collect()),
            env_files: files.clone(),
            only,
        }
    }

    /// The certificates: as they are named, or as systemd's credentials bring them.
    fn tls(&self, flags: &Serve, credentials: Option<&Path>) -> Result<Option<TlsFiles>> {
        let given = |name: &str| credentials.map(|dir| dir.join(name)).filter(|path| path.exists());
        let named = |flag: &Option<PathBuf>, own: &Option<PathBuf>, name: &str| {
            flag.clone().or_else(|| own.clone()).or_else(|| given(name))
        };
        let certificate = named(&flags.tls_cert, &self.tls_cert, "tls.crt");
        let key = named(&flags.tls_key, &self.tls_key, "tls.key");
        let client_ca = named(&flags.tls_client_ca, &self.tls_client_ca, "client-ca.crt");
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key, client_ca })),
            (None, None) if client_ca.is_none() => Ok(None),
            _ => Err(anyhow!("TLS takes a certificate and its key: give --tls-cert and --tls-key")),
        }
    }

    fn limits(&self) -> Result<Limits> {
        let (own, default) = (&self.limits, Limits::default());
        let time = |own: &Option<String>, default: Duration| match own {
            None => Ok(default),
            Some(text) => duration(text).map_err(|error| anyhow!("`limits` in the settings file: {error}")),
        };
        Ok(Limits {
            connections: own.connections.unwrap_or(default.connections),
            connections_per_client: own.connections_per_client.unwrap_or(default.connections_per_client),
            streams: own.streams.unwrap_or(default.streams),
            streams_per_connection: own.streams_per_connection.unwrap_or(default.streams_per_connection),
            handshake: time(&own.handshake, default.handshake)?,
            first_request: time(&own.first_request, default.first_request)?,
        })
    }

    fn policy(&self, flags: &Serve) -> Result<Policy> {
        Ok(Policy {
            allow_empty: flags.allow_empty || self.allow_empty.unwrap_or(false),
            on_error: match flags.on_error.or(self.on_error) {
                Some(OnErrorChoice::Hold) => OnError::Hold,
                Some(OnErrorChoice::Contain) | None => OnError::Contain,
            },
            unresolved: Severity::Warning,
            external_clusters: self.external_clusters(&flags.outside),
            severities: self.severities(&flags.rules)?,
        })
    }

    /// The clusters of the Envoys' own bootstrap; what `bootstrap` prints has one for this bridge.
    pub fn external_clusters(&self, flags: &Outside) -> BTreeSet<Name> {
        let own =
            if flags.external_cluster.is_empty() { &self.external_clusters } else { &flags.external_cluster };
        own.iter().map(String::as_str).chain([CLUSTER]).map(Name::from).collect()
    }

    /// Where state is kept. systemd may give several directories, separated by colons.
    fn state_dir(&self, flag: Option<&Path>, systemd: Option<&OsStr>) -> Option<PathBuf> {
        let own = flag.or(self.state_dir.as_deref()).map(Path::to_owned);
        let given = || std::env::split_paths(systemd?).find(|dir| !dir.as_os_str().is_empty());
        own.or_else(given)
    }

    /// Envoy's API with what the user adds to it.
    pub fn api(&self, flags: &Descriptors) -> Result<Api> {
        let read = |path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("cannot read the descriptors {}", path.display()))
        };
        let mut sets = Vec::new();
        if let Some(program) = flags.descriptors_from.as_ref().or(self.descriptors_from.as_ref()) {
            let set = descriptors_in(&read(program)?);
            sets.push(set.with_context(|| format!("in {}", program.display()))?);
        }
        for path in if flags.descriptors.is_empty() { &self.descriptors } else { &flags.descriptors } {
            sets.push(read(path)?);
        }
        let sets: Vec<&[u8]> = sets.iter().map(Vec::as_slice).collect();
        Ok(if sets.is_empty() { Api::embedded() } else { Api::with_sets(&sets) }?)
    }
}

/// The host's name, if it has one.
pub fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<File> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("settings.yaml");
        std::fs::write(&path, text).expect("written");
        File::read(&Common { settings: Some(path), log: None, log_format: None })
    }

    #[test]
    fn flags_are_stronger_than_the_file_and_the_file_than_defaults() {
        let file = read("listen: ['127.0.0.1:1']\nconfig_dirs: [a, b]\n").expect("good");
        let flag: Listens = "127.0.0.1:2".parse().expect("an address");
        assert_eq!(file.listen(std::slice::from_ref(&flag)).expect("good"), flag.0);
        assert_eq!(file.listen(&[]).expect("good"), ["127.0.0.1:1".parse().expect("an address")]);
        assert_eq!(file.dirs(&[]), [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!(File::default().dirs(&[]), [PathBuf::from(DEFAULT_DIR)]);
    }

    #[test]
    fn the_state_directory_is_the_users_or_the_first_of_systemds_or_none() {
        let systemd = Some(OsStr::new("/var/lib/a:/var/lib/b"));
        let file = read("state_dir: /own\n").expect("good");
        let none = File::default();
        assert_eq!(file.state_dir(Some(Path::new("/flag")), systemd), Some("/flag".into()));
        assert_eq!(file.state_dir(None, systemd), Some("/own".into()));
        assert_eq!(none.state_dir(None, systemd), Some("/var/lib/a".into()));
        assert_eq!(none.state_dir(None, Some(OsStr::new(""))), None);
        assert_eq!(none.state_dir(None, None), None);
    }

    #[test]
    fn the_bridges_own_cluster_is_always_known_to_envoys() {
        let file = read("external_clusters: [a, b]\non_error: hold\n").expect("good");
        let names = |flags: &[&str]| {
            let external_cluster = flags.iter().map(ToString::to_string).collect();
            let names = file.external_clusters(&Outside { external_cluster });
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["a", "b", CLUSTER]);
        assert_eq!(names(&["c"]), ["c", CLUSTER]);
    }

    #[test]
    fn a_wrong_settings_file_says_where_and_what() {
        let error = format!("{:#}", read("lisen: []\n").expect_err("a typo"));
        assert!(
            error.contains("settings.yaml") && error.contains("lisen") && error.contains("listen"),
            "{error}"
        );
        let missing = Common { settings: Some("/nonexistent/x.yaml".into()), log: None, log_format: None };
        assert!(format!("{:#}", File::read(&missing).expect_err("missing")).contains("/nonexistent/x.yaml"));
        assert!(read("").is_ok() && read("# nothing\n").is_ok());
    }
}
