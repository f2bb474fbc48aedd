//! Asks the brokers about the topics before the first publish.

mod verdict;

use std::sync::Arc;
use std::time::{Duration, Instant};

use outbox_core::{BoxError, Finding};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::{Metadata, MetadataPartition};
use rdkafka::producer::{Producer, ThreadedProducer};
use tokio::sync::oneshot;

use crate::KafkaConfigError;
use crate::config::Declare;
use crate::confirm::{Callbacks, Confirmations};
use crate::token::Tokens;
use verdict::{Needs, Seen, Settings};

/// How long all of it may take. The brokers' answers take some milliseconds each.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a topic that was just made may take to have a leader.
const ELECTION: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(50);

/// What is to be looked at, and for whom. Not to be printed: the settings have secrets.
pub(crate) struct Check {
    pub(crate) settings: ClientConfig,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) topics: Vec<String>,
    /// The largest record that may come, in bytes.
    pub(crate) record: usize,
    pub(crate) declare: Option<Declare>,
}

type Admin = AdminClient<DefaultClientContext>;

/// Who asks. The client for administration takes no tokens, and a producer knows no settings.
enum Asker {
    Admin(Admin),
    Producer(ThreadedProducer<Callbacks>),
}

impl Asker {
    fn metadata(&self, topic: &str, within: Duration) -> Result<Metadata, KafkaError> {
        match self {
            Self::Admin(admin) => admin.inner().fetch_metadata(Some(topic), within),
            Self::Producer(producer) => producer.client().fetch_metadata(Some(topic), within),
        }
    }
}

/// The client's answers come by channels: no runtime's own time or I/O is needed to wait for them.
fn wait<T>(answer: impl Future<Output = T>) -> Result<T, BoxError> {
    Ok(tokio::runtime::Builder::new_current_thread().build()?.block_on(answer))
}

impl Check {
    /// Takes 10 s at most, on a thread of its own: the client blocks, and the end of a runtime waits for its threads.
    pub(crate) async fn run(self) -> Result<Vec<Finding>, BoxError> {
        let (answer, answered) = oneshot::channel();
        let ask = move || drop(answer.send(self.ask()));
        std::thread::Builder::new().name("outbox-kafka-check".into()).spawn(ask)?;
        answered.await.map_err(|_| "the check of the topics panicked")?
    }

    fn ask(self) -> Result<Vec<Finding>, BoxError> {
        let end = Instant::now() + PATIENCE;
        let mut settings = self.settings.clone();
        // It sends no message, so it needs no producer's id, nor the right to one; and asking must not create a topic.
        settings.remove("enable.idempotence");
        settings.remove("enable.gapless.guarantee");
        settings.set("allow.auto.create.topics", "false");
        let asker = self.asker(&settings).map_err(KafkaConfigError::refused)?;
        let needs = Needs { record: self.record, batch: self.batch() };
        let mut findings = Vec::new();
        for topic in &self.topics {
            // Over the client as a C string.
            if topic.contains('\0') {
                findings.push(Finding::new(format!("the topic {topic:?} contains NUL"), "remove it"));
                continue;
            }
            let mut seen = look(&asker, topic, end)?;
            if matches!(seen, Err(Code::UnknownTopicOrPartition | Code::UnknownTopic))
                && let Some(declare) = self.declare
                && let Asker::Admin(admin) = &asker
            {
                if let Err(finding) = self.create(admin, topic, declare, end)? {
                    findings.push(finding);
                    continue;
                }
                seen = look_once_made(&asker, topic, end)?;
            }
            match seen {
                Ok(partitions) => {
                    let settings = match &asker {
                        Asker::Admin(admin) => settings_of(admin, topic, end)?,
                        Asker::Producer(_) => None,
                    };
                    findings.extend(verdict::on(topic, &partitions, settings.as_ref(), &needs));
                }
                Err(code) => findings.push(verdict::absent(topic, code)),
            }
        }
        Ok(findings)
    }

    fn asker(&self, settings: &ClientConfig) -> Result<Asker, KafkaError> {
        let Some(tokens) = &self.tokens else { return Ok(Asker::Admin(settings.create()?)) };
        let confirmations = Arc::new(Confirmations::new(false, None));
        let callbacks = Callbacks { confirmations, tokens: Some(tokens.clone()) };
        Ok(Asker::Producer(settings.create_with_context(callbacks)?))
    }

    /// What the client puts into one request for one partition, in bytes.
    fn batch(&self) -> usize {
        let set = |name| self.settings.get(name).and_then(|value| value.parse().ok());
        set("batch.size").unwrap_or(crate::config::DEFAULT_RECORD)
    }

    fn create(
        &self,
        admin: &Admin,
        topic: &str,
        declare: Declare,
        end: Instant,
    ) -> Result<Result<(), Finding>, BoxError> {
        let (partitions, replication) = (declare.partitions.cast_signed(), i32::from(declare.replication));
        let most = self.record.to_string();
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replication));
        if replication >= 3 {
            new = new.set("min.insync.replicas", "2");
        }
        if self.record > verdict::USUAL_RECORD {
            new = new.set("max.message.bytes", &most);
        }
        let within = left(end)?;
        let options = AdminOptions::new().request_timeout(Some(within)).operation_timeout(Some(within));
        let made = wait(admin.create_topics([&new], &options))??;
        match made.into_iter().next() {
            Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => {
                tracing::info!(topic, partitions, replication, "a topic of Kafka was created");
                Ok(Ok(()))
            }
            Some(Err((_, code))) => Ok(Err(verdict::not_made(topic, declare, code))),
            None => Err("Kafka did not say what became of a topic that was to be created".into()),
        }
    }
}

/// The partitions of a topic, or why there are none to be seen.
fn look(asker: &Asker, topic: &str, end: Instant) -> Result<Result<Vec<Seen>, Code>, BoxError> {
    let metadata = asker.metadata(topic, left(end)?)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let seen = |p: &MetadataPartition| Seen { led: p.leader() >= 0, replicas: p.replicas().len(), isr: p.isr().len() };
    Ok(match found.map(|found| (found.error(), found.partitions())) {
        Some((None, partitions)) => Ok(partitions.iter().map(seen).collect()),
        Some((Some(error), _)) => Err(error.into()),
        None => Err(Code::UnknownTopicOrPartition),
    })
}

/// Not all brokers know of a new topic at once, and its leaders are elected after its creation.
fn look_once_made(asker: &Asker, topic: &str, end: Instant) -> Result<Result<Vec<Seen>, Code>, BoxError> {
    let late = Instant::now() + ELECTION;
    loop {
        let seen = look(asker, topic, end)?;
        let led = seen.as_ref().is_ok_and(|partitions| !partitions.is_empty() && partitions.iter().all(|p| p.led));
        if led || Instant::now() >= late {
            return Ok(seen);
        }
        std::thread::sleep(STEP);
    }
}

/// `None`: they may not be read. The client gives no error for that, but an empty list.
fn settings_of(admin: &Admin, topic: &str, end: Instant) -> Result<Option<Settings>, BoxError> {
    let options = AdminOptions::new().request_timeout(Some(left(end)?));
    let resource = ResourceSpecifier::Topic(topic);
    let described = match wait(admin.describe_configs([&resource], &options))? {
        Err(KafkaError::AdminOp(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)) => return Ok(None),
        described => described?,
    };
    let resource = described.into_iter().next().and_then(Result::ok).filter(|resource| !resource.entries.is_empty());
    Ok(resource.as_ref().map(Settings::of))
}

/// What is left of the time.
fn left(end: Instant) -> Result<Duration, BoxError> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(format!("Kafka did not answer all questions about the topics within {PATIENCE:?}").into());
    }
    Ok(left)
}
