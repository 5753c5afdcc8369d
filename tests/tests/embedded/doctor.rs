//! `rocketmq-producer doctor` where TLS or a proxy is in the way: each cause has its words and its advice.

use anyhow::{Context, Result, ensure};
use rocketmq_producer::remoting::TlsVersion;
use rocketmq_producer_embedded::{EmbeddedCluster, ServerTls};
use rocketmq_producer_tests::authority::{Authority, Signed, Validity, text};
use rocketmq_producer_tests::command;
use rocketmq_producer_tests::peer::closed_address;
use rocketmq_producer_tests::socks::{Manner, SocksProxy};
use serde_json::Value;

use crate::support::cluster;

const TOPIC: &str = "doctor";
const HERE: &[&str] = &["127.0.0.1"];

/// What is expected of a diagnosis: exit status, cause, words of the reason and words of the advice.
type Verdict = (i32, &'static str, &'static str, &'static str);

async fn diagnosis(name_servers: &str, settings: String) -> Result<(Option<i32>, Value)> {
    let servers = name_servers.to_owned();
    let work = move || command::doctor(&servers, TOPIC, &settings);
    tokio::task::spawn_blocking(work).await?
}

async fn says(name_servers: &str, settings: String, verdict: Verdict) -> Result<()> {
    let (status, cause, reason, advice) = verdict;
    let (ended, report) = diagnosis(name_servers, settings).await?;
    ensure!(
        ended == Some(status) && report["cause"] == cause,
        "not {verdict:?}: {report:#}"
    );
    let steps = report["steps"].as_array().context("steps")?;
    let fault = steps.iter().find(|step| step["cause"] == cause);
    let fault = fault.context("the step that is wrong")?;
    let has = |member: &str, words: &str| {
        let member = fault[member].as_str();
        member.is_some_and(|text| text.contains(words))
    };
    ensure!(
        has("text", reason) && has("advice", advice),
        "not {verdict:?}: {fault:#}"
    );
    Ok(())
}

async fn servers(tls: ServerTls) -> Result<EmbeddedCluster> {
    Ok(cluster().topic(TOPIC, 2).tls(tls).start().await?)
}

fn of(signed: &Signed) -> ServerTls {
    ServerTls::new(&signed.cert, &signed.key)
}

/// Settings of TLS that trust this authority.
fn trusting(authority: &Authority) -> String {
    format!("tls = true\ntls_ca = \"{}\"\n", text(&authority.ca()))
}

/// Settings of a certificate of the client's own.
fn showing(own: &Signed) -> String {
    let (cert, key) = (text(&own.cert), text(&own.key));
    format!("tls_cert = \"{cert}\"\ntls_key = \"{key}\"\n")
}

#[tokio::test]
async fn certificates_of_servers_that_prove_nothing() -> Result<()> {
    let (ours, strange) = (Authority::new("ours")?, Authority::new("strange")?);
    let failed = (5, "tls_failed");
    for (server, trusted, reason, advice) in [
        (
            ours.sign("good", HERE, Validity::Now)?,
            &strange,
            "no trusted authority",
            "tls_ca",
        ),
        (
            ours.sign("over", HERE, Validity::Expired)?,
            &ours,
            "has expired",
            "renewed",
        ),
        (
            ours.sign("early", HERE, Validity::NotYet)?,
            &ours,
            "not valid yet",
            "clock",
        ),
        (
            ours.sign("other", &["mq.internal"], Validity::Now)?,
            &ours,
            "is not for 127.0.0.1",
            "tls_server_name",
        ),
    ] {
        let cluster = servers(of(&server)).await?;
        let verdict = (failed.0, failed.1, reason, advice);
        says(&cluster.name_servers(), trusting(trusted), verdict).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_certificate_that_is_missing_or_strange() -> Result<()> {
    let (ours, strange) = (Authority::new("ours")?, Authority::new("strange")?);
    let server = ours.sign("server", HERE, Validity::Now)?;
    let (own, other) = (
        ours.sign("client", &["client"], Validity::Now)?,
        strange.sign("client", &["client"], Validity::Now)?,
    );
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let tls = of(&server).client_ca(ours.ca()).max_version(version);
        let cluster = servers(tls).await?;
        let name_servers = cluster.name_servers();
        let settings = trusting(&ours) + &showing(&own);
        let (status, report) = diagnosis(&name_servers, settings).await?;
        assert_eq!(status, Some(0), "{report:#}");
        let missing = (5, "tls_failed", "asks for a client certificate", "tls_cert");
        says(&name_servers, trusting(&ours), missing).await?;
        let refused = (
            5,
            "tls_failed",
            "refuses the client certificate",
            "tls_cert",
        );
        says(&name_servers, trusting(&ours) + &showing(&other), refused).await?;
    }
    Ok(())
}

#[tokio::test]
async fn plain_text_to_servers_that_speak_tls_only() -> Result<()> {
    let ours = Authority::new("ours")?;
    let server = ours.sign("server", HERE, Validity::Now)?;
    let verdict = (5, "tls_required", "takes TLS only", "turn tls on");
    // All of them, or only the brokers; also such as ask for a certificate.
    for tls in [
        of(&server),
        of(&server).name_servers(false),
        of(&server).client_ca(ours.ca()),
    ] {
        let cluster = servers(tls).await?;
        says(&cluster.name_servers(), String::new(), verdict).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_brings_no_connection() -> Result<()> {
    let cluster = cluster().topic(TOPIC, 2).start().await?;
    let name_servers = cluster.name_servers();
    let login = || Manner::Login("orders", "its secret");
    for (manner, reason, advice) in [
        (Manner::Refuse(2), "its rules forbid", "proxy's rules"),
        (Manner::Refuse(4), "", "reachable from the proxy"),
        (login(), "", "socks_user"),
        (Manner::Http, "", "socks_proxy"),
    ] {
        let proxy = SocksProxy::start(manner).await?;
        let settings = format!("socks_proxy = \"{}\"", proxy.address());
        says(&name_servers, settings, (4, "proxy", reason, advice)).await?;
    }
    let closed = format!("socks_proxy = \"{}\"", closed_address()?);
    says(&name_servers, closed, (4, "proxy", "", "socks_proxy")).await?;
    // One that does what it is for.
    let proxy = SocksProxy::start(login()).await?;
    let right = format!(
        "socks_proxy = \"{}\"\nsocks_user = \"orders\"\nsocks_password = \"its secret\"",
        proxy.address()
    );
    let (status, report) = diagnosis(&name_servers, right).await?;
    assert_eq!(status, Some(0), "{report:#}");
    Ok(())
}
