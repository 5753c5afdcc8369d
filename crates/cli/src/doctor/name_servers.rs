//! The way to the name servers: name, TCP, TLS, protocol.

use std::net::SocketAddr;
use std::time::Duration;

use rocketmq_producer::Producer;
use rocketmq_producer::config::ProducerConfig;
use rocketmq_producer::remoting::protocol::{ClusterInfo, GetRouteInfoRequestHeader};
use rocketmq_producer::remoting::with_causes;
use rocketmq_producer::remoting::{CloseReason, NoFields, RequestCode, TlsFailure};
use rocketmq_producer::routing::AttemptCause;
use rocketmq_producer::{AdminError, SendFailure};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use super::Patient;
use super::report::{Fault, Report, Step, root};

/// A name server that answers.
pub(super) struct NameServer {
    pub(super) address: String,
    /// An ordinal of Java's `MQVersion`, if it is told.
    pub(super) version: Option<i32>,
    /// The brokers that are registered; a proxy tells routes, but not this.
    pub(super) cluster: Option<ClusterInfo>,
}

const CLUSTER: NoFields = NoFields(RequestCode::GET_BROKER_CLUSTER_INFO);

/// Examines every name server; returns those that answer.
pub(super) async fn examine(patient: &Patient, report: &mut Report) -> Vec<NameServer> {
    let mut addresses = patient.admin.name_servers().addresses();
    if addresses.is_empty() {
        let discovered = patient.admin.name_servers().discover().await;
        addresses = patient.admin.name_servers().addresses();
        if let Err(error) = discovered {
            let text = format!("no name server address: {}", with_causes(&error));
            let advice = "check namesrv_addr, and that its discovery answers";
            let fault = Fault::new("name_unresolved", text, advice);
            report.wrong(Step::Resolution, fault);
        }
    }
    addresses.sort();
    let mut answering = Vec::new();
    for address in addresses {
        if !resolve_and_connect(patient, &address, report).await {
            report.skipped(Step::Tls, format!("{address}: not connected"));
            report.skipped(Step::Protocol, format!("{address}: not connected"));
            continue;
        }
        if let Some(server) = talk(patient, &address, report).await {
            answering.push(server);
        }
    }
    answering
}

/// Whether the address can be connected to, as far as that can be tried without the means of the producer.
async fn resolve_and_connect(patient: &Patient, address: &str, report: &mut Report) -> bool {
    let config = patient.config();
    if let Some(proxy) = &config.socks_proxy {
        let text = format!("{address}: left to proxy {proxy}");
        report.skipped(Step::Resolution, text.as_str());
        report.skipped(Step::Tcp, text);
        return true;
    }
    let mapped = config.address_map.reachable(address);
    let address = mapped.as_deref().unwrap_or(address);
    let Some(resolved) = resolve(address, config.connect_timeout, report).await else {
        report.skipped(Step::Tcp, format!("{address}: not resolved"));
        return false;
    };
    let began = Instant::now();
    let mut failures = Vec::new();
    for target in resolved {
        match timeout(config.connect_timeout, TcpStream::connect(target)).await {
            Ok(Ok(_)) => {
                let elapsed = began.elapsed();
                report.right(Step::Tcp, format!("{address}: connected in {elapsed:.1?}"));
                return true;
            }
            Ok(Err(error)) => failures.push(format!("{target}: {error}")),
            Err(_) => failures.push(format!(
                "{target}: no answer for {:?}",
                config.connect_timeout
            )),
        }
    }
    let text = format!("{address} cannot be connected to: {}", failures.join(", "));
    let advice = "check namesrv_addr, that a name server runs there, and firewalls between";
    let fault = Fault::new("name_server_unreachable", text, advice);
    report.wrong(Step::Tcp, fault);
    false
}

async fn resolve(
    address: &str,
    patience: Duration,
    report: &mut Report,
) -> Option<Vec<SocketAddr>> {
    if let Ok(literal) = address.parse::<SocketAddr>() {
        report.right(Step::Resolution, format!("{address}: is an address"));
        return Some(vec![literal]);
    }
    let problem = match timeout(patience, lookup_host(address)).await {
        Ok(Ok(found)) => {
            let found: Vec<_> = found.collect();
            if !found.is_empty() {
                let list: Vec<_> = found.iter().map(|target| target.ip().to_string()).collect();
                report.right(Step::Resolution, format!("{address}: {}", list.join(", ")));
                return Some(found);
            }
            "it has no address".to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer for {patience:?}"),
    };
    let text = format!("{address} cannot be resolved: {problem}");
    let advice = "check the host's name in namesrv_addr, and this machine's DNS";
    report.wrong(
        Step::Resolution,
        Fault::new("name_unresolved", text, advice),
    );
    None
}

/// The first request, which shows TLS and protocol in one.
async fn talk(patient: &Patient, address: &str, report: &mut Report) -> Option<NameServer> {
    let config = patient.config();
    let deadline = Instant::now() + config.send_msg_timeout;
    let name_servers = patient.admin.name_servers();
    match name_servers.ask_at(address, &CLUSTER, deadline).await {
        Ok(answer) => {
            tls_step(config, address, true, report);
            let version = answer.command().map(|command| command.version);
            match ClusterInfo::parse(answer.body()) {
                Ok(cluster) => {
                    report.right(
                        Step::Protocol,
                        format!("{address}: answers as a name server"),
                    );
                    Some(NameServer {
                        address: address.to_owned(),
                        version: version.ok(),
                        cluster: Some(cluster),
                    })
                }
                Err(error) => {
                    report.wrong(Step::Protocol, no_name_server(address, &error.to_string()));
                    None
                }
            }
        }
        Err(cause) => {
            if matches!(cause, AttemptCause::Refused { .. })
                && let Some(proxy) = proxy(patient, address).await
            {
                tls_step(config, address, true, report);
                report.right(
                    Step::Protocol,
                    format!("{address}: tells routes but no brokers, as rocketmq-proxy does"),
                );
                return Some(proxy);
            }
            tell(patient, address, cause, report).await;
            None
        }
    }
}

/// A server that tells routes, even if only that there is none, and nothing else of a name server.
async fn proxy(patient: &Patient, address: &str) -> Option<NameServer> {
    let header = GetRouteInfoRequestHeader::new(&patient.topic);
    let deadline = Instant::now() + patient.config().send_msg_timeout;
    let name_servers = patient.admin.name_servers();
    let version = match name_servers.ask_at(address, &header, deadline).await {
        Ok(answer) => answer.command().ok().map(|command| command.version),
        Err(AttemptCause::TopicNotFound) => None,
        Err(_) => return None,
    };
    Some(NameServer {
        address: address.to_owned(),
        // Java leaves it at 0 where nobody has set it.
        version: version.filter(|version| *version > 0),
        cluster: None,
    })
}

/// The step of TLS where nothing is wrong with it.
fn tls_step(config: &ProducerConfig, address: &str, is_agreed: bool, report: &mut Report) {
    if !config.tls {
        report.skipped(
            Step::Tls,
            format!("{address}: tls is off, and not asked for"),
        );
    } else if is_agreed {
        report.right(Step::Tls, format!("{address}: agreed and verified"));
    } else {
        report.skipped(Step::Tls, format!("{address}: not known"));
    }
}

async fn tell(patient: &Patient, address: &str, cause: AttemptCause, report: &mut Report) {
    if let Some(fault) = tls_fault(patient.config(), address, &Met::of_cause(&cause)).await {
        report.wrong(Step::Tls, fault);
        report.skipped(Step::Protocol, format!("{address}: TLS comes first"));
        return;
    }
    tls_step(patient.config(), address, false, report);
    let fault = match &cause {
        AttemptCause::NotReady { code, remark } => Fault::new(
            "name_server_not_ready",
            format!("{address} does not serve now, {}", code.with_remark(remark)),
            "wait until the name server has started, and look at its log",
        ),
        AttemptCause::Refused { .. } | AttemptCause::TopicNotFound => {
            no_name_server(address, &cause.to_string())
        }
        AttemptCause::Connect(error) if error.failure().proxy().is_some() => {
            let advice = SendFailure::Connect(error.clone()).advice();
            Fault::new("proxy", root(error), advice).of_class(Step::Tcp)
        }
        AttemptCause::Connect(error) => {
            let advice = "check namesrv_addr and that a name server listens there";
            Fault::new("name_server_unreachable", error.to_string(), advice).of_class(Step::Tcp)
        }
        _ => no_name_server(address, &cause.to_string()),
    };
    report.wrong(Step::Protocol, fault);
}

fn no_name_server(address: &str, what: &str) -> Fault {
    Fault::new(
        "not_a_name_server",
        format!("{address} does not answer as a name server: {what}"),
        "check the port in namesrv_addr: 9876 is usual, and a broker or another service is no name server",
    )
}

/// What of a failure points to TLS.
pub(super) enum Met {
    Tls(TlsFailure),
    /// The peer closed the connection without a word.
    Closed,
    Other,
}

impl Met {
    fn of_cause(cause: &AttemptCause) -> Self {
        match cause {
            AttemptCause::Connect(error) => Self::of(&AdminError::Connect(error.clone())),
            AttemptCause::Request(error) => Self::of(&AdminError::Request(error.clone())),
            _ => Self::Other,
        }
    }

    pub(super) fn of(error: &AdminError) -> Self {
        let (tls, closed) = match error {
            AdminError::Connect(error) => {
                let failure = error.failure();
                (failure.tls(), failure.closed_without_a_word())
            }
            AdminError::Request(error) => {
                let lost = error.failure().lost();
                (
                    lost.and_then(CloseReason::tls),
                    lost.is_some_and(CloseReason::is_by_peer),
                )
            }
            _ => (None, false),
        };
        match tls {
            Some(tls) => Self::Tls(tls.clone()),
            None if closed => Self::Closed,
            None => Self::Other,
        }
    }
}

/// The fault if it is one of TLS. A server that closed a plain connection is asked whether it speaks TLS.
pub(super) async fn tls_fault(config: &ProducerConfig, address: &str, met: &Met) -> Option<Fault> {
    match met {
        Met::Tls(TlsFailure::NotTls) => Some(Fault::new(
            "tls_not_spoken",
            format!("{address} does not speak TLS, and tls is on"),
            "turn tls off, or have the server speak TLS",
        )),
        Met::Tls(failure) => Some(Fault::new(
            "tls_failed",
            format!("{address}: {failure}"),
            failure.advice(),
        )),
        Met::Closed if !config.tls && speaks_tls(config, address).await => Some(Fault::new(
            "tls_required",
            format!("{address} takes TLS only, and tls is off"),
            "turn tls on (ROCKETMQ_PRODUCER_TLS=true), with tls_ca if the certificate is of an authority of your own",
        )),
        _ => None,
    }
}

/// Whether a server answers a request over TLS, whatever its certificate. Nothing is told to it: the credentials are
/// left out.
async fn speaks_tls(config: &ProducerConfig, address: &str) -> bool {
    let mut config = config.clone();
    config.tls = true;
    config.danger_accept_invalid_certs = true;
    config.access_key = None;
    config.secret_key = None;
    config.security_token = None;
    let deadline = Instant::now() + config.send_msg_timeout;
    let Ok(producer) = Producer::from_config(config).build() else {
        return false;
    };
    let admin = producer.admin();
    let answer = admin
        .name_servers()
        .ask_at(address, &CLUSTER, deadline)
        .await;
    match answer {
        Ok(_) => true,
        // Any answer of the protocol, also a refusal, came over TLS; so did the wish for a client's certificate.
        Err(cause) => match Met::of_cause(&cause) {
            Met::Tls(TlsFailure::NotTls) | Met::Closed => false,
            Met::Tls(_) => true,
            Met::Other => !matches!(cause, AttemptCause::Connect(_) | AttemptCause::Request(_)),
        },
    }
}
