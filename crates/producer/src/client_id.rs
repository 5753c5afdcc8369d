//! The name of a producer instance at the brokers.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use rand::RngExt;

/// A name that no other producer instance has: `address@process#instance`, where instance is
/// random (Java: `ClientConfig.buildMQClientId`, there `address@instanceName`).
///
/// Containers share process numbers and often addresses, so only the last part is surely unique.
pub(crate) fn generate() -> String {
    let instance = rand::rng().random::<u64>();
    format!("{}@{}#{instance:016x}", local_address(), std::process::id())
}

/// The address this host would use towards others, without sending anything.
fn local_address() -> IpAddr {
    let local = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // Connecting a datagram socket only looks up the route; the address is reserved for
        // documentation.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    local().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_instances_of_one_process_have_different_names() {
        assert_ne!(generate(), generate());
    }
}
