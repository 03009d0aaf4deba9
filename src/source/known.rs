//! What is known of the disk, and the value that follows from it.
//!
//! In goes what is believed of each place, out comes the present [`Sources`] and the set of names
//! that may have changed. Owns the overlay of directories and the index that tells which places
//! depend on a name in a directory. Invariant: the value follows from what is believed alone, and
//! each index from the table that it belongs to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::disk::{FileId, Spot};
use super::judge::{Pass, Trust};
use super::scan::{self, Arm, Seen, SeenDir, Unarmed, Walk};
use super::settle::Settle;
use super::{Content, DirState, Directory, Options, ReadProblem, SourceFile, Sources};

/// Where a walk begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Root {
    /// The directory with this number.
    Layer(usize),
    /// A further file.
    Extra(Arc<Path>),
}

/// A name below a root; `""` is the root itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) root: Root,
    pub(super) rel: Arc<str>,
}

impl Place {
    pub(super) fn root(root: Root) -> Place {
        Place { root, rel: Arc::from("") }
    }

    pub(super) fn below(&self, name: &str) -> Place {
        Place { root: self.root.clone(), rel: scan::join(&self.rel, name) }
    }

    /// The directory that it stands in, and its name there.
    fn split(&self) -> Option<(Place, &str)> {
        let (dir, name) = match self.rel.rsplit_once('/') {
            Some(split) => split,
            None if self.rel.is_empty() => return None,
            None => ("", &*self.rel),
        };
        Some((Place { root: self.root.clone(), rel: Arc::from(dir) }, name))
    }

    pub(super) fn is_within(&self, dir: &str) -> bool {
        dir.is_empty() || self.rel.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// The place and everything below it.
pub(super) fn subtree<V>(map: &BTreeMap<Place, V>, top: &Place) -> Vec<Place> {
    if top.rel.is_empty() {
        return map
            .range(top..)
            .map(|(place, _)| place)
            .take_while(|p| p.root == top.root)
            .cloned()
            .collect();
    }
    let below = Place { root: top.root.clone(), rel: Arc::from(format!("{}/", top.rel)) };
    let inner = map.range(&below..).map(|(place, _)| place);
    let inner = inner.take_while(|place| place.root == top.root && place.is_within(&top.rel));
    map.get_key_value(top).map(|(place, _)| place).into_iter().chain(inner).cloned().collect()
}

/// What was last read at a place.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) seen: Seen,
    /// The stamp cannot be relied on: the next look reads again.
    pub(super) racy: bool,
    /// `None` for a mask.
    pub(super) content: Option<Content>,
}

/// A directory as it was given.
#[derive(Debug)]
struct Layer {
    given: Arc<str>,
    path: PathBuf,
    observed: DirState,
}

/// Everything that is known.
#[derive(Debug, Default)]
pub(super) struct Table {
    layers: Vec<Layer>,
    extras: BTreeSet<Arc<Path>>,
    pub(super) max_file_bytes: u64,
    pub(super) known: BTreeMap<Place, Known>,
    pub(super) dirs: BTreeMap<Place, SeenDir>,
    pub(super) spots: BTreeMap<Place, Vec<Spot>>,
    dirs_by_path: BTreeSet<(PathBuf, Place)>,
    /// Each file that was read and its places: several if it has hard links.
    by_file: BTreeSet<(FileId, Place)>,
    spots_by_dir: HashMap<PathBuf, HashMap<OsString, BTreeSet<Place>>>,
    sources: Sources,
    /// Names whose content was altered since they were taken out.
    pub(super) altered: BTreeSet<Arc<str>>,
    /// The same for further files.
    pub(super) altered_extra: BTreeSet<Arc<Path>>,
    /// How many places were looked at, and how many files read.
    pub(super) looked_at: u64,
    pub(super) files_read: u64,
}

/// See [`super::read_once`].
pub(super) fn read_once(options: &Options, extra: &[PathBuf]) -> Sources {
    let now = Instant::now();
    let mut table = Table::new(options);
    let mut settle = Settle::new(options.settle, options.settle_limit, now);
    table.set_extras(extra.iter().map(|path| absolute(path)), &mut settle);
    for root in table.roots() {
        table.look(&root, Trust::Forced, &mut Unarmed, &mut settle, now);
    }
    table.present(&settle)
}

/// The path from the root of the file system; of a path that has none (empty), itself.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

impl Table {
    pub(super) fn new(options: &Options) -> Table {
        let layers = options.dirs.iter().map(|dir| Layer {
            given: Arc::from(dir.to_string_lossy()),
            path: absolute(dir),
            observed: DirState::Missing,
        });
        Table { layers: layers.collect(), max_file_bytes: options.max_file_bytes, ..Table::default() }
    }

    /// Where to begin, to look at everything.
    pub(super) fn roots(&self) -> Vec<Place> {
        let layers = (0..self.layers.len()).map(Root::Layer);
        layers.chain(self.extras.iter().cloned().map(Root::Extra)).map(Place::root).collect()
    }

    /// Directories whose path leads elsewhere than when they were walked.
    pub(super) fn replaced_layers(&self) -> Vec<Place> {
        let places = (0..self.layers.len()).map(|layer| Place::root(Root::Layer(layer)));
        places.filter(|place| self.is_replaced(place)).collect()
    }

    fn is_replaced(&self, place: &Place) -> bool {
        let Root::Layer(layer) = place.root else { return false };
        let id = std::fs::metadata(&self.layers[layer].path).ok().filter(std::fs::Metadata::is_dir);
        id.map(|meta| FileId::of(&meta)) != self.dirs.get(place).map(|dir| dir.id)
    }

    /// From now on, these are the further files. Returns those that are new.
    pub(super) fn set_extras(
        &mut self,
        paths: impl IntoIterator<Item = PathBuf>,
        settle: &mut Settle,
    ) -> Vec<Place> {
        let extras: BTreeSet<Arc<Path>> = paths.into_iter().map(Arc::from).collect();
        let old = std::mem::replace(&mut self.extras, extras);
        for gone in old.difference(&self.extras).cloned().collect::<Vec<_>>() {
            let place = Place::root(Root::Extra(gone.clone()));
            settle.forget(&place);
            self.set_known(&place, None);
            self.set_spots(&place, Vec::new());
            self.sources.extra.remove(&gone);
            self.altered_extra.insert(gone);
        }
        let new = self.extras.difference(&old).cloned();
        new.map(|path| Place::root(Root::Extra(path))).collect()
    }

    /// Every directory in which a name matters, and every file with several names.
    pub(super) fn watched_paths(&self, settle: &Settle) -> BTreeSet<PathBuf> {
        let walked = self.dirs_by_path.iter().map(|(dir, _)| dir);
        let dirs = walked.chain(self.spots_by_dir.keys()).map(PathBuf::as_path);
        let known = self.known.values().filter_map(|known| known.seen.hard_linked());
        let waiting = settle.waiting().values().filter_map(|waiting| waiting.seen.as_ref()?.hard_linked());
        dirs.chain(known).chain(waiting).map(Path::to_path_buf).collect()
    }

    /// The places at which this directory was walked.
    pub(super) fn places_of_dir(&self, dir: &Path) -> impl Iterator<Item = &Place> {
        places_of(&self.dirs_by_path, dir.to_path_buf())
    }

    /// The places that lead through this name, or through any in the directory.
    pub(super) fn places_through(&self, dir: &Path, name: Option<&OsStr>) -> Vec<Place> {
        let Some(names) = self.spots_by_dir.get(dir) else { return Vec::new() };
        match name {
            Some(name) => names.get(name).into_iter().flatten().cloned().collect(),
            None => names.values().flatten().cloned().collect(),
        }
    }

    /// The directories as they are to be shown: one that has just vanished is not shown as missing
    /// before its files are believed to have.
    fn directories(&self, settle: &Settle) -> Arc<[Directory]> {
        let waits = |layer: usize| {
            let root = Place::root(Root::Layer(layer));
            settle.waiting().range(&root..).next().is_some_and(|(place, _)| place.root == root.root)
        };
        let directory = |(number, layer): (usize, &Layer)| {
            let shown = self.sources.dirs.get(number).map(|dir| dir.state.clone());
            let state = match shown {
                Some(shown) if layer.observed == DirState::Missing && waits(number) => shown,
                _ => layer.observed.clone(),
            };
            Directory { path: layer.given.clone(), state }
        };
        self.layers.iter().enumerate().map(directory).collect()
    }

    /// Takes no more room than it needs, after all was looked at for the first time and in order: a tree that
    /// grows at its end leaves its nodes half full behind.
    pub(super) fn pack(&mut self) {
        self.known = std::mem::take(&mut self.known).into_iter().collect();
        self.by_file = std::mem::take(&mut self.by_file).into_iter().collect();
    }

    /// The value that follows from all that is believed.
    pub(super) fn present(&mut self, settle: &Settle) -> Sources {
        let dirs = self.directories(settle);
        if dirs != self.sources.dirs {
            self.sources.dirs = dirs;
        }
        self.sources.clone()
    }

    /// Looks at a place and below it, and at the other places of files that have changed there.
    pub(super) fn look(
        &mut self,
        place: &Place,
        trust: Trust<'_>,
        arm: &mut dyn Arm,
        settle: &mut Settle,
        now: Instant,
    ) {
        for other in self.look_at(place, trust, arm, settle, now) {
            let trust = if matches!(trust, Trust::Forced) { trust } else { Trust::Settle { written: true } };
            self.look_at(&other, trust, arm, settle, now);
        }
    }

    fn look_at(
        &mut self,
        place: &Place,
        trust: Trust<'_>,
        arm: &mut dyn Arm,
        settle: &mut Settle,
        now: Instant,
    ) -> BTreeSet<Place> {
        let place = self.anchor(place, settle);
        let walk = Walk::new(arm);
        let found = match (&place.root, place.split()) {
            (Root::Extra(path), _) => walk.named_file(path),
            (Root::Layer(layer), None) => walk.root(&self.layers[*layer].path),
            (Root::Layer(_), Some((dir, name))) => {
                let Some(parent) = self.dirs.get(&dir) else { return BTreeSet::new() };
                walk.below(&dir.rel, &parent.path.clone(), name, &mut self.above(&dir))
            }
        };
        if let (Root::Layer(layer), Some(state)) = (&place.root, &found.root) {
            self.layers[*layer].observed = state.clone();
        }
        Pass { table: self, trust, settle, now, others: BTreeSet::new() }.compare(&place, found)
    }

    /// The place itself if its directory was walked, else the lowest place above it of which that
    /// is true. A name that is not UTF-8 has no place that could be looked at alone.
    fn anchor(&self, place: &Place, settle: &Settle) -> Place {
        let unnameable = Seen::Problem(ReadProblem::NameNotUtf8);
        let known = self.known.get(place).is_some_and(|known| known.seen == unnameable);
        let waits =
            settle.waiting().get(place).is_some_and(|waiting| waiting.seen.as_ref() == Some(&unnameable));
        let mut at = place.clone();
        if let (true, Some((dir, _))) = (known || waits, place.split()) {
            at = dir;
        }
        while let Some((dir, _)) = at.split() {
            if self.dirs.contains_key(&dir) {
                break;
            }
            at = dir;
        }
        at
    }

    /// The directories from the root down to this one.
    fn above(&self, dir: &Place) -> Vec<FileId> {
        let mut ids = Vec::new();
        let mut at = Some(dir.clone());
        while let Some(place) = at {
            ids.extend(self.dirs.get(&place).map(|dir| dir.id));
            at = place.split().map(|(dir, _)| dir);
        }
        ids.reverse();
        ids
    }

    pub(super) fn set_known(&mut self, place: &Place, known: Option<Known>) {
        let id = known.as_ref().and_then(|known| known.seen.id());
        let old = match known {
            Some(known) => self.known.insert(place.clone(), known),
            None => self.known.remove(place),
        };
        reindex(&mut self.by_file, place, old.and_then(|old| old.seen.id()), id);
    }

    /// The places of a file.
    pub(super) fn places_of_file(&self, id: FileId) -> impl Iterator<Item = &Place> {
        places_of(&self.by_file, id)
    }

    pub(super) fn set_dir(&mut self, place: &Place, dir: Option<SeenDir>) {
        let path = dir.as_ref().map(|dir| dir.path.clone());
        let old = match dir {
            Some(dir) => self.dirs.insert(place.clone(), dir),
            None => self.dirs.remove(place),
        };
        reindex(&mut self.dirs_by_path, place, old.map(|dir| dir.path), path);
    }

    pub(super) fn set_spots(&mut self, place: &Place, spots: Vec<Spot>) {
        if self.spots.get(place).map_or(&[][..], Vec::as_slice) == spots {
            return;
        }
        for old in self.spots.remove(place).into_iter().flatten() {
            let Some(names) = self.spots_by_dir.get_mut(&old.dir) else { continue };
            if let Some(places) = names.get_mut(&old.name) {
                places.remove(place);
                if places.is_empty() {
                    names.remove(&old.name);
                }
            }
            if names.is_empty() {
                self.spots_by_dir.remove(&old.dir);
            }
        }
        for spot in &spots {
            let names = self.spots_by_dir.entry(spot.dir.clone()).or_default();
            names.entry(spot.name.clone()).or_default().insert(place.clone());
        }
        if !spots.is_empty() {
            self.spots.insert(place.clone(), spots);
        }
    }

    /// What is known of a place has changed: what follows for the value?
    pub(super) fn update(&mut self, place: &Place) {
        let layer = match &place.root {
            Root::Layer(layer) => *layer,
            Root::Extra(path) => {
                if let Some(content) = self.known.get(place).and_then(|known| known.content.clone()) {
                    self.sources.extra.insert(path.clone(), content);
                } else {
                    self.sources.extra.remove(path);
                }
                self.altered_extra.insert(path.clone());
                return;
            }
        };
        let key = if place.rel.is_empty() { &self.layers[layer].given } else { &place.rel };
        let file = (0..self.layers.len()).rev().find_map(|layer| self.in_layer(layer, key)).flatten();
        match file {
            Some(file) => self.sources.files.insert(key.clone(), file),
            None => self.sources.files.remove(key),
        };
        self.altered.insert(key.clone());
    }

    /// What a directory says of a name: nothing, that it is masked, or this file.
    fn in_layer(&self, layer: usize, key: &Arc<str>) -> Option<Option<SourceFile>> {
        let given = &self.layers[layer].given;
        let at = |rel: Arc<str>| self.known.get(&Place { root: Root::Layer(layer), rel });
        if key == given
            && let Some(known) = at(Arc::from(""))
        {
            return Some(known.content.clone().map(|content| SourceFile { path: given.clone(), content }));
        }
        let known = at(key.clone())?;
        let path = || Arc::from(format!("{}/{key}", given.trim_end_matches('/')));
        Some(known.content.clone().map(|content| SourceFile { path: path(), content }))
    }
}

/// In a table of places by something else, this place stands at another key from now on.
fn reindex<K: Ord>(table: &mut BTreeSet<(K, Place)>, place: &Place, old: Option<K>, new: Option<K>) {
    if old == new {
        return;
    }
    if let Some(old) = old {
        table.remove(&(old, place.clone()));
    }
    table.extend(new.map(|new| (new, place.clone())));
}

/// The places under a key, in order.
fn places_of<K: Ord + Clone>(table: &BTreeSet<(K, Place)>, key: K) -> impl Iterator<Item = &Place> {
    let first = (key.clone(), Place::root(Root::Layer(0)));
    table.range(first..).take_while(move |(other, _)| *other == key).map(|(_, place)| place)
}
