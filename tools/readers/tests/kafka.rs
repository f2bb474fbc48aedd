//! kcat reads what the transport to Kafka publishes.

use std::collections::BTreeMap;
use std::time::Duration;

use outbox_kafka::{KafkaConfig, KafkaTransport};
use readers::{Read, assert_as_sent, publish, samples};
use testkit::Kafka;
use tokio::process::Command;
use tokio::time::timeout;

/// Each record begins with a line: sizes of key and payload (-1 for null), headers. Key and payload follow, byte for
/// byte.
const FORMAT: &str = "%K %S %h\n%k%s\n";

#[tokio::test(flavor = "multi_thread")]
async fn kcat_reads_messages_as_they_were_sent() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic("kcat", 3).await;
    let sent = samples(&topic);
    let transport = KafkaTransport::connect(KafkaConfig::new(kafka.bootstrap())).expect("valid settings");
    publish(transport, &sent).await;
    let read = ["-b", kafka.bootstrap(), "-C", "-t", &topic, "-o", "beginning", "-e", "-q", "-f", FORMAT];
    let kcat = timeout(Duration::from_secs(60), Command::new("kcat").args(read).kill_on_drop(true).output()).await;
    let kcat = kcat.expect("kcat ends in time").expect("kcat runs: `cargo xtask setup` installs it");
    assert!(kcat.status.success(), "{}", String::from_utf8_lossy(&kcat.stderr));
    assert_as_sent(&sent, &records(&kcat.stdout));
}

fn records(mut printed: &[u8]) -> Vec<Read> {
    let mut records = Vec::new();
    while !printed.is_empty() {
        let end = printed.iter().position(|b| *b == b'\n').expect("a line");
        let line = std::str::from_utf8(&printed[..end]).expect("text");
        let mut parts = line.splitn(3, ' ');
        let mut size = || parts.next().expect("a size").parse::<i64>().expect("a number");
        let (key, payload) = (size(), size());
        assert!(payload >= 0, "an empty payload is no tombstone: {line}");
        let headers = parts.next().expect("headers").split(',').filter_map(|header| header.split_once('='));
        let mut headers: BTreeMap<String, String> = headers.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        printed = &printed[end + 1..];
        let (key, rest) = (usize::try_from(key).ok().map(|len| &printed[..len]), &printed[key.max(0) as usize..]);
        let (payload, rest) = rest.split_at(payload as usize);
        records.push(Read {
            id: headers.remove("message-id").expect("an id"),
            key: key.map(|key| String::from_utf8(key.to_vec()).expect("text")),
            event_type: headers.remove("event-type").expect("a type"),
            content_type: headers.remove("content-type"),
            headers,
            payload: payload.to_vec(),
        });
        printed = rest.strip_prefix(b"\n").expect("the end of a record");
    }
    records
}
