//! What the retry policies say: which message is tried no more, which key goes on.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::Machine;
use super::dispatch::{lane, size};
use crate::relay::observer::RelayEvent;
use crate::relay::parked::{Fate, Lane, Origin, Parked};
use crate::relay::plan::Size;
use crate::relay::policy::{LET_OFF, Rule};
use crate::transport::Outcome;
use crate::{Batch, MessageRef};

/// A failed attempt.
pub(super) struct Failure {
    pub(super) error: String,
    pub(super) attempts: u32,
    pub(super) rule: Rule,
    pub(super) fate: Fate,
    pub(super) wait: Duration,
}

impl Machine {
    /// Where a message waits, or would.
    pub(super) fn lane_of(&self, m: &MessageRef<'_>) -> Lane {
        self.parking.get(m.seq()).map_or_else(|| lane(m), |p| p.lane)
    }

    pub(super) fn fate_after(&self, attempts: u32, rule: Rule) -> Fate {
        match attempts < self.policy.rules.get(rule).max_attempts {
            true => Fate::Retry,
            false if self.policy.rules.blocks(rule) => Fate::Block,
            false => Fate::Bury,
        }
    }

    pub(super) fn wait_after(&mut self, attempts: u32, rule: Rule, fate: Fate) -> Duration {
        let wait = self.policy.rules.get(rule).backoff.after(attempts, self.random.next());
        // An attempt of unknown end may still arrive.
        if fate == Fate::Bury { wait.max(self.policy.longest_deadline()) } else { wait }
    }

    /// Why a message is too old to be tried, if it is.
    pub(super) fn too_old(&self, m: &MessageRef<'_>, now: Instant) -> Option<String> {
        let rules = &self.policy.rules;
        if !rules.expire() {
            return None;
        }
        let most = rules.get(rules.of(m.event_type())).time_to_live?;
        let (at, wall) = self.wall;
        let since = i64::try_from(now.saturating_duration_since(at).as_micros()).unwrap_or(i64::MAX);
        let age = wall.saturating_add(since).saturating_sub(m.created_at_micros());
        let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
        (age > most).then(|| format!("expired: {} s old, and its time to live is {most:?}", age.as_secs()))
    }

    /// Gives up a message of the log that is too old, or that ended the last process. Says whether it was.
    pub(super) fn give_up_untried(&mut self, m: &MessageRef<'_>, now: Instant) -> bool {
        if let Some(reason) = self.is_guilty(m.seq()) {
            self.bury(m, reason, 1);
            return true;
        }
        let Some(error) = self.too_old(m, now) else { return false };
        if self.maybe_sent.remove(m.seq()) {
            let (rule, wait) = (self.policy.rules.of(m.event_type()), self.policy.longest_deadline());
            let failure = Failure { error, attempts: 0, rule, fate: Fate::Bury, wait };
            self.park_failed(m, Origin::Ready, failure, now);
        } else {
            self.bury(m, error, 0);
        }
        true
    }

    /// A message of the log that the transport cannot take.
    pub(super) fn refuse(&mut self, m: &MessageRef<'_>, error: String, now: Instant) {
        let rule = self.policy.rules.of(m.event_type());
        if self.policy.rules.blocks(rule) {
            let failure = Failure { error, attempts: 1, rule, fate: Fate::Block, wait: Duration::ZERO };
            self.park_failed(m, Origin::Ready, failure, now);
        } else {
            self.bury(m, error, 0);
        }
    }

    /// Whether a parked message that was read again is not to be tried: then it is given up, or stays where it is.
    pub(super) fn is_over(&mut self, m: &MessageRef<'_>, now: Instant) -> bool {
        let rule = self.policy.rules.of(m.event_type());
        self.parking.set_rule(m.seq(), rule);
        let Some(mut parked) = self.parking.get(m.seq()).cloned() else { return true };
        if let Some(reason) = self.is_guilty(m.seq()) {
            self.parking.set_failure(m.seq(), reason, parked.attempts + 1);
            parked.fate = Fate::Bury;
        }
        if parked.fate == Fate::Bury {
            self.bury_parked(m);
            return true;
        }
        // One that only waited behind another was never checked.
        if let Err(e) = self.limits.check_ref(m) {
            parked.error = Some(e.to_string());
            parked.fate = if self.policy.rules.blocks(rule) { Fate::Block } else { Fate::Bury };
        } else if let Some(error) = self.too_old(m, now) {
            (parked.error, parked.fate) = (Some(error), Fate::Bury);
            if parked.maybe_sent {
                parked.due = now + self.policy.longest_deadline();
                self.repark(m.seq(), parked, now);
                return true;
            }
        } else {
            // As the process before this one left it.
            parked.fate = self.fate_after(parked.attempts, rule);
        }
        match parked.fate {
            Fate::Retry => return false,
            Fate::Block => {
                parked.attempts = parked.attempts.max(1);
                self.blocked_now(&parked);
                self.repark(m.seq(), parked, now);
            }
            Fate::Bury => {
                let error = parked.error.unwrap_or_else(|| "no attempt was left".into());
                self.parking.set_failure(m.seq(), error, parked.attempts);
                self.bury_parked(m);
            }
        }
        true
    }

    /// Parks what failed, and its key behind it, unless that goes on without it.
    pub(super) fn park_failed(&mut self, m: &MessageRef<'_>, origin: Origin, failure: Failure, now: Instant) {
        let Failure { error, attempts, rule, fate, wait } = failure;
        let before = self.lane_of(m);
        let lane = if self.policy.rules.passes_by(rule) { Lane::Alone(m.seq()) } else { before };
        let key = m.key().filter(|_| matches!(lane, Lane::Key(_)));
        let tried =
            Parked { attempts, error: Some(error), maybe_sent: true, fate, ..Parked::untried(lane, key, rule, now) };
        let let_off = self.parking.get(m.seq()).map_or(0, |p| p.let_off);
        let entry = Parked { due: now + wait, let_off, ..tried };
        if fate == Fate::Block {
            self.blocked_now(&entry);
        }
        if lane == before {
            self.park_key(m, entry, origin, now);
            self.supersede(lane, now);
        } else if origin == Origin::Parked {
            self.leave(m.seq());
            self.repark(m.seq(), entry, now);
        } else {
            self.park(m, entry, now, size(m), 0);
            self.free(std::iter::once(*m), now);
        }
    }

    pub(super) fn blocked_now(&mut self, parked: &Parked) {
        let error = parked.error.clone().unwrap_or_default();
        self.events.push(RelayEvent::Blocked { key: parked.key.clone(), error });
    }

    /// An attempt of the first of a lane ended, however it did.
    pub(super) fn attempt_ended(&mut self, lane: Lane, now: Instant) {
        self.parking.attempt_ended(lane);
        self.supersede(lane, now);
    }

    /// The first of a lane, if it failed and the policy of its event type says so, is given up for what waits behind
    /// it.
    pub(super) fn supersede(&mut self, lane: Lane, now: Instant) {
        if self.parking.is_retrying(lane) || !self.parking.has_others(lane) {
            return;
        }
        let Some(seq) = self.parking.first_of(lane) else { return };
        let skipped = |p: &&Parked| {
            p.attempts > 0 && p.fate != Fate::Bury && p.rule.is_some_and(|rule| self.policy.rules.skips(rule))
        };
        let Some(mut parked) = self.parking.get(seq).filter(skipped).cloned() else { return };
        let error = parked.error.as_deref().unwrap_or("it failed");
        parked.error = Some(format!("superseded by a newer message of its key: {error}"));
        parked.fate = Fate::Bury;
        parked.due = if parked.maybe_sent { now + self.policy.longest_deadline() } else { now };
        self.repark(seq, parked, now);
    }

    /// Topics of which many keys, and not one message, got an answer, while other topics did: it is theirs, and no
    /// fault of a message.
    pub(super) fn silent_topics(&self, batch: &Batch, said: &[Outcome]) -> HashSet<String> {
        let mut topics: HashMap<&str, (bool, HashSet<Lane>)> = HashMap::new();
        let messages: Vec<MessageRef<'_>> = batch.iter().collect();
        for (m, outcome) in messages.iter().zip(said) {
            let (answered, lanes) = topics.entry(m.topic()).or_default();
            match outcome {
                Outcome::Unknown(_) => _ = lanes.insert(self.lane_of(m)),
                Outcome::Panicked => {}
                Outcome::Delivered | Outcome::Rejected(_) | Outcome::Destination(_) => *answered = true,
            }
        }
        if topics.values().all(|(answered, _)| !answered) {
            return HashSet::new();
        }
        let silent = |(topic, (answered, lanes)): (&str, (bool, HashSet<Lane>))| {
            (!answered && lanes.len() > 1).then(|| topic.to_owned())
        };
        topics.into_iter().filter_map(silent).collect()
    }

    /// Whether several keys got no answer beside what was delivered: the broker may have gone away, or come back, in the
    /// midst of the publish. One key alone is taken for what it looks like, and so is one whose message makes the
    /// transport panic.
    pub(super) fn is_cut_off(&self, batch: &Batch, said: &[Outcome]) -> bool {
        let lanes = |of: fn(&Outcome) -> bool| -> HashSet<Lane> {
            let those = batch.iter().zip(said).filter(|(_, outcome)| of(outcome));
            those.map(|(m, _)| self.lane_of(&m)).collect()
        };
        let panicked = lanes(|outcome| *outcome == Outcome::Panicked);
        lanes(|outcome| matches!(outcome, Outcome::Unknown(_))).difference(&panicked).nth(1).is_some()
    }

    /// Whether what looks like an outage is taken for one: some times for each message. A key that is to go on without
    /// what failed does so at once.
    pub(super) fn is_let_off(&self, m: &MessageRef<'_>) -> bool {
        let times = self.parking.get(m.seq()).map_or(0, |p| p.let_off);
        times < LET_OFF && !self.policy.rules.passes_by(self.policy.rules.of(m.event_type()))
    }

    /// Whether an attempt that got no answer is the topic's fault. Once for each message: what gets none again after
    /// its topic was there fails by itself.
    pub(super) fn is_of_silent(&self, m: &MessageRef<'_>, probe: bool, silent: &HashSet<String>) -> bool {
        let first = self.parking.get(m.seq()).is_none_or(|p| p.refused == 0);
        first && (silent.contains(m.topic()) || probe && self.hold_of(m).is_some())
    }

    /// No answer, and it is the topic's fault: it may have been stored all the same.
    pub(super) fn silent(&mut self, m: &MessageRef<'_>, error: &str, parked: bool, probe: bool, now: Instant) {
        if parked {
            self.parking.mark_maybe_sent(m.seq());
        } else {
            self.maybe_sent.insert(m.seq());
        }
        self.refused(m, error, parked, probe, now);
    }

    /// It waits in its lane no more.
    pub(super) fn leave(&mut self, seq: i64) {
        let Some(lane) = self.parking.get(seq).map(|p| p.lane) else { return };
        self.parking.remove(seq);
        self.parking.attempt_ended(lane);
        if let Lane::Key(hash) = lane
            && !self.parking.holds(lane)
        {
            self.forget_parked_key(hash);
        }
    }

    /// Delivered, or gone. Its key is free when nothing is parked behind it.
    pub(super) fn unpark(&mut self, seq: i64, size: Size) {
        if self.parking.get(seq).is_none() {
            return self.plan.give_back(size);
        }
        self.plan.unpark(seq, size);
        self.leave(seq);
    }
}
