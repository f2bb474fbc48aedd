use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use super::store::{Cursor, MemoryStore};
use crate::admin::{Admin, DeadLetterFilter, DeadMessage, Paused, WaitingMessage};
use crate::{Message, MessageId, ParkedMessage, StoreError, StoreErrorKind, clock};

/// The desk of a store in memory.
#[derive(Debug)]
pub(super) struct Desk(pub(super) MemoryStore);

pub(super) fn dead_message(
    relay: &str,
    seq: i64,
    (message, created_at): &(Message, i64),
    (reason, attempts, history): (String, u32, Vec<String>),
) -> DeadMessage {
    let mut dead = DeadMessage::new(relay.to_owned(), seq, message.clone(), reason);
    (dead.created_at, dead.died_at) = (time(*created_at), time(clock::wall_micros()));
    (dead.attempts, dead.history) = (attempts, history);
    dead
}

fn time(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

impl Desk {
    /// Changes a relay that somebody ran.
    fn change<T>(
        &self,
        operation: &'static str,
        relay: &str,
        change: impl FnOnce(&mut Cursor) -> T,
    ) -> Result<T, StoreError> {
        let mut state = self.0.lock();
        let unknown = || {
            let detail = format!("there is no relay named {relay:?}: run it once");
            StoreError::new(StoreErrorKind::Config, operation).with_detail(detail)
        };
        let cursor = state.relays.get_mut(relay).ok_or_else(unknown)?;
        let changed = change(cursor);
        cursor.orders.revision += 1;
        Ok(changed)
    }

    /// Takes the dead letters out that the filter names, with what is to be done with each.
    fn take(&self, filter: &DeadLetterFilter, mut then: impl FnMut(&mut Cursor, DeadMessage, u32)) -> u64 {
        let mut taken = 0;
        for cursor in self.0.lock().relays.values_mut() {
            let named: Vec<i64> = cursor.dead.values().filter(|d| filter.matches(d)).map(|d| d.seq).collect();
            for (i, seq) in (0..).zip(&named) {
                if let Some(dead) = cursor.dead.remove(seq) {
                    then(cursor, dead, i);
                }
            }
            taken += named.len() as u64;
            cursor.orders.revision += i64::from(!named.is_empty());
        }
        taken
    }
}

#[async_trait]
impl Admin for Desk {
    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<&DeadMessage>,
        limit: usize,
    ) -> Result<Vec<DeadMessage>, StoreError> {
        let state = self.0.lock();
        let all = state.relays.values().flat_map(|cursor| cursor.dead.values());
        let behind = |d: &&DeadMessage| after.is_none_or(|a| (&d.relay, d.seq) > (&a.relay, a.seq));
        Ok(all.filter(|d| filter.matches(d)).filter(behind).take(limit).cloned().collect())
    }

    async fn replay(&self, filter: &DeadLetterFilter, per_second: Option<u32>) -> Result<u64, StoreError> {
        let step = per_second.map_or(Duration::ZERO, |n| Duration::from_secs(1) / n.max(1));
        let now = clock::now();
        Ok(self.take(filter, |cursor, dead, i| {
            let (seq, key) = (dead.seq, dead.message.key);
            let parked = ParkedMessage { seq, key, attempts: 0, due_in: Duration::ZERO, last_error: None };
            cursor.parked.insert(seq, (parked, now + step * i));
        }))
    }

    async fn discard(&self, filter: &DeadLetterFilter) -> Result<u64, StoreError> {
        Ok(self.take(filter, |_, _, _| {}))
    }

    async fn waiting(
        &self,
        relay: &str,
        after: Option<&WaitingMessage>,
        limit: usize,
    ) -> Result<Vec<WaitingMessage>, StoreError> {
        let state = self.0.lock();
        let Some(cursor) = state.relays.get(relay) else { return Ok(Vec::new()) };
        let after = after.map_or(i64::MIN, |a| a.seq.saturating_add(1));
        let waiting = cursor.parked.range(after..).filter_map(|(seq, (parked, due))| {
            let (m, _) = state.log.get(seq)?;
            let due_in = due.saturating_duration_since(clock::now());
            let mut waiting = WaitingMessage::new(*seq, m.id, m.topic.clone(), m.event_type.clone());
            (waiting.key, waiting.attempts, waiting.due_in) = (m.key.clone(), parked.attempts, due_in);
            waiting.last_error.clone_from(&parked.last_error);
            Some(waiting)
        });
        Ok(waiting.take(limit).collect())
    }

    async fn retry(&self, relay: &str, key: Option<&str>) -> Result<u64, StoreError> {
        self.change("retry", relay, |cursor| {
            let mut count = 0;
            for (parked, due) in
                cursor.parked.values_mut().filter(|(p, _)| key.is_none_or(|k| p.key.as_deref() == Some(k)))
            {
                (parked.attempts, parked.last_error, *due) = (0, None, clock::now());
                cursor.errors.remove(&parked.seq);
                count += 1;
            }
            count
        })
    }

    async fn give_up(&self, relay: &str, id: MessageId) -> Result<bool, StoreError> {
        let found = {
            let state = self.0.lock();
            let parked = state.relays.get(relay).map(|cursor| &cursor.parked);
            let of_id = |seq: &&i64| state.log.get(seq).is_some_and(|(m, _)| m.id == id);
            let seq = parked.and_then(|parked| parked.keys().find(of_id).copied());
            seq.and_then(|seq| Some((seq, state.log.get(&seq)?.clone())))
        };
        let Some((seq, entry)) = found else { return Ok(false) };
        self.change("give up", relay, |cursor| {
            let Some((parked, _)) = cursor.parked.remove(&seq) else { return false };
            let reason = parked.last_error.unwrap_or_else(|| "given up by hand".into());
            let history = cursor.errors.remove(&seq).unwrap_or_default().into();
            cursor.dead.insert(seq, dead_message(relay, seq, &entry, (reason, parked.attempts, history)));
            true
        })
    }

    async fn pause(&self, relay: &str) -> Result<(), StoreError> {
        self.change("pause", relay, |cursor| cursor.orders.paused = true)
    }

    async fn resume(&self, relay: &str) -> Result<(), StoreError> {
        self.change("resume", relay, |cursor| cursor.orders.paused = false)
    }

    async fn pause_key(&self, relay: &str, key: &str) -> Result<(), StoreError> {
        self.change("pause", relay, |cursor| {
            let keys = &mut cursor.orders.paused_keys;
            if !keys.iter().any(|k| k == key) {
                keys.push(key.to_owned());
            }
        })
    }

    async fn resume_key(&self, relay: &str, key: &str) -> Result<(), StoreError> {
        self.change("resume", relay, |cursor| cursor.orders.paused_keys.retain(|k| k != key))
    }

    async fn paused(&self) -> Result<Vec<Paused>, StoreError> {
        let state = self.0.lock();
        let mut all = Vec::new();
        for (relay, cursor) in &state.relays {
            // Since when is not kept here.
            let paused = |key| Paused { relay: relay.clone(), key, since: SystemTime::now() };
            all.extend(cursor.orders.paused.then(|| paused(None)));
            all.extend(cursor.orders.paused_keys.iter().cloned().map(Some).map(paused));
        }
        Ok(all)
    }
}
