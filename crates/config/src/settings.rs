//! The table of all settings: fields of [`ProducerConfig`], setters, texts of errors and the reference come from here.
//!
//! A new setting is one entry of the table (plus its row in `docs/src/configuration.md`, which a test prints).

use std::fmt;
use std::time::Duration;

use crate::builder::{ProducerConfigBuilder, Resolved};
use crate::delivery::{
    BatchSplit, DeliveryGuarantee, Ordered, OrderedOnUnknown, RetryResponseCodes, WeakHalf,
};
use crate::error::{ConfigError, ConfigProblem};
use crate::options::{
    AddressMap, ByteSize, CompressionType, Compressor, HeaderEncoding, KeyedFailover,
    NameServerAddresses, NameServerSource, RoutingStrategy, TlsVersion,
};
use crate::secret::Secret;
use crate::setting::Setting;
use crate::source::{ConfigEntry, ConfigSource};
use crate::template::Template;
use crate::value::{IntoText, Refusal, SettingValue, TextRule};

/// The default text, unless the entry says `none`.
macro_rules! default_text {
    ($text:literal) => {
        Some($text)
    };
    (none $text:literal) => {
        None
    };
}

/// Whether the value is hidden wherever settings are shown.
macro_rules! is_secret {
    () => {
        false
    };
    (secret) => {
        true
    };
}

macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])+
        $key:ident: $type:ty, set by $argument:ty,
        default $($none:ident)? $default:literal,
        allowed $allowed:literal = $limits:expr,
        java $java:expr, old $old:literal $(, $secret:ident)?;
    )+) => {
        /// The resolved settings of one producer: typed, checked, and each with the source of its value.
        ///
        /// Made by [`ProducerConfig::builder`]. Fields may be changed afterwards; [`ProducerConfig::validate`] checks
        /// such changes, and [`ProducerConfig::entries`] shows them as coming from code.
        #[derive(Clone, PartialEq)]
        #[non_exhaustive]
        pub struct ProducerConfig {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\nDefault: ", $default, ". Allowed: ", $allowed, ".")]
                pub $key: $type,
            )+
            /// Printed value and source of every setting, in the table's order.
            provenance: Vec<(Option<String>, ConfigSource)>,
        }

        impl fmt::Debug for ProducerConfig {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("ProducerConfig")
                    $( .field(stringify!($key), &self.$key) )+
                    .finish_non_exhaustive()
            }
        }

        impl ProducerConfig {
            /// Turns the winning texts into values.
            pub(crate) fn assemble(resolved: &Resolved) -> Result<Self, ConfigError> {
                let mut config = Self {
                    $( $key: resolved.value(stringify!($key), &$limits)?, )+
                    provenance: Vec::new(),
                };
                let adopted = config.adopt_instance();
                config.provenance = config
                    .rendered()
                    .into_iter()
                    .map(|(setting, text)| match setting.key {
                        "namespace" if adopted => (text, resolved.source("namesrv_addr")),
                        key => (text, resolved.source(key)),
                    })
                    .collect();
                ConfigError::check(config.incomplete())?;
                Ok(config)
            }

            /// Takes over one setting from another configuration, with its source. Returns whether it had another
            /// value.
            pub(crate) fn take_over(&mut self, key: &str, other: &Self) -> bool {
                let mut differs = false;
                $( if key == stringify!($key) {
                    differs = self.$key != other.$key;
                    self.$key.clone_from(&other.$key);
                } )+
                let place = SETTINGS.iter().position(|setting| setting.key == key);
                let theirs = place.and_then(|place| other.provenance.get(place));
                let mine = place.and_then(|place| self.provenance.get_mut(place));
                if let (Some(mine), Some(theirs)) = (mine, theirs) {
                    mine.clone_from(theirs);
                }
                differs
            }

            /// Every setting with its present value, as far as it may be shown.
            fn rendered(&self) -> Vec<(&'static Setting, Option<String>)> {
                SETTINGS.iter().zip([$( self.$key.shown(), )+]).collect()
            }
        }

        impl ProducerConfigBuilder {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\nDefault: ", $default, ". Allowed: ", $allowed, ".")]
                pub fn $key(self, value: $argument) -> Self {
                    self.give(stringify!($key), value.into_text(), ConfigSource::Code)
                }
            )+
        }

        static SETTINGS: &[Setting] = &[$(
            Setting {
                key: stringify!($key),
                doc: concat!($($doc),+),
                kind: <$type as SettingValue>::KIND,
                default: default_text!($($none)? $default),
                default_doc: $default,
                allowed: $allowed,
                java_name: $java,
                old: $old,
                required: {
                    let default: Option<&str> = default_text!($($none)? $default);
                    default.is_none() && <$type as SettingValue>::REQUIRED
                },
                secret: is_secret!($($secret)?),
                check: |text| {
                    let value = <$type as SettingValue>::parse(text, &$limits)?;
                    value.check_build()?;
                    Ok(value.render().unwrap_or_default())
                },
            },
        )+];
    };
}

/// The largest body that any setting allows: a 16 MiB frame less 256 KiB for the longest header. A body that is
/// compressed may have so many bytes before.
pub const MAX_BODY: ByteSize = ByteSize::kib(16_128);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const TEN_YEARS: Duration = Duration::from_secs(3660 * 86_400);

settings! {
    /// The set of defaults that the other settings start from.
    template: Template, set by Template,
    default "default",
    allowed "default, development (dev), high_performance (high-perf), order_sequenced (ordered), production (prod), testing (test)" = (),
    java None, old false;

    /// The producer group: the name under which brokers know the producers of one service.
    producer_group: String, set by &str,
    default none "must be given (TEST_PRODUCER in testing)",
    allowed "1 to 120 of a-z A-Z 0-9 % | _ -, and not DEFAULT_PRODUCER" = producer_group_rule as TextRule,
    java Some("producerGroup"), old true;

    /// The name of this producer instance at the brokers; two producers must not share one.
    client_id: Option<String>, set by &str,
    default none "made from host, process and instance",
    allowed "1 to 255 printable ASCII characters without spaces" = client_id_rule as TextRule,
    java None, old true;

    /// The name servers' addresses, or a page that tells them. The environment's NAMESRV_ADDR is read too, after the two variables of this setting.
    namesrv_addr: NameServerSource, set by &str,
    default "localhost:9876",
    allowed "host:port, several separated by ;, or http://host:port/path" = (),
    java Some("namesrvAddr"), old true;

    /// How often a page, or a discovery given in code, is asked for the name servers' addresses.
    namesrv_discovery_interval: Duration, set by Duration,
    default "30s",
    allowed "100ms to 1d" = ms(100)..=DAY,
    java None, old false;

    /// The longest wait for a page that tells the name servers' addresses.
    namesrv_discovery_timeout: Duration, set by Duration,
    default "3s",
    allowed "1ms to 1m" = ms(1)..=MINUTE,
    java None, old false;

    /// The budget of a whole send: waiting for room, every attempt and the pauses between them.
    send_msg_timeout: Duration, set by Duration,
    default "3s",
    allowed "1ms to 1h" = ms(1)..=HOUR,
    java Some("sendMsgTimeout"), old true;

    /// Attempts beyond the first, all within send_msg_timeout.
    retry_times: u32, set by u32,
    default "2",
    allowed "0 to 100" = 0..=100,
    java Some("retryTimesWhenSendFailed"), old true;

    /// Which attempts may be repeated within a send: at_least_once repeats also those whose outcome is unknown, so that a message may be stored twice; at_most_once repeats only those that certainly stored nothing.
    delivery_guarantee: DeliveryGuarantee, set by DeliveryGuarantee,
    default "at_least_once",
    allowed "at_least_once or at_most_once" = (),
    java None, old false;

    /// The pause before a send tries the same broker again. It doubles with each further one, and is drawn from its upper half.
    retry_pause: Duration, set by Duration,
    default "50ms",
    allowed "1ms to 1m" = ms(1)..=MINUTE,
    java None, old false;

    /// The longest pause before a send tries the same broker again.
    retry_pause_max: Duration, set by Duration,
    default "800ms",
    allowed "1ms to 1m" = ms(1)..=MINUTE,
    java None, old false;

    /// Response codes, separated by commas, after which a send tries another broker although the code alone would end it. Refused credentials end it all the same.
    retry_response_codes: RetryResponseCodes, set by RetryResponseCodes,
    default none "none beyond the table of response codes",
    allowed "up to 64 whole numbers from 1, except 10, 11 and 12, which are receipts" = (),
    java Some("retryResponseCodes"), old false;

    /// After which percentile of a broker's latest answer times a send that still waits for its answer is sent to another broker beside it, which may store it twice; 0 never.
    hedge_percentile: u32, set by u32,
    default "0",
    allowed "0 to 99" = 0..=99,
    java None, old false;

    /// Which messages are sent one after the other: with key those of one sharding key, with queue those of one queue that a key, a selector or the call chose. A later one is not written before the outcome of the earlier one is known.
    ordered: Ordered, set by Ordered,
    default "none",
    allowed "none, key or queue" = (),
    java None, old false;

    /// What happens to ordered messages after one whose outcome is unknown: those of its key or queue are refused until the program resumes them (stop), or go on (continue).
    ordered_on_unknown: OrderedOnUnknown, set by OrderedOnUnknown,
    default "stop",
    allowed "stop or continue" = (),
    java None, old false;

    /// Whether a message that was stored, but not yet on disk or on a replica as the broker's settings ask, is sent to another broker as well. Not with at_most_once.
    retry_another_broker_when_not_store_ok: bool, set by bool,
    default "false",
    allowed "true or false" = (),
    java Some("retryAnotherBrokerWhenNotStoreOK"), old true;

    /// The largest body that is sent, compressed or not. A broker has a limit of its own (maxMessageSize, 4 MiB unless changed).
    max_message_size: ByteSize, set by ByteSize,
    default "4 MiB",
    allowed "1 B to 16128 KiB (a 16 MiB frame less 256 KiB for the longest header)" = ByteSize::bytes(1)..=MAX_BODY,
    java Some("maxMessageSize"), old true;

    /// The size of body from which a message is compressed, unless that does not make it smaller. Messages of a batch are never compressed.
    compress_msg_body_over_howmuch: ByteSize, set by ByteSize,
    default "4 KiB",
    allowed "0 B to 16128 KiB" = ByteSize::bytes(0)..=MAX_BODY,
    java Some("compressMsgBodyOverHowmuch"), old true;

    /// How bodies are compressed: zlib is read by every consumer, lz4 and zstd by consumers of 5.0 and later only; none leaves them as they are. Each needs the cargo feature of its name; without zlib, the default is none.
    compress_type: Option<CompressionType>, set by Option<CompressionType>,
    default "zlib",
    allowed "zlib, lz4, zstd or none" = (),
    java Some("compressType"), old false;

    /// How hard zlib and zstd try, from 1, the fastest, to 9, the smallest; lz4 ignores it.
    compress_level: u32, set by u32,
    default "5",
    allowed "1 to 9" = 1..=Compressor::MAX_LEVEL,
    java Some("compressLevel"), old false;

    /// The part of the 32767 bytes of encoded properties that is kept free for what the broker adds.
    property_margin: ByteSize, set by ByteSize,
    default "512 B",
    allowed "0 B to 16 KiB" = ByteSize::bytes(0)..=ByteSize::kib(16),
    java None, old false;

    /// The highest delay level that the brokers have. A broker lowers a higher one to its highest without a word, so a message with one is refused here.
    max_delay_level: u32, set by u32,
    default "18",
    allowed "1 to 255" = 1..=255,
    java None, old false;

    /// The longest delay of a timer message that the brokers take (timerMaxDelaySec). A message with a longer one is refused here.
    max_timer_delay: Duration, set by Duration,
    default "3d",
    allowed "1s to 3660d" = Duration::from_secs(1)..=TEN_YEARS,
    java None, old false;

    /// The namespace that topics and the group belong to: brokers know them as namespace%name, the program by their plain names.
    namespace: Option<String>, set by &str,
    default none "none, or the instance of namesrv_addr (MQ_INST_…)",
    allowed "1 to 64 of a-z A-Z 0-9 | _ -" = namespace_rule as TextRule,
    java Some("namespace"), old false;

    /// The namespace that every request names in fields of its own, for servers that know such.
    namespace_v2: Option<String>, set by &str,
    default none "none",
    allowed "1 to 255 printable ASCII characters without spaces" = client_id_rule as TextRule,
    java Some("namespaceV2"), old false;

    /// The unit that the producer works for: sends say that they belong to one, and a client id that is made here ends with its name.
    unit_name: Option<String>, set by &str,
    default none "none",
    allowed "1 to 64 of a-z A-Z 0-9 | _ -" = namespace_rule as TextRule,
    java Some("unitName"), old false;

    /// Queues of a topic that a broker creates because this producer sends to it; the broker may make fewer.
    default_topic_queue_nums: u32, set by u32,
    default "4",
    allowed "1 to 65535" = 1..=65_535,
    java Some("defaultTopicQueueNums"), old true;

    /// Whether sending to an unknown topic lets a broker create it (by the route of TBW102), with a warning; brokers may forbid it.
    create_topic: bool, set by bool,
    default "true",
    allowed "true or false" = (),
    java None, old false;

    /// How soon the routes in use are asked for again after no name server has answered.
    poll_name_server_interval: Duration, set by Duration,
    default "30s",
    allowed "100ms to 1d" = ms(100)..=DAY,
    java None, old true;

    /// How often the routes of the topics in use are fetched again.
    update_topic_route_info_interval: Duration, set by Duration,
    default "30s",
    allowed "100ms to 1d" = ms(100)..=DAY,
    java Some("pollNameServerInterval"), old true;

    /// The age from which a route counts as expired: using it starts a refresh in the background.
    route_timeout: Duration, set by Duration,
    default "30s",
    allowed "100ms to 1d" = ms(100)..=DAY,
    java None, old false;

    /// How often routing statistics start again from zero, at most once a second; 0s leaves that to the program.
    stats_reset_interval: Duration, set by Duration,
    default "0s",
    allowed "0s to 1d" = Duration::ZERO..=DAY,
    java None, old false;

    /// How long a broker that vanished from a route keeps its places among the queues of keyed messages, which so keep their queues; zero gives them up at once, as Java does.
    route_retention: Duration, set by Duration,
    default "10m",
    allowed "0s to 1d" = Duration::ZERO..=DAY,
    java None, old false;

    /// How often every connected broker gets a heartbeat. A broker forgets a producer after 120 s without one.
    heartbeat_broker_interval: Duration, set by Duration,
    default "30s",
    allowed "100ms to 1m" = ms(100)..=MINUTE,
    java Some("heartbeatBrokerInterval"), old true;

    /// The most sends under way at once; a send beyond it waits within its own budget.
    async_send_semaphore: u32, set by u32,
    default "10000",
    allowed "1 to 1000000" = 1..=1_000_000,
    java Some("backPressureForAsyncSendNum"), old true;

    /// The most one-way messages a second, evenly spaced; one beyond it waits within its own budget. 0 sets no bound.
    oneway_rate: u32, set by u32,
    default "0",
    allowed "0 to 10000000" = 0..=10_000_000,
    java None, old false;

    /// The most bytes of bodies and properties under way at once; a send beyond it waits within its own budget. A message larger than all of it goes alone.
    max_in_flight_bytes: ByteSize, set by ByteSize,
    default "256 MiB",
    allowed "64 KiB to 1024 GiB" = ByteSize::kib(64)..=ByteSize::mib(1 << 20),
    java Some("backPressureForAsyncSendSize"), old false;

    /// Whether messages of one topic that are sent at the same time travel together, as batches. Each keeps its own id, outcome and place.
    auto_batch: bool, set by bool,
    default "false",
    allowed "true or false" = (),
    java Some("autoBatch"), old false;

    /// The most messages of an automatic batch, and with by_count of any batch.
    batch_size: u32, set by u32,
    default "32",
    allowed "1 to 10000" = 1..=10_000,
    java None, old true;

    /// What ends a batch: its encoded size (by_size), or also its number of messages (by_count).
    batch_split_type: BatchSplit, set by BatchSplit,
    default "by_size",
    allowed "by_size or by_count" = (),
    java None, old true;

    /// The most bytes of an encoded batch; max_message_size bounds it too, as brokers do.
    batch_max_bytes: ByteSize, set by ByteSize,
    default "1 MiB",
    allowed "1 KiB to 16128 KiB" = ByteSize::kib(1)..=ByteSize::kib(16_128),
    java Some("batchMaxBytes"), old false;

    /// How long an automatic batch waits for more messages. With 0s a message waits only while earlier ones are under way, and never if there are none.
    batch_linger: Duration, set by Duration,
    default "0s",
    allowed "0s to 1m" = Duration::ZERO..=MINUTE,
    java Some("batchMaxDelayMs"), old false;

    /// How many questions of brokers about transactions are answered at the same time.
    transaction_check_concurrency: u32, set by u32,
    default "4",
    allowed "1 to 256" = 1..=256,
    java Some("checkThreadPoolMaxSize"), old false;

    /// How many questions about transactions may wait to be answered; one beyond it is dropped, and the broker asks again.
    transaction_check_queue: u32, set by u32,
    default "2000",
    allowed "1 to 100000" = 1..=100_000,
    java Some("checkRequestHoldMax"), old false;

    /// How long the checker of transactions may take for one; the answer is then unknown, and the broker asks again.
    transaction_check_timeout: Duration, set by Duration,
    default "10s",
    allowed "10ms to 1h" = ms(10)..=HOUR,
    java None, old false;

    /// The most transactions open at once, from the half message until the end is told; one beyond it is refused.
    transaction_max_open: u32, set by u32,
    default "10000",
    allowed "1 to 1000000" = 1..=1_000_000,
    java None, old false;

    /// What happens to a transaction whose half message is stored, but not yet on disk or on a replica as the broker's settings ask: it is rolled back and refused (rollback), or its local step runs (proceed).
    transaction_weak_half: WeakHalf, set by WeakHalf,
    default "rollback",
    allowed "rollback or proceed" = (),
    java None, old false;

    /// The part of the sends and bytes under way that one broker may hold while another can be used; 1 lets it hold all.
    broker_share: f64, set by f64,
    default "0.5",
    allowed "0.01 to 1" = 0.01..=1.0,
    java None, old false;

    /// How often brokers that are avoided are asked, without a message of yours, whether they answer again; off leaves that to single messages.
    active_detector: Option<Duration>, set by Option<Duration>,
    default "off",
    allowed "off or 100ms to 1h" = ms(100)..=HOUR,
    java None, old false;

    /// Whether routing consults the health of brokers and avoids those that fail. Without it queues are taken in strict turn.
    send_latency_enable: bool, set by bool,
    default "true",
    allowed "true or false" = (),
    java Some("sendLatencyFaultEnable"), old true;

    /// Whether the routing and the outcome of every send are logged at debug level.
    debug_enabled: bool, set by bool,
    default "false",
    allowed "true or false" = (),
    java None, old true;

    /// Whether a record of every stored message goes to the trace topic, as Java's clients write them, unless the broker asks for none.
    trace_message: bool, set by bool,
    default "false",
    allowed "true or false" = (),
    java Some("enableTrace"), old true;

    /// The topic that message traces go to.
    trace_topic: String, set by &str,
    default "RMQ_SYS_TRACE_TOPIC",
    allowed "1 to 127 of a-z A-Z 0-9 % | _ -" = topic_rule as TextRule,
    java Some("traceTopic"), old false;

    /// Trace records that wait to be sent, at most; those beyond it are dropped and counted, so that no send waits for traces.
    trace_queue_size: u32, set by u32,
    default "2048",
    allowed "1 to 1000000" = 1..=1_000_000,
    java None, old false;

    /// How the queue of a message without a sharding key is chosen; one with a sharding key always goes by its hash.
    routing_strategy: RoutingStrategy, set by RoutingStrategy,
    default "round_robin",
    allowed "round_robin, random, message_hash, least_latency or least_load" = (),
    java None, old true;

    /// Whether a message with a sharding key may leave its queue while the queue's broker is out (move), which breaks the order of its key, or fails meanwhile (stay).
    keyed_failover: KeyedFailover, set by KeyedFailover,
    default "stay",
    allowed "stay or move" = (),
    java None, old false;

    /// How request headers are encoded; answers are read in either form.
    header_encoding: HeaderEncoding, set by HeaderEncoding,
    default "binary",
    allowed "json or binary" = (),
    java Some("serializeType"), old false;

    /// Connections to each broker. Messages that are bound to a queue, as those with a sharding key, keep to one of them.
    connections_per_broker: u32, set by u32,
    default "1",
    allowed "1 to 16" = 1..=16,
    java None, old false;

    /// The longest time to open a connection.
    connect_timeout: Duration, set by Duration,
    default "3s",
    allowed "1ms to 5m" = ms(1)..=Duration::from_secs(300),
    java Some("connectTimeoutMillis"), old false;

    /// The longest wait for the answer of a control request: a route, a heartbeat, a goodbye.
    request_timeout: Duration, set by Duration,
    default "3s",
    allowed "1ms to 5m" = ms(1)..=Duration::from_secs(300),
    java Some("mqClientApiTimeout"), old false;

    /// Who the producer is to servers with access control: with it and secret_key every request is signed (ACL 2.0: the user name).
    access_key: Option<Secret>, set by &str,
    default none "none: requests are not signed",
    allowed "text without white space around it, together with secret_key" = credential_rule as TextRule,
    java Some("accessKey"), old false, secret;

    /// The secret that requests are signed with (ACL 2.0: the password).
    secret_key: Option<Secret>, set by &str,
    default none "none",
    allowed "text without white space around it, together with access_key" = credential_rule as TextRule,
    java Some("secretKey"), old false, secret;

    /// The token that comes with temporary credentials.
    security_token: Option<Secret>, set by &str,
    default none "none",
    allowed "text without white space around it" = credential_rule as TextRule,
    java Some("securityToken"), old false, secret;

    /// Whether connections to name servers and brokers use TLS.
    tls: bool, set by bool,
    default "false",
    allowed "true or false" = (),
    java Some("useTLS"), old false;

    /// PEM file of the authorities that may sign the servers' certificates, in place of the system's.
    tls_ca: Option<String>, set by &str,
    default none "the system's authorities",
    allowed "the path of a file" = path_rule as TextRule,
    java Some("tls.client.trustCertPath"), old false;

    /// PEM file of the certificate that the producer shows, its own first, then those that signed it.
    tls_cert: Option<String>, set by &str,
    default none "none",
    allowed "the path of a file, together with tls_key" = path_rule as TextRule,
    java Some("tls.client.certPath"), old false;

    /// PEM file of the private key of tls_cert, not encrypted.
    tls_key: Option<String>, set by &str,
    default none "none",
    allowed "the path of a file, together with tls_cert" = path_rule as TextRule,
    java Some("tls.client.keyPath"), old false;

    /// The name that every server's certificate must carry. Without it that is the host of the address: for brokers mostly an IP address.
    tls_server_name: Option<String>, set by &str,
    default none "the host of the address",
    allowed "a host name or an IP address" = path_rule as TextRule,
    java None, old false;

    /// The oldest version of TLS that is spoken.
    tls_min_version: TlsVersion, set by TlsVersion,
    default "1.2",
    allowed "1.2 or 1.3" = (),
    java None, old false;

    /// Whether any certificate of a server is believed, so that anyone on the way can read and change everything. For development only.
    danger_accept_invalid_certs: bool, set by bool,
    default "false",
    allowed "true or false" = (),
    java None, old false;

    /// The SOCKS5 proxy that all connections go through; it resolves the names of servers. Needs the cargo feature socks5.
    socks_proxy: Option<String>, set by &str,
    default none "none: connections are direct",
    allowed "host:port" = address_rule as TextRule,
    java Some("socksProxyConfig"), old false;

    /// The user that the SOCKS5 proxy asks for.
    socks_user: Option<String>, set by &str,
    default none "none",
    allowed "1 to 255 bytes, together with socks_password" = socks_login_rule as TextRule,
    java Some("socksProxyConfig"), old false;

    /// The password that the SOCKS5 proxy asks for.
    socks_password: Option<Secret>, set by &str,
    default none "none",
    allowed "1 to 255 bytes, together with socks_user" = socks_login_rule as TextRule,
    java Some("socksProxyConfig"), old false, secret;

    /// Under which addresses servers are reached that advertise others, for NAT and containers: rules host:port=host:port for one address, or host=host for all ports of a host, separated by ;. A server stays known by the advertised address.
    address_map: AddressMap, set by &str,
    default none "none: advertised addresses are dialled",
    allowed "up to 4096 rules" = (),
    java None, old false;

    /// Whether the round robin of preheated topics begins at a queue by this producer's rank among the instances of its group, which brokers are asked for at start, instead of at random.
    spread_by_rank: bool, set by bool,
    default "false",
    allowed "true or false" = (),
    java None, old false;

    /// Whether brokers are reached by their second server, two ports below the advertised one, which consumers that pull do not use.
    vip_channel: bool, set by bool,
    default "false",
    allowed "true or false" = (),
    java Some("vipChannelEnabled"), old false;
}

/// Every setting, in the order of the reference.
#[must_use]
pub fn settings() -> &'static [Setting] {
    SETTINGS
}

/// The setting with this key.
pub(crate) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

fn producer_group_rule(text: &str) -> Result<(), Refusal> {
    crate::options::check_group(text).map_err(Refusal::Invalid)
}

fn topic_rule(text: &str) -> Result<(), Refusal> {
    crate::options::check_topic(text).map_err(Refusal::Invalid)
}

fn client_id_rule(text: &str) -> Result<(), Refusal> {
    if text.is_empty() {
        Err(Refusal::invalid("blank"))
    } else if text.len() > 255 {
        Err(Refusal::invalid("longer than 255 characters"))
    } else if let Some(character) = text.chars().find(|c| !c.is_ascii_graphic()) {
        Err(Refusal::invalid(format!("{character:?} is not allowed")))
    } else {
        Ok(())
    }
}

fn namespace_rule(text: &str) -> Result<(), Refusal> {
    crate::options::check_namespace(text).map_err(Refusal::Invalid)
}

/// The same rule as that of the layer that signs.
fn credential_rule(text: &str) -> Result<(), Refusal> {
    if text.is_empty() {
        Err(Refusal::invalid("blank"))
    } else if text.trim() != text {
        Err(Refusal::invalid("begins or ends with white space"))
    } else if text.contains(char::is_control) {
        Err(Refusal::invalid("holds a control character"))
    } else {
        Ok(())
    }
}

fn path_rule(text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        Err(Refusal::invalid("blank"))
    } else {
        Ok(())
    }
}

/// One address, by the rule for name servers.
fn address_rule(text: &str) -> Result<(), Refusal> {
    match text.parse::<NameServerAddresses>() {
        Ok(addresses) if addresses.len() == 1 && addresses.to_string() == text => Ok(()),
        Ok(_) => Err(Refusal::invalid("not one address, write host:port")),
        Err(error) => Err(Refusal::invalid(error.to_string())),
    }
}

fn socks_login_rule(text: &str) -> Result<(), Refusal> {
    match text.len() {
        0 => Err(Refusal::invalid("blank")),
        1..=255 => Ok(()),
        _ => Err(Refusal::invalid("longer than 255 bytes")),
    }
}

impl ProducerConfig {
    /// Starts a configuration; nothing is read until asked for.
    pub fn builder() -> ProducerConfigBuilder {
        ProducerConfigBuilder::default()
    }

    /// The effective configuration, one entry for each setting: key, value (secrets hidden), source.
    ///
    /// A field changed after the configuration was built shows as coming from code.
    #[must_use]
    pub fn entries(&self) -> Vec<ConfigEntry> {
        self.rendered()
            .into_iter()
            .zip(&self.provenance)
            .map(|((setting, text), (recorded, source))| {
                let source = if text == *recorded {
                    source.clone()
                } else {
                    ConfigSource::Code
                };
                ConfigEntry::new(setting.key, text, setting.secret, source)
            })
            .collect()
    }

    /// Whether a setting has another value than its default, or was given the same one.
    #[must_use]
    pub fn is_given(&self, key: &str) -> bool {
        self.entries()
            .iter()
            .any(|entry| entry.key == key && entry.source != ConfigSource::Default)
    }

    /// Checks the fields against the bounds again: needed only after changing them by hand.
    ///
    /// # Errors
    /// Every field that is out of its bounds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems: Vec<ConfigProblem> = Vec::new();
        for ((setting, text), (recorded, _)) in self.rendered().into_iter().zip(&self.provenance) {
            let Some(text) = text.filter(|text| Some(text) != recorded.as_ref()) else {
                continue;
            };
            if let Err(refusal) = (setting.check)(&text) {
                problems.push(ConfigProblem::refused(
                    setting,
                    &text,
                    ConfigSource::Code,
                    refusal,
                ));
            }
        }
        problems.extend(self.incomplete());
        ConfigError::check(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_and_template_value_is_in_its_printed_form() {
        for setting in settings() {
            if let Some(default) = setting.default {
                assert_eq!(
                    (setting.check)(default).as_deref(),
                    Ok(default),
                    "{}",
                    setting.key
                );
            }
        }
        for template in Template::ALL {
            for (key, text) in template.overrides() {
                let setting =
                    find(key).unwrap_or_else(|| panic!("{template} sets an unknown key {key}"));
                assert_eq!(
                    (setting.check)(text).as_deref(),
                    Ok(*text),
                    "{template} {key}"
                );
                assert_ne!(
                    setting.default,
                    Some(*text),
                    "{template} repeats the default of {key}"
                );
            }
        }
    }

    /// The bounds as text are what the documentation and errors show; the checks use the typed ones.
    #[test]
    fn shown_bounds_are_the_checked_ones() {
        use crate::value::SettingKind;
        for setting in settings() {
            if !matches!(
                setting.kind,
                SettingKind::Count | SettingKind::Duration | SettingKind::Ratio | SettingKind::Size
            ) {
                continue;
            }
            let bounds = setting.allowed.split(" (").next().unwrap_or_default();
            let bounds = bounds.strip_prefix("off or ").unwrap_or(bounds);
            let (least, most) = bounds.split_once(" to ").expect("least to most");
            for bound in [least, most] {
                assert_eq!(
                    (setting.check)(bound).as_deref(),
                    Ok(bound),
                    "{}",
                    setting.key
                );
            }
            let (below, above) = match setting.kind {
                SettingKind::Count => {
                    let number = |text: &str| text.parse::<i64>().expect("a number");
                    (
                        (number(least) - 1).to_string(),
                        (number(most) + 1).to_string(),
                    )
                }
                SettingKind::Ratio => {
                    let ratio = |text: &str| text.parse::<f64>().expect("a number");
                    (
                        (ratio(least) - 0.001).to_string(),
                        (ratio(most) + 0.001).to_string(),
                    )
                }
                SettingKind::Duration => {
                    let time = |text: &str| crate::parse_duration(text).expect("a duration");
                    let nano = Duration::from_nanos(1);
                    (
                        time(least)
                            .checked_sub(nano)
                            .map_or_else(|| "-1s".to_owned(), crate::format_duration),
                        crate::format_duration(time(most) + nano),
                    )
                }
                _ => {
                    let size = |text: &str| text.parse::<ByteSize>().expect("a size").as_u64();
                    (
                        size(least)
                            .checked_sub(1)
                            .map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string()),
                        (size(most) + 1).to_string(),
                    )
                }
            };
            assert!(
                (setting.check)(&below).is_err(),
                "{} takes {below}",
                setting.key
            );
            assert!(
                (setting.check)(&above).is_err(),
                "{} takes {above}",
                setting.key
            );
        }
    }
}
