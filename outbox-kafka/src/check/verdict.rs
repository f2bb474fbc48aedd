//! What the state of a topic means for the messages to come.

use outbox_core::Finding;
use rdkafka::admin::ConfigResource;
use rdkafka::error::RDKafkaErrorCode as Code;

use crate::config::Declare;

/// Kafka's default for `max.message.bytes`.
pub(super) const USUAL_RECORD: usize = 1_048_588;

/// What messages ask of a topic, in bytes.
#[derive(Debug)]
pub(super) struct Needs {
    /// The largest record that may come.
    pub(super) record: usize,
    /// What the client puts into one request for one partition.
    pub(super) batch: usize,
}

/// A partition as the brokers see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) led: bool,
    pub(super) replicas: usize,
    pub(super) isr: usize,
}

/// The settings of a topic that matter; `None` where the broker did not say.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Settings {
    min_isr: Option<usize>,
    max_message: Option<usize>,
    compacts: bool,
    unclean: bool,
}

impl Settings {
    pub(super) fn of(resource: &ConfigResource) -> Self {
        let value = |name| resource.get(name).and_then(|entry| entry.value.as_deref());
        let number = |name| value(name).and_then(|value| value.parse().ok());
        Self {
            min_isr: number("min.insync.replicas"),
            max_message: number("max.message.bytes"),
            compacts: value("cleanup.policy").is_some_and(|policy| policy.contains("compact")),
            unclean: value("unclean.leader.election.enable") == Some("true"),
        }
    }
}

pub(super) fn on(topic: &str, partitions: &[Seen], settings: Option<&Settings>, needs: &Needs) -> Vec<Finding> {
    let replicas = partitions.iter().map(|p| p.replicas).min().unwrap_or_default();
    let mut findings = Vec::new();
    let mut found = |what: String, advice: &str| findings.push(Finding::new(what, advice));
    let leaderless = partitions.iter().filter(|p| !p.led).count();
    if leaderless > 0 {
        found(
            format!("{leaderless} of {} partitions of the topic {topic} have no leader", partitions.len()),
            "their messages wait until a broker with a replica is back",
        );
    }
    if replicas == 1 {
        found(
            format!("the topic {topic} has one replica (replication factor 1)"),
            "what was acknowledged is lost with that broker's disk: raise the replication factor to 3, and \
             min.insync.replicas to 2",
        );
    }
    let Some(settings) = settings else {
        found(
            format!("the settings of the topic {topic} cannot be read"),
            "allow DescribeConfigs on it (with tokens they cannot be asked for), or see to min.insync.replicas (2) and \
             max.message.bytes by hand",
        );
        return findings;
    };
    match settings.min_isr {
        Some(0 | 1) if replicas > 1 => found(
            format!("min.insync.replicas of the topic {topic} is 1, of {replicas} replicas"),
            "what one broker alone has acknowledged is lost with it: set min.insync.replicas to 2",
        ),
        Some(min) if min > replicas => found(
            format!("min.insync.replicas of the topic {topic} is {min}, and it has {replicas} replicas"),
            "nothing can be stored: lower min.insync.replicas, or raise the replication factor",
        ),
        Some(min) => {
            let short = partitions.iter().filter(|p| p.isr < min).count();
            if short > 0 {
                found(
                    format!("{short} partitions of the topic {topic} have fewer than {min} replicas in sync"),
                    "their messages wait until brokers are back (min.insync.replicas)",
                );
            }
        }
        None => {}
    }
    if settings.unclean {
        found(
            format!("unclean.leader.election.enable of the topic {topic} is true"),
            "a replica that lags may become the leader, and what was acknowledged is lost: set it to false",
        );
    }
    match settings.max_message {
        Some(most) if most < needs.record => found(
            format!("max.message.bytes of the topic {topic} is {most}, and records may have {} bytes", needs.record),
            "larger ones become dead letters: raise max.message.bytes, or lower KafkaConfig::max_payload",
        ),
        Some(most) if most < needs.batch => found(
            format!("max.message.bytes of the topic {topic} is {most}, and requests have up to {} bytes", needs.batch),
            "full requests are refused and sent again in parts, slowly: raise max.message.bytes to 1048588, or lower \
             the option batch.size",
        ),
        _ => {}
    }
    if settings.compacts {
        found(
            format!("the topic {topic} is compacted (cleanup.policy)"),
            "messages without a key become dead letters, and of each key the last one alone is kept: set \
             cleanup.policy to delete, unless every message holds the whole state of its key",
        );
    }
    findings
}

/// On a topic that cannot be looked at.
pub(super) fn absent(topic: &str, code: Code) -> Finding {
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic => Finding::new(
            format!("the topic {topic} does not exist"),
            "create it, or let KafkaConfig::declare do so; until then its messages wait for retries",
        ),
        Code::TopicAuthorizationFailed => Finding::new(
            format!("the topic {topic} may not be used: {code}"),
            "allow this user Describe and Write on it",
        ),
        code => Finding::new(format!("of the topic {topic} the broker says: {code}"), "see to it at the broker"),
    }
}

/// On a topic that was to be made.
pub(super) fn not_made(topic: &str, declare: Declare, code: Code) -> Finding {
    let Declare { partitions, replication } = declare;
    Finding::new(
        format!("the topic {topic} does not exist, and could not be created: {code}"),
        format!(
            "create it by hand, or see to KafkaConfig::declare (partitions {partitions}, replicas {replication}) and \
             the right to Create"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: Needs = Needs { record: 1_000_000, batch: 1_000_000 };
    const SAFE: Settings =
        Settings { min_isr: Some(2), max_message: Some(USUAL_RECORD), compacts: false, unclean: false };

    fn words(replicas: usize, isr: usize, settings: Option<Settings>) -> Vec<String> {
        let seen = Seen { led: true, replicas, isr };
        on("orders", &[seen; 4], settings.as_ref(), &NEEDS).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_safe_topic_is_worth_no_word() {
        assert_eq!(words(3, 3, Some(SAFE)), Vec::<String>::new());
        assert_eq!(words(3, 2, Some(SAFE)), Vec::<String>::new(), "one replica may lag");
    }

    #[test]
    fn each_weakness_is_one_finding_that_names_the_setting() {
        for (found, setting) in [
            (words(1, 1, Some(Settings { min_isr: Some(1), ..SAFE })), "replication factor"),
            (words(3, 3, Some(Settings { min_isr: Some(1), ..SAFE })), "min.insync.replicas to 2"),
            (words(2, 2, Some(Settings { min_isr: Some(3), ..SAFE })), "nothing can be stored"),
            (words(3, 1, Some(SAFE)), "4 partitions"),
            (words(3, 3, Some(Settings { unclean: true, ..SAFE })), "unclean.leader.election.enable"),
            (words(3, 3, Some(Settings { max_message: Some(900_000), ..SAFE })), "max_payload"),
            (words(3, 3, Some(Settings { compacts: true, ..SAFE })), "cleanup.policy"),
            (words(3, 3, None), "DescribeConfigs"),
        ] {
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(setting) && found[0].contains("orders"), "{found:?}");
        }
    }

    #[test]
    fn full_requests_count_where_single_records_fit() {
        let small = Needs { record: 110_000, ..NEEDS };
        let settings = Settings { max_message: Some(500_000), ..SAFE };
        let seen = Seen { led: true, replicas: 3, isr: 3 };
        let found = on("orders", &[seen], Some(&settings), &small);
        assert!(found.len() == 1 && found[0].advice().contains("batch.size"), "{found:?}");
        let lowered = Needs { batch: 400_000, ..small };
        assert_eq!(on("orders", &[seen], Some(&settings), &lowered), []);
        let lost = on("orders", &[seen, Seen { led: false, ..seen }], Some(&SAFE), &NEEDS);
        assert!(lost.len() == 1 && lost[0].what().starts_with("1 of 2 partitions"), "{lost:?}");
    }

    #[test]
    fn a_topic_that_is_not_there_comes_with_advice() {
        assert!(absent("orders", Code::UnknownTopicOrPartition).to_string().contains("declare"));
        assert!(absent("orders", Code::TopicAuthorizationFailed).to_string().contains("Write"));
        let declare = Declare { partitions: 3, replication: 9 };
        assert!(not_made("orders", declare, Code::InvalidReplicationFactor).advice().contains("replicas 9"));
    }
}
