//! Addresses as people write them: where to connect, and where to listen and how.
//!
//! Comes in: text such as `127.0.0.1:18000` or `unix:/run/x.sock,mode=0660,group=envoy`. Goes out: values;
//! nothing is looked up and no socket touched.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// An address to listen on or to connect to: `127.0.0.1:18000`, `[::1]:18000`, `localhost:18000` for the first,
/// `unix:/run/x.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IP address and port.
    Tcp(SocketAddr),
    /// Path of a unix socket.
    Unix(PathBuf),
}

/// A text that is no address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Neither of the two forms.
    #[error("{0:?} is no address: write IP:PORT, such as 127.0.0.1:18000, or unix:PATH")]
    Form(String),
    /// What stands behind the address.
    #[error(
        "{0:?} cannot stand behind the address {1}: a unix socket takes mode=0660 and group=NAME, \
         IP:PORT takes plain"
    )]
    Option(String, Address),
    /// A mode that is none.
    #[error("{0:?} is no mode of a socket: write octal digits up to 0777, such as mode=0660")]
    Mode(String),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Address::Unix(path.into()));
        }
        // Nothing is looked up: where that name is another address, too, this is the one that is always there.
        let ip = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        let ip = ip.as_deref().unwrap_or(text);
        ip.parse().map(Address::Tcp).map_err(|_| AddressError::Form(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// Whether what is said here stays on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Address::Unix(_) => true,
        }
    }

    /// Whether who listens at one of them is in the way of the other: the same, or one among all of the machine.
    pub fn overlaps(&self, other: &Address) -> bool {
        match (self, other) {
            (Address::Tcp(a), Address::Tcp(b)) => {
                let is_any = a.ip().is_unspecified() || b.ip().is_unspecified();
                a.port() == b.port() && (is_any || a.ip() == b.ip())
            }
            (a, b) => a == b,
        }
    }
}

/// An address to listen on, and how: `unix:PATH[,mode=0660][,group=NAME]`, `IP:PORT[,plain]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: Address,
    /// Permissions of a unix socket; without, what the umask leaves.
    pub mode: Option<u32>,
    /// Group of a unix socket, by name or number.
    pub group: Option<String>,
    /// Plain text, although the other TCP addresses speak TLS.
    pub plain: bool,
}

impl From<Address> for Listen {
    fn from(address: Address) -> Listen {
        Listen { address, mode: None, group: None, plain: false }
    }
}

impl FromStr for Listen {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Listen, AddressError> {
        // From the end: the path of a socket may hold commas.
        let mut rest = text;
        let mut options = Vec::new();
        while let Some((before, option)) = rest.rsplit_once(',').filter(|(_, option)| is_option(option)) {
            options.push(option);
            rest = before;
        }
        let mut listen = Listen::from(rest.parse::<Address>()?);
        for option in options {
            listen.set(option)?;
        }
        Ok(listen)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(mode) = self.mode {
            write!(f, ",mode={mode:04o}")?;
        }
        if let Some(group) = &self.group {
            write!(f, ",group={group}")?;
        }
        if self.plain { f.write_str(",plain") } else { Ok(()) }
    }
}

impl Listen {
    fn set(&mut self, option: &str) -> Result<(), AddressError> {
        match (option.split_once('='), &self.address) {
            (Some(("mode", digits)), Address::Unix(_)) => {
                let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777);
                self.mode = Some(mode.ok_or_else(|| AddressError::Mode(digits.to_owned()))?);
            }
            (Some(("group", name)), Address::Unix(_)) if !name.is_empty() => {
                self.group = Some(name.to_owned());
            }
            (None, Address::Tcp(_)) if option == "plain" => self.plain = true,
            _ => return Err(AddressError::Option(option.to_owned(), self.address.clone())),
        }
        Ok(())
    }
}

fn is_option(text: &str) -> bool {
    text == "plain" || text.starts_with("mode=") || text.starts_with("group=")
}

/// Several of them with commas between, as a flag or a variable takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listens(pub Vec<Listen>);

impl FromStr for Listens {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Listens, AddressError> {
        let mut parts: Vec<String> = Vec::new();
        for part in text.split(',') {
            match parts.last_mut() {
                Some(last) if is_option(part) => {
                    last.push(',');
                    last.push_str(part);
                }
                _ => parts.push(part.to_owned()),
            }
        }
        parts.iter().map(|part| part.parse()).collect::<Result<_, _>>().map(Listens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_ip_and_port_or_a_socket_path() {
        for text in ["127.0.0.1:18000", "[::1]:0", "unix:/run/xds.sock"] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()).ok().as_deref(), Some(text));
        }
        assert_eq!(
            "localhost:1".parse::<Address>().map(|a| a.to_string()).ok().as_deref(),
            Some("127.0.0.1:1")
        );
        for text in
            ["", "18000", "localhost", "localhost:", "localhost:x", "a.localhost:1", "unix:", "127.0.0.1"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_loopback_and_unix_are_local() {
        let local = |text: &str| text.parse::<Address>().expect("an address").is_local();
        assert!(local("127.9.9.9:1") && local("[::1]:1") && local("unix:x") && local("[::ffff:127.0.0.1]:1"));
        assert!(!local("0.0.0.0:1") && !local("[::]:1") && !local("10.0.0.1:1"));
    }

    #[test]
    fn addresses_overlap_if_one_socket_keeps_the_other_from_being_opened() {
        let overlap = |a: &str, b: &str| {
            let [a, b] = [a, b].map(|text| text.parse::<Address>().expect("an address"));
            assert_eq!(a.overlaps(&b), b.overlaps(&a));
            a.overlaps(&b)
        };
        for (a, b) in [
            ("1.2.3.4:5", "1.2.3.4:5"),
            ("0.0.0.0:5", "1.2.3.4:5"),
            ("[::]:5", "1.2.3.4:5"),
            ("unix:x", "unix:x"),
        ] {
            assert!(overlap(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("1.2.3.4:5", "1.2.3.4:6"),
            ("0.0.0.0:5", "1.2.3.4:6"),
            ("1.2.3.4:5", "1.2.3.5:5"),
            ("unix:x", "unix:y"),
        ] {
            assert!(!overlap(a, b), "{a} {b}");
        }
    }

    #[test]
    fn what_stands_behind_an_address_says_how_to_listen() {
        for text in
            ["unix:/run/a,b.sock,mode=0660,group=envoy", "unix:/x,group=7", "[::1]:1,plain", "1.2.3.4:5"]
        {
            assert_eq!(text.parse::<Listen>().map(|listen| listen.to_string()).ok().as_deref(), Some(text));
        }
        for text in [
            "1.2.3.4:5,mode=0660",
            "unix:/x,mode=0999",
            "unix:/x,mode=7777",
            "unix:/x,group=",
            "unix:/x,plain",
        ] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
        let several: Listens = "unix:/x,mode=600,127.0.0.1:1,plain,[::1]:2".parse().expect("three");
        let shown: Vec<String> = several.0.iter().map(Listen::to_string).collect();
        assert_eq!(shown, ["unix:/x,mode=0600", "127.0.0.1:1,plain", "[::1]:2"]);
    }
}
