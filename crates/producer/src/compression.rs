//! Which bodies are compressed, and where that work is done.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::config::routing::remoting::ByteSize;
use crate::config::routing::remoting::message::{CompressionError, Compressor};
use crate::config::{MAX_BODY, ProducerConfig};
use crate::error::SendFailure;

/// Bodies from this size are compressed on a thread for blocking work: zlib takes about 300 µs for so many bytes, longer
/// than a task should hold its thread.
const LARGE: usize = 32 * 1024;

/// A body as it travels instead of the message's own.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) body: Bytes,
    pub(crate) sys_flag: i32,
}

/// The producer's rules for compressing bodies.
#[derive(Debug)]
pub(crate) struct Compression {
    /// What compresses, and from which size.
    rule: Option<(Compressor, usize)>,
    limit: ByteSize,
    /// Large bodies at a time: as many as there are processors. More would gain nothing.
    places: Arc<Semaphore>,
}

impl Compression {
    pub(crate) fn of(config: &ProducerConfig) -> Self {
        let over = config.compress_msg_body_over_howmuch.as_usize();
        let places = available_parallelism().map_or(1, NonZero::get);
        Self {
            rule: config.compressor().map(|compressor| (compressor, over)),
            limit: config.max_message_size,
            places: Arc::new(Semaphore::new(places)),
        }
    }

    /// The largest body that may be given, if it has `len` bytes. One that is to be compressed may be larger than what
    /// is sent.
    pub(crate) fn limit(&self, len: usize) -> ByteSize {
        match self.rule_for(len) {
            Some(_) => self.limit.max(MAX_BODY),
            None => self.limit,
        }
    }

    /// What is to compress a body of so many bytes.
    pub(crate) fn rule_for(&self, len: usize) -> Option<Compressor> {
        self.rule
            .filter(|(_, over)| len >= *over)
            .map(|(compressor, _)| compressor)
    }

    /// The body compressed; none if it is better sent as it is. Dropped midway, a large body that is being compressed
    /// is finished in vain, and one that waits for its turn is not begun.
    pub(crate) async fn pack(
        &self,
        compressor: Compressor,
        body: &Bytes,
        tasks: &TaskTracker,
    ) -> Result<Option<Packed>, SendFailure> {
        let packed = if body.len() < LARGE {
            compressor.compress(body)
        } else {
            self.pack_elsewhere(compressor, body.clone(), tasks).await?
        };
        let packed = packed.map_err(SendFailure::Compression)?;
        Ok(packed.map(|bytes| Packed {
            body: Bytes::from(bytes),
            sys_flag: compressor.kind().sys_flag(),
        }))
    }

    async fn pack_elsewhere(
        &self,
        compressor: Compressor,
        body: Bytes,
        tasks: &TaskTracker,
    ) -> Result<Result<Option<Vec<u8>>, CompressionError>, SendFailure> {
        // Never closed.
        let place = Arc::clone(&self.places).acquire_owned().await;
        let mut work = Work(tasks.spawn_blocking(move || {
            let packed = compressor.compress(&body);
            drop(place);
            packed
        }));
        match (&mut work.0).await {
            Ok(packed) => Ok(packed),
            Err(error) if error.is_cancelled() => Err(SendFailure::Shutdown),
            Err(error) => Ok(Err(CompressionError::panicked(compressor.kind(), error))),
        }
    }
}

/// Work on another thread, taken back if it has not begun when nobody waits for it any more.
struct Work<T>(JoinHandle<T>);

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
