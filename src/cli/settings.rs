//! From flags, environment and the settings file to what the program is to do; the stronger wins, in
//! that order.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;

use super::args::{Common, Descriptors, LogFormat, Serve, duration};
use crate::app::{Address, Settings};
use crate::envoy_api::{Api, descriptors_in};
use crate::source;

/// Where the settings file is looked for.
const DEFAULT_FILE: &str = "/etc/xds-bridge/xds-bridge.yaml";

/// Where fragments are looked for: beside the one who starts the program, as in a clone of it.
const DEFAULT_DIR: &str = "config.d";

/// Loopback: nothing leaves the machine unless somebody says so.
const DEFAULT_LISTEN: &str = "127.0.0.1:18000";

/// The settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    config_dirs: Option<Vec<PathBuf>>,
    listen: Option<Vec<String>>,
    insecure: Option<bool>,
    allow_empty: Option<bool>,
    settle: Option<String>,
    poll: Option<String>,
    #[serde(default)]
    descriptors: Vec<PathBuf>,
    descriptors_from: Option<PathBuf>,
    pub log: Option<String>,
    pub log_format: Option<LogFormat>,
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
    pub fn listen(&self, flags: &[Address]) -> Result<Vec<Address>> {
        if !flags.is_empty() {
            return Ok(flags.to_vec());
        }
        let own = self.listen.clone().unwrap_or_else(|| vec![DEFAULT_LISTEN.into()]);
        own.iter().map(|text| text.parse().context("`listen` in the settings file")).collect()
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
        Ok(Settings {
            source,
            listen: self.listen(&flags.listen)?,
            insecure: flags.insecure || self.insecure.unwrap_or(false),
            allow_empty: flags.allow_empty || self.allow_empty.unwrap_or(false),
            pace: Default::default(),
            instance: format!("{} pid {}", host_name().unwrap_or_default(), std::process::id()),
        })
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
        let flag: Address = "127.0.0.1:2".parse().expect("an address");
        assert_eq!(file.listen(std::slice::from_ref(&flag)).expect("good"), [flag]);
        assert_eq!(file.listen(&[]).expect("good"), ["127.0.0.1:1".parse().expect("an address")]);
        assert_eq!(file.dirs(&[]), [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!(File::default().dirs(&[]), [PathBuf::from(DEFAULT_DIR)]);
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
