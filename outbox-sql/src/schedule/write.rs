use std::collections::VecDeque;

use outbox_core::{Message, MessageId, StoreError};

use super::claim::{Claims, Owner};
use super::{Statement, Window};
use crate::insert::scheduled;
use crate::{Dialect, Names, Value, portions};

/// Messages of one statement.
const CHUNK: usize = 500;

/// Writes messages of which some are for later or have deduplication keys, in the caller's transaction and without I/O
/// of its own: run what [`statement`](Self::statement) gives and [`answer`](Self::answer) with its rows until there is
/// none, then insert what [`finish`](Self::finish) gives into `outbox_message`.
///
/// The claims on keys come first, so that a message draws its number after every wait.
#[derive(Debug)]
pub struct Writing {
    dialect: Dialect,
    names: Names,
    claims: Option<Claims>,
    messages: Vec<Message>,
    ids: Vec<MessageId>,
    written: usize,
    waiting: VecDeque<Statement>,
}

/// What was written.
#[derive(Debug)]
#[non_exhaustive]
pub struct Written {
    /// Those that are not for later: to be inserted, in this order.
    pub now: Vec<Message>,
    /// The id of each message: that of the first one of its deduplication key.
    pub ids: Vec<MessageId>,
    /// How many there are, without those that were left out because of their keys.
    pub written: usize,
}

impl Writing {
    /// Whether one of them is for later or has a deduplication key; where not, one insert does.
    pub fn is_needed(messages: &[Message]) -> bool {
        messages.iter().any(|m| m.due.is_some() || m.dedup_key.is_some())
    }

    /// Keys are remembered for `window`. The messages were checked.
    pub fn new(dialect: Dialect, names: &Names, window: Window, messages: Vec<Message>) -> Self {
        let claims = Claims::of(&messages);
        Self {
            dialect,
            names: names.clone(),
            waiting: claims.statements(dialect, names, window).into(),
            claims: Some(claims),
            messages,
            ids: Vec::new(),
            written: 0,
        }
    }

    /// The next statement to be run.
    ///
    /// # Errors
    /// `Unexpected` where an answer was missing.
    pub fn statement(&mut self) -> Result<Option<Statement>, StoreError> {
        if self.waiting.is_empty()
            && let Some(claims) = self.claims.take()
        {
            self.sort_out(claims)?;
        }
        Ok(self.waiting.pop_front())
    }

    /// The rows of the latest statement.
    ///
    /// # Errors
    /// `Unexpected` where they are not understood.
    pub fn answer(&mut self, rows: &[Vec<Value>]) -> Result<(), StoreError> {
        self.claims.as_mut().map_or(Ok(()), |claims| claims.answer(rows))
    }

    /// What is left to be inserted, and the result.
    pub fn finish(self) -> Written {
        Written { now: self.messages, ids: self.ids, written: self.written }
    }

    /// Leaves out what has been written before, and takes what is for later out of the rest.
    fn sort_out(&mut self, mut claims: Claims) -> Result<(), StoreError> {
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for m in std::mem::take(&mut self.messages) {
            match claims.owner(&m)? {
                Owner::Another(id) => self.ids.push(id),
                Owner::This => {
                    self.ids.push(m.id);
                    let list = if m.due.is_some() { &mut later } else { &mut now };
                    list.push(m);
                }
            }
        }
        self.written = now.len() + later.len();
        self.messages = now;
        self.waiting = portions(&later, CHUNK).map(|some| scheduled(self.dialect, &self.names, some)).collect();
        Ok(())
    }
}
