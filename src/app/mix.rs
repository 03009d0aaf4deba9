//! The good content of all files together, as it would be served: tried before anything is served.
//!
//! Comes in: what is served, and the files that differ. Goes out: what would be served and where,
//! the names that differ, and the edits from the one to the other. The cost is that of the change.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use imbl::OrdMap;

use super::look::{FileName, Look};
use crate::diagnostic::{Diagnostic, Position, Span};
use crate::load::{self, Catalog, Item, Key, LooseEnds};
use crate::resource::{Kind, Name, packed_map};
use crate::snapshot::Edit;

/// Where served resources stand, for those who report on them. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Places {
    pub(super) catalog: Catalog,
    served: OrdMap<Arc<str>, Arc<Look>>,
    loose: LooseEnds,
}

impl Places {
    /// `file:line` of each place where this resource is defined.
    pub fn of(&self, kind: Kind, name: &Name) -> Vec<String> {
        let line = |home: &load::Home| {
            let text = self.served.get(&home.file).and_then(|look| look.text()).unwrap_or_default();
            format!("{}:{}", home.file, Position::of(&text, self.catalog.name_span(home).start).line)
        };
        self.catalog.homes(kind, name).iter().map(line).collect()
    }

    /// What is served although nothing defines what it names, or nothing uses it.
    pub fn loose_ends(&self, external: &BTreeSet<Name>) -> Vec<Diagnostic> {
        self.loose.findings(&self.catalog, external)
    }

    /// How many items of that there are.
    pub fn loose_items(&self) -> usize {
        self.loose.count()
    }

    /// Completes findings across files: each with the path to its place, and all with
    /// the texts that they point into. A place in a content that its file has no more is left out.
    pub fn place(
        &self,
        findings: &mut [Diagnostic],
        is_newest: impl Fn(&Arc<Look>) -> bool,
        looks: &mut Vec<Arc<Look>>,
    ) {
        let newest = |file: &Arc<str>| {
            let look = self.served.get(file)?;
            Some((look, is_newest(look)))
        };
        let mut spans: BTreeMap<Arc<str>, BTreeSet<Span>> = BTreeMap::new();
        for finding in &mut *findings {
            if let Some((_, false)) = newest(&finding.file) {
                finding.span = None;
            }
            finding.related.retain(|related| !matches!(newest(&related.file), Some((_, false))));
            spans.entry(finding.file.clone()).or_default().extend(finding.span);
            for related in &finding.related {
                spans.entry(related.file.clone()).or_default();
            }
        }
        let mut paths: HashMap<(Arc<str>, Span), String> = HashMap::new();
        let known: HashSet<FileName> = looks.iter().map(|look| look.name.clone()).collect();
        for (file, spans) in spans {
            let Some((look, true)) = newest(&file) else { continue };
            if !known.contains(&look.name) {
                looks.push(look.clone());
            }
            let found = load::paths_at(&look.text().unwrap_or_default(), spans);
            paths.extend(found.into_iter().map(|(span, path)| ((file.clone(), span), path)));
        }
        for finding in findings {
            let place = finding.span.map(|span| (finding.file.clone(), span));
            if let Some(path) = place.and_then(|place| paths.get(&place)) {
                finding.path.clone_from(path);
            }
        }
    }
}

/// What is served of a file, and what would be.
type FromTo = (Option<Arc<Look>>, Option<Arc<Look>>);

/// The good content of all files together.
pub(super) struct Mix {
    /// What would be served.
    pub places: Places,
    /// Names that differ from what is served.
    pub touched: BTreeSet<Key>,
    /// The files that differ.
    looks: Vec<FromTo>,
}

impl Mix {
    /// What is served, with these files from `served` to `good`.
    pub fn new<'n>(
        places: &Places,
        files: impl IntoIterator<Item = &'n FileName>,
        served: &OrdMap<FileName, Arc<Look>>,
        good: &OrdMap<FileName, Arc<Look>>,
    ) -> Mix {
        let mut mix = Mix { places: places.clone(), touched: BTreeSet::new(), looks: Vec::new() };
        let Places { catalog, served: paths, .. } = &mut mix.places;
        for name in files {
            let (old, new) = (served.get(name), good.get(name));
            let is_moved = old.zip(new).is_some_and(|(old, new)| old.path != new.path);
            let both = (old.map(|old| &old.loaded), new.map(|new| &new.loaded));
            if let Some(old) = old {
                paths.remove(&old.path);
                let new = both.1.filter(|_| !is_moved);
                mix.touched.extend(catalog.replace(&old.path, both.0, new));
            }
            if let Some(new) = new {
                paths.insert(new.path.clone(), new.clone());
                if old.is_none() || is_moved {
                    mix.touched.extend(catalog.replace(&new.path, None, both.1));
                }
            }
            mix.looks.push((old.cloned(), new.cloned()));
        }
        if served.is_empty() {
            mix.places.catalog.pack();
            mix.places.served = packed_map(&mix.places.served);
        }
        mix
    }

    /// The places, once the mix is served after what stood at these.
    pub fn after(self, before: &Places, external: &BTreeSet<Name>) -> Places {
        let mut places = self.places;
        places.loose.follow(&before.catalog, &places.catalog, &self.touched, external);
        places
    }

    /// From what is served to what is good, in the files where they differ. They are made one by one: at a
    /// start, all together would be as many as there are resources.
    pub fn edits(&self) -> impl Iterator<Item = Edit> {
        let differing = self.looks.iter().map(|(old, new)| {
            let (old, new) = (items(old.as_ref()), items(new.as_ref()));
            let (before, now) = load::differing(old, new);
            (&old[before], &new[now])
        });
        let changed: HashSet<&Arc<str>> =
            self.looks.iter().filter_map(|(_, new)| Some(&new.as_ref()?.path)).collect();
        let is_kept = move |item: &Item| {
            let homes = self.places.catalog.homes(item.resource.kind(), item.resource.name());
            homes.iter().any(|home| home.nodes == item.nodes && changed.contains(&home.file))
        };
        let gone = differing.clone().flat_map(|(gone, _)| gone).filter(move |item| !is_kept(item));
        let removals = gone
            .map(|item| Edit::Remove(item.nodes.clone(), item.resource.kind(), item.resource.name().clone()));
        let puts = differing.flat_map(|(_, come)| come);
        removals.chain(puts.map(|item| Edit::Put(item.nodes.clone(), item.resource.clone())))
    }
}

fn items(look: Option<&Arc<Look>>) -> &[Item] {
    look.map_or(&[], |look| &look.loaded.items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::look::load_changed;
    use crate::envoy_api::Api;
    use crate::load::{Inputs, Severities, Variables};
    use crate::source::SourceFile;

    /// A table of one file with these clusters.
    fn table(
        api: &Api,
        clusters: &[String],
        before: &OrdMap<FileName, Arc<Look>>,
    ) -> OrdMap<FileName, Arc<Look>> {
        let list: String = clusters.iter().map(|name| format!("- name: {name}\n  type: STATIC\n")).collect();
        let content = Ok(format!("clusters:\n{list}endpoints:\n- cluster_name: x\n").into());
        let file = SourceFile { path: "d/a.yaml".into(), content };
        let (variables, severities) = (Variables::default(), Severities::default());
        let inputs = Inputs { variables: &variables, files: &|_| None, now: None, severities: &severities };
        let name: FileName = "a.yaml".into();
        let looks = load_changed(api, &inputs, &[(&name, &file)], |name| before.get(name));
        assert!(looks.iter().all(|look| !look.has_errors()));
        looks.into_iter().map(|look| (look.name.clone(), look)).collect()
    }

    #[test]
    fn of_a_file_only_what_changed_in_it_is_touched_and_edited() {
        let api = Api::embedded().expect("the shipped set is whole");
        let names = |count: usize| (0..count).map(|at| format!("c{at}")).collect::<Vec<_>>();
        for count in [10, 500] {
            let clusters = names(count);
            let served = table(&api, &clusters, &OrdMap::new());
            let file: FileName = "a.yaml".into();
            let start = Mix::new(&Places::default(), [&file], &OrdMap::new(), &served);
            assert_eq!((start.touched.len(), start.edits().count()), (count + 1, count + 1));
            let mut edits = vec![(clusters.clone(), 0); 4];
            edits[0] = ([&["new".to_owned()], &clusters[..]].concat(), 1);
            edits[1] = ([&clusters[..5], &clusters[6..]].concat(), 1);
            edits[2].0[count - 1] = "renamed".to_owned();
            edits[2].1 = 2;
            for (clusters, expected) in edits {
                let good = table(&api, &clusters, &served);
                let mix = Mix::new(&start.places, [&file], &served, &good);
                assert_eq!((mix.touched.len(), mix.edits().count()), (expected, expected));
                assert_eq!(mix.places.catalog.len(), clusters.len() + 1);
            }
        }
    }
}
