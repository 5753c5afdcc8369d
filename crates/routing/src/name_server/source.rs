//! Where the addresses of the name servers come from, as a user gives it: a list, an endpoint of an instance, a page.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::addresses::{NameServerAddresses, ParseAddressesError};

/// Name servers as they are given: a list of addresses, or the URL of a page that tells them.
///
/// * `host:port;host:port` is a list, see [`NameServerAddresses`].
/// * `http://host:port`, without a path, is that address, as in Java.
/// * `http://host:port/path` is a page that tells the list, see [`DiscoveryUrl`].
/// * An address whose host begins with `MQ_INST_…_….` belongs to an instance, which is a namespace
///   ([`instance`](Self::instance)).
///
/// Java: `ClientConfig.getNamesrvAddr`, `NameServerAddressUtils`; there a page is asked only if no address is given.
///
/// ```
/// use rocketmq_producer_routing::NameServerSource;
///
/// let source: NameServerSource = "http://MQ_INST_123_abc.mq.example.com:8080".parse()?;
/// assert_eq!(source.instance(), Some("MQ_INST_123_abc"));
/// let page: NameServerSource = "http://discovery.internal/rocketmq/nsaddr".parse()?;
/// assert!(page.addresses().is_none());
/// # Ok::<(), rocketmq_producer_routing::ParseSourceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServerSource {
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    List(NameServerAddresses),
    Endpoint(NameServerAddresses),
    Page(DiscoveryUrl),
}

impl NameServerSource {
    /// The addresses; none if a page tells them.
    #[must_use]
    pub const fn addresses(&self) -> Option<&NameServerAddresses> {
        match &self.kind {
            Kind::List(addresses) | Kind::Endpoint(addresses) => Some(addresses),
            Kind::Page(_) => None,
        }
    }

    /// The page that tells the addresses, if one does.
    #[must_use]
    pub const fn page(&self) -> Option<&DiscoveryUrl> {
        match &self.kind {
            Kind::Page(url) => Some(url),
            Kind::List(_) | Kind::Endpoint(_) => None,
        }
    }

    /// The instance that the first address belongs to, such as `MQ_INST_123_abc`: a namespace, unless another one is
    /// given (Java: `NameServerAddressUtils.parseInstanceIdFromEndpoint`).
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        let first = self.addresses()?.iter().next()?;
        let (name, _) = first.split_once('.')?;
        let id = name.strip_prefix("MQ_INST_")?;
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        // A separator with something on both sides.
        let middle = id.get(1..id.len().checked_sub(1)?)?;
        (id.chars().all(is_word) && middle.contains('_')).then_some(name)
    }
}

impl From<NameServerAddresses> for NameServerSource {
    fn from(addresses: NameServerAddresses) -> Self {
        let kind = Kind::List(addresses);
        Self { kind }
    }
}

impl FromStr for NameServerSource {
    type Err = ParseSourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let kind = match strip_http(text) {
            Some(rest) if rest.contains('/') => Kind::Page(text.parse()?),
            Some(rest) => Kind::Endpoint(rest.parse()?),
            None if text.contains("://") => return Err(ParseSourceError::Scheme),
            None => Kind::List(text.parse()?),
        };
        let source = Self { kind };
        // No namespace has a longer name.
        if source.instance().is_some_and(|name| name.len() > 64) {
            return Err(ParseSourceError::Instance);
        }
        Ok(source)
    }
}

impl fmt::Display for NameServerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::List(addresses) => addresses.fmt(f),
            Kind::Endpoint(addresses) => write!(f, "http://{addresses}"),
            Kind::Page(url) => url.fmt(f),
        }
    }
}

fn strip_http(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    scheme.eq_ignore_ascii_case("http").then_some(rest)
}

/// Why a text names no name servers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseSourceError {
    /// It is no list of addresses.
    #[error(transparent)]
    Addresses(#[from] ParseAddressesError),
    /// The name of the instance that it belongs to is too long for a namespace.
    #[error("the name of the instance is longer than 64 characters")]
    Instance,
    /// It begins with another scheme than `http://`.
    #[error("pages that tell name servers are asked over http:// only")]
    Scheme,
    /// It is no URL of a page.
    #[error("no URL of a page that tells name servers: {0}")]
    Url(&'static str),
}

/// The URL of a page that tells the addresses of the name servers: `http://host:port/path`, port 80 unless given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryUrl {
    /// As it is given.
    authority: String,
    /// With its port.
    address: String,
    /// Path and query.
    target: String,
}

impl DiscoveryUrl {
    /// The longest URL, in bytes.
    pub const MAX_LENGTH: usize = 2048;

    /// The server, `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The server as the URL has it.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path and the query, beginning with `/`.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The page of a unit: its name follows the path, and `nofix=1` is asked for (Java: `DefaultTopAddressing`).
    ///
    /// # Errors
    /// A [`ParseSourceError`] if the name has characters that no URL has.
    pub fn with_unit(&self, unit: &str) -> Result<Self, ParseSourceError> {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, format!("&{query}")),
            None => (&*self.target, String::new()),
        };
        let url = format!("http://{}{path}-{unit}?nofix=1{query}", self.authority);
        if unit.contains(['?', '/', '#', '&']) {
            return Err(ParseSourceError::Url("a unit's name must not have ? / # &"));
        }
        url.parse()
    }

    /// Where a redirection leads.
    #[cfg(any(test, feature = "discovery-http"))]
    pub(super) fn redirected(&self, location: &str) -> Result<Self, ParseSourceError> {
        if location.starts_with('/') && !location.starts_with("//") {
            format!("http://{}{location}", self.authority).parse()
        } else {
            location.parse()
        }
    }
}

impl FromStr for DiscoveryUrl {
    type Err = ParseSourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::MAX_LENGTH {
            return Err(ParseSourceError::Url("longer than 2048 bytes"));
        }
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(ParseSourceError::Url(
                "a blank, or a character beyond ASCII",
            ));
        }
        let rest = strip_http(text).ok_or(ParseSourceError::Scheme)?;
        let start = rest.find('/').unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(start).unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(ParseSourceError::Url("a user or password is not sent"));
        }
        if target.contains('#') {
            return Err(ParseSourceError::Url("it has a fragment"));
        }
        let has_port = !authority.ends_with(']')
            && authority
                .rsplit_once(':')
                .is_some_and(|(_, port)| !port.contains(']'));
        let address = if has_port {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        if address.parse::<NameServerAddresses>()?.len() != 1 || address.contains([';', ',']) {
            return Err(ParseSourceError::Url("more than one host"));
        }
        Ok(Self {
            authority: authority.to_owned(),
            address,
            target: if target.is_empty() { "/" } else { target }.to_owned(),
        })
    }
}

impl fmt::Display for DiscoveryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> NameServerSource {
        text.parse().unwrap()
    }

    #[test]
    fn lists_endpoints_and_pages_are_told_apart_and_print_back() {
        for (text, addresses) in [
            ("a:1;b:2", Some("a:1;b:2")),
            ("http://a:1", Some("a:1")),
            ("http://a:1/", None),
            ("http://a/rocketmq/nsaddr?x=1", None),
            ("http://[::1]:80/p", None),
        ] {
            let source = source(text);
            let found = source.addresses().map(ToString::to_string);
            assert_eq!(found.as_deref(), addresses, "{text}");
            assert_eq!(source.to_string(), text);
            assert_eq!(source.page().is_some(), addresses.is_none());
        }
        assert_eq!(source(" HTTP://a:1 ").to_string(), "http://a:1");
    }

    #[test]
    fn an_instance_is_found_where_java_finds_one() {
        for (text, instance) in [
            ("http://MQ_INST_123_abc.mq.com:80", Some("MQ_INST_123_abc")),
            ("MQ_INST_1_2_3.x:80", Some("MQ_INST_1_2_3")),
            ("MQ_INST_1_2.x:80;b:1", Some("MQ_INST_1_2")),
            ("MQ_INST_123.x:80", None),
            ("MQ_INST__.x:80", None),
            ("MQ_INST_1-2_3.x:80", None),
            ("MQ_INST_1_2:80", None),
            ("b:1;MQ_INST_1_2.x:80", None),
            ("http://MQ_INST_1_2.x:80/page", None),
        ] {
            assert_eq!(source(text).instance(), instance, "{text}");
        }
    }

    #[test]
    fn a_page_has_an_address_and_one_for_each_unit() {
        let url: DiscoveryUrl = "http://host/rocketmq/nsaddr".parse().unwrap();
        assert_eq!((url.address(), url.authority()), ("host:80", "host"));
        let unit = url.with_unit("center").unwrap();
        assert_eq!(unit.target(), "/rocketmq/nsaddr-center?nofix=1");
        let url: DiscoveryUrl = "http://[::1]/p?a=b".parse().unwrap();
        assert_eq!(url.address(), "[::1]:80");
        assert_eq!(url.with_unit("u").unwrap().target(), "/p-u?nofix=1&a=b");
        assert!(url.with_unit("u/../x").is_err());
        let elsewhere = |location: &str| url.redirected(location).unwrap().to_string();
        assert_eq!(elsewhere("/q"), "http://[::1]/q");
        assert_eq!(elsewhere("http://h:8/q"), "http://h:8/q");
        assert!(url.redirected("https://h/q").is_err());
        assert!(url.redirected("//h/q").is_err());
    }

    #[test]
    fn what_names_no_page_is_refused() {
        for text in [
            "https://a/p",
            "ftp://a:1",
            "http://",
            "http:///p",
            "http://a:0/p",
            "http://user:secret@a/p",
            "http://a/p#f",
            "http://a/p q",
            "http://a,b/p",
            "http://a:1;b:2/p",
        ] {
            let error = text.parse::<NameServerSource>().unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let long = format!("MQ_INST_{}_1.x:1", "1".repeat(60));
        assert_eq!(
            long.parse::<NameServerSource>(),
            Err(ParseSourceError::Instance)
        );
        let long = format!("http://a/{}", "p".repeat(3000));
        assert!(long.parse::<NameServerSource>().is_err());
    }
}
