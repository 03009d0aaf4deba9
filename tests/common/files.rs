//! Writing fragments the way careful people do: beside the place, then renamed into it.

use std::fs;
use std::path::{Path, PathBuf};

/// Writes `text` to `dir/name` by an atomic rename; folders in `name` are made.
pub fn put(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    let parent = path.parent().expect("a joined path has a parent");
    fs::create_dir_all(parent).unwrap_or_else(|e| panic!("cannot create {}: {e}", parent.display()));
    let file_name = path.file_name().expect("the name names a file").to_string_lossy();
    let beside = parent.join(format!(".{file_name}.tmp"));
    fs::write(&beside, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", beside.display()));
    fs::rename(&beside, &path).unwrap_or_else(|e| panic!("cannot rename to {}: {e}", path.display()));
    path
}

/// Removes `dir/name`.
pub fn remove(dir: &Path, name: &str) {
    let path = dir.join(name);
    fs::remove_file(&path).unwrap_or_else(|e| panic!("cannot remove {}: {e}", path.display()));
}

/// Reads `dir/name`.
pub fn read(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// The files of a folder by name, sorted; folders in it are left out.
pub fn list(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("cannot list {}: {e}", dir.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap_or_else(|e| panic!("cannot list {}: {e}", dir.display())))
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
