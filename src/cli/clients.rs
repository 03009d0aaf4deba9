//! Who may claim which node, as the settings file says it: `clients:`.

use anyhow::{Result, anyhow, bail};
use nix::unistd::User;
use serde::Deserialize;

use crate::app::{ClientRule, Who};

/// One entry of `clients:`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    identity: Identity,
    #[serde(default)]
    may: May,
}

/// One of these.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    san_uri: Option<String>,
    san_dns: Option<String>,
    unix_uid: Option<Text>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct May {
    ids: Option<Vec<String>>,
    clusters: Option<Vec<String>>,
}

/// A name or a number.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Text {
    Number(u32),
    Name(String),
}

impl Client {
    /// As the daemon takes it.
    pub fn rule(&self) -> Result<ClientRule> {
        let Identity { san_uri, san_dns, unix_uid } = &self.identity;
        let who = match (san_uri, san_dns, unix_uid) {
            (Some(uri), None, None) => Who::SanUri(pattern(uri)?),
            (None, Some(dns), None) => Who::SanDns(pattern(dns)?),
            (None, None, Some(user)) => Who::UnixUid(uid(user)?),
            _ => {
                bail!("`clients` in the settings file: `identity` takes one of san_uri, san_dns and unix_uid")
            }
        };
        Ok(ClientRule { who, ids: self.may.ids.clone(), clusters: self.may.clusters.clone() })
    }
}

fn pattern(text: &str) -> Result<String> {
    let rest = text.replace("{id}", "").replace("{cluster}", "");
    if text.is_empty() || rest.contains(['{', '}']) {
        bail!("`clients` in the settings file: in {text:?} only {{id}} and {{cluster}} may stand in braces");
    }
    Ok(text.to_owned())
}

fn uid(user: &Text) -> Result<u32> {
    match user {
        Text::Number(uid) => Ok(*uid),
        Text::Name(name) => User::from_name(name)?
            .map(|user| user.uid.as_raw())
            .ok_or_else(|| anyhow!("`clients` in the settings file: there is no user {name:?}")),
    }
}
