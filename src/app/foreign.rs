//! Whether a request to a page may have been made by a web page, which a browser on this machine shows.
//!
//! Comes in: the host that a request names. Goes out: yes or no.

use std::net::IpAddr;

/// Whether a request that came over loopback may have been made by a web page: one whose name was bent to this
/// machine (DNS rebinding) says that name. Addresses and `localhost` cannot be bent.
pub fn is_foreign(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        // Without brackets, more colons are those of an address.
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (name.ends_with(']') || !name.contains(':')) =>
        {
            name
        }
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    !(name.is_empty() || name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_be_bent_are_foreign() {
        for host in ["", "localhost", "LOCALHOST:1", "127.0.0.1:18001", "[::1]:18001", "10.0.0.1"] {
            assert!(!is_foreign(host), "{host}");
        }
        for host in
            ["evil.example", "evil.example:18001", "127.0.0.1.evil.example", "localhost.evil.example:1"]
        {
            assert!(is_foreign(host), "{host}");
        }
    }
}
