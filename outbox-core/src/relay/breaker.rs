//! The circuit breaker: an outage of the transport costs time, never attempts.

use std::collections::HashSet;
use std::time::Instant;

use super::policy::{Backoff, Random};

#[derive(Debug)]
pub(crate) struct Breaker {
    backoff: Backoff,
    failures: u32,
    state: State,
    /// What was probed since the outage began: each probe takes another key.
    probed: HashSet<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    Probing,
}

impl Breaker {
    pub(crate) fn new(backoff: Backoff) -> Self {
        Self { backoff, failures: 0, state: State::Closed, probed: HashSet::new() }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// When the next probe is due, if one is.
    pub(crate) fn probe_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            State::Closed | State::Probing => None,
        }
    }

    /// Nothing of a publish was stored, as far as anyone knows.
    pub(crate) fn failed(&mut self, now: Instant, random: &mut Random) {
        // Publishes that were in flight together are one failure.
        if !matches!(self.state, State::Open { .. }) {
            self.failures += 1;
            self.state = State::Open { until: now + self.backoff.after(self.failures, random.next()) };
        }
    }

    /// There was nothing to probe with: the next publish shows.
    pub(crate) fn half_open(&mut self) {
        self.state = State::Closed;
    }

    /// The broker answered.
    pub(crate) fn answered(&mut self) {
        if !matches!(self.state, State::Open { .. }) {
            self.state = State::Closed;
            self.failures = 0;
            self.probed.clear();
        }
    }

    /// It was no outage, as it seems.
    pub(crate) fn probe_now(&mut self, now: Instant) {
        if let State::Open { until } = &mut self.state {
            *until = now.min(*until);
        }
    }

    /// Chooses the first candidate not probed yet, and starts over when all were.
    pub(crate) fn probe(&mut self, candidates: impl Iterator<Item = u64>) -> Option<usize> {
        let mut seen = 0;
        let mut first = None;
        for (i, key) in candidates.enumerate() {
            seen += 1;
            first.get_or_insert(key);
            if self.probed.insert(key) {
                self.state = State::Probing;
                return Some(i);
            }
        }
        if seen == 0 {
            return None;
        }
        self.probed.clear();
        self.probed.extend(first);
        self.state = State::Probing;
        Some(0)
    }
}
