//! A broker that is reached by TLS only, and wants to see a certificate.

use outbox_amqp::{OwnedIdentity, OwnedTLSConfig, QueueKind};
use testkit::Nats;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_have_to_show_a_certificate_that_the_other_one_trusts() {
    let broker = RabbitMq::own_secured().await;
    let identity = || {
        let (pem, key) = (Nats::CLIENT_CERTIFICATE.as_bytes().to_vec(), Nats::CLIENT_KEY.as_bytes().to_vec());
        Some(OwnedIdentity::PKCS8 { pem, key })
    };
    let connect = |identity, cert_chain| {
        let config = AmqpConfig::new(broker.url()).tls(OwnedTLSConfig { identity, cert_chain });
        AmqpTransport::connect(config.declare(QueueKind::Quorum)).expect("valid settings")
    };
    let good = connect(identity(), Some(Nats::CA.to_owned()));
    assert_eq!(good.check(&["orders".into()]).await.expect("an answer"), []);
    assert!(all_delivered(&publish(&good, &numbers("orders", 0..100), SOON).await));
    assert_eq!(texts(&broker, "orders").await.len(), 100);
    for (bad, what) in [
        (connect(identity(), None), "the broker is not trusted"),
        (connect(None, Some(Nats::CA.to_owned())), "no certificate"),
    ] {
        let outcomes = publish(&bad, &numbers("orders", 0..1), SOON).await;
        let said = matches!(&outcomes[0], Outcome::Unknown(Some(why)) if why.contains("127.0.0.1") && why.to_lowercase().contains("certificate"));
        assert!(said, "{what}: {outcomes:?}");
    }
    assert_eq!(texts(&broker, "orders").await.len(), 0);
}
