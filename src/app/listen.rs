//! Where clients connect: addresses as people write them, and bound sockets.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::{TcpListener, UnixListener};

/// An address to listen on or to connect to: `127.0.0.1:18000`, `[::1]:18000`, `unix:/run/x.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IP address and port.
    Tcp(SocketAddr),
    /// Path of a unix socket.
    Unix(PathBuf),
}

/// A text that is no address.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no address: write IP:PORT, such as 127.0.0.1:18000, or unix:PATH")]
pub struct AddressError {
    text: String,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Address::Unix(path.into()));
        }
        match text.parse() {
            Ok(address) => Ok(Address::Tcp(address)),
            Err(_) => Err(AddressError { text: text.to_owned() }),
        }
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
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error(
        "{0} is in use: another program, or another xds-bridge, listens there; stop it or choose another --listen"
    )]
    InUse(Address),
    /// Plain text would leave the machine.
    #[error(
        "{0} is not a loopback address and the stream would be plain text: listen on 127.0.0.1 or a unix socket, or say --insecure"
    )]
    Exposed(Address),
    /// Everybody could command the daemon.
    #[error(
        "{0} is not a loopback address, and whoever reaches the admin address commands the bridge: use 127.0.0.1 or unix:PATH"
    )]
    AdminExposed(Address),
    /// The operating system's reason.
    #[error("cannot listen on {0}: {1}")]
    Io(Address, io::Error),
}

/// A socket that accepts connections.
#[derive(Debug)]
pub enum Listener {
    /// IP.
    Tcp(TcpListener),
    /// Unix; the file is removed when this is dropped.
    Unix(UnixListener, SocketFile),
}

/// The file of a unix socket.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already is as good; there is nobody left to tell of anything else.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Binds an address. Plain text beyond this machine takes `insecure`.
    pub async fn bind(address: &Address, insecure: bool) -> Result<Listener, ListenError> {
        if !insecure && !address.is_local() {
            return Err(ListenError::Exposed(address.clone()));
        }
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse(address.clone()),
            _ => ListenError::Io(address.clone(), error),
        };
        match address {
            Address::Tcp(ip) => Ok(Listener::Tcp(TcpListener::bind(ip).await.map_err(failed)?)),
            Address::Unix(path) => {
                clear_stale(path).await.map_err(failed)?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                Ok(Listener::Unix(listener, SocketFile(path.clone())))
            }
        }
    }

    /// The address as bound, with the real port when 0 was asked for.
    pub fn address(&self) -> Option<Address> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok().map(Address::Tcp),
            Listener::Unix(_, file) => Some(Address::Unix(file.0.clone())),
        }
    }
}

/// Removes the socket file of a process that is gone. One that still answers, or a file that is no
/// socket, stays: binding then fails with "in use".
async fn clear_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Ok(());
    }
    match tokio::net::UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        _ => Ok(()),
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
        for text in ["", "18000", "localhost:1", "unix:", "127.0.0.1"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_loopback_and_unix_are_local() {
        let local = |text: &str| text.parse::<Address>().expect("an address").is_local();
        assert!(local("127.9.9.9:1") && local("[::1]:1") && local("unix:x") && local("[::ffff:127.0.0.1]:1"));
        assert!(!local("0.0.0.0:1") && !local("[::]:1") && !local("10.0.0.1:1"));
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_is_in_use() {
        let dir = tempfile::tempdir().expect("a directory");
        let address = Address::Unix(dir.path().join("s"));
        let first = Listener::bind(&address, false).await.expect("free");
        assert!(matches!(Listener::bind(&address, false).await, Err(ListenError::InUse(_))));
        let Listener::Unix(socket, file) = first else { panic!("a unix socket") };
        drop(socket);
        std::mem::forget(file);
        Listener::bind(&address, false).await.expect("the dead socket is replaced");
    }
}
