//! The fragments: clusters with their endpoints in equal files, and one listener with its routes.

use std::fs;
use std::path::{Path, PathBuf};

use super::fragment::{self, EDGE};

/// A directory of fragments that the benchmark changes.
pub struct Files {
    dir: PathBuf,
    /// Where new content is written before it is renamed into place; on the same disk.
    aside: PathBuf,
    per_file: usize,
    /// How often each cluster's endpoint was changed.
    generations: Vec<u16>,
}

impl Files {
    /// Writes them all.
    pub fn create(root: &Path, clusters: usize, per_file: usize) -> Files {
        let (dir, aside) = (root.join("config.d"), root.join("aside"));
        for path in [&dir, &aside] {
            fs::create_dir_all(path).expect("a temporary directory is writable");
        }
        let files = Files { dir, aside, per_file, generations: vec![0; clusters] };
        for file in 0..files.count() {
            fs::write(files.path(file), files.text(file)).expect("it is writable");
        }
        fs::write(files.dir.join("edge.yaml"), EDGE).expect("it is writable");
        files
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many files hold clusters.
    pub fn count(&self) -> usize {
        self.generations.len().div_ceil(self.per_file)
    }

    /// Size of all files, in bytes.
    pub fn size(&self) -> u64 {
        (0..self.count()).map(|file| self.text(file).len() as u64).sum()
    }

    /// Changes one endpoint of a file; gives what is to be renamed, and to where.
    pub fn change(&mut self, file: usize, which: usize) -> (PathBuf, PathBuf) {
        let last = self.generations.len() - 1;
        let cluster = (file * self.per_file + which % self.per_file).min(last);
        self.generations[cluster] += 1;
        let new = self.aside.join(format!("f{file:06}.yaml"));
        fs::write(&new, self.text(file)).expect("it is writable");
        (new, self.path(file))
    }

    fn path(&self, file: usize) -> PathBuf {
        self.dir.join(format!("f{file:06}.yaml"))
    }

    fn text(&self, file: usize) -> String {
        let range = file * self.per_file..((file + 1) * self.per_file).min(self.generations.len());
        fragment::text(range, |cluster| self.generations[cluster])
    }
}
