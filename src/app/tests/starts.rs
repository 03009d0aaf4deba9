//! Starts: with nothing, with what is broken, and with what the state directory kept.

use super::*;

#[test]
fn an_empty_start_waits_and_a_broken_one_does_not_serve_a_part() {
    let mut bench = Bench::new();
    assert!(matches!(bench.change(&[]).verdict, Verdict::Empty));
    let outcome = bench.change(&[("a.yaml", Some(BROKEN)), ("b.yaml", Some(&cluster("b")))]);
    assert!(matches!(outcome.verdict, Verdict::NotYet));
    assert_eq!(bench.condition("a.yaml"), Some(Condition::Refused));
    assert_eq!(bench.condition("b.yaml"), Some(Condition::Waiting));
    assert!(is_published(&bench.put("a.yaml", &cluster("a"))));
    assert_eq!(bench.served(), ["a", "b"]);
    assert_eq!(bench.condition("b.yaml"), Some(Condition::Good));
}

#[test]
fn a_start_with_a_broken_file_takes_its_last_good_content_from_before() {
    let saved = [("a.yaml", &*cluster("a1")), ("b.yaml", &*cluster("b1")), ("gone.yaml", &*cluster("gone"))];
    let mut bench = Bench::with(Policy::default(), &saved);
    let outcome = bench.change(&[("a.yaml", Some(BROKEN)), ("b.yaml", Some(&cluster("b2")))]);
    assert!(is_published(&outcome), "{:?}", outcome.verdict);
    assert!(
        said(&outcome).contains(&"warning last-good-content d/a.yaml".to_owned()),
        "{:?}",
        said(&outcome)
    );
    assert_eq!(bench.served(), ["a1", "b2"]);
    assert_eq!(bench.condition("a.yaml"), Some(Condition::Stale));
    let unsaved: BTreeMap<FileName, bool> =
        bench.fragments.take_unsaved().into_iter().map(|(name, look)| (name, look.is_some())).collect();
    let expected = [("a.yaml", true), ("b.yaml", true), ("gone.yaml", false)];
    assert_eq!(unsaved, expected.into_iter().map(|(name, is_there)| (name.into(), is_there)).collect());
    bench.put("a.yaml", &cluster("a2"));
    assert_eq!(bench.served(), ["a2", "b2"]);
    assert_eq!(bench.fragments.take_unsaved().len(), 1);
    // A file that was never good, or whose content from before is no good any more, has nothing to take.
    for (name, before) in [("never.yaml", "b.yaml"), ("a.yaml", "a.yaml")] {
        let mut bench = Bench::with(Policy::default(), &[(before, BROKEN)]);
        let outcome = bench.change(&[(name, Some(BROKEN)), ("b.yaml", Some(&cluster("b")))]);
        assert!(matches!(outcome.verdict, Verdict::NotYet));
    }
}

#[test]
fn a_start_with_a_fragment_that_was_never_good_serves_the_others_if_all_that_was_served_is_known() {
    let start = |saved: &[(&str, &str)], all_saved| {
        let mut bench = Bench::with(Policy::default(), saved);
        bench.fragments = bench.fragments.with_all_saved(all_saved);
        let files = [("a.yaml", Some(&*cluster("a"))), ("new.yaml", Some(BROKEN))];
        let outcome = bench.change(&files);
        (bench, outcome)
    };
    let (mut bench, outcome) = start(&[("a.yaml", &cluster("a"))], true);
    assert!(is_published(&outcome), "{:?}", outcome.verdict);
    assert_eq!((bench.served(), bench.condition("new.yaml")), (vec!["a".into()], Some(Condition::Refused)));
    bench.put("new.yaml", &cluster("new"));
    assert_eq!(bench.served(), ["a", "new"]);
    // It may have been served; it was served, and what it held is lost or no good; nothing was saved at all.
    for (saved, all_saved) in [
        (&[("a.yaml", &*cluster("a"))][..], false),
        (&[("a.yaml", &cluster("a")), ("new.yaml", BROKEN)], true),
        (&[], true),
    ] {
        let (_, outcome) = start(saved, all_saved);
        assert!(matches!(outcome.verdict, Verdict::NotYet), "{saved:?} {all_saved}: {:?}", outcome.verdict);
    }
}

#[test]
fn what_is_no_file_keeps_no_start_from_serving_the_others() {
    let start = |problem: &ReadProblem, saved: &[(&str, &str)]| {
        let mut bench = Bench::with(Policy::default(), saved);
        let file = SourceFile { path: "d/p.yaml".into(), content: Err(problem.clone()) };
        bench.sources.files.insert("p.yaml".into(), file);
        bench.write(&[("a.yaml", Some(&cluster("a")))]);
        let outcome = bench.fragments.update(&bench.sources, &["a.yaml".into(), "p.yaml".into()]);
        (bench.take(outcome), bench.served(), bench.condition("p.yaml"))
    };
    let kinds = [FileKind::Fifo, FileKind::Socket, FileKind::Device].map(ReadProblem::NotRegular);
    for problem in kinds.iter().chain([&ReadProblem::Circle]) {
        let (outcome, served, condition) = start(problem, &[]);
        assert!(is_published(&outcome), "{outcome:?}");
        assert_eq!(said(&outcome), ["error unreadable-file d/p.yaml"]);
        assert_eq!((served, condition), (vec!["a".into()], Some(Condition::Refused)));
        let (_, served, condition) = start(problem, &[("p.yaml", &cluster("p"))]);
        assert_eq!((served, condition), (vec!["a".into(), "p".into()], Some(Condition::Stale)));
        let (outcome, ..) = start(problem, &[("p.yaml", BROKEN)]);
        assert!(matches!(outcome.verdict, Verdict::NotYet), "what it held is unknown: {outcome:?}");
    }
}

#[test]
fn a_start_with_a_directory_that_cannot_be_read_serves_what_was_in_it() {
    let saved =
        [("a.yaml", &*cluster("a")), ("sub/b.yaml", &*cluster("b")), ("sub/x/c.yaml", &*cluster("c"))];
    let closed = || SourceFile { path: "d/sub".into(), content: Err(ReadProblem::PermissionDenied) };
    let start = |saved: &[(&str, &str)], all_saved| {
        let mut bench = Bench::with(Policy::default(), saved);
        bench.fragments = bench.fragments.with_all_saved(all_saved);
        let content = Ok(cluster("a").into());
        bench.sources.files.insert("a.yaml".into(), SourceFile { path: "d/a.yaml".into(), content });
        bench.sources.files.insert("sub".into(), closed());
        let outcome = bench.fragments.update(&bench.sources, &["a.yaml".into(), "sub".into()]);
        let outcome = bench.take(outcome);
        (bench, outcome)
    };
    let (mut bench, outcome) = start(&saved, true);
    assert!(is_published(&outcome), "{:?}", outcome.verdict);
    assert!(codes(&outcome).contains(&"last-good-content"), "{:?}", codes(&outcome));
    assert_eq!(
        (bench.served(), bench.condition("sub")),
        (["a", "b", "c"].map(String::from).into(), Some(Condition::Refused))
    );
    // Other changes leave it as it is; when it can be read, what is in it counts.
    bench.put("a.yaml", &cluster("a2"));
    assert_eq!(bench.served(), ["a2", "b", "c"]);
    let outcome = bench.change(&[("sub", None), ("sub/b.yaml", Some(&cluster("b2")))]);
    assert!(is_published(&outcome), "{:?}", outcome.verdict);
    assert_eq!(
        (bench.served(), bench.condition("sub/x/c.yaml")),
        (["a2", "b2"].map(String::from).into(), None)
    );
    // What was in it is not wholly known.
    let (_, outcome) = start(&saved, false);
    assert!(matches!(outcome.verdict, Verdict::NotYet), "{:?}", outcome.verdict);
    let (_, outcome) = start(&[saved[0], ("sub/b.yaml", BROKEN), saved[2]], true);
    assert!(matches!(outcome.verdict, Verdict::NotYet), "{:?}", outcome.verdict);
}

#[test]
fn a_start_with_a_contradiction_serves_what_was_served_before() {
    let saved = [("a.yaml", &*cluster("a")), ("gone.yaml", &*cluster("gone"))];
    let mut bench = Bench::with(Policy::default(), &saved);
    let outcome = bench.change(&[("a.yaml", Some(&cluster("a"))), ("b.yaml", Some(&cluster("a")))]);
    assert!(matches!(outcome.verdict, Verdict::Restored(..)), "{:?}", outcome.verdict);
    assert_eq!(held(&outcome), [Hold::Contradiction]);
    assert_eq!(bench.served(), ["a", "gone"]);
    assert!(is_published(&bench.put("b.yaml", &cluster("b"))));
    assert_eq!(bench.served(), ["a", "b"]);
    // The same for an error, when errors hold everything.
    let policy = Policy { on_error: OnError::Hold, ..Policy::default() };
    let mut bench = Bench::with(policy.clone(), &saved);
    bench.fragments = bench.fragments.with_all_saved(true);
    let outcome = bench.change(&[("a.yaml", Some(BROKEN)), ("b.yaml", Some(&cluster("b")))]);
    assert_eq!(held(&outcome), [Hold::Errors]);
    assert_eq!(bench.served(), ["a", "gone"]);
    bench.put("a.yaml", &cluster("a2"));
    assert_eq!(bench.served(), ["a2", "b"]);
    let mut bench = Bench::with(policy, &[]);
    assert!(matches!(bench.put("a.yaml", BROKEN).verdict, Verdict::NotYet));
}
