//! Sockets that accept connections: bound here, or handed over by whoever started the daemon.
//!
//! Comes in: addresses, and the sockets of systemd's socket activation. Goes out: listening sockets. A dead
//! socket file is replaced, a living one is an error, and only a file of our own is removed at the end.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket, UnixStream};

use super::address::{Address, Listen};

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error(
        "{0} is in use: another program, or another xds-bridge, listens there; stop it or choose another --listen"
    )]
    InUse(Address),
    /// An address for Envoys is the admin address.
    #[error("--listen {envoys} and --admin {admin} are in each other's way: give each an address of its own")]
    Both {
        /// For Envoys.
        envoys: Address,
        /// For commands.
        admin: Address,
    },
    /// Something else has the path of a unix socket.
    #[error("{0} cannot be had: what is there is no socket; remove it, or choose another path")]
    NoSocket(Address),
    /// One address is asked for twice.
    #[error("{0} stands twice among the addresses to listen on: leave one of them out")]
    Twice(Address),
    /// Plain text would leave the machine.
    #[error(
        "{0} is not a loopback address and the stream would be plain text: give it a certificate (--tls-cert, \
         --tls-key), listen on 127.0.0.1 or a unix socket, or say --insecure"
    )]
    Exposed(Address),
    /// Everybody could command the daemon.
    #[error(
        "{0} is not a loopback address, and whoever reaches the admin address commands the bridge: use \
         127.0.0.1 or unix:PATH, or say --insecure"
    )]
    AdminExposed(Address),
    /// The group of a socket.
    #[error("cannot give {0} to the group {1:?}: {2}; create the group, or leave out `group=`")]
    Group(Address, String, String),
    /// The operating system's reason.
    #[error("cannot listen on {0}: {1}")]
    Io(Address, io::Error),
    /// What was handed over is of no use.
    #[error(
        "file descriptor {0} that was handed over (LISTEN_FDS) is no listening TCP or unix stream socket: {1}; \
         in the .socket unit use ListenStream= and Accept=no"
    )]
    Handed(usize, String),
}

/// Connections that may wait to be accepted, if the system allows it (`net.core.somaxconn`): all Envoys come at
/// once when the server has restarted. A usual bind has 128, and drops or refuses what comes beyond.
const BACKLOG: u32 = 4096;

/// A socket that accepts connections.
#[derive(Debug)]
pub enum Listener {
    /// IP.
    Tcp(TcpListener),
    /// Unix; a file of our own is removed when this is dropped.
    Unix(UnixListener, SocketFile),
}

/// The file of a unix socket.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode, if the file is ours to remove.
    own: Option<(u64, u64)>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path).map(|file| (file.dev(), file.ino())).ok();
        if self.own.is_some() && there == self.own {
            // Gone already is as good; there is nobody left to tell of anything else.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// Binds an address.
    pub async fn bind(listen: &Listen) -> Result<Listener, ListenError> {
        let address = &listen.address;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse(address.clone()),
            _ => ListenError::Io(address.clone(), error),
        };
        match address {
            Address::Tcp(ip) => Ok(Listener::Tcp(listen_tcp(*ip).map_err(failed)?)),
            Address::Unix(path) => {
                if fs::symlink_metadata(path).is_ok_and(|file| !file.file_type().is_socket()) {
                    return Err(ListenError::NoSocket(address.clone()));
                }
                clear_stale(path).await.map_err(failed)?;
                let socket = UnixSocket::new_stream().and_then(|socket| socket.bind(path).map(|()| socket));
                let socket = socket.map_err(failed)?;
                let own = fs::symlink_metadata(path).map(|file| (file.dev(), file.ino())).ok();
                let file = SocketFile { path: path.clone(), own };
                // Before it listens: nobody else is let in meanwhile, whatever the umask.
                permit(listen, path)?;
                Ok(Listener::Unix(socket.listen(BACKLOG).map_err(failed)?, file))
            }
        }
    }

    /// The address as bound, with the real port when 0 was asked for.
    pub fn address(&self) -> Option<Address> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok().map(Address::Tcp),
            Listener::Unix(_, file) => Some(Address::Unix(file.path.clone())),
        }
    }
}

fn listen_tcp(ip: SocketAddr) -> io::Result<TcpListener> {
    let socket = if ip.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As a usual bind does: connections of a process before do not keep the port.
    socket.set_reuseaddr(true)?;
    socket.bind(ip)?;
    socket.listen(BACKLOG)
}

/// Sets group and mode of a socket file; connecting takes the right to write. Where no mode is given, it is for the
/// own user, and for the group that is given.
fn permit(listen: &Listen, path: &Path) -> Result<(), ListenError> {
    let address = || listen.address.clone();
    if let Some(name) = &listen.group {
        let failed = |reason: String| ListenError::Group(address(), name.clone(), reason);
        let found = match name.parse() {
            Ok(number) => Some(Gid::from_raw(number)),
            Err(_) => {
                Group::from_name(name).map_err(|error| failed(error.to_string()))?.map(|group| group.gid)
            }
        };
        let group = found.ok_or_else(|| failed("there is no such group".into()))?;
        chown(path, None, Some(group.as_raw())).map_err(|error| failed(error.to_string()))?;
    }
    let mode = listen.mode.unwrap_or(if listen.group.is_some() { 0o660 } else { 0o600 });
    let set = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    set.map_err(|error| ListenError::Io(address(), error))
}

/// Removes the socket file of a process that is gone. One that still answers, or a file that is no
/// socket, stays: binding then fails with "in use".
async fn clear_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Ok(());
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Ok(()),
    }
}

/// The sockets that were handed over, not yet in use.
#[derive(Debug, Default)]
pub struct Handed(Vec<(String, Socket)>);

#[derive(Debug)]
enum Socket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// What a socket for the command line is named, by `FileDescriptorName=` of its unit.
const ADMIN: &str = "admin";

impl Handed {
    /// Takes what the environment says was handed over, and the variables with it. To be called before there
    /// are threads.
    pub fn take() -> Result<Handed, ListenError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut fds = listenfd::ListenFd::from_env();
        let mut sockets = Vec::new();
        for at in 0..fds.len() {
            let name = names.next().unwrap_or_default().to_owned();
            let socket = match fds.take_unix_listener(at) {
                Ok(socket) => socket.map(Socket::Unix),
                Err(_) => fds
                    .take_tcp_listener(at)
                    .map_err(|e| ListenError::Handed(at, e.to_string()))?
                    .map(Socket::Tcp),
            };
            sockets.extend(socket.map(|socket| (name, socket)));
        }
        Ok(Handed(sockets))
    }

    /// Makes listeners of them: those for Envoys, and the one for the command line. Needs a runtime.
    pub fn listeners(self) -> Result<(Vec<Listener>, Option<Listener>), ListenError> {
        let (mut envoys, mut admin) = (Vec::new(), None);
        for (at, (name, socket)) in self.0.into_iter().enumerate() {
            let listener = socket.listener().map_err(|error| ListenError::Handed(at, error.to_string()))?;
            match admin {
                None if name == ADMIN => admin = Some(listener),
                _ => envoys.push(listener),
            }
        }
        Ok((envoys, admin))
    }
}

impl Socket {
    fn listener(self) -> io::Result<Listener> {
        let not_listening = || io::Error::other("it does not listen");
        match self {
            Socket::Tcp(socket) => {
                if !nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::AcceptConn)? {
                    return Err(not_listening());
                }
                socket.set_nonblocking(true)?;
                Ok(Listener::Tcp(TcpListener::from_std(socket)?))
            }
            Socket::Unix(socket) => {
                if !nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::AcceptConn)? {
                    return Err(not_listening());
                }
                socket.set_nonblocking(true)?;
                // One in the abstract namespace has no path to connect to by; it is shown as it is.
                let path = socket
                    .local_addr()?
                    .as_pathname()
                    .map_or_else(|| PathBuf::from("(abstract)"), Path::to_owned);
                Ok(Listener::Unix(UnixListener::from_std(socket)?, SocketFile { path, own: None }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_is_in_use() {
        let dir = tempfile::tempdir().expect("a directory");
        let listen = Listen::from(Address::Unix(dir.path().join("s")));
        let first = Listener::bind(&listen).await.expect("free");
        assert!(matches!(Listener::bind(&listen).await, Err(ListenError::InUse(_))));
        let Listener::Unix(socket, file) = first else { panic!("a unix socket") };
        drop(socket);
        std::mem::forget(file);
        Listener::bind(&listen).await.expect("the dead socket is replaced");
    }

    #[tokio::test]
    async fn a_burst_of_connections_waits_to_be_accepted() {
        let allowed = fs::read_to_string("/proc/sys/net/core/somaxconn").expect("Linux");
        let allowed: usize = allowed.trim().parse().expect("a number");
        // Nobody accepts meanwhile; some hundred files may be open everywhere.
        let burst = allowed.min(200);
        let dir = tempfile::tempdir().expect("a directory");
        let any: Listen = "127.0.0.1:0".parse().expect("an address");
        let tcp = Listener::bind(&any).await.expect("free");
        let Some(Address::Tcp(ip)) = tcp.address() else { panic!("a TCP address") };
        let path = dir.path().join("s");
        let _unix = Listener::bind(&Address::Unix(path.clone()).into()).await.expect("free");
        let limit = std::time::Duration::from_secs(10);
        let all = async {
            let mut open = (Vec::new(), Vec::new());
            for _ in 0..burst {
                open.0.push(tokio::net::TcpStream::connect(ip).await.expect("the queue has room"));
                open.1.push(UnixStream::connect(&path).await.expect("the queue has room"));
            }
            open
        };
        let open = tokio::time::timeout(limit, all).await.expect("no connection is dropped and tried again");
        assert_eq!((open.0.len(), open.1.len()), (burst, burst));
    }

    #[tokio::test]
    async fn a_file_that_somebody_else_put_there_is_not_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        let first = Listener::bind(&Address::Unix(path.clone()).into()).await.expect("free");
        fs::remove_file(&path).expect("it is there");
        fs::write(&path, "another").expect("writable");
        drop(first);
        assert!(path.exists());
        assert!(matches!(Listener::bind(&Address::Unix(path).into()).await, Err(ListenError::NoSocket(_))));
    }

    #[tokio::test]
    async fn mode_and_group_are_set_before_anyone_is_served() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        let own = Gid::effective().to_string();
        let listen: Listen = format!("unix:{},mode=0620,group={own}", path.display()).parse().expect("right");
        let listener = Listener::bind(&listen).await.expect("free");
        let file = fs::symlink_metadata(&path).expect("bound");
        assert_eq!((file.mode() & 0o777, file.gid().to_string()), (0o620, own.clone()));
        drop(listener);
        assert!(!path.exists());
        for (given, mode) in [(String::new(), 0o600), (format!(",group={own}"), 0o660)] {
            let listen: Listen = format!("unix:{}{given}", path.display()).parse().expect("right");
            let _listener = Listener::bind(&listen).await.expect("free");
            assert_eq!(fs::symlink_metadata(&path).expect("bound").mode() & 0o777, mode, "{given}");
        }
        let listen: Listen = format!("unix:{},group=no-such-group", path.display()).parse().expect("right");
        let error = Listener::bind(&listen).await.expect_err("no such group").to_string();
        assert!(error.contains("no-such-group") && !path.exists(), "{error}");
    }
}
