//! `rocketmq-producer serve`: a name server and brokers in this process.

use rocketmq_producer_embedded::{EmbeddedCluster, ServerTls};

use crate::args::{ServeArgs, Switch};
use crate::console::say;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::send::watch_interrupts;

pub(crate) async fn run(args: &ServeArgs) -> Result<Exit, Failure> {
    // Before the cluster, so that no signal ends the process half-way.
    let mut interrupt = watch_interrupts()?;
    let mut builder = EmbeddedCluster::builder()
        .brokers(usize::from(args.brokers))
        .name_server_port(args.port)
        .auto_create_topics(args.auto_create == Switch::On)
        .null_broker(args.null);
    for topic in &args.topics {
        builder = builder.topic(topic.name.as_str(), topic.queues);
    }
    if let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) {
        builder = builder.tls(ServerTls::new(cert, key));
    }
    let cluster = builder
        .start()
        .await
        .map_err(|error| Failure::failed("the cluster cannot be started", error))?;
    for broker in cluster.brokers() {
        say(&format!("broker {} {}", broker.name, broker.address));
    }
    // Last: who reads it knows that everything is ready.
    say(&format!("namesrv {}", cluster.name_servers()));
    interrupt.recv().await;
    cluster.shutdown().await;
    Ok(Exit::Success)
}
