//! What a client asked for, of one type.
//!
//! One type serves both variants; they differ only in how requests change it. Keeps the wildcard
//! rules (protocol rule 5): an empty first list means everything, as long as no name was given.

use std::sync::Arc;

use super::names::{NameSet, Pool, Shared};
use super::session::Refusal;
use super::wire::NameList;
use crate::resource::{Kind, Name, Resource};
use crate::snapshot::View;

/// The name that stands for everything.
pub(crate) const WILDCARD: &str = "*";

/// The names that a client wants, of one type on one stream.
#[derive(Debug, Default)]
pub(crate) struct Subscription {
    wildcard: bool,
    /// A name was given once: from then on an empty list means nothing.
    named_once: bool,
    names: NameSet,
}

impl Subscription {
    /// Whether everything is wanted.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// How many names are wanted by name.
    pub fn named(&self) -> usize {
        self.names.len()
    }

    /// The names that are wanted by name.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.names.iter()
    }

    /// The names that are wanted by name, if others want just these.
    pub fn shared(&self) -> Option<&Arc<Shared>> {
        self.names.shared()
    }

    /// Whether this name was given, wildcard aside.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether this name is wanted.
    pub fn covers(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Whether this resource is wanted, by its name or by one of its aliases.
    pub fn covers_resource(&self, resource: &Resource) -> bool {
        self.covers(resource.name())
            || (resource.kind() == Kind::VirtualHost
                && resource.aliases().iter().any(|a| self.names.contains(a)))
    }

    /// Delta: an empty first list means everything.
    pub fn start_delta(&mut self, subscribe_is_empty: bool) {
        if subscribe_is_empty {
            self.wildcard = true;
        }
    }

    /// Becomes the set of this first list, if others have asked just so.
    pub fn start_alike(&mut self, list: &NameList, pool: &Pool) -> bool {
        let Some(names) = NameSet::alike(list, pool) else { return false };
        self.named_once = true;
        self.names = names;
        true
    }

    /// State of the world: whether it is just what this list asks for. False where that takes more than a glance.
    pub fn is_of(&self, list: &NameList) -> bool {
        !self.wildcard && self.names.is_of(list)
    }

    /// Delta: adds a name; true if `*` newly covers everything.
    pub fn subscribe(&mut self, name: &Name) -> bool {
        self.named_once = true;
        if &**name == WILDCARD {
            return !std::mem::replace(&mut self.wildcard, true);
        }
        self.names.insert(name);
        false
    }

    /// Delta: drops a name.
    pub fn unsubscribe(&mut self, name: &Name) {
        if &**name == WILDCARD {
            self.wildcard = false;
        } else {
            self.names.remove(name);
        }
    }

    /// State of the world: the list replaces what was wanted. Gives the names that are new, and
    /// whether everything is newly wanted.
    pub fn replace(&mut self, names: Vec<Name>) -> (Vec<Name>, bool) {
        self.named_once |= !names.is_empty();
        let wildcard = !self.named_once || names.iter().any(|name| &**name == WILDCARD);
        let list = names.into_iter().filter(|name| &**name != WILDCARD).collect();
        let added = self.names.replace(list);
        let newly_wild = wildcard && !self.wildcard;
        self.wildcard = wildcard;
        (added, newly_wild)
    }

    /// Shares the names with others that ask alike.
    pub fn share(&mut self, pool: &Pool) {
        self.names.share(pool);
    }
}

/// Names longer than this are no names; the longest real ones are xdstp URLs of some hundred bytes.
const MAX_NAME: usize = 16 * 1024;

/// The names of a list as the tables hold them, so that a subscription shares their texts.
pub(crate) fn read(list: &NameList, view: Option<&View>, kind: Kind) -> Result<Vec<Name>, Refusal> {
    let mut names = Vec::with_capacity(list.len());
    for name in list.iter() {
        let name = name?;
        if name.len() > MAX_NAME {
            return Err(Refusal::InvalidArgument(format!(
                "a {kind} name of {} bytes, {:?}…, is longer than the {MAX_NAME} that are allowed",
                name.len(),
                truncated(name),
            )));
        }
        names.push(match view.and_then(|view| view.get(kind, name)) {
            Some(resource) => resource.name().clone(),
            None => name.into(),
        });
    }
    Ok(names)
}

/// The beginning of a text that a client sent, short enough for a log line.
pub(crate) fn truncated(text: &str) -> &str {
    let end = text.char_indices().nth(64).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<Name> {
        list.iter().map(|name| Name::from(*name)).collect()
    }

    #[test]
    fn an_empty_sotw_list_means_everything_only_until_a_name_is_given() {
        let mut subscription = Subscription::default();
        assert_eq!(subscription.replace(names(&[])), (vec![], true));
        assert!(subscription.is_wildcard());
        assert_eq!(subscription.replace(names(&["a"])).0, names(&["a"]));
        assert!(!subscription.covers("b"));
        subscription.replace(names(&[]));
        assert!(!subscription.is_wildcard() && !subscription.covers("a"));
    }

    #[test]
    fn a_star_may_stand_beside_names() {
        let mut subscription = Subscription::default();
        assert_eq!(subscription.replace(names(&["*", "a"])), (names(&["a"]), true));
        assert!(subscription.covers("b") && subscription.contains("a"));
        subscription.replace(names(&["a"]));
        assert!(!subscription.covers("b"));
    }

    #[test]
    fn delta_drops_the_star_only_when_told() {
        let mut subscription = Subscription::default();
        subscription.start_delta(true);
        assert!(!subscription.subscribe(&"a".into()));
        assert!(subscription.covers("b"));
        subscription.unsubscribe(&WILDCARD.into());
        assert!(!subscription.covers("b") && subscription.covers("a"));
        assert!(subscription.subscribe(&WILDCARD.into()));
    }
}
