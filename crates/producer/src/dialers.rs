//! What opens connections, layer upon layer as the settings ask: TCP or a dialer of one's own, a proxy, other addresses,
//! TLS.

use std::sync::Arc;

use crate::config::ProducerConfig;
use crate::config::routing::remoting::{Dialer, MappingDialer};
use crate::error::BuildError;

/// What opens the connections of one producer.
#[derive(Clone)]
pub(crate) struct Dialers {
    pub(crate) name_servers: Arc<dyn Dialer>,
    pub(crate) brokers: Arc<dyn Dialer>,
    /// Without TLS, for pages.
    #[cfg(feature = "discovery-http")]
    pub(crate) plain: Arc<dyn Dialer>,
}

impl Dialers {
    /// The layers that the settings ask for, on top of `base`. Reads the files that the settings of TLS name.
    pub(crate) fn of(base: Arc<dyn Dialer>, config: &ProducerConfig) -> Result<Self, BuildError> {
        let reached = through_proxy(base, config)?;
        let mapped = |vip_channel: bool| -> Arc<dyn Dialer> {
            if config.address_map.is_empty() && !vip_channel {
                return Arc::clone(&reached);
            }
            let dialer = MappingDialer::new(Arc::clone(&reached), config.address_map.clone());
            Arc::new(dialer.with_vip_channel(vip_channel))
        };
        Ok(Self {
            name_servers: secured(mapped(false), config)?,
            // Name servers have no second port.
            brokers: secured(mapped(config.vip_channel), config)?,
            #[cfg(feature = "discovery-http")]
            plain: mapped(false),
        })
    }
}

/// The dialer, through a proxy if the settings name one.
#[cfg(feature = "socks5")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it can fail")]
fn through_proxy(
    dialer: Arc<dyn Dialer>,
    config: &ProducerConfig,
) -> Result<Arc<dyn Dialer>, BuildError> {
    use crate::config::routing::remoting::Socks5Dialer;
    Ok(match config.socks5_options() {
        None => dialer,
        Some(options) => Arc::new(Socks5Dialer::over(dialer, options)),
    })
}

/// The dialer; proxies were left out when this crate was built.
#[cfg(not(feature = "socks5"))]
fn through_proxy(
    dialer: Arc<dyn Dialer>,
    config: &ProducerConfig,
) -> Result<Arc<dyn Dialer>, BuildError> {
    if config.socks_proxy.is_some() {
        return Err(BuildError::Socks5LeftOut);
    }
    Ok(dialer)
}

/// The dialer, with TLS on top if the settings ask for it.
#[cfg(feature = "tls")]
fn secured(
    dialer: Arc<dyn Dialer>,
    config: &ProducerConfig,
) -> Result<Arc<dyn Dialer>, BuildError> {
    use crate::config::routing::remoting::TlsDialer;
    match config.tls_options() {
        None => Ok(dialer),
        Some(options) => match TlsDialer::over(dialer, &options) {
            Ok(dialer) => Ok(Arc::new(dialer)),
            Err(error) => Err(BuildError::Tls(Arc::new(error))),
        },
    }
}

/// The dialer; TLS was left out when this crate was built.
#[cfg(not(feature = "tls"))]
fn secured(
    dialer: Arc<dyn Dialer>,
    config: &ProducerConfig,
) -> Result<Arc<dyn Dialer>, BuildError> {
    if config.tls {
        return Err(BuildError::TlsLeftOut);
    }
    Ok(dialer)
}
