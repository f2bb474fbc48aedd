//! What is looked at before the first publish.

use std::collections::BTreeSet;

use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use outbox_core::{BoxError, Finding};

use crate::client::Connected;
use crate::config::{Declaration, OVERHEAD, Settings};
use crate::error::chain;
use crate::streams::Listener;
use crate::wire::check_subject;

/// Makes the stream that is declared, and looks at those of the topics.
pub(crate) async fn check(
    settings: &Settings,
    connected: &Connected,
    topics: &[String],
) -> Result<Vec<Finding>, BoxError> {
    let mut findings = Vec::new();
    if let Some(declared) = &settings.declare {
        findings.extend(declare(settings, connected, declared).await);
    }
    let needed = settings.limits.payload + OVERHEAD;
    let most = connected.nats.max_payload();
    if most < needed {
        findings.push(Finding::new(
            format!(
                "the server takes messages of {most} bytes, and payloads of {} are declared",
                settings.limits.payload
            ),
            format!("set the server's max_payload to {needed} or more, or NatsConfig::max_payload to less"),
        ));
    }
    let mut streams = BTreeSet::new();
    for topic in topics {
        let subject = settings.wire.subject(topic);
        if let Err(e) = check_subject(&subject) {
            findings.push(Finding::new(format!("the topic {topic:?} cannot be published to"), e.to_string()));
            continue;
        }
        match connected.listener(&settings.api, &subject).await {
            Listener::Stream(stream) => _ = streams.insert(stream),
            Listener::Nobody => findings.push(Finding::new(
                format!("no stream has the subject {subject:?}"),
                "make a stream that has it, or let NatsConfig::declare make one",
            )),
            Listener::Unclear(why) => return Err(why.into()),
            Listener::Silence => return Err("JetStream does not answer".into()),
        }
    }
    for name in streams {
        let stream = connected.jetstream.get_stream(&name).await?;
        findings.extend(look(settings, stream.cached_info()));
    }
    Ok(findings)
}

async fn declare(settings: &Settings, connected: &Connected, declared: &Declaration) -> Option<Finding> {
    let config = Config {
        name: declared.name.clone(),
        subjects: declared.subjects.clone(),
        storage: StorageType::File,
        num_replicas: 1,
        duplicate_window: settings.dedup_window,
        allow_atomic_publish: settings.atomic_batches,
        ..Config::default()
    };
    let made = connected.jetstream.get_or_create_stream(config).await;
    made.err().map(|e| {
        let what = format!("the stream {} could not be made: {}", declared.name, chain(&e));
        Finding::new(what, "permit it, or make the stream by hand")
    })
}

/// What of a stream costs messages.
fn look(settings: &Settings, info: &Info) -> Vec<Finding> {
    let Info { config, state, .. } = info;
    let name = &config.name;
    tracing::info!(stream = name, replicas = config.num_replicas, storage = ?config.storage, "a stream was looked at");
    let mut findings = Vec::new();
    let mut found = |what: String, advice: &str| {
        findings.push(Finding::new(format!("the stream {name} {what}"), advice));
    };
    if config.no_ack {
        found("acknowledges nothing, so nothing is ever known to be delivered".into(), "set its no_ack to false");
    }
    if config.sealed {
        found("is sealed, and takes no message".into(), "publish to another stream");
    }
    if config.storage == StorageType::Memory {
        let copies = config.num_replicas;
        found(
            format!("keeps messages in memory only ({copies} replicas): a restart loses what was acknowledged"),
            "set its storage to file",
        );
    }
    if config.duplicate_window < settings.dedup_window {
        let (given, declared) = (config.duplicate_window, settings.dedup_window);
        found(
            format!("drops duplicates for {given:?}, and {declared:?} are declared"),
            "set its duplicate_window, or NatsConfig::dedup_window to that of the stream",
        );
    }
    let most = usize::try_from(config.max_message_size).unwrap_or_default();
    if most > 0 && most < settings.limits.payload + OVERHEAD {
        found(
            format!("takes messages of {most} bytes, and payloads of {} are declared", settings.limits.payload),
            "set its max_msg_size higher (68,576 more than the payload), or NatsConfig::max_payload to less",
        );
    }
    let limits = [
        ("max_msgs", config.max_messages),
        ("max_bytes", config.max_bytes),
        ("max_msgs_per_subject", config.max_messages_per_subject),
    ];
    let limits: Vec<String> =
        limits.iter().filter(|(_, limit)| *limit > 0).map(|(limit, n)| format!("{limit} {n}")).collect();
    if config.discard == DiscardPolicy::Old && !limits.is_empty() {
        found(
            format!("drops its oldest messages beyond {}, whether they were read or not", limits.join(" and ")),
            "set its discard to new: then publishing waits instead",
        );
    }
    if config.retention == RetentionPolicy::Interest && state.consumer_count == 0 {
        found("keeps only what a consumer waits for, and has none".into(), "make its consumers first");
    }
    if settings.atomic_batches && !config.allow_atomic_publish {
        found(
            "stores no batches: messages of one key go one by one".into(),
            "set its allow_atomic (servers from 2.12), or leave NatsConfig::atomic_batches off",
        );
    }
    findings
}
