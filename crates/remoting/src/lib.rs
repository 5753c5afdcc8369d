#![doc = include_str!("../README.md")]

mod address;
mod address_map;
mod auth;
mod byte_size;
mod causes;
mod code;
pub mod command;
mod connection;
mod connectivity;
mod delivery;
mod dialer;
mod frame;
mod header;
mod hook;
mod host;
pub mod message;
#[doc(hidden)]
pub mod once;
mod pool;
pub mod protocol;
mod proxy;
#[doc(hidden)]
pub mod random;
mod response_class;
mod tls;

pub use address_map::{AddressMap, AddressMapError, MappingDialer, vip_channel};
pub use auth::{Credentials, CredentialsError, CredentialsProvider, RotatingCredentials, Signer};
pub use byte_size::{ByteSize, ByteSizeError};
#[doc(hidden)]
pub use causes::with_causes;
pub use code::{RequestCode, ResponseCode};
pub use command::{CLIENT_VERSION, LanguageCode, RemotingCommand};
pub use connection::{
    CloseReason, Completion, ConnectError, ConnectFailure, Connection, ConnectionHandler,
    ConnectionOptions, InFlight, NetworkStats, NoConsumer, RequestError, RequestFailure, Response,
    Wants,
};
pub use connectivity::{Connectivity, SuspectCause};
pub use delivery::Delivery;
pub use dialer::{Dialer, HostFailure, Resolver, ResolvingDialer, TcpDialer, Transport};
pub use frame::{
    Frame, FrameDecoder, FrameError, FrameReadError, HeaderEncoding, MAX_FRAME_LENGTH,
    ParseHeaderEncodingError, decode_frame,
};
pub use header::{FieldSink, NoFields, RequestHeader};
#[doc(hidden)]
pub use hook::guarded;
pub use hook::{
    AddedFieldError, HookError, HookFailure, HookResult, RequestContext, RequestHook, RequestHooks,
    RequestOutcome,
};
pub use host::host_address;
pub use message::{Message, MessageError};
pub use pool::{ConnectionPool, Endpoint, EndpointHold};
#[cfg(feature = "socks5")]
pub use proxy::Socks5Dialer;
pub use proxy::{ProxyError, ProxyFailure, Socks5Options};
pub use response_class::{HealthEffect, ResponseClass, RetryRule};
/// A text that is never printed and wiped from memory when dropped.
pub use secrecy::SecretString;
#[doc(hidden)]
pub use secrecy::{ExposeSecret, zeroize::Zeroizing};
#[cfg(feature = "tls")]
pub use tls::TlsDialer;
pub use tls::{TlsFailure, TlsOptions, TlsOptionsError, TlsVersion};
