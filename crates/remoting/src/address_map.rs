//! Addresses that servers advertise, and how they are reached from here: for NAT, containers and the VIP channel.

mod dialer;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

pub use self::dialer::MappingDialer;
use crate::address;

/// Rules that say under which address a server is reached that advertises another one.
///
/// A rule is `host:port=host:port` for one address, or `host=host` for every port of a host; the first kind wins. Rules
/// are separated by `;` or `,`. Each address goes through the rules once. Names are compared without regard to case.
///
/// ```
/// use rocketmq_producer_remoting::AddressMap;
///
/// let map: AddressMap = "172.17.0.2:10911=localhost:30911; 172.17.0.3=mq.example.com".parse()?;
/// assert_eq!(map.reachable("172.17.0.2:10911").as_deref(), Some("localhost:30911"));
/// assert_eq!(map.reachable("172.17.0.3:10909").as_deref(), Some("mq.example.com:10909"));
/// assert_eq!(map.reachable("10.0.0.1:10911"), None);
/// # Ok::<(), rocketmq_producer_remoting::AddressMapError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressMap {
    /// Advertised host and port, to reachable ones.
    exact: BTreeMap<(String, u16), (String, u16)>,
    /// Advertised host, to the reachable one.
    hosts: BTreeMap<String, String>,
}

/// A text that is no address map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressMapError {
    /// A part of it is no rule.
    #[error("{0:?} is no rule, write host:port=host:port or host=host")]
    NotARule(String),
    /// Two rules say different things about one address.
    #[error("{0} is mapped twice")]
    Twice(String),
    /// There are more than [`AddressMap::MAX`].
    #[error("more than {} rules", AddressMap::MAX)]
    TooMany,
}

impl AddressMap {
    /// The most rules of one map.
    pub const MAX: usize = 4096;

    /// A map without rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule: `advertised` is reached as `reachable`, both `host:port` or both `host`.
    ///
    /// # Errors
    /// An [`AddressMapError`] if it is no rule, contradicts another one, or is one too many.
    pub fn with_rule(mut self, advertised: &str, reachable: &str) -> Result<Self, AddressMapError> {
        self.add(advertised.trim(), reachable.trim())?;
        Ok(self)
    }

    fn add(&mut self, advertised: &str, reachable: &str) -> Result<(), AddressMapError> {
        let twice = || AddressMapError::Twice(advertised.to_owned());
        if self.len() >= Self::MAX {
            return Err(AddressMapError::TooMany);
        }
        let exact = address::split(advertised).zip(address::split(reachable));
        if let Some(((from, port), (to, to_port))) = exact {
            let target = (canonical(to), to_port);
            let place = self.exact.entry((canonical(from), port));
            return match &*place.or_insert_with(|| target.clone()) {
                present if *present == target => Ok(()),
                _ => Err(twice()),
            };
        }
        let hosts = address::checked_host(advertised).zip(address::checked_host(reachable));
        let (from, to) =
            hosts.ok_or_else(|| AddressMapError::NotARule(format!("{advertised}={reachable}")))?;
        let target = canonical(to);
        let place = self.hosts.entry(canonical(from));
        match &*place.or_insert_with(|| target.clone()) {
            present if *present == target => Ok(()),
            _ => Err(twice()),
        }
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exact.len() + self.hosts.len()
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.hosts.is_empty()
    }

    /// The address under which `advertised` is reached, if a rule speaks of it.
    #[must_use]
    pub fn reachable(&self, advertised: &str) -> Option<String> {
        let (host, port) = address::split(advertised)?;
        let wanted = (canonical(host), port);
        if let Some((host, port)) = self.exact.get(&wanted) {
            return Some(address::join(host, *port));
        }
        let host = self.hosts.get(&wanted.0)?;
        Some(address::join(host, port))
    }
}

/// One form of each host: IPv6 addresses as the standard writes them, names in lower case. As in DNS only the letters of
/// ASCII have one: the lower case of others may be what no host can be.
fn canonical(host: &str) -> String {
    host.parse::<std::net::Ipv6Addr>()
        .map_or_else(|_| host.to_ascii_lowercase(), |ip| ip.to_string())
}

impl FromStr for AddressMap {
    type Err = AddressMapError;

    /// Reads rules; a blank text has none.
    fn from_str(text: &str) -> Result<Self, AddressMapError> {
        let mut map = Self::new();
        let rules = text.split([';', ',']).map(str::trim);
        for rule in rules.filter(|rule| !rule.is_empty()) {
            let (advertised, reachable) = rule
                .split_once('=')
                .ok_or_else(|| AddressMapError::NotARule(rule.to_owned()))?;
            map.add(advertised.trim(), reachable.trim())?;
        }
        Ok(map)
    }
}

impl fmt::Display for AddressMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = self.exact.iter().map(|((from, port), (to, to_port))| {
            let (from, to) = (address::join(from, *port), address::join(to, *to_port));
            format!("{from}={to}")
        });
        let bracketed = |host: &str| {
            if host.contains(':') {
                format!("[{host}]")
            } else {
                host.to_owned()
            }
        };
        let hosts = self
            .hosts
            .iter()
            .map(|(from, to)| format!("{}={}", bracketed(from), bracketed(to)));
        let rules: Vec<_> = exact.chain(hosts).collect();
        f.write_str(&rules.join(";"))
    }
}

/// The address of a broker's second server, two ports below the first, which its pulling consumers do not use (Java:
/// `MixAll.brokerVIPChannel`). None where there can be no such port.
///
/// ```
/// use rocketmq_producer_remoting::vip_channel;
///
/// assert_eq!(vip_channel("10.0.0.1:10911").as_deref(), Some("10.0.0.1:10909"));
/// ```
#[must_use]
pub fn vip_channel(address: &str) -> Option<String> {
    let (host, port) = address::split(address)?;
    let port = port.checked_sub(2).filter(|port| *port > 0)?;
    Some(address::join(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> AddressMap {
        text.parse().unwrap()
    }

    #[test]
    fn an_exact_rule_wins_over_one_for_the_host_and_no_rule_is_followed_by_another() {
        let map = map("a=b; a:1=c:9, b=d; [::1]=A; A:2=[0::2]:7");
        let reached = |address: &str| map.reachable(address);
        assert_eq!(reached("a:1").as_deref(), Some("c:9"));
        assert_eq!(reached("a:2").as_deref(), Some("[::2]:7"));
        assert_eq!(reached("A:3").as_deref(), Some("b:3"));
        assert_eq!(reached("[0:0::1]:5").as_deref(), Some("a:5"));
        assert_eq!(reached("c:9"), None);
        assert_eq!(reached("nonsense"), None);
    }

    #[test]
    fn a_map_reads_back_as_it_is_printed() {
        let text = "a:1=c:9;[::1]:2=a:2;10.0.0.1=b;[fe80::1%eth0]=[::2]";
        let map = map(text);
        assert_eq!(map.len(), 4);
        assert_eq!(map.to_string().parse(), Ok(map.clone()));
        // The lower case of this letter has a dot that is a letter of its own.
        let beyond: AddressMap = "\u{130}:1=l:3".parse().unwrap();
        assert_eq!(beyond.to_string().parse(), Ok(beyond.clone()));
        assert!(AddressMap::from_str(" ; ").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_rule_or_contradicts_one_is_refused() {
        for text in [
            "a", "a:1", "a=", "=a", "a:1=b", "a=b:1", "a:0=b:1", "a:1=b:x", "::1=a", "a b=c",
            "a=b=c",
        ] {
            let error = text.parse::<AddressMap>().unwrap_err();
            assert!(matches!(error, AddressMapError::NotARule(_)), "{text}");
        }
        for text in ["a=b;A=c", "a:1=b:1;a:1=b:2"] {
            let error = text.parse::<AddressMap>().unwrap_err();
            assert!(matches!(error, AddressMapError::Twice(_)), "{text}");
        }
        assert_eq!(map("a=b;a=B").len(), 1, "said twice, but the same");
    }

    #[test]
    fn the_second_server_is_two_ports_below() {
        assert_eq!(vip_channel("[::1]:10911").as_deref(), Some("[::1]:10909"));
        assert_eq!(vip_channel("h:2"), None);
        assert_eq!(vip_channel("h"), None);
    }
}
