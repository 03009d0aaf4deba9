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
//! come to what really follows in the same state, and read all that is behind as it did. In JSON it knows only how
//! deep it is: there a stretch goes from where an object begins to where one ends.

mod alone;
mod stretch;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use memchr::{memchr, memchr2, memchr3, memmem, memrchr2};

use self::stretch::{Side, Stretch};
use super::findings::MAX_FINDINGS;
use super::inputs::{Drawn, Inputs, VariableUse};
use super::moved::{Moved, numbered};
use super::outline::Outline;
use super::substitute::MAX_INSERTED;
use super::{Item, Loaded};
use crate::diagnostic::Diagnostic;
use crate::envoy_api::Api;
use crate::resource::{Kind, Name};

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
    if outline.is_json && inputs.variables.touches_any() {
        let parts = [(before, &stretch.old), (text.as_bytes(), &stretch.new)];
        if parts.into_iter().any(|(text, part)| may_reach_across(text, part)) {
            return None;
        }
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

/// Whether a reference may begin before this part of a text and end in it, or begin in it and end behind: each
/// stands on one line.
fn may_reach_across(text: &[u8], part: &Range<usize>) -> bool {
    let line_of =
        |at: usize, from: usize| memrchr2(b'\n', b'\r', &text[from..at]).map_or(from, |end| from + end);
    let (first, last) = (line_of(part.start, 0), line_of(part.end, part.start));
    has_reference(&text[first..part.start]) || has_reference(&text[last..part.end])
}

fn has_reference(text: &[u8]) -> bool {
    memmem::find(text, b"${").is_some()
}

impl Stretch<'_> {
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
