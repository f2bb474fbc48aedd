//! What a message may be, and what becomes of it.

use async_nats::jetstream::stream;
use futures_util::StreamExt;
use outbox_core::Transport;
use outbox_core::transport::Outcome;
use outbox_core::wire::WireFormat;
use outbox_nats::{NatsConfig, NatsTransport};
use testkit::{CloudEvent, Sample, batch, numbers, publish};

use crate::rig::{Rig, SOON};

fn config() -> stream::Config {
    stream::Config::default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_stored_as_it_was_sent() {
    let rig = Rig::shared(config()).await;
    let topic = rig.topic("sent");
    let sent = [
        Sample::new(&topic).key("ключ").payload([0, 255, 7]).headers(r#"{"trace":"ü"}"#),
        Sample::new(&topic).payload([]),
        // A header with the name of one of ours does not replace it.
        Sample::new(&topic).key("k").headers(r#"{"event-type":"no"}"#),
    ];
    let transport = rig.transport();
    assert_eq!(publish(&transport, &batch(1, &sent), SOON).await, vec![Outcome::Delivered; 3]);
    let records = rig.stored().await;
    assert_eq!(records.len(), 3);
    let expected = [(Some("ключ"), &[0, 255, 7][..]), (None, b""), (Some("k"), b"x")];
    for (n, (record, (key, payload))) in records.iter().zip(expected).enumerate() {
        assert_eq!((&record.subject, &*record.payload), (&topic, payload));
        assert_eq!(record.header("message-key"), key, "no key is no header");
        let id = format!("00000000-0000-0000-0000-{:012}", n + 1);
        assert_eq!(record.header("Nats-Msg-Id"), Some(id.as_str()));
        assert_eq!(record.header("event-type"), Some("order.created"));
        assert_eq!(record.header("content-type"), Some("text/plain"));
    }
    assert_eq!(records[0].header("trace"), Some("ü"));
    transport.close().await.expect("all was confirmed");
    let late = publish(&transport, &numbers(&topic, 9..10), SOON).await;
    assert_eq!(late, [Outcome::Delivered], "by a new connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn sent_again_within_the_window_it_is_delivered_and_stored_once() {
    let rig = Rig::shared(config()).await;
    let again = numbers(&rig.topic("again"), 0..20);
    for _ in 0..2 {
        assert_eq!(publish(&rig.transport(), &again, SOON).await, vec![Outcome::Delivered; 20]);
    }
    assert_eq!(rig.stored().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_message_is_refused_with_the_reason_and_its_neighbours_are_delivered() {
    let rig = Rig::shared(stream::Config { max_message_size: 1_000_000, ..config() }).await;
    let topic = rig.topic("good");
    let (wild, empty) = (rig.topic("*"), rig.topic("a..b"));
    let long = format!(r#"{{"{}":"v"}}"#, "n".repeat(300));
    let bad = [
        (Sample::new(&wild), "wildcard"),
        (Sample::new("orders.>"), "wildcard"),
        (Sample::new(&empty), "empty token"),
        (Sample::new("a b"), "space"),
        (Sample::new(""), "empty token"),
        (Sample::new("$JS.API.STREAM.PURGE.x"), "belongs to the server"),
        (Sample::new(&topic).headers(r#"{"a:b":"v"}"#), "not legal"),
        (Sample::new(&topic).headers(r#"{"a b":"v"}"#), "not legal"),
        (Sample::new(&topic).headers(r#"{"":"v"}"#), "empty"),
        (Sample::new(&topic).headers(r#"{"a\r\nb":"v"}"#), "not legal"),
        (Sample::new(&topic).headers(r#"{"h":"v\r\nNats-Rollup: all"}"#), "CR, LF or NUL"),
        (Sample::new(&topic).headers(r#"{"h":"v\u0000"}"#), "CR, LF or NUL"),
        (Sample::new(&topic).headers(r#"{"Nats-Expected-Last-Sequence":"9"}"#), "command"),
        (Sample::new(&topic).headers("[]"), "headers"),
        // More than the server takes, and more than the stream does.
        (Sample::new(&topic).payload(vec![b'x'; 2 << 20]), "max"),
        (Sample::new(&topic).payload(vec![b'x'; 1_020_000]), "exceeds maximum"),
    ];
    let mut all = Vec::new();
    for (bad, _) in &bad {
        all.push(Sample::new(&topic).headers(&long));
        all.push(bad.clone());
    }
    all.push(Sample::new(&topic));
    let outcomes = publish(&rig.transport(), &batch(1, &all), SOON).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        match bad.get(n / 2).filter(|_| n % 2 == 1) {
            Some((_, word)) => {
                assert!(matches!(outcome, Outcome::Rejected(why) if why.contains(word)), "{word}: {outcome:?}");
            }
            None => assert_eq!(*outcome, Outcome::Delivered, "message {n}"),
        }
    }
    assert_eq!(rig.stored().await.len(), bad.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_without_a_stream_concerns_its_own_messages_only() {
    let rig = Rig::shared(config()).await;
    let topic = rig.topic("there");
    let mixed = [&topic, "never-created.x", &topic].map(|topic| Sample::new(topic).key("k"));
    let mixed = batch(1, &mixed);
    let transport = rig.transport();
    let outcomes = publish(&transport, &mixed, SOON).await;
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Delivered, &Outcome::Delivered));
    assert!(matches!(&outcomes[1], Outcome::Destination(e) if e.contains("no stream has the subject")), "{outcomes:?}");
    assert_eq!(publish(&transport, &numbers(&topic, 5..6), SOON).await, [Outcome::Delivered], "the client goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_answer_of_a_stream_is_an_acknowledgement() {
    let rig = Rig::shared(config()).await;
    // Someone who answers requests, without a stream.
    let client = rig.jetstream.client();
    let subject = format!("{}-service", rig.name);
    let mut requests = client.subscribe(subject.clone()).await.expect("a subscription");
    client.flush().await.expect("a server");
    let service = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            client.publish(request.reply.expect("a reply's subject"), "{}".into()).await.expect("a server");
        }
    });
    let outcomes = publish(&rig.transport(), &numbers(&subject, 0..1), SOON).await;
    assert!(matches!(&outcomes[0], Outcome::Unknown(Some(why)) if why.contains("else than a stream")), "{outcomes:?}");
    service.abort();
    // Someone who listens, and says nothing.
    let mute = format!("{}-mute", rig.name);
    let client = rig.jetstream.client();
    let _listener = client.subscribe(mute.clone()).await.expect("a subscription");
    client.flush().await.expect("a server");
    let outcomes = publish(&rig.transport(), &numbers(&mute, 0..1), SOON).await;
    assert!(matches!(&outcomes[0], Outcome::Destination(why) if why.contains("no stream")), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_acknowledges_nothing_is_named() {
    let rig = Rig::shared(stream::Config { no_ack: true, ..config() }).await;
    let outcomes = publish(&rig.transport(), &numbers(&rig.topic("x"), 0..2), SOON).await;
    for outcome in &outcomes {
        assert!(matches!(outcome, Outcome::Destination(why) if why.contains("no_ack")), "{outcomes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_client_from_connecting_is_said() {
    let reason = async |config: NatsConfig| {
        let transport = NatsTransport::connect(config).expect("valid settings");
        match publish(&transport, &numbers("t", 0..1), SOON).await.remove(0) {
            Outcome::Unknown(Some(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let nowhere = format!("nats://127.0.0.1:{}", testkit::free_port());
    let refused = reason(NatsConfig::new(&nowhere)).await;
    assert!(refused.contains("NATS cannot be reached") && refused.contains("refused"), "{refused}");
    let file = reason(NatsConfig::new(&nowhere).credentials_file("/nowhere.creds")).await;
    assert!(file.contains("/nowhere.creds"), "{file}");
    let own = reason(NatsConfig::from_connector(async || Err::<async_nats::Client, _>("the vault is closed"))).await;
    assert!(own.contains("the vault is closed"), "{own}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cloud_events_arrive_in_both_modes() {
    let rig = Rig::shared(config()).await;
    // A message that is sent again is dropped: each mode gets a subject, and a stream, of its own.
    let other = Rig::shared(config()).await;
    for (rig, format) in
        [(&rig, WireFormat::cloud_events_binary("/orders")), (&other, WireFormat::cloud_events_structured("/orders"))]
    {
        let transport = NatsTransport::connect(rig.config().format(format)).expect("valid settings");
        let sent = CloudEvent::batch(&rig.topic("x"));
        assert_eq!(publish(&transport, &sent, SOON).await, [Outcome::Delivered]);
    }
    let (binary, structured) = (&rig.stored().await[0], &other.stored().await[0]);
    let key = binary.header("ce-partitionkey");
    assert_eq!(key, Some("%D0%BA%D0%BB%D1%8E%D1%87"), "percent-encoded, as the binding for NATS demands");
    let header = |name: &str| match name {
        "ce-partitionkey" => Some("ключ".to_owned()),
        name => binary.header(name).map(str::to_owned),
    };
    CloudEvent::assert_binary("ce-", header, &binary.payload);
    assert_eq!(binary.header("ce-datacontenttype"), Some("application/json"));
    CloudEvent::assert_structured(&structured.payload);
    assert_eq!(structured.header("content-type"), Some("application/cloudevents+json; charset=utf-8"));
    assert_eq!(structured.header("Nats-Msg-Id"), binary.header("ce-id"));
}
