//! [`MappingDialer`]: dials other addresses than those it is asked for.

use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use tracing::debug;

use super::{AddressMap, vip_channel};
use crate::connection::ConnectionOptions;
use crate::dialer::{Dialer, Rerouted, Transport};

/// Opens the streams of another dialer at the addresses that an [`AddressMap`] gives. To everything above, and to TLS,
/// a server stays who it is by the address that it advertises; errors name both.
#[derive(Clone)]
pub struct MappingDialer {
    beneath: Arc<dyn Dialer>,
    map: AddressMap,
    vip_channel: bool,
}

impl fmt::Debug for MappingDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappingDialer")
            .field("map", &self.map)
            .field("vip_channel", &self.vip_channel)
            .finish_non_exhaustive()
    }
}

impl MappingDialer {
    /// Dials through `beneath` what `map` says.
    #[must_use]
    pub fn new(beneath: Arc<dyn Dialer>, map: AddressMap) -> Self {
        Self {
            beneath,
            map,
            vip_channel: false,
        }
    }

    /// Whether [`vip_channel`] is applied before the map; off by default, and for brokers only.
    #[must_use]
    pub const fn with_vip_channel(mut self, enabled: bool) -> Self {
        self.vip_channel = enabled;
        self
    }

    /// The address to dial, if it is another one.
    fn rerouted(&self, address: &str) -> Option<String> {
        let vip = self.vip_channel.then(|| vip_channel(address)).flatten();
        let mapped = self.map.reachable(vip.as_deref().unwrap_or(address));
        mapped.or(vip)
    }
}

#[async_trait]
impl Dialer for MappingDialer {
    async fn dial(
        &self,
        address: &str,
        options: &ConnectionOptions,
    ) -> io::Result<Box<dyn Transport>> {
        let Some(reached_as) = self.rerouted(address) else {
            return self.beneath.dial(address, options).await;
        };
        debug!(address, reached_as, "dialling another address");
        let dialled = self.beneath.dial(&reached_as, options).await;
        dialled.map_err(|cause| {
            let rerouted = Rerouted { reached_as, cause };
            io::Error::new(rerouted.cause.kind(), rerouted)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialer::{HostFailure, TcpDialer, find};

    fn dialer(map: &str) -> MappingDialer {
        MappingDialer::new(Arc::new(TcpDialer), map.parse().unwrap())
    }

    #[test]
    fn the_vip_channel_comes_before_the_map() {
        let dialer = dialer("a:10909=b:1; c:10911=d:2; e=f").with_vip_channel(true);
        let reached = |address: &str| dialer.rerouted(address);
        assert_eq!(reached("a:10911").as_deref(), Some("b:1"));
        assert_eq!(reached("c:10911").as_deref(), Some("c:10909"));
        assert_eq!(reached("e:10911").as_deref(), Some("f:10909"));
        assert_eq!(reached("x:1"), None);
    }

    #[tokio::test]
    async fn an_error_names_the_address_that_was_dialled() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = listener.local_addr().unwrap();
        drop(listener);
        let dialer = dialer(&format!("a:1={closed};b:1=no-such-host.invalid:1"));
        let options = ConnectionOptions::new();
        let error = dialer.dial("a:1", &options).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&format!("dialled as {closed}")));
        let error = dialer.dial("b:1", &options).await.err().unwrap();
        assert!(find::<HostFailure>(&error).is_some(), "{error}");
    }
}
