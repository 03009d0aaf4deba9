//! A file that was read before and of which a stretch of one list changed: only that stretch is read.
//!
//! Comes in: what the file gave when it was last read, with its text, and the text of now. Goes out: what
//! reading all of it would give, or nothing where that is not certain; then all of it is to be read. Keeps
//! the invariant that the two are equal, findings and places included (`tests/changed_files.rs`).
//!
//! Why a stretch can be read alone: where an item of a list begins in a line of its own, a YAML reader knows
//! of what was before only which mappings and lists are open, and anchors. The stretch begins at an item
//! that still begins as it did, stands under the same keys, and has a sentinel behind it in the column of
//! the item or key that follows. If the reader comes to the sentinel as to the next item or key, it would
//! come to what really follows in the same state, and read all that is behind as it did.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use memchr::{memchr, memchr2, memchr3, memmem};

use super::fill::Fill;
use super::findings::MAX_FINDINGS;
use super::fragment::{Reader, Scope};
use super::inputs::{Drawn, Inputs, VariableUse};
use super::moved::{Moved, numbered};
use super::outline::{List, Outline};
use super::substitute::{MAX_INSERTED, Template};
use super::yaml::{self, Entry, Node, Value};
use super::{Item, Loaded};
use crate::diagnostic::{Diagnostic, Span};
use crate::envoy_api::Api;
use crate::resource::{Kind, Name};

/// To stand for whatever key follows; it is never read.
const NEXT_KEY: &str = "next";

/// Reads what changed since the text `before` gave `loaded`. `None`: all of it is to be read.
pub(super) fn load(
    api: &Api,
    file: &Arc<str>,
    text: &str,
    inputs: &Inputs<'_>,
    (before, loaded): (&[u8], &Loaded),
) -> Option<Loaded> {
    let outline = loaded.outline.as_deref()?;
    u32::try_from(text.len()).ok()?;
    if outline.touched != *inputs.variables.touched() || !loaded.drawn.is_current(inputs) {
        return None;
    }
    let stretch = Stretch::between(before, text.as_bytes(), loaded, outline)?;
    let (old, new) = (&before[stretch.old.clone()], text.get(stretch.new.clone())?);
    if !stands_alone(outline, loaded, old, new.as_bytes(), inputs) {
        return None;
    }
    let fresh = stretch.read(api, file, new, inputs, loaded)?;
    // What is written as a reference and stands for itself counts, too.
    let is_little =
        |drawn: &Drawn| drawn.uses.is_empty() || text.len() + drawn.most_inserted() <= MAX_INSERTED;
    let mut whole = stretch.put_into(loaded, outline, fresh).filter(|loaded| is_little(&loaded.drawn))?;
    if let Some(outline) = &mut whole.outline {
        outline.has_reference &= has_reference(text.as_bytes());
    }
    Some(whole)
}

/// Whether nothing in a stretch, as it was and as it is, bears on what is around it.
fn stands_alone(outline: &Outline, loaded: &Loaded, old: &[u8], new: &[u8], inputs: &Inputs<'_>) -> bool {
    let is_marker = |line: &[u8]| line.starts_with(b"---") || line.starts_with(b"...");
    let is_part = memchr(0, new).is_none()
        && memmem::find(new, b"%TAG").is_none()
        && memmem::find(new, "\u{feff}".as_bytes()).is_none()
        && !new.split(|byte| matches!(byte, b'\n' | b'\r')).any(is_marker);
    // With the first one, all is looked through for what may stand in for it.
    let is_first_to_refer = !outline.has_reference && inputs.variables.touches_any() && has_reference(new);
    // A character that may stand in for references elsewhere, written out or as an escape.
    let may_stand_in = outline.has_reference && (memchr3(0xee, 0xef, b'\\', new).is_some());
    let may_be_meant_elsewhere = outline.has_anchor && memchr2(b'&', b'*', old).is_some();
    let may_name_a_file = loaded.drawn.files().next().is_some() && memchr(b'!', old).is_some();
    is_part && !is_first_to_refer && !may_stand_in && !may_be_meant_elsewhere && !may_name_a_file
}

fn has_reference(text: &[u8]) -> bool {
    memmem::find(text, b"${").is_some()
}

/// A stretch of whole items of a list, with all that changed.
struct Stretch<'o> {
    list: &'o List,
    /// The items that stood there, among all of the file.
    items: Range<usize>,
    /// Where it is in the text of before, and in that of now: whole lines.
    old: Range<usize>,
    new: Range<usize>,
    /// The column of its dashes.
    column: usize,
    next: Next,
}

/// What follows a stretch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Item,
    /// A key in this column.
    Key(usize),
    Nothing,
}

impl<'o> Stretch<'o> {
    fn between(before: &[u8], now: &[u8], loaded: &Loaded, outline: &'o Outline) -> Option<Stretch<'o>> {
        let same = common_prefix(before, now);
        let changed_to = before.len() - common_suffix(&before[same..], &now[same..]);
        let items = &loaded.items;
        let first = items.partition_point(|item| item.span.start as usize <= same).checked_sub(1)?;
        let is_in = |list: &&List| (list.items.start as usize..list.items.end as usize).contains(&first);
        let list = outline.lists.iter().find(is_in)?;
        let (start, column) = dash(before, &items[first])?;
        let (mut end, mut next) =
            (list.end as usize, list.next.map_or(Next::Nothing, |c| Next::Key(c as usize)));
        let behind = &items[first + 1..list.items.end as usize];
        let mut to = first + 1 + behind.partition_point(|item| (item.span.start as usize) < changed_to);
        while to < list.items.end as usize {
            let (line, its_column) = dash(before, &items[to])?;
            if line >= changed_to {
                (end, next) = (line, Next::Item);
                if its_column != column {
                    return None;
                }
                break;
            }
            to += 1;
        }
        let new_end = (now.len() + end).checked_sub(before.len())?;
        let is_cut_well = next == Next::Nothing || now[..new_end].ends_with(b"\n");
        let is_whole = changed_to <= end && start <= new_end && is_cut_well;
        is_whole.then_some(Stretch {
            list,
            items: first..to,
            old: start..end,
            new: start..new_end,
            column,
            next,
        })
    }

    /// Reads the stretch as it is now.
    fn read(
        &self,
        api: &Api,
        file: &Arc<str>,
        text: &str,
        inputs: &Inputs<'_>,
        loaded: &Loaded,
    ) -> Option<Loaded> {
        let mut alone = self.list.section.head(self.list.column as usize);
        let head = alone.len();
        alone.push_str(text);
        let sentinel = match self.next {
            Next::Item => format!("{}- {{}}\n", " ".repeat(self.column)),
            Next::Key(column) => format!("{}{NEXT_KEY}: {{}}\n", " ".repeat(column)),
            Next::Nothing => String::new(),
        };
        let end = alone.len();
        alone.push_str(&sentinel);
        let template = Template::new(&alone, inputs.variables);
        let mut fill = Fill::new(file, &template, inputs);
        let parsed = yaml::parse_filled(template.masked(), &mut fill);
        if !parsed.issues.is_empty() || parsed.kept > 0 || fill.drawn.files().next().is_some() {
            return None;
        }
        let (entry, count) = self.without_sentinel(parsed.documents, end)?;
        let mut reader = Reader::new(api, inputs.severities, file, &alone, inputs.now);
        let nodes = loaded.items.first().and_then(|item| item.nodes.clone());
        let mut scope = Scope { nodes, ..Scope::default() };
        reader.section(&entry, false, &mut scope, &mut Vec::new(), &mut Vec::new());
        let is_sound = reader.decoder.findings.errors() == 0
            && reader.items.len() == count
            && reader.items.iter().all(|item| item.expires().is_none());
        if !is_sound || count == 0 {
            return None;
        }
        let by = Moved { from: 0, by: (self.new.start as u32).wrapping_sub(head as u32) };
        let sensitive = reader.decoder.findings.sensitive.spans();
        let mut diagnostics = reader.decoder.findings.finish();
        let first = self.items.start - self.list.items.start as usize;
        for finding in &mut diagnostics {
            finding.span?;
            by.finding(finding);
            finding.path = numbered(&finding.path, first as isize)?;
        }
        Some(Loaded {
            items: reader.items.iter().map(|item| by.item(item)).collect(),
            diagnostics,
            sensitive: sensitive.into_iter().map(|span| by.span(span)).collect(),
            drawn: fill.drawn.moved(|span| by.span(span)),
            ..Loaded::default()
        })
    }

    /// The key of the list, and how many items are in it, if they and the sentinel are all that was read.
    fn without_sentinel<'t>(&self, documents: Vec<Node<'t>>, end: usize) -> Option<(Entry<'t>, usize)> {
        let [document] = <[Node<'t>; 1]>::try_from(documents).ok()?;
        let Value::Mapping(mut entries) = document.value else { return None };
        let take_key = |entries: &mut Vec<Entry<'t>>, is_here: bool| match self.next {
            Next::Key(column) if is_here => {
                entries.pop().filter(|key| key.key_span.start as usize == end + column).map(drop)
            }
            _ => Some(()),
        };
        take_key(&mut entries, self.next == Next::Key(0))?;
        let [mut entry] = <[Entry<'t>; 1]>::try_from(entries).ok()?;
        let mut list = &mut entry.value;
        if self.list.column > 0 {
            let Value::Mapping(inner) = &mut list.value else { return None };
            take_key(inner, self.next != Next::Key(0))?;
            let [only] = &mut inner[..] else { return None };
            list = &mut only.value;
        }
        let Value::Sequence(elements) = &mut list.value else { return None };
        if self.next == Next::Item {
            elements.pop().filter(|item| item.span.start as usize == end + self.column + "- ".len())?;
        }
        let count = elements.len();
        Some((entry, count))
    }

    /// What was there before, with the stretch as it is now.
    fn put_into(&self, loaded: &Loaded, outline: &Outline, fresh: Loaded) -> Option<Loaded> {
        let (before, old) = loaded.items.split_at(self.items.start);
        let (old, after) = old.split_at(self.items.len());
        let fresh_items = taken_over(old, &fresh.items, before, after)?;
        let decoded = fresh.items.len();
        let by =
            Moved { from: self.high() as u32, by: (self.new.end as u32).wrapping_sub(self.old.end as u32) };
        let more = decoded as isize - old.len() as isize;
        let diagnostics = self.findings(loaded, fresh.diagnostics, more, by)?;
        let drawn = self.drawn(loaded, &fresh.drawn, by)?;
        let mut sensitive = Vec::with_capacity(loaded.sensitive.len() + fresh.sensitive.len());
        let mut behind = Vec::new();
        for span in &loaded.sensitive {
            match self.side(*span)? {
                Side::Before => sensitive.push(*span),
                Side::Inside => {}
                Side::Behind => behind.push(by.span(*span)),
            }
        }
        sensitive.extend(fresh.sensitive);
        sensitive.extend(behind);
        let items = before.iter().cloned().chain(fresh_items).chain(after.iter().map(|item| by.item(item)));
        let moved = |number: &mut u32| *number = number.wrapping_add(more as u32);
        let mut outline = Box::new(outline.clone());
        for list in outline.lists.iter_mut().filter(|list| list.end >= self.old.end as u32) {
            list.end = list.end.wrapping_add(by.by);
            moved(&mut list.items.end);
            if list.items.start > self.items.start as u32 {
                moved(&mut list.items.start);
            }
        }
        Some(Loaded {
            items: items.collect(),
            diagnostics,
            sensitive,
            drawn,
            is_blank: false,
            decoded,
            outline: Some(outline),
        })
    }

    /// What all of it draws on; `None` if it is not clear where.
    fn drawn(&self, loaded: &Loaded, fresh: &Drawn, by: Moved) -> Option<Drawn> {
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        for usage in &loaded.drawn.uses {
            match self.side(usage.span)? {
                Side::Before => before.push(usage.clone()),
                Side::Inside => {}
                Side::Behind => behind.push(VariableUse { span: by.span(usage.span), ..usage.clone() }),
            }
        }
        let uses = before.into_iter().chain(fresh.uses.iter().cloned()).chain(behind);
        Some(loaded.drawn.with(fresh, uses.collect()))
    }

    /// The findings of all; `None` if one of them cannot be told from what changed.
    fn findings(
        &self,
        loaded: &Loaded,
        fresh: Vec<Diagnostic>,
        more: isize,
        by: Moved,
    ) -> Option<Vec<Diagnostic>> {
        if loaded.diagnostics.len() + fresh.len() > MAX_FINDINGS {
            return None;
        }
        let mut all = Vec::with_capacity(loaded.diagnostics.len() + fresh.len());
        let mut behind = Vec::new();
        for finding in &loaded.diagnostics {
            let side = self.side(finding.span?)?;
            for related in &finding.related {
                let there = self.side(related.span)?;
                if (there == Side::Inside) != (side == Side::Inside) {
                    return None;
                }
            }
            // With anchors, what stands in one place may be said of another.
            let number = self.list.section.number_in(&finding.path);
            if number.is_some_and(|number| self.side_of(number) != side) {
                return None;
            }
            if side == Side::Inside {
                continue;
            }
            let mut finding = finding.clone();
            by.finding(&mut finding);
            if number.is_some() && side == Side::Behind {
                finding.path = numbered(&finding.path, more)?;
            }
            if side == Side::Before { all.push(finding) } else { behind.push(finding) }
        }
        all.extend(fresh);
        all.extend(behind);
        Some(all)
    }

    /// Up to where what is before the stretch may reach: a block of text goes on to the next sign.
    fn low(&self) -> usize {
        self.old.start + self.column
    }

    /// The same of the stretch, in the text of before.
    fn high(&self) -> usize {
        match self.next {
            Next::Item => self.old.end + self.column,
            Next::Key(column) => self.old.end + column,
            Next::Nothing => self.old.end,
        }
    }

    /// Where an item of the list stood, by its number there.
    fn side_of(&self, number: usize) -> Side {
        let number = number + self.list.items.start as usize;
        match () {
            () if number < self.items.start => Side::Before,
            () if number < self.items.end => Side::Inside,
            () => Side::Behind,
        }
    }

    /// Where something stood; `None` if that is not clear.
    fn side(&self, span: Span) -> Option<Side> {
        let (start, end, low, high) = (span.start as usize, span.end as usize, self.low(), self.high());
        match () {
            () if end <= low => Some(Side::Before),
            () if start >= high && end > high => Some(Side::Behind),
            () if start >= low && end <= high => Some(Side::Inside),
            () => None,
        }
    }
}

/// Where something is, seen from a stretch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    Inside,
    Behind,
}

/// The items of a stretch, those that are as they were as the same values; `None` if a name that is new there
/// stands somewhere else.
fn taken_over(old: &[Item], fresh: &[Item], before: &[Item], after: &[Item]) -> Option<Vec<Item>> {
    let key = |item: &Item| -> (Kind, Name) { (item.resource.kind(), item.resource.name().clone()) };
    let known: HashMap<(Kind, Name), &Item> = old.iter().map(|item| (key(item), item)).collect();
    let new: HashSet<(Kind, Name)> = fresh.iter().map(key).filter(|key| !known.contains_key(key)).collect();
    if !new.is_empty() && before.iter().chain(after).any(|item| new.contains(&key(item))) {
        return None;
    }
    let take = |item: &Item| {
        let mut item = item.clone();
        let is_same = |was: &&&Item| was.resource == item.resource && was.facts == item.facts;
        if let Some(was) = known.get(&key(&item)).filter(is_same) {
            item.resource = was.resource.clone();
            item.facts = was.facts.clone();
        }
        item
    };
    Some(fresh.iter().map(take).collect())
}

/// Where the line of an item begins and the column of its dash, if dash and item stand in one line.
fn dash(text: &[u8], item: &Item) -> Option<(usize, usize)> {
    let at = item.span.start as usize;
    let line = memchr::memrchr(b'\n', text.get(..at)?).map_or(0, |newline| newline + 1);
    let column = text[line..at].iter().position(|byte| *byte != b' ')?;
    let is_item = text[line + column..at].strip_prefix(b"- ")?.iter().all(|byte| *byte == b' ');
    is_item.then_some((line, column))
}

/// How many bytes two texts have alike at their beginnings.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let blocks = a.chunks(BLOCK).zip(b.chunks(BLOCK)).take_while(|(a, b)| a == b).map(|(a, _)| a.len());
    let same: usize = blocks.sum();
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}

/// The same at their ends.
fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let blocks = a.rchunks(BLOCK).zip(b.rchunks(BLOCK)).take_while(|(a, b)| a == b).map(|(a, _)| a.len());
    let same: usize = blocks.sum();
    let (a, b) = (&a[..a.len() - same], &b[..b.len() - same]);
    same + a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

/// How much is compared at once.
const BLOCK: usize = 4_096;
