//! Rules 5 to 11: what a client may ask for, and what it is told.

use super::*;
use crate::common::{SOON, wait_until};

fn two_of_each() -> String {
    let both = Kind::ALL.into_iter().flat_map(|kind| [(kind, "a", 1), (kind, "b", 1)]);
    fragment(&both.collect::<Vec<_>>())
}

/// The same with `a` and `b` of this type at these contents, or without them.
fn with(kind: Kind, a: Option<u32>, b: Option<u32>) -> String {
    let others = Kind::ALL
        .into_iter()
        .filter(|other| *other != kind)
        .flat_map(|kind| [(kind, "a", 1), (kind, "b", 1)]);
    let these = [("a", a), ("b", b)].into_iter().filter_map(|(name, content)| Some((kind, name, content?)));
    fragment(&others.chain(these).collect::<Vec<_>>())
}

fn names(kind: Kind, names: &[&str]) -> Vec<String> {
    names
        .iter()
        .map(|name| match name.strip_prefix('-') {
            Some(name) => format!("-{}", full_name(kind, name)),
            None => full_name(kind, name),
        })
        .collect()
}

#[test]
fn rule_05_an_empty_first_list_asks_for_everything_of_any_type() {
    let world = World::new(&[("all.yaml", &two_of_each())]);
    for (variant, only, kind) in everywhere() {
        let mut stream = world.client.open(variant, only).unwrap();
        stream.ask(kind, &[]);
        assert_eq!(stream.take(kind).says(), names(kind, &["a", "b"]), "{stream:?}");
        // So does a star.
        let mut stream = world.client.open(variant, only).unwrap();
        stream.ask(kind, &["*"]);
        assert_eq!(stream.take(kind).says(), names(kind, &["a", "b"]), "{stream:?}");
    }
}

#[test]
fn rule_05_a_single_service_takes_requests_without_a_type() {
    let world = World::new(&[("all.yaml", &two_of_each())]);
    for (variant, only, kind) in everywhere().into_iter().filter(|(_, only, _)| only.is_some()) {
        let mut stream = world.client.open(variant, only).unwrap();
        stream.send("", Ask::default());
        assert_eq!(stream.take(kind).says(), names(kind, &["a", "b"]), "{stream:?}");
    }
}

#[test]
fn rule_05_a_star_stands_beside_names_and_is_dropped_again() {
    let world = World::new(&[("all.yaml", &two_of_each())]);
    for (variant, only, kind) in everywhere() {
        let (a, mark) = (full_name(kind, "a"), full_name(kind, "mark"));
        let mut stream = world.client.open(variant, only).unwrap();
        stream.ask(kind, &["*", &a, &mark]);
        let first = stream.expect(kind);
        let missing: &[&str] = match (variant, kind) {
            (Delta, Kind::VirtualHost) => &["?rc/mark"],
            (Delta, _) => &["-mark"],
            (Sotw, _) => &[],
        };
        let mut expected: Vec<String> = missing.iter().map(ToString::to_string).collect();
        expected.extend(names(kind, &["a", "b"]));
        assert_eq!(first.says(), expected, "{stream:?}");
        match variant {
            Delta => {
                stream.ack(&first);
                stream.drop_names(kind, &["*"]);
            }
            Sotw => ask_again(&mut stream, kind, &first, &[&a, &mark]),
        }
        // What is named comes, what only the star covered does not. The daemon reads requests before
        // files: the change must not overtake the request.
        if only.is_none() {
            stream.expect_silence();
        }
        world.put("new.yaml", &fragment(&[(kind, "new", 1)]));
        world.put("mark.yaml", &fragment(&[(kind, "mark", 1)]));
        let full_state = variant == Sotw && matches!(kind, Kind::Cluster | Kind::Listener);
        let expected = if full_state { vec!["a", "mark"] } else { vec!["mark"] };
        let seen = stream.take_until(kind, "the mark", |answer| answer.says().contains(&mark));
        assert_eq!(seen.says(), names(kind, &expected), "{stream:?}");
        // Away with the marks, for the next round.
        world.clear("new.yaml");
        world.clear("mark.yaml");
        let mut other = world.client.open(variant, only).unwrap();
        wait_until(SOON, "the marks to go", || {
            other = world.client.open(variant, only).unwrap();
            other.ask(kind, &[]);
            other.take(kind).says() == names(kind, &["a", "b"])
        });
    }
}

#[test]
fn rule_05_sotw_an_empty_list_asks_for_nothing_once_a_name_was_given() {
    let world = World::new(&[("all.yaml", &two_of_each())]);
    for kind in Kind::ALL {
        let a = full_name(kind, "a");
        let mut stream = world.sotw();
        stream.ask(kind, &[&a]);
        let first = stream.expect(kind);
        assert_eq!(first.says(), names(kind, &["a"]), "{kind}");
        ask_again(&mut stream, kind, &first, &[]);
        stream.expect_silence();
        // Another stream sees the change; this one does not.
        let mut other = world.sotw();
        other.ask(kind, &[]);
        other.take(kind);
        world.put("all.yaml", &with(kind, Some(2), Some(1)));
        other.take(kind);
        stream.expect_silence();
        world.put("all.yaml", &two_of_each());
        other.take(kind);
        stream.expect_silence();
    }
}

#[test]
fn rule_06_the_first_wildcard_is_answered_when_there_is_nothing_to_send() {
    let world = World::with_flags(&[], &["--allow-empty"]);
    for (variant, only, kind) in everywhere() {
        let mut stream = world.client.open(variant, only).unwrap();
        stream.ask(kind, &[]);
        let answer = stream.take(kind);
        assert_eq!(answer.says(), [""; 0], "{stream:?}");
        assert!(!answer.nonce.is_empty());
    }
}

#[test]
fn rule_07_each_name_is_answered_even_if_the_client_has_it() {
    let world = World::new(&[("all.yaml", &two_of_each())]);
    for (_, only, kind) in everywhere().into_iter().filter(|(variant, ..)| *variant == Delta) {
        let a = full_name(kind, "a");
        for first in [&[][..], &[a.as_str()][..]] {
            let mut stream = world.client.open(Delta, only).unwrap();
            stream.ask(kind, first);
            stream.take(kind);
            stream.ask(kind, &[&a]);
            assert_eq!(stream.take(kind).says(), names(kind, &["a"]), "{stream:?}");
            stream.drop_names(kind, &[&a]);
            if !first.is_empty() {
                stream.ask(kind, &[&a]);
            }
            assert_eq!(stream.take(kind).says(), names(kind, &["a"]), "{stream:?}");
        }
    }
}

#[test]
fn rule_07_what_is_equal_is_not_sent_again_and_what_is_gone_is_told() {
    let world = World::new(&[("all.yaml", &two_of_each())]);
    for (_, only, kind) in everywhere().into_iter().filter(|(variant, ..)| *variant == Delta) {
        let (a, b, gone) = (full_name(kind, "a"), full_name(kind, "b"), full_name(kind, "gone"));
        let mut stream = world.client.open(Delta, only).unwrap();
        stream.ask(kind, &[]);
        let held = stream.take(kind).versions();
        let kept = [(a.as_str(), held[&a].as_str()), (b.as_str(), "older"), (gone.as_str(), "whatever")];
        for subscribe in [vec![], vec![a.as_str(), b.as_str(), gone.as_str()], vec!["*", gone.as_str()]] {
            let mut stream = world.client.open(Delta, only).unwrap();
            stream.resume(kind, &subscribe, &kept);
            assert_eq!(stream.take(kind).says(), names(kind, &["-gone", "b"]), "{stream:?} {subscribe:?}");
            stream.expect_silence();
        }
    }
}

#[test]
fn rule_07_versions_brought_by_a_later_request_count_for_nothing() {
    let world = World::new(&[("all.yaml", &two_of_each())]);
    let mut stream = world.delta();
    stream.ask(Kind::Cluster, &["a"]);
    let version = stream.take(Kind::Cluster).versions()["a"].clone();
    stream.resume(Kind::Cluster, &["a"], &[("a", &version), ("gone", "x")]);
    assert_eq!(stream.take(Kind::Cluster).says(), ["a"]);
    stream.expect_silence();
}

#[test]
fn rule_08_a_missing_name_is_told_at_once_and_sent_when_it_comes() {
    let world = World::new(&[("all.yaml", &two_of_each())]);
    for (_, only, kind) in everywhere().into_iter().filter(|(variant, ..)| *variant == Delta) {
        let late = full_name(kind, "late");
        let mut stream = world.client.open(Delta, only).unwrap();
        stream.ask(kind, &[&late]);
        let expected = if kind == Kind::VirtualHost { "?rc/late" } else { "-late" };
        assert_eq!(stream.take(kind).says(), [expected], "{stream:?}");
        world.put("late.yaml", &fragment(&[(kind, "late", 1)]));
        assert_eq!(stream.take(kind).says(), names(kind, &["late"]), "{stream:?}");
        world.clear("late.yaml");
        assert_eq!(stream.take(kind).says(), names(kind, &["-late"]), "{stream:?}");
        stream.expect_silence();
    }
}

#[test]
fn rule_08_sotw_leaves_a_missing_name_out_and_sends_it_when_it_comes() {
    let world = World::new(&[("all.yaml", &two_of_each())]);
    for (_, only, kind) in everywhere().into_iter().filter(|(variant, ..)| *variant == Sotw) {
        let (a, late) = (full_name(kind, "a"), full_name(kind, "late"));
        let mut stream = world.client.open(Sotw, only).unwrap();
        stream.ask(kind, &[&a, &late]);
        assert_eq!(stream.take(kind).says(), names(kind, &["a"]), "{stream:?}");
        world.put("late.yaml", &fragment(&[(kind, "late", 1)]));
        let full_state = matches!(kind, Kind::Cluster | Kind::Listener);
        let expected = if full_state { vec!["a", "late"] } else { vec!["late"] };
        assert_eq!(stream.take(kind).says(), names(kind, &expected), "{stream:?}");
        world.clear("late.yaml");
        if full_state {
            assert_eq!(stream.take(kind).says(), names(kind, &["a"]), "{stream:?}");
        }
        let mut other = world.delta();
        wait_until(SOON, "the file to be gone", || {
            other = world.delta();
            other.ask(kind, &[]);
            other.take(kind).says() == names(kind, &["a", "b"])
        });
        stream.expect_silence();
    }
}

#[test]
fn rule_09_a_dropped_name_that_the_star_covers_is_answered() {
    let world = World::new(&[("all.yaml", &two_of_each())]);
    for (_, only, kind) in everywhere().into_iter().filter(|(variant, ..)| *variant == Delta) {
        let (a, none) = (full_name(kind, "a"), full_name(kind, "none"));
        let mut stream = world.client.open(Delta, only).unwrap();
        stream.ask(kind, &["*", &a, &none]);
        stream.take(kind);
        stream.drop_names(kind, &[&a]);
        assert_eq!(stream.take(kind).says(), names(kind, &["a"]), "{stream:?}");
        stream.drop_names(kind, &[&none]);
        let expected = if kind == Kind::VirtualHost { "?rc/none" } else { "-none" };
        assert_eq!(stream.take(kind).says(), [expected], "{stream:?}");
        stream.expect_silence();
    }
}

#[test]
fn rule_10_a_dropped_name_is_silent() {
    let world = World::new(&[("all.yaml", &two_of_each())]);
    for (_, only, kind) in everywhere().into_iter().filter(|(variant, ..)| *variant == Delta) {
        let (a, b) = (full_name(kind, "a"), full_name(kind, "b"));
        let mut stream = world.client.open(Delta, only).unwrap();
        stream.ask(kind, &[&a, &b]);
        stream.take(kind);
        stream.drop_names(kind, &[&a]);
        stream.expect_silence();
        world.put("all.yaml", &with(kind, Some(2), Some(2)));
        assert_eq!(stream.take(kind).says(), names(kind, &["b"]), "{stream:?}");
        world.put("all.yaml", &with(kind, None, Some(3)));
        assert_eq!(stream.take(kind).says(), names(kind, &["b"]), "{stream:?}");
        world.put("all.yaml", &two_of_each());
        assert_eq!(stream.take(kind).says(), names(kind, &["b"]), "{stream:?}");
    }
}

#[test]
fn rule_11_virtual_hosts_are_found_by_name_and_domain_and_unknown_hosts_are_answered_without_a_body() {
    let host = |cluster| {
        format!(
            "virtual_hosts: [{{name: rc/v, domains: [a.example, '*.b.example'], \
             routes: [{{match: {{prefix: /}}, direct_response: {{status: 20{cluster}}}}}]}}]"
        )
    };
    let world = World::new(&[("rc.yaml", &fragment(&[(Kind::Route, "rc", 1)])), ("v.yaml", &host(1))]);
    for only in [None, Some(Kind::VirtualHost)] {
        for asked in ["rc/v", "rc/a.example", "rc/*.b.example"] {
            let mut stream = world.client.open(Delta, only).unwrap();
            stream.ask(Kind::VirtualHost, &[asked]);
            let answer = stream.take(Kind::VirtualHost);
            assert_eq!(answer.says(), ["rc/v"], "{asked}");
            let aliases = &answer.get("rc/v").aliases;
            assert!(aliases.contains(&"rc/a.example".to_owned()), "{aliases:?}");
        }
        let mut stream = world.client.open(Delta, only).unwrap();
        stream.ask(Kind::VirtualHost, &["rc/a.example", "rc/nobody.example"]);
        let answer = stream.take(Kind::VirtualHost);
        assert_eq!(answer.says(), ["?rc/nobody.example", "rc/v"]);
        assert_eq!(answer.get("rc/nobody.example").aliases, ["rc/nobody.example"]);
        // A change comes by the name that it was asked for, too; so does the end.
        world.put("v.yaml", &host(2));
        assert_eq!(stream.take(Kind::VirtualHost).says(), ["rc/v"]);
        world.clear("v.yaml");
        assert_eq!(stream.take(Kind::VirtualHost).says(), ["-rc/v"]);
        world.put("v.yaml", &host(1));
        assert_eq!(stream.take(Kind::VirtualHost).says(), ["rc/v"]);
    }
}
