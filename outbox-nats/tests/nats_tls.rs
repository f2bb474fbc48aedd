//! TLS where an application links two providers of cryptography. In a process of its own: the choice is made once.

use std::path::Path;
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream::{self, stream};
use async_nats::rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use outbox_core::transport::Outcome;
use outbox_core::{BatchBuilder, Outcomes, Row, Transport};
use outbox_nats::{NatsConfig, NatsTransport};
use testkit::Nats;

fn file(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
    std::fs::write(dir.join(name), text).expect("a file");
    dir.join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_works_although_two_providers_are_linked_and_none_was_chosen() {
    let both = (ring::default_provider(), aws_lc_rs::default_provider());
    assert!(!both.0.cipher_suites.is_empty() && !both.1.cipher_suites.is_empty());
    let nats = Nats::own_secured().await;
    let admin = ConnectOptions::with_user_and_password("admin".into(), "admin".into());
    let admin = jetstream::new(admin.connect(nats.url()).await.expect("a server"));
    let subjects = vec!["open.>".into()];
    admin.create_stream(stream::Config { name: "S".into(), subjects, ..Default::default() }).await.expect("a stream");

    // The client alone does not know which to take.
    let url = nats.url().to_owned();
    let alone = tokio::spawn(async move { ConnectOptions::new().require_tls(true).connect(url).await.map(drop) }).await;
    assert!(alone.is_err_and(|e| e.is_panic()) && CryptoProvider::get_default().is_none());

    let dir = std::env::temp_dir().join(format!("outbox-nats-tls-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let ca = file(&dir, "ca.pem", Nats::CA);
    let (certificate, key) = (file(&dir, "c.pem", Nats::CLIENT_CERTIFICATE), file(&dir, "c.key", Nats::CLIENT_KEY));
    let config = NatsConfig::new(nats.url().replace("nats://", "tls://")).user_and_password("app", "s3cr3t");
    let trusting = config.clone().root_certificates(&ca);
    let with_certificate = NatsTransport::connect(trusting.clone().client_certificate(certificate, key));
    let said = publish(&with_certificate.expect("valid settings")).await;
    assert_eq!(said, Outcome::Delivered);
    // Without what the server, or we, demand.
    for config in [trusting, config] {
        let said = publish(&NatsTransport::connect(config).expect("valid settings")).await;
        assert!(matches!(said, Outcome::Unknown(Some(_))), "{said:?}");
    }
    std::fs::remove_dir_all(dir).expect("removed");
}

async fn publish(transport: &NatsTransport) -> Outcome {
    let mut batch = BatchBuilder::new();
    batch.push(&Row {
        seq: 1,
        id: 1,
        created_at: 0,
        topic: "open.x",
        key: None,
        event_type: "order.created",
        payload: b"x",
        content_type: None,
        headers: None,
    });
    let out = Outcomes::new(1);
    _ = tokio::time::timeout(Duration::from_secs(20), transport.publish(batch.finish(), &out)).await;
    out.get(0)
}
