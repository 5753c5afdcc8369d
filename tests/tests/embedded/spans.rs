//! Spans around sends and attempts, and the trace context in messages.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rocketmq_producer::remoting::ResponseCode;
use rocketmq_producer::{Message, Producer, TraceContextHook};
use rocketmq_producer_embedded::{Condition, EmbeddedCluster, Fault, Reaction};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

/// What a subscriber wrote.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        text.lines().map(str::to_owned).collect()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn listen(
    filter: &str,
) -> (
    Written,
    (tracing::subscriber::DefaultGuard, tracing::Dispatch),
) {
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_env_filter(filter)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(written.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    // With one subscriber alone, a place that another thread's test reaches first stays silent for all.
    let second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    (written, (guard, second))
}

#[tokio::test]
async fn a_send_has_a_span_with_its_attempts_in_it_and_no_private_value() -> Result<()> {
    let (written, _guard) =
        listen("warn,rocketmq_producer::send=debug,rocketmq_producer::attempt=debug");
    let cluster = EmbeddedCluster::builder().brokers(2).start().await?;
    let producer = Producer::builder("spans")
        .name_servers(&cluster.name_servers())
        .start()
        .await?;
    let busy = Reaction::answer(ResponseCode::SYSTEM_BUSY, "busy");
    for broker in ["broker-a", "broker-b"] {
        cluster
            .faults(broker)?
            .arm(Fault::once(Condition::sends(), busy.clone()));
    }
    let message = Message::new("orders", "private body")?
        .with_tags("paid")?
        .with_keys(["private-key"])?
        .with_property("card", "private-value")?;
    let receipt = producer.send(message).await?;
    let attempts = receipt.attempts().count();
    ensure!(attempts >= 2, "{attempts}");
    let lines = written.lines();
    let closed = |span: &str| {
        let lines = lines.iter();
        lines
            .filter(|line| line.contains("close") && line.contains(&format!("{span}{{otel.name")))
            .collect::<Vec<_>>()
    };
    let attempted = lines
        .iter()
        .filter(|line| line.contains("attempt{") && line.contains("close"));
    let attempted: Vec<_> = attempted.collect();
    assert_eq!(attempted.len(), attempts, "{lines:#?}");
    for line in &attempted {
        ensure!(
            line.contains("send{") && line.contains("server.port="),
            "{line}"
        );
    }
    ensure!(
        attempted[0].contains("error.type=MessageSend"),
        "{}",
        attempted[0]
    );
    let sent = closed("send");
    let sent = sent.iter().find(|line| !line.contains("attempt{"));
    let sent = sent.context("the span of the send")?;
    for part in [
        r#"messaging.system="rocketmq""#,
        r#"messaging.destination.name="orders""#,
        r#"messaging.operation.type="send""#,
        r#"messaging.rocketmq.client_group="spans""#,
        r#"messaging.rocketmq.message.tag="paid""#,
        r#"messaging.rocketmq.send_status="SEND_OK""#,
        "messaging.message.body.size=12",
        &format!(r#"messaging.message.id="{}""#, receipt.message_id()),
    ] {
        ensure!(sent.contains(part), "{part} in {sent}");
    }
    ensure!(!lines.concat().contains("private"), "{lines:#?}");
    producer.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

#[tokio::test]
async fn nobody_who_asks_for_other_targets_gets_spans() -> Result<()> {
    let (written, _guard) = listen("info");
    let cluster = EmbeddedCluster::builder().start().await?;
    let producer = Producer::builder("spans")
        .name_servers(&cluster.name_servers())
        .start()
        .await?;
    producer.send(Message::new("orders", "x")?).await?;
    ensure!(!written.lines().concat().contains("messaging.system"));
    producer.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

#[tokio::test]
async fn the_trace_context_travels_with_messages_unless_they_have_one() -> Result<()> {
    const CONTEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let cluster = EmbeddedCluster::builder().start().await?;
    let hook = TraceContextHook::new(|put| {
        put("traceparent", CONTEXT);
        put("tracestate", "");
        // No property can have it, so it is left out.
        put("UNIQ_KEY", "x");
    });
    let producer = Producer::builder("spans")
        .name_servers(&cluster.name_servers())
        .send_hook(Arc::new(hook))
        .start()
        .await?;
    producer.send(Message::new("orders", "new")?).await?;
    let passed_on = Message::new("orders", "passed on")?.with_property("traceparent", "older")?;
    producer.send(passed_on).await?;
    for stored in cluster.messages("orders") {
        let expected = if stored.body == "new" {
            CONTEXT
        } else {
            "older"
        };
        assert_eq!(stored.property("traceparent"), Some(expected));
        assert_eq!(stored.property("tracestate"), None);
    }
    producer.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
