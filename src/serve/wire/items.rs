//! The resources of a response: its own, or such as other streams are sent as well.
//!
//! Comes in: items. Goes out: the same as a list, and what they are on the wire, which of shared ones is made
//! once. Keeps the invariant that the bytes are those of the items.

use std::ops::Deref;
use std::sync::Arc;

use super::{Item, Variant};

/// What a response carries.
#[derive(Clone, Debug)]
pub enum Items {
    /// For this one alone.
    Own(Vec<Item>),
    /// The same that others are sent.
    Shared(Arc<Encoded>),
}

impl Items {
    /// Length on the wire, in bytes.
    pub fn encoded_len(&self, variant: Variant) -> usize {
        match self {
            Items::Own(items) => Item::encoded_len_all(items, variant),
            Items::Shared(encoded) => encoded.bytes.len(),
        }
    }
}

impl Default for Items {
    fn default() -> Items {
        Items::Own(Vec::new())
    }
}

impl From<Vec<Item>> for Items {
    fn from(items: Vec<Item>) -> Items {
        Items::Own(items)
    }
}

impl Deref for Items {
    type Target = [Item];

    fn deref(&self) -> &[Item] {
        match self {
            Items::Own(items) => items,
            Items::Shared(encoded) => &encoded.items,
        }
    }
}

/// Items, and what they are on the wire.
#[derive(Debug)]
pub struct Encoded {
    variant: Variant,
    items: Vec<Item>,
    bytes: Vec<u8>,
}

impl Encoded {
    /// Of these items, in their order.
    pub fn new(variant: Variant, items: Vec<Item>) -> Encoded {
        let mut bytes = Vec::with_capacity(Item::encoded_len_all(&items, variant));
        items.iter().for_each(|item| item.encode_as(variant, &mut bytes));
        Encoded { variant, items, bytes }
    }

    /// How they are written.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// The items.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The elements of the response.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
