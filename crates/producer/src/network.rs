//! How servers are reached: what opens connections, what signs requests, what tells addresses.

use std::fmt;
use std::sync::Arc;

use crate::config::ProducerConfig;
use crate::config::routing::NameServerDiscovery;
use crate::config::routing::remoting::{
    ConnectionOptions, CredentialsProvider, Dialer, RequestHook, TcpDialer,
};
use crate::dialers::Dialers;
use crate::discovery;
use crate::error::BuildError;

/// What a program gives for reaching servers, beside settings.
#[derive(Clone, Default)]
pub(crate) struct Means {
    pub(crate) dialer: Option<Arc<dyn Dialer>>,
    pub(crate) discovery: Option<Arc<dyn NameServerDiscovery>>,
    pub(crate) credentials: Option<Arc<dyn CredentialsProvider>>,
    pub(crate) request_hooks: Vec<Arc<dyn RequestHook>>,
}

impl fmt::Debug for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Means")
            .field("discovery", &self.discovery)
            .finish_non_exhaustive()
    }
}

impl Means {
    /// What was given, by the names of the builder's methods.
    pub(crate) fn given(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            ("credentials_provider", self.credentials.is_some()),
            ("dialer", self.dialer.is_some()),
            ("name_server_discovery", self.discovery.is_some()),
            ("request_hook", !self.request_hooks.is_empty()),
        ];
        given
            .into_iter()
            .filter_map(|(name, is)| is.then_some(name))
    }
}

/// How a client reaches servers.
pub(crate) struct Network {
    pub(crate) options: ConnectionOptions,
    pub(crate) dialers: Dialers,
    pub(crate) discovery: Option<Arc<dyn NameServerDiscovery>>,
    /// Tells networks apart: with a dialer of one's own the same names may mean others.
    pub(crate) id: usize,
}

impl Network {
    /// Puts settings and means together. With TLS it reads the files of certificates and keys.
    pub(crate) fn new(config: &ProducerConfig, means: Means) -> Result<Self, BuildError> {
        config
            .credentials()
            .map_err(|error| BuildError::Credentials(Arc::new(error)))?;
        let mut options = config.connection_options();
        if let Some(provider) = means.credentials {
            options = options.with_credentials(provider);
        }
        for hook in means.request_hooks {
            options = options.with_request_hook(hook);
        }
        let id = match &means.dialer {
            Some(dialer) => Arc::as_ptr(dialer).cast::<()>() as usize,
            None => 0,
        };
        let dialer = means.dialer.unwrap_or_else(|| Arc::new(TcpDialer));
        let dialers = Dialers::of(dialer, config)?;
        let discovery = match means.discovery {
            Some(discovery) => Some(discovery),
            None => discovery::of(config, &dialers)?,
        };
        Ok(Self {
            options,
            dialers,
            discovery,
            id,
        })
    }
}
