//! A stretch, read alone: under the keys of its list, with something behind it that stands for what follows.
//!
//! Comes in: the text of the stretch. Goes out: what it gives, with its places in the whole text, or nothing where
//! it does not end as the stretch that was there did.

use std::sync::Arc;

use super::stretch::{Next, Stretch};
use crate::envoy_api::Api;
use crate::load::Loaded;
use crate::load::fill::Fill;
use crate::load::fragment::{Reader, Scope};
use crate::load::inputs::Inputs;
use crate::load::moved::{Moved, numbered};
use crate::load::outline::Section;
use crate::load::substitute::Template;
use crate::load::yaml::{self, Entry, Node, Value};

/// To stand for whatever key follows; it is never read.
const NEXT_KEY: &str = "next";

impl Stretch<'_> {
    /// Reads the stretch as it is now.
    pub fn read(
        &self,
        api: &Api,
        file: &Arc<str>,
        text: &str,
        inputs: &Inputs<'_>,
        loaded: &Loaded,
    ) -> Option<Loaded> {
        let (mut alone, behind) = self.around();
        let head = alone.len();
        alone.push_str(text);
        let end = alone.len();
        alone.push_str(&behind);
        let template = Template::new(&alone, inputs.variables);
        let mut fill = Fill::new(file, &template, inputs);
        let parsed = yaml::parse_filled(template.masked(), &mut fill);
        if !parsed.issues.is_empty() || parsed.kept > 0 || fill.drawn.files().next().is_some() {
            return None;
        }
        let (entry, count) = self.as_it_ended(parsed.documents, end)?;
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

    /// What stands before the stretch when it is read alone, and what behind.
    fn around(&self) -> (String, String) {
        let section = self.list.section;
        let behind = match self.next {
            Next::Item => format!("{}- {{}}\n", " ".repeat(self.column)),
            Next::Key(column) => format!("{}{NEXT_KEY}: {{}}\n", " ".repeat(column)),
            Next::Nothing => String::new(),
            Next::Bracket => return section.in_json(),
        };
        (section.head(self.list.column as usize), behind)
    }

    /// The key of the list, and how many items are in it, if they are all that was read and what stands behind
    /// them was come to as such.
    fn as_it_ended<'t>(&self, documents: Vec<Node<'t>>, end: usize) -> Option<(Entry<'t>, usize)> {
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
        if matches!(self.list.section, Section::Static(_)) {
            let Value::Mapping(inner) = &mut list.value else { return None };
            take_key(inner, self.next != Next::Key(0))?;
            let [only] = &mut inner[..] else { return None };
            list = &mut only.value;
        }
        let Value::Sequence(elements) = &mut list.value else { return None };
        if self.next == Next::Item {
            elements.pop().filter(|item| item.span.start as usize == end + self.column + "- ".len())?;
        }
        if self.next == Next::Bracket {
            elements.last().filter(|last| last.span.end as usize == end)?;
        }
        let count = elements.len();
        Some((entry, count))
    }
}
