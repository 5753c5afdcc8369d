//! Why a producer could not start or a message could not be sent, in types instead of texts.

mod failure;
mod kind;
mod send;
mod start;

pub use self::failure::{BlockingFailure, FullBound, SendFailure};
pub use self::kind::ErrorKind;
pub use self::send::SendError;
pub use self::start::{BuildError, StartError};
