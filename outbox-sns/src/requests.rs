//! From a batch to requests: of one topic, at most ten messages, and 256 KiB in all.

use std::collections::{HashMap, HashSet};
use std::iter::Peekable;
use std::vec;

use outbox_core::{Batch, Outcomes};

use crate::config::USUAL;
use crate::topics::{Destination, Topics};
use crate::wire::{Encoded, Wire};

/// Entries of a request at most.
const MOST: usize = 10;

/// One request to come.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) to: Destination,
    pub(crate) entries: Vec<Encoded>,
}

/// The requests of a batch, each encoded when it is taken. Of what cannot be sent it says so.
#[derive(Debug)]
pub(crate) struct Requests<'a> {
    wire: &'a Wire,
    batch: &'a Batch,
    out: &'a Outcomes,
    /// By topic, in the order of the batch.
    left: vec::IntoIter<(Destination, Peekable<vec::IntoIter<usize>>)>,
    current: Option<(Destination, Peekable<vec::IntoIter<usize>>)>,
    /// Did not fit in the request before.
    over: Option<Encoded>,
    about: usize,
}

impl<'a> Requests<'a> {
    pub(crate) fn new(topics: &Topics, wire: &'a Wire, batch: &'a Batch, out: &'a Outcomes) -> Self {
        let (mut found, mut groups, mut bytes) = (HashMap::new(), Vec::<(Destination, Vec<usize>)>::new(), 0);
        for m in batch.iter() {
            let group = found.entry(m.topic()).or_insert_with(|| {
                topics.find(m.topic()).map(|to| {
                    groups.push((to, Vec::new()));
                    groups.len() - 1
                })
            });
            match group {
                Ok(group) => {
                    groups[*group].1.push(m.index());
                    bytes += m.size();
                }
                Err(why) => out.destination(m, why.as_str()),
            }
        }
        let about = groups.iter().map(|(_, all)| all.len().div_ceil(MOST)).sum::<usize>() + bytes / USUAL;
        let left: Vec<_> = groups.into_iter().map(|(to, all)| (to, all.into_iter().peekable())).collect();
        Self { wire, batch, out, left: left.into_iter(), current: None, over: None, about }
    }

    /// How many there are, more or less.
    pub(crate) fn about(&self) -> usize {
        self.about
    }

    /// The next message that can be sent to the current topic.
    fn encoded(&mut self) -> Option<Encoded> {
        if self.over.is_some() {
            return self.over.take();
        }
        let (to, left) = self.current.as_mut()?;
        left.find_map(|i| {
            let m = self.batch.get(i);
            self.wire.encode(&m, to.fifo).map_err(|e| self.out.reject(i, e)).ok()
        })
    }
}

impl Iterator for Requests<'_> {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        loop {
            let (mut entries, mut size, mut groups) = (Vec::new(), 0, HashSet::new());
            while entries.len() < MOST
                && let Some(next) = self.encoded()
            {
                // Of a group only one: the first could fail, and the second be stored.
                let again = next.group.as_ref().is_some_and(|group| !groups.insert(group.clone()));
                if !entries.is_empty() && (size + next.size > USUAL || again) {
                    self.over = Some(next);
                    break;
                }
                size += next.size;
                entries.push(next);
            }
            if let Some((to, _)) = self.current.as_ref().filter(|_| !entries.is_empty()) {
                return Some(Request { to: to.clone(), entries });
            }
            self.current = Some(self.left.next()?);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use outbox_core::transport::Outcome;
    use outbox_core::wire::WireFormat;
    use outbox_core::{BatchBuilder, Row};

    use super::*;

    const PREFIX: &str = "arn:aws:sns:eu-west-1:1:";

    /// Topic, key and length of the payload of each message; what is requested is topic, and indices.
    fn requests(messages: &[(&str, Option<&str>, usize)]) -> (Vec<(String, Vec<usize>)>, Outcomes) {
        let mut batch = BatchBuilder::new();
        for (seq, (topic, key, len)) in (1..).zip(messages) {
            let payload = vec![b'x'; *len];
            batch.push(&Row {
                seq,
                id: seq as u128,
                created_at: 0,
                topic,
                key: *key,
                event_type: "e",
                payload: &payload,
                content_type: None,
                headers: None,
            });
        }
        let (batch, out) = (batch.finish(), Outcomes::new(messages.len()));
        let topics = Topics::new(PREFIX, &BTreeMap::new(), false).expect("valid");
        let wire = Wire::new(WireFormat::raw(), 1 << 20);
        let requests = Requests::new(&topics, &wire, &batch, &out);
        let short = |r: Request| {
            let name = r.to.arn.strip_prefix(PREFIX).expect("of the account").to_owned();
            (name, r.entries.iter().map(|e| e.index).collect())
        };
        (requests.map(short).collect(), out)
    }

    #[test]
    fn a_request_has_ten_messages_of_one_topic_at_most() {
        let mut messages = vec![("a", None, 1); 21];
        messages[3] = ("b", None, 1);
        messages[20] = ("b", None, 1);
        let (seen, _) = requests(&messages);
        let a: Vec<usize> = (0..20).filter(|i| *i != 3).collect();
        let expected = [("a".into(), a[..10].to_vec()), ("a".into(), a[10..].to_vec()), ("b".into(), vec![3, 20])];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_request_is_of_256_kib_at_most_and_a_larger_message_goes_alone() {
        let sizes = [100_000, 100_000, 100_000, 1, 300_000, 1, 262_006];
        let messages: Vec<_> = sizes.map(|len| ("a", None, len)).into();
        let (seen, _) = requests(&messages);
        let seen: Vec<Vec<usize>> = seen.into_iter().map(|(_, all)| all).collect();
        assert_eq!(seen, [vec![0, 1], vec![2, 3], vec![4], vec![5], vec![6]]);
    }

    #[test]
    fn of_a_fifo_group_a_request_has_one_message() {
        let key = |k| ("a.fifo", Some(k), 1);
        let (seen, _) = requests(&[key("k"), key("l"), key("k"), ("a.fifo", None, 1), key("l"), key("l")]);
        let seen: Vec<Vec<usize>> = seen.into_iter().map(|(_, all)| all).collect();
        assert_eq!(seen, [vec![0, 1], vec![2, 3, 4], vec![5]]);
        let standard = |k| ("a", Some(k), 1);
        assert_eq!(requests(&[standard("k"), standard("k")]).0.len(), 1);
    }

    #[test]
    fn what_cannot_be_sent_costs_only_itself() {
        let (seen, out) = requests(&[("a", None, 1), ("a b", None, 1), ("a", None, 2 << 20), ("a", None, 1)]);
        assert_eq!(seen, [("a".into(), vec![0, 3])]);
        assert!(matches!(out.get(1), Outcome::Destination(why) if why.contains("a b")));
        assert!(matches!(out.get(2), Outcome::Rejected(why) if why.contains("1048576 are allowed")));
        assert_eq!(out.get(0), Outcome::Unknown(None));
        assert!(requests(&[]).0.is_empty());
    }
}
