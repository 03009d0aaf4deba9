//! Every way of changing files that people and programs have, against real files and inotify.
//!
//! Each test changes files, and takes values from the watch until one has exactly the content that
//! the files have; what must never be seen on the way is checked on every value. Waits are bounded.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its files has failed")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;
use xds_bridge::source::{
    Change, DirState, FileKind, Next, Options, ReadProblem, SourceFile, Sources, Watch, read_once,
};

/// Long enough for a pause of a writer on a busy machine, short enough for many tests.
const SETTLE: Duration = Duration::from_millis(250);

/// For tests in which nothing may depend on settling: longer than any test takes.
const NEVER: Duration = Duration::from_secs(3600);

/// Nothing here takes as long on a working machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Contents by name; what cannot be read has its problem's text in angle brackets.
type Contents = BTreeMap<String, String>;

fn contents(sources: &Sources) -> Contents {
    let text = |file: &SourceFile| match &file.content {
        Ok(text) => String::from_utf8_lossy(&text.bytes()).into_owned(),
        Err(problem) => format!("<{problem}>"),
    };
    sources.files.iter().map(|(name, file)| (name.to_string(), text(file))).collect()
}

fn of(pairs: &[(&str, &str)]) -> Contents {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// A temporary directory with `config.d` in it.
struct Place {
    _dir: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        fs::create_dir(path.join("config.d")).unwrap();
        Place { _dir: dir, path }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), text).unwrap();
    }

    /// A file that was written long ago.
    fn old(&self, name: &str, text: &str) {
        self.write(name, text);
        let file = fs::File::options().write(true).open(self.at(name)).unwrap();
        file.set_modified(SystemTime::now() - NEVER * 2).unwrap();
    }

    /// As careful programs do it: beside it, then over it.
    fn replace(&self, name: &str, text: &str) {
        let path = self.at(name);
        let beside = path.with_file_name(".beside");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, path).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.at(from), self.at(to)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.at(name)).unwrap();
    }

    fn link(&self, target: &str, name: &str) {
        symlink(target, self.at(name)).unwrap();
    }

    /// A symbolic link, swapped in as `ln -sfn` and Kubernetes do it.
    fn swap_link(&self, target: &str, name: &str) {
        let beside = self.at(name).with_file_name(".link");
        symlink(target, &beside).unwrap();
        fs::rename(beside, self.at(name)).unwrap();
    }

    fn options(&self) -> Options {
        Options { settle: SETTLE, ..Options::new([self.at("config.d")]) }
    }

    /// Only renames are ever read, and nothing is looked at unasked.
    fn renames_only(&self) -> Options {
        Options { settle: NEVER, settle_limit: NEVER, rescan: NEVER, ..self.options() }
    }

    fn watch(&self) -> Seen {
        Seen::new(self.options())
    }
}

/// What one value says that the other does not.
fn apart(this: &Sources, that: &Sources) -> Vec<String> {
    let files = this.files.iter().filter(|(name, file)| that.files.get(*name) != Some(file));
    let extra = this.extra.iter().filter(|(path, content)| that.extra.get(*path) != Some(content));
    let dirs = this.dirs.iter().filter(|dir| !that.dirs.contains(dir));
    let said = files.map(|said| format!("{said:?}")).chain(extra.map(|said| format!("{said:?}")));
    said.chain(dirs.map(|said| format!("{said:?}"))).collect()
}

/// A watch and the last value that it gave.
struct Seen {
    watch: Watch,
    options: Options,
    extra: Vec<PathBuf>,
    last: Sources,
    values: usize,
}

impl Seen {
    fn new(options: Options) -> Seen {
        let watch = Watch::new(options.clone()).expect("it can be watched");
        let mut seen = Seen { watch, options, extra: Vec::new(), last: Sources::default(), values: 0 };
        assert!(seen.step(PATIENCE).is_some(), "there is a first value");
        seen
    }

    fn step(&mut self, timeout: Duration) -> Option<Change> {
        match self.watch.next(timeout) {
            Next::Changed(change) => {
                let altered = |name: &str| self.last.files.get(name) != change.sources.files.get(name);
                assert!(change.changed.iter().all(|name| altered(name)), "what is called changed, is");
                let names = self.last.files.keys().chain(change.sources.files.keys());
                let called: std::collections::HashSet<_> = change.changed.iter().collect();
                let all = names.filter(|name| altered(name)).all(|name| called.contains(name));
                assert!(all, "what has changed, is called so");
                self.last = change.sources.clone();
                self.values += 1;
                Some(change)
            }
            Next::Idle => None,
            other => panic!("nobody asked for {other:?}"),
        }
    }

    /// Takes values until `done`, and gives how long that took.
    fn until(&mut self, what: &str, mut done: impl FnMut(&Sources) -> bool) -> Duration {
        let start = Instant::now();
        while !done(&self.last) {
            assert!(start.elapsed() < PATIENCE, "{what}: last seen {:#?}", contents(&self.last));
            self.step(Duration::from_millis(500));
        }
        start.elapsed()
    }

    /// Takes values until the content is this, and nothing but the present and this is seen.
    fn becomes(&mut self, new: &[(&str, &str)]) -> Duration {
        let (old, new) = (contents(&self.last), of(new));
        self.until(&format!("waiting for {new:#?}"), |sources| {
            let now = contents(sources);
            assert!(now == new || now == old, "half of a change was given out: {now:?}");
            now == new
        })
    }

    /// Takes values until they agree with a fresh look.
    fn agrees(&mut self) {
        let start = Instant::now();
        loop {
            let fresh = read_once(&self.options, &self.extra);
            if self.last == fresh {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "seen, not on disk: {:#?}\non disk, not seen: {:#?}",
                apart(&self.last, &fresh),
                apart(&fresh, &self.last)
            );
            self.step(Duration::from_millis(20));
        }
    }

    /// Nothing is given out for a while.
    fn rests(&mut self) {
        assert!(self.step(SETTLE * 3).is_none(), "nothing has changed, but a value came");
    }
}

// ---- which files count ----

#[test]
fn only_fragments_count() {
    let place = Place::new();
    let fragments = ["10-a.yaml", "b.yml", "c.json", "sub/deep/d.yaml", "x.yaml.d/e.yaml"];
    for name in fragments {
        place.write(&format!("config.d/{name}"), name);
    }
    for name in [
        ".hidden.yaml",
        ".git/x.yaml",
        "sub/.cache/x.yaml",
        "#x.yaml",
        "#x.yaml#",
        "x.yaml~",
        ".x.yaml.swp",
        "x.yaml.swx",
        "x.yaml.tmp",
        "x.yaml.bak",
        "x.yaml.orig",
        "x.yaml.dpkg-new",
        "x.yaml.dpkg-dist",
        "x.yaml.rpmsave",
        "x.yaml.rpmnew",
        "4913",
        "README.md",
        "yaml",
        "x.yaml.txt",
    ] {
        place.write(&format!("config.d/{name}"), "ignored");
    }
    let sources = read_once(&place.options(), &[]);
    assert_eq!(contents(&sources), of(&fragments.map(|name| (name, name))));
    let path = format!("{}/10-a.yaml", place.at("config.d").display());
    assert_eq!(&*sources.files["10-a.yaml"].path, path, "the path is the directory as given and the name");
}

#[test]
fn a_later_directory_replaces_and_masks() {
    let place = Place::new();
    for name in ["usr/same.yaml", "etc/same.yaml", "usr/sub/masked.yaml", "run/sub/other.yaml"] {
        place.write(name, name);
    }
    place.link("/dev/null", "run/sub/masked.yaml");
    let dirs = ["usr", "etc", "run"].map(|layer| place.at(layer));
    let mut seen = Seen::new(Options { settle: SETTLE, ..Options::new(dirs) });
    let other = ("sub/other.yaml", "run/sub/other.yaml");
    seen.becomes(&[("same.yaml", "etc/same.yaml"), other]);
    assert!(seen.last.files["same.yaml"].path.ends_with("/etc/same.yaml"));

    place.replace("usr/same.yaml", "covered");
    place.replace("run/same.yaml", "run");
    seen.becomes(&[("same.yaml", "run"), other]);
    place.remove("run/same.yaml");
    place.remove("etc/same.yaml");
    place.remove("run/sub/masked.yaml");
    seen.becomes(&[("same.yaml", "covered"), ("sub/masked.yaml", "usr/sub/masked.yaml"), other]);
    place.swap_link("/dev/null", "etc/same.yaml");
    seen.becomes(&[("sub/masked.yaml", "usr/sub/masked.yaml"), other]);
    fs::remove_dir_all(place.at("run")).unwrap();
    seen.until("a layer has gone", |sources| sources.dirs[2].state == DirState::Missing);
    seen.agrees();
}

#[test]
fn what_is_no_file_is_never_opened_and_said() {
    let place = Place::new();
    place.write("config.d/good.yaml", "good");
    assert!(Command::new("mkfifo").arg(place.at("config.d/fifo.yaml")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(place.at("config.d/socket.yaml")).unwrap();
    place.link("/dev/zero", "config.d/zero.yaml");
    place.link("nowhere", "config.d/dangling.yaml");
    place.link("loop.yaml", "config.d/loop.yaml");
    place.link("..", "config.d/up");
    fs::File::create(place.at("config.d/huge.yaml")).unwrap().set_len(1 << 40).unwrap();
    fs::write(place.at("config.d").join(OsStr::from_bytes(b"bad\xff.yaml")), "x").unwrap();
    let sources = read_once(&place.options(), &[]);
    let problem = |name: &str| sources.files[name].content.clone().err();
    assert_eq!(problem("fifo.yaml"), Some(ReadProblem::NotRegular(FileKind::Fifo)));
    assert_eq!(problem("socket.yaml"), Some(ReadProblem::NotRegular(FileKind::Socket)));
    assert_eq!(problem("zero.yaml"), Some(ReadProblem::NotRegular(FileKind::Device)));
    assert_eq!(problem("dangling.yaml"), Some(ReadProblem::NotFound));
    assert_eq!(problem("loop.yaml"), Some(ReadProblem::SymlinkLoop));
    assert_eq!(problem("up/config.d"), Some(ReadProblem::Circle));
    assert_eq!(problem("huge.yaml"), Some(ReadProblem::TooLarge { size: 1 << 40, limit: 512 << 20 }));
    assert_eq!(problem("bad\\xff.yaml"), Some(ReadProblem::NameNotUtf8));
    assert_eq!(problem("good.yaml"), None);
    assert_eq!(sources.files.len(), 9);
    let mut seen = place.watch();
    seen.agrees();
    place.replace("config.d/fifo.yaml", "a file now");
    seen.until("the pipe was replaced", |sources| contents(sources)["fifo.yaml"] == "a file now");
}

#[test]
fn a_lattice_of_links_between_directories_ends() {
    let place = Place::new();
    for depth in 0..10 {
        fs::create_dir(place.at(&format!("config.d/{depth}"))).unwrap();
        for link in ["x", "y"] {
            place.link(&format!("../{}", depth + 1), &format!("config.d/{depth}/{link}"));
        }
    }
    place.write("config.d/10/end.yaml", "end");
    let sources = read_once(&place.options(), &[]);
    assert_eq!(sources.files.len(), (1 << 11) - 1, "the file under each of its names");
    for _ in 0..100 {
        fs::create_dir_all(place.at("config.d/deep")).unwrap();
        place.rename("config.d/deep", ".deep");
        fs::create_dir(place.at("config.d/deep")).unwrap();
        place.rename(".deep", "config.d/deep/deep");
    }
    let sources = read_once(&place.options(), &[]);
    let too_deep = sources.files.values().filter(|file| file.content == Err(ReadProblem::TooDeep)).count();
    assert_eq!(too_deep, 1, "directories without end are said once");
}

#[test]
fn a_file_that_is_named_is_read_whatever_its_name() {
    let place = Place::new();
    place.write("envoy.conf", "one");
    let file = place.at("envoy.conf");
    let name = file.to_str().unwrap();
    assert_eq!(contents(&read_once(&Options::new([&file]), &[])), of(&[(name, "one")]));
    let missing = read_once(&Options::new([place.at("nothing")]), &[place.at("absent.pem")]);
    assert_eq!(missing.dirs[0].state, DirState::Missing);
    assert_eq!(missing.extra[&*place.at("absent.pem")], Err(ReadProblem::NotFound));
    let mut seen = Seen::new(Options { settle: SETTLE, ..Options::new([&file]) });
    place.write("envoy.conf", "two, in place");
    seen.becomes(&[(name, "two, in place")]);
    place.replace("envoy.conf", "three, renamed");
    seen.becomes(&[(name, "three, renamed")]);
}

// ---- renames: at once ----

#[test]
fn a_rename_into_and_over_a_place_is_read_at_once() {
    let place = Place::new();
    place.old("config.d/a.yaml", "one");
    let mut seen = Seen::new(place.renames_only());
    for round in 0..20 {
        let text = format!("round {round}");
        place.replace("config.d/a.yaml", &text);
        seen.becomes(&[("a.yaml", &text)]);
    }
    let a = ("a.yaml", "round 19");
    place.write("outside", "from outside");
    place.rename("outside", "config.d/b.yaml");
    seen.becomes(&[a, ("b.yaml", "from outside")]);
    place.rename("config.d/b.yaml", "config.d/c.yaml");
    seen.becomes(&[a, ("c.yaml", "from outside")]);
    place.write("tree/x/c.yaml", "c");
    place.rename("tree", "config.d/tree");
    seen.becomes(&[a, ("c.yaml", "from outside"), ("tree/x/c.yaml", "c")]);
    place.replace("config.d/tree/x/c.yaml", "watched");
    seen.becomes(&[a, ("c.yaml", "from outside"), ("tree/x/c.yaml", "watched")]);
    place.rename("config.d/tree", "config.d/wood");
    seen.becomes(&[a, ("c.yaml", "from outside"), ("wood/x/c.yaml", "watched")]);
    place.replace("config.d/wood/x/c.yaml", "still watched");
    seen.becomes(&[a, ("c.yaml", "from outside"), ("wood/x/c.yaml", "still watched")]);
}

#[test]
fn a_swapped_link_is_read_at_once() {
    let place = Place::new();
    for release in ["1", "2"] {
        place.write(&format!("releases/{release}/config.d/a.yaml"), release);
    }
    place.old("target-1", "target 1");
    place.old("target-2", "target 2");
    place.old("releases/1/config.d/a.yaml", "1");
    place.link("releases/1", "current");
    place.link("../../../target-1", "releases/1/config.d/link.yaml");
    place.link("../../../target-1", "releases/2/config.d/link.yaml");
    place.link("current/config.d", "linked.d");
    let options = Options { dirs: vec![place.at("linked.d")], ..place.renames_only() };
    let mut seen = Seen::new(options);
    seen.becomes(&[("a.yaml", "1"), ("link.yaml", "target 1")]);
    place.swap_link("../../../target-2", "releases/1/config.d/link.yaml");
    seen.becomes(&[("a.yaml", "1"), ("link.yaml", "target 2")]);
    place.replace("target-2", "target 2, renewed");
    seen.becomes(&[("a.yaml", "1"), ("link.yaml", "target 2, renewed")]);
    place.swap_link("releases/2", "current");
    seen.becomes(&[("a.yaml", "2"), ("link.yaml", "target 1")]);
    place.replace("releases/2/config.d/a.yaml", "2, changed");
    seen.becomes(&[("a.yaml", "2, changed"), ("link.yaml", "target 1")]);
    place.swap_link("releases/1/config.d", "linked.d");
    seen.becomes(&[("a.yaml", "1"), ("link.yaml", "target 2, renewed")]);
}

#[test]
fn a_kubernetes_config_map_changes_as_one() {
    let place = Place::new();
    let publish = |version: u32, names: &[&str]| {
        for name in names {
            place.write(&format!("config.d/..{version}/{name}"), &format!("{name} {version}"));
        }
        place.swap_link(&format!("..{version}"), "config.d/..data");
    };
    publish(1, &["a.yaml", "b.yaml"]);
    place.link("..data/a.yaml", "config.d/a.yaml");
    place.link("..data/b.yaml", "config.d/b.yaml");
    let mut seen = place.watch();
    seen.becomes(&[("a.yaml", "a.yaml 1"), ("b.yaml", "b.yaml 1")]);
    for version in 2..12_u32 {
        publish(version, &["a.yaml", "b.yaml"]);
        fs::remove_dir_all(place.at(&format!("config.d/..{}", version - 1))).unwrap();
        let took = seen
            .becomes(&[("a.yaml", &format!("a.yaml {version}")), ("b.yaml", &format!("b.yaml {version}"))]);
        assert!(took < SETTLE, "it did not wait for the old ones to settle");
    }
    // A key goes: its link dangles for a moment, which nobody is told.
    publish(12, &["a.yaml"]);
    seen.until("a new version", |sources| {
        assert!(sources.files.values().all(|file| file.content.is_ok()), "a passing link was shown");
        contents(sources)["a.yaml"] == "a.yaml 12"
    });
    place.remove("config.d/b.yaml");
    seen.becomes(&[("a.yaml", "a.yaml 12")]);
}

#[test]
fn a_directory_replaced_by_rename_is_read_at_once_and_watched() {
    let place = Place::new();
    place.old("config.d/a.yaml", "old");
    place.write("next/a.yaml", "new");
    let mut seen = Seen::new(place.renames_only());
    for round in 0..3 {
        place.rename("config.d", "previous");
        place.rename("next", "config.d");
        seen.until("the new directory", |sources| {
            contents(sources).get("a.yaml").is_some_and(|a| a == "new")
        });
        place.replace("config.d/a.yaml", "changed");
        seen.becomes(&[("a.yaml", "changed")]);
        place.replace("config.d/a.yaml", "new");
        place.rename("config.d", "next");
        place.rename("previous", "config.d");
        let old = if round == 2 { "changed" } else { "old" };
        place.replace("config.d/a.yaml", old);
        seen.becomes(&[("a.yaml", old)]);
    }
}

// ---- everything else: settles ----

#[test]
fn a_slow_write_in_place_is_seen_whole() {
    let place = Place::new();
    place.write("config.d/a.yaml", "before");
    let mut seen = place.watch();
    let path = place.at("config.d/a.yaml");
    let writer = thread::spawn(move || {
        for part in 0..10 {
            // Closed after each part: a closed file is not a finished one.
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).append(part > 0).truncate(part == 0).open(&path).unwrap();
            write!(file, "{part}").unwrap();
            drop(file);
            thread::sleep(Duration::from_millis(40));
        }
    });
    seen.becomes(&[("a.yaml", "0123456789")]);
    writer.join().unwrap();
    seen.rests();
}

#[test]
fn a_write_that_leaves_size_and_time_alone_is_seen() {
    let place = Place::new();
    place.write("config.d/a.yaml", "0000");
    let mut seen = place.watch();
    for round in 1..5 {
        let text = format!("{round:04}");
        place.write("config.d/a.yaml", &text);
        seen.becomes(&[("a.yaml", &text)]);
    }
}

#[test]
fn equal_bytes_are_no_change() {
    let place = Place::new();
    place.write("config.d/a.yaml", "same");
    place.write("config.d/b.yaml", "other");
    let mut seen = place.watch();
    place.write("config.d/a.yaml", "same");
    place.replace("config.d/b.yaml", "other");
    let file = fs::File::options().write(true).open(place.at("config.d/a.yaml")).unwrap();
    file.set_modified(SystemTime::now() - NEVER).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(place.at("config.d/b.yaml"), mode).unwrap();
    place.write("config.d/c.yaml.tmp", "not ours");
    place.write(".unrelated", "not ours");
    seen.rests();
    place.remove("config.d/a.yaml");
    place.write("config.d/a.yaml", "same");
    seen.rests();
}

#[test]
fn editors_saves_never_remove_the_file() {
    let place = Place::new();
    place.write("config.d/a.yaml", "0");
    let mut seen = place.watch();
    type Save<'a> = &'a dyn Fn(&str);
    let saves: [(&str, Save<'_>); 5] = [
        ("vim, writing in place", &|text| {
            place.write("config.d/4913", "");
            place.remove("config.d/4913");
            place.write("config.d/.a.yaml.swp", "swap");
            fs::copy(place.at("config.d/a.yaml"), place.at("config.d/a.yaml~")).unwrap();
            place.write("config.d/a.yaml", text);
            place.remove("config.d/a.yaml~");
            place.remove("config.d/.a.yaml.swp");
        }),
        ("vim, renaming to the backup", &|text| {
            place.rename("config.d/a.yaml", "config.d/a.yaml~");
            thread::sleep(Duration::from_millis(30));
            place.write("config.d/a.yaml", text);
            place.remove("config.d/a.yaml~");
        }),
        ("emacs", &|text| {
            place.link("user@host.1:2", "config.d/.#a.yaml");
            place.write("config.d/#a.yaml#", "autosave");
            place.rename("config.d/a.yaml", "config.d/a.yaml~");
            place.write("config.d/a.yaml", text);
            place.remove("config.d/#a.yaml#");
            place.remove("config.d/.#a.yaml");
        }),
        ("gedit, kate and sed -i", &|text| place.replace("config.d/a.yaml", text)),
        ("removed and written anew", &|text| {
            place.remove("config.d/a.yaml");
            thread::sleep(Duration::from_millis(30));
            place.write("config.d/a.yaml", text);
        }),
    ];
    for (editor, save) in saves {
        save(editor);
        seen.becomes(&[("a.yaml", editor)]);
    }
}

#[test]
fn links_of_all_kinds_lead_to_their_content() {
    let place = Place::new();
    place.write("store/one", "one");
    place.write("store/two", "two");
    place.write("store/tree/t.yaml", "tree");
    let mut seen = place.watch();
    fs::hard_link(place.at("store/one"), place.at("config.d/hard.yaml")).unwrap();
    place.link("../store/two", "config.d/soft.yaml");
    place.link("../store/tree", "config.d/tree");
    seen.becomes(&[("hard.yaml", "one"), ("soft.yaml", "two"), ("tree/t.yaml", "tree")]);
    place.write("store/two", "two, in place");
    place.write("store/tree/t.yaml", "tree, in place");
    place.write("config.d/hard.yaml", "one, in place");
    seen.becomes(&[
        ("hard.yaml", "one, in place"),
        ("soft.yaml", "two, in place"),
        ("tree/t.yaml", "tree, in place"),
    ]);
    place.remove("config.d/hard.yaml");
    fs::hard_link(place.at("store/two"), place.at("config.d/hard.yaml")).unwrap();
    place.remove("config.d/soft.yaml");
    place.link("../store/one", "config.d/soft.yaml");
    place.remove("config.d/tree");
    seen.becomes(&[("hard.yaml", "two, in place"), ("soft.yaml", "one, in place")]);
}

#[test]
fn a_file_with_two_names_is_seen_to_change_through_either() {
    let place = Place::new();
    place.write("outside", "one");
    let mut seen = place.watch();
    fs::hard_link(place.at("outside"), place.at("config.d/a.yaml")).unwrap();
    seen.becomes(&[("a.yaml", "one")]);
    place.write("outside", "through the name outside");
    seen.becomes(&[("a.yaml", "through the name outside")]);
    fs::hard_link(place.at("outside"), place.at("config.d/b.yaml")).unwrap();
    seen.becomes(&[("a.yaml", "through the name outside"), ("b.yaml", "through the name outside")]);
    place.write("config.d/b.yaml", "through another");
    seen.becomes(&[("a.yaml", "through another"), ("b.yaml", "through another")]);
    place.remove("config.d/a.yaml");
    place.write("outside", "outside again");
    seen.becomes(&[("b.yaml", "outside again")]);
}

#[test]
fn a_directory_deleted_and_recreated_keeps_its_files_meanwhile() {
    let place = Place::new();
    place.write("config.d/sub/a.yaml", "one");
    place.write("config.d/b.yaml", "b");
    let mut seen = place.watch();
    for text in ["two", "three"] {
        fs::remove_dir_all(place.at("config.d")).unwrap();
        thread::sleep(Duration::from_millis(20));
        place.write("config.d/sub/a.yaml", text);
        place.write("config.d/b.yaml", "b");
        seen.until("both files", |sources| {
            assert_eq!(sources.dirs[0].state, DirState::Present, "nobody is told of the moment without it");
            assert_eq!(sources.files.len(), 2);
            contents(sources)["sub/a.yaml"] == text
        });
    }
    fs::remove_dir_all(place.at("config.d")).unwrap();
    seen.becomes(&[]);
    assert_eq!(seen.last.dirs[0].state, DirState::Missing);
}

#[test]
fn a_directory_missing_at_start_is_waited_for() {
    let place = Place::new();
    let dir = place.at("not/yet/there");
    let mut seen = Seen::new(Options { settle: SETTLE, ..Options::new([&dir]) });
    assert_eq!(seen.last.dirs[0].state, DirState::Missing);
    place.write("not/yet/there/deep/a.yaml", "a");
    seen.until("the file", |sources| contents(sources) == of(&[("deep/a.yaml", "a")]));
    assert_eq!(seen.last.dirs[0].state, DirState::Present);
}

#[test]
fn what_is_being_written_at_start_is_waited_for() {
    let place = Place::new();
    place.old("config.d/old.yaml", "old");
    let path = place.at("config.d/a.yaml");
    let (started, wait) = std::sync::mpsc::channel();
    let writer = thread::spawn(move || {
        let mut file = fs::File::create(&path).unwrap();
        for part in 0..10 {
            write!(file, "{part}").unwrap();
            started.send(()).unwrap();
            thread::sleep(Duration::from_millis(40));
        }
    });
    wait.recv().unwrap();
    let seen = place.watch();
    assert_eq!(contents(&seen.last), of(&[("a.yaml", "0123456789"), ("old.yaml", "old")]));
    writer.join().unwrap();
}

#[test]
fn a_file_that_is_written_for_ever_holds_neither_others_nor_itself_for_ever() {
    let place = Place::new();
    place.write("config.d/a.yaml", "a");
    place.write("config.d/calm.yaml", "before");
    let options = Options { settle_limit: Duration::from_millis(800), ..place.options() };
    let mut seen = Seen::new(options);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let path = place.at("config.d/a.yaml");
    let writer = thread::spawn(move || {
        while stopped
            .recv_timeout(Duration::from_millis(50))
            .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"a").unwrap();
        }
    });
    place.write("config.d/calm.yaml", "after");
    seen.until("the calm file", |sources| contents(sources)["calm.yaml"] == "after");
    seen.until("the restless file", |sources| contents(sources)["a.yaml"].len() > 1);
    place.replace("config.d/calm.yaml", "renamed");
    let took = seen.until("a rename meanwhile", |sources| contents(sources)["calm.yaml"] == "renamed");
    assert!(took < SETTLE, "a rename does not wait for others, but took {took:?}");
    drop(stop);
    writer.join().unwrap();
    seen.agrees();
}

// ---- many at once ----

fn git(dir: &Path, args: &[&str]) {
    let output = Command::new("git")
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .args(["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=one"])
        .args(args)
        .output()
        .expect("git can be run");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_git_checkout_is_one_change() {
    let place = Place::new();
    let dir = place.at("config.d");
    let branch = |name: &str, files: std::ops::Range<u32>| {
        for number in files {
            place.write(&format!("config.d/{}/{number}.yaml", number % 7), &format!("{name} {number}"));
        }
        git(&dir, &["add", "-A"]);
        git(&dir, &["commit", "-qm", name]);
    };
    git(&dir, &["init", "-q"]);
    branch("one", 0..400);
    git(&dir, &["checkout", "-qb", "two"]);
    git(&dir, &["rm", "-rq", "3"]);
    branch("two", 200..500);
    let mut seen = place.watch();
    let two = contents(&seen.last);
    let mut one = Contents::new();
    for round in 0..4 {
        let (name, whole) = if round % 2 == 0 { ("one", &mut one) } else { ("two", &mut two.clone()) };
        let values = seen.values;
        git(&dir, &["checkout", "-q", name]);
        if whole.is_empty() {
            *whole = contents(&read_once(&seen.options, &[]));
        }
        let before = contents(&seen.last);
        seen.until("the checkout", |sources| {
            let now = contents(sources);
            assert!(now == before || now == *whole, "half a checkout was given out");
            now == *whole
        });
        assert_eq!(seen.values - values, 1);
    }
}

#[test]
fn among_ten_thousand_files_a_rename_costs_one_and_a_burst_few_values() {
    const FILES: usize = 10_000;
    let place = Place::new();
    for number in 0..FILES {
        place.old(&format!("config.d/{number}.yaml"), &format!("file {number}"));
    }
    let start = Instant::now();
    let mut seen = Seen::new(place.renames_only());
    println!("first value of {FILES} files: {:?}", start.elapsed());
    let start = Instant::now();
    seen.watch.handle().look_now();
    assert!(matches!(seen.watch.next(PATIENCE), Next::Looked));
    println!("complete look at {FILES} unchanged files: {:?}", start.elapsed());

    let mut latencies = Vec::new();
    let before = seen.watch.work();
    for round in 0..100 {
        fs::write(place.at("config.d/.beside"), format!("round {round}")).unwrap();
        fs::rename(place.at("config.d/.beside"), place.at("config.d/4711.yaml")).unwrap();
        let start = Instant::now();
        let Next::Changed(change) = seen.watch.next(PATIENCE) else { panic!("a rename was not noticed") };
        latencies.push(start.elapsed());
        assert_eq!(change.changed, ["4711.yaml".into()]);
        seen.last = change.sources;
        // Apart by more than the rest that the one before has asked for.
        thread::sleep(Duration::from_millis(5));
    }
    let after = seen.watch.work();
    assert_eq!(after.files_read - before.files_read, 100, "one file is read for each");
    assert_eq!(after.full_scans, before.full_scans);
    assert!(after.looked_at - before.looked_at <= 200, "no other name is looked at");
    latencies.sort();
    println!("rename to value: median {:?}, slowest {:?}", latencies[50], latencies[99]);

    fs::create_dir(place.at("staged")).unwrap();
    for number in 0..FILES {
        place.write(&format!("staged/{number}.yaml"), &format!("burst {number}"));
    }
    let (from, to) = (place.at("staged"), place.at("config.d"));
    let values = seen.values;
    let start = Instant::now();
    let burst = thread::spawn(move || {
        for number in 0..FILES {
            let name = format!("{number}.yaml");
            fs::rename(from.join(&name), to.join(&name)).unwrap();
        }
        start.elapsed()
    });
    let burst_of = |sources: &Sources| {
        sources
            .files
            .values()
            .filter(|file| file.content.as_ref().is_ok_and(|text| text.bytes().starts_with(b"burst")))
            .count()
    };
    seen.until("the burst", |sources| burst_of(sources) == FILES);
    let values = seen.values - values;
    println!(
        "burst of {FILES} renames in {:?}: {values} values in {:?}",
        burst.join().unwrap(),
        start.elapsed()
    );
    assert!(values <= 12, "{values} values for one burst");
}

// ---- asking, polling, further files ----

#[test]
fn a_request_to_look_reads_at_once_and_is_answered() {
    let place = Place::new();
    place.old("config.d/a.yaml", "one");
    let mut seen = Seen::new(Options { poll: Some(NEVER), ..place.renames_only() });
    let handle = seen.watch.handle();
    handle.look_now();
    assert!(matches!(seen.watch.next(PATIENCE), Next::Looked));
    place.write("config.d/a.yaml", "two, just written in place");
    assert!(matches!(seen.watch.next(Duration::from_millis(50)), Next::Idle));
    thread::spawn(move || handle.look_now());
    let change = seen.step(PATIENCE).expect("a value");
    assert!(change.looked);
    assert_eq!(contents(&seen.last), of(&[("a.yaml", "two, just written in place")]));
    place.remove("config.d/a.yaml");
    seen.watch.handle().look_now();
    assert!(seen.step(PATIENCE).expect("a value").sources.files.is_empty());
}

#[test]
fn a_request_to_stop_ends_the_wait() {
    let place = Place::new();
    let mut seen = place.watch();
    let handle = seen.watch.handle();
    let stopper = thread::spawn(move || handle.stop());
    assert!(matches!(seen.watch.next(PATIENCE), Next::Stopped));
    assert!(matches!(seen.watch.next(PATIENCE), Next::Stopped));
    stopper.join().unwrap();
}

#[test]
fn polling_sees_what_the_kernel_does_not_tell() {
    let place = Place::new();
    place.write("config.d/a.yaml", "one");
    let mut seen = Seen::new(Options { poll: Some(Duration::from_millis(50)), ..place.options() });
    place.write("config.d/a.yaml", "two");
    place.write("config.d/sub/b.yaml", "b");
    seen.becomes(&[("a.yaml", "two"), ("sub/b.yaml", "b")]);
    place.write("config.d/a.yaml", "six");
    seen.becomes(&[("a.yaml", "six"), ("sub/b.yaml", "b")]);
    fs::remove_dir_all(place.at("config.d")).unwrap();
    seen.becomes(&[]);
    seen.agrees();
}

#[test]
fn further_files_are_watched_with_the_same_care() {
    let place = Place::new();
    place.write("config.d/a.yaml", "a");
    place.old("archive/key1.pem", "key 1");
    fs::create_dir(place.at("live")).unwrap();
    place.link("../archive/key1.pem", "live/key.pem");
    let mut seen = place.watch();
    let (key, late) = (place.at("live/key.pem"), place.at("late.pem"));
    seen.watch.also([key.clone(), late.clone()]);
    let change = seen.step(PATIENCE).expect("a value");
    assert_eq!(change.changed_extra.len(), 2);
    let extra = |seen: &Seen, path: &Path| seen.last.extra.get(path).cloned();
    assert_eq!(extra(&seen, &key), Some(Ok("key 1".into())));
    assert_eq!(extra(&seen, &late), Some(Err(ReadProblem::NotFound)));
    // certbot: a new file in the archive, the link swapped by rename.
    place.write("archive/key2.pem", "key 2");
    place.swap_link("../archive/key2.pem", "live/key.pem");
    let took = seen.until("the renewal", |sources| sources.extra[&*key] == Ok("key 2".into()));
    assert!(took < SETTLE, "the swap is believed at once, but took {took:?}");
    place.write("late.pem", "there now");
    seen.until("the late file", |sources| sources.extra[&*late] == Ok("there now".into()));
    place.replace("archive/key2.pem", "key 2, mended");
    seen.until("the target", |sources| sources.extra[&*key] == Ok("key 2, mended".into()));
    seen.watch.also([key.clone()]);
    let change = seen.step(PATIENCE).expect("a value");
    assert_eq!(change.changed_extra, [std::sync::Arc::from(late.as_path())]);
    assert_eq!(extra(&seen, &late), None);
}

// ---- whatever happens ----

/// A small generator of numbers; the same seed gives the same play.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn one_of<'a>(&mut self, names: &[&'a str]) -> &'a str {
        names[self.below(names.len())]
    }
}

/// Something that a person or a program could do; it may fail, as theirs may.
fn play(place: &Place, dice: &mut Dice) -> std::io::Result<()> {
    const DIRS: [&str; 7] = ["low", "high", "low/sub", "high/sub", "low/sub/deep", "low/link", "store"];
    const NAMES: [&str; 6] = ["a.yaml", "b.yml", "c.json", "a.yaml~", ".hidden", "sub"];
    let mut path = || place.at(dice.one_of(&DIRS)).join(dice.one_of(&NAMES));
    let (this, that) = (path(), path());
    let dir = place.at(dice.one_of(&DIRS));
    let other_dir = place.at(dice.one_of(&DIRS));
    let text = format!("content {}", dice.below(1_000_000));
    match dice.below(17) {
        0 | 1 => fs::write(&this, text),
        2 => fs::OpenOptions::new().append(true).open(&this)?.write_all(text.as_bytes()),
        3 | 4 => {
            let beside = place.at("beside");
            fs::write(&beside, text)?;
            fs::rename(beside, &this)
        }
        5 => fs::remove_file(&this),
        6 | 7 => fs::rename(&this, &that),
        // A second name for a file, at a place where nobody looks, is told by no event of the kernel;
        // what is then written through it is for the regular look.
        8 if that.extension().is_none_or(|e| e == "yaml~") || that.starts_with(place.at("store")) => Ok(()),
        8 => fs::hard_link(&this, &that),
        9 => symlink(&this, &that),
        10 => {
            let link = place.at("link");
            symlink(dice.one_of(&["/dev/null", "../store/a.yaml", "a.yaml", "nowhere", "../store"]), &link)?;
            fs::rename(link, &this)
        }
        11 | 12 => fs::create_dir_all(&dir),
        13 => fs::remove_dir_all(&dir),
        14 => fs::rename(&dir, &other_dir),
        15 => symlink(&dir, place.at("low/link")),
        _ => {
            fs::rename(&dir, place.at("aside"))?;
            fs::create_dir(&dir)?;
            fs::rename(place.at("aside").join("a.yaml"), dir.join("a.yaml")).ok();
            fs::remove_dir_all(place.at("aside"))
        }
    }
}

#[test]
fn hundreds_of_random_operations_always_end_in_what_is_on_disk() {
    for seed in 0x5eed_0001_u64..=0x5eed_0006 {
        let place = Place::new();
        let mut dice = Dice(seed);
        for dir in ["low", "high", "store"] {
            fs::create_dir(place.at(dir)).unwrap();
        }
        let options = Options {
            settle: Duration::from_millis(40),
            settle_limit: Duration::from_millis(400),
            // The backstop must not be what finds the changes.
            rescan: NEVER,
            ..Options::new([place.at("low"), place.at("high")])
        };
        let mut seen = Seen::new(options);
        seen.extra = ["store/b.yml", "low/link/a.yaml", "high/sub"].map(|name| place.at(name)).into();
        seen.watch.also(seen.extra.clone());
        for round in 0..40 {
            for _ in 0..=dice.below(12) {
                // A play that the file system refuses is a play, too.
                play(&place, &mut dice).ok();
                if dice.below(4) == 0 {
                    seen.step(Duration::from_millis(1));
                }
            }
            println!("seed {seed:#x}, round {round}: to agree");
            seen.agrees();
        }
    }
}
