//! Between the settings and the layers beneath: their types as settings, and their option structs made from settings.
//!
//! Nothing else of this crate names the layers beneath.

use std::sync::Arc;

use crate::routing::remoting::{
    ConnectionOptions, Credentials, CredentialsError, Socks5Options, TlsOptions,
};
use crate::routing::{BrokerAvoidance, RoutingOptions, TopicCreation};
use crate::settings::ProducerConfig;
use crate::value::{Choice, Refusal, SettingKind, SettingValue};

pub use crate::routing::remoting::message::CompressionType;
pub(crate) use crate::routing::remoting::message::Compressor;
pub use crate::routing::remoting::{AddressMap, ByteSize, HeaderEncoding, TlsVersion};
pub(crate) use crate::routing::remoting::{ExposeSecret, SecretString, Zeroizing};
pub(crate) use crate::routing::remoting::{ResponseClass, ResponseCode};
pub use crate::routing::{KeyedFailover, NameServerAddresses, NameServerSource, RoutingStrategy};

impl Choice for RoutingStrategy {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("round_robin", Self::RoundRobin),
        ("random", Self::Random),
        ("message_hash", Self::MessageHash),
        ("least_latency", Self::LeastLatency),
        ("least_load", Self::LeastLoad),
    ];
}

impl Choice for KeyedFailover {
    const NAMES: &'static [(&'static str, Self)] = &[("stay", Self::Stay), ("move", Self::Move)];
}

/// None leaves bodies as they are.
impl Choice for Option<CompressionType> {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("zlib", Some(CompressionType::Zlib)),
        ("lz4", Some(CompressionType::Lz4)),
        ("zstd", Some(CompressionType::Zstd)),
        ("none", None),
    ];

    fn missing_feature(self) -> Option<&'static str> {
        let left_out = self.filter(|kind| !kind.is_available());
        left_out.map(CompressionType::name)
    }

    fn without_feature(self) -> Self {
        None
    }
}

impl Choice for HeaderEncoding {
    // Java calls the binary form ROCKETMQ.
    const NAMES: &'static [(&'static str, Self)] = &[
        ("json", Self::Json),
        ("binary", Self::Binary),
        ("rocketmq", Self::Binary),
    ];
}

impl Choice for TlsVersion {
    const NAMES: &'static [(&'static str, Self)] = &[("1.2", Self::V1_2), ("1.3", Self::V1_3)];
}

impl SettingValue for NameServerSource {
    type Limits = ();
    const KIND: SettingKind = SettingKind::Text;

    fn parse(text: &str, _limits: &()) -> Result<Self, Refusal> {
        text.parse::<Self>()
            .map_err(|error| Refusal::invalid(error.to_string()))
    }

    fn render(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl SettingValue for AddressMap {
    type Limits = ();
    const KIND: SettingKind = SettingKind::Text;
    const REQUIRED: bool = false;

    fn parse(text: &str, _limits: &()) -> Result<Self, Refusal> {
        text.parse::<Self>()
            .map_err(|error| Refusal::invalid(error.to_string()))
    }

    fn render(&self) -> Option<String> {
        (!self.is_empty()).then(|| self.to_string())
    }

    fn unset() -> Option<Self> {
        Some(Self::default())
    }
}

/// Whether messages may be sent to a topic of this name; else why not.
pub(crate) fn check_topic(topic: &str) -> Result<(), String> {
    crate::routing::remoting::message::topic::validate_topic_for_send(topic)
        .map_err(|error| error.to_string())
}

/// Whether a producer group is one that brokers take; else why not.
pub(crate) fn check_group(group: &str) -> Result<(), String> {
    crate::routing::remoting::message::topic::validate_group(group)
        .map_err(|error| error.to_string())
}

/// Whether a namespace or a unit is one that names can be put into; else why not.
pub(crate) fn check_namespace(name: &str) -> Result<(), String> {
    crate::routing::remoting::message::Namespace::new(name)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

impl ProducerConfig {
    /// The options of the routing layer; what has no setting keeps that layer's default.
    #[must_use]
    pub fn routing_options(&self) -> RoutingOptions {
        RoutingOptions::default()
            .with_name_server_timeout(self.request_timeout)
            .with_route_timeout(self.route_timeout)
            .with_update_topic_route_info_interval(self.update_topic_route_info_interval)
            .with_poll_name_server_interval(self.poll_name_server_interval)
            .with_route_retention(self.route_retention)
            .with_default_topic_queue_nums(self.default_topic_queue_nums)
            .with_topic_creation(if self.create_topic {
                TopicCreation::UseDefaultTopic
            } else {
                TopicCreation::Refuse
            })
            .with_strategy(self.routing_strategy)
            .with_keyed_failover(self.keyed_failover)
            .with_in_flight_limits(
                usize::try_from(self.async_send_semaphore).unwrap_or(usize::MAX),
                self.max_in_flight_bytes.as_u64(),
            )
            .with_broker_share(self.broker_share)
            .with_active_detector(self.active_detector)
            .with_stats_reset_interval(
                Some(self.stats_reset_interval).filter(|interval| !interval.is_zero()),
            )
            .with_broker_avoidance(if self.send_latency_enable {
                BrokerAvoidance::Enabled
            } else {
                BrokerAvoidance::Disabled
            })
    }

    /// What compresses bodies; none if nothing does.
    #[must_use]
    pub fn compressor(&self) -> Option<Compressor> {
        // One that this build lacks is refused when it is given.
        Compressor::new(self.compress_type?, self.compress_level).ok()
    }

    /// The options of connections; what has no setting keeps the remoting layer's default.
    #[must_use]
    pub fn connection_options(&self) -> ConnectionOptions {
        let options = ConnectionOptions::default();
        // All sends under way may wait on one connection.
        let max_pending = usize::try_from(self.async_send_semaphore).unwrap_or(usize::MAX);
        let max_pending = options.max_pending.max(max_pending);
        let options = options
            .with_connect_timeout(self.connect_timeout)
            .with_connections(usize::try_from(self.connections_per_broker).unwrap_or(1))
            .with_header_encoding(self.header_encoding)
            .with_max_pending(max_pending);
        let options = match &self.namespace_v2 {
            Some(namespace) => options.with_namespace(namespace.as_str()),
            None => options,
        };
        match self.credentials() {
            Ok(Some(credentials)) => options.with_credentials(Arc::new(credentials)),
            // Said by `validate`, without which nothing is built.
            Ok(None) | Err(_) => options,
        }
    }

    /// The credentials that requests are signed with, if they are given.
    ///
    /// # Errors
    /// A [`CredentialsError`] if a field was changed by hand to what cannot be one.
    pub fn credentials(&self) -> Result<Option<Credentials>, CredentialsError> {
        let (Some(access_key), Some(secret_key)) = (&self.access_key, &self.secret_key) else {
            return Ok(None);
        };
        let credentials = Credentials::new(access_key.expose(), secret_key.expose())?;
        match &self.security_token {
            Some(token) => credentials.with_security_token(token.expose()).map(Some),
            None => Ok(Some(credentials)),
        }
    }

    /// What connections ask of TLS, if they use it.
    #[must_use]
    pub fn tls_options(&self) -> Option<TlsOptions> {
        if !self.tls {
            return None;
        }
        let mut options = TlsOptions::new()
            .with_min_version(self.tls_min_version)
            .with_danger_accept_invalid_certs(self.danger_accept_invalid_certs);
        options.ca = self.tls_ca.as_ref().map(Into::into);
        options.cert = self.tls_cert.as_ref().map(Into::into);
        options.key = self.tls_key.as_ref().map(Into::into);
        options.server_name.clone_from(&self.tls_server_name);
        Some(options)
    }

    /// Takes the instance that the name servers belong to (`MQ_INST_…`) as the namespace, unless one is given; whether it
    /// did (Java: `ClientConfig.getNamespace`).
    pub(crate) fn adopt_instance(&mut self) -> bool {
        let instance = self.namesrv_addr.instance();
        match instance.filter(|_| self.namespace.is_none()) {
            Some(instance) => {
                self.namespace = Some(instance.to_owned());
                true
            }
            None => false,
        }
    }

    /// The proxy that connections go through, if they do.
    #[must_use]
    pub fn socks5_options(&self) -> Option<Socks5Options> {
        let options = Socks5Options::new(self.socks_proxy.as_deref()?);
        Some(match (&self.socks_user, &self.socks_password) {
            (Some(user), Some(password)) => options.with_user(user, password.expose()),
            _ => options,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::source::ConfigSource;

    fn with(settings: &[(&str, &str)]) -> ProducerConfig {
        crate::create_custom_config("g", "a:1", settings.iter().copied()).expect("valid")
    }

    #[test]
    fn the_defaults_here_are_the_defaults_beneath() {
        let config = with(&[]);
        assert_eq!(config.routing_options(), RoutingOptions::default());
        assert_eq!(config.connection_options(), ConnectionOptions::default());
    }

    #[test]
    fn every_setting_reaches_the_layer_beneath() {
        let config = with(&[
            ("request_timeout", "1s"),
            ("route_timeout", "2s"),
            ("update_topic_route_info_interval", "3s"),
            ("poll_name_server_interval", "4s"),
            ("route_retention", "5s"),
            ("default_topic_queue_nums", "6"),
            ("create_topic", "false"),
            ("routing_strategy", "random"),
            ("keyed_failover", "move"),
            ("stats_reset_interval", "8s"),
            ("send_latency_enable", "false"),
            ("connect_timeout", "7s"),
            ("header_encoding", "json"),
            ("async_send_semaphore", "100000"),
            ("max_in_flight_bytes", "1MiB"),
            ("broker_share", "0.25"),
            ("active_detector", "9s"),
            ("access_key", "me"),
            ("secret_key", "hush"),
            ("security_token", "brief"),
            ("tls", "true"),
            ("tls_ca", "ca.pem"),
            ("tls_cert", "cert.pem"),
            ("tls_key", "key.pem"),
            ("tls_server_name", "mq.internal"),
            ("tls_min_version", "1.3"),
            ("danger_accept_invalid_certs", "true"),
            ("socks_proxy", "proxy:1080"),
            ("socks_user", "orders"),
            ("socks_password", "hush"),
        ]);
        let routing = config.routing_options();
        assert_eq!(routing.name_server_timeout, Duration::from_secs(1));
        assert_eq!(routing.route_timeout, Duration::from_secs(2));
        assert_eq!(
            routing.update_topic_route_info_interval,
            Duration::from_secs(3)
        );
        assert_eq!(routing.poll_name_server_interval, Duration::from_secs(4));
        assert_eq!(routing.route_retention, Duration::from_secs(5));
        assert_eq!(routing.default_topic_queue_nums, 6);
        assert_eq!(routing.topic_creation, TopicCreation::Refuse);
        assert_eq!(routing.strategy, RoutingStrategy::Random);
        assert_eq!(routing.broker_avoidance, BrokerAvoidance::Disabled);
        assert_eq!(routing.keyed_failover, KeyedFailover::Move);
        assert_eq!(routing.in_flight_limit, 100_000);
        assert_eq!(routing.in_flight_bytes_limit, 1 << 20);
        assert_eq!(routing.broker_share.to_string(), "0.25");
        assert_eq!(routing.active_detector, Some(Duration::from_secs(9)));
        assert_eq!(routing.stats_reset_interval, Some(Duration::from_secs(8)));
        let connection = config.connection_options();
        assert_eq!(connection.connect_timeout, Duration::from_secs(7));
        assert_eq!(connection.header_encoding, HeaderEncoding::Json);
        assert_eq!(connection.max_pending, 100_000);
        assert!(connection.signer.is_some());
        let signed = config.credentials().expect("valid").expect("given");
        let signed = signed.sign(crate::routing::remoting::RemotingCommand::request(34, 1));
        assert_eq!(signed.field("AccessKey"), Some("me"));
        assert_eq!(signed.field("SecurityToken"), Some("brief"));
        let tls = TlsOptions::new()
            .with_ca("ca.pem")
            .with_client_cert("cert.pem", "key.pem")
            .with_server_name("mq.internal")
            .with_min_version(TlsVersion::V1_3)
            .with_danger_accept_invalid_certs(true);
        assert_eq!(config.tls_options(), Some(tls));
        assert_eq!(with(&[("tls_min_version", "1.3")]).tls_options(), None);
        let socks = config.socks5_options().expect("given");
        assert_eq!(&*socks.proxy, "proxy:1080");
        let (user, password) = socks.user.expect("given");
        assert_eq!(
            (user.as_str(), password.expose_secret()),
            ("orders", "hush")
        );
        assert!(with(&[]).socks5_options().is_none());
        let endpoint = ("namesrv_addr", "http://MQ_INST_1_2.mq.example.com:80");
        let config = with(&[endpoint]);
        assert_eq!(config.namespace.as_deref(), Some("MQ_INST_1_2"));
        let entries = config.entries();
        let entry = entries.iter().find(|entry| entry.key == "namespace");
        assert_eq!(entry.expect("listed").source, ConfigSource::Code);
        let config = with(&[endpoint, ("namespace", "mine")]);
        assert_eq!(config.namespace.as_deref(), Some("mine"));
    }
}
