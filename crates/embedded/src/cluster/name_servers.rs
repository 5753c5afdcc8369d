//! The name servers of a cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::broker::{Registrar, TopicConfig};
use crate::builder::ClusterBuilder;
use crate::error::EmbeddedError;
use crate::name_server::{NameServer, RouteTable, TopicEntry};
use crate::server::{Desk, Server};

/// When brokers register with a name server that has just started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Registration {
    /// Before the start returns.
    AtOnce,
    /// Not before [`register_brokers`](crate::EmbeddedCluster::register_brokers): until then it
    /// knows no topic, as a real one for up to 30 seconds.
    Withheld,
}

pub(super) struct NameServers {
    servers: Vec<Server<Desk<NameServer>>>,
}

impl NameServers {
    pub(super) fn bind(
        builder: &ClusterBuilder,
        changed: &Arc<Notify>,
    ) -> Result<Self, EmbeddedError> {
        if builder.name_servers == 0 {
            return Err(EmbeddedError::Nothing("name server"));
        }
        let bind = |index| {
            let wanted = builder.name_server_port.filter(|_| index == 0);
            let port = wanted.unwrap_or(0);
            let make = |_| Desk::new(NameServer::default(), builder.encoding, Arc::clone(changed));
            Server::bind(&builder.name_server_site(), port, make)
                .map_err(|source| listen_error(index, port, source))
        };
        let servers = (0..builder.name_servers)
            .map(bind)
            .collect::<Result<_, _>>()?;
        Ok(Self { servers })
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.servers.iter().map(Server::address)
    }

    pub(super) fn start_all(&self) -> Result<(), EmbeddedError> {
        (0..self.servers.len()).try_for_each(|index| self.start(index))
    }

    pub(super) fn start(&self, index: usize) -> Result<(), EmbeddedError> {
        let server = self.server(index)?;
        server
            .start()
            .map_err(|source| listen_error(index, server.address().port(), source))
    }

    pub(super) async fn stop(&self, index: usize) -> Result<(), EmbeddedError> {
        let server = self.server(index)?;
        server.stop().await;
        server.service.handler.table().forget_brokers();
        Ok(())
    }

    pub(super) async fn stop_all(&self) {
        for server in &self.servers {
            server.stop().await;
        }
    }

    pub(super) fn desk(&self, index: usize) -> Result<&Desk<NameServer>, EmbeddedError> {
        Ok(&*self.server(index)?.service)
    }

    pub(super) fn connections(&self, index: usize) -> Result<usize, EmbeddedError> {
        Ok(self.server(index)?.connections())
    }

    /// Changes what every name server knows.
    pub(super) fn each(&self, change: impl Fn(&mut RouteTable)) {
        for server in &self.servers {
            change(&mut server.service.handler.table());
        }
    }

    /// Changes what the running name servers know; the others cannot be told.
    pub(super) fn each_running(&self, change: impl Fn(&mut RouteTable)) {
        for server in self.servers.iter().filter(|server| server.is_running()) {
            change(&mut server.service.handler.table());
        }
    }

    fn server(&self, index: usize) -> Result<&Server<Desk<NameServer>>, EmbeddedError> {
        self.servers
            .get(index)
            .ok_or(EmbeddedError::UnknownNameServer {
                index,
                count: self.servers.len(),
            })
    }
}

impl Registrar for NameServers {
    fn topic_created(&self, broker: &Arc<str>, topic: &Arc<str>, config: TopicConfig) {
        self.each_running(|table| table.register_topic(broker, topic, config.entry()));
    }
}

impl TopicConfig {
    pub(super) const fn entry(&self) -> TopicEntry {
        TopicEntry {
            read_queues: self.read_queues,
            write_queues: self.write_queues,
            perm: self.perm,
        }
    }
}

fn listen_error(index: usize, port: u16, source: std::io::Error) -> EmbeddedError {
    EmbeddedError::Listen {
        server: format!("name server {index}"),
        port,
        source: Arc::new(source),
    }
}
