//! [`MessageIdGenerator`]: ids that no other thread, process or restart gives again.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jiff::{Timestamp, ToSpan, tz::TimeZone};

use super::{MAX_LENGTH, MessageId};
use crate::host::host_address;
use crate::message::clock::{SystemClock, WallClock};

/// Low bits of a ticket that hold the counter; the rest is the millisecond.
const COUNTER_BITS: u32 = 16;

const MINUTE: u64 = 60_000;

/// Later times are taken as this one: the end of the year 9999, where calendars end.
const LATEST: u64 = 253_402_207_200_000;

/// Gives out [`MessageId`]s.
///
/// Layout, as in Java: address (4 or 16 bytes), process id (low 16 bits), 4 bytes that are random
/// per process, milliseconds since the local month began (32 bits), counter (16 bits).
///
/// Uniqueness: time and counter form one number that only ever grows. It never follows a clock
/// that is set back, and the 65537th id of one millisecond takes the next millisecond. Since the
/// time in an id starts anew each month, the random bytes grow by one at each change of month.
/// Different processes differ in their random bytes.
pub struct MessageIdGenerator {
    /// Hexadecimal digits of address and process id.
    prefix: [u8; 36],
    prefix_length: usize,
    /// The random bytes of the first month.
    instance: u32,
    /// Last ticket given out: millisecond << 16 | counter.
    last: AtomicU64,
    /// The month that the last ids fell into, see [`Month`].
    month: AtomicU64,
    /// Held while a new month is worked out, so that it is counted once.
    month_change: Mutex<()>,
    zone: TimeZone,
    clock: Arc<dyn WallClock>,
}

impl MessageIdGenerator {
    /// A generator for this host and process, with random bytes of its own, on the system clock
    /// and in the system time zone.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// As [`new`](Self::new) on another clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn WallClock>) -> Self {
        Self::with_parts(Parts {
            ip: host_address(),
            process_id: std::process::id(),
            instance: rand::random(),
            counter: rand::random(),
            zone: TimeZone::system(),
            clock,
        })
    }

    /// The generator that all producers of this process share.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<MessageIdGenerator> = LazyLock::new(MessageIdGenerator::new);
        &SHARED
    }

    /// The next id.
    pub fn next_id(&self) -> MessageId {
        self.next_id_at(self.clock.epoch_millis())
    }

    /// The next id, for a caller that has just read the clock: `epoch_millis` are milliseconds
    /// since 1970. A time before that of an earlier id is raised to it.
    pub fn next_id_at(&self, epoch_millis: u64) -> MessageId {
        let ticket = self.next_ticket(epoch_millis);
        let millis = ticket >> COUNTER_BITS;
        let mut month = Month(self.month.load(Ordering::Acquire));
        if !month.contains(millis) {
            month = self.change_month(millis);
        }
        let bytes = IdTail {
            instance: self.instance.wrapping_add(month.index()),
            elapsed: millis.saturating_sub(month.start()),
            counter: ticket,
        };
        let mut id = MessageId {
            digits: [0; MAX_LENGTH],
            length: 0,
        };
        let tail = bytes.digits();
        let (prefix, rest) = id.digits.split_at_mut(self.prefix_length);
        prefix.copy_from_slice(self.prefix.get(..self.prefix_length).unwrap_or_default());
        if let Some(target) = rest.first_chunk_mut() {
            *target = tail;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 56")]
        let length = (self.prefix_length + tail.len()) as u8;
        id.length = length;
        id
    }

    /// A number that is larger than all given out before, with the time in its upper bits.
    fn next_ticket(&self, epoch_millis: u64) -> u64 {
        let now = epoch_millis.min(LATEST) << COUNTER_BITS;
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            if last >> COUNTER_BITS >= now >> COUNTER_BITS {
                // Same millisecond or the clock went back: the counter overflows into the time.
                return self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            }
            let next = now | (last.wrapping_add(1) & u64::from(u16::MAX));
            match self
                .last
                .compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return next,
                Err(current) => last = current,
            }
        }
    }

    /// Works out the month of `millis`; rare, so a lock does no harm.
    #[cold]
    fn change_month(&self, millis: u64) -> Month {
        let _one_at_a_time = self
            .month_change
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let current = Month(self.month.load(Ordering::Acquire));
        if current.contains(millis) {
            return current;
        }
        if current.0 != 0 && millis < current.start() {
            // A ticket drawn just before another thread's ticket opened the new month: it belongs
            // to the month before, whose number is one less.
            return Month::of(millis, &self.zone, current.index().wrapping_sub(1));
        }
        let index = if current.0 == 0 {
            0
        } else {
            current.index().wrapping_add(1)
        };
        let month = Month::of(millis, &self.zone, index);
        self.month.store(month.0, Ordering::Release);
        month
    }

    fn with_parts(parts: Parts) -> Self {
        let mut prefix = [0; 36];
        let mut prefix_length = 0;
        let mut push = |byte: u8| {
            if let Some(pair) = prefix.get_mut(prefix_length..prefix_length + 2) {
                pair.copy_from_slice(&HEX[usize::from(byte)]);
                prefix_length += 2;
            }
        };
        match parts.ip {
            IpAddr::V4(ip) => ip.octets().into_iter().for_each(&mut push),
            IpAddr::V6(ip) => ip.octets().into_iter().for_each(&mut push),
        }
        // Java keeps the low 16 bits of the process id.
        let [.., high, low] = parts.process_id.to_be_bytes();
        push(high);
        push(low);
        Self {
            prefix,
            prefix_length,
            instance: parts.instance,
            last: AtomicU64::new(u64::from(parts.counter)),
            month: AtomicU64::new(0),
            month_change: Mutex::new(()),
            zone: parts.zone,
            clock: parts.clock,
        }
    }
}

impl Default for MessageIdGenerator {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MessageIdGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageIdGenerator")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// What tells one generator from another.
struct Parts {
    ip: IpAddr,
    process_id: u32,
    instance: u32,
    /// The counter before the first id.
    counter: u16,
    zone: TimeZone,
    clock: Arc<dyn WallClock>,
}

/// A calendar month of local time, packed so that one atomic load reads all of it:
/// start in minutes since 1970 (32 bits) | length in minutes (16) | months seen before it (16).
/// Zero: none yet.
#[derive(Clone, Copy)]
struct Month(u64);

impl Month {
    /// The month of `millis` in `zone`. Should the calendar fail (it does not within the years
    /// that the clock can show), the month is counted in UTC blocks of 30 days.
    fn of(millis: u64, zone: &TimeZone, index: u32) -> Self {
        let (start, end) = calendar_month(millis, zone).unwrap_or_else(|| {
            let block = 30 * 24 * 60 * MINUTE;
            (millis / block * block, (millis / block + 1) * block)
        });
        let start = start / MINUTE;
        // Rounded up, so that the last millisecond is always inside.
        let length = end.div_ceil(MINUTE).saturating_sub(start);
        Self(
            start << 32
                | length.min(u64::from(u16::MAX)) << 16
                | u64::from(index) & u64::from(u16::MAX),
        )
    }

    fn start(self) -> u64 {
        (self.0 >> 32) * MINUTE
    }

    fn index(self) -> u32 {
        u32::from(self.0 as u16)
    }

    fn contains(self, millis: u64) -> bool {
        let length = u64::from((self.0 >> 16) as u16) * MINUTE;
        millis.wrapping_sub(self.start()) < length
    }
}

/// First millisecond of the month of `millis` and of the month after it.
fn calendar_month(millis: u64, zone: &TimeZone) -> Option<(u64, u64)> {
    let time = Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok()?;
    let first = time
        .to_zoned(zone.clone())
        .first_of_month()
        .and_then(|day| day.start_of_day())
        .ok()?;
    let next = first.checked_add(1.month()).ok()?.start_of_day().ok()?;
    // Before 1970 only where the clock itself is; the month then begins with the clock.
    let start = u64::try_from(first.timestamp().as_millisecond()).unwrap_or(0);
    let end = u64::try_from(next.timestamp().as_millisecond()).ok()?;
    Some((start, end))
}

/// The part of an id that is not the same for the whole life of a process.
struct IdTail {
    instance: u32,
    /// Milliseconds since the month began; the low 32 bits are written.
    elapsed: u64,
    /// The low 16 bits are written.
    counter: u64,
}

impl IdTail {
    fn digits(&self) -> [u8; 20] {
        let elapsed = self.elapsed as u32;
        let counter = self.counter as u16;
        let mut digits = [0; 20];
        let bytes = self
            .instance
            .to_be_bytes()
            .into_iter()
            .chain(elapsed.to_be_bytes())
            .chain(counter.to_be_bytes());
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&HEX[usize::from(byte)]);
        }
        digits
    }
}

/// Upper-case hexadecimal digits of each byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789ABCDEF";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests;
