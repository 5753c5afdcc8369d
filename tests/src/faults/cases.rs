//! The faults of the table.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep_until};
use xtask::apache::{Cluster, Node};

use super::{Stage, Window};
use crate::proxy::{Fault, Mischief, Which};

/// How long a broker is gone, stopped or busy.
const OUTAGE: Duration = Duration::from_secs(10);
const NAME_SERVER_OUTAGE: Duration = Duration::from_secs(30);
const AFTER_NAME_SERVERS: Duration = Duration::from_secs(60);
/// How long the load goes on after a broker's return at least.
const AFTER: Duration = Duration::from_secs(10);
/// A broker that left in good order is gone from the route until that is asked for again.
const AFTER_SHUTDOWN: Duration = Duration::from_secs(40);
const FRAMES: u64 = 500;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Case {
    /// a: `kill -9` of one broker, restarted 10 s later.
    Kill,
    /// b: `SIGSTOP` of one broker for 10 s.
    Stop,
    /// c: orderly end (`SIGTERM`) of one broker, then restart.
    Shutdown,
    /// d: every name server killed, restarted 30 s later.
    NameServers,
    /// e: each 500th frame at every broker is lost and its connection reset.
    Resets,
    /// e1: the same at one broker only.
    ResetsAtOne,
    /// f: one broker answers every send with `SYSTEM_BUSY` for 10 s.
    Busy,
    /// g: answers of one broker come 100 ms late for 10 s.
    Slow,
    /// h: the path to one broker is cut without a word for 10 s.
    HalfOpen,
    /// n: nothing happens.
    Nothing,
}

impl Case {
    /// Every case.
    pub const ALL: [Self; 10] = [
        Self::Kill,
        Self::Stop,
        Self::Shutdown,
        Self::NameServers,
        Self::Resets,
        Self::ResetsAtOne,
        Self::Busy,
        Self::Slow,
        Self::HalfOpen,
        Self::Nothing,
    ];
    /// Those of the table.
    pub const TABLE: [Self; 6] = [
        Self::Kill,
        Self::Stop,
        Self::Shutdown,
        Self::NameServers,
        Self::Resets,
        Self::Busy,
    ];

    /// Its letter on the command line.
    #[must_use]
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Kill => "a",
            Self::Stop => "b",
            Self::Shutdown => "c",
            Self::NameServers => "d",
            Self::Resets => "e",
            Self::ResetsAtOne => "e1",
            Self::Busy => "f",
            Self::Slow => "g",
            Self::HalfOpen => "h",
            Self::Nothing => "n",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Kill => "kill -9, restart",
            Self::Stop => "SIGSTOP 10 s",
            Self::Shutdown => "orderly end, restart",
            Self::NameServers => "name servers gone 30 s",
            Self::Resets => "reset each 500th frame",
            Self::ResetsAtOne => "the same at one broker",
            Self::Busy => "SYSTEM_BUSY 10 s",
            Self::Slow => "answers 100 ms late, 10 s",
            Self::HalfOpen => "path cut 10 s",
            Self::Nothing => "no fault",
        }
    }

    /// Whether the load goes through the proxies. They stay out of the way where they are not needed.
    #[must_use]
    pub const fn is_proxied(self) -> bool {
        matches!(
            self,
            Self::Resets | Self::ResetsAtOne | Self::Busy | Self::Slow | Self::HalfOpen
        )
    }

    /// Whether one broker is bad for some time.
    pub(super) const fn is_of_one_broker(self) -> bool {
        !matches!(
            self,
            Self::NameServers | Self::Resets | Self::ResetsAtOne | Self::Nothing
        )
    }

    /// Brings the fault about under loads that began at `began`, and returns when they may end.
    pub(super) async fn happen(
        self,
        stage: &Stage,
        began: Instant,
        seconds: u64,
    ) -> Result<Window> {
        let whole = Duration::from_secs(seconds);
        let sleep = |until: Duration| sleep_until(began + until);
        let begun = whole / 4;
        sleep(begun).await;
        let broker = stage.broker()?.to_owned();
        let proxy = stage.proxy()?;
        let over = |time: Duration| sleep(begun + time);
        let mut lifted = None;
        match self {
            Self::Kill => {
                stage.on_broker(Node::kill).await?;
                over(OUTAGE).await;
                lifted = Some(began.elapsed());
                stage.on_broker(Node::start).await?;
            }
            Self::Stop => {
                stage.on_broker(Node::pause).await?;
                over(OUTAGE).await;
                lifted = Some(began.elapsed());
                stage.on_broker(Node::resume).await?;
                stage.on_broker(Node::wait_ready).await?;
            }
            Self::Shutdown => {
                stage.on_broker(Node::stop).await?;
                lifted = Some(began.elapsed());
                stage.on_broker(Node::start).await?;
            }
            Self::NameServers => {
                stage.on_name_servers(Node::kill).await?;
                over(NAME_SERVER_OUTAGE).await;
                lifted = Some(began.elapsed());
                stage.on_name_servers(Node::start).await?;
            }
            Self::Resets | Self::ResetsAtOne => {
                for proxy in stage.proxies.brokers() {
                    if self == Self::Resets || proxy.name() == broker {
                        proxy.set(Fault::ResetEvery(FRAMES));
                    }
                }
                sleep(whole.saturating_sub(AFTER)).await;
                stage.proxies.heal();
            }
            Self::Busy => {
                proxy.set(Fault::Sends(Which::All, Mischief::busy()));
                over(OUTAGE).await;
                lifted = Some(began.elapsed());
                proxy.set(Fault::Pass);
            }
            Self::Slow => {
                proxy.set(Fault::Delay(Duration::from_millis(100)));
                over(OUTAGE).await;
                lifted = Some(began.elapsed());
                proxy.set(Fault::Pass);
            }
            Self::HalfOpen => {
                proxy.set(Fault::HalfOpen);
                over(OUTAGE).await;
                lifted = Some(began.elapsed());
                proxy.set(Fault::Pass);
            }
            Self::Nothing => {}
        }
        let back = began.elapsed();
        let after = match self {
            Self::NameServers => AFTER_NAME_SERVERS,
            Self::Shutdown => AFTER_SHUTDOWN,
            _ => AFTER,
        };
        sleep(whole.max(back + after)).await;
        Ok(Window {
            broker: self.is_of_one_broker().then_some(broker),
            begun,
            lifted: lifted.unwrap_or(back),
            back,
            suspected: None,
            end: began.elapsed(),
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.letter(), self.title())
    }
}

impl FromStr for Case {
    type Err = anyhow::Error;

    fn from_str(letter: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|case| case.letter() == letter);
        let known = Self::ALL.map(Self::letter).join(", ");
        found.with_context(|| format!("no case {letter:?}: one of {known}"))
    }
}

/// Calls of a node block until their effect is there.
pub(super) async fn on_nodes(
    cluster: &Arc<Cluster>,
    nodes: impl Fn(&Cluster) -> &[Node] + Send + 'static,
    what: impl Fn(&Node) -> Result<()> + Send + 'static,
) -> Result<()> {
    let cluster = Arc::clone(cluster);
    let work = move || {
        if nodes(&cluster).is_empty() {
            bail!("no such server");
        }
        nodes(&cluster).iter().try_for_each(what)
    };
    tokio::task::spawn_blocking(work).await?
}
