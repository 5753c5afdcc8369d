//! Messages that are delivered later: delay levels and timers, and taking timers back.
//!
//! Nothing runs in the background: what is due is delivered before the broker is asked for anything, so a paused clock
//! decides when that is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rocketmq_producer_remoting::message::property::{
    DELAY, MSG_REGION, TIMER_DELAY_MS, TIMER_DELAY_SEC, TIMER_DELIVER_MS,
};
use rocketmq_producer_remoting::message::{Properties, RecallHandle};
use rocketmq_producer_remoting::protocol::Permission;
use rocketmq_producer_remoting::{RemotingCommand, ResponseCode};
use tokio::time::Instant;

use super::store::{Full, Places, Record, TopicConfig};
use super::stored_properties::REGION;
use super::{Broker, Role};
use crate::server::remark;

/// Where messages with a delay level wait, one queue per level.
const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Where timer messages wait.
const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";
/// Set by the broker: the topic and queue that the message is for, and when the timer fires.
const REAL_TOPIC: &str = "REAL_TOPIC";
const REAL_QUEUE: &str = "REAL_QID";
const TIMER_OUT_MS: &str = "TIMER_OUT_MS";

/// Timers fire at whole seconds. Java: `timerPrecisionMs`.
const PRECISION_MS: i64 = 1000;

/// Seconds of each delay level. Java: `messageDelayLevel`.
const LEVELS: [u64; 18] = [
    1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200,
];

/// A message that waits.
#[derive(Debug)]
struct Waiting {
    topic: Arc<str>,
    queue: usize,
    record: Record,
    /// The client's id of a timer message, by which it may be taken back.
    timer: Option<String>,
}

/// Messages that wait, in the order of their times.
#[derive(Debug, Default)]
pub(super) struct Later {
    waiting: Mutex<BTreeMap<(Instant, u64), Waiting>>,
}

/// When a message is to be delivered.
enum When {
    Level(usize),
    /// In milliseconds since 1970, as the broker rounds it.
    At(i64),
}

/// Why a time is refused.
#[derive(Debug)]
pub(super) struct BadTime;

/// What became of a message that may be one to deliver later.
pub(super) enum Aside {
    /// There is no room for it.
    Full,
    /// It is to be delivered now.
    Now(Record),
    Put(Put),
}

/// A message that was put where it waits.
pub(super) struct Put {
    pub(super) places: Places,
    pub(super) recall_handle: Option<String>,
}

impl Later {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Instant, u64), Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, due: Instant, waiting: Waiting) {
        let mut all = self.lock();
        // Of two at the same time the earlier one first.
        let number = all
            .range((due, 0)..=(due, u64::MAX))
            .next_back()
            .map_or(0, |((_, number), _)| number.saturating_add(1));
        all.insert((due, number), waiting);
    }

    /// The next that is due by now.
    fn pop_due(&self, now: Instant) -> Option<Waiting> {
        let mut all = self.lock();
        let first = all.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.lock().keys().next().map(|(due, _)| *due)
    }

    /// Takes timer messages with that id out.
    fn remove(&self, topic: &str, id: &str) {
        self.lock()
            .retain(|_, it| *it.topic != *topic || it.timer.as_deref() != Some(id));
    }
}

impl Broker {
    /// Puts a message aside if it is to be delivered later; gives it back if not.
    pub(super) fn put_aside(
        &self,
        topic: &str,
        queue: usize,
        id: &str,
        record: Record,
    ) -> Result<Aside, BadTime> {
        let properties = Properties::parse(&record.properties);
        let now = record.store_timestamp;
        let Some(when) = self.when(&properties, now)? else {
            return Ok(Aside::Now(record));
        };
        let put = self.put(topic, queue, id, &record, properties, &when);
        Ok(put.map_or(Aside::Full, Aside::Put))
    }

    fn put(
        &self,
        topic: &str,
        queue: usize,
        id: &str,
        record: &Record,
        mut properties: Properties,
        when: &When,
    ) -> Result<Put, Full> {
        let mut add = |name: &str, value: &str| {
            // A property that finds no room would only be missing in what a test sees.
            let _ = properties.set(name, value);
        };
        add(REAL_TOPIC, topic);
        add(REAL_QUEUE, &queue.to_string());
        let now = record.store_timestamp;
        let (system_topic, system_queue, delay, handle) = match when {
            When::Level(level) => {
                let seconds = LEVELS.get(*level).copied().unwrap_or_default();
                (SCHEDULE_TOPIC, *level, Duration::from_secs(seconds), None)
            }
            When::At(at) => {
                add(TIMER_OUT_MS, &at.to_string());
                let delay = u64::try_from(at.saturating_sub(now)).unwrap_or_default();
                let at = u64::try_from(at.saturating_add(1)).unwrap_or_default();
                let handle = RecallHandle::new(topic, &self.name, at, id);
                let handle = handle.ok().map(|handle| handle.to_string());
                (TIMER_TOPIC, 0, Duration::from_millis(delay), handle)
            }
        };
        let name: Arc<str> = Arc::from(system_topic);
        let perm = Permission(Permission::READ.0 | Permission::WRITE.0);
        let queues = i32::try_from(LEVELS.len()).unwrap_or(1);
        self.store
            .topic_or_put(&name, TopicConfig::new(queues, perm));
        let stored = record.with_properties(properties.as_wire());
        let places = self.store.append(&name, system_queue, vec![stored])?;
        for name in [DELAY, TIMER_DELAY_SEC, TIMER_DELIVER_MS] {
            properties.remove(name);
        }
        let waiting = Waiting {
            topic: Arc::from(topic),
            queue,
            record: record.with_properties(properties.as_wire()),
            timer: handle.is_some().then(|| id.to_owned()),
        };
        self.later.put(Instant::now() + delay, waiting);
        Ok(Put {
            places,
            recall_handle: handle,
        })
    }

    /// Java: `HookUtils.handleScheduleMessage`.
    fn when(&self, properties: &Properties, now: i64) -> Result<Option<When>, BadTime> {
        let level = properties.get(DELAY).and_then(|it| it.parse::<i64>().ok());
        if let Some(level) = level.filter(|level| *level > 0) {
            // A level that is too high is lowered without a word.
            let level = usize::try_from(level).unwrap_or(usize::MAX);
            return Ok(Some(When::Level(level.min(LEVELS.len()) - 1)));
        }
        let number = |name| {
            let text: Option<&str> = properties.get(name);
            text.map(|text| text.parse::<i64>().map_err(|_| BadTime))
                .transpose()
        };
        let at = if let Some(seconds) = number(TIMER_DELAY_SEC)? {
            now.saturating_add(seconds.saturating_mul(1000))
        } else if let Some(millis) = number(TIMER_DELAY_MS)? {
            now.saturating_add(millis)
        } else if let Some(at) = number(TIMER_DELIVER_MS)? {
            at
        } else {
            return Ok(None);
        };
        if at <= now {
            return Ok(None);
        }
        let longest = self.settings.timer_max_delay.as_millis();
        if u128::try_from(at.saturating_sub(now)).is_ok_and(|delay| delay > longest) {
            return Err(BadTime);
        }
        let rounded = match at % PRECISION_MS {
            0 => at - PRECISION_MS,
            rest => at - rest,
        };
        Ok(Some(When::At(rounded)))
    }

    /// Delivers what is due.
    pub(crate) fn deliver_due(&self) {
        let now = Instant::now();
        while let Some(waiting) = self.later.pop_due(now) {
            let Waiting {
                topic,
                queue,
                mut record,
                timer: _,
            } = waiting;
            record.store_timestamp = self.now();
            // A full store loses it, where a real broker would try again once there is room.
            let _ = self.store.append(&topic, queue, vec![record]);
        }
    }

    /// When the next message is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.later.next()
    }

    /// Java: `RecallMessageProcessor`, which names the region in every answer.
    pub(super) fn recall(&self, request: &RemotingCommand) -> RemotingCommand {
        self.take_back(request).with_field(MSG_REGION, REGION)
    }

    fn take_back(&self, request: &RemotingCommand) -> RemotingCommand {
        if !self.settings.recall_enabled {
            return remark(
                ResponseCode::NO_PERMISSION,
                "recall failed, operation is forbidden",
            );
        }
        if self.role == Role::Slave {
            return remark(
                ResponseCode::SLAVE_NOT_AVAILABLE,
                "recall failed, broker service not available",
            );
        }
        let topic = request.field("topic").unwrap_or_default();
        if self.store.topic(topic).is_none() {
            return remark(
                ResponseCode::TOPIC_NOT_EXIST,
                format!("recall failed, the topic[{topic}] not exist"),
            );
        }
        let illegal = |text: &str| remark(ResponseCode::ILLEGAL_OPERATION, text);
        let handle = request.field("recallHandle").unwrap_or_default();
        let Ok(handle) = handle.parse::<RecallHandle>() else {
            return illegal("recall handle is invalid");
        };
        if handle.topic() != topic {
            return illegal("recall failed, topic not match");
        }
        if *handle.broker_name() != *self.name {
            return illegal("recall failed, broker service not available");
        }
        let now = u64::try_from(self.now()).unwrap_or_default();
        let left = u128::from(handle.deliver_at().saturating_sub(now));
        if left == 0 || left >= self.settings.timer_max_delay.as_millis() {
            return illegal("recall failed, timestamp invalid");
        }
        self.later.remove(topic, handle.message_id());
        RemotingCommand::response(ResponseCode::SUCCESS, 0, None)
            .with_field("msgId", handle.message_id())
    }
}
