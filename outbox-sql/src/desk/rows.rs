//! From rows to what the desk shows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outbox_core::admin::{DeadMessage, Paused, WaitingMessage};
use outbox_core::{Message, MessageId, StoreError, StoreErrorKind};
use uuid::Uuid;

use crate::Value;
use crate::store::acquire::newest;

pub(super) fn dead(row: &[Value]) -> Result<DeadMessage, StoreError> {
    let text = |i: usize| row[i].text().unwrap_or_default().to_owned();
    let opt = |i: usize| row[i].text().map(str::to_owned);
    let mut message =
        Message::new(text(3), text(5)).id(id(&row[2])?).payload(bytes(row[6].text().unwrap_or_default())?);
    (message.key, message.content_type) = (opt(4), opt(7));
    if let Some(headers) = row[8].text() {
        let headers: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(headers).map_err(|e| broken(format!("headers {headers:?}: {e}")))?;
        let plain = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        message.headers = headers.into_iter().map(|(name, value)| (name, plain(value))).collect();
    }
    let mut dead = DeadMessage::new(text(0), row[1].int().unwrap_or(0), message, text(10));
    dead.created_at = time(&row[9]);
    dead.attempts = u32::try_from(row[11].int().unwrap_or(0)).unwrap_or(0);
    dead.history = row[12].text().map_or_else(Vec::new, |errors| errors.split('\n').map(str::to_owned).collect());
    dead.died_at = time(&row[13]);
    Ok(dead)
}

pub(super) fn waiting(row: &[Value]) -> Result<WaitingMessage, StoreError> {
    let text = |i: usize| row[i].text().unwrap_or_default().to_owned();
    let mut waiting = WaitingMessage::new(row[0].int().unwrap_or(0), id(&row[1])?, text(2), text(4));
    waiting.key = row[3].text().map(str::to_owned);
    waiting.attempts = u32::try_from(row[5].int().unwrap_or(0)).unwrap_or(0);
    waiting.due_in = Duration::from_millis(row[7].int().map_or(0, i64::unsigned_abs));
    waiting.last_error = row[6].text().map(newest);
    Ok(waiting)
}

pub(super) fn paused(row: &[Value]) -> Paused {
    let text = |i: usize| row[i].text().map(str::to_owned);
    Paused { relay: text(0).unwrap_or_default(), key: text(1), since: time(&row[2]) }
}

fn id(value: &Value) -> Result<MessageId, StoreError> {
    let text = value.text().unwrap_or_default();
    Uuid::try_parse(text).map(MessageId::from).map_err(|e| broken(format!("the id {text:?}: {e}")))
}

fn time(value: &Value) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(value.int().unwrap_or(0)).unwrap_or(0))
}

fn bytes(hex: &str) -> Result<Vec<u8>, StoreError> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?);
    pairs.map(byte).collect::<Option<_>>().ok_or_else(|| broken("a payload that is not hexadecimal".into()))
}

fn broken(detail: String) -> StoreError {
    StoreError::new(StoreErrorKind::Unexpected, "dead letters").with_detail(detail)
}
