//! What streams that are alike have in common: sets of names, what is on its way, encoded responses.
//!
//! A thousand Envoys that connect at once are sent the same ten thousand resources. Each of the three is
//! made once then and shared, so that memory follows what differs between the clients.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::editions::Editions;
use super::first::Firsts;
use super::holding::{Kept, Sent};
use super::names::Pool;
use super::shelf::Shelf;
use super::wire::{Encoded, Item, Items, Variant};
use crate::resource::{Digest, Name};

/// Fewer resources than these are not worth looking for.
const MANY: usize = 16;

/// Bytes that keep alive what they are found by.
struct Owner(Arc<Encoded>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// All that is shared between streams.
#[derive(Debug, Default)]
pub(crate) struct Common {
    pub names: Pool,
    pub editions: Editions,
    pub firsts: Firsts,
    sent: Shelf<BTreeMap<Name, Sent>>,
    encoded: Shelf<Encoded>,
}

impl Common {
    /// What was sent, shared with those that were sent the same.
    pub fn sent(&self, sent: BTreeMap<Name, Sent>) -> Arc<BTreeMap<Name, Sent>> {
        if sent.len() < MANY {
            return Arc::new(sent);
        }
        let fingerprint = self.sent.fingerprint(sent.values().map(|sent| sent.version).collect::<Vec<_>>());
        let is_same = |known: &BTreeMap<Name, Sent>| {
            let mut pairs = known.iter().zip(&sent);
            known.len() == sent.len() && pairs.all(|((a, x), (b, y))| a == b && is_same_sent(x, y))
        };
        let known = self.sent.find(fingerprint, is_same);
        known.unwrap_or_else(|| self.sent.put(fingerprint, sent))
    }

    /// Takes the resources out of a large response and encodes them, or finds them as they were
    /// encoded for another stream.
    pub fn encode(&self, variant: Variant, items: &mut Items) -> Option<Bytes> {
        let items = match std::mem::take(items) {
            Items::Shared(encoded) => return Some(Bytes::from_owner(Owner(encoded))),
            Items::Own(own) if own.len() < MANY => {
                *items = Items::Own(own);
                return None;
            }
            Items::Own(own) => own,
        };
        let versions: Vec<Digest> = items.iter().map(|item| item.version).collect();
        let fingerprint = self.encoded.fingerprint((variant, versions));
        let is_same = |known: &Encoded| {
            let mut pairs = known.items().iter().zip(&items);
            known.variant() == variant
                && known.items().len() == items.len()
                && pairs.all(|(a, b)| is_same_item(a, b))
        };
        let known = self.encoded.find(fingerprint, is_same);
        let encoded = known.unwrap_or_else(|| self.encoded.put(fingerprint, Encoded::new(variant, items)));
        Some(Bytes::from_owner(Owner(encoded)))
    }
}

fn is_same_resource<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

fn is_same_kept(a: Option<&Kept>, b: Option<&Kept>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            a.version == b.version && is_same_resource(a.resource.as_ref(), b.resource.as_ref())
        }
        (None, None) => true,
        _ => false,
    }
}

fn is_same_sent(a: &Sent, b: &Sent) -> bool {
    a.version == b.version
        && a.after_refusal == b.after_refusal
        && is_same_resource(a.resource.as_ref(), b.resource.as_ref())
        && is_same_kept(a.before.as_ref(), b.before.as_ref())
}

fn is_same_item(a: &Item, b: &Item) -> bool {
    a.version == b.version
        && a.ttl == b.ttl
        && a.name == b.name
        && is_same_resource(a.resource.as_ref(), b.resource.as_ref())
}
