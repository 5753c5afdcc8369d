//! Spans of a service and of its sends in one OpenTelemetry trace, which whoever reads the message can continue.
//!
//! `cargo run --example open_telemetry`. The exporter keeps the spans in memory, so that they can be shown; a service has
//! one that sends them to its collector, such as that of `opentelemetry-otlp`, and is otherwise the same.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use rocketmq_producer::TraceContextHook;
use rocketmq_producer::prelude::*;
use rocketmq_producer_embedded::{EmbeddedCluster, StoredMessage};
use tracing::{Instrument as _, Level, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Hands what a propagator writes to the hook.
struct Carrier<'a>(&'a mut dyn FnMut(&str, &str));

impl Injector for Carrier<'_> {
    fn set(&mut self, key: &str, value: String) {
        (self.0)(key, &value);
    }
}

/// Gives a propagator what a message carries, as a consumer would.
struct Received<'a>(&'a StoredMessage);

impl Extractor for Received<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.property(key)
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    global::set_text_map_propagator(TraceContextPropagator::new());
    // The spans of the producer have targets of their own, and are at level debug so that they are asked for by name.
    let wanted = Targets::new()
        .with_default(Level::INFO)
        .with_target("rocketmq_producer::send", Level::DEBUG)
        .with_target("rocketmq_producer::attempt", Level::DEBUG);
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("order-service"));
    tracing_subscriber::registry()
        .with(spans.with_filter(wanted))
        .init();

    // Called for each message, within the span of its send.
    let hook = TraceContextHook::new(|put| {
        let context = Span::current().context();
        global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut Carrier(put));
        });
    });
    let cluster = EmbeddedCluster::builder().start().await?;
    let producer = Producer::builder("order-service")
        .name_servers(&cluster.name_servers())
        .send_hook(Arc::new(hook))
        .start()
        .await?;
    let order = info_span!("take order", "order.id" = 17);
    let message = Message::new("orders", "paid")?.with_tags("paid")?;
    producer.send(message).instrument(order).await?;
    producer.shutdown(Duration::from_secs(5)).await;
    // Once shut down, the exporter in memory forgets its spans.
    let spans = exporter.get_finished_spans()?;
    provider.shutdown()?;
    for span in &spans {
        show(span);
    }
    let stored = cluster.messages("orders").remove(0);
    println!(
        "traceparent of the message: {:?}",
        stored.property("traceparent")
    );

    // A consumer makes what it reads there the parent of its own span.
    let context = global::get_text_map_propagator(|it| it.extract(&Received(&stored)));
    let parent = context.span().span_context().clone();
    let named = |name: &str| spans.iter().find(|span| span.name == name);
    let (Some(order), Some(send), Some(attempt)) = (
        named("take order"),
        named("send orders"),
        named("attempt orders"),
    ) else {
        anyhow::bail!("spans are missing");
    };
    assert_eq!(parent.span_id(), send.span_context.span_id());
    assert_eq!(send.parent_span_id, order.span_context.span_id());
    assert_eq!(attempt.parent_span_id, send.span_context.span_id());
    for span in [order, send, attempt] {
        assert_eq!(span.span_context.trace_id(), parent.trace_id());
    }
    Ok(())
}

fn show(span: &SpanData) {
    let (id, parent) = (span.span_context.span_id(), span.parent_span_id);
    println!(
        "{} ({:?}), span {id} in {parent}",
        span.name, span.span_kind
    );
    for attribute in &span.attributes {
        let name = attribute.key.as_str();
        if ["messaging", "server", "order"]
            .iter()
            .any(|it| name.starts_with(it))
        {
            println!("    {name} = {}", attribute.value);
        }
    }
}
