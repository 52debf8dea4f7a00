//! Whether a namespace has any sockets of a protocol (/proc/net/sockstat). Where it has none, the kernel need not walk the table
//! of all of the host's connections to find that out, which is most of what reading sockets costs.

use super::inet_diag::Protocol;
use crate::source::proc_file::ProcFile;

/// The files of the calling thread's namespace, one for each version of IP; those that are there.
pub(super) struct InUse(Vec<ProcFile>);

impl InUse {
    /// Opens them, on the thread that will read.
    pub(super) fn open() -> Self {
        let paths = ["/proc/thread-self/net/sockstat", "/proc/thread-self/net/sockstat6"];
        Self(paths.into_iter().filter_map(|path| ProcFile::open(path).ok()).collect())
    }

    /// Whether there are any; where the kernel does not say, there may be.
    pub(super) fn any(&mut self, protocol: Protocol) -> bool {
        let may_have = |file: &mut ProcFile| file.read().ok().and_then(|text| number(text, protocol)) != Some(0);
        self.0.is_empty() || self.0.iter_mut().any(may_have)
    }
}

/// `inuse` of the protocol's line: `TCP: inuse 3 orphan 0 tw 0 alloc 3 mem 0`, `TCP6: inuse 0`. A listening socket or a connection
/// counts, whatever its state but TIME_WAIT; of half-open connections the listening socket.
fn number(text: &str, protocol: Protocol) -> Option<u64> {
    let names = match protocol {
        Protocol::Tcp => ["TCP: inuse ", "TCP6: inuse "],
        Protocol::Udp => ["UDP: inuse ", "UDP6: inuse "],
    };
    let rest = text.lines().find_map(|line| names.into_iter().find_map(|name| line.strip_prefix(name)))?;
    rest.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_in_use_are_those_of_the_protocols_line() {
        let v4 = "sockets: used 19\nTCP: inuse 1 orphan 0 tw 12 alloc 3 mem 0\nUDP: inuse 0 mem 0\nUDPLITE: inuse 4\n";
        assert_eq!((number(v4, Protocol::Tcp), number(v4, Protocol::Udp)), (Some(1), Some(0)));
        let v6 = "TCP6: inuse 0\nUDP6: inuse 2\nUDPLITE6: inuse 0\n";
        assert_eq!((number(v6, Protocol::Tcp), number(v6, Protocol::Udp)), (Some(0), Some(2)));
        assert_eq!(number("TCP: in", Protocol::Tcp), None);
    }

    #[test]
    fn a_socket_of_this_namespace_is_seen() {
        let listening = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        assert!(InUse::open().any(Protocol::Tcp), "{listening:?}");
        assert!(InUse(Vec::new()).any(Protocol::Udp), "a kernel that does not say may have some");
    }
}
