//! Between bytes and requests: decodes frames, lets faults happen, encodes answers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use dashmap::DashMap;
use rocketmq_producer_remoting::command::{CommandHead, peek};
use rocketmq_producer_remoting::{
    Frame, FrameError, HeaderEncoding, LanguageCode, MAX_FRAME_LENGTH, RemotingCommand,
    RequestCode, ResponseCode, decode_frame,
};
use tokio::sync::Notify;

use super::{Flow, Peer, Service};
use crate::fault::{FaultPlan, Reaction};

/// Responses of clients that are kept to be looked at; older ones are forgotten.
const KEPT_RESPONSES: usize = 256;

/// Carries out requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Carries out one request; the caller sets the number of the answer.
    fn handle(
        &self,
        peer: &Peer,
        head: CommandHead,
        frame: &Frame,
    ) -> Result<RemotingCommand, FrameError>;

    /// The connection has ended.
    fn disconnected(&self, peer: &Peer) {
        let _ = peer;
    }
}

/// An answer with a remark and nothing else. The number is set later.
pub(crate) fn remark(code: ResponseCode, remark: impl Into<String>) -> RemotingCommand {
    RemotingCommand::response(code, 0, Some(remark.into()))
}

/// Serves the requests of one server.
#[derive(Debug)]
pub(crate) struct Desk<H> {
    pub(crate) handler: H,
    pub(crate) faults: FaultPlan,
    /// Of the answers; requests are read in both.
    encoding: HeaderEncoding,
    received: DashMap<i32, AtomicU64>,
    /// Numbers of requests that the server makes itself.
    next_opaque: AtomicI32,
    responses: Mutex<VecDeque<RemotingCommand>>,
    /// Told after each read that was served.
    changed: Arc<Notify>,
}

impl<H: Handler> Desk<H> {
    pub(crate) fn new(handler: H, encoding: HeaderEncoding, changed: Arc<Notify>) -> Self {
        Self {
            handler,
            faults: FaultPlan::default(),
            encoding,
            received: DashMap::new(),
            next_opaque: AtomicI32::new(0),
            responses: Mutex::default(),
            changed,
        }
    }

    /// How many requests of a code have arrived.
    pub(crate) fn received(&self, code: RequestCode) -> u64 {
        self.received
            .get(&code.0)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Serves one frame.
    pub(crate) fn serve_frame(
        &self,
        peer: &Peer,
        frame: Frame,
        out: &mut BytesMut,
    ) -> Result<Flow, FrameError> {
        let head = peek(&frame)?;
        if head.is_response() {
            self.keep_response(RemotingCommand::decode(frame)?);
            return Ok(Flow::Continue);
        }
        self.count(RequestCode(head.code), 1);
        match self.faults.fire(RequestCode(head.code), &frame) {
            None => {
                self.answer(peer, head, &frame, out)?;
                Ok(Flow::Continue)
            }
            Some(fault) => match fault.reaction() {
                Reaction::Stall => Ok(Flow::Stall(fault, frame)),
                Reaction::HalfOpen => Ok(Flow::HalfOpen(fault)),
                reaction => self.react(reaction, peer, head, &frame, out),
            },
        }
    }

    /// Counts requests that have arrived.
    pub(crate) fn count(&self, code: RequestCode, requests: u64) {
        if let Some(count) = self.received.get(&code.0) {
            count.fetch_add(requests, Ordering::Relaxed);
            return;
        }
        let count = self.received.entry(code.0).or_default();
        count.fetch_add(requests, Ordering::Relaxed);
    }

    /// Carries the request out and appends the answer, if one is wanted.
    fn answer(
        &self,
        peer: &Peer,
        head: CommandHead,
        frame: &Frame,
        out: &mut BytesMut,
    ) -> Result<(), FrameError> {
        let answer = self.handler.handle(peer, head, frame)?;
        if head.is_oneway() {
            return Ok(());
        }
        self.encode(answer, head.opaque, out)
    }

    fn encode(
        &self,
        mut answer: RemotingCommand,
        opaque: i32,
        out: &mut BytesMut,
    ) -> Result<(), FrameError> {
        answer.opaque = opaque;
        answer.language = Some(LanguageCode::JAVA);
        answer.encode(self.encoding, out)
    }

    /// A request of the server itself, numbered and encoded.
    pub(crate) fn own_request(&self, mut request: RemotingCommand) -> Result<Bytes, FrameError> {
        request.opaque = self.next_opaque.fetch_add(1, Ordering::Relaxed);
        request.language = Some(LanguageCode::JAVA);
        let mut bytes = BytesMut::new();
        request.encode(self.encoding, &mut bytes)?;
        Ok(bytes.freeze())
    }

    /// What clients answered to the server's own requests.
    pub(crate) fn responses(&self) -> Vec<RemotingCommand> {
        self.lock_responses().iter().cloned().collect()
    }

    /// A real server drops a response that it does not wait for; here a test may look at it.
    fn keep_response(&self, response: RemotingCommand) {
        let mut responses = self.lock_responses();
        if responses.len() == KEPT_RESPONSES {
            responses.pop_front();
        }
        responses.push_back(response);
    }

    fn lock_responses(&self) -> MutexGuard<'_, VecDeque<RemotingCommand>> {
        self.responses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn react(
        &self,
        reaction: &Reaction,
        peer: &Peer,
        head: CommandHead,
        frame: &Frame,
        out: &mut BytesMut,
    ) -> Result<Flow, FrameError> {
        match reaction {
            Reaction::Answer { code, remark: text } => {
                if !head.is_oneway() {
                    self.encode(remark(*code, text), head.opaque, out)?;
                }
            }
            Reaction::CloseBefore => return Ok(Flow::Close),
            Reaction::CloseAfter => {
                self.handler.handle(peer, head, frame)?;
                return Ok(Flow::Close);
            }
            Reaction::Delay(delay) => {
                let mut late = BytesMut::new();
                self.answer(peer, head, frame, &mut late)?;
                if !late.is_empty() {
                    peer.push_later(*delay, late.freeze());
                }
            }
            Reaction::Discard => {}
            Reaction::Duplicate => {
                let start = out.len();
                self.answer(peer, head, frame, out)?;
                let copy = out.get(start..).unwrap_or_default().to_vec();
                out.extend_from_slice(&copy);
            }
            Reaction::Garbage(bytes) => {
                self.handler.handle(peer, head, frame)?;
                out.extend_from_slice(bytes);
            }
            Reaction::Request(request) => {
                let request = self.own_request(request.clone())?;
                out.extend_from_slice(&request);
                peer.push_to_others(&request);
                self.answer(peer, head, frame, out)?;
            }
            Reaction::Reset => return Ok(Flow::Reset),
            Reaction::Split { piece, pause } => {
                self.answer(peer, head, frame, out)?;
                return Ok(Flow::Split(*piece, *pause));
            }
            // Taken care of by the caller, who owns frame and fault.
            Reaction::Stall | Reaction::HalfOpen => self.answer(peer, head, frame, out)?,
            Reaction::Status(status) => {
                let mut answer = self.handler.handle(peer, head, frame)?;
                if answer.code == ResponseCode::SUCCESS.0 {
                    answer.code = status.0;
                }
                if !head.is_oneway() {
                    self.encode(answer, head.opaque, out)?;
                }
            }
            Reaction::StrayResponse => {
                let stray = RemotingCommand::response(ResponseCode::SUCCESS, 0, None);
                self.encode(stray, head.opaque.wrapping_add(i32::MAX), out)?;
                self.answer(peer, head, frame, out)?;
            }
            Reaction::Swallow => {
                self.handler.handle(peer, head, frame)?;
            }
            Reaction::Truncate(length) => {
                let start = out.len();
                self.answer(peer, head, frame, out)?;
                out.truncate(start.saturating_add(*length));
                return Ok(Flow::Close);
            }
        }
        Ok(Flow::Continue)
    }
}

impl<H: Handler> Service for Desk<H> {
    fn serve(
        &self,
        peer: &Peer,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Flow, FrameError> {
        let mut served = false;
        let flow = loop {
            let frame = match decode_frame(input, MAX_FRAME_LENGTH) {
                Ok(Some(frame)) => frame,
                Ok(None) => break Ok(Flow::Continue),
                Err(error) => break Err(error),
            };
            served = true;
            match self.serve_frame(peer, frame, out) {
                Ok(Flow::Continue) => {}
                other => break other,
            }
        };
        if served {
            self.changed.notify_waiters();
        }
        flow
    }

    fn resume(&self, peer: &Peer, frame: Frame, out: &mut BytesMut) -> Result<(), FrameError> {
        let head = peek(&frame)?;
        self.answer(peer, head, &frame, out)?;
        self.changed.notify_waiters();
        Ok(())
    }

    fn disconnected(&self, peer: &Peer) {
        self.handler.disconnected(peer);
        self.changed.notify_waiters();
    }
}
