//! Instances of one group that know of each other.

use rocketmq_producer_core::Producer;
use rocketmq_producer_embedded::EmbeddedCluster;

use crate::support::*;

async fn instance(cluster: &EmbeddedCluster, client_id: &str) -> Producer {
    let builder =
        builder(cluster).configure(|settings| settings.client_id(client_id).spread_by_rank(true));
    builder.start().await.unwrap()
}

/// The place of the queue that the next message goes to.
async fn next_place(producer: &Producer) -> usize {
    let receipt = producer.send(message()).await.unwrap();
    let entry = producer.mapping().cached(TOPIC).unwrap();
    entry.route().unwrap().position(receipt.queue()).unwrap()
}

#[tokio::test]
async fn the_round_robin_of_each_instance_begins_by_its_rank() {
    let cluster = cluster(2).await;
    let first = instance(&cluster, "instance-a").await;
    let second = instance(&cluster, "instance-b").await;
    let third = instance(&cluster, "instance-c").await;
    // Of eight queues: alone, the second of two, the third of three.
    assert_eq!(next_place(&first).await, 0);
    assert_eq!(next_place(&second).await, 4);
    assert_eq!(next_place(&third).await, 5);
    for (producer, rank) in [(&first, 0), (&second, 1), (&third, 2)] {
        let known = producer.instance_rank().await.unwrap();
        assert_eq!((known.rank, known.instances), (rank, 3));
    }
}
