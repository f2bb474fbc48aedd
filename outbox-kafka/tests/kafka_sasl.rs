//! A broker that wants to know who comes.

use std::time::Duration;

use outbox_core::transport::Outcome;
use outbox_kafka::{KafkaConfig, KafkaTransport};
use testkit::{Kafka, numbers, publish};

#[tokio::test(flavor = "multi_thread")]
async fn the_right_password_is_let_in_and_a_wrong_one_is_said() {
    let kafka = Kafka::own_secured().await;
    let topic = kafka.topic("sasl", 1).await;
    let connect = |login: &str| {
        let url = format!("kafka://{login}@{}", kafka.bootstrap());
        KafkaTransport::connect(KafkaConfig::from_url(&url).expect("a URL")).expect("valid settings")
    };
    let right = connect("shop:s3cr3t");
    let outcomes = publish(&right, &numbers(&topic, 0..10), Duration::from_secs(30)).await;
    assert_eq!(outcomes, vec![Outcome::Delivered; 10]);
    for login in ["shop:hunter2", "nobody:hunter2"] {
        let outcomes = publish(&connect(login), &numbers(&topic, 10..20), Duration::from_secs(3)).await;
        for outcome in &outcomes {
            let Outcome::Unknown(Some(why)) = outcome else { panic!("{login}: {outcome:?}") };
            assert!(why.contains("uthentication") && !why.contains("hunter2"), "{login}: {why}");
        }
    }
    // Nor is one without a name.
    let nobody = KafkaTransport::connect(KafkaConfig::new(kafka.bootstrap())).expect("valid settings");
    let outcomes = publish(&nobody, &numbers(&topic, 10..11), Duration::from_secs(3)).await;
    assert!(matches!(&outcomes[0], Outcome::Unknown(Some(why)) if why.contains("down")), "{outcomes:?}");
    assert_eq!(kafka.consume(&topic).await.len(), 10);
}
