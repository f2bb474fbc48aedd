//! Each broker starts, comes back after a kill, and is frozen and thawed.

use std::time::Duration;

use testkit::{Handle, Localstack, Nats, RabbitMq};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test]
async fn shared_brokers_answer() {
    for url in [
        RabbitMq::shared().await.url().to_owned(),
        Nats::shared().await.url().to_owned(),
        Nats::shared_210().await.url().to_owned(),
        Localstack::shared().await.url().to_owned(),
    ] {
        assert!(url.contains("127.0.0.1") || !url.is_empty(), "{url}");
    }
}

#[tokio::test]
async fn a_broker_comes_back_on_its_port() {
    let (rabbitmq, nats, localstack) = tokio::join!(RabbitMq::own(), Nats::own(), Localstack::own());
    let brokers: [&Handle; 3] = [&rabbitmq, &nats, &localstack];
    for broker in brokers {
        broker.kill().await;
        assert!(TcpStream::connect(("127.0.0.1", broker.port())).await.is_err(), "{} is gone", broker.url());
        // Returns when it answers.
        broker.start().await;
        broker.pause().await;
        let connected = timeout(Duration::from_secs(5), TcpStream::connect(("127.0.0.1", broker.port()))).await;
        assert!(matches!(connected, Ok(Ok(_))), "{} accepts while frozen", broker.url());
        broker.unpause().await;
    }
}
