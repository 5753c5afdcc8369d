//! One connection through a proxy: two sockets, frames in both directions.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::frame::{RawFrame, forged, read_frame};
use super::{Fault, Mischief, Shared, Trace, What};

/// Frames on their way to the client; more wait in the server's socket.
const TO_CLIENT: usize = 4096;

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// In good order, towards both sides.
    Close,
    /// By a reset, towards both sides.
    Reset,
}

/// What both directions of a connection know.
struct Link {
    shared: Arc<Shared>,
    number: u64,
    /// Requests that wait for an answer, by their number.
    pending: Mutex<HashMap<i32, Pending>>,
    /// A frame was lost on a path that was cut: it stays cut.
    is_dead: AtomicBool,
}

struct Pending {
    unique_key: Option<Box<str>>,
    mischief: Option<Mischief>,
}

/// Something for the client, not to be written before its time.
struct Due {
    at: Instant,
    bytes: Bytes,
    /// The connection ends after it.
    is_last: bool,
}

/// Serves one client until either side ends or a fault ends it.
pub(super) async fn run(shared: Arc<Shared>, mut client: TcpStream, number: u64) {
    shared.counts.open.fetch_add(1, Ordering::AcqRel);
    let link = Link {
        shared: Arc::clone(&shared),
        number,
        pending: Mutex::default(),
        is_dead: AtomicBool::new(false),
    };
    let end = serve(&link, &mut client).await;
    link.cut_off();
    if end == End::Reset {
        let _ = client.set_zero_linger();
    }
    drop(client);
    shared.counts.open.fetch_sub(1, Ordering::AcqRel);
}

async fn serve(link: &Link, client: &mut TcpStream) -> End {
    let mut faults = link.shared.fault.subscribe();
    let cut = async {
        // The sender lives as long as the proxy, which ends this task before.
        let _ = faults.wait_for(Fault::ends_connections).await;
        End::Reset
    };
    let connected = async {
        passable(&mut link.shared.fault.subscribe()).await;
        if link.fault() == Fault::HalfOpen {
            swallow_all(client).await;
            return End::Close;
        }
        let Ok(mut server) = TcpStream::connect(&link.shared.upstream).await else {
            return End::Reset;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let end = relay(link, client, &mut server).await;
        if end == End::Reset {
            let _ = server.set_zero_linger();
        }
        end
    };
    tokio::select! {
        end = cut => end,
        end = connected => end,
    }
}

async fn relay(link: &Link, client: &mut TcpStream, server: &mut TcpStream) -> End {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let (due, dues) = mpsc::channel(TO_CLIENT);
    let ended = tokio::select! {
        ended = upward(link, from_client, to_server, due.clone()) => ended,
        ended = downward(link, from_server, due) => ended,
        ended = deliver(to_client, dues) => ended,
    };
    // What one side did to its connection is done to the other's.
    ended.unwrap_or(End::Reset)
}

/// From the client to the server.
async fn upward(
    link: &Link,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    due: mpsc::Sender<Due>,
) -> io::Result<End> {
    let mut faults = link.shared.fault.subscribe();
    let mut buffer = BytesMut::new();
    loop {
        passable(&mut faults).await;
        let Some(frame) = read_frame(&mut from, &mut buffer).await? else {
            return Ok(End::Close);
        };
        passable(&mut faults).await;
        let head = &frame.head;
        let is_send = head.is_send();
        if is_send {
            link.shared.counts.sends.fetch_add(1, Ordering::AcqRel);
        }
        let key = head.unique_key().filter(|_| is_send);
        let note = |what| link.note(key, head.opaque, what);
        if link.loses() {
            note(What::Withheld);
            if link.is_dead.load(Ordering::Acquire) {
                continue;
            }
            return Ok(End::Reset);
        }
        let mischief = is_send.then(|| link.mischief()).flatten();
        match &mischief {
            Some(Mischief::ResetBefore) => {
                note(What::Withheld);
                return Ok(End::Reset);
            }
            Some(Mischief::Answer { code, remark }) => {
                note(What::Withheld);
                if !head.is_oneway() {
                    note(What::Forged(*code));
                    let answer = Due::now(forged(*code, remark, head.opaque));
                    if due.send(answer).await.is_err() {
                        return Ok(End::Close);
                    }
                }
                continue;
            }
            _ => {}
        }
        note(What::Forwarded);
        if !head.is_response() && !head.is_oneway() {
            let pending = Pending {
                unique_key: key.map(Into::into),
                mischief,
            };
            link.pending().insert(head.opaque, pending);
        }
        to.write_all(&frame.bytes).await?;
    }
}

/// From the server to the client.
async fn downward(link: &Link, mut from: ReadHalf<'_>, due: mpsc::Sender<Due>) -> io::Result<End> {
    let mut faults = link.shared.fault.subscribe();
    let mut buffer = BytesMut::new();
    loop {
        passable(&mut faults).await;
        let Some(frame) = read_frame(&mut from, &mut buffer).await? else {
            // What is on its way arrives first.
            let last = Due {
                is_last: true,
                ..Due::now(Bytes::new())
            };
            let _ = due.send(last).await;
            return std::future::pending().await;
        };
        passable(&mut faults).await;
        let head = &frame.head;
        let pending = head
            .is_response()
            .then(|| link.pending().remove(&head.opaque))
            .flatten();
        let key = pending.as_ref().and_then(|p| p.unique_key.as_deref());
        let spoilt = || link.note(key, head.opaque, What::AnswerSpoilt { code: head.code });
        if link.loses() {
            spoilt();
            if link.is_dead.load(Ordering::Acquire) {
                continue;
            }
            return Ok(End::Reset);
        }
        let mut answer = Due::now(link.rewritten(&frame).map_err(io::Error::other)?);
        if let Fault::Delay(delay) = link.fault() {
            answer.at += delay;
        }
        match pending.as_ref().and_then(|p| p.mischief.as_ref()) {
            Some(Mischief::Swallow) => {
                spoilt();
                continue;
            }
            Some(Mischief::ResetAfter) => {
                spoilt();
                return Ok(End::Reset);
            }
            Some(Mischief::Garble) => {
                spoilt();
                answer.bytes = answer.bytes.iter().map(|byte| byte ^ 0xa5).collect();
            }
            Some(Mischief::Truncate) => {
                spoilt();
                answer.bytes.truncate(answer.bytes.len() / 2);
                answer.is_last = true;
            }
            _ => {
                let position = head.field("queueId").zip(head.field("queueOffset"));
                let position = position.map(|(queue, offset)| (queue.into(), offset.into()));
                let code = head.code;
                link.note(key, head.opaque, What::Answered { code, position });
            }
        }
        if due.send(answer).await.is_err() {
            return Ok(End::Close);
        }
    }
}

/// Writes to the client what is due.
async fn deliver(mut to: WriteHalf<'_>, mut dues: mpsc::Receiver<Due>) -> io::Result<End> {
    while let Some(due) = dues.recv().await {
        tokio::time::sleep_until(due.at).await;
        to.write_all(&due.bytes).await?;
        if due.is_last {
            break;
        }
    }
    Ok(End::Close)
}

/// Waits while everything stands still.
async fn passable(faults: &mut watch::Receiver<Fault>) {
    let _ = faults.wait_for(|fault| *fault != Fault::Stall).await;
}

async fn swallow_all(client: &mut TcpStream) {
    let mut buffer = BytesMut::new();
    while client.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
        buffer.clear();
    }
}

impl Due {
    fn now(bytes: Bytes) -> Self {
        Self {
            at: Instant::now(),
            bytes,
            is_last: false,
        }
    }
}

impl Link {
    fn fault(&self) -> Fault {
        self.shared.fault.borrow().clone()
    }

    /// Whether the frame that has just come gets lost; the connection is dead or has to be reset then.
    fn loses(&self) -> bool {
        match self.fault() {
            Fault::HalfOpen => self.is_dead.store(true, Ordering::Release),
            Fault::ResetEvery(n) if n != 0 => return self.count().is_multiple_of(n),
            _ => {}
        }
        self.is_dead.load(Ordering::Acquire)
    }

    /// What happens to the send that has just come.
    fn mischief(&self) -> Option<Mischief> {
        match self.fault() {
            Fault::Sends(which, mischief) => which.concerns(self.count()).then_some(mischief),
            _ => None,
        }
    }

    fn count(&self) -> u64 {
        let since_set = &self.shared.counts.since_set;
        since_set.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn rewritten(&self, frame: &RawFrame) -> anyhow::Result<Bytes> {
        let replaced = &self.shared.replaced;
        if replaced.is_empty() || frame.body().is_empty() {
            return Ok(frame.bytes.clone());
        }
        let mut body = String::from_utf8(frame.body().to_vec())?;
        for (real, proxy) in replaced {
            body = body.replace(real, proxy);
        }
        frame.with_body(body.as_bytes())
    }

    /// Requests that will get no answer any more.
    fn cut_off(&self) {
        for (opaque, pending) in self.pending().drain() {
            self.note(pending.unique_key.as_deref(), opaque, What::Cut);
        }
    }

    fn note(&self, key: Option<&str>, opaque: i32, what: What) {
        let trace: &Trace = &self.shared.trace;
        if let Some(key) = key.filter(|_| trace.is_on()) {
            trace.note(key, (&self.shared.name, self.number), opaque, what);
        }
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<i32, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
