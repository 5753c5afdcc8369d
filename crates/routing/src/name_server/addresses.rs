//! The list of name servers that a user gives.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

/// Addresses of name servers, `host:port` separated by `;` or `,`.
///
/// A host is a name, an IPv4 address, or an IPv6 address in brackets. Blanks around
/// an address and empty pieces are ignored, and one given twice counts once.
///
/// ```
/// use rocketmq_producer_routing::NameServerAddresses;
///
/// let addresses: NameServerAddresses = "10.0.0.1:9876;[::1]:9876".parse()?;
/// assert_eq!(addresses.len(), 2);
/// # Ok::<(), rocketmq_producer_routing::ParseAddressesError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServerAddresses {
    addresses: Arc<[Arc<str>]>,
}

impl NameServerAddresses {
    /// How many addresses one list may have.
    pub const MAX: usize = 256;

    /// The addresses in the order given.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.addresses.iter()
    }

    /// How many there are; at least one.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a list is never empty once parsed"
    )]
    pub fn len(&self) -> usize {
        self.addresses.len()
    }
}

impl FromStr for NameServerAddresses {
    type Err = ParseAddressesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut addresses: Vec<Arc<str>> = Vec::new();
        let pieces = text.split([';', ',']).map(str::trim);
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            if let Err(reason) = check(piece) {
                return Err(ParseAddressesError::Invalid {
                    piece: piece.to_owned(),
                    reason,
                });
            }
            if addresses.iter().any(|known| known.as_ref() == piece) {
                continue;
            }
            // Before the list grows further: each piece is compared with all of it.
            if addresses.len() >= Self::MAX {
                return Err(ParseAddressesError::TooMany);
            }
            addresses.push(Arc::from(piece));
        }
        if addresses.is_empty() {
            return Err(ParseAddressesError::Empty);
        }
        Ok(Self {
            addresses: addresses.into(),
        })
    }
}

impl fmt::Display for NameServerAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.addresses.iter().enumerate() {
            if index > 0 {
                f.write_str(";")?;
            }
            f.write_str(address)?;
        }
        Ok(())
    }
}

/// Why a text is no list of name servers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseAddressesError {
    /// There is no address in it.
    #[error("no name server address given, write host:port;host:port")]
    Empty,
    /// A piece is not `host:port`.
    #[error("{piece:?} is no name server address: {reason}")]
    Invalid {
        /// The piece.
        piece: String,
        /// What is wrong with it.
        reason: AddressProblem,
    },
    /// There are more than [`NameServerAddresses::MAX`].
    #[error(
        "more than {} name server addresses given, the most that are allowed",
        NameServerAddresses::MAX
    )]
    TooMany,
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressProblem {
    /// The host has characters that no host has, or an IPv6 address lacks brackets.
    #[error("host malformed")]
    HostMalformed,
    /// There is nothing before the port.
    #[error("host missing")]
    HostMissing,
    /// The port is not a number from 1 to 65535.
    #[error("port must be 1 to 65535")]
    PortInvalid,
    /// There is no port.
    #[error("port missing")]
    PortMissing,
}

fn check(address: &str) -> Result<(), AddressProblem> {
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(AddressProblem::HostMalformed)?;
        let port = rest.strip_prefix(':').ok_or(AddressProblem::PortMissing)?;
        // A zone (`%eth0`) may follow the address proper.
        let (ip, zone) = host.split_once('%').unwrap_or((host, ""));
        let is_address = ip.parse::<std::net::Ipv6Addr>().is_ok();
        if !is_address || !zone.chars().all(|c| c.is_ascii_graphic()) {
            return Err(AddressProblem::HostMalformed);
        }
        (host, port)
    } else {
        let (host, port) = address
            .rsplit_once(':')
            .ok_or(AddressProblem::PortMissing)?;
        if !host.chars().all(is_host_character) {
            return Err(AddressProblem::HostMalformed);
        }
        (host, port)
    };
    if host.is_empty() {
        return Err(AddressProblem::HostMissing);
    }
    // `parse` would take a sign too.
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if is_number => Ok(()),
        _ => Err(AddressProblem::PortInvalid),
    }
}

fn is_host_character(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::{AddressProblem, NameServerAddresses, ParseAddressesError};

    #[test]
    fn both_separators_blanks_and_repeats_are_understood() {
        let list: NameServerAddresses = " a:1 ;b:2,, a:1;[fe80::1%eth0]:3; ".parse().unwrap();
        assert_eq!(list.to_string(), "a:1;b:2;[fe80::1%eth0]:3");
        assert_eq!(list.to_string().parse(), Ok(list));
    }

    #[test]
    fn a_bad_piece_is_named_with_what_is_wrong() {
        for (text, problem) in [
            ("localhost", AddressProblem::PortMissing),
            (":9876", AddressProblem::HostMissing),
            ("h:", AddressProblem::PortInvalid),
            ("h:0", AddressProblem::PortInvalid),
            ("h:+1", AddressProblem::PortInvalid),
            ("h:65536", AddressProblem::PortInvalid),
            ("::1:9876", AddressProblem::HostMalformed),
            ("http://h:80", AddressProblem::HostMalformed),
            ("[::1]", AddressProblem::PortMissing),
            ("[h]:1", AddressProblem::HostMalformed),
            ("[fe80::1%e\u{1}]:1", AddressProblem::HostMalformed),
        ] {
            let error = format!("ok:1;{text}")
                .parse::<NameServerAddresses>()
                .unwrap_err();
            let expected = ParseAddressesError::Invalid {
                piece: text.to_owned(),
                reason: problem,
            };
            assert_eq!(error, expected);
        }
        for empty in ["", " ; ,"] {
            assert_eq!(
                empty.parse::<NameServerAddresses>(),
                Err(ParseAddressesError::Empty)
            );
        }
    }

    #[test]
    fn a_list_that_is_too_long_is_refused_where_it_becomes_so() {
        let list =
            |count: usize| -> String { (0..count).map(|host| format!("h{host}:1;")).collect() };
        let longest = list(NameServerAddresses::MAX);
        let parsed: NameServerAddresses = longest.parse().unwrap();
        assert_eq!(parsed.len(), NameServerAddresses::MAX);
        assert!(
            format!("{longest}{longest}")
                .parse::<NameServerAddresses>()
                .is_ok()
        );
        // What comes after the first one too many is not looked at.
        let text = format!("{}not an address", list(NameServerAddresses::MAX + 1));
        assert_eq!(
            text.parse::<NameServerAddresses>(),
            Err(ParseAddressesError::TooMany)
        );
    }
}
