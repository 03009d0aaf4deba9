//! The xDS types as data, and one resource of them.
//!
//! Owns the words that every room shares: [`Kind`] (type URL, fragment key, service, order of
//! sending), [`Resource`] (name, canonical bytes, content digest, what it refers to) and
//! [`Selector`] (which nodes may receive it). Keeps the invariant *encode once, hash the content*:
//! a resource is made from canonical bytes, and two resources with equal bytes have equal digests,
//! wherever and whenever they were made.
//!
//! Knows nothing of YAML, files, gRPC or time.

use std::sync::Arc;
use std::time::Duration;

use bytes::BufMut;

mod digest;
mod element;
mod kind;
mod packed;
mod selector;

pub use digest::Digest;
pub use kind::{Kind, TYPE_URL_PREFIX};
pub use packed::{packed_map, packed_set};
pub use selector::{
    Node, NodePattern, Selector, may_meet, surely_beyond, surely_beyond_all, surely_meet, surely_within,
};

/// A resource's name. Shared, since the same name stands in tables, subscriptions and logs.
pub type Name = Arc<str>;

/// A resource that another one names, such as the cluster of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// What kind of resource is named.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
}

/// One resource: immutable, encoded once, shared by every snapshot and stream that holds it.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    kind: Kind,
    warms_slowly: bool,
    name: Name,
    digest: Digest,
    /// What is before it on the wire follows from the kind and its length.
    body: Box<[u8]>,
    /// All that it names is the endpoint assignment of its own name, as with most clusters.
    names_own_endpoints: bool,
    rare: Option<Box<Rare>>,
}

/// What few resources have. The others, of which there may be hundreds of thousands, need no room for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rare {
    /// What it names, unless that is the endpoint assignment of its own name.
    references: Box<[Reference]>,
    aliases: Box<[Name]>,
    ttl: Option<Duration>,
    claims: Box<[Claim]>,
}

/// What stands for something that only one resource of a kind can have at a time: an address that a listener
/// opens, the key of a scope. Equal ones are one.
pub type Claim = Digest;

impl Resource {
    /// A resource from the canonical encoding of its message.
    ///
    /// `body` must be canonical (fields by number, map entries by key, no explicit defaults), also
    /// inside nested `Any`s; then equal configuration has equal bytes, and so an equal digest.
    pub fn new(kind: Kind, name: impl Into<Name>, body: &[u8]) -> Resource {
        Resource {
            kind,
            warms_slowly: false,
            name: name.into(),
            digest: element::digest(kind, body),
            body: body.into(),
            names_own_endpoints: false,
            rare: None,
        }
    }

    /// The same resource, also known by other names (a virtual host by `<route config>/<domain>`).
    #[must_use]
    pub fn with_aliases(mut self, aliases: impl IntoIterator<Item = Name>) -> Resource {
        let aliases: Box<[Name]> = aliases.into_iter().collect();
        if !aliases.is_empty() {
            self.rare.get_or_insert_default().aliases = aliases;
        }
        self
    }

    /// The same resource, valid at its receiver for this long only. The TTL is part of the content.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Resource {
        self.rare.get_or_insert_default().ttl = Some(ttl);
        self.digest = self.digest.covering([Digest(ttl.as_nanos())]);
        self
    }

    /// The same resource with the list of what it names, sorted and without duplicates.
    #[must_use]
    pub fn with_references(mut self, references: impl IntoIterator<Item = Reference>) -> Resource {
        let mut list: Vec<Reference> = references.into_iter().collect();
        list.sort();
        list.dedup();
        self.names_own_endpoints =
            matches!(&list[..], [only] if only.kind == Kind::Endpoint && only.name == self.name);
        if !self.names_own_endpoints && !list.is_empty() {
            self.rare.get_or_insert_default().references = list.into();
        }
        self
    }

    /// The same listener, which opens these addresses, or the same scope, which has this key.
    #[must_use]
    pub fn with_claims(mut self, claims: impl IntoIterator<Item = Claim>) -> Resource {
        let claims: Box<[Claim]> = claims.into_iter().collect();
        if !claims.is_empty() {
            self.rare.get_or_insert_default().claims = claims;
        }
        self
    }

    /// The same cluster, which is not warm yet when it is acknowledged: it resolves names or checks health.
    #[must_use]
    pub fn warming_slowly(mut self) -> Resource {
        self.warms_slowly = true;
        self
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Further names by which a client may ask for it (VHDS only).
    pub fn aliases(&self) -> &[Name] {
        self.rare.as_ref().map_or(&[], |rare| &rare.aliases)
    }

    /// The digest of its content.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How long it is valid at its receiver, if that is limited.
    pub fn ttl(&self) -> Option<Duration> {
        self.rare.as_ref()?.ttl
    }

    /// The addresses that it opens, or the key that it has: what only one of its kind can have.
    pub fn claims(&self) -> &[Claim] {
        self.rare.as_ref().map_or(&[], |rare| &rare.claims)
    }

    /// Whether all that it names is the endpoint assignment of its own name.
    pub fn names_own_endpoints(&self) -> bool {
        self.names_own_endpoints
    }

    /// What it names, sorted.
    pub fn references(&self) -> impl Iterator<Item = (Kind, &Name)> {
        let own = self.names_own_endpoints.then_some((Kind::Endpoint, &self.name));
        let others = self.rare.iter().flat_map(|rare| &rare.references);
        own.into_iter().chain(others.map(|reference| (reference.kind, &reference.name)))
    }

    /// The names of one kind that it refers to.
    pub fn references_to(&self, kind: Kind) -> impl Iterator<Item = &Name> {
        self.references().filter(move |(named, _)| *named == kind).map(|(_, name)| name)
    }

    /// Whether an ACK does not say yet that it can be used.
    pub fn warms_slowly(&self) -> bool {
        self.warms_slowly
    }

    /// Writes the encoded protobuf field `2: Any`, tag included. `Resource.resource` of a delta response and
    /// `DiscoveryResponse.resources` have the same number and type, so these bytes serve both.
    pub fn put_element(&self, out: &mut impl BufMut) {
        element::put_head(self.kind, self.body.len(), out);
        out.put_slice(&self.body);
    }

    /// How many bytes that are.
    pub fn element_len(&self) -> usize {
        element::len(self.kind, self.body.len())
    }

    /// The canonical encoding of the message alone.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use prost::encoding::WireType;

    #[test]
    fn the_element_is_field_two_of_both_variants() {
        for body in [b"".as_slice(), b"\x0a\x01x", &[7; 300]] {
            let resource = Resource::new(Kind::Cluster, "x", body);
            let mut whole = Vec::new();
            resource.put_element(&mut whole);
            assert_eq!(whole.len(), resource.element_len());
            assert_eq!(resource.digest(), Digest::of([whole.as_slice()]));
            let mut element = whole.as_slice();
            let (number, wire) = prost::encoding::decode_key(&mut element).expect("a key");
            assert_eq!((number, wire), (2, WireType::LengthDelimited));
            let any = prost_types::Any::decode_length_delimited(element).expect("an Any");
            assert_eq!(any.type_url, Kind::Cluster.type_url());
            assert_eq!(any.value, body);
            assert_eq!(resource.body(), body);
        }
    }

    #[test]
    fn a_digest_depends_on_content_alone() {
        let one = Resource::new(Kind::Cluster, "x", b"\x0a\x01x");
        let same = Resource::new(Kind::Cluster, "x", b"\x0a\x01x");
        let other = Resource::new(Kind::Cluster, "y", b"\x0a\x01y");
        assert_eq!(one.digest(), same.digest());
        assert_ne!(one.digest(), other.digest());
        assert_ne!(one.digest(), same.with_ttl(Duration::from_secs(1)).digest());
    }
}
