//! Whose the other end of a connection over loopback is, as the kernel tells.
//!
//! Comes in: both addresses of a connection. Goes out: the user who opened the other end, if it is on this machine.
//! A unix socket tells the same by itself; of TCP the kernel's tables of sockets have to be read.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Sockets of IPv4 and IPv6. Of this process's network namespace: one of another is no neighbour.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// Whether `there` is an end of a connection from this machine to `here`, and that of this process's user or of
/// root: who may read the fragments anyway. The tables are read whole, so ask only when it matters.
pub fn is_ours(here: SocketAddr, there: SocketAddr) -> bool {
    let is_local = |end: SocketAddr| end.ip().to_canonical().is_loopback();
    is_local(here)
        && is_local(there)
        && user_at(here, there).is_some_and(|uid| uid == 0 || uid == nix::unistd::geteuid().as_raw())
}

/// Who opened the socket at `there` that is connected to `here`.
fn user_at(here: SocketAddr, there: SocketAddr) -> Option<u32> {
    let tables = TABLES.iter().filter_map(|table| fs::read_to_string(table).ok());
    tables.filter_map(|table| find(&table, canonical(there), canonical(here))).next()
}

/// The user of the socket with these ends, in a table as the kernel prints it.
fn find(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let ends = (address(columns.next()?)?, address(columns.next()?)?);
        // State, queues, timer, retransmissions.
        let user = columns.nth(4)?;
        if ends == (local, remote) { user.parse().ok() } else { None }
    })
}

/// `0100007F:1F90`: words of 32 bits in the order of this machine, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?))
        }
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?)))
}

/// An IPv4 address that is written as an IPv6 one is the same.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernel_tells_whose_a_connection_is() {
        for ip in ["127.0.0.1", "::1"] {
            let Ok(listener) = TcpListener::bind((ip, 0)) else {
                assert_eq!(ip, "::1", "IPv4 is everywhere");
                continue;
            };
            let here = listener.local_addr().expect("it is bound");
            let client = TcpStream::connect(here).expect("it listens");
            let there = client.local_addr().expect("it is connected");
            assert_eq!(user_at(here, there), Some(nix::unistd::geteuid().as_raw()));
            assert!(is_ours(here, there));
            assert!(!is_ours(here, SocketAddr::new(there.ip(), 1)), "nobody is there");
            assert!(!is_ours(here, "192.0.2.1:40000".parse().expect("an address")), "not of this machine");
        }
    }

    #[test]
    fn what_the_kernel_prints_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     0: 0100007F:9C40 0100007F:4650 01 00000000:00000000 00:00000000 00000000  1000        0 1 1\n\
                     1: 0000000000000000FFFF00000100007F:9C41 0000000000000000FFFF00000100007F:4650 01 \
                     00000000:00000000 00:00000000 00000000   101        0 1 1\n2: garbage\n3: :: :: 1\n";
        let address = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        if cfg!(target_endian = "little") {
            assert_eq!(find(table, address(40_000), address(18_000)), Some(1000));
            assert_eq!(find(table, address(40_001), address(18_000)), Some(101), "one that speaks IPv6");
        }
        assert_eq!(find(table, address(40_000), address(18_001)), None);
    }
}
