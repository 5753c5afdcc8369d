//! One connection: read, answer everything that came, write all answers in one go.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tracing::debug;

use super::security::Security;
use super::socket::Stream;
use super::{Flow, Peer, Service};
use crate::fault::ArmedFault;

/// Room for one read.
const READ_SIZE: usize = 64 * 1024;
/// A buffer that grew over this for a large frame or batch is given back.
const KEPT_BUFFER: usize = 1024 * 1024;

pub(super) struct Connection<S: Service> {
    peer: Peer,
    out_of_turn: mpsc::Receiver<Bytes>,
    service: Arc<S>,
}

/// Also when the server cuts the connection short.
impl<S: Service> Drop for Connection<S> {
    fn drop(&mut self) {
        self.peer.running.forget(self.peer.id);
        self.service.disconnected(&self.peer);
    }
}

impl<S: Service> Connection<S> {
    pub(super) fn new(peer: Peer, out_of_turn: mpsc::Receiver<Bytes>, service: Arc<S>) -> Self {
        Self {
            peer,
            out_of_turn,
            service,
        }
    }

    pub(super) async fn run(mut self, stream: Stream, security: &Security) {
        let served = match security.secure(stream).await {
            Ok(mut stream) => self.serve(&mut stream).await,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            debug!(peer = %self.peer.address, %error, "connection ended");
        }
    }

    async fn serve(&mut self, stream: &mut Stream) -> io::Result<()> {
        let mut input = BytesMut::with_capacity(READ_SIZE);
        let mut out = BytesMut::with_capacity(READ_SIZE);
        loop {
            if input.capacity() - input.len() < READ_SIZE / 4 {
                input.reserve(READ_SIZE);
            }
            tokio::select! {
                biased;
                read = stream.read_buf(&mut input) => if read? == 0 {
                    return Ok(());
                },
                Some(frame) = self.out_of_turn.recv() => {
                    out.extend_from_slice(&frame);
                    while let Ok(frame) = self.out_of_turn.try_recv() {
                        out.extend_from_slice(&frame);
                    }
                }
            }
            loop {
                let flow = self.service.serve(&self.peer, &mut input, &mut out);
                match &flow {
                    Ok(Flow::Reset) => return stream.reset(),
                    Ok(Flow::HalfOpen(fault)) => return fall_silent(stream, fault).await,
                    Ok(Flow::Split(piece, pause)) => {
                        write_pieces(stream, &out, *piece, *pause).await?;
                    }
                    _ if out.is_empty() => {}
                    _ => {
                        stream.write_all(&out).await?;
                        // A TLS session may keep some of it.
                        stream.flush().await?;
                    }
                }
                out.clear();
                match flow.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                    Flow::Continue => break,
                    Flow::Split(..) => {}
                    Flow::Close | Flow::Reset | Flow::HalfOpen(_) => return Ok(()),
                    Flow::Stall(fault, frame) => {
                        fault.lifted().await;
                        self.service
                            .resume(&self.peer, frame, &mut out)
                            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                    }
                }
            }
            for buffer in [&mut input, &mut out] {
                if buffer.is_empty() && buffer.capacity() > KEPT_BUFFER {
                    *buffer = BytesMut::with_capacity(READ_SIZE);
                }
            }
        }
    }
}

/// Reads and forgets until the fault is lifted, then resets the connection.
async fn fall_silent(stream: &mut Stream, fault: &ArmedFault) -> io::Result<()> {
    let mut input = BytesMut::with_capacity(READ_SIZE);
    let mut lifted = pin!(fault.lifted());
    loop {
        input.clear();
        tokio::select! {
            biased;
            () = &mut lifted => return stream.reset(),
            read = stream.read_buf(&mut input) => if read? == 0 {
                return Ok(());
            },
        }
    }
}

async fn write_pieces(
    stream: &mut Stream,
    out: &[u8],
    piece: usize,
    pause: Duration,
) -> io::Result<()> {
    for (index, piece) in out.chunks(piece.max(1)).enumerate() {
        if index > 0 {
            tokio::time::sleep(pause).await;
        }
        stream.write_all(piece).await?;
        stream.flush().await?;
    }
    Ok(())
}
