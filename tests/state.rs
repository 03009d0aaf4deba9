//! The state directory with the real daemon: sudden ends, full disks, broken starts, permissions.
//!
//! Comes in: fragments and a state directory. Goes out: what the daemon serves after each accident.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use common::bridge::{Address, Bridge};
use common::files::{list, put, remove};
use common::peek::{clusters, is_silent};
use common::{SOON, free_port, wait_until};
use tempfile::TempDir;

const BROKEN: &str = "clusters: [\n";

/// A configuration directory, a state directory, and a daemon on both.
struct Bench {
    dir: TempDir,
    bridge: Bridge,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Bench {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        let config = dir.path().join("config.d");
        fs::create_dir(&config).expect("created");
        for (name, text) in files {
            put(&config, name, text);
        }
        let bridge = start(dir.path());
        Bench { dir, bridge }
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("config.d")
    }

    fn fragments(&self) -> PathBuf {
        self.dir.path().join("state/v1")
    }

    /// Waits until the state directory holds this text.
    #[track_caller]
    fn wait_until_saved(&self, text: &str) {
        wait_until(SOON, &format!("{text} in the state directory"), || {
            saved(&self.fragments()).contains(text)
        });
    }

    #[track_caller]
    fn wait_until_served(&mut self, names: &[&str]) {
        let address = self.bridge.address().clone();
        wait_until(SOON, &format!("{names:?} to be served"), || clusters(&address) == names);
    }
}

fn start(dir: &Path) -> Bridge {
    let state = dir.join("state").display().to_string();
    Bridge::serve_with(&dir.join("config.d"), Address::Tcp(free_port()), &["--state-dir", &state])
}

fn cluster(name: &str) -> String {
    format!("clusters:\n- name: {name}\n")
}

/// All that whole files of the state directory hold.
fn saved(fragments: &Path) -> String {
    let names = if fragments.exists() { list(fragments) } else { Vec::new() };
    let whole = names.iter().filter(|name| !name.starts_with('.'));
    // One may be removed meanwhile.
    whole.filter_map(|name| fs::read_to_string(fragments.join(name)).ok()).collect()
}

#[test]
fn a_start_with_a_broken_file_serves_its_last_good_content() {
    let mut bench = Bench::new(&[("a.yaml", &cluster("a1")), ("sub/b.yaml", &cluster("b1"))]);
    bench.wait_until_served(&["a1", "b1"]);
    put(&bench.config(), "a.yaml", &cluster("a2"));
    bench.wait_until_saved("name: a2");
    bench.wait_until_saved("name: b1");
    bench.bridge.kill();
    put(&bench.config(), "a.yaml", BROKEN);
    put(&bench.config(), "sub/b.yaml", &cluster("b2"));
    let from = bench.bridge.log().len();
    bench.bridge.restart();
    bench.wait_until_served(&["a2", "b2"]);
    bench.bridge.wait_for_line(from, "last-good-content");
    put(&bench.config(), "a.yaml", &cluster("a3"));
    bench.wait_until_served(&["a3", "b2"]);
}

#[test]
fn a_start_without_a_file_that_a_fragment_names_serves_what_it_held() {
    let fragment = "clusters:\n- name: a\n  alt_stat_name: !file ../name.txt\n";
    let mut bench = Bench::new(&[("b.yaml", &cluster("b"))]);
    bench.wait_until_served(&["b"]);
    put(bench.dir.path(), "name.txt", "held");
    put(&bench.config(), "a.yaml", fragment);
    bench.wait_until_served(&["a", "b"]);
    bench.wait_until_saved("!file");
    bench.bridge.kill();
    remove(bench.dir.path(), "name.txt");
    bench.bridge.restart();
    bench.wait_until_served(&["a", "b"]);
    let clusters = || common::peek::peek(bench.bridge.address(), common::peek::CLUSTERS, "peek");
    assert!(String::from_utf8_lossy(&clusters()["a"]).contains("held"));
    put(bench.dir.path(), "name.txt", "mended");
    wait_until(SOON, "the mended file to count", || {
        String::from_utf8_lossy(&clusters()["a"]).contains("mended")
    });
}

#[test]
fn without_a_last_good_content_a_start_with_a_broken_file_serves_nothing_until_it_is_mended() {
    let mut bench = Bench::new(&[("a.yaml", BROKEN), ("b.yaml", &cluster("b"))]);
    bench.bridge.wait_for_line(0, "not serving");
    assert!(is_silent(bench.bridge.address()));
    assert_eq!(saved(&bench.fragments()), "");
    put(&bench.config(), "a.yaml", &cluster("a"));
    bench.wait_until_served(&["a", "b"]);
}

#[test]
fn a_fragment_that_was_never_good_does_not_keep_a_start_from_serving_the_others() {
    let mut bench = Bench::new(&[("a.yaml", &cluster("a")), ("sub.yaml/b.yaml", &cluster("b"))]);
    let mark = bench.dir.path().join("state/v1.whole");
    wait_until(SOON, "everything to be saved", || mark.exists());
    bench.bridge.kill();
    put(&bench.config(), "new.yaml", BROKEN);
    // A directory that cannot be read, for root neither.
    fs::rename(bench.config().join("sub.yaml"), bench.dir.path().join("aside")).expect("renamed");
    std::os::unix::fs::symlink("sub.yaml", bench.config().join("sub.yaml")).expect("linked");
    for _ in 0..2 {
        bench.bridge.restart();
        bench.wait_until_served(&["a", "b"]);
        assert!(bench.bridge.terminate().success());
    }
    fs::remove_file(bench.config().join("sub.yaml")).expect("removed");
    fs::rename(bench.dir.path().join("aside"), bench.config().join("sub.yaml")).expect("renamed");
    put(&bench.config(), "sub.yaml/b.yaml", BROKEN);
    // What one of them held is lost: it was served, and is not to be taken away.
    let lost = list(&bench.fragments()).into_iter().map(|name| bench.fragments().join(name));
    let holds_b = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains("name: b\n"));
    fs::remove_file(lost.into_iter().find(holds_b).expect("it is saved")).expect("removed");
    let from = bench.bridge.log().len();
    bench.bridge.restart();
    bench.bridge.wait_for_line(from, "not serving");
    assert!(is_silent(bench.bridge.address()));
    put(&bench.config(), "sub.yaml/b.yaml", &cluster("b2"));
    remove(&bench.config(), "new.yaml");
    bench.wait_until_served(&["a", "b2"]);
    wait_until(SOON, "everything to be saved again", || mark.exists());
}

#[test]
fn removed_fragments_are_forgotten() {
    let mut bench =
        Bench::new(&[("a.yaml", &cluster("a")), ("b.yaml", &cluster("b")), ("c.yaml", &cluster("c"))]);
    for name in ["a", "b", "c"] {
        bench.wait_until_saved(&format!("name: {name}\n"));
    }
    // While it runs, and while it does not.
    remove(&bench.config(), "b.yaml");
    wait_until(SOON, "b to be forgotten", || !saved(&bench.fragments()).contains("name: b\n"));
    bench.bridge.kill();
    remove(&bench.config(), "c.yaml");
    bench.bridge.restart();
    wait_until(SOON, "c to be forgotten", || !saved(&bench.fragments()).contains("name: c\n"));
    bench.wait_until_served(&["a"]);
}

#[test]
fn what_is_saved_is_for_the_daemons_user_alone() {
    let mut bench = Bench::new(&[("a.yaml", &cluster("a"))]);
    bench.wait_until_saved("name: a\n");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&bench.dir.path().join("state")), 0o700);
    assert_eq!(mode(&bench.fragments()), 0o700);
    for name in list(&bench.fragments()) {
        assert_eq!(mode(&bench.fragments().join(name)), 0o600);
    }
    // An empty directory that somebody made for us is closed, too.
    let open = bench.dir.path().join("open");
    fs::create_dir(&open).expect("created");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).expect("set");
    bench.bridge.kill();
    let flags = ["--state-dir", open.to_str().expect("UTF-8")];
    let _bridge = Bridge::serve_with(&bench.config(), Address::Tcp(free_port()), &flags);
    wait_until(SOON, "the fragment to be saved", || saved(&open.join("v1")).contains("name: a\n"));
    assert_eq!(mode(&open), 0o700);
}

#[test]
fn an_orderly_end_saves_everything_first() {
    let mut bench = Bench::new(&[("a.yaml", &cluster("a"))]);
    bench.wait_until_served(&["a"]);
    for round in 0..5 {
        let name = format!("a{round}");
        put(&bench.config(), "a.yaml", &cluster(&name));
        bench.wait_until_served(&[&name]);
        assert!(bench.bridge.terminate().success());
        assert!(saved(&bench.fragments()).contains(&format!("name: {name}\n")));
        bench.bridge.restart();
    }
}

#[test]
fn damaged_files_and_other_formats_are_ignored_with_a_warning() {
    let mut bench = Bench::new(&[("a.yaml", &cluster("a")), ("b.yaml", &cluster("b"))]);
    bench.wait_until_saved("name: a\n");
    bench.wait_until_saved("name: b\n");
    bench.bridge.kill();
    let files = list(&bench.fragments());
    assert_eq!(files.len(), 2);
    type Damage = fn(&[u8]) -> Vec<u8>;
    let damages: [Damage; 4] = [
        |bytes| bytes[..bytes.len() - 3].to_vec(),
        |bytes| [bytes, b"more"].concat(),
        |bytes| String::from_utf8_lossy(bytes).replace("name: ", "name: x").into_bytes(),
        |_| Vec::new(),
    ];
    for damage in damages {
        let whole: Vec<Vec<u8>> =
            files.iter().map(|name| fs::read(bench.fragments().join(name)).expect("readable")).collect();
        for (name, bytes) in files.iter().zip(&whole) {
            fs::write(bench.fragments().join(name), damage(bytes)).expect("written");
        }
        fs::write(bench.fragments().join(".unfinished-x"), "half").expect("written");
        fs::create_dir_all(bench.dir.path().join("state/v99")).expect("created");
        put(&bench.config(), "a.yaml", BROKEN);
        let from = bench.bridge.log().len();
        bench.bridge.restart();
        bench.bridge.wait_for_line(from, "is damaged, and is ignored");
        bench.bridge.wait_for_line(from, "in a format of its own; it is ignored");
        bench.bridge.wait_for_line(from, "not serving");
        assert!(is_silent(bench.bridge.address()));
        // Mended, it is saved anew, over the damage.
        put(&bench.config(), "a.yaml", &cluster("a"));
        bench.wait_until_served(&["a", "b"]);
        assert!(bench.bridge.terminate().success());
        assert_eq!(list(&bench.fragments()), files);
        let mended = files.iter().map(|name| fs::read(bench.fragments().join(name)).expect("readable"));
        assert_eq!(mended.collect::<Vec<_>>(), whole);
    }
}

#[test]
fn a_state_directory_that_cannot_be_used_never_stops_serving() {
    let bench = Bench::new(&[("a.yaml", &cluster("a"))]);
    let file = bench.dir.path().join("file");
    fs::write(&file, "not a directory").expect("written");
    let flags = ["--state-dir", file.to_str().expect("UTF-8")];
    let mut bridge = Bridge::serve_with(&bench.config(), Address::Tcp(free_port()), &flags);
    let told = bridge.wait_for_line(0, "the state directory cannot be used");
    assert!(told.contains("it is a file"), "{told}");
    assert_eq!(clusters(bridge.address()), ["a"]);
}

/// What keeps large contents from being written.
enum Obstacle {
    /// A file system of a few pages, where mounting is allowed; unmounted when dropped.
    TinyDisk(PathBuf),
    /// A folder in the place of the file that is written first; anybody can make one.
    InTheWay,
}

impl Obstacle {
    fn at(state: &Path) -> Obstacle {
        fs::create_dir(state).expect("created");
        let mut mount = Command::new("mount");
        let status = mount.args(["-t", "tmpfs", "-o", "size=64k", "tiny"]).arg(state).output();
        match status.is_ok_and(|output| output.status.success()) {
            true => Obstacle::TinyDisk(state.to_owned()),
            false => Obstacle::InTheWay,
        }
    }

    /// From now on, there is no room for the fragment that holds `text`.
    fn fill(&self, fragments: &Path, text: &str) {
        if let Obstacle::InTheWay = self {
            fs::create_dir(unfinished(fragments, text)).expect("created");
        }
    }

    /// There is room again.
    fn clear(&self, fragments: &Path, text: &str) {
        if let Obstacle::InTheWay = self {
            fs::remove_dir(unfinished(fragments, text)).expect("removed");
        }
    }
}

impl Drop for Obstacle {
    fn drop(&mut self) {
        if let Obstacle::TinyDisk(place) = self {
            // Lazily: the daemon may still be at work in it when a test fails.
            let _ = Command::new("umount").arg("-l").arg(place).status();
        }
    }
}

/// Where the next content of the fragment that holds `text` is written first.
fn unfinished(fragments: &Path, text: &str) -> PathBuf {
    let holds =
        |name: &String| fs::read_to_string(fragments.join(name)).is_ok_and(|saved| saved.contains(text));
    let name = list(fragments).into_iter().find(holds).expect("it is saved");
    let stem = name.split('.').next().expect("the first part");
    fragments.join(format!(".unfinished-{stem}"))
}

#[test]
fn a_full_disk_never_stops_serving_and_never_harms_what_was_saved() {
    let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
    let config = dir.path().join("config.d");
    fs::create_dir(&config).expect("created");
    put(&config, "a.yaml", &cluster("a1"));
    put(&config, "b.yaml", &cluster("b1"));
    let obstacle = Obstacle::at(&dir.path().join("state"));
    let bridge = start(dir.path());
    let mut bench = Bench { dir, bridge };
    bench.wait_until_saved("name: a1");
    bench.wait_until_saved("name: b1");
    obstacle.fill(&bench.fragments(), "name: a1");
    let large = format!("{}# {}\n", cluster("a2"), "x".repeat(100_000));
    put(&bench.config(), "a.yaml", &large);
    bench.bridge.wait_for_line(0, "cannot be saved");
    bench.wait_until_served(&["a2", "b1"]);
    // What fits goes on being saved.
    put(&bench.config(), "b.yaml", &cluster("b2"));
    bench.wait_until_saved("name: b2");
    assert!(saved(&bench.fragments()).contains("name: a1"));
    // What could not be saved was served all the same, and is not taken back for a change that is held.
    bench.bridge.kill();
    put(&bench.config(), "b.yaml", &cluster("a2"));
    let from = bench.bridge.log().len();
    bench.bridge.restart();
    bench.bridge.wait_for_line(from, "what the files hold now is held back");
    bench.wait_until_served(&["a2", "b2"]);
    put(&bench.config(), "b.yaml", &cluster("b2"));
    // It is good enough where there is nothing else.
    bench.bridge.kill();
    put(&bench.config(), "a.yaml", BROKEN);
    bench.bridge.restart();
    bench.wait_until_served(&["a1", "b2"]);
    obstacle.clear(&bench.fragments(), "name: a1");
    put(&bench.config(), "a.yaml", &cluster("a3"));
    bench.wait_until_saved("name: a3");
    bench.bridge.kill();
}

/// Random enough, and the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A fragment whose cluster tells its version, of a size that takes more than one write.
fn versioned(file: usize, version: u64) -> String {
    format!("{}# {}\n", cluster(&format!("f{file}-v{version}-")), "filling ".repeat(20_000 * (file % 2)))
}

/// The version of each fragment, among texts that name them.
fn versions(text: &str, file: usize) -> Option<u64> {
    let at = text.find(&format!("f{file}-v"))?;
    let digits = text[at..].split_once("-v")?.1;
    digits.split('-').next()?.parse().ok()
}

#[test]
fn after_a_sudden_end_at_any_moment_a_broken_fragment_has_its_last_good_content() {
    const ROUNDS: u64 = 40;
    const FILES: usize = 4;
    let mut random = Random(11);
    let mut newest = [1_u64; FILES];
    let first: Vec<(String, String)> =
        (0..FILES).map(|file| (format!("{file}.yaml"), versioned(file, 1))).collect();
    let first: Vec<(&str, &str)> = first.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut bench = Bench::new(&first);
    for file in 0..FILES {
        bench.wait_until_saved(&format!("f{file}-v1-"));
    }
    let mut recalled = 0;
    for _ in 0..ROUNDS {
        for _ in 0..=random.below(8) {
            let file = random.below(FILES as u64) as usize;
            newest[file] += 1;
            put(&bench.config(), &format!("{file}.yaml"), &versioned(file, newest[file]));
            sleep(Duration::from_micros(random.below(6_000)));
        }
        sleep(Duration::from_micros(random.below(40_000)));
        let on_disk = saved(&bench.fragments());
        bench.bridge.kill();
        let broken = random.below(FILES as u64) as usize;
        put(&bench.config(), &format!("{broken}.yaml"), BROKEN);
        bench.bridge.restart();
        let served = clusters(bench.bridge.address()).join(" ");
        for (file, newest) in newest.iter().enumerate() {
            let version =
                versions(&served, file).unwrap_or_else(|| panic!("nothing of {file}.yaml in {served}"));
            if file == broken {
                let at_least = versions(&on_disk, file).expect("each file was saved once");
                assert!((at_least..=*newest).contains(&version), "{at_least} ≤ {version} ≤ {newest}");
                recalled += u64::from(version == *newest);
            } else {
                assert_eq!(version, *newest);
            }
        }
        newest[broken] += 1;
        put(&bench.config(), &format!("{broken}.yaml"), &versioned(broken, newest[broken]));
    }
    assert!(recalled > 0, "not once was the newest version saved in time: nothing was tried");
}
