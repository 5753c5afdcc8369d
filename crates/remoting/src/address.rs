//! The two parts of an address, `host:port`.

/// The host, without the brackets of an IPv6 address, and the port; none if it is no such address.
pub(crate) fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    // `parse` would take a sign too.
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let port = port.parse().ok().filter(|port| *port > 0)?;
    Some((checked_host(host)?, port))
}

/// A host without the brackets of an IPv6 address; none if it cannot be one.
pub(crate) fn checked_host(host: &str) -> Option<&str> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']')?;
        let (ip, zone) = inner.split_once('%').unwrap_or((inner, ""));
        let is_address = ip.parse::<std::net::Ipv6Addr>().is_ok();
        return (is_address && zone.chars().all(|c| c.is_ascii_graphic())).then_some(inner);
    }
    let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    (!host.is_empty() && host.chars().all(is_host)).then_some(host)
}

/// The two parts as one text.
pub(crate) fn join(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_and_joined_again() {
        for (address, host, port) in [
            ("mq.internal:9876", "mq.internal", 9876),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("[::1]:65535", "::1", 65_535),
            ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
        ] {
            assert_eq!(split(address), Some((host, port)), "{address}");
            assert_eq!(join(host, port), address);
        }
        for address in [
            "",
            "host",
            ":1",
            "host:",
            "host:0",
            "host:+1",
            "host:65536",
            "::1:9876",
            "[::1]",
            "[host]:1",
            "a b:1",
            "[::1:1",
        ] {
            assert_eq!(split(address), None, "{address}");
        }
    }
}
