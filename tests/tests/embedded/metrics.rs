//! Metrics as they reach Prometheus.

use std::time::Duration;

use anyhow::{Result, ensure};
use metrics_exporter_prometheus::PrometheusBuilder;
use rocketmq_producer::{METRICS, Message, Producer};
use rocketmq_producer_embedded::EmbeddedCluster;

#[tokio::test]
async fn what_a_producer_did_is_published_under_the_names_of_the_reference() -> Result<()> {
    let prometheus = PrometheusBuilder::new().install_recorder()?;
    let cluster = EmbeddedCluster::builder().start().await?;
    let producer = Producer::builder("measured")
        .name_servers(&cluster.name_servers())
        .publish_metrics(Duration::from_millis(20))
        .start()
        .await?;
    for _ in 0..7 {
        producer.send(Message::new("orders", "x")?).await?;
    }
    // It publishes a last time.
    producer.shutdown(Duration::from_secs(5)).await;
    let text = prometheus.render();
    for line in [
        r#"rocketmq_producer_sends_total{group="measured",outcome="stored"} 7"#,
        r#"rocketmq_producer_send_latency_seconds_count{group="measured"} 7"#,
        r#"rocketmq_producer_in_flight{group="measured"} 0"#,
        r#"rocketmq_remoting_dials_total{group="measured",server="broker",outcome="succeeded"} 1"#,
        r#"rocketmq_routing_topics{group="measured"} 1"#,
    ] {
        ensure!(text.lines().any(|it| it == line), "{line} in\n{text}");
    }
    let published = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for published in published {
        let name = published.split(' ').next().unwrap_or_default();
        ensure!(
            METRICS.iter().any(|metric| metric.name == name),
            "{name} has no row"
        );
    }
    for metric in METRICS {
        let is_there = text.contains(&format!("# TYPE {} ", metric.name));
        // No message had to wait.
        ensure!(
            is_there || metric.name.ends_with("queue_wait_seconds"),
            "{}",
            metric.name
        );
    }
    Ok(())
}
