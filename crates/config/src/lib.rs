#![doc = include_str!("../README.md")]

mod builder;
mod context;
mod delivery;
mod duration;
mod environment;
mod error;
#[cfg(feature = "file")]
mod file;
mod options;
mod pairs;
mod secret;
mod setting;
mod settings;
mod source;
mod suggest;
mod template;
mod value;

pub use builder::{ProducerConfigBuilder, create_custom_config, get_config};
pub use context::CONTEXT_SETTINGS;
pub use delivery::{
    BatchSplit, DeliveryGuarantee, InvalidResponseCodes, Ordered, OrderedOnUnknown,
    RetryResponseCodes, WeakHalf,
};
pub use duration::{DurationError, format_duration, parse_duration};
pub use error::{ConfigError, ConfigProblem};
pub use options::{
    AddressMap, ByteSize, CompressionType, HeaderEncoding, KeyedFailover, NameServerAddresses,
    NameServerSource, RoutingStrategy, TlsVersion,
};
pub use rocketmq_producer_routing as routing;
pub use secret::Secret;
pub use setting::{ENVIRONMENT_PREFIX, OLD_ENVIRONMENT_PREFIX, Setting};
pub use settings::{MAX_BODY, ProducerConfig, settings};
pub use source::{ConfigEntry, ConfigSource};
pub use template::{Template, UnknownTemplate};
pub use value::SettingKind;
