//! A connection under any interleaving of requests, answers, breaks, time and cancellations.
//!
//! The input is a program for both sides: [`Step`]s of one or a few bytes. Whatever it says, each request must resolve
//! once, by its deadline, with an answer of its own or an error whose delivery is true.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rocketmq_producer::Delivery;
use rocketmq_producer::remoting::{
    ByteSize, Connection, ConnectionOptions, FrameError, HeaderEncoding, NoConsumer, NoFields,
    RemotingCommand, RequestCode, RequestError, RequestFailure, ResponseCode,
};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use self::pipe::{Break, Pipe};
use super::Verdict;
use super::corpus::Corpus;

mod pipe;

/// Steps of one input; the rest of a longer one is not looked at.
const MOST_STEPS: usize = 300;
/// The runtime's timers count in milliseconds.
const GRAIN: Duration = Duration::from_millis(1);
/// What a connection may take to write what is left and to say that it ends.
const LINGER: Duration = Duration::from_secs(3);

/// Steps with arguments that do something of everything.
pub(super) const TOKENS: &[&[u8]] = &[
    &[Step::REQUEST, 100, 0],
    &[Step::REQUEST, 0, 0],
    &[Step::REQUEST, 255, 255],
    &[Step::ONEWAY, 100, 3],
    &[Step::YIELD, 4],
    &[Step::WAIT, 1],
    &[Step::WAIT, 200],
    &[Step::ANSWER, 0],
    &[Step::ANSWER, 1],
    &[Step::ANSWER, 0, Step::ANSWER, 0],
    &[Step::STRAY, 1],
    &[Step::GO_AWAY, 0],
    &[Step::SERVER_REQUEST, 34],
    &[Step::RAW, 3, 0, 0, 0],
    &[Step::RAW, 8, 0, 0, 0, 8, 0, 0, 0, 4],
    &[Step::ALLOW, 1],
    &[Step::ALLOW, 255],
    &[Step::PIECES, 1],
    &[Step::BREAK, 0],
    &[Step::BREAK, 1],
    &[Step::BREAK, 2],
    &[Step::BREAK, 3],
    &[Step::CANCEL, 0],
    &[Step::END, 0],
    &[Step::END, 1],
    &[Step::END, 2],
];

/// What a byte of the input means; arguments follow.
struct Step;

impl Step {
    const REQUEST: u8 = 0;
    const ONEWAY: u8 = 1;
    const YIELD: u8 = 2;
    const WAIT: u8 = 3;
    const ANSWER: u8 = 4;
    const STRAY: u8 = 5;
    const GO_AWAY: u8 = 6;
    const SERVER_REQUEST: u8 = 7;
    const RAW: u8 = 8;
    const ALLOW: u8 = 9;
    const PIECES: u8 = 10;
    const BREAK: u8 = 11;
    const CANCEL: u8 = 12;
    const END: u8 = 13;
    const COUNT: u8 = 14;
}

/// Common courses of a connection.
pub(super) fn seeds(_: &Corpus) -> Vec<Vec<u8>> {
    // Bounds of pending requests and unsent bytes, bytes that may be written at first, size of reads.
    let generous = [64, 255, 255, 255];
    let ask = [Step::REQUEST, 100, 0];
    let settle = [Step::YIELD, 9];
    let answer = |number| [Step::ANSWER, number];
    let programs: [Vec<u8>; 10] = [
        // Three requests, answered backwards, the last one twice.
        [
            &ask[..],
            &ask,
            &ask,
            &settle,
            &answer(2),
            &answer(1),
            &answer(0),
            &answer(0),
            &settle,
        ]
        .concat(),
        // Byte by byte in both directions.
        [
            &[Step::PIECES, 1][..],
            &ask,
            &ask,
            &settle,
            &answer(0),
            &answer(1),
            &settle,
        ]
        .concat(),
        // Timeout, then the late answer.
        [
            &[Step::REQUEST, 1, 0][..],
            &ask,
            &[Step::WAIT, 30],
            &answer(0),
            &settle,
            &answer(1),
        ]
        .concat(),
        // GO_AWAY with others under way.
        [
            &ask[..],
            &ask,
            &settle,
            &[Step::GO_AWAY, 0],
            &settle,
            &ask,
            &answer(1),
            &settle,
        ]
        .concat(),
        // The stream breaks while a request is half written.
        [
            &[Step::REQUEST, 100, 255][..],
            &ask,
            &settle,
            &[Step::ALLOW, 5],
            &settle,
            &[Step::BREAK, 1],
            &settle,
        ]
        .concat(),
        // Cancelled before and after the write.
        [
            &ask[..],
            &[Step::CANCEL, 0],
            &ask,
            &settle,
            &[Step::CANCEL, 1],
            &ask,
            &settle,
            &answer(1),
            &settle,
        ]
        .concat(),
        // Closed with requests under way.
        [&ask[..], &settle, &ask, &[Step::END, 0], &settle].concat(),
        // One-way messages and a request of the server.
        [
            &[Step::ONEWAY, 50, 9][..],
            &ask,
            &settle,
            &[Step::SERVER_REQUEST, 34],
            &settle,
            &answer(0),
            &settle,
        ]
        .concat(),
        // Strays and nonsense.
        [
            &ask[..],
            &settle,
            &[Step::STRAY, 7],
            &answer(0),
            &settle,
            &[Step::RAW, 8, 0, 0, 0, 8, 0, 0, 0, 4],
            &settle,
        ]
        .concat(),
        // The last handle goes.
        [
            &ask[..],
            &ask,
            &settle,
            &[Step::END, 1],
            &answer(0),
            &settle,
        ]
        .concat(),
    ];
    let narrow = [2, 1, 0, 3];
    programs
        .iter()
        .flat_map(|program| {
            [
                [&generous[..], program].concat(),
                [&narrow[..], program, &[Step::ALLOW, 255, Step::YIELD, 5]].concat(),
            ]
        })
        .collect()
}

/// Runs the program and checks every outcome. Accepted: some request was answered.
pub(super) fn check(input: &[u8]) -> Verdict {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs nothing");
    let answered = runtime.block_on(async { Run::new(input).play().await });
    let tasks = runtime.handle().metrics().num_alive_tasks();
    assert_eq!(tasks, 0, "tasks left");
    Verdict::of(answered > 0)
}

struct Run<'a> {
    input: std::slice::Iter<'a, u8>,
    pipe: Pipe,
    /// Gone once the program has dropped it; requests under way hold clones.
    connection: Option<Connection>,
    driver: JoinHandle<()>,
    requests: Vec<Asked>,
    /// By number of the answer: the number of the request that it is for.
    answers: Vec<i32>,
    /// The connection may have replied to requests of the peer.
    may_have_replied: bool,
}

/// A request and its task.
struct Asked {
    task: JoinHandle<Ended>,
    is_oneway: bool,
    is_cancelled: bool,
    deadline: Instant,
}

/// An outcome and when it came.
struct Ended {
    result: Result<Option<(i32, Option<String>)>, RequestError>,
    at: Instant,
}

impl<'a> Run<'a> {
    fn new(input: &'a [u8]) -> Self {
        let mut input = input.iter();
        let mut next = || usize::from(input.next().copied().unwrap_or(255));
        let (pending, unsent, allowed, piece) = (next(), next(), next(), next());
        let options = ConnectionOptions::new()
            .with_max_pending(pending)
            .with_max_unsent(ByteSize::bytes(unsent as u64 * 64))
            .with_header_encoding(if pending.is_multiple_of(2) {
                HeaderEncoding::Binary
            } else {
                HeaderEncoding::Json
            });
        let pipe = Pipe::new(
            if allowed == 255 { usize::MAX } else { allowed },
            piece.max(1),
        );
        let (connection, driver) = Connection::new(
            pipe.clone(),
            Arc::from("peer:1"),
            &options,
            Arc::new(NoConsumer),
        );
        let driver = TaskTracker::new().spawn(async move {
            driver.await;
        });
        Self {
            input,
            pipe,
            connection: Some(connection),
            driver,
            requests: Vec::new(),
            answers: Vec::new(),
            may_have_replied: false,
        }
    }

    fn next(&mut self) -> Option<u8> {
        self.input.next().copied()
    }

    async fn play(mut self) -> usize {
        for _ in 0..MOST_STEPS {
            let Some(step) = self.next() else { break };
            let argument = self.next().unwrap_or(0);
            self.step(step % Step::COUNT, argument).await;
        }
        self.finish().await
    }

    async fn step(&mut self, step: u8, argument: u8) {
        let number = usize::from(argument);
        match step {
            Step::REQUEST | Step::ONEWAY => self.ask(argument, step == Step::ONEWAY),
            Step::YIELD => {
                for _ in 0..number % 16 {
                    tokio::task::yield_now().await;
                }
            }
            Step::WAIT => tokio::time::sleep(Duration::from_millis(number as u64)).await,
            Step::ANSWER | Step::GO_AWAY => {
                let asked = self.pipe.asked();
                let Some((opaque, _)) = asked.get(number % asked.len().max(1)) else {
                    return;
                };
                self.answer(*opaque, step == Step::GO_AWAY);
            }
            Step::STRAY => {
                let opaque = match argument {
                    0 => -1,
                    1 => i32::MAX,
                    2 => i32::MIN,
                    other => i32::from(other),
                };
                self.answer(opaque, false);
            }
            Step::SERVER_REQUEST => {
                self.may_have_replied = true;
                let mut request = RemotingCommand::request(i32::from(argument), 7);
                request.flag = i32::from(argument & 1) << 1;
                self.say(&request);
            }
            Step::RAW => {
                self.may_have_replied = true;
                let bytes: Vec<u8> = (0..number % 32).filter_map(|_| self.next()).collect();
                self.pipe.put(&bytes);
            }
            Step::ALLOW if argument == 255 => self.pipe.allow(usize::MAX),
            Step::ALLOW => self.pipe.allow(number),
            Step::PIECES => self.pipe.set_piece(number.max(1)),
            Step::BREAK => self.pipe.set_broken(match argument % 4 {
                0 => Break::End,
                1 => Break::Read(io::ErrorKind::ConnectionReset),
                2 => Break::Write(io::ErrorKind::BrokenPipe),
                _ => Break::WriteZero,
            }),
            Step::CANCEL => {
                let count = self.requests.len().max(1);
                if let Some(asked) = self.requests.get_mut(number % count) {
                    asked.is_cancelled = true;
                    asked.task.abort();
                }
            }
            _ => match argument % 3 {
                0 => self.connection.iter().for_each(Connection::close),
                1 => self.connection = None,
                _ => {
                    let error = FrameError::UnexpectedEnd;
                    self.connection
                        .iter()
                        .for_each(|connection| connection.distrust(error.clone()));
                }
            },
        }
    }

    fn ask(&mut self, timeout: u8, is_oneway: bool) {
        let padding = self.next().unwrap_or(0);
        let Some(connection) = self.connection.clone() else {
            return;
        };
        let padding = match padding {
            255 => 20_000,
            other => usize::from(other),
        };
        let number = u32::try_from(self.requests.len()).expect("few steps");
        let body = Bytes::from([&number.to_be_bytes()[..], &vec![b'x'; padding]].concat());
        let deadline = Instant::now() + Duration::from_millis(u64::from(timeout) * 8);
        let task = TaskTracker::new().spawn(async move {
            let header = NoFields(RequestCode::GET_BROKER_RUNTIME_INFO);
            let result = if is_oneway {
                let written = connection.oneway(&header, &body, deadline).await;
                written.map(|()| None)
            } else {
                let answer = connection.request(&header, &body, deadline).await;
                answer.map(|answer| Some((answer.head().opaque, answer.remark())))
            };
            let at = Instant::now();
            Ended { result, at }
        });
        self.requests.push(Asked {
            task,
            is_oneway,
            is_cancelled: false,
            deadline,
        });
    }

    /// Every answer has a number of its own, so that it can be recognised.
    fn answer(&mut self, opaque: i32, go_away: bool) {
        let code = if go_away {
            ResponseCode::GO_AWAY
        } else {
            ResponseCode::SUCCESS
        };
        let remark = self.answers.len().to_string();
        self.answers.push(opaque);
        self.say(&RemotingCommand::response(code, opaque, Some(remark)));
    }

    fn say(&self, command: &RemotingCommand) {
        let mut bytes = BytesMut::new();
        let encoded = command.encode(HeaderEncoding::Binary, &mut bytes);
        encoded.expect("a small command");
        self.pipe.put(&bytes);
    }

    /// Waits for every outcome, then for the end of the connection, and checks them all.
    async fn finish(mut self) -> usize {
        let mut outcomes = Vec::new();
        for asked in std::mem::take(&mut self.requests) {
            let limit = asked.deadline.max(Instant::now()) + GRAIN * 2;
            let ended = tokio::time::timeout_at(limit, asked.task).await;
            let ended = match ended.expect("a request has no outcome at its deadline") {
                Ok(ended) => Some(ended),
                Err(error) => {
                    assert!(error.is_cancelled() && asked.is_cancelled, "{error}");
                    None
                }
            };
            outcomes.push((asked.is_oneway, asked.deadline, ended));
        }
        if let Some(connection) = self.connection.take() {
            assert_eq!(connection.pending(), 0, "requests left in the table");
        }
        let ended = tokio::time::timeout(LINGER, &mut self.driver).await;
        ended
            .expect("the connection does not end")
            .expect("its task does not panic");
        self.judge(&outcomes)
    }

    fn judge(&self, outcomes: &[(bool, Instant, Option<Ended>)]) -> usize {
        let written = self.pipe.asked();
        let whole: BTreeSet<u32> = written.iter().map(|(_, number)| *number).collect();
        assert_eq!(whole.len(), written.len(), "a frame was written twice");
        let (mut answers_taken, mut doubtful) = (BTreeSet::new(), 0);
        // Somebody must answer for the bytes of a frame that was not written whole.
        let mut explained = self.pipe.tail() == 0 || self.may_have_replied;
        for (number, (is_oneway, deadline, ended)) in (0_u32..).zip(outcomes) {
            let is_whole = whole.contains(&number);
            let Some(Ended { result, at }) = ended else {
                explained |= !is_whole;
                continue;
            };
            assert!(
                *at <= *deadline + GRAIN,
                "request {number} ended {:?} late",
                *at - *deadline
            );
            match result {
                Ok(None) => assert!(*is_oneway && is_whole, "{number} was not written"),
                Ok(Some((opaque, remark))) => {
                    explained |= !is_whole;
                    let own = written.iter().find(|(_, written)| *written == number);
                    assert!(own.is_none_or(|(own, _)| own == opaque), "not its number");
                    let Some(answer) = remark.as_ref().and_then(|r| r.parse::<usize>().ok()) else {
                        // Out of raw bytes.
                        continue;
                    };
                    assert_eq!(self.answers.get(answer), Some(opaque), "not its answer");
                    assert!(answers_taken.insert(answer), "one answer, two requests");
                }
                Err(error) if error.delivery() == Delivery::NotSent => {
                    assert!(!is_whole, "request {number} was written: {error}");
                }
                Err(error) => {
                    assert_eq!(error.delivery(), Delivery::Unknown, "{error}");
                    explained |= !is_whole;
                    let is_lost = matches!(error.failure(), RequestFailure::ConnectionLost(_));
                    doubtful += usize::from(is_lost && !is_whole);
                }
            }
        }
        assert!(explained, "bytes of a request that is said not to be sent");
        assert!(
            doubtful <= 1,
            "{doubtful} requests in doubt, of which no byte was written"
        );
        outcomes
            .iter()
            .filter(|(is_oneway, _, ended)| {
                !is_oneway && ended.as_ref().is_some_and(|ended| ended.result.is_ok())
            })
            .count()
    }
}
