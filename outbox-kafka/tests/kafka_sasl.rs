//! A broker that wants to know who comes.

use std::time::Duration;

use outbox_core::transport::Outcome;
use outbox_kafka::{KafkaConfig, KafkaTransport};
use testkit::{Kafka, numbers, publish};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn the_right_password_is_let_in_and_a_wrong_one_is_said() {
    let kafka = Kafka::own_secured().await;
    let connect = |login: &str, mechanism: &str| {
        let url = format!("kafka://{login}@{}?sasl.mechanism={mechanism}", kafka.bootstrap());
        KafkaTransport::connect(KafkaConfig::from_url(&url).expect("a URL")).expect("valid settings")
    };
    let mechanisms: &[&str] = if cfg!(feature = "ssl") { &["PLAIN", "SCRAM-SHA-512"] } else { &["PLAIN"] };
    for mechanism in mechanisms {
        let topic = kafka.topic("sasl", 1).await;
        let right = connect("shop:s3cr3t", mechanism);
        let outcomes = publish(&right, &numbers(&topic, 0..10), LONG).await;
        assert_eq!(outcomes, vec![Outcome::Delivered; 10], "{mechanism}");
        for login in ["shop:hunter2", "nobody:hunter2"] {
            let outcomes = publish(&connect(login, mechanism), &numbers(&topic, 10..20), SHORT).await;
            for outcome in &outcomes {
                let Outcome::Unknown(Some(why)) = outcome else { panic!("{login}: {outcome:?}") };
                assert!(why.contains("uthentication") && !why.contains("hunter2"), "{mechanism} {login}: {why}");
            }
        }
        assert_eq!(kafka.consume(&topic).await.len(), 10);
    }
    // Nor is one without a name.
    let topic = kafka.topic("sasl", 1).await;
    let nobody = KafkaTransport::connect(KafkaConfig::new(kafka.bootstrap())).expect("valid settings");
    let outcomes = publish(&nobody, &numbers(&topic, 10..11), SHORT).await;
    assert!(matches!(&outcomes[0], Outcome::Unknown(Some(why)) if why.contains("down")), "{outcomes:?}");
    #[cfg(feature = "ssl")]
    tokens::come_from_their_source_time_and_again(&kafka).await;
}

#[cfg(feature = "ssl")]
mod tokens {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::SystemTime;

    use outbox_core::Transport;
    use outbox_kafka::KafkaToken;

    use super::*;

    /// The test's broker takes tokens that nobody signed.
    fn token(life: Duration) -> KafkaToken {
        let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let (now, end) = (SystemTime::now(), SystemTime::now() + life);
        let claims = format!(r#"{{"sub":"shop","iat":{},"exp":{}}}"#, seconds(now), seconds(end));
        let encoded = |text: &str| base64(text.as_bytes());
        KafkaToken::new(format!("{}.{}.", encoded(r#"{"alg":"none"}"#), encoded(&claims)), end)
    }

    /// For URLs, without padding.
    fn base64(bytes: &[u8]) -> String {
        const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits = |chunk: &[u8]| chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let coded = |chunk: &[u8]| {
            let bits = bits(chunk) << (8 * (3 - chunk.len()));
            (0..=chunk.len()).map(move |i| SIGNS[(bits >> (18 - 6 * i)) as usize & 63] as char)
        };
        bytes.chunks(3).flat_map(coded).collect()
    }

    pub(super) async fn come_from_their_source_time_and_again(kafka: &Kafka) {
        let topic = kafka.topic("tokens", 1).await;
        let asked = Arc::new(AtomicUsize::new(0));
        let config = |life: Duration| {
            let asked = asked.clone();
            let config = KafkaConfig::new(kafka.bootstrap()).option("security.protocol", "SASL_PLAINTEXT");
            config.tokens(move || {
                let asked = asked.clone();
                async move {
                    // The first answer fails, as a provider's may.
                    if asked.fetch_add(1, Ordering::Relaxed) == 0 {
                        return Err("the provider is away".into());
                    }
                    Ok(token(life))
                }
            })
        };
        let life = Duration::from_secs(6);
        let transport = KafkaTransport::connect(config(life)).expect("valid settings");
        let outcomes = publish(&transport, &numbers(&topic, 0..1), SHORT).await;
        let Outcome::Unknown(Some(why)) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert!(why.contains("the provider is away"), "{why}");
        let mut sent = 0;
        let begun = std::time::Instant::now();
        // Past the end of the first tokens: the broker lets nobody stay beyond that of his.
        while begun.elapsed() < life * 3 {
            let outcomes = publish(&transport, &numbers(&topic, sent..sent + 1), LONG).await;
            assert_eq!(outcomes, [Outcome::Delivered]);
            sent += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let times = asked.load(Ordering::Relaxed);
        assert!((4..10).contains(&times), "asked {times} times for tokens of {life:?}");
        let findings = transport.check(&[topic, Kafka::unused_topic("no")]).await.expect("looked at");
        let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(findings.iter().any(|found| found.contains("cannot be read")), "{findings:?}");
        assert!(findings.iter().any(|found| found.contains("does not exist")), "{findings:?}");
    }
}
