use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::{KafkaRecord, names};

const PATIENCE: Duration = Duration::from_secs(120);
const ONE_CALL: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(50);
/// A topic of a test that ran so long ago is deleted.
const STALE: Duration = Duration::from_secs(3600);

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("reconnect.backoff.max.ms", "200");
    // A broker that is being started refuses connections: that is no news.
    config.set("log_level", "2").set("isolation.level", "read_uncommitted");
    // Assigned by hand: the group is never joined, and its offsets never written.
    config.set("group.id", "testkit").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    config
}

/// Waits until the broker answers and every partition has a leader. Blocks.
pub(crate) fn wait_ready(bootstrap: &str) {
    let consumer: BaseConsumer = config(bootstrap).create().expect("a Kafka client");
    settle(&format!("Kafka at {bootstrap}"), || {
        let seen = consumer.fetch_metadata(None, ONE_CALL).map_err(|e| e.to_string())?;
        if seen.brokers().is_empty() {
            return Err("no broker".into());
        }
        led(seen.topics())
    });
}

/// Waits until the cluster has so many brokers. Blocks.
pub(crate) fn wait_brokers(bootstrap: &str, brokers: usize) {
    let consumer: BaseConsumer = config(bootstrap).create().expect("a Kafka client");
    settle(&format!("{brokers} brokers at {bootstrap}"), || {
        let seen = consumer.fetch_metadata(None, ONE_CALL).map_err(|e| e.to_string())?.brokers().len();
        if seen == brokers { Ok(()) } else { Err(format!("{seen} brokers")) }
    });
}

/// Creates the topic; returns when all its partitions have a leader. Blocks.
pub(crate) fn create(bootstrap: &str, name: &str, partitions: i32, replicas: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = config(bootstrap).create().expect("a Kafka client");
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
    let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    let created = tokio::runtime::Handle::current().block_on(admin.create_topics([&topic], &options));
    for result in created.unwrap_or_else(|e| panic!("the topic {name}: {e}")) {
        result.unwrap_or_else(|(name, e)| panic!("the topic {name}: {e}"));
    }
    let consumer: BaseConsumer = config(bootstrap).create().expect("a Kafka client");
    settle(&format!("the topic {name}"), || {
        let seen = consumer.fetch_metadata(Some(name), ONE_CALL).map_err(|e| e.to_string())?;
        led(seen.topics())
    });
}

/// Deletes the topics of long past tests. Blocks.
pub(crate) fn delete_stale(bootstrap: &str) {
    let admin: AdminClient<DefaultClientContext> = config(bootstrap).create().expect("a Kafka client");
    let Ok(seen) = admin.inner().fetch_metadata(None, ONE_CALL) else { return };
    let old = |name: &&str| names::age(name, '-').is_some_and(|age| age > STALE);
    let stale: Vec<&str> = seen.topics().iter().map(|t| t.name()).filter(old).collect();
    if !stale.is_empty() {
        let deleted = admin.delete_topics(&stale, &AdminOptions::new());
        drop(tokio::runtime::Handle::current().block_on(deleted));
    }
}

/// Everything from the beginning to the high watermarks as of now, by partition and offset. Blocks.
pub(crate) fn read_all(bootstrap: &str, topic: &str) -> Vec<KafkaRecord> {
    let consumer: BaseConsumer = config(bootstrap).create().expect("a Kafka client");
    let mut open: HashMap<i32, i64> = settle(&format!("the topic {topic}"), || {
        let seen = consumer.fetch_metadata(Some(topic), ONE_CALL).map_err(|e| e.to_string())?;
        led(seen.topics())?;
        let partitions = seen.topics().iter().flat_map(|t| t.partitions());
        let ends = partitions.map(|p| Ok((p.id(), consumer.fetch_watermarks(topic, p.id(), ONE_CALL)?)));
        let ends = ends.collect::<Result<Vec<_>, KafkaError>>().map_err(|e| e.to_string())?;
        Ok(ends.into_iter().filter(|(_, (low, high))| low < high).map(|(id, (_, high))| (id, high)).collect())
    });
    let mut from = TopicPartitionList::new();
    for partition in open.keys() {
        from.add_partition_offset(topic, *partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&from).expect("an assignment");
    let (mut records, end) = (Vec::new(), Instant::now() + PATIENCE);
    while !open.is_empty() {
        assert!(Instant::now() < end, "{topic} could not be read up to {open:?} within {PATIENCE:?}");
        match consumer.poll(STEP) {
            None => {}
            Some(Ok(message)) => {
                let (partition, next) = (message.partition(), message.offset() + 1);
                let high = open.get(&partition).copied().unwrap_or_default();
                if next <= high {
                    records.push(record(&message));
                }
                if next >= high {
                    open.remove(&partition);
                }
            }
            // The last offsets may hold no record: those of a transaction's markers.
            Some(Err(KafkaError::PartitionEOF(partition))) => _ = open.remove(&partition),
            // A lost connection: librdkafka goes on by itself.
            Some(Err(e)) => eprintln!("testkit: reading {topic}: {e}"),
        }
    }
    records.sort_by_key(|r| (r.partition, r.offset));
    records
}

fn record(message: &BorrowedMessage<'_>) -> KafkaRecord {
    let headers = message.headers().into_iter().flat_map(|all| all.iter());
    KafkaRecord {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().unwrap_or_default().to_vec(),
        headers: headers.map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect(),
        timestamp_millis: message.timestamp().to_millis(),
    }
}

fn led(topics: &[rdkafka::metadata::MetadataTopic]) -> Result<(), String> {
    for topic in topics {
        if topic.error().is_some() || topic.partitions().is_empty() {
            return Err(format!("{}: {:?}", topic.name(), topic.error()));
        }
        if let Some(p) = topic.partitions().iter().find(|p| p.leader() < 0) {
            return Err(format!("{}/{} has no leader", topic.name(), p.id()));
        }
    }
    Ok(())
}

/// Tries until it succeeds.
fn settle<T>(what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(why) => assert!(Instant::now() < end, "{what} is not ready within {PATIENCE:?}: {why}"),
        }
        std::thread::sleep(STEP);
    }
}
