//! Clusters: where their hosts come from decides what else must and must not stand there.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::super::decode::Decoder;
use super::super::yaml::Node;
use super::{child, elements, entry, is_value};
use crate::diagnostic::{Diagnostic, Severity, Span};

/// Where a cluster's hosts come from, with the number in the API.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Discovery {
    Static,
    StrictDns,
    LogicalDns,
    Eds,
    OriginalDst,
}

const DISCOVERIES: [(Discovery, &str, u64); 5] = [
    (Discovery::Static, "STATIC", 0),
    (Discovery::StrictDns, "STRICT_DNS", 1),
    (Discovery::LogicalDns, "LOGICAL_DNS", 2),
    (Discovery::Eds, "EDS", 3),
    (Discovery::OriginalDst, "ORIGINAL_DST", 4),
];

/// Before the path of a cluster's own endpoints.
const ASSIGNMENT: &str = "load_assignment.";

impl Decoder<'_> {
    pub(super) fn lint_cluster(&mut self, node: &Node<'_>) {
        if child(node, "cluster_type").is_some() {
            return;
        }
        let given = child(node, "type");
        let discovery = match given {
            None => Discovery::Static,
            Some(_) => match DISCOVERIES.iter().find(|(_, name, number)| is_value(given, name, *number)) {
                Some((discovery, ..)) => *discovery,
                None => return,
            },
        };
        let head = self.findings.head(node.span);
        let place = given.or(child(node, "name")).map_or(head, |node| node.span);
        match discovery {
            Discovery::Static => {
                let hint = "set `type: STRICT_DNS` if it is a host name";
                self.lint_static(child(node, "load_assignment"), ASSIGNMENT, hint);
            }
            Discovery::Eds
                if child(node, "eds_cluster_config").and_then(|eds| child(eds, "eds_config")).is_none() =>
            {
                let message = "an EDS cluster needs `eds_cluster_config` with `eds_config`";
                self.bad_cluster("", place, message).hint = Some(
                    "add `eds_cluster_config: {eds_config: {ads: {}, resource_api_version: V3}}`".to_owned(),
                );
            }
            Discovery::StrictDns => {
                self.lint_back_off_in("", node, "dns_failure_refresh_rate");
                self.lint_resolved(child(node, "load_assignment"));
            }
            Discovery::LogicalDns => {
                self.lint_back_off_in("", node, "dns_failure_refresh_rate");
                self.lint_logical_dns(node, place);
                self.lint_resolved(child(node, "load_assignment"));
            }
            Discovery::OriginalDst => {
                if let Some(entry) = entry(node, "load_assignment") {
                    let message = "an ORIGINAL_DST cluster has no hosts of its own, so no `load_assignment`";
                    self.bad_cluster("load_assignment", entry.key_span, message);
                }
            }
            Discovery::Eds => {}
        }
        if let Some(entry) = entry(node, "eds_cluster_config").filter(|_| discovery != Discovery::Eds) {
            let message = "`eds_cluster_config` stands in a cluster whose `type` is not EDS";
            self.bad_cluster("eds_cluster_config", entry.key_span, message);
        }
        self.lint_lb_policy(node, discovery, place);
    }

    fn bad_cluster(&mut self, place: &str, span: Span, message: &str) -> &mut Diagnostic {
        self.findings.add_under(place, Severity::Error, "bad-cluster", span, message)
    }

    /// `CLUSTER_PROVIDED` and `ORIGINAL_DST` need each other, among the types that are built in.
    fn lint_lb_policy(&mut self, node: &Node<'_>, discovery: Discovery, place: Span) {
        if child(node, "load_balancing_policy").is_some() {
            return;
        }
        let policy = child(node, "lb_policy");
        if is_value(policy, "LOAD_BALANCING_POLICY_CONFIG", 7) {
            let span = policy.map_or(place, |node| node.span);
            self.bad_cluster("lb_policy", span, "this needs `load_balancing_policy` beside it");
        }
        let is_provided = is_value(policy, "CLUSTER_PROVIDED", 6);
        let span = policy.map_or(place, |node| node.span);
        match discovery {
            Discovery::OriginalDst if !is_provided => {
                let message = "an ORIGINAL_DST cluster needs `lb_policy: CLUSTER_PROVIDED`";
                self.bad_cluster("lb_policy", span, message);
            }
            Discovery::OriginalDst => {}
            _ if is_provided => {
                let message =
                    "CLUSTER_PROVIDED is possible only where the type of the cluster provides a policy";
                self.bad_cluster("lb_policy", span, message);
            }
            _ => {}
        }
    }

    fn lint_logical_dns(&mut self, node: &Node<'_>, place: Span) {
        let assignment = child(node, "load_assignment");
        if assignment.is_none() && child(node, "hosts").is_some() {
            // What v2 had instead, which has been said.
            return;
        }
        let localities = assignment.map(|node| elements(node, "endpoints")).unwrap_or_default();
        let hosts: usize = localities.iter().map(|locality| elements(locality, "lb_endpoints").len()).sum();
        // Where they stood in the old API, they do no more: that has been said.
        let is_old = child(node, "hosts").is_some();
        if !is_old && (localities.len() != 1 || hosts != 1) {
            let span = entry(node, "load_assignment").map_or(place, |entry| entry.key_span);
            let message = format!("a LOGICAL_DNS cluster needs exactly one endpoint, and here are {hosts}");
            self.findings.add_under("load_assignment", Severity::Error, "bad-cluster", span, message).hint =
                Some("`type: STRICT_DNS` takes any number".to_owned());
        }
    }

    /// The hosts of a cluster without name resolution: addresses only.
    pub(in super::super) fn lint_static(&mut self, assignment: Option<&Node<'_>>, prefix: &str, hint: &str) {
        for (place, host) in hosts(assignment) {
            let address = child(host, "endpoint").and_then(|endpoint| child(endpoint, "address"));
            let Some(address) = address else {
                if host.entries().is_some() && child(host, "endpoint_name").is_none() {
                    let span = self.findings.head(host.span);
                    let message = "this endpoint has no `address`";
                    self.findings.add_under(
                        &path(prefix, place),
                        Severity::Error,
                        "bad-cluster",
                        span,
                        message,
                    );
                }
                continue;
            };
            let socket = child(address, "socket_address");
            if let Some(socket) = socket {
                let place = format!("{}.endpoint.address.socket_address", path(prefix, place));
                self.lint_port(&place, socket);
            }
            let ip = socket.and_then(|socket| child(socket, "address"));
            if let Some(ip) = ip.filter(|ip| ip.text().is_some_and(|ip| !is_ip(ip))) {
                let place = path(prefix, place);
                self.not_an_ip(&format!("{place}.endpoint.address.socket_address.address"), ip, hint);
            }
        }
    }

    /// The hosts of a cluster whose names are resolved: by the cluster, not one by one.
    fn lint_resolved(&mut self, assignment: Option<&Node<'_>>) {
        for (place, host) in hosts(assignment) {
            let address = child(host, "endpoint").and_then(|endpoint| child(endpoint, "address"));
            let socket = address.and_then(|address| child(address, "socket_address"));
            if let Some(entry) = socket.and_then(|socket| entry(socket, "resolver_name")) {
                let place =
                    format!("{}.endpoint.address.socket_address.resolver_name", path(ASSIGNMENT, place));
                let message = "a cluster that resolves names takes no `resolver_name` in an address";
                self.bad_cluster(&place, entry.key_span, message);
            }
        }
    }

    /// A port by name: only what resolves addresses could know its number.
    pub(super) fn lint_port(&mut self, place: &str, socket: &Node<'_>) {
        if let Some(port) = entry(socket, "named_port").filter(|_| child(socket, "resolver_name").is_none()) {
            let message = "a port is a number here: nothing resolves `named_port`";
            self.misplaced_part(&format!("{place}.named_port"), port.key_span, message, "write `port_value`");
        }
    }

    pub(super) fn not_an_ip(&mut self, place: &str, node: &Node<'_>, hint: &str) {
        let shown = self.findings.quote(node.text().unwrap_or_default());
        let message = format!("{shown} is not an IP address");
        self.findings.add_under(place, Severity::Error, "not-an-ip-address", node.span, message).hint =
            Some(hint.to_owned());
    }
}

/// The path of an endpoint.
fn path(prefix: &str, (at, index): (usize, usize)) -> String {
    format!("{prefix}endpoints[{at}].lb_endpoints[{index}]")
}

/// The endpoints of an assignment, with the indices of their locality and of themselves.
fn hosts<'n, 't>(assignment: Option<&'n Node<'t>>) -> impl Iterator<Item = ((usize, usize), &'n Node<'t>)> {
    let localities = assignment.map(|node| elements(node, "endpoints")).unwrap_or_default();
    localities.iter().enumerate().flat_map(move |(at, locality)| {
        let hosts = elements(locality, "lb_endpoints").iter().enumerate();
        hosts.map(move |(index, host)| ((at, index), host))
    })
}

/// What Envoy takes for an address; that of a link may name its interface behind `%`.
pub(super) fn is_ip(text: &str) -> bool {
    // An empty address is a constraint's matter.
    let v6 = text.split_once('%').map_or(text, |(address, _)| address);
    text.is_empty() || text.parse::<Ipv4Addr>().is_ok() || v6.parse::<Ipv6Addr>().is_ok()
}
