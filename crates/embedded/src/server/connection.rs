//! One connection: read, answer everything that came, write all answers in one go.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tracing::debug;

use super::{Flow, Peer, Service};

/// Room for one read.
const READ_SIZE: usize = 64 * 1024;
/// A buffer that grew over this for a large frame or batch is given back.
const KEPT_BUFFER: usize = 1024 * 1024;

pub(super) struct Connection<S: Service> {
    stream: TcpStream,
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
    pub(super) fn new(
        stream: TcpStream,
        peer: Peer,
        out_of_turn: mpsc::Receiver<Bytes>,
        service: Arc<S>,
    ) -> Self {
        Self {
            stream,
            peer,
            out_of_turn,
            service,
        }
    }

    pub(super) async fn run(mut self) {
        if let Err(error) = self.serve().await {
            debug!(peer = %self.peer.address, %error, "connection ended");
        }
    }

    async fn serve(&mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        let mut input = BytesMut::with_capacity(READ_SIZE);
        let mut out = BytesMut::with_capacity(READ_SIZE);
        loop {
            if input.capacity() - input.len() < READ_SIZE / 4 {
                input.reserve(READ_SIZE);
            }
            tokio::select! {
                read = self.stream.read_buf(&mut input) => if read? == 0 {
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
                if !out.is_empty() {
                    self.stream.write_all(&out).await?;
                    out.clear();
                }
                match flow.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                    Flow::Continue => break,
                    Flow::Close => return Ok(()),
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
