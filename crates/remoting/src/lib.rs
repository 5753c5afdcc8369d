#![doc = include_str!("../README.md")]

mod byte_size;
mod code;
pub mod command;
mod connection;
mod delivery;
mod frame;
mod header;
mod host;
pub mod message;
mod pool;
pub mod protocol;
mod response_class;

pub use byte_size::{ByteSize, ByteSizeError};
pub use code::{RequestCode, ResponseCode};
pub use command::{CLIENT_VERSION, LanguageCode, RemotingCommand};
pub use connection::{
    CloseReason, ConnectError, ConnectFailure, Connection, ConnectionHandler, ConnectionOptions,
    NetworkStats, NoConsumer, RequestError, RequestFailure, Response,
};
pub use delivery::Delivery;
pub use frame::{
    Frame, FrameDecoder, FrameError, FrameReadError, HeaderEncoding, MAX_FRAME_LENGTH,
    ParseHeaderEncodingError, decode_frame,
};
pub use header::{FieldSink, NoFields, RequestHeader};
pub use host::host_address;
pub use message::{Message, MessageError};
pub use pool::{ConnectionPool, Endpoint};
pub use response_class::{HealthEffect, ResponseClass, RetryRule};
