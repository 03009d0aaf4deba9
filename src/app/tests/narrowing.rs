//! The guard and `nodes:`: what is taken away from some Envoys is taken away, too.

use super::*;

const REMOVALS: Accept = Accept { removals: true, unresolved: false };

fn bench(files: &[(&str, String)]) -> Bench {
    let mut bench = Bench::new();
    put_all(&mut bench, files);
    bench
}

fn put_all(bench: &mut Bench, files: &[(&str, String)]) -> Outcome {
    let files: Vec<(&str, Option<&str>)> = files.iter().map(|(name, text)| (*name, Some(&**text))).collect();
    bench.change(&files)
}

#[test]
fn nodes_that_take_most_resources_away_from_envoys_are_confirmed_first() {
    for (from, to) in [(None, "edge-1"), (Some("edge-*"), "edge-1"), (Some("edge-1"), "egde-1")] {
        let text = from.map_or(clusters(0..7), |id| for_node(id, &clusters(0..7)));
        let mut bench = bench(&[("a.yaml", text), ("b.yaml", clusters(7..12))]);
        let edit = [("a.yaml", for_node(to, &clusters(0..7)))];
        let outcome = put_all(&mut bench, &edit);
        assert_eq!(held(&outcome), [Hold::Removal], "{from:?} to {to}");
        let [finding] = &outcome.diagnostics[..] else { panic!("{outcome:?}") };
        let expected = "this change would take 7 of the 12 resources away from Envoys that receive them; narrower `nodes:` in: d/a.yaml";
        assert_eq!((finding.code, &*finding.message), ("mass-removal", expected));
        assert!(finding.hint.as_deref().is_some_and(|hint| hint.contains("widen the `nodes:` again")));
        // Over a restart, too.
        let (mut bench, outcome) = bench.restart(&[]);
        assert_eq!(held(&outcome), [Hold::Removal]);
        assert!(is_published(&bench.accept(REMOVALS)));
    }
}

#[test]
fn what_goes_and_what_some_envoys_lose_count_together() {
    let start = [("a.yaml", clusters(0..4)), ("b.yaml", clusters(4..8)), ("c.yaml", clusters(8..14))];
    let mut bench = bench(&start);
    bench.sources.files.remove("b.yaml");
    let edit = [("a.yaml", Some(&*for_node("x", &clusters(0..4)))), ("b.yaml", None)];
    let outcome = bench.change(&edit);
    assert_eq!(held(&outcome), [Hold::Removal]);
    let message = &outcome.diagnostics[0].message;
    let expected = "remove 4 of the 14 resources that are served, and take 4 further ones away from Envoys that receive them; \
                    files that are gone: b.yaml; narrower `nodes:` in: d/a.yaml";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn nodes_of_few_resources_wider_ones_and_those_of_which_nobody_knows_whom_they_leave_out_go_at_once() {
    let go_at_once = |from: Vec<(&str, String)>, to: Vec<(&str, String)>| {
        let mut bench = bench(&from);
        let outcome = put_all(&mut bench, &to);
        assert!(is_published(&outcome), "{to:?}: {:?}", outcome.verdict);
    };
    let many = || clusters(0..12);
    go_at_once(vec![("a", clusters(0..10))], vec![("a", for_node("x", &clusters(0..10)))]);
    go_at_once(vec![("a", for_node("edge-1", &many()))], vec![("a", for_node("edge-*", &many()))]);
    go_at_once(vec![("a", for_node("edge-1", &many()))], vec![("a", many())]);
    go_at_once(
        vec![("a", for_node("edge-*", &many()))],
        vec![("a", format!("nodes: [{{cluster: c}}]\n{}", many()))],
    );
    // The same in parts for each sort of node; other audiences of the same name do not count.
    go_at_once(vec![("a", many())], vec![("a", for_node("x", &many())), ("b", for_node("y", &many()))]);
    let others = || (0..20).map(|n| for_node(&format!("n{n}"), &cluster("c"))).collect::<Vec<_>>();
    let names: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let from: Vec<(&str, String)> = names.iter().map(String::as_str).zip(others()).collect();
    go_at_once(from, vec![("0", for_node("m", &cluster("c")))]);
}

#[test]
fn the_cost_of_narrowing_follows_the_change() {
    let time = |count: usize| {
        let files: Vec<(String, String)> =
            (0..count).map(|n| (format!("{n}.yaml"), for_node("edge-*", &clusters(n..n + 1)))).collect();
        let files: Vec<(&str, String)> = files.iter().map(|(name, text)| (&**name, text.clone())).collect();
        let mut bench = bench(&files);
        let changes =
            (0..30).map(|n| bench.put("0.yaml", &for_node(&format!("edge-{n}"), &clusters(0..1))).took);
        changes.min().expect("some changes")
    };
    let (few, many) = (time(50), time(3_000));
    let limit = few * 8 + std::time::Duration::from_millis(1);
    assert!(many < limit, "{few:?} among few, {many:?} among sixty times as many");
}

#[test]
fn a_name_that_is_left_for_some_nodes_only_by_a_lost_file_asks_for_that_file() {
    let parts = [("a", for_node("a", &clusters(0..12))), ("b", for_node("b", &clusters(0..12)))];
    let mut bench = bench(&parts);
    let outcome = bench.remove("b");
    assert_eq!(held(&outcome), [Hold::Removal]);
    let [finding] = &outcome.diagnostics[..] else { panic!("{outcome:?}") };
    assert!(finding.message.ends_with("receive them; files that are gone: b"), "{}", finding.message);
    assert!(finding.hint.as_deref().is_some_and(|hint| hint.starts_with("put the files back; if")));
}
