//! What stands behind a change, at its new place.

use super::Item;
use crate::diagnostic::{Diagnostic, Span};

/// What begins at `from` or behind it stands so many bytes further on, wrapping around.
#[derive(Clone, Copy)]
pub(super) struct Moved {
    pub from: u32,
    pub by: u32,
}

impl Moved {
    pub fn span(self, span: Span) -> Span {
        if span.start < self.from {
            return span;
        }
        Span { start: span.start.wrapping_add(self.by), end: span.end.wrapping_add(self.by) }
    }

    pub fn finding(self, finding: &mut Diagnostic) {
        finding.span = finding.span.map(|span| self.span(span));
        for related in &mut finding.related {
            related.span = self.span(related.span);
        }
    }

    /// An item keeps what it names and opens: these places are counted from its beginning.
    pub fn item(self, item: &Item) -> Item {
        Item { span: self.span(item.span), name_span: self.span(item.name_span), ..item.clone() }
    }
}

/// A path with the number of its item, the first one in it, so much higher; `None` if there is none.
pub(super) fn numbered(path: &str, more: isize) -> Option<String> {
    if path.is_empty() {
        return Some(String::new());
    }
    let (before, rest) = path.split_once('[')?;
    let (number, rest) = rest.split_once(']')?;
    let number = number.parse::<usize>().ok()?.checked_add_signed(more)?;
    Some(format!("{before}[{number}]{rest}"))
}
