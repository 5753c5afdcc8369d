//! A soak of transactions: random local outcomes, processes that are killed at any moment, and an oracle that reads
//! everything back with Apache's own client.
//!
//! What became of a transaction's local step is a function of seed and number, as a database would tell it, so any process
//! can check any transaction. Processes note what they see in a journal each, which survives their end.

mod journal;
mod judge;
mod sender;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rocketmq_producer::LocalTransactionState;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use xtask::apache::{Cluster, ClusterSpec, Permission, ReadMessage, ReadOptions, Reader, Version};

pub use self::journal::{Evidence, Journals};
pub use self::judge::{Cause, Judgement, judge};
pub use self::sender::send;
use crate::fuzz::random::Random;

/// The word by which a program lets itself be one of the processes: the first of [`Task`]'s arguments.
pub const CHILD: &str = "transactions-child";

const TOPIC: &str = "transactions";
const GROUP: &str = "transactions_soak";
const QUEUES: u32 = 8;
/// Whatever is not settled by then never will be.
const NEVER: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(100);

/// How to soak.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by the command line and tests"
)]
pub struct Plan {
    /// What outcomes and kills are drawn from.
    pub seed: u64,
    /// How many transactions.
    pub transactions: u64,
    /// With the broker's own check interval, no kills and no second attempts of half messages: exactly once is expected.
    pub is_calm: bool,
    /// A program that calls [`send`] if its first argument is [`CHILD`].
    pub program: PathBuf,
    /// Told what happens as it happens.
    pub tell: fn(&str),
}

/// What one process is to do.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "made of a command line")]
pub struct Task {
    /// Addresses of the name servers.
    pub name_servers: String,
    /// What outcomes are drawn from.
    pub seed: u64,
    /// The first number.
    pub from: u64,
    /// The number after the last.
    pub to: u64,
    /// Whether half messages are tried again.
    pub retries: bool,
    /// Where it notes what it sees.
    pub journal: PathBuf,
}

impl Task {
    fn arguments(&self) -> [String; 7] {
        [
            CHILD.to_owned(),
            self.name_servers.clone(),
            self.seed.to_string(),
            self.from.to_string(),
            self.to.to_string(),
            self.retries.to_string(),
            self.journal.display().to_string(),
        ]
    }

    /// Reads its arguments, the first of which is [`CHILD`].
    ///
    /// # Errors
    /// When they are others.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let [_, name_servers, seed, from, to, retries, journal] = arguments else {
            anyhow::bail!("{CHILD} wants six arguments more, not {arguments:?}");
        };
        Ok(Self {
            name_servers: name_servers.clone(),
            seed: seed.parse()?,
            from: from.parse()?,
            to: to.parse()?,
            retries: retries.parse()?,
            journal: journal.into(),
        })
    }
}

/// What became of the local step of a transaction: six in ten were done.
#[must_use]
pub fn truth(seed: u64, number: u64) -> LocalTransactionState {
    if Random::of_input("transaction truth", seed, number).below(10) < 6 {
        LocalTransactionState::Commit
    } else {
        LocalTransactionState::Rollback
    }
}

/// What the local step says: the truth, or in one of seven cases that it does not know.
#[must_use]
pub fn local(seed: u64, number: u64) -> LocalTransactionState {
    if Random::of_input("transaction local", seed, number).one_in(7) {
        LocalTransactionState::Unknown
    } else {
        truth(seed, number)
    }
}

/// How a soak went.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Processes that were killed.
    pub kills: usize,
    /// What the oracle found.
    pub judgement: Judgement,
    /// Until every process had sent.
    pub sending: Duration,
    /// Until nothing was asked for any more.
    pub settling: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} kills, sent in {:.0?}, settled in {:.0?} more",
            self.seed, self.kills, self.sending, self.settling
        )?;
        self.judgement.fmt(f)
    }
}

/// Boots a broker and soaks it.
///
/// # Errors
/// When the cluster or a process does not do what it is told. Broken promises are in the report.
///
/// # Cancel safety
/// Dropped midway, cluster and processes end.
pub async fn soak(plan: &Plan) -> Result<Report> {
    let mut spec = ClusterSpec::new(Version::V5_5_0)
        .broker_conf("waitTimeMillsInSendQueue=15000")
        .broker_conf("waitTimeMillsInTransactionQueue=15000")
        .broker_conf("osPageCacheBusyTimeOutMills=15000");
    if !plan.is_calm {
        spec = spec
            .broker_conf("transactionCheckInterval=3000")
            .broker_conf("transactionTimeOut=3000");
    }
    let boot = move || anyhow::Ok((Reader::new(spec.version)?, Cluster::start(&spec)?));
    let (reader, cluster) = tokio::task::spawn_blocking(boot).await??;
    cluster.create_topic(TOPIC, QUEUES, Permission::READ_WRITE)?;
    let folder = std::env::temp_dir().join(format!("rocketmq-transactions-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let report = run(plan, &cluster, &reader, &folder).await;
    if report
        .as_ref()
        .is_ok_and(|report| report.judgement.complaints.is_empty())
    {
        std::fs::remove_dir_all(&folder)?;
    } else {
        (plan.tell)(&format!("the journals are in {}", folder.display()));
    }
    report
}

async fn run(plan: &Plan, cluster: &Cluster, reader: &Reader, folder: &Path) -> Result<Report> {
    let name_servers = cluster.name_server_addr();
    let began = Instant::now();
    let mut random = Random::of_input("transaction kills", plan.seed, 0);
    let (mut kills, mut journals) = (0, Journals::default());
    let mut settler = loop {
        let from = journals.begun();
        let task = Task {
            name_servers: name_servers.clone(),
            seed: plan.seed,
            from,
            to: plan.transactions,
            retries: !plan.is_calm,
            journal: folder.join(format!("journal-{kills}")),
        };
        journals.add(&task.journal);
        let mut child = start(&plan.program, &task)?;
        let lives = Duration::from_millis(1500 + random.below(3000) as u64);
        let until = (!plan.is_calm).then(|| Instant::now() + lives);
        if sent_all(&mut child, &mut journals, until).await? {
            break child;
        }
        // As `kill -9` does.
        child.kill().await?;
        kills += 1;
        journals.read()?;
        (plan.tell)(&format!(
            "process {kills} killed, {} of {} begun",
            journals.begun(),
            plan.transactions
        ));
    };
    let sending = began.elapsed();
    (plan.tell)("all begun; waiting until brokers ask no more");
    let quiet = Duration::from_secs(if plan.is_calm { 100 } else { 20 });
    settle(&mut journals, quiet).await?;
    // It ends in order when nobody talks to it any more.
    drop(settler.stdin.take());
    let ended = tokio::time::timeout(Duration::from_secs(60), settler.wait()).await??;
    ensure!(ended.success(), "the last process ended with {ended}");
    journals.read()?;
    let settling = began.elapsed().saturating_sub(sending);
    let messages = read(reader, &name_servers)?;
    Ok(Report {
        seed: plan.seed,
        kills,
        judgement: judge(plan, &journals, &messages),
        sending,
        settling,
    })
}

fn read(reader: &Reader, name_servers: &str) -> Result<Vec<ReadMessage>> {
    let options = ReadOptions::new().wait(Duration::from_secs(60));
    reader.read_topic_with(name_servers, TOPIC, &options)
}

fn start(program: &Path, task: &Task) -> Result<Child> {
    let mut command = Command::new(program);
    command
        .args(task.arguments())
        .stdin(Stdio::piped())
        .kill_on_drop(true);
    command.spawn().context("the process does not start")
}

/// Waits until a process has sent all; `false` if the time was over before.
async fn sent_all(
    child: &mut Child,
    journals: &mut Journals,
    until: Option<Instant>,
) -> Result<bool> {
    loop {
        journals.read()?;
        if journals.is_done() {
            return Ok(true);
        }
        if let Some(status) = child.try_wait()? {
            anyhow::bail!("a process ended by itself: {status}");
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until nothing was asked for `quiet`.
async fn settle(journals: &mut Journals, quiet: Duration) -> Result<()> {
    let began = Instant::now();
    let (mut checks, mut last) = (journals.checks(), Instant::now());
    while last.elapsed() < quiet {
        ensure!(began.elapsed() < NEVER, "brokers ask without end");
        tokio::time::sleep(LOOK * 5).await;
        journals.read()?;
        if journals.checks() != checks {
            (checks, last) = (journals.checks(), Instant::now());
        }
    }
    Ok(())
}
