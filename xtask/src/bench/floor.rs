//! The floor: one thread and one socket that send prepared frames of the size the producer sends,
//! and count answers by their length alone. What any client costs at least on this machine.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask::wait;

/// Where the request number stands in a frame with a binary header: after the length, the header
/// mark, code, language and version.
const OPAQUE: std::ops::Range<usize> = 13..17;

/// Bytes written in one call at most.
const BURST: usize = 256 * 1024;

/// What a run of the floor cost.
#[derive(Debug)]
pub(super) struct Floor {
    pub(super) msgs_per_s: f64,
    pub(super) cpu_us_per_msg: f64,
    pub(super) p50_us: f64,
}

/// Sends `count` messages to the broker at `address`, `in_flight` under way at once.
pub(super) fn run(address: &str, topic: &str, in_flight: u32, count: u64) -> Result<Floor> {
    let (address, topic) = (address.to_owned(), topic.to_owned());
    // A thread of its own, so that its CPU time is told apart from the rest of this process.
    std::thread::spawn(move || {
        let mut loop_ = Loop::connect(&address, &topic)?;
        loop_.send(in_flight, count / 10)?;
        loop_.latencies.clear();
        let (cpu, began) = (thread_cpu()?, wait::now());
        loop_.send(in_flight, count)?;
        let (elapsed, cpu) = (began.elapsed(), thread_cpu()? - cpu);
        loop_.latencies.sort_unstable();
        let middle = loop_.latencies.get(loop_.latencies.len() / 2);
        Ok(Floor {
            msgs_per_s: count as f64 / elapsed.as_secs_f64(),
            cpu_us_per_msg: cpu.as_secs_f64() * 1e6 / count as f64,
            p50_us: middle.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6),
        })
    })
    .join()
    .unwrap_or_else(|_| bail!("the floor's thread failed"))
}

struct Loop {
    stream: TcpStream,
    frame: Vec<u8>,
    opaque: u32,
    input: Box<[u8]>,
    /// Bytes of the input that belong to an answer not yet whole.
    kept: usize,
    /// Round trips, taken only while one message is under way at a time.
    latencies: Vec<Duration>,
}

impl Loop {
    fn connect(address: &str, topic: &str) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("floor: connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self {
            stream,
            frame: frame(topic),
            opaque: 0,
            input: vec![0; BURST].into(),
            kept: 0,
            latencies: Vec::new(),
        })
    }

    fn send(&mut self, in_flight: u32, count: u64) -> Result<()> {
        let (mut sent, mut answered) = (0_u64, 0_u64);
        let mut output = Vec::with_capacity(BURST + self.frame.len());
        while answered < count {
            output.clear();
            while sent < count && sent - answered < u64::from(in_flight) && output.len() < BURST {
                self.opaque = self.opaque.wrapping_add(1) & 0x7fff_ffff;
                let at = output.len();
                output.extend_from_slice(&self.frame);
                output[at + OPAQUE.start..at + OPAQUE.end]
                    .copy_from_slice(&self.opaque.to_be_bytes());
                sent += 1;
            }
            let began = wait::now();
            self.stream.write_all(&output)?;
            answered += self.read_answers()?;
            if in_flight == 1 {
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

/// A frame as the producer sends it: SEND_MESSAGE_V2, binary header, 256 bytes of body.
fn frame(topic: &str) -> Vec<u8> {
    let properties = "WAIT\u{1}true\u{2}UNIQ_KEY\u{1}7F0000010E8018B4AAC200000A9B0000\u{2}";
    let fields = [
        ("a", "bench"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "0"),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", properties),
        ("j", "0"),
        ("k", "false"),
        ("m", "false"),
    ];
    let mut ext = Vec::new();
    for (name, value) in fields {
        ext.extend_from_slice(&(name.len() as u16).to_be_bytes());
        ext.extend_from_slice(name.as_bytes());
        ext.extend_from_slice(&(value.len() as u32).to_be_bytes());
        ext.extend_from_slice(value.as_bytes());
    }
    let mut header = Vec::new();
    header.extend_from_slice(&310_u16.to_be_bytes());
    header.push(12);
    header.extend_from_slice(&513_u16.to_be_bytes());
    // Number, flag, and length of the remark.
    header.extend_from_slice(&[0; 12]);
    header.extend_from_slice(&(ext.len() as u32).to_be_bytes());
    header.extend_from_slice(&ext);
    let body = [b'x'; 256];
    let mut frame = ((4 + header.len() + body.len()) as u32)
        .to_be_bytes()
        .to_vec();
    frame.extend_from_slice(&((1 << 24) | header.len() as u32).to_be_bytes());
    frame.extend_from_slice(&header);
    frame.extend_from_slice(&body);
    frame
}

/// CPU time of this thread: fields 14 and 15 of its `stat`, in hundredths of a second.
fn thread_cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || -> Result<u64> { Ok(fields.next().context("short stat")?.parse()?) };
    let ticks = next()? + next()?;
    Ok(Duration::from_millis(ticks * 10))
}
