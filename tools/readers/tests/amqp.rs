//! pika reads what the transport to RabbitMQ publishes.

use outbox_amqp::{AmqpConfig, AmqpTransport};
use readers::{assert_as_sent, publish, read, samples};
use testkit::RabbitMq;

#[tokio::test(flavor = "multi_thread")]
async fn pika_reads_messages_as_they_were_sent() {
    let rabbitmq = RabbitMq::shared().await;
    let queue = rabbitmq.queue("pika", true).await;
    let sent = samples(&queue);
    let transport = AmqpTransport::connect(AmqpConfig::new(rabbitmq.url())).expect("valid settings");
    publish(transport, &sent).await;
    assert_as_sent(&sent, &read("amqp.py", &[rabbitmq.url(), &queue, &sent.len().to_string()]).await);
}
