//! Answering brokers that ask for the state of a transaction.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::book::{Book, Verdict};
use super::checker::{CheckedMessage, TransactionChecker};
use super::end::tell;
use super::stats::{Counts, TransactionStats, count};
use crate::config::ProducerConfig;
use crate::config::routing::remoting::message::MessageExt;
use crate::config::routing::remoting::message::half::{PRODUCER_GROUP_PROPERTY, check_times};
use crate::config::routing::remoting::protocol::{
    CheckTransactionStateRequestHeader, TransactionEnd,
};
use crate::config::routing::remoting::{ByteSize, Connection, RemotingCommand};
use crate::hooks::{EndTransactionContext, Hooks};
use crate::server_requests::TransactionDesk;
use crate::transaction_state::LocalTransactionState;

/// The largest body that is unpacked for a checker: no frame holds more, so none was sent with more.
const BODY_LIMIT: ByteSize = ByteSize::mib(16);

/// The bounds of what is done for transactions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Checks at the same time.
    concurrency: usize,
    /// Questions that wait or are being answered.
    queue: usize,
    check_timeout: Duration,
    /// For telling a broker the answer.
    answer_timeout: Duration,
    pub(super) max_open: usize,
}

impl Limits {
    pub(crate) fn of(config: &ProducerConfig) -> Self {
        let number = |setting| usize::try_from(setting).unwrap_or(usize::MAX);
        let concurrency = number(config.transaction_check_concurrency);
        Self {
            concurrency,
            queue: number(config.transaction_check_queue).saturating_add(concurrency),
            check_timeout: config.transaction_check_timeout,
            answer_timeout: config.request_timeout,
            max_open: number(config.transaction_max_open),
        }
    }
}

/// The transactions of a producer: what is open, what is known, and who answers for the rest.
///
/// The pool keeps it alive, so it holds neither pool nor producer.
pub(crate) struct Transactions {
    group: Arc<str>,
    checker: Arc<dyn TransactionChecker>,
    limits: Limits,
    hooks: Hooks,
    book: Mutex<Book>,
    open: AtomicUsize,
    none_open: Notify,
    permits: Arc<Semaphore>,
    questions: AtomicUsize,
    pub(super) counts: Counts,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl fmt::Debug for Transactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transactions")
            .field("group", &self.group)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Transactions {
    pub(crate) fn new(
        group: Arc<str>,
        checker: Arc<dyn TransactionChecker>,
        limits: Limits,
        hooks: Hooks,
        tasks: TaskTracker,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            group,
            checker,
            limits,
            hooks,
            book: Mutex::default(),
            open: AtomicUsize::new(0),
            none_open: Notify::new(),
            permits: Arc::new(Semaphore::new(limits.concurrency)),
            questions: AtomicUsize::new(0),
            counts: Counts::default(),
            tasks,
            cancel,
        }
    }

    /// Where brokers' questions are handed in.
    pub(crate) fn desk(self: &Arc<Self>) -> Arc<dyn TransactionDesk> {
        Arc::new(Desk(Arc::clone(self)))
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stats(&self) -> TransactionStats {
        self.counts.stats(self.open.load(Ordering::SeqCst))
    }

    /// A place for one more open transaction, if there is one.
    pub(super) fn try_open(self: &Arc<Self>) -> Result<OpenPlace, usize> {
        let limit = self.limits.max_open;
        let more = |open: usize| (open < limit).then_some(open + 1);
        let taken = self
            .open
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        taken.map_err(|_| limit)?;
        Ok(OpenPlace(Arc::clone(self)))
    }

    /// Waits until no transaction is open.
    pub(crate) async fn wait_until_none_open(&self) {
        loop {
            let ended = self.none_open.notified();
            if self.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Transactions that are open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Answers a question on the connection that it came on.
    async fn answer(&self, connection: &Connection, request: &RemotingCommand) {
        let Some((header, checked)) = self.read(connection, request) else {
            count(&self.counts.checks_dropped);
            return;
        };
        let checked = Arc::new(checked);
        let (id, half) = (checked.message_id.clone(), &checked.message);
        if checked.checks <= 1 {
            count(&self.counts.first_checks);
        }
        let verdict = self.book().question(&id);
        let context = |end| EndTransactionContext {
            group: &self.group,
            topic: &half.topic,
            properties: &half.properties,
            message_id: &id,
            transaction_id: header.transaction_id,
            address: connection.peer(),
            state: LocalTransactionState::of(end),
            is_from_check: true,
        };
        let (end, _asked) = match verdict {
            Verdict::Answer(end) => {
                count(&self.counts.checks_known);
                (end, None)
            }
            Verdict::Asked => {
                count(&self.counts.checks_unknown);
                return;
            }
            Verdict::Ask => {
                let asked = Asked {
                    desk: self,
                    id: &id,
                };
                (self.ask(Arc::clone(&checked)).await.end(), Some(asked))
            }
        };
        count(match end {
            TransactionEnd::Commit => &self.counts.checks_committed,
            TransactionEnd::Rollback => &self.counts.checks_rolled_back,
            _ => &self.counts.checks_unknown,
        });
        let until = Instant::now() + self.limits.answer_timeout;
        if self.hooks.hears_of_ends() {
            self.hooks.end_transaction(&context(end), until).await;
        }
        let answer = header.answer(&self.group, &id, end);
        match tell(connection, &answer, until).await {
            Ok(()) if end != TransactionEnd::Unknown => self.book().end(&id, end, true),
            Ok(()) => {}
            Err(failure) => {
                let failure = failure.with_causes();
                warn!(broker = connection.peer(), message_id = %id, failure, "answer for a transaction not confirmed; the broker will ask again if it does not know");
            }
        }
    }

    /// The question, if it can be read and is for this group.
    fn read<'a>(
        &self,
        connection: &Connection,
        request: &'a RemotingCommand,
    ) -> Option<(CheckTransactionStateRequestHeader<'a>, CheckedMessage)> {
        let broker = connection.peer();
        let header = CheckTransactionStateRequestHeader::decode(request)
            .map_err(|error| warn!(broker, %error, "question for a transaction cannot be read"))
            .ok()?;
        let message = MessageExt::decode(&request.body, BODY_LIMIT)
            .map_err(|error| warn!(broker, %error, "half message of a question cannot be read"))
            .ok()?;
        let group = message.property(PRODUCER_GROUP_PROPERTY);
        if group != Some(&self.group) {
            warn!(broker, group, "question for a transaction of another group");
            return None;
        }
        let checked = CheckedMessage {
            message_id: message.message_id(),
            transaction_id: header.transaction_id.map(str::to_owned),
            broker_name: header.broker_name.map(str::to_owned),
            checks: check_times(&message.properties),
            message,
        };
        Some((header, checked))
    }

    /// What the checker says. It runs on a thread of its own, so that one that blocks holds up no connection; the thread
    /// keeps its permit until the checker is done, so there are never more of them.
    async fn ask(&self, checked: Arc<CheckedMessage>) -> LocalTransactionState {
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
            return LocalTransactionState::Unknown;
        };
        let id = checked.message_id.clone();
        let (done, answer) = oneshot::channel();
        let (checker, runtime) = (Arc::clone(&self.checker), Handle::current());
        let limit = self.limits.check_timeout;
        let work = move || {
            let _permit = permit;
            let check = async { timeout(limit, checker.check(&checked)).await };
            let said = catch_unwind(AssertUnwindSafe(|| runtime.block_on(check)));
            // Nobody waits any more if it was late.
            let _ = done.send(said);
        };
        let thread = thread::Builder::new().name("rocketmq-check".to_owned());
        if let Err(error) = thread.spawn(work) {
            warn!(%error, "no thread for checking a transaction");
            return LocalTransactionState::Unknown;
        }
        match timeout(limit, answer).await {
            Ok(Ok(Ok(Ok(state)))) => {
                debug!(message_id = %id, ?state, "transaction checked");
                state
            }
            Ok(Ok(Ok(Err(_))) | Err(_)) | Err(_) => {
                count(&self.counts.checks_late);
                warn!(message_id = %id, ?limit, "checker of transactions is late; the answer is unknown");
                LocalTransactionState::Unknown
            }
            Ok(Ok(Err(_))) => {
                count(&self.counts.checks_panicked);
                warn!(message_id = %id, "checker of transactions panicked; the answer is unknown");
                LocalTransactionState::Unknown
            }
        }
    }
}

/// While the checker is asked, the same is not asked again.
struct Asked<'a> {
    desk: &'a Transactions,
    id: &'a str,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.desk.book().answered(self.id);
    }
}

/// The place of an open transaction.
#[derive(Debug)]
pub(super) struct OpenPlace(Arc<Transactions>);

impl Drop for OpenPlace {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none_open.notify_waiters();
        }
    }
}

/// The place of a question.
struct QuestionPlace(Arc<Transactions>);

impl Drop for QuestionPlace {
    fn drop(&mut self) {
        self.0.questions.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Desk(Arc<Transactions>);

impl TransactionDesk for Desk {
    fn check(&self, connection: &Connection, request: &RemotingCommand) {
        let transactions = &self.0;
        count(&transactions.counts.checked_back);
        let place = QuestionPlace(Arc::clone(transactions));
        if transactions.questions.fetch_add(1, Ordering::Relaxed) >= transactions.limits.queue {
            count(&transactions.counts.checks_dropped);
            debug!(
                broker = connection.peer(),
                "too many questions for transactions"
            );
            return;
        }
        let (connection, request) = (connection.clone(), request.clone());
        let cancel = transactions.cancel.clone();
        transactions.tasks.spawn(async move {
            let answer = place.0.answer(&connection, &request);
            cancel.run_until_cancelled(answer).await;
        });
    }
}
