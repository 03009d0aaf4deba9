//! Restarts: what was held stays held, and what changes meanwhile is judged as if the daemon had seen it.

use super::*;

const REMOVALS: Accept = Accept { removals: true, unresolved: false };
const UNRESOLVED: Accept = Accept { removals: false, unresolved: true };

/// A route to a cluster, and another cluster.
fn start() -> Bench {
    let mut bench = Bench::new();
    let files = [("c.yaml", cluster("c")), ("r.yaml", route("r", "c")), ("x.yaml", cluster("x"))];
    bench.change(&files.each_ref().map(|(name, text)| (*name, Some(&**text))));
    bench
}

/// What was said of a held change, without what is said of a file for itself.
fn errors(outcome: &Outcome) -> Vec<String> {
    said(outcome).into_iter().filter(|line| line.starts_with("error")).collect()
}

#[test]
fn what_is_held_stays_held_over_restarts_with_the_same_finding_until_it_is_mended_or_accepted() {
    let edits = [
        ("r.yaml", Some(route("r", "missing")), Hold::Unresolved),
        ("c.yaml", None, Hold::Unresolved),
        ("new.yaml", Some(cluster("x")), Hold::Contradiction),
    ];
    for (file, text, hold) in edits {
        let mut bench = start();
        let outcome = bench.change(&[(file, text.as_deref())]);
        assert_eq!(held(&outcome), [hold]);
        let (said, condition) = (errors(&outcome), bench.condition(file));
        for _ in 0..3 {
            let (again, outcome) = bench.restart(&[]);
            bench = again;
            assert!(matches!(outcome.verdict, Verdict::Restored(..)), "{:?}", outcome.verdict);
            assert_eq!((held(&outcome), errors(&outcome)), (vec![hold], said.clone()));
            assert_eq!(bench.condition(file), condition);
            assert_eq!(bench.condition("x.yaml"), Some(Condition::Good), "it is served as it stands");
            assert_eq!(bench.served(), ["c", "r", "x"]);
            assert_eq!(held(&bench.accept(Accept::default())), [hold], "nobody accepted anything");
        }
        let (mut accepting, _) = bench.restart(&[]);
        let accepted = is_published(&accepting.accept(UNRESOLVED));
        assert_eq!(accepted, hold == Hold::Unresolved, "a contradiction cannot be accepted");
        let (mut bench, _) = accepting.restart(&[]);
        assert!(!accepted || held(&bench.accept(Accept::default())).is_empty(), "accepted is accepted");
        let mended = [("c.yaml", cluster("c")), ("r.yaml", route("r", "c")), ("new.yaml", "x-y: 1".into())];
        bench.change(&mended.each_ref().map(|(name, text)| (*name, Some(&**text))));
        assert_eq!(
            (bench.served(), bench.condition(file)),
            (["c", "r", "x"].map(String::from).into(), Some(Condition::Good))
        );
    }
}

#[test]
fn what_changed_while_the_daemon_was_down_is_held_and_taken_over_like_any_change() {
    // A few files may go, a whole change may come.
    let (bench, outcome) = start().restart(&[("x.yaml", None)]);
    assert!(is_published(&outcome), "{:?}", outcome.verdict);
    assert_eq!((bench.served(), bench.condition("x.yaml")), (["c", "r"].map(String::from).into(), None));
    let whole = [("c.yaml", Some(&*cluster("d"))), ("r.yaml", Some(&*route("r", "d")))];
    let (bench, outcome) = start().restart(&whole);
    assert!(is_published(&outcome), "{:?}", outcome.verdict);
    assert_eq!(bench.served(), ["d", "r", "x"]);
    // Half of it waits for the other half, all changes together.
    let (mut bench, outcome) = start().restart(&[whole[1], ("new.yaml", Some(&cluster("new")))]);
    assert_eq!(held(&outcome), [Hold::Unresolved]);
    assert_eq!(bench.condition("new.yaml"), Some(Condition::Held([Hold::Unresolved].into())));
    assert_eq!(bench.served(), ["c", "r", "x"]);
    assert!(is_published(&bench.change(&whole[..1])));
    assert_eq!(bench.served(), ["d", "new", "r", "x"]);
}

#[test]
fn a_restart_after_files_were_lost_serves_what_they_held_until_somebody_means_it() {
    let many = || {
        let mut bench = Bench::new();
        bench.change(&[("a.yaml", Some(&clusters(0..5))), ("b.yaml", Some(&clusters(5..12)))]);
        bench
    };
    let all = [("a.yaml", None), ("b.yaml", None)];
    for (files, code) in [(&all[1..], "mass-removal"), (&all[..], "config-dir-lost")] {
        let (mut bench, outcome) = many().restart(files);
        assert_eq!((held(&outcome), codes(&outcome)), (vec![Hold::Removal], vec![code]));
        let hint = outcome.diagnostics[0].hint.as_deref().unwrap_or_default();
        assert!(hint.contains("put the files back") && hint.contains("--accept-removals"), "{hint}");
        assert_eq!(bench.condition("b.yaml"), Some(Condition::Held([Hold::Removal].into())));
        assert_eq!(bench.served().len(), 12);
        // They may still be lost when it starts once more.
        let (mut again, outcome) = bench.restart(&[]);
        assert_eq!(held(&outcome), [Hold::Removal]);
        assert!(is_published(&again.accept(REMOVALS)));
        assert_eq!(again.served().len(), if files.len() == 1 { 5 } else { 0 });
        (bench, _) = many().restart(files);
        bench.change(&[("a.yaml", Some(&clusters(0..5))), ("b.yaml", Some(&clusters(5..13)))]);
        assert_eq!(bench.served().len(), 13, "the files came back");
    }
    // The directory is not mounted, or cannot be read.
    let mut bench = many();
    bench.sources.dirs = [Directory { path: "d".into(), state: DirState::Missing }].into();
    let (bench, outcome) = bench.restart(&all);
    assert_eq!((codes(&outcome), bench.served().len()), (vec!["config-dir-lost"], 12));
}

#[test]
fn a_directory_that_cannot_be_read_at_a_restart_has_what_was_in_it() {
    let mut bench = start();
    bench.sources.dirs =
        [Directory { path: "d".into(), state: DirState::Unreadable("permission denied".into()) }].into();
    let none = [("c.yaml", None), ("r.yaml", None), ("x.yaml", None)];
    let (mut bench, outcome) = bench.restart(&none);
    assert!(is_published(&outcome), "{outcome:?}");
    assert_eq!(
        (codes(&outcome), bench.served()),
        (vec!["config-dir-lost"], ["c", "r", "x"].map(String::from).into())
    );
    // Whoever accepts removals does not mean what nobody can see.
    assert!(matches!(bench.accept(REMOVALS).verdict, Verdict::Unchanged));
    bench.sources.dirs = [Directory { path: "d".into(), state: DirState::Present }].into();
    let outcome = bench.change(&[("c.yaml", Some(&cluster("c"))), ("r.yaml", Some(&route("r", "c")))]);
    assert!(is_published(&outcome), "{:?}", outcome.verdict);
    assert_eq!((bench.served(), bench.condition("x.yaml")), (["c", "r"].map(String::from).into(), None));
}

#[test]
fn what_is_lost_of_the_state_never_holds_up_a_start() {
    let files = [("c.yaml", cluster("c")), ("r.yaml", route("r", "c")), ("w.yaml", route("w", "missing"))];
    let files = files.each_ref().map(|(name, text)| (*name, Some(&**text)));
    let all =
        [("c.yaml", &*cluster("c")), ("r.yaml", &*route("r", "c")), ("w.yaml", &*route("w", "missing"))];
    let unusable = "clusters: [{name: c, lb_policy: NONE_SUCH}]";
    let states: [(&[(&str, &str)], bool); 6] = [
        (&[], false),
        (&all[..1], false),
        (&all[1..2], false),
        (&all[2..], false),
        (&[("c.yaml", unusable), all[1], all[2]], true),
        (&[("c.yaml", unusable)], false),
    ];
    for (saved, all_saved) in states {
        let mut bench = Bench::with(Policy::default(), saved);
        bench.fragments = bench.fragments.with_all_saved(all_saved);
        let outcome = bench.change(&files);
        assert!(is_published(&outcome), "{saved:?}: {:?}", outcome.verdict);
        assert_eq!(bench.served(), ["c", "r", "w"]);
    }
}

#[test]
fn what_may_have_been_served_is_not_taken_away_where_something_else_is_held() {
    // The new cluster was served a moment ago, and not saved yet.
    let mut bench =
        Bench::with(Policy::default(), &[("c.yaml", &cluster("c")), ("r.yaml", &route("r", "c"))]);
    let outcome = bench.change(&[("r.yaml", Some(&route("r", "c"))), ("new.yaml", Some(&cluster("new")))]);
    assert_eq!(held(&outcome), [Hold::Unresolved]);
    assert_eq!(bench.served(), ["c", "new", "r"]);
}

#[test]
fn a_restart_serves_at_once_what_it_served_without_a_look_at_what_was_saved() {
    let (mut bench, outcome) = start().restart(&[]);
    assert!(is_published(&outcome) && outcome.diagnostics.is_empty(), "{outcome:?}");
    let served = bench.fragments.served();
    assert!(bench.fragments.looks().all(|look| Arc::ptr_eq(look, &served[&look.name])));
    assert_eq!(bench.fragments.take_unsaved().len(), 3);
    assert_eq!(held(&bench.put("r.yaml", &route("r", "missing"))), [Hold::Unresolved]);
}

#[test]
fn nothing_is_accepted_before_the_files_were_looked_at_and_none_at_all_is_news() {
    let mut bench = Bench::with(Policy::default(), &[("a.yaml", &cluster("a"))]);
    assert!(matches!(bench.accept(REMOVALS).verdict, Verdict::Unchanged));
    assert!(bench.fragments.has_staged());
    assert_eq!(codes(&bench.change(&[])), ["config-dir-lost"]);
    assert_eq!(bench.served(), ["a"]);
    assert!(!bench.fragments.has_staged());
    assert!(is_published(&bench.accept(REMOVALS)));
}

#[test]
fn random_changes_and_restarts_serve_what_the_changes_alone_serve() {
    // A linear congruence is random enough, and the same each time.
    let mut seed = 11_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let (mut steady, mut restarted) = (start(), start());
    let (mut holds, mut restarts) = (0, 0);
    for _ in 0..600 {
        let name = format!("{}.yaml", random(5));
        let text = match random(6) {
            0 => None,
            // What was good and never served is not kept anywhere, should its file be broken then.
            1 if !matches!(steady.condition(&name), Some(Condition::Held(_))) => Some(BROKEN.to_owned()),
            2 => {
                Some(for_node(["edge-1", "edge-*"][random(2) as usize], &cluster(&format!("c{}", random(3)))))
            }
            3 => Some(cluster(&format!("c{}", random(3)))),
            _ => Some(route(&format!("r{}", random(3)), &format!("c{}", random(3)))),
        };
        let change = [(&*name, text.as_deref())];
        let outcome = steady.change(&change);
        holds += usize::from(!held(&outcome).is_empty());
        if random(3) == 0 {
            restarted = restarted.restart(&change).0;
            restarts += 1;
        } else {
            restarted.change(&change);
        }
        if random(8) == 0 {
            let accept = Accept { unresolved: true, removals: true };
            steady.accept(accept);
            restarted.accept(accept);
        }
        assert_eq!(restarted.served(), steady.served());
        for (name, standing) in &restarted.fragments.standings() {
            // A file that holds what is served again waits with the others; a start sees that it is served.
            assert!(
                standing.state == Condition::Good || Some(&standing.state) == steady.condition(name).as_ref()
            );
        }
        let waits = |bench: &Bench| {
            let standings = bench.fragments.standings();
            standings.values().any(|standing| matches!(standing.state, Condition::Held(_)))
        };
        assert_eq!(waits(&restarted), waits(&steady));
    }
    assert!(holds > 50 && restarts > 100, "{holds} changes were held, {restarts} restarts");
}
