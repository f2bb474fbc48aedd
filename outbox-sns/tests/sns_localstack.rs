//! The transport against LocalStack.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use outbox_core::Transport;
use outbox_core::transport::Outcome;
use outbox_core::wire::WireFormat;
use outbox_sns::{SnsConfig, SnsTransport};
use support::{publish, sample};
use testkit::{CloudEvent, Localstack, SnsMessage, batch};

mod support;

fn config() -> SnsConfig {
    SnsConfig::new(Localstack::ARN_PREFIX)
}

async fn connect(localstack: &Localstack, config: SnsConfig) -> SnsTransport {
    let client = aws_sdk_sns::Client::new(&localstack.settings().await);
    SnsTransport::with_client(config, client).expect("valid settings")
}

fn id(n: usize) -> String {
    format!("00000000-0000-0000-0000-{n:012}")
}

fn attribute<'a>(m: &'a SnsMessage, name: &str) -> Option<&'a str> {
    m.attributes.get(name).map(String::as_str)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_stored_as_it_was_sent() {
    let localstack = Localstack::shared().await;
    let topic = localstack.topic("sent.fifo").await;
    let plain = sample(topic.name(), Some("k-1"), "{\"ü\":1}\r\n").content_type(Some("application/json"));
    let plain = plain.headers(r#"{"trace":"ü","message-id":"no"}"#);
    let sent = [plain, sample(topic.name(), Some("ключ"), "x"), sample(topic.name(), None, "y")];
    let outcomes = publish(&connect(&localstack, config()).await, &batch(1, &sent)).await;
    assert_eq!(outcomes, vec![Outcome::Delivered; 3]);
    let stored = topic.messages().await;
    assert_eq!(stored.iter().map(|m| m.body.as_str()).collect::<Vec<_>>(), ["{\"ü\":1}\r\n", "x", "y"]);
    for (n, m) in (1..).zip(&stored) {
        assert_eq!((attribute(m, "message-id"), attribute(m, "event-type")), (Some(&*id(n)), Some("order.created")));
        assert_eq!(m.deduplication_id, Some(id(n)));
    }
    let expected = [
        ("message-id", &*id(1)),
        ("event-type", "order.created"),
        ("content-type", "application/json"),
        ("message-key", "k-1"),
        ("trace", "ü"),
    ];
    let expected: HashMap<String, String> = expected.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    assert_eq!(stored[0].attributes, expected);
    assert_eq!(stored[0].group.as_deref(), Some("k-1"));
    // A key that SNS does not allow as a group has one all the same, and stays what it is.
    assert!(stored[1].group.as_ref().is_some_and(|group| group.starts_with("key-")), "{:?}", stored[1]);
    assert_eq!(attribute(&stored[1], "message-key"), Some("ключ"));
    assert_eq!((stored[2].group.clone(), attribute(&stored[2], "message-key")), (Some(id(3)), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_headers_than_attributes_and_odd_ones_arrive() {
    let localstack = Localstack::shared().await;
    let topic = localstack.topic("headers.fifo").await;
    let with = |headers: serde_json::Value| sample(topic.name(), None, "x").headers(headers.to_string());
    let many =
        |n: usize| (0..n).map(|n| (format!("h{n:02}"), format!("v{n}").into())).collect::<serde_json::Map<_, _>>();
    let odd = serde_json::json!({"": "v", "a b": "v", "AWS.x": "v", "headers": "h", "payload-encoding": "p", "empty": "",
        "control": "\u{1}\u{ffff}", "ok": "yes", "long": "x".repeat(5_000)});
    let sent = [with(many(8).into()), with(many(9).into()), with(many(100).into()), with(odd.clone())];
    let outcomes = publish(&connect(&localstack, config()).await, &batch(1, &sent)).await;
    assert_eq!(outcomes, vec![Outcome::Delivered; 4]);
    let stored = topic.messages().await;
    assert_eq!(stored.len(), 4);
    assert_eq!((stored[0].attributes.len(), attribute(&stored[0], "headers")), (10, None));
    assert_eq!(attribute(&stored[1], "headers"), Some(r#"{"h07":"v7","h08":"v8"}"#));
    for (m, sent) in stored.iter().zip([many(8).into(), many(9).into(), many(100).into(), odd]) {
        assert!(m.attributes.len() <= 10, "{:?}", m.attributes.keys());
        let mut seen = m.attributes.clone();
        let packed = seen.remove("headers").map(|json| serde_json::from_str(&json).expect("text values"));
        seen.extend::<HashMap<String, String>>(packed.unwrap_or_default());
        seen.retain(|name, _| !["message-id", "event-type"].contains(&name.as_str()));
        assert_eq!(serde_json::json!(seen), sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_is_no_text_is_told_apart() {
    let localstack = Localstack::shared().await;
    let topic = localstack.topic("bytes.fifo").await;
    let payloads =
        [vec![], b"-".to_vec(), vec![0, 255, 7], b"a\x01b".to_vec(), "日本\t\u{1F980}".into(), b"YQ==".to_vec()];
    let sent = payloads.clone().map(|payload| sample(topic.name(), None, payload));
    let outcomes = publish(&connect(&localstack, config()).await, &batch(1, &sent)).await;
    assert_eq!(outcomes, vec![Outcome::Delivered; 6]);
    let decoded = |m: &SnsMessage| match attribute(m, "payload-encoding") {
        None => m.body.clone().into_bytes(),
        Some("base64") => STANDARD.decode(&m.body).expect("base64"),
        Some(other) => {
            assert_eq!(other, "empty");
            Vec::new()
        }
    };
    let stored = topic.messages().await;
    assert_eq!(stored.iter().map(decoded).collect::<Vec<_>>(), payloads);
    let plain: Vec<bool> = stored.iter().map(|m| attribute(m, "payload-encoding").is_none()).collect();
    assert_eq!(plain, [false, true, false, false, true, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bound_is_the_bound_of_sns() {
    let localstack = Localstack::shared().await;
    let topic = localstack.topic("bound.fifo").await;
    // id, event type, and their types.
    let rest = 10 + 6 + 36 + 10 + 6 + 13;
    let of = |len: usize| sample(topic.name(), None, vec![b'x'; len]);
    let good = || sample(topic.name(), None, "good");
    let sent =
        [good(), of(262_144 - rest), of(262_145 - rest), of(2 << 20), of(131_072 - rest), of(131_072 - rest), good()];
    let transport = connect(&localstack, config()).await;
    let outcomes = publish(&transport, &batch(1, &sent)).await;
    for i in [0, 1, 4, 5, 6] {
        assert_eq!(outcomes[i], Outcome::Delivered, "{i}");
    }
    assert!(matches!(&outcomes[2], Outcome::Rejected(why) if why.contains("262145 bytes, 262144 are allowed")));
    assert!(matches!(&outcomes[3], Outcome::Rejected(why) if why.contains("2097152")), "{:?}", outcomes[3]);
    let mut sizes: Vec<usize> = topic.messages().await.iter().map(|m| m.body.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [4, 4, 131_072 - rest, 131_072 - rest, 262_144 - rest]);

    // Declared larger than it is: SNS itself refuses.
    let transport = connect(&localstack, config().max_payload(400_000)).await;
    let outcomes = publish(&transport, &batch(11, &[good(), of(300_000), good()])).await;
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Delivered, &Outcome::Delivered));
    assert!(matches!(&outcomes[1], Outcome::Rejected(why) if why.contains("BatchRequestTooLong")), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_concerns_its_own_messages_only() {
    let localstack = Localstack::shared().await;
    let topic = localstack.topic("there").await;
    let other = localstack.topic("other").await;
    let sent = [topic.name(), "never-created", "never.legal", "mapped.name", topic.name()]
        .map(|topic| sample(topic, Some("k"), "x"));
    let config = config().topic("mapped.name", other.arn());
    let outcomes = publish(&connect(&localstack, config).await, &batch(1, &sent)).await;
    for i in [0, 3, 4] {
        assert_eq!(outcomes[i], Outcome::Delivered, "{i}");
    }
    assert!(matches!(&outcomes[1], Outcome::Destination(e) if e.contains("NotFound")), "{outcomes:?}");
    assert!(matches!(&outcomes[2], Outcome::Destination(e) if e.contains("SnsConfig::topic")), "{outcomes:?}");
    assert_eq!((topic.messages().await.len(), other.messages().await.len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_finds_what_will_cost_time_or_order() {
    let localstack = Localstack::shared().await;
    let (good, standard) = (localstack.topic("good.fifo").await, localstack.topic("standard").await);
    let missing = format!("{}-missing", standard.name());
    let name = |text: &str| text.to_owned();
    let transport = connect(&localstack, config()).await;
    assert_eq!(transport.check(&[name(good.name())]).await.expect("an answer"), []);
    let asked = [name(good.name()), name(standard.name()), missing.clone(), name("a b")];
    let found = transport.check(&asked).await.expect("an answer");
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].contains(&format!("{missing} is not there")) && found[0].contains("declare"), "{found:?}");
    assert!(found[1].contains("a b") && found[1].contains("SnsConfig::topic"), "{found:?}");
    assert!(found[2].contains("no order") && found[2].contains(standard.name()), "{found:?}");

    let large = connect(&localstack, config().max_payload(400_000)).await;
    let found = large.check(&[name(good.name())]).await.expect("an answer");
    assert!(
        found.len() == 1 && found[0].what().contains("takes 262144 bytes, and messages may have 412144"),
        "{found:?}"
    );

    let nobody = SnsConfig::new(Localstack::ARN_PREFIX).endpoint("http://127.0.0.1:1");
    let unreachable = connect(&localstack, nobody).await.check(&[name(good.name())]).await;
    assert!(unreachable.is_err(), "an outage is no finding: {unreachable:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_where_that_is_wanted() {
    let localstack = Localstack::shared().await;
    let name = localstack.topic("declared").await.name().replace("declared", "made");
    let transport = connect(&localstack, config().fifo().max_payload(400_000).declare()).await;
    let to = [sample(&name, Some("k"), "x")];
    let before = publish(&transport, &batch(1, &to)).await;
    assert!(matches!(&before[0], Outcome::Destination(_)), "{before:?}");
    assert_eq!(transport.check(std::slice::from_ref(&name)).await.expect("an answer"), []);
    // Again: it is there.
    assert_eq!(transport.check(std::slice::from_ref(&name)).await.expect("an answer"), []);
    assert_eq!(publish(&transport, &batch(1, &to)).await, [Outcome::Delivered]);
    let unnamed = transport.check(&[]).await.expect("an answer");
    assert!(unnamed.len() == 1 && unnamed[0].advice().contains("name them in `topics`"), "{unnamed:?}");
    assert_eq!(connect(&localstack, config()).await.check(&[]).await.expect("an answer"), []);
    let sns = aws_sdk_sns::Client::new(&localstack.settings().await);
    let arn = format!("{}{name}.fifo", Localstack::ARN_PREFIX);
    let made = sns.get_topic_attributes().topic_arn(arn).send().await.expect("made").attributes.expect("attributes");
    let is = |attribute: &str| made.get(attribute).map(String::as_str);
    assert_eq!((is("FifoTopic"), is("FifoThroughputScope")), (Some("true"), Some("MessageGroup")));
    assert_eq!(is("MaximumMessageSize"), Some("412144"));
}

/// In a process of its own, whose environment it is.
#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_enough() {
    const TOPIC: &str = "OUTBOX_SNS_TEST_TOPIC";
    if let Ok(topic) = std::env::var(TOPIC) {
        let config = SnsConfig::from_env().expect("set");
        let transport = SnsTransport::connect(config).expect("valid settings");
        let outcomes = publish(&transport, &batch(1, &[sample(&topic, Some("k"), "by the environment")])).await;
        assert_eq!(outcomes, [Outcome::Delivered]);
        return;
    }
    let localstack = Localstack::shared().await;
    let topic = localstack.topic("environment.fifo").await;
    let child = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "the_environment_is_enough", "--nocapture"])
        .env(TOPIC, topic.name())
        .env("OUTBOX_SNS_ARN_PREFIX", Localstack::ARN_PREFIX)
        .env("OUTBOX_SNS_ENDPOINT", localstack.url())
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .output()
        .expect("a child");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    assert_eq!(topic.messages().await.first().map(|m| m.body.as_str()), Some("by the environment"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cloud_events_arrive_in_both_modes() {
    let localstack = Localstack::shared().await;
    let formats = [WireFormat::cloud_events_binary("/orders"), WireFormat::cloud_events_structured("/orders")];
    let mut stored = Vec::new();
    for format in formats {
        // A message that is sent again is dropped: each mode gets a topic of its own.
        let topic = localstack.topic("ce.fifo").await;
        let transport = connect(&localstack, config().format(format)).await;
        assert_eq!(publish(&transport, &CloudEvent::batch(topic.name())).await, [Outcome::Delivered]);
        stored.extend(topic.messages().await);
    }
    let header = |name: &str| attribute(&stored[0], name).map(str::to_owned);
    CloudEvent::assert_binary("ce-", header, stored[0].body.as_bytes());
    assert_eq!(attribute(&stored[0], "content-type"), Some("application/json"));
    CloudEvent::assert_structured(stored[1].body.as_bytes());
    assert_eq!(attribute(&stored[1], "content-type"), Some("application/cloudevents+json; charset=utf-8"));
}
