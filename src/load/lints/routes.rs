//! Route configurations: domains, routes that nothing reaches, weights, percentages, expressions.

use std::collections::{BTreeMap, HashMap};

use super::super::decode::Decoder;
use super::super::yaml::Node;
use super::{child, elements, is_value, number, re2, text};
use crate::diagnostic::{Severity, Span};

/// Envoy's own limit for answers, `max_direct_response_body_size_bytes`.
const MAX_BODY: u64 = 4096;

/// Envoy's own limit for the program of an expression, `re2.max_program_size.error_level`.
const MAX_PROGRAM: u64 = 100;

/// A route that takes all requests whose path begins with this.
struct Catcher {
    index: usize,
    span: Span,
}

/// The first route that another one takes all requests from, and how many there are.
struct Lost<'n> {
    prefix: &'n str,
    by: Span,
    index: usize,
    span: Span,
    count: usize,
}

impl Decoder<'_> {
    /// Domains of all virtual hosts of a route configuration: one domain leads to one of them.
    pub(super) fn lint_domains(&mut self, hosts: &[Node<'_>]) {
        if hosts.len() < 2 {
            return;
        }
        let mut domains: HashMap<String, (usize, Span)> = HashMap::new();
        let mut names: HashMap<&str, Span> = HashMap::new();
        for (at, host) in hosts.iter().enumerate() {
            for (index, domain) in elements(host, "domains").iter().enumerate() {
                let Some(name) = domain.text() else { continue };
                let first = *domains.entry(name.to_ascii_lowercase()).or_insert((at, domain.span));
                if first.1 != domain.span && first.0 != at {
                    let place = format!("virtual_hosts[{at}].domains[{index}]");
                    self.duplicate_domain(&place, name, domain.span, first.1);
                }
            }
            let Some(name) = child(host, "name").filter(|name| name.text().is_some_and(|n| !n.is_empty()))
            else {
                continue;
            };
            let first = *names.entry(name.text().unwrap_or_default()).or_insert(name.span);
            if first != name.span {
                let place = format!("virtual_hosts[{at}].name");
                let message = "another virtual host has this name: their statistics will be one";
                let related = self.findings.here(first, "the first one is here");
                let finding = self.findings.add_under(
                    &place,
                    Severity::Warning,
                    "duplicate-virtual-host",
                    name.span,
                    message,
                );
                finding.hint = Some("give each virtual host a name of its own".to_owned());
                finding.related.push(related);
            }
        }
    }

    fn duplicate_domain(&mut self, place: &str, name: &str, span: Span, first: Span) {
        let message = match name {
            "*" => "a second virtual host for all domains: `*` may stand only once in a route configuration"
                .to_owned(),
            _ => format!("the domain `{name}` stands twice in this route configuration"),
        };
        let related = self.findings.here(first, "the first one is here");
        let finding = self.findings.add_under(place, Severity::Error, "duplicate-domain", span, message);
        finding.hint = Some("leave it in one place; capitals do not count".to_owned());
        finding.related.push(related);
    }

    pub(super) fn lint_virtual_host(&mut self, host: &Node<'_>) {
        let domains = elements(host, "domains");
        let mut seen: HashMap<String, Span> = HashMap::new();
        for (index, domain) in domains.iter().enumerate().filter(|_| domains.len() > 1) {
            let Some(name) = domain.text() else { continue };
            if let Some(first) = seen.insert(name.to_ascii_lowercase(), domain.span) {
                self.duplicate_domain(&format!("domains[{index}]"), name, domain.span, first);
            }
        }
        self.lint_reachable(elements(host, "routes"));
    }

    /// Routes are tried in their order: behind one that takes a prefix without conditions, nothing
    /// that begins with this prefix is ever reached. Said once of each that takes others' requests.
    fn lint_reachable(&mut self, routes: &[Node<'_>]) {
        if routes.len() < 2 {
            return;
        }
        let mut catchers: HashMap<&str, Catcher> = HashMap::new();
        let mut lengths: Vec<usize> = Vec::new();
        let mut lost: BTreeMap<usize, Lost<'_>> = BTreeMap::new();
        for (index, route) in routes.iter().enumerate() {
            let Some(condition) = child(route, "match") else { continue };
            if let Some((prefix, catcher)) = caught_by(condition, &catchers, &lengths) {
                let place = self.findings.head(condition.span);
                let new = Lost { prefix, by: catcher.span, index, span: place, count: 0 };
                lost.entry(catcher.index).or_insert(new).count += 1;
            }
            if let Some(prefix) = unconditional_prefix(condition) {
                if let Err(at) = lengths.binary_search(&prefix.len()) {
                    lengths.insert(at, prefix.len());
                }
                let span = child(condition, "prefix").map_or(condition.span, |node| node.span);
                catchers.entry(prefix).or_insert(Catcher { index, span });
            }
        }
        for (catcher, lost) in lost {
            let others = match lost.count {
                1 => String::new(),
                count => format!(" (and {} more behind it)", count - 1),
            };
            let message = format!(
                "this route is never reached{others}: routes[{catcher}] before it takes every path that begins with `{}`",
                lost.prefix
            );
            let related = self.findings.here(lost.by, "this one takes its requests");
            let place = format!("routes[{}].match", lost.index);
            let finding =
                self.findings.add_under(&place, Severity::Warning, "unreachable-route", lost.span, message);
            finding.hint = Some("put the more particular route first".to_owned());
            finding.related.push(related);
        }
    }

    /// Texts that a route answers with: they are kept in memory, so they have a limit.
    pub(super) fn lint_bodies(&mut self, node: &Node<'_>) {
        let limit = child(node, "max_direct_response_body_size_bytes").and_then(number).unwrap_or(MAX_BODY);
        for (at, host) in elements(node, "virtual_hosts").iter().enumerate() {
            for (index, route) in elements(host, "routes").iter().enumerate() {
                let body = child(route, "direct_response").and_then(|response| child(response, "body"));
                let Some(body) = body.and_then(|body| child(body, "inline_string")) else { continue };
                let len = body.text().map_or(0, str::len) as u64;
                if len > limit {
                    let place =
                        format!("virtual_hosts[{at}].routes[{index}].direct_response.body.inline_string");
                    let message = format!("the answer has {len} bytes, and the limit is {limit}");
                    let span = self.findings.head(body.span);
                    self.findings.add_under(&place, Severity::Error, "large-body", span, message).hint = Some(
                        "raise `max_direct_response_body_size_bytes` of the route configuration".to_owned(),
                    );
                }
            }
        }
    }

    /// Ways to rewrite a path, of which one is possible.
    pub(super) fn lint_rewrites(&mut self, node: &Node<'_>) {
        let ways = ["prefix_rewrite", "regex_rewrite", "path_rewrite_policy", "path_rewrite"];
        let mut given = ways.iter().filter_map(|field| super::entry(node, field));
        let (Some(first), Some(second)) = (given.next(), given.next()) else { return };
        let (first, second) =
            if first.key_span < second.key_span { (first, second) } else { (second, first) };
        let message = format!("only one of `{}` and `{}` may be given", first.key, second.key);
        let related = self.findings.here(first.key_span, "the other one is here");
        let finding = self.findings.add_under(
            &second.key,
            Severity::Error,
            "rewrite-conflict",
            second.key_span,
            message,
        );
        finding.hint = Some("remove one of them".to_owned());
        finding.related.push(related);
    }

    /// The weights of a weighted cluster: each must be given, and together they must be something.
    pub(super) fn lint_weights(&mut self, node: &Node<'_>) {
        let clusters = elements(node, "clusters");
        let mut total: Option<u64> = Some(0);
        for (index, cluster) in clusters.iter().enumerate() {
            let weight = child(cluster, "weight");
            if weight.is_none() && cluster.entries().is_some() {
                let span = self.findings.head(cluster.span);
                let place = format!("clusters[{index}]");
                let message = "a cluster of a choice by weight needs its `weight`";
                self.findings.add_under(&place, Severity::Error, "bad-weights", span, message);
            }
            total = total.zip(weight.and_then(number)).map(|(sum, weight)| sum.saturating_add(weight));
        }
        let complaint = match total {
            Some(0) if !clusters.is_empty() => "the weights of all clusters are 0: none can be chosen",
            Some(total) if total > u64::from(u32::MAX) => {
                "the weights of all clusters add up to more than 4294967295"
            }
            _ => return,
        };
        let place = super::entry(node, "clusters").map_or(node.span, |entry| entry.key_span);
        self.findings.add_under("clusters", Severity::Error, "bad-weights", place, complaint);
    }

    pub(super) fn lint_percent(&mut self, node: &Node<'_>) {
        let Some((entry, numerator)) =
            super::entry(node, "numerator").and_then(|entry| Some((entry, number(&entry.value)?)))
        else {
            return;
        };
        let denominator = child(node, "denominator");
        let parts = match () {
            () if is_value(denominator, "MILLION", 2) => 1_000_000,
            () if is_value(denominator, "TEN_THOUSAND", 1) => 10_000,
            () => 100,
        };
        if numerator > parts {
            let message = format!("{numerator} of {parts} is more than all: it counts as all");
            let finding = self.findings.add_under(
                "numerator",
                Severity::Warning,
                "over-100-percent",
                entry.value.span,
                message,
            );
            finding.hint = Some("`denominator` may be HUNDRED, TEN_THOUSAND or MILLION".to_owned());
        }
    }

    pub(super) fn lint_regex(&mut self, node: &Node<'_>) {
        let Some(value) = child(node, "regex") else { return };
        let Some(expression) = value.text() else { return };
        match re2::check(expression) {
            Err(complaint) => {
                let span = self.findings.head(value.span);
                let message = format!("this regular expression does not compile: {complaint}");
                self.findings.add_under("regex", Severity::Error, "bad-regex", span, message).hint =
                    Some("Envoy takes RE2's syntax".to_owned());
            }
            Ok(size) if size > MAX_PROGRAM => {
                let span = self.findings.head(value.span);
                let message = format!(
                    "this regular expression makes a program of {size} instructions or more, and Envoy refuses more than {MAX_PROGRAM}"
                );
                self.findings.add_under("regex", Severity::Warning, "large-regex", span, message).hint = Some(
                    "make it simpler, or raise `re2.max_program_size.error_level` in the Envoys' runtime"
                        .to_owned(),
                );
            }
            Ok(_) => {}
        }
    }
}

/// The prefix of a match that has no other condition, capitals included.
fn unconditional_prefix<'n>(condition: &'n Node<'_>) -> Option<&'n str> {
    let only = |key: &str| matches!(key, "prefix" | "case_sensitive" | "caseSensitive");
    let is_free = condition.entries()?.iter().all(|entry| only(&entry.key) || entry.value.is_null());
    text(condition, "prefix").filter(|_| is_free)
}

fn caught_by<'c, 'n>(
    condition: &Node<'_>,
    catchers: &'c HashMap<&'n str, Catcher>,
    lengths: &[usize],
) -> Option<(&'n str, &'c Catcher)> {
    if catchers.is_empty() {
        return None;
    }
    let path = ["prefix", "path", "path_separated_prefix"].iter().find_map(|field| text(condition, field));
    // Every path begins with a slash, also one that an expression describes.
    let path = path.or_else(|| child(condition, "safe_regex").map(|_| "/"))?;
    let ignores_case = child(condition, "case_sensitive").is_some_and(|node| !super::is_true(Some(node)));
    lengths.iter().find_map(|length| {
        let (prefix, catcher) = catchers.get_key_value(path.get(..*length)?)?;
        let is_certain = !ignores_case || !prefix.bytes().any(|byte| byte.is_ascii_alphabetic());
        is_certain.then_some((*prefix, catcher))
    })
}
