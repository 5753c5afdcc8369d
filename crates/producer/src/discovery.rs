//! Name servers that a page tells, if the setting `namesrv_addr` names one.

use std::sync::Arc;

use crate::config::ProducerConfig;
use crate::config::routing::NameServerDiscovery;
use crate::dialers::Dialers;
use crate::error::BuildError;

/// What asks the page, if there is one.
#[cfg(feature = "discovery-http")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it can fail")]
pub(crate) fn of(
    config: &ProducerConfig,
    dialers: &Dialers,
) -> Result<Option<Arc<dyn NameServerDiscovery>>, BuildError> {
    use crate::config::routing::HttpDiscovery;
    let Some(url) = config.namesrv_addr.page() else {
        return Ok(None);
    };
    let url = match &config.unit_name {
        // A unit's name has nothing that a URL could not have.
        Some(unit) => url.with_unit(unit).unwrap_or_else(|_| url.clone()),
        None => url.clone(),
    };
    let discovery = HttpDiscovery::new(url)
        .with_dialer(Arc::clone(&dialers.plain))
        .with_timeout(config.namesrv_discovery_timeout);
    Ok(Some(Arc::new(discovery)))
}

/// Pages were left out when this crate was built.
#[cfg(not(feature = "discovery-http"))]
pub(crate) fn of(
    config: &ProducerConfig,
    _dialers: &Dialers,
) -> Result<Option<Arc<dyn NameServerDiscovery>>, BuildError> {
    match config.namesrv_addr.page() {
        Some(_) => Err(BuildError::DiscoveryLeftOut),
        None => Ok(None),
    }
}
