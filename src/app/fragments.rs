//! The fragments as they are served: what each file holds now, and what it last held that was good.
//!
//! New sources come in, at most one snapshot comes out. Keeps the promise of containment: a file
//! that does not load keeps its own last good content and the others go on; a mix that would
//! contradict itself is not served at all, and the previous snapshot stays. Only what changed is
//! loaded, compared and built.

use std::collections::{BTreeSet, HashSet};
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use imbl::OrdMap;

use crate::diagnostic::{Diagnostic, Position, Severity};
use crate::envoy_api::Api;
use crate::load::{self, Catalog, Loaded};
use crate::resource::{Kind, Name};
use crate::snapshot::{Audience, Builder, Edit, Snapshot};
use crate::source::{SourceFile, Sources};

/// The name of a fragment within its configuration directory.
type FileName = Arc<str>;

/// One look at a file.
#[derive(Debug)]
pub struct Look {
    /// The path as people name it.
    pub path: Arc<str>,
    /// Its bytes; empty when it could not be read.
    pub text: Bytes,
    /// What is in it.
    pub loaded: Loaded,
}

impl Look {
    fn has_errors(&self) -> bool {
        self.loaded.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// The text, as far as it is one.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.text).ok()
    }
}

/// Where served resources stand, for those who report on them. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Places {
    catalog: Catalog,
    served: OrdMap<Arc<str>, Arc<Look>>,
}

impl Places {
    /// `file:line` of each place where this resource is defined.
    pub fn of(&self, kind: Kind, name: &Name) -> Vec<String> {
        let line = |home: &load::Home| {
            let text = self.served.get(&home.file).and_then(|look| look.text()).unwrap_or_default();
            format!("{}:{}", home.file, Position::of(text, home.name_span.start).line)
        };
        self.catalog.homes(kind, name).iter().map(line).collect()
    }
}

/// What came of a look at the sources.
#[derive(Debug)]
pub struct Outcome {
    /// What became of the snapshot.
    pub verdict: Verdict,
    /// Findings of the files that changed, and of how files fit together; by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that the findings point into.
    pub looks: Vec<Arc<Look>>,
    /// Files read and loaded for it.
    pub files_loaded: usize,
    /// Time from the sources to this outcome.
    pub took: Duration,
}

/// What became of the snapshot.
#[derive(Debug)]
pub enum Verdict {
    /// This is to be served from now on.
    Publish(Snapshot),
    /// Nothing that is served has changed.
    Unchanged,
    /// The change is held back, since files contradict each other; what was served goes on being served.
    Held,
    /// Nothing was ever served, and nothing can be yet: for the findings, a start with a part only
    /// would take away from running Envoys what is missing in it.
    NotYet,
    /// Nothing was ever served, and there is nothing to serve.
    Empty,
}

/// All fragments. There is one, and what it builds goes to one store.
#[derive(Debug)]
pub struct Fragments {
    api: Api,
    allow_empty: bool,
    /// The newest look at each file, good or not.
    looks: OrdMap<FileName, Arc<Look>>,
    /// The newest good look at each file.
    good: OrdMap<FileName, Arc<Look>>,
    /// What is served of each file.
    served: OrdMap<FileName, Arc<Look>>,
    /// Files whose good content is not what is served.
    pending: BTreeSet<FileName>,
    places: Places,
    builder: Builder,
}

impl Fragments {
    /// No fragments yet. With `allow_empty` an empty directory is served as such, at once.
    pub fn new(api: Api, allow_empty: bool) -> Fragments {
        Fragments {
            api,
            allow_empty,
            looks: OrdMap::new(),
            good: OrdMap::new(),
            served: OrdMap::new(),
            pending: BTreeSet::new(),
            places: Places::default(),
            builder: Builder::new(),
        }
    }

    /// Where what is served stands.
    pub fn places(&self) -> Places {
        self.places.clone()
    }

    /// The newest look at each file, good or not, by name.
    pub fn looks(&self) -> impl Iterator<Item = &Arc<Look>> {
        self.looks.values()
    }

    /// Takes new sources, of which the `changed` files differ from those before.
    pub fn update(&mut self, sources: &Sources, changed: &[FileName]) -> Outcome {
        let start = Instant::now();
        let present: Vec<(&FileName, &SourceFile)> =
            changed.iter().filter_map(|n| Some((n, sources.files.get(n)?))).collect();
        let looks = load_all(&self.api, &present);
        let mut diagnostics: Vec<Diagnostic> =
            looks.iter().flat_map(|l| l.loaded.diagnostics.clone()).collect();
        for name in changed {
            self.looks.remove(name);
            if !sources.files.contains_key(name) {
                self.good.remove(name);
            }
        }
        for ((name, _), look) in present.iter().zip(&looks) {
            self.looks.insert((*name).clone(), look.clone());
            if !look.has_errors() {
                self.good.insert((*name).clone(), look.clone());
            }
        }
        self.pending.extend(changed.iter().cloned());
        let (verdict, clashes) = self.serve_good();
        diagnostics.extend(clashes);
        diagnostics.sort();
        Outcome { verdict, diagnostics, files_loaded: looks.len(), looks, took: start.elapsed() }
    }

    /// Serves the good content of all files, if together it is good.
    fn serve_good(&mut self) -> (Verdict, Vec<Diagnostic>) {
        self.pending.retain(|name| !same(self.good.get(name), self.served.get(name)));
        let mut places = self.places.clone();
        let mut touched = BTreeSet::new();
        for name in &self.pending {
            let (old, new) = (self.served.get(name), self.good.get(name));
            if let Some(old) = old {
                places.served.remove(&old.path);
                touched.extend(places.catalog.replace(&old.path, Some(&old.loaded), None));
            }
            if let Some(new) = new {
                places.served.insert(new.path.clone(), new.clone());
                touched.extend(places.catalog.replace(&new.path, None, Some(&new.loaded)));
            }
        }
        let clashes = places.catalog.clashes(&touched);
        let first = !self.builder.current().is_loaded();
        if first && (!clashes.is_empty() || self.looks.values().any(|look| look.has_errors())) {
            return (Verdict::NotYet, clashes);
        }
        if !clashes.is_empty() {
            return (Verdict::Held, clashes);
        }
        if first && !self.allow_empty && places.catalog.is_empty() {
            return (Verdict::Empty, clashes);
        }
        let edits = self.edits();
        for name in std::mem::take(&mut self.pending) {
            match self.good.get(&name) {
                Some(good) => self.served.insert(name, good.clone()),
                None => self.served.remove(&name),
            };
        }
        self.places = places;
        let snapshot = self.builder.apply(edits);
        (snapshot.map_or(Verdict::Unchanged, Verdict::Publish), clashes)
    }

    /// From what is served to what is good, in the files where they differ.
    fn edits(&self) -> Vec<Edit> {
        let items = |look: Option<&'_ Arc<Look>>| look.cloned().into_iter();
        let mut puts = Vec::new();
        let mut kept: HashSet<(Audience, Kind, Name)> = HashSet::new();
        for look in self.pending.iter().flat_map(|name| items(self.good.get(name))) {
            for item in &look.loaded.items {
                let (kind, name) = (item.resource.kind(), item.resource.name().clone());
                kept.insert((item.nodes.clone(), kind, name));
                puts.push(Edit::Put(item.nodes.clone(), item.resource.clone()));
            }
        }
        let mut edits = Vec::new();
        for look in self.pending.iter().flat_map(|name| items(self.served.get(name))) {
            for item in &look.loaded.items {
                let key = (item.nodes.clone(), item.resource.kind(), item.resource.name().clone());
                if !kept.contains(&key) {
                    edits.push(Edit::Remove(key.0, key.1, key.2));
                }
            }
        }
        edits.extend(puts);
        edits
    }
}

fn same(a: Option<&Arc<Look>>, b: Option<&Arc<Look>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// Loads files on all cores, in the given order.
pub fn load_all(api: &Api, files: &[(&FileName, &SourceFile)]) -> Vec<Arc<Look>> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let workers = cores.min(files.len());
    if workers <= 1 {
        return files.iter().map(|(_, file)| look_at(api, file)).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![None; files.len()]);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((_, file)) = files.get(at) else { return };
            let look = look_at(api, file);
            done.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[at] = Some(look);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.into_iter().flatten().collect()
}

fn look_at(api: &Api, file: &SourceFile) -> Arc<Look> {
    let path = file.path.clone();
    Arc::new(match &file.content {
        Ok(text) => Look { loaded: load::load_file(api, &path, text), path, text: text.clone() },
        Err(problem) => {
            let finding =
                Diagnostic::new(Severity::Error, "unreadable-file", path.clone(), problem.to_string());
            Look {
                path,
                text: Bytes::new(),
                loaded: Loaded { diagnostics: vec![finding], ..Loaded::default() },
            }
        }
    })
}
