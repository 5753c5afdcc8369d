//! Messages that are delivered later, taken back, in namespaces, light queues, order topics and static topics, as Apache's
//! consumer finds them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rocketmq_producer::remoting::protocol::TopicRouteData;
use rocketmq_producer::remoting::{Delivery, ResponseCode};
use rocketmq_producer::{Message, RecallError, SendFailure, Via};
use xtask::apache::{ReadMessage, Version, ask};

use crate::clusters::{Apache, end, promise};
use crate::traces::records_about;

const UPDATE_BROKER_CONFIG: i32 = 25;
const MAX_OFFSET: i32 = 30;
const PUT_KV_CONFIG: i32 = 100;
const TOPIC_ROUTE: i32 = 105;
const UPDATE_NAME_SERVER_CONFIG: i32 = 318;
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Timers fire at whole seconds, rounded down.
const PRECISION: i64 = 1000;

fn by_body<'a>(read: &'a [ReadMessage], body: &str) -> Result<&'a ReadMessage> {
    let mut found = read.iter().filter(|it| it.body == body.as_bytes());
    let first = found.next().with_context(|| format!("{body} is missing"))?;
    ensure!(found.next().is_none(), "{body} is there twice");
    Ok(first)
}

/// How long after it was sent a consumer could find it.
fn waited(stored: &ReadMessage) -> i64 {
    stored.store_timestamp - stored.born_timestamp
}

promise!(messages_with_a_delay_level_are_delivered_after_its_delay: on_5_5_0, on_4_9_7);

async fn messages_with_a_delay_level_are_delivered_after_its_delay(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "delay_levels";
    apache.topic(topic, 2)?;
    let producer = apache.producer("delay_levels").await?;
    let mut receipts = Vec::new();
    for level in [1, 2] {
        let message = Message::new(topic, format!("level {level}"))?.with_delay_level(level)?;
        receipts.push(producer.send(message).await?);
    }
    end(&producer).await?;
    let read = apache.read(topic, 2)?;
    assert_eq!(read.len(), 2);
    for (receipt, (body, delay)) in receipts
        .iter()
        .zip([("level 1", 1_000), ("level 2", 5_000)])
    {
        let stored = by_body(&read, body)?;
        assert!(waited(stored) >= delay, "{body}: {} ms", waited(stored));
        assert_eq!(receipt.via(), Some(Via::Schedule));
        assert_eq!(stored.msg_id, receipt.message_id().as_str());
        let acknowledged = receipt.offset_message_id().context("an id")?.to_string();
        assert_ne!(
            stored.offset_msg_id,
            Some(acknowledged),
            "it lies elsewhere now"
        );
        assert_eq!(stored.queue, receipt.queue().queue_id());
    }
    Ok(())
}

promise!(timer_messages_are_delivered_at_their_time: on_5_5_0);

async fn timer_messages_are_delivered_at_their_time(apache: &'static Apache) -> Result<()> {
    let topic = "timers";
    apache.topic(topic, 2)?;
    let producer = apache.producer("timers").await?;
    let at_once = producer
        .send(Message::new(topic, "now")?.with_deliver_at_millis(1)?)
        .await?;
    assert_eq!((at_once.via(), at_once.recall_handle()), (None, None));
    let at = u64::try_from(at_once.born_timestamp())? + 4_000;
    for (body, message) in [
        (
            "seconds",
            Message::new(topic, "seconds")?.with_delay(Duration::from_secs(3))?,
        ),
        (
            "millis",
            Message::new(topic, "millis")?.with_delay(Duration::from_millis(3_500))?,
        ),
        ("at", Message::new(topic, "at")?.with_deliver_at_millis(at)?),
    ] {
        let receipt = producer.send(message).await?;
        assert_eq!(receipt.via(), Some(Via::Timer), "{body}");
        let handle = receipt.recall_handle().context("a recall handle")?;
        assert_eq!(handle.topic(), topic);
        assert_eq!(handle.broker_name(), &**receipt.queue().broker_name());
        assert_eq!(handle.message_id(), receipt.message_id().as_str());
    }
    let read = apache.read(topic, 4)?;
    assert_eq!(read.len(), 4);
    assert!(waited(by_body(&read, "now")?) < 3_000);
    for (body, delay) in [("seconds", 3_000), ("millis", 3_500)] {
        let waited = waited(by_body(&read, body)?);
        assert!(waited >= delay - PRECISION, "{body}: {waited} ms");
    }
    let stored = by_body(&read, "at")?.store_timestamp;
    assert!(stored >= i64::try_from(at)? - PRECISION, "{stored} of {at}");
    end(&producer).await?;

    // Beyond the broker's range: its own refusal, if our limit is set too high.
    let days = Duration::from_secs(400_000);
    let producer = apache
        .producer_with("timers", |settings| settings.max_timer_delay(days))
        .await?;
    let far = Message::new(topic, "far")?.with_delay(Duration::from_secs(300_000))?;
    let error = producer.send(far).await.expect_err("too far");
    assert_eq!(error.delivery(), Delivery::Rejected);
    assert_eq!(error.attempts().len(), 1);
    let SendFailure::Refused { code, .. } = error.cause() else {
        panic!("{error:?}");
    };
    assert_eq!(*code, ResponseCode::MESSAGE_ILLEGAL);
    end(&producer).await?;
    Ok(())
}

promise!(a_timer_message_is_taken_back_once_the_broker_allows_it: on_5_5_0);

async fn a_timer_message_is_taken_back_once_the_broker_allows_it(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "recalls";
    apache.topic(topic, 2)?;
    // All of this must be done before the message's time comes.
    let java = apache.reader.clone().in_one_process()?;
    let set = |on: bool| {
        apache.broker_addresses().iter().try_for_each(|address| {
            let line = format!("recallMessageEnable={on}\n");
            let set = java.ask(address, UPDATE_BROKER_CONFIG, &[], &line);
            set.map(drop)
        })
    };
    let producer = apache
        .producer_with("recalls", |settings| settings.trace_message(true))
        .await?;
    let mut handles = Vec::new();
    for body in ["recalled", "kept"] {
        let delay = Duration::from_secs(if body == "kept" { 30 } else { 25 });
        let message = Message::new(topic, body)?.with_delay(delay)?;
        let receipt = producer.send(message).await?;
        let handle = receipt.recall_handle().context("a recall handle")?;
        handles.push((handle.to_string(), receipt.message_id().to_string()));
    }
    let (handle, id) = &handles[0];
    set(false)?;
    let off = producer.recall(topic, handle).await.expect_err("it is off");
    assert!(matches!(off, RecallError::Disabled { .. }), "{off:?}");
    set(true)?;
    let other = producer.recall("timers", handle).await;
    assert!(matches!(other, Err(RecallError::OtherTopic { .. })));
    assert_eq!(&producer.recall(topic, handle).await?, id);
    set(false)?;
    end(&producer).await?;
    // The message, the refusal and the recall.
    let mut traces = records_about(&java, &apache.name_servers(), id, 3)?;
    traces.sort_by_key(|record| record[1].parse::<i64>().unwrap_or_default());
    assert_eq!((&*traces[0][0], traces[0].len()), ("Pub", 14));
    for (record, is_success) in traces[1..].iter().zip(["false", "true"]) {
        let expected = [
            "Recall",
            &record[1],
            "DefaultRegion",
            "recalls",
            topic,
            id,
            is_success,
        ];
        assert_eq!(*record, expected, "{traces:?}");
    }
    let read = apache.read(topic, 1)?;
    let bodies: Vec<_> = read.iter().map(|it| &*it.body).collect();
    assert_eq!(
        bodies,
        [b"kept"],
        "the later one is there, the earlier never comes"
    );
    Ok(())
}

promise!(an_older_broker_says_that_it_takes_nothing_back: on_4_9_7);

async fn an_older_broker_says_that_it_takes_nothing_back(apache: &'static Apache) -> Result<()> {
    use rocketmq_producer::remoting::message::RecallHandle;

    let topic = "recalls_of_4";
    apache.topic(topic, 1)?;
    let producer = apache.producer("recalls_of_4").await?;
    let receipt = producer.send(Message::new(topic, "x")?).await?;
    let broker = receipt.queue().broker_name();
    let id = receipt.message_id().as_str();
    let handle = RecallHandle::new(topic, broker, 4_000_000_000_000, id)?;
    let error = producer.recall(topic, handle.as_str()).await;
    assert!(
        matches!(error, Err(RecallError::NotOffered { .. })),
        "{error:?}"
    );
    end(&producer).await?;
    Ok(())
}

promise!(messages_in_a_namespace_are_where_consumers_of_the_namespace_look: on_5_5_0, on_4_9_7);

async fn messages_in_a_namespace_are_where_consumers_of_the_namespace_look(
    apache: &'static Apache,
) -> Result<()> {
    apache.topic("tenant%orders", 2)?;
    let producer = apache
        .producer_with("namespaced", |it| {
            it.namespace("tenant")
                .namespace_v2("tenant2")
                .unit_name("unitA")
        })
        .await?;
    assert!(producer.client_id().ends_with("@unitA"));
    let receipt = producer.send(Message::new("orders", "in it")?).await?;
    assert_eq!(&**receipt.queue().topic(), "orders");
    let id = producer.client_id();
    assert!(
        !apache
            .brokers_that_list("tenant%namespaced", id)?
            .is_empty()
    );
    end(&producer).await?;
    let read = apache.read("tenant%orders", 1)?;
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].msg_id, receipt.message_id().as_str());
    assert_eq!(read[0].properties["INSTANCE_ID"], "tenant");
    Ok(())
}

promise!(a_message_for_light_queues_is_in_each_of_them: on_5_5_0);

async fn a_message_for_light_queues_is_in_each_of_them(apache: &'static Apache) -> Result<()> {
    let topic = "light";
    apache.topic(topic, 2)?;
    let producer = apache.producer("light").await?;
    let message = Message::new(topic, "once")?.with_lmq(["kinds_a", "kinds_b"])?;
    let receipt = producer.send(message).await?;
    end(&producer).await?;
    let read = apache.read(topic, 1)?;
    assert_eq!(read.len(), 1, "stored once");
    let brokers = apache.cluster.brokers().iter();
    let broker = brokers
        .clone()
        .find(|it| it.name() == &**receipt.queue().broker_name())
        .context("the broker")?;
    for queue in ["%LMQ%kinds_a", "%LMQ%kinds_b"] {
        let fields = [("topic", queue), ("queueId", "0"), ("commit", "true")];
        let answer = ask(broker.address(), MAX_OFFSET, &fields, ASK_TIMEOUT)?.ok()?;
        let offset = answer.field("offset").context("an offset")?;
        assert_eq!(offset, "1", "{queue}");
    }
    Ok(())
}

promise!(an_order_topic_has_the_queues_that_its_configuration_names: on_5_5_0, on_4_9_7);

async fn an_order_topic_has_the_queues_that_its_configuration_names(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "order_topic";
    let brokers: Vec<_> = apache
        .cluster
        .brokers()
        .iter()
        .map(|it| it.name())
        .collect();
    apache.topic(topic, u32::try_from(brokers.len())? * 4)?;
    let conf: Vec<_> = brokers.iter().map(|name| format!("{name}:2")).collect();
    let conf = conf.join(";");
    for name_server in apache.name_servers().split(';') {
        let on = "orderMessageEnable=true\n";
        apache
            .reader
            .ask(name_server, UPDATE_NAME_SERVER_CONFIG, &[], on)?;
        let fields = [
            ("namespace", "ORDER_TOPIC_CONFIG"),
            ("key", topic),
            ("value", conf.as_str()),
        ];
        ask(name_server, PUT_KV_CONFIG, &fields, ASK_TIMEOUT)?.ok()?;
        let route = ask(name_server, TOPIC_ROUTE, &[("topic", topic)], ASK_TIMEOUT)?.ok()?;
        let route = TopicRouteData::parse(&route.body)?;
        assert_eq!(route.order_topic_conf.as_deref(), Some(conf.as_str()));
    }
    let producer = apache.producer("order_topic").await?;
    for index in 0..brokers.len() * 8 {
        let message = Message::new(topic, format!("{index}"))?;
        let message = message.with_keys([format!("k{index}"), "all".to_owned()])?;
        let receipt = producer.send(message).await?;
        assert!(receipt.queue().queue_id() < 2, "{:?}", receipt.queue());
    }
    end(&producer).await?;
    let read = apache.read(topic, brokers.len() * 8)?;
    for name in brokers {
        for queue in 0..4 {
            let here = read
                .iter()
                .filter(|it| it.broker == name && it.queue == queue);
            assert_eq!(here.count() > 0, queue < 2, "{name} {queue}");
        }
    }
    assert!(read.iter().all(|it| {
        it.keys
            .as_deref()
            .is_some_and(|keys| keys.ends_with(" all"))
    }));
    Ok(())
}

promise!(a_static_topic_keeps_its_queues_while_they_move_to_another_broker: on_5_5_0);

async fn a_static_topic_keeps_its_queues_while_they_move_to_another_broker(
    apache: &'static Apache,
) -> Result<()> {
    const QUEUES: usize = 4;
    let topic = "static_topic";
    assert_eq!(apache.cluster.version(), Version::V5_5_0);
    let servers = apache.name_servers();
    let brokers: Vec<_> = apache
        .cluster
        .brokers()
        .iter()
        .map(|it| it.name())
        .collect();
    let line = format!(
        "updateStaticTopic -n {servers} -t {topic} -qn {QUEUES} -b {}",
        brokers[0]
    );
    apache.reader.admin_tool(&line)?;
    let producer = apache.producer("static_topic").await?;
    producer
        .wait_for_topic(topic, Duration::from_secs(60))
        .await?;
    let send = async |from: usize| {
        let mut queues = Vec::new();
        for index in from..from + QUEUES {
            let receipt = producer
                .send(Message::new(topic, format!("{index}"))?)
                .await?;
            let at = receipt
                .attempts()
                .last()
                .context("an attempt")?
                .broker()
                .to_owned();
            queues.push((receipt.queue().queue_id(), at));
        }
        queues.sort();
        anyhow::Ok(queues)
    };
    let all_at =
        |name: &str| -> Vec<_> { (0..QUEUES).map(|it| (it as i32, name.to_owned())).collect() };
    assert_eq!(send(0).await?, all_at(brokers[0]));
    let line = format!(
        "remappingStaticTopic -n {servers} -t {topic} -b {}",
        brokers[1]
    );
    apache.reader.admin_tool(&line)?;
    // The route at hand is old: the broker says so (501), the route is fetched anew, the message goes to the new one.
    let mut moved = send(QUEUES).await?;
    moved.dedup_by_key(|(queue, _)| *queue);
    assert_eq!(moved, all_at(brokers[1]));
    end(&producer).await?;
    let read = apache.read(topic, 2 * QUEUES)?;
    let mut bodies: Vec<_> = read
        .iter()
        .map(|it| String::from_utf8_lossy(&it.body))
        .collect();
    bodies.sort();
    assert_eq!(
        bodies,
        ["0", "1", "2", "3", "4", "5", "6", "7"],
        "each exactly once"
    );
    Ok(())
}
