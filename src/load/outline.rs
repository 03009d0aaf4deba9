//! What of a file can be read in parts: its lists in block style, and what keeps a part from being read alone.
//!
//! Comes in: a file that was just read, with its tree. Goes out: an [`Outline`], kept with what the file gave,
//! for [`super::splice`]. Nothing where an item may say something of another: then all is always read.

use std::ops::Range;

use memchr::{memchr, memmem};

use super::fill::is_json;
use super::findings::MAX_FINDINGS;
use super::fragment::kind_of_key;
use super::inputs::{Touched, Variables};
use super::yaml::{ALIAS_BUDGET, Entry, Node, Parsed, Value};
use super::{Item, Loaded};
use crate::diagnostic::Span;
use crate::resource::Kind;

/// The lists of a file that can be read in parts.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    /// In the order of the file.
    pub(super) lists: Box<[List]>,
    /// Which references are replaced.
    pub(super) touched: Touched,
    /// Whether there is `${` in it, and any reference is replaced.
    pub(super) has_reference: bool,
    /// Whether there are anchors.
    pub(super) has_anchor: bool,
    /// Whether all of it is one object of JSON.
    pub(super) is_json: bool,
}

/// A list of items.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub section: Section,
    /// The column of its key.
    pub column: u32,
    /// Its items, among all of the file.
    pub items: Range<u32>,
    /// Where the line of the next key begins, or the text ends.
    pub end: u32,
    /// The column of that key.
    pub next: Option<u32>,
}

/// Under which keys a list stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// That of its kind.
    Kind(Kind),
    /// The same, of a bootstrap.
    Static(Kind),
    /// `resources`.
    Resources,
}

impl Section {
    /// The keys in lines of their own.
    pub fn head(self, column: usize) -> String {
        match self {
            Section::Kind(kind) => format!("{}:\n", kind.fragment_key()),
            Section::Static(kind) => {
                format!("static_resources:\n{}{}:\n", " ".repeat(column), kind.fragment_key())
            }
            Section::Resources => "resources:\n".to_owned(),
        }
    }

    /// The keys in JSON, and what closes them.
    pub fn in_json(self) -> (String, String) {
        let (head, behind) = match self {
            Section::Kind(kind) => (format!("{{\"{}\":[", kind.fragment_key()), "]}"),
            Section::Static(kind) => {
                (format!("{{\"static_resources\":{{\"{}\":[", kind.fragment_key()), "]}}")
            }
            Section::Resources => ("{\"resources\":[".to_owned(), "]}"),
        };
        (head, behind.to_owned())
    }

    /// The number of the item of this list that a path leads into.
    pub fn number_in(self, path: &str) -> Option<usize> {
        let (keys, rest) = path.split_once('[')?;
        let is_it = match self {
            Section::Kind(kind) => kind_of_key(keys) == Some(kind),
            Section::Static(kind) => keys
                .strip_prefix("static_resources.")
                .or(keys.strip_prefix("staticResources."))
                .is_some_and(|key| Kind::from_fragment_key(key) == Some(kind)),
            Section::Resources => keys == "resources",
        };
        rest.split_once(']').filter(|_| is_it)?.0.parse().ok()
    }
}

/// Goes through the keys of a file.
struct Lists<'t> {
    text: &'t str,
    is_json: bool,
    /// The items so far, also of lists that cannot be read in parts.
    count: u32,
    lists: Vec<List>,
}

impl Outline {
    /// The lists of a file that was just parsed.
    pub(super) fn of(file: &str, text: &str, parsed: &Parsed<'_>, variables: &Variables) -> Option<Found> {
        let [Node { value: Value::Mapping(entries), span, .. }] = &parsed.documents[..] else { return None };
        let is_json = is_json(file) && text.as_bytes().get(span.start as usize) == Some(&b'{');
        // An anchor stands before the brace of its item.
        let is_plain = !(is_json && parsed.kept > 0)
            && parsed.cut_off.is_none()
            && parsed.issues.len() <= MAX_FINDINGS
            // With more, what is read before an anchor decides whether it is too much.
            && parsed.kept <= ALIAS_BUDGET
            && u32::try_from(text.len()).is_ok()
            && memchr(0, text.as_bytes()).is_none()
            && memmem::find(text.as_bytes(), b"%TAG").is_none();
        if !is_plain {
            return None;
        }
        let mut lists = Lists { text, is_json, count: 0, lists: Vec::new() };
        lists.document(entries)?;
        let Lists { count, lists, .. } = lists;
        let outline = Outline {
            lists: lists.into(),
            touched: variables.touched().clone(),
            has_reference: variables.touches_any() && memmem::find(text.as_bytes(), b"${").is_some(),
            has_anchor: parsed.kept > 0,
            is_json,
        };
        (!outline.lists.is_empty()).then_some(Found { outline, count })
    }
}

/// An outline, if all that was counted is also served.
pub(super) struct Found {
    outline: Outline,
    count: u32,
}

impl Found {
    /// The outline of what was loaded, if it is sound, each element gave an item, and nothing depends on the
    /// time.
    pub fn kept_for(self, loaded: &Loaded) -> Option<Box<Outline>> {
        let items = &loaded.items;
        let is_inside = |item: &Item| {
            let (from, to) = (item.span.start, item.span.end);
            let place_of = |span: Option<Span>| span.map_or(item.name_span, |span| item.place(span));
            let mentions = item.mentions().map(|mention| mention.span);
            let mut spans = mentions.chain(item.addresses().iter().map(|(_, span)| Some(*span)));
            spans.all(|span| (from..=to).contains(&place_of(span).start))
        };
        let is_kept = items.len() == self.count as usize
            && loaded.is_sound()
            && loaded.diagnostics.iter().all(|finding| finding.span.is_some())
            && items.iter().all(|item| item.expires().is_none())
            && items.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start)
            && (!self.outline.has_anchor || items.iter().all(is_inside));
        is_kept.then(|| Box::new(self.outline))
    }
}

impl Lists<'_> {
    /// `None` if one of its keys says something of all items, or where keys do not stand one below the other.
    fn document(&mut self, entries: &[Entry<'_>]) -> Option<()> {
        for (at, entry) in entries.iter().enumerate() {
            if self.column(entry)? != 0 {
                return None;
            }
            let next = entries.get(at + 1).filter(|_| !self.is_json);
            match &*entry.key {
                "ttls" => return None,
                "nodes" => {}
                key if key.starts_with("x-") => {}
                "resources" => self.list(Section::Resources, 0, entry, next)?,
                "static_resources" | "staticResources" => self.static_resources(entry, next)?,
                key => {
                    if let Some(kind) = kind_of_key(key) {
                        self.list(Section::Kind(kind), 0, entry, next)?;
                    }
                }
            }
        }
        Some(())
    }

    /// Secrets there are told to all other items, so that each is read with all.
    fn static_resources(&mut self, entry: &Entry<'_>, outer: Option<&Entry<'_>>) -> Option<()> {
        let entries = entry.value.entries().unwrap_or_default();
        let has_secrets = entry.value.get(&["secrets"]).is_some();
        let known = self.lists.len();
        for (at, inner) in entries.iter().enumerate() {
            let column = self.column(inner)?;
            let next = entries.get(at + 1).filter(|_| !self.is_json).or(outer);
            let end = next.map_or(self.text.len(), |next| next.key_span.start as usize);
            let is_inside = inner.key_span.start > entry.key_span.end && inner.key_span.end as usize <= end;
            if !is_inside || (column == 0 && !self.is_json) {
                return None;
            }
            if let Some(kind) = Kind::from_fragment_key(&inner.key) {
                self.list(Section::Static(kind), column, inner, next)?;
            }
        }
        if has_secrets {
            self.lists.truncate(known);
        }
        Some(())
    }

    /// Notes a list; counts what is in it in any case.
    fn list(
        &mut self,
        section: Section,
        column: u32,
        entry: &Entry<'_>,
        next: Option<&Entry<'_>>,
    ) -> Option<()> {
        // Two spellings of one key: their items have the same paths.
        if self.lists.iter().any(|list| list.section == section) {
            return None;
        }
        let first = self.count;
        self.count += u32::try_from(entry.value.elements().len()).ok()?;
        let column_of_next = match next {
            Some(next) => Some(self.column(next)?),
            None => None,
        };
        let span = entry.value.span;
        let end = match (next, column_of_next) {
            _ if self.is_json => span.end,
            (Some(next), Some(column)) => next.key_span.start - column,
            _ => u32::try_from(self.text.len()).ok()?,
        };
        let is_below = entry.key_span.end < span.start && span.start < end;
        // Whether its dashes stand in lines of their own is looked at where a stretch begins and ends.
        if is_below && matches!(entry.value.value, Value::Sequence(_)) {
            self.lists.push(List { section, column, items: first..self.count, end, next: column_of_next });
        }
        Some(())
    }

    /// The column of a key with nothing but blanks before it in its line. In JSON columns say nothing.
    fn column(&self, entry: &Entry<'_>) -> Option<u32> {
        if self.is_json {
            return Some(0);
        }
        let before = self.text.as_bytes().get(..entry.key_span.start as usize)?;
        let line = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        before[line..].iter().all(|byte| *byte == b' ').then(|| u32::try_from(before.len() - line).ok())?
    }
}
