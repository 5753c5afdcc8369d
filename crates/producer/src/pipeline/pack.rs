//! Between admission and the first attempt: the body is compressed, once for all attempts.

use super::Call;
use super::entrance::Admitted;
use crate::compression::Packed;
use crate::config::routing::remoting::MessageError;
use crate::config::routing::remoting::message::Compressor;
use crate::deadline::Cut;
use crate::error::{SendError, SendFailure};
use crate::outcome::Outcome;

impl<'a> Call<'a> {
    /// What is to compress the body, if anything is.
    pub(super) fn compressor(self) -> Option<Compressor> {
        self.core.compression.rule_for(self.message.body().len())
    }

    /// The message that was taken, with its body compressed unless that gains nothing.
    pub(super) async fn pack(
        self,
        compressor: Compressor,
        admitted: Admitted<'a>,
    ) -> Result<(Option<Box<Packed>>, Admitted<'a>), SendError> {
        match self.pack_with(compressor).await {
            Ok(packed) => Ok((packed, admitted)),
            Err(cause) => {
                let (pledge, stamp, _) = admitted.split();
                let error = self.failed(stamp, *cause, Vec::new());
                pledge.end(Outcome::Failed(error.delivery()));
                Err(error)
            }
        }
    }

    async fn pack_with(
        self,
        compressor: Compressor,
    ) -> Result<Option<Box<Packed>>, Box<SendFailure>> {
        let (core, body) = (self.core, self.message.body());
        let work = core.compression.pack(compressor, body, &core.tasks);
        let packed = match Cut::until(self.deadline, &core.cancel, work).await {
            Ok(packed) => packed?,
            Err(Cut::Cancelled) => return Err(Box::new(SendFailure::Shutdown)),
            Err(Cut::Deadline) => return Err(Box::new(SendFailure::Deadline)),
        };
        let size = packed.as_ref().map_or(body.len(), |it| it.body.len());
        let limit = core.config.max_message_size;
        if size > limit.as_usize() {
            let error = MessageError::BodyTooLarge { size, limit };
            return Err(Box::new(SendFailure::Message(error)));
        }
        Ok(packed.map(Box::new))
    }
}
