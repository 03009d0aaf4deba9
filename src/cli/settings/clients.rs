//! The setting `clients`: who may claim which node. In the settings file a list of mappings, as a flag one text
//! for each: `san_dns=*.edge.example.org ids=edge-*,core-1 clusters=edge`.

use nix::unistd::User;
use serde_json::{Value as Json, json};

use super::kind::Kind;
use super::read::Findings;
use crate::app::{CLUSTER, ClientRule, ID, Who};
use crate::load::yaml::Node;

/// The keys by one of which a client is known.
const WHO: [&str; 3] = ["san_uri", "san_dns", "unix_uid"];

/// The keys of what it may claim.
const CLAIMS: [&str; 2] = ["ids", "clusters"];

/// What is said of a user that is a list.
const NO_USER: &str = "expected a user's name or number";

/// Rules, each with what was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients(Vec<(Written, ClientRule)>);

/// An entry: its key out of [`WHO`] and the pattern there, then the lists of [`CLAIMS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Written {
    who: Option<(&'static str, String)>,
    claims: [Option<Vec<String>>; 2],
}

impl Clients {
    /// As the daemon takes them.
    pub fn rules(&self) -> Vec<ClientRule> {
        self.0.iter().map(|(_, rule)| rule.clone()).collect()
    }
}

impl Written {
    fn rule(&self) -> Result<ClientRule, String> {
        let Some((key, pattern)) = &self.who else {
            return Err(format!("who is it? give one of {}", WHO.join(", ")));
        };
        let who = match *key {
            "unix_uid" => Who::UnixUid(uid(pattern)?),
            key => {
                let rest = pattern.replace(ID, "").replace(CLUSTER, "");
                if pattern.is_empty() || rest.contains(['{', '}']) {
                    return Err(format!("in {pattern:?} only {ID} and {CLUSTER} may stand in braces"));
                }
                if key == "san_uri" { Who::SanUri(pattern.clone()) } else { Who::SanDns(pattern.clone()) }
            }
        };
        let [ids, clusters] = self.claims.clone();
        Ok(ClientRule { who, ids, clusters })
    }

    /// Takes who it is; twice is a mistake.
    fn set_who(&mut self, key: &'static str, pattern: String) -> Result<(), String> {
        match self.who.replace((key, pattern)) {
            Some((other, _)) => Err(format!("a rule is for one identity: `{other}` or `{key}`, not both")),
            None => Ok(()),
        }
    }

    fn from_text(text: &str) -> Result<Written, String> {
        let mut written = Written::default();
        for word in text.split_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            if let Some(who) = WHO.into_iter().find(|who| *who == key) {
                written.set_who(who, value.to_owned())?;
            } else if let Some(at) = CLAIMS.iter().position(|claim| *claim == key) {
                written.claims[at] = Some(value.split(',').map(str::to_owned).collect());
            } else {
                let known = [&WHO[..], &CLAIMS].concat().join("=, ");
                return Err(format!("{word:?} is no part of a rule: there are {known}="));
            }
        }
        Ok(written)
    }

    fn from_node(node: &Node<'_>, findings: &mut Findings<'_>) -> Option<Written> {
        let Some(entries) = node.entries() else {
            findings.wrong_type(
                node,
                "a mapping such as { san_dns: x.example.org, ids: [edge-*] }",
                "something else",
            );
            return None;
        };
        let mut written = Some(Written::default());
        for entry in entries {
            let taken = findings.at_key(&entry.key, |findings| {
                let written = written.as_mut()?;
                if let Some(who) = WHO.into_iter().find(|who| *who == entry.key) {
                    // A user may be a number.
                    let user = || entry.value.text().map(str::to_owned);
                    let text = match who {
                        "unix_uid" => {
                            findings.take(entry.value.span, user().ok_or_else(|| NO_USER.to_owned()))
                        }
                        _ => <String as Kind>::from_node(&entry.value, findings),
                    }?;
                    return findings.take(entry.value.span, written.set_who(who, text));
                }
                let Some(at) = CLAIMS.iter().position(|claim| *claim == entry.key) else {
                    findings.unknown_key(entry.key_span, &entry.key, WHO.into_iter().chain(CLAIMS));
                    return None;
                };
                written.claims[at] = Some(<Vec<String> as Kind>::from_node(&entry.value, findings)?);
                Some(())
            });
            if taken.is_none() {
                written = None;
            }
        }
        written
    }

    fn json(&self) -> Json {
        let claims =
            CLAIMS.iter().zip(&self.claims).filter_map(|(key, list)| Some((*key, json!(list.as_ref()?))));
        let who = self.who.iter().map(|(key, pattern)| (*key, json!(pattern)));
        who.chain(claims)
            .map(|(key, value)| (key.to_owned(), value))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

impl Kind for Clients {
    const REPEATS: bool = true;

    fn from_texts(texts: &[String]) -> Result<Clients, Vec<String>> {
        let (mut clients, mut wrong) = (Clients::default(), Vec::new());
        for text in texts {
            match Written::from_text(text).and_then(|written| written.rule().map(|rule| (written, rule))) {
                Ok(client) => clients.0.push(client),
                Err(message) => wrong.push(message),
            }
        }
        if wrong.is_empty() { Ok(clients) } else { Err(wrong) }
    }

    fn from_node(node: &Node<'_>, findings: &mut Findings<'_>) -> Option<Clients> {
        let mut clients = Some(Clients::default());
        for (at, element) in node.elements().iter().enumerate() {
            let client = findings.at_index(at, |findings| {
                let written = Written::from_node(element, findings)?;
                let rule = findings.take(element.span, written.rule())?;
                Some((written, rule))
            });
            // One that is wrong must not leave the others as if they were all.
            match (client, clients.as_mut()) {
                (Some(client), Some(clients)) => clients.0.push(client),
                _ => clients = None,
            }
        }
        clients
    }

    fn json(&self) -> Json {
        self.0.iter().map(|(written, _)| written.json()).collect()
    }

    fn schema() -> Json {
        let texts = json!({ "type": "array", "items": { "type": "string" } });
        let one = WHO.map(|who| json!({ "required": [who] }));
        json!({
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "san_uri": { "type": "string", "description": "Glob over the URIs in the client's certificate; {id} and {cluster} stand for the node's" },
                    "san_dns": { "type": "string", "description": "Glob over the DNS names in the client's certificate; {id} and {cluster} stand for the node's" },
                    "unix_uid": { "type": ["string", "integer"], "description": "User at the other end of a unix socket, by name or number" },
                    "ids": texts,
                    "clusters": texts,
                },
                "oneOf": one,
                "additionalProperties": false,
            },
        })
    }
}

fn uid(user: &str) -> Result<u32, String> {
    if let Ok(uid) = user.parse() {
        return Ok(uid);
    }
    match User::from_name(user) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(format!("there is no user {user:?} on this machine; a number works, too")),
        Err(error) => Err(format!("the user {user:?} cannot be looked up: {error}")),
    }
}
