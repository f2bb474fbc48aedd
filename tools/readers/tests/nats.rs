//! nats-py reads what the transport to NATS JetStream publishes.

use async_nats::jetstream::{self, stream};
use outbox_nats::{NatsConfig, NatsTransport};
use readers::{assert_as_sent, publish, read, samples};
use testkit::Nats;

#[tokio::test(flavor = "multi_thread")]
async fn nats_py_reads_messages_as_they_were_sent() {
    let nats = Nats::shared().await;
    let client = async_nats::connect(nats.url()).await.expect("a server");
    let name = client.new_inbox().replace("_INBOX.", "py");
    let subjects = vec![format!("{name}.>")];
    let config = stream::Config { name: name.clone(), subjects, ..Default::default() };
    jetstream::new(client).create_stream(config).await.expect("a stream");
    let subject = format!("{name}.orders");
    let sent = samples(&subject);
    let transport = NatsTransport::connect(NatsConfig::new(nats.url())).expect("valid settings");
    publish(transport, &sent).await;
    let args = [nats.url(), &name, &subject, &sent.len().to_string()];
    assert_as_sent(&sent, &read("nats_jetstream.py", &args).await);
}
