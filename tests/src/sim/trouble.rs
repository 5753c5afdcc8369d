//! What goes wrong in a simulation, drawn from the seed.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use rocketmq_producer::remoting::{RequestCode, ResponseCode};
use rocketmq_producer_embedded::{
    ArmedFault, Condition, EmbeddedCluster, Fault, FaultPlan, Reaction, Registration,
};

use super::network::{Lost, SimNetwork, Syn};
use super::wire::Latency;
use crate::fuzz::random::Random;

/// The servers and the network between.
#[derive(Debug)]
pub(super) struct World {
    pub(super) cluster: EmbeddedCluster,
    pub(super) network: SimNetwork,
    /// Names and addresses.
    pub(super) brokers: Vec<(String, SocketAddr)>,
    pub(super) name_servers: Vec<SocketAddr>,
}

/// One thing that goes wrong, where, and when.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) begins: Duration,
    /// Nothing: when all sends are over.
    pub(super) ends: Option<Duration>,
    server: Server,
    kind: Kind,
}

/// By number.
#[derive(Clone, Copy, Debug)]
enum Server {
    Broker(usize),
    NameServer(usize),
}

#[derive(Clone, Debug)]
enum Kind {
    /// The port refuses; connections stay.
    Refuse,
    /// SYNs are not answered; connections stay.
    SwallowSyn,
    /// All connections are reset, once.
    Reset,
    /// All connections become half open, for good, while new ones work.
    HalfOpen(Lost),
    /// Both: the machine is cut off.
    CutOff,
    Slow(Latency),
    /// SIGSTOP, then SIGCONT.
    Stop,
    /// Killed and started again.
    Crash {
        /// Answers under way are lost.
        loses_answers: bool,
        /// The name servers do not notice.
        unnoticed: bool,
    },
    /// A name server starts again and knows nothing until the trouble ends.
    Forget,
    /// Some requests meet a fault of the server.
    Fault(Reaction, u64),
}

/// What must be undone.
pub(super) struct Begun {
    fault: Option<ArmedFault>,
}

impl Trouble {
    /// Draws a few for a time of `length`.
    pub(super) fn draw(
        random: &mut Random,
        length: Duration,
        brokers: usize,
        name_servers: usize,
    ) -> Vec<Self> {
        let millis = usize::try_from(length.as_millis()).unwrap_or(usize::MAX);
        let count = 1 + random.below(8);
        (0..count)
            .map(|_| {
                let begins = random.below(millis * 3 / 4);
                let longest = if random.one_in(3) { 12_000 } else { 2_500 };
                let ends = begins + 50 + random.below(longest);
                let lasts = random.one_in(4);
                let server = if random.one_in(4) {
                    Server::NameServer(random.below(name_servers))
                } else {
                    Server::Broker(random.below(brokers))
                };
                let kind = match server {
                    Server::Broker(_) => broker_trouble(random),
                    Server::NameServer(_) => name_server_trouble(random),
                };
                Self {
                    begins: Duration::from_millis(begins as u64),
                    ends: (!lasts).then(|| Duration::from_millis(ends as u64)),
                    server,
                    kind,
                }
            })
            .collect()
    }

    fn address(&self, world: &World) -> Result<SocketAddr> {
        let address = match self.server {
            Server::Broker(index) => world.brokers.get(index).map(|(_, address)| *address),
            Server::NameServer(index) => world.name_servers.get(index).copied(),
        };
        address.context("a server that exists")
    }

    fn broker<'a>(&self, world: &'a World) -> &'a str {
        match self.server {
            Server::Broker(index) => world.brokers.get(index).map_or("", |(name, _)| name),
            Server::NameServer(_) => "",
        }
    }

    fn faults(&self, world: &World) -> Result<FaultPlan> {
        Ok(match self.server {
            Server::Broker(_) => world.cluster.faults(self.broker(world))?,
            Server::NameServer(index) => world.cluster.name_server_faults(index)?,
        })
    }

    pub(super) async fn begin(&self, world: &World) -> Result<Begun> {
        let address = self.address(world)?;
        let World {
            cluster, network, ..
        } = world;
        let mut fault = None;
        match &self.kind {
            Kind::Refuse => network.set_syn(address, Syn::Refused),
            Kind::SwallowSyn => network.set_syn(address, Syn::Swallowed),
            Kind::Reset => network.reset(address),
            Kind::HalfOpen(lost) => network.half_open(address, *lost),
            Kind::CutOff => {
                network.set_syn(address, Syn::Swallowed);
                network.half_open(address, Lost::Both);
            }
            Kind::Slow(latency) => network.set_latency(address, *latency),
            Kind::Stop => network.set_stopped(address, true),
            Kind::Crash {
                loses_answers,
                unnoticed,
            } => {
                if *loses_answers {
                    network.lose_answers(address);
                }
                match self.server {
                    Server::Broker(_) if *unnoticed => {
                        cluster.stop_broker_unnoticed(self.broker(world)).await?;
                    }
                    Server::Broker(_) => cluster.stop_broker(self.broker(world)).await?,
                    Server::NameServer(index) => cluster.stop_name_server(index).await?,
                }
            }
            Kind::Forget => {
                if let Server::NameServer(index) = self.server {
                    cluster.stop_name_server(index).await?;
                    let registration = Registration::Withheld;
                    cluster.start_name_server(index, registration).await?;
                }
            }
            Kind::Fault(reaction, times) => {
                let condition = match self.server {
                    Server::Broker(_) => Condition::sends(),
                    Server::NameServer(_) => Condition::code(RequestCode::GET_ROUTEINFO_BY_TOPIC),
                };
                let armed = Fault::new(condition, reaction.clone()).times(*times);
                fault = Some(self.faults(world)?.arm(armed));
            }
        }
        Ok(Begun { fault })
    }

    pub(super) async fn end(&self, begun: Begun, world: &World) -> Result<()> {
        let address = self.address(world)?;
        let World {
            cluster, network, ..
        } = world;
        match (&self.kind, self.server) {
            (Kind::Refuse | Kind::SwallowSyn | Kind::CutOff, _) => {
                network.set_syn(address, Syn::Delivered);
            }
            (Kind::Reset | Kind::HalfOpen(_), _) => {}
            (Kind::Slow(_), _) => network.set_latency(address, Latency::USUAL),
            (Kind::Stop, _) => network.set_stopped(address, false),
            (Kind::Crash { .. }, Server::Broker(_)) => {
                cluster.start_broker(self.broker(world)).await?;
            }
            (Kind::Crash { .. }, Server::NameServer(index)) => {
                let registration = Registration::AtOnce;
                cluster.start_name_server(index, registration).await?;
            }
            (Kind::Forget, _) => cluster.register_brokers(),
            (Kind::Fault(..), _) => {
                if let Some(fault) = begun.fault {
                    fault.lift();
                }
            }
        }
        Ok(())
    }
}

impl World {
    /// Ends everything that any trouble may have left: troubles overlap.
    pub(super) async fn restore(&self) -> Result<()> {
        for (name, address) in &self.brokers {
            self.cluster.faults(name)?.clear();
            self.heal(*address);
            self.cluster.start_broker(name).await?;
        }
        for (index, address) in self.name_servers.iter().enumerate() {
            self.cluster.name_server_faults(index)?.clear();
            self.heal(*address);
            let registration = Registration::AtOnce;
            self.cluster.start_name_server(index, registration).await?;
        }
        self.cluster.register_brokers();
        Ok(())
    }

    fn heal(&self, address: SocketAddr) {
        self.network.set_syn(address, Syn::Delivered);
        self.network.set_latency(address, Latency::USUAL);
        self.network.set_stopped(address, false);
    }
}

/// What may happen to any server.
fn trouble(random: &mut Random) -> Kind {
    match random.below(8) {
        0 => Kind::Refuse,
        1 => Kind::SwallowSyn,
        2 => Kind::Reset,
        3 => Kind::HalfOpen(lost(random)),
        4 => Kind::CutOff,
        5 => Kind::Slow(slow(random)),
        6 => Kind::Stop,
        _ => Kind::Crash {
            loses_answers: random.one_in(2),
            unnoticed: random.one_in(2),
        },
    }
}

fn broker_trouble(random: &mut Random) -> Kind {
    if random.one_in(2) {
        return trouble(random);
    }
    let reaction = match random.below(16) {
        0 | 1 => Reaction::answer(
            ResponseCode::SYSTEM_BUSY,
            "[REJECTREQUEST]system busy, start flow control for a while",
        ),
        2 => Reaction::answer(
            ResponseCode::SERVICE_NOT_AVAILABLE,
            "service not available now",
        ),
        3 => Reaction::answer(ResponseCode::SYSTEM_ERROR, "java.lang.Exception: something"),
        4 => Reaction::go_away(),
        5 | 6 => Reaction::Swallow,
        7 => Reaction::Discard,
        8 => Reaction::Duplicate,
        9 => Reaction::StrayResponse,
        10 => Reaction::Delay(Duration::from_millis(random.below(4000) as u64)),
        11 => Reaction::Split {
            piece: 1 + random.below(40),
            pause: Duration::from_millis(random.below(4) as u64),
        },
        12 => Reaction::Truncate(random.below(60)),
        13 => Reaction::CloseBefore,
        14 => Reaction::CloseAfter,
        _ => Reaction::Garbage(garbage(random)),
    };
    Kind::Fault(reaction, 1 + random.below(20) as u64)
}

fn name_server_trouble(random: &mut Random) -> Kind {
    match random.below(4) {
        0 => Kind::Forget,
        1 => {
            let reaction = match random.below(6) {
                0 => Reaction::Discard,
                1 => Reaction::CloseBefore,
                2 => Reaction::Garbage(garbage(random)),
                3 => Reaction::Delay(Duration::from_millis(random.below(4000) as u64)),
                4 => Reaction::answer(ResponseCode::SYSTEM_ERROR, "something"),
                _ => Reaction::Truncate(random.below(60)),
            };
            Kind::Fault(reaction, 1 + random.below(10) as u64)
        }
        _ => trouble(random),
    }
}

fn lost(random: &mut Random) -> Lost {
    match random.below(3) {
        0 => Lost::ToServer,
        1 => Lost::ToClient,
        _ => Lost::Both,
    }
}

fn slow(random: &mut Random) -> Latency {
    let millis = |most| Duration::from_millis(random.below(most) as u64);
    let [least, jitter] = [300, 500].map(millis);
    Latency { least, jitter }
}

fn garbage(random: &mut Random) -> Bytes {
    match random.below(3) {
        0 => Bytes::from_static(b"\x00\x00\x00\x08\x00\x00\x00\x04null"),
        1 => Bytes::from_static(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        _ => Bytes::from_static(b"\xff\xff\xff\xff\x00"),
    }
}
