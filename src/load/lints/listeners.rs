//! Listeners: the addresses they open, and filter chains that would match the same connections.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::HashMap;
use std::fmt;

use super::super::decode::Decoder;
use super::super::yaml::Node;
use super::clusters::is_ip;
use super::{child, elements, entry, is_value, number, text};
use crate::diagnostic::{Severity, Span};
use crate::resource::Claim;

/// Filter chains are compared by all combinations of what they match; more than this are not.
const MAX_COMBINATIONS: usize = 100_000;

/// How many criteria a filter chain has.
const CRITERIA: usize = 9;

/// An address that a listener opens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenAddress {
    /// An IP address and a port.
    Socket(Protocol, IpAddr, u16),
    /// A socket in the file system.
    Pipe(Box<str>),
    /// A name within the Envoy.
    Internal(Box<str>),
}

impl ListenAddress {
    /// What stands for it in a resource.
    pub fn digest(&self) -> Claim {
        Claim::of([format!("{self:?}").as_bytes()])
    }
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocol, ip, port) = match self {
            ListenAddress::Socket(protocol, ip, port) => (protocol, ip, port),
            ListenAddress::Pipe(path) | ListenAddress::Internal(path) => return f.write_str(path),
        };
        match ip {
            IpAddr::V4(ip) => write!(f, "{ip}:{port}")?,
            IpAddr::V6(ip) => write!(f, "[{ip}]:{port}")?,
        }
        f.write_str(if *protocol == Protocol::Udp { " (UDP)" } else { "" })
    }
}

/// The addresses that a listener opens, and where they stand; without ports that the operating system
/// chooses. Envoy compares them even where `bind_to_port` is false.
pub(in super::super) fn listen_addresses(node: &Node<'_>) -> Vec<(ListenAddress, Span)> {
    if child(node, "api_listener").is_some() {
        return Vec::new();
    }
    addresses(node).filter_map(|address| listen_address(address)).collect()
}

/// All `Address` messages of a listener.
fn addresses<'n, 't>(node: &'n Node<'t>) -> impl Iterator<Item = &'n Node<'t>> {
    let more = elements(node, "additional_addresses").iter().filter_map(|more| child(more, "address"));
    child(node, "address").into_iter().chain(more)
}

fn listen_address(address: &Node<'_>) -> Option<(ListenAddress, Span)> {
    if let Some(socket) = child(address, "socket_address") {
        let ip = child(socket, "address")?;
        let port = child(socket, "port_value").and_then(number)?;
        let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
        // The same address in several network namespaces is several addresses.
        if child(socket, "network_namespace_filepath").is_some() {
            return None;
        }
        let protocol =
            if is_value(child(socket, "protocol"), "UDP", 1) { Protocol::Udp } else { Protocol::Tcp };
        return Some((ListenAddress::Socket(protocol, ip.text()?.parse().ok()?, port), ip.span));
    }
    if let Some(path) = child(address, "pipe").and_then(|pipe| child(pipe, "path")) {
        return Some((ListenAddress::Pipe(path.text()?.into()), path.span));
    }
    let name = child(child(address, "envoy_internal_address")?, "server_listener_name")?;
    Some((ListenAddress::Internal(name.text()?.into()), name.span))
}

impl Decoder<'_> {
    pub(super) fn lint_listener(&mut self, node: &Node<'_>) {
        for address in addresses(node) {
            self.lint_fixed(address, "a listener opens an address of this machine, such as 0.0.0.0");
        }
        let chains = elements(node, "filter_chains");
        let is_stream = child(node, "address").and_then(|address| child(address, "socket_address"));
        let is_stream = is_stream.is_some_and(|socket| !is_value(child(socket, "protocol"), "UDP", 1));
        let others = ["default_filter_chain", "api_listener", "filter_chain_discovery", "fcds_config"];
        if is_stream && chains.is_empty() && others.iter().all(|field| child(node, field).is_none()) {
            let message = "this listener has no `filter_chains`: nothing would answer its connections";
            let span = child(node, "name").map_or_else(|| self.findings.head(node.span), |name| name.span);
            self.findings.add(Severity::Error, "no-filter-chain", span, message);
        }
        if child(node, "filter_chain_matcher").is_none() {
            self.lint_matches(chains);
        }
    }

    /// An address that is resolved by nobody.
    pub(super) fn lint_fixed(&mut self, address: &Node<'_>, hint: &str) {
        let Some(socket) = child(address, "socket_address") else { return };
        self.lint_port("address.socket_address", socket);
        let Some(ip) = child(socket, "address") else { return };
        if ip.text().is_some_and(|ip| !is_ip(ip)) && text(socket, "resolver_name").is_none() {
            self.not_an_ip("address.socket_address.address", ip, hint);
        }
    }

    /// No connection may match two chains alike, as Envoy sees it: by each combination of criteria.
    fn lint_matches(&mut self, chains: &[Node<'_>]) {
        let mut seen: HashMap<Vec<String>, (usize, Span)> = HashMap::new();
        let is_alone = chains.len() == 1;
        for (index, chain) in chains.iter().enumerate() {
            if chain.entries().is_none() || is_alone && child(chain, "filter_chain_match").is_none() {
                continue;
            }
            let criteria = entry(chain, "filter_chain_match");
            let span = criteria.map_or_else(|| self.findings.head(chain.span), |entry| entry.key_span);
            let place = format!("filter_chains[{index}]");
            let sets = criteria.map_or_else(|| vec![Vec::new(); CRITERIA], |entry| criteria_of(&entry.value));
            for name in criteria.map(|entry| elements(&entry.value, "server_names")).unwrap_or_default() {
                if name.text().is_some_and(|name| name.trim_start_matches("*.").contains('*')) {
                    let message = "a `*` is possible only as the whole first part of a server name, as in `*.example.com`";
                    let place = format!("{place}.filter_chain_match.server_names");
                    let finding = self.findings.add_under(
                        &place,
                        Severity::Error,
                        "bad-server-name",
                        name.span,
                        message,
                    );
                    if name.text() == Some("*") {
                        finding.hint = Some("leave `server_names` out to match all".to_owned());
                    }
                }
            }
            let combinations = combinations(&sets);
            if seen.len() + combinations.len() > MAX_COMBINATIONS {
                return;
            }
            for combination in combinations {
                let Some(first) = seen.insert(combination, (index, span)) else { continue };
                let message = match first.0 {
                    same if same == index => "this filter chain gives the same criterion twice".to_owned(),
                    other => format!(
                        "this filter chain matches connections that filter_chains[{other}] matches, too"
                    ),
                };
                let related = self.findings.here(first.1, "the first one is here");
                let finding = self.findings.add_under(
                    &place,
                    Severity::Error,
                    "duplicate-filter-chain-match",
                    span,
                    message,
                );
                finding.hint =
                    Some("change `filter_chain_match` of one of them, so that they differ".to_owned());
                finding.related.push(related);
                break;
            }
        }
    }
}

/// What a chain matches: for each criterion its values, in Envoy's own normal form.
fn criteria_of(node: &Node<'_>) -> Vec<Vec<String>> {
    let texts = |field: &str| -> Vec<String> {
        elements(node, field).iter().filter_map(Node::text).map(str::to_owned).collect()
    };
    let single = |field: &str| child(node, field).and_then(number).map(|number| number.to_string());
    let ranges = |field: &str| elements(node, field).iter().map(range).collect();
    let source = ["ANY", "SAME_IP_OR_LOOPBACK", "EXTERNAL"];
    let source =
        source.iter().zip(0..).find(|(name, number)| is_value(child(node, "source_type"), name, *number));
    let names = texts("server_names").iter().map(|name| server_name(name)).collect();
    let ports =
        elements(node, "source_ports").iter().filter_map(number).map(|port| port.to_string()).collect();
    vec![
        single("destination_port").into_iter().collect(),
        ranges("prefix_ranges"),
        names,
        text(node, "transport_protocol").into_iter().map(str::to_owned).collect(),
        texts("application_protocols"),
        ranges("direct_source_prefix_ranges"),
        source.map(|(name, _)| (*name).to_owned()).filter(|name| name != "ANY").into_iter().collect(),
        ranges("source_prefix_ranges"),
        ports,
    ]
}

fn server_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    name.strip_prefix('*').filter(|rest| rest.starts_with('.')).map(str::to_owned).unwrap_or(name)
}

/// A range of addresses; what is behind its prefix does not count.
fn range(node: &Node<'_>) -> String {
    let length = child(node, "prefix_len").and_then(number).unwrap_or(0);
    let address = text(node, "address_prefix").unwrap_or_default();
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length.min(32) as u32)).unwrap_or(0);
            format!("{}/{length}", core::net::Ipv4Addr::from(u32::from(ip) & mask))
        }
        Ok(IpAddr::V6(ip)) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length.min(128) as u32)).unwrap_or(0);
            format!("{}/{length}", Ipv6Addr::from(u128::from(ip) & mask))
        }
        Err(_) => format!("{address}/{length}"),
    }
}

/// One value of each set, in all ways; of an empty set, nothing.
fn combinations(sets: &[Vec<String>]) -> Vec<Vec<String>> {
    let count = sets.iter().map(|set| set.len().max(1)).fold(1_usize, usize::saturating_mul);
    if count > MAX_COMBINATIONS {
        return Vec::new();
    }
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    for set in sets {
        let values: Vec<&str> =
            if set.is_empty() { vec![""] } else { set.iter().map(String::as_str).collect() };
        all = all
            .iter()
            .flat_map(|begun| {
                values.iter().map(move |value| [begun.as_slice(), &[(*value).to_owned()]].concat())
            })
            .collect();
    }
    all
}
