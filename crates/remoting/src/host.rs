//! What this host is called in message ids and client ids.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// An address of this host: the one that leads to the network, IPv4 before IPv6, else loopback.
/// Connecting a datagram socket sends nothing; it only asks the routing table. No name is looked up.
#[must_use]
pub fn host_address() -> IpAddr {
    // Addresses kept for documentation: no real host is ever meant.
    let v4 = (
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9)),
    );
    let v6 = (
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9)),
    );
    [v4, v6]
        .into_iter()
        .find_map(|(local, remote)| {
            let socket = UdpSocket::bind(local).ok()?;
            socket.connect(remote).ok()?;
            let ip = socket.local_addr().ok()?.ip();
            (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
        })
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}
