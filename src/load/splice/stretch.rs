//! Which stretch of a text holds all that changed, and what is before, inside and behind it.
//!
//! Comes in: two texts, and what stood where in the first. Goes out: a [`Stretch`] of whole items of one list, or
//! nothing where the change is not within one. Keeps the invariant that it begins where an item begins and began.

use std::ops::Range;

use crate::diagnostic::Span;
use crate::load::outline::{List, Outline};
use crate::load::{Item, Loaded};

/// A stretch of whole items of a list, with all that changed.
pub(super) struct Stretch<'o> {
    pub list: &'o List,
    /// The items that stood there, among all of the file.
    pub items: Range<usize>,
    /// Where it is in the text of before, and in that of now: whole lines, in JSON from the first item to the last.
    pub old: Range<usize>,
    pub new: Range<usize>,
    /// The column of its dashes; 0 in JSON.
    pub column: usize,
    pub next: Next,
}

/// What follows a stretch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Item,
    /// A key in this column.
    Key(usize),
    Nothing,
    /// In JSON: `,` or `]`.
    Bracket,
}

impl<'o> Stretch<'o> {
    /// The stretch in which two texts differ.
    pub fn between(before: &[u8], now: &[u8], loaded: &Loaded, outline: &'o Outline) -> Option<Stretch<'o>> {
        let same = common_prefix(before, now);
        let changed_to = before.len() - common_suffix(&before[same..], &now[same..]);
        let items = &loaded.items;
        let first = items.partition_point(|item| item.span.start as usize <= same).checked_sub(1)?;
        let is_in = |list: &&List| (list.items.start as usize..list.items.end as usize).contains(&first);
        let list = outline.lists.iter().find(is_in)?;
        if outline.is_json {
            return Stretch::in_json(before, now, items, list, first, changed_to);
        }
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

    /// The same in JSON, where a reader knows of what was before an item only how deep it is.
    fn in_json(
        before: &[u8],
        now: &[u8],
        items: &[Item],
        list: &'o List,
        first: usize,
        changed_to: usize,
    ) -> Option<Stretch<'o>> {
        let listed = &items[first..list.items.end as usize];
        let last = listed.partition_point(|item| (item.span.end as usize) < changed_to);
        let (start, end) = (listed[0].span.start as usize, listed.get(last)?.span.end as usize);
        let new_end = (now.len() + end).checked_sub(before.len())?;
        let is_object =
            |text: Option<&[u8]>| text.is_some_and(|text| text.starts_with(b"{") && text.ends_with(b"}"));
        (is_object(before.get(start..end)) && is_object(now.get(start..new_end))).then_some(Stretch {
            list,
            items: first..first + last + 1,
            old: start..end,
            new: start..new_end,
            column: 0,
            next: Next::Bracket,
        })
    }

    /// Up to where what is before the stretch may reach: a block of text goes on to the next sign.
    fn low(&self) -> usize {
        self.old.start + self.column
    }

    /// The same of the stretch, in the text of before.
    pub fn high(&self) -> usize {
        match self.next {
            Next::Item => self.old.end + self.column,
            Next::Key(column) => self.old.end + column,
            Next::Nothing | Next::Bracket => self.old.end,
        }
    }

    /// Where an item of the list stood, by its number there.
    pub fn side_of(&self, number: usize) -> Side {
        let number = number + self.list.items.start as usize;
        match () {
            () if number < self.items.start => Side::Before,
            () if number < self.items.end => Side::Inside,
            () => Side::Behind,
        }
    }

    /// Where something stood; `None` if that is not clear.
    pub fn side(&self, span: Span) -> Option<Side> {
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
pub(super) enum Side {
    Before,
    Inside,
    Behind,
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
