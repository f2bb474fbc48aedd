//! After crashes without progress: one message at a time, noted before it is handed over, so that the one that ends its
//! process is known afterwards.

use std::time::Instant;

use super::{Action, Machine};
use crate::relay::observer::RelayEvent;
use crate::{Batch, Crashes, Note, Outcomes};

/// Crashes without progress at which it begins.
const CRASHES: u32 = 3;

#[derive(Debug)]
pub(super) struct Isolation {
    /// It was handed over when the last process ended.
    guilty: Option<i64>,
    /// It is noted.
    noted: Option<i64>,
    /// Messages until it ends: what the processes that crashed may have had handed over.
    left: usize,
}

/// What is to be noted, and what waits for that.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// On record, or under way.
    outage: bool,
    under_way: bool,
    then: Option<Action>,
}

impl Machine {
    /// Begins with what is known of the processes before this one.
    pub(super) fn isolate(&mut self, crashes: Crashes) {
        if crashes.count < CRASHES && crashes.suspect.is_none() {
            return;
        }
        self.events.push(RelayEvent::Isolating { crashes: crashes.count });
        self.isolation = Some(Isolation { guilty: crashes.suspect, noted: None, left: self.policy.window_messages });
    }

    /// Why a message is given up untried, if it is: the last process ended with it.
    pub(super) fn is_guilty(&mut self, seq: i64) -> Option<String> {
        let isolation = self.isolation.as_mut()?;
        isolation.guilty.take_if(|guilty| *guilty == seq)?;
        Some("its process ended while it alone was handed over, after others had ended as well".into())
    }

    /// The first message alone, where only one may be handed over; the others keep their place.
    pub(super) fn first_alone(&mut self, batch: Batch) -> Batch {
        if self.isolation.is_none() || batch.len() < 2 {
            return batch;
        }
        let mut slots: Vec<_> = (0..batch.len()).map(|i| batch.slot(i)).collect();
        let rest = slots.split_off(1);
        self.ready.push_front(Batch::from_slots(rest));
        Batch::from_slots(slots)
    }

    /// Whether a message is being handed over, or read to be; or a note is on its way, so that none can be written.
    pub(super) fn is_confined(&self) -> bool {
        self.isolation.is_some() && (self.reading || self.notes.under_way || self.notes.then.is_some())
    }

    /// An action that hands this message over, or will: it is noted first where that has to be.
    pub(super) fn confined(&mut self, seq: i64, action: Action) -> Action {
        match &mut self.isolation {
            Some(isolation) if isolation.noted != Some(seq) => {
                isolation.noted = Some(seq);
                isolation.left = isolation.left.saturating_sub(1);
                self.notes.then = Some(action);
                self.note()
            }
            _ => action,
        }
    }

    /// What nothing waits for: an outage that began or ended, and the end of the isolation.
    pub(super) fn next_note(&mut self) -> Option<Action> {
        if self.notes.under_way || self.notes.then.is_some() {
            return None;
        }
        let quiet = self.flights.is_empty() && !self.reading && self.ready.is_empty() && self.stalled.is_empty();
        let over = |i: &Isolation, drained: bool| i.left == 0 || drained && i.guilty.is_none();
        let drained = self.drained && quiet && self.parked_before.is_none();
        if self.isolation.as_ref().is_some_and(|i| quiet && over(i, drained)) {
            self.isolation = None;
            return Some(self.note());
        }
        (self.notes.outage == self.breaker.is_closed()).then(|| self.note())
    }

    fn note(&mut self) -> Action {
        self.notes.under_way = true;
        self.notes.outage = !self.breaker.is_closed();
        Action::Note(Note { suspect: self.isolation.as_ref().and_then(|i| i.noted), outage: self.notes.outage })
    }

    /// The note is on record.
    pub(crate) fn noted(&mut self, now: Instant) -> Option<Action> {
        self.notes.under_way = false;
        match self.notes.then.take()? {
            // The lease grew old meanwhile: it is not handed over, and nothing is known of it.
            Action::Publish { id, batch, .. } if !self.may_publish(now) => {
                let outcomes = Outcomes::new(batch.len());
                outcomes.close();
                self.published(id, &outcomes, now);
                None
            }
            action => Some(action),
        }
    }

    pub(super) fn is_noting(&self) -> bool {
        self.notes.under_way
    }
}
