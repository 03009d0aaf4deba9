//! Names for listeners that have none.
//!
//! A static listener needs no name; over LDS Envoy would invent a new one on every push, so that the
//! old listener drains and a new one starts. So the name follows from the address, and from nothing
//! else: the same listener has the same name in every run.

use super::scalar::{self, Typed, typed};
use super::yaml::Node;

/// The name of a listener by its address; `None` if it has no address to be named by.
pub fn of_listener(listener: &Node<'_>) -> Option<String> {
    let address = listener.get(&["address"])?;
    let text = |node: &Node<'_>, keys: &[&str]| node.get(keys).and_then(Node::text).map(str::to_owned);
    let place = if let Some(socket) = address.get(&["socket_address", "socketAddress"]) {
        let host = text(socket, &["address"])?;
        let port = socket.get(&["port_value", "portValue"]).and_then(number);
        let port = port.or_else(|| text(socket, &["named_port", "namedPort"]));
        // TCP and QUIC may share an address.
        let protocol = text(socket, &["protocol"])
            .filter(|protocol| protocol.eq_ignore_ascii_case("UDP") || protocol == "1");
        let suffix = protocol.map_or("", |_| "_udp");
        format!("{host}_{}{suffix}", port.as_deref().unwrap_or("0"))
    } else if let Some(pipe) = address.get(&["pipe"]) {
        text(pipe, &["path"])?.trim_start_matches(['/', '@']).to_owned()
    } else {
        let internal = address.get(&["envoy_internal_address", "envoyInternalAddress"])?;
        text(internal, &["server_listener_name", "serverListenerName"])?
    };
    Some(format!("listener_{}", place.replace(|c: char| !is_safe(c), "_")))
}

/// A port as a decimal number, however it is written.
fn number(node: &Node<'_>) -> Option<String> {
    match typed(node)? {
        Typed::Number(number) => Some(number.to_string()),
        Typed::Text(text) => scalar::unsigned(&text).ok().map(|number| number.to_string()),
        Typed::Null | Typed::Bool(_) => None,
    }
}

/// What may stand in a name without harm in file names, statistics and shells.
fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_')
}
