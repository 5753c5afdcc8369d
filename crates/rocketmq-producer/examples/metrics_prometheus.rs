//! Publishes the producer's metrics and serves them to Prometheus.
//!
//! `cargo run --example metrics_prometheus --features metrics`, then `curl http://127.0.0.1:9100/metrics`. With the
//! argument `once` it sends, prints and ends. `docs/grafana-dashboard.json` draws what it serves.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use rocketmq_producer::prelude::*;
use rocketmq_producer_embedded::EmbeddedCluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Ends of the buckets of times, in seconds: what a dashboard's quantiles are made of.
const BUCKETS: [f64; 14] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0,
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(seconds, &BUCKETS)?
        .install_recorder()?;

    let cluster = EmbeddedCluster::builder().start().await?;
    let producer = Producer::builder("order-service")
        .name_servers(&cluster.name_servers())
        .publish_metrics(Duration::from_secs(5))
        .start()
        .await?;
    for number in 0..100 {
        let body = format!("order {number}");
        producer.send(Message::new("orders", body)?).await?;
    }

    if std::env::args().any(|argument| argument == "once") {
        // A shutdown publishes a last time.
        producer.shutdown(Duration::from_secs(5)).await;
        println!("{}", prometheus.render());
        return Ok(());
    }
    let listener = TcpListener::bind("127.0.0.1:9100").await?;
    println!("http://127.0.0.1:9100/metrics");
    tokio::select! {
        served = serve(listener, prometheus) => served?,
        _ = tokio::signal::ctrl_c() => {}
    }
    producer.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// As much of HTTP as a scrape needs.
async fn serve(listener: TcpListener, prometheus: PrometheusHandle) -> anyhow::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        // Whatever is asked for, the answer is the same.
        let mut request = Vec::with_capacity(4096);
        stream.read_buf(&mut request).await?;
        let text = prometheus.render();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n",
            text.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(text.as_bytes()).await?;
    }
}
