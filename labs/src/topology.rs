//! The networks labs are built on.

use crate::namespace::Namespace;
use crate::reaper::Reaper;
use crate::web::Nginx;
use anyhow::{Context, Result};
use std::any::Any;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A lab's network: three namespaces, in one of three shapes.
pub struct Net {
    /// Where the service runs: the container.
    pub server: Namespace,
    /// Where requests come from.
    pub client: Namespace,
    /// What lies between: the container's host, or a router.
    pub between: Namespace,
    /// The server's address.
    pub server_address: Ipv4Addr,
    /// The client's address.
    pub client_address: Ipv4Addr,
    pub(crate) nginx: Option<Nginx>,
    /// Sockets and anything else that has to live as long as the lab.
    pub(crate) keep: Vec<Box<dyn Any + Send>>,
    // Last, so that it is dropped last: it removes the namespaces.
    _reaper: Reaper,
}

impl Net {
    /// Three empty namespaces, `PREFIX-srv`, `PREFIX-cli` and `PREFIX-rtr`.
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        let names: Vec<String> = ["srv", "cli", "rtr"].iter().map(|end| format!("{prefix}-{end}")).collect();
        let reaper = Reaper::start(&names)?;
        let [server, client, between] = [&names[0], &names[1], &names[2]].map(|name| Namespace::create(name.clone()));
        Ok(Self {
            server: server?,
            client: client?,
            between: between?,
            server_address: Ipv4Addr::UNSPECIFIED,
            client_address: Ipv4Addr::UNSPECIFIED,
            nginx: None,
            keep: Vec::new(),
            _reaper: reaper,
        })
    }

    /// As Docker does it: client `eth0` — routed — `ens0` host `docker0` bridge `veth-c` — `eth0` container.
    pub(crate) fn docker(&mut self) -> Result<()> {
        let (server, client, host) = (&self.server, &self.client, &self.between);
        host.ip("link add docker0 type bridge")?;
        host.ip("addr add 172.17.0.1/16 dev docker0")?;
        host.ip("link set docker0 up")?;
        server.ip(&format!("link add eth0 type veth peer name veth-c netns {}", host.name()))?;
        host.ip("link set veth-c master docker0")?;
        host.ip("link set veth-c up")?;
        server.ip("addr add 172.17.0.2/16 dev eth0")?;
        server.ip("link set eth0 up")?;
        server.ip("route add default via 172.17.0.1")?;
        client.ip(&format!("link add eth0 type veth peer name ens0 netns {}", host.name()))?;
        host.ip("addr add 192.168.0.1/24 dev ens0")?;
        host.ip("link set ens0 up")?;
        client.ip("addr add 192.168.0.2/24 dev eth0")?;
        client.ip("link set eth0 up")?;
        client.ip("route add default via 192.168.0.1")?;
        host.run("sysctl", &["-qw", "net.ipv4.ip_forward=1"])?;
        self.server_address = Ipv4Addr::new(172, 17, 0, 2);
        self.client_address = Ipv4Addr::new(192, 168, 0, 2);
        self.warm_neighbours()
    }

    /// A router in the middle: client `eth0` — `cside` router `sside` — `eth0` server.
    pub(crate) fn router(&mut self) -> Result<()> {
        let (server, client, router) = (&self.server, &self.client, &self.between);
        server.ip(&format!("link add eth0 type veth peer name sside netns {}", router.name()))?;
        client.ip(&format!("link add eth0 type veth peer name cside netns {}", router.name()))?;
        for (namespace, device, address) in [
            (server, "eth0", "10.77.1.1/24"),
            (router, "sside", "10.77.1.254/24"),
            (client, "eth0", "10.77.2.1/24"),
            (router, "cside", "10.77.2.254/24"),
        ] {
            namespace.ip(&format!("addr add {address} dev {device}"))?;
            namespace.ip(&format!("link set {device} up"))?;
        }
        router.run("sysctl", &["-qw", "net.ipv4.ip_forward=1"])?;
        server.ip("route add default via 10.77.1.254")?;
        client.ip("route add default via 10.77.2.254")?;
        self.server_address = Ipv4Addr::new(10, 77, 1, 1);
        self.client_address = Ipv4Addr::new(10, 77, 2, 1);
        self.warm_neighbours()
    }

    /// Fills the neighbour caches, so that a recording holds no ARP noise, by knocking at a closed port; the refusal also
    /// shows that packets pass both ways.
    fn warm_neighbours(&self) -> Result<()> {
        let closed = SocketAddr::from((self.server_address, 9));
        self.client.enter(|| match TcpStream::connect_timeout(&closed, Duration::from_secs(5)) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error).context("no packet passes between the lab's client and server"),
            Ok(_) => Ok(()),
        })
    }

    /// `http://SERVER/PATH`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.server_address)
    }

    /// Starts nginx on port 80 of the server.
    pub(crate) fn start_nginx(&mut self) -> Result<()> {
        self.nginx = Some(Nginx::start(&self.server)?);
        Ok(())
    }

    /// A GET from the client with a time limit in seconds, as `curl --max-time` does it. Failing is a result, not an error.
    pub(crate) fn get(&self, path: &str, max_seconds: &str) -> Result<String> {
        let format = "curl: http=%{http_code} connect=%{time_connect} total=%{time_total} bytes=%{size_download}\n";
        // Named as one version, so that the request is 74 bytes long whichever is installed.
        let quiet = ["-s", "-o", "/dev/null", "-A", "curl/7.88.1", "-w", format];
        self.client.try_run("curl", &[&quiet[..], &["--max-time", max_seconds, &self.url(path)]].concat())
    }

    /// A series of SYN probes from the client, 100 ms apart, as `hping3 -S` does it.
    pub(crate) fn syn_probes(&self, port: u16, count: u32) -> Result<String> {
        let server = self.server_address.to_string();
        self.client.try_run("hping3", &["-S", "-p", &port.to_string(), "-c", &count.to_string(), "-i", "u100000", &server])
    }
}
