//! Topics, some of which are missing for a while, and what a relay may hand over of one that it knows to be missing.

use std::collections::BTreeMap;

use crate::book::Who;
use crate::world::World;

/// The topic of a message: of every third one a common topic, else its key's own. So a key has messages of two topics,
/// and keys share one.
pub(crate) fn topic(message: u32, key: Option<u8>) -> u8 {
    if message.is_multiple_of(3) { 0 } else { key.map_or(0, |key| key + 1) }
}

/// Topics that a relay knows to be missing.
#[derive(Debug, Default)]
pub(crate) struct Missing(BTreeMap<(Who, u8), Since>);

#[derive(Debug)]
struct Since {
    /// The acquisition under which that was learned.
    acquisition: u64,
    /// Publishes below this number had begun before.
    publish: u64,
    /// The publish that probes it now.
    probe: Option<u64>,
}

/// One publish of a relay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publish {
    pub(crate) who: Who,
    pub(crate) number: u64,
    pub(crate) acquisition: u64,
}

/// What was said of a message when its publish ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Missing,
    Else,
}

impl World {
    /// Of a missing topic one message is tried at a time.
    pub(crate) fn begins(&mut self, publish: Publish, topics: &[u8]) {
        for ((who, topic), since) in &mut self.missing.0 {
            let messages = topics.iter().filter(|t| *t == topic).count();
            if *who != publish.who || since.acquisition != publish.acquisition || messages == 0 {
                continue;
            }
            if messages > 1 || since.probe.is_some() {
                let what =
                    format!("{who} hands over {messages} messages of topic {topic}, which it knows to be missing");
                self.book.broken("G5 outages", what);
            }
            since.probe = Some(publish.number);
        }
    }

    /// A publish ended; `next` is the number of the one that begins next.
    pub(crate) fn ends(&mut self, publish: Publish, next: u64, said: impl Iterator<Item = (u8, Said)>) {
        let Publish { who, number, acquisition } = publish;
        let held = &mut self.missing.0;
        held.values_mut().filter(|since| since.probe == Some(number)).for_each(|since| since.probe = None);
        held.retain(|_, since| since.acquisition == acquisition);
        for (topic, said) in said {
            match said {
                Said::Missing => {
                    let since = Since { acquisition, publish: next, probe: None };
                    held.entry((who, topic)).or_insert(since);
                }
                Said::Else => {
                    if held.get(&(who, topic)).is_some_and(|since| number >= since.publish) {
                        held.remove(&(who, topic));
                    }
                }
            }
        }
    }
}
