//! The floor: one thread and one socket that send the producer's own frames again and again, and count answers by
//! their length alone. What any client costs at least on this machine.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::time::{ClockId, clock_gettime};
use xtask::wait;

use super::sample::Run;

/// Where the request number stands in a frame with a binary header: after length, header mark, code, language and
/// version.
const OPAQUE: std::ops::Range<usize> = 13..17;

/// Bytes written in one call at most.
const BURST: usize = 256 * 1024;

/// What the floor sends, and how.
#[derive(Debug, Clone)]
pub(super) struct Load {
    /// The broker.
    pub(super) address: String,
    /// Whole frames with binary headers, one after another and over again.
    pub(super) frames: Vec<Vec<u8>>,
    /// Messages in each.
    pub(super) per_frame: u64,
    /// Messages under way at once.
    pub(super) in_flight: u64,
}

/// Sends `count` messages after `warm_up` others.
pub(super) fn run(load: Load, warm_up: u64, count: u64) -> Result<Run> {
    let frames = count.div_ceil(load.per_frame);
    let warm_up = warm_up / load.per_frame;
    let window = (load.in_flight / load.per_frame).max(1);
    // A thread of its own, so that its CPU time is told apart from the rest of this process.
    std::thread::spawn(move || {
        let per_frame = load.per_frame;
        let mut loop_ = Loop::connect(&load)?;
        loop_.send(window, warm_up)?;
        loop_.latencies.clear();
        let (cpu, began) = (thread_cpu(), wait::now());
        loop_.send(window, frames)?;
        let (elapsed, cpu) = (began.elapsed(), thread_cpu() - cpu);
        loop_.latencies.sort_unstable();
        let at = |quantile| quantile_of(&loop_.latencies, quantile);
        let sent = frames * per_frame;
        Ok(Run {
            count: sent,
            acked: sent,
            failed: 0,
            secs: elapsed.as_secs_f64(),
            msgs_per_s: sent as f64 / elapsed.as_secs_f64(),
            cpu_us_per_msg: cpu * 1e6 / sent as f64,
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: at(1.0),
            rss_mib: None,
            first_ack_ms: None,
        })
    })
    .join()
    .unwrap_or_else(|_| bail!("the floor's thread failed"))
}

struct Loop {
    stream: TcpStream,
    frames: Vec<Vec<u8>>,
    next: usize,
    opaque: u32,
    input: Box<[u8]>,
    /// Bytes of the input that belong to an answer not yet whole.
    kept: usize,
    /// Round trips, taken only while one frame is under way at a time.
    latencies: Vec<Duration>,
}

impl Loop {
    fn connect(load: &Load) -> Result<Self> {
        let address = &load.address;
        let stream =
            TcpStream::connect(address).with_context(|| format!("floor: connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        ensure!(!load.frames.is_empty(), "nothing to send");
        for frame in &load.frames {
            // The type byte of the header: 1 is binary.
            ensure!(frame.get(4) == Some(&1), "the frames have no binary header");
        }
        Ok(Self {
            stream,
            frames: load.frames.clone(),
            next: 0,
            opaque: 0,
            input: vec![0; BURST].into(),
            kept: 0,
            latencies: Vec::new(),
        })
    }

    fn send(&mut self, window: u64, count: u64) -> Result<()> {
        let (mut sent, mut answered) = (0_u64, 0_u64);
        let longest = self.frames.iter().map(Vec::len).max().unwrap_or(0);
        let mut output = Vec::with_capacity(BURST + longest);
        while answered < count {
            output.clear();
            while sent < count && sent - answered < window && output.len() < BURST {
                let frame = &self.frames[self.next];
                self.next = (self.next + 1) % self.frames.len();
                self.opaque = self.opaque.wrapping_add(1) & 0x7fff_ffff;
                let at = output.len();
                output.extend_from_slice(frame);
                output[at + OPAQUE.start..at + OPAQUE.end]
                    .copy_from_slice(&self.opaque.to_be_bytes());
                sent += 1;
            }
            let began = wait::now();
            self.stream.write_all(&output)?;
            answered += self.read_answers()?;
            if window == 1 {
                self.latencies.push(began.elapsed());
            }
        }
        Ok(())
    }

    /// Reads once, and says how many whole answers have come.
    fn read_answers(&mut self) -> Result<u64> {
        let read = self.stream.read(&mut self.input[self.kept..])?;
        if read == 0 {
            bail!("floor: the broker closed the connection");
        }
        let filled = self.kept + read;
        let (mut at, mut answers) = (0, 0);
        while let Some(length) = self.input[at..filled].first_chunk::<4>() {
            let end = at + 4 + u32::from_be_bytes(*length) as usize;
            if end > filled {
                break;
            }
            (at, answers) = (end, answers + 1);
        }
        self.input.copy_within(at..filled, 0);
        self.kept = filled - at;
        Ok(answers)
    }
}

/// CPU time of this thread, in seconds.
fn thread_cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// In microseconds; not a number if nothing was timed.
fn quantile_of(sorted: &[Duration], quantile: f64) -> f64 {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    let at = sorted.get(rank.saturating_sub(1));
    at.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
}
