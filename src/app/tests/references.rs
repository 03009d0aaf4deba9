//! What names what: a change that leaves a reference without its target is held, in whatever order files come.

use super::*;

#[test]
fn a_listener_its_routes_clusters_and_endpoints_may_come_in_any_order() {
    let files = [
        ("l.yaml", listener("l", "r")),
        ("r.yaml", route("r", "c")),
        ("c.yaml", eds_cluster("c")),
        ("e.yaml", endpoints("c")),
    ];
    let orders = orders(&files);
    assert_eq!(orders.len(), 24);
    for order in orders {
        let mut bench = Bench::new();
        bench.put("other.yaml", &cluster("other"));
        for (at, (name, text)) in order.iter().enumerate() {
            let outcome = bench.put(name, text);
            let there: Vec<&str> = order[..=at].iter().map(|(name, _)| *name).collect();
            let is_whole = |(what, needs): (&str, &str)| !there.contains(&what) || there.contains(&needs);
            let whole =
                [("l.yaml", "r.yaml"), ("r.yaml", "c.yaml"), ("c.yaml", "e.yaml")].into_iter().all(is_whole);
            assert_eq!(is_published(&outcome), whole, "{there:?}: {:?}", outcome.verdict);
            assert_eq!(held(&outcome), if whole { vec![] } else { vec![Hold::Unresolved] });
        }
        assert_eq!(bench.served(), ["c", "c", "l", "other", "r"]);
    }
}

#[test]
fn what_requests_need_is_not_removed_before_what_needs_it_in_any_order() {
    let files = [("l.yaml", listener("l", "r")), ("r.yaml", route("r", "c")), ("c.yaml", cluster("c"))];
    for order in orders(&["l.yaml", "r.yaml", "c.yaml"]) {
        let mut bench = Bench::new();
        bench.put("other.yaml", &cluster("other"));
        for (name, text) in files.iter().rev() {
            assert!(is_published(&bench.put(name, text)));
        }
        for (at, name) in order.iter().enumerate() {
            let outcome = bench.remove(name);
            let gone = &order[..=at];
            let breaks = |(what, needs): (&&str, &&str)| gone.contains(needs) && !gone.contains(what);
            let is_held = [(&"l.yaml", &"r.yaml"), (&"r.yaml", &"c.yaml")].into_iter().any(breaks);
            assert_eq!(is_published(&outcome), !is_held, "{gone:?}: {:?}", outcome.verdict);
        }
        assert_eq!(bench.served(), ["other"]);
    }
}

#[test]
fn what_may_stand_in_a_file_with_errors_is_looked_for_there_first() {
    let mut bench = Bench::new();
    bench.put("c.yaml", "clusters:\n- {name: web, colour: red}\n");
    let outcome = bench.put("r.yaml", &route("r", "web"));
    let dangling = outcome.diagnostics.iter().find(|finding| finding.code == "unresolved-reference");
    let hint = "it may be in a file that has errors or cannot be read: mend that first";
    assert_eq!(dangling.and_then(|finding| finding.hint.as_deref()), Some(hint));
    // A name that is like it may be another one.
    let outcome = bench.put("d.yaml", &cluster("web1"));
    let outcome = [outcome, bench.put("r.yaml", &route("q", "web"))];
    let mut findings = outcome.iter().flat_map(|outcome| &outcome.diagnostics);
    let dangling = findings.rfind(|finding| finding.code == "unresolved-reference");
    let hint = "did you mean `web1`? if not, it may be in a file that has errors: mend that first";
    assert_eq!(dangling.and_then(|finding| finding.hint.as_deref()), Some(hint));
}

#[test]
fn a_held_reference_is_shown_at_its_value_with_the_name_that_was_meant() {
    let mut bench = Bench::new();
    bench.put("c.yaml", &cluster("service_1"));
    let outcome = bench.put("r.yaml", &route("r", "service-1"));
    assert_eq!(held(&outcome), [Hold::Unresolved]);
    let place = "d/r.yaml:8:24 routes[0].virtual_hosts[0].routes[0].route.cluster";
    assert_eq!(said(&outcome), [format!("error unresolved-reference {place}")]);
    assert_eq!(
        outcome.diagnostics[0].hint.as_deref(),
        Some(
            "did you mean `service_1`? if the Envoys' own bootstrap has it, say `--external-cluster service-1`"
        )
    );
    assert_eq!(bench.condition("r.yaml"), Some(Condition::Held([Hold::Unresolved].into())));
    assert_eq!(bench.condition("c.yaml"), Some(Condition::Good));
    // The reason is said again with every further change, and the place is found in a file that did not change.
    let outcome = bench.put("x.yaml", &cluster("x"));
    assert_eq!(said(&outcome), [format!("error unresolved-reference {place}")]);
    assert_eq!(bench.served(), ["service_1"]);
    let outcome = bench.put("r.yaml", &route("r", "service_1"));
    assert!(is_published(&outcome) && outcome.diagnostics.is_empty(), "{outcome:?}");
    assert_eq!(bench.served(), ["r", "service_1", "x"]);
    let outcome = bench.remove("c.yaml");
    assert_eq!(said(&outcome), [format!("error unresolved-reference {place}")]);
    let hint = "d/c.yaml defined it until now: put it back, or take away what names it first";
    assert_eq!(outcome.diagnostics[0].hint.as_deref(), Some(hint));
}

#[test]
fn a_held_change_is_taken_over_when_somebody_accepts_it() {
    let mut bench = Bench::new();
    bench.put("c.yaml", &cluster("c"));
    bench.put("r.yaml", &route("r", "missing"));
    assert_eq!(held(&bench.accept(Accept::default())), [Hold::Unresolved]);
    assert_eq!(held(&bench.accept(Accept { removals: true, unresolved: false })), [Hold::Unresolved]);
    let outcome = bench.accept(Accept { unresolved: true, removals: false });
    assert!(is_published(&outcome), "{:?}", outcome.verdict);
    assert_eq!(bench.served(), ["c", "r"]);
    assert_eq!(bench.condition("r.yaml"), Some(Condition::Good));
    // From now on it dangles already, and may stay so; a further one may not be added.
    assert!(is_published(&bench.put("r.yaml", &format!("# edited\n{}- name: r2\n", route("r", "missing")))));
    assert_eq!(held(&bench.put("s.yaml", &route("s", "missing"))), [Hold::Unresolved]);
}

#[test]
fn what_dangles_at_the_first_start_is_a_warning_and_may_stay() {
    let mut bench = Bench::new();
    let outcome = bench.put("r.yaml", &route("r", "missing"));
    assert!(is_published(&outcome));
    assert_eq!(outcome.diagnostics.len(), 1);
    assert_eq!(outcome.diagnostics[0].severity, Severity::Warning);
    let outcome =
        bench.change(&[("r.yaml", Some(&format!("# {}", route("r", "x")))), ("c.yaml", Some(&cluster("c")))]);
    assert!(is_published(&outcome));
}

#[test]
fn of_a_whole_directory_that_is_checked_what_requests_need_is_an_error_and_the_rest_a_warning() {
    let policy = Policy { unresolved: Severity::Error, ..Policy::default() };
    let mut bench = Bench::with(policy, &[]);
    let secret = "clusters:\n- name: tls\n  transport_socket:\n    name: tls\n    typed_config:\n      '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n      common_tls_context:\n        validation_context_sds_config_source: {}\n";
    let secret = secret.replace(
        "validation_context_sds_config_source: {}",
        "tls_certificate_sds_secret_configs: [{name: s, sds_config: {ads: {}}}]",
    );
    let outcome = bench.change(&[
        ("1.yaml", Some(&listener("l", "no-route"))),
        ("2.yaml", Some(&route("r", "no-cluster"))),
        ("3.yaml", Some(&eds_cluster("no-endpoints"))),
        ("4.yaml", Some(&secret)),
        ("5.yaml", Some(&endpoints("no-user"))),
        ("6.yaml", Some("virtual_hosts:\n- name: no-route/v\n  domains: [a]\n")),
        ("7.yaml", Some("scoped_routes:\n- name: s\n  route_configuration_name: no-route\n  key: {fragments: [{string_key: a}]}\n")),
    ]);
    let short: Vec<String> =
        said(&outcome).iter().map(|line| line.split(':').next().expect("one").to_owned()).collect();
    assert_eq!(
        short,
        [
            "error unresolved-reference d/1.yaml",
            "error unresolved-reference d/2.yaml",
            "error unresolved-reference d/3.yaml",
            "warning unresolved-reference d/4.yaml",
            "warning unused-endpoints d/5.yaml",
            "warning unresolved-reference d/6.yaml",
            "warning unresolved-reference d/7.yaml",
        ]
    );
}

#[test]
fn clusters_of_the_envoys_own_bootstrap_are_known() {
    let external_clusters = Arc::new(BTreeSet::from(["own".into()]));
    let mut bench = Bench::with(Policy { external_clusters, ..Policy::default() }, &[]);
    bench.put("c.yaml", &cluster("c"));
    assert!(is_published(&bench.put("r.yaml", &route("r", "own"))));
    let outcome = bench.put("e.yaml", &endpoints("own"));
    assert!(is_published(&outcome) && outcome.diagnostics.is_empty());
    assert_eq!(held(&bench.put("r.yaml", &route("r", "awn"))), [Hold::Unresolved]);
}

#[test]
fn a_reference_counts_only_for_nodes_that_may_receive_both() {
    let mut bench = Bench::new();
    bench.put("other.yaml", &cluster("other"));
    bench.put("c.yaml", &for_node("edge-1", &cluster("c")));
    let outcome = bench.put("r.yaml", &for_node("core-*", &route("r", "c")));
    assert_eq!(held(&outcome), [Hold::Unresolved]);
    assert_eq!(outcome.diagnostics[0].related[0].file, "d/c.yaml".into());
    assert!(is_published(&bench.put("r.yaml", &for_node("edge-*", &route("r", "c")))));
    // The cluster goes to other nodes: those that had it are missed, as if it were removed.
    let outcome = bench.put("c.yaml", &for_node("core-1", &cluster("c")));
    assert_eq!(held(&outcome), [Hold::Unresolved]);
    assert_eq!(outcome.diagnostics[0].file, "d/r.yaml".into());
    // A dangling reference that reaches further nodes is new for them.
    assert!(is_published(&bench.accept(Accept { unresolved: true, removals: false })));
    assert_eq!(held(&bench.put("r.yaml", &for_node("e*", &route("r", "c")))), [Hold::Unresolved]);
}

#[test]
fn what_all_who_need_it_had_is_not_kept_for_some_of_them_alone() {
    let mut bench = Bench::new();
    bench.put("r.yaml", &route("r", "c"));
    bench.put("c.yaml", &cluster("c"));
    let outcome = bench.put("c.yaml", &for_node("b", &cluster("c")));
    assert_eq!(held(&outcome), [Hold::Unresolved]);
    let [finding] = &outcome.diagnostics[..] else { panic!("{outcome:?}") };
    assert_eq!((finding.code, &*finding.file), ("unresolved-reference", "d/r.yaml"));
    assert!(finding.message.contains("not every node"), "{finding:?}");
    assert_eq!(finding.related[0].file, "d/c.yaml".into());
    // Both together, in any order, or in parts of which nobody knows whom they leave out.
    assert!(is_published(&bench.put("r.yaml", &for_node("b", &route("r", "c")))));
    assert!(is_published(&bench.put("c.yaml", &for_node("*", &cluster("c")))));
    let parts = [("c.yaml", for_node("b", &cluster("c"))), ("c2.yaml", for_node("a", &cluster("c")))];
    let parts = parts.each_ref().map(|(name, text)| (*name, Some(&**text)));
    bench.put("r.yaml", &route("r", "c"));
    assert!(is_published(&bench.change(&parts)));
    // Nor are those who need it made more than those who have it.
    bench.remove("c2.yaml");
    let _ = bench.put("r.yaml", &for_node("b", &route("r", "c")));
    assert_eq!(held(&bench.put("r.yaml", &for_node("*", &route("r", "c")))), [Hold::Unresolved]);
    assert!(is_published(&bench.accept(Accept { unresolved: true, removals: false })));
    // What is so since the start, or was accepted, is as it is.
    assert_eq!(codes(&bench.put("x.yaml", &cluster("x"))), [] as [&str; 0]);
    let mut bench = Bench::new();
    let start = [("r.yaml", route("r", "c")), ("c.yaml", for_node("b", &cluster("c")))];
    let outcome = bench.change(&start.each_ref().map(|(name, text)| (*name, Some(&**text))));
    assert!(is_published(&outcome) && outcome.diagnostics.is_empty(), "{outcome:?}");
}

#[test]
fn an_assignment_is_reported_when_its_last_cluster_goes() {
    let mut bench = Bench::new();
    bench.change(&[
        ("a.yaml", Some(&eds_cluster("a"))),
        ("e.yaml", Some(&endpoints("a"))),
        ("x.yaml", Some(&cluster("x"))),
    ]);
    let outcome = bench.remove("a.yaml");
    assert!(is_published(&outcome));
    assert_eq!(said(&outcome), ["warning unused-endpoints d/e.yaml:2:17 endpoints[0].cluster_name"]);
}
