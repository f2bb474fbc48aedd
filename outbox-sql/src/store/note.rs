use outbox_core::{Crashes, Note, StoreError, StoreErrorKind};

use super::SqlStore;
use super::session::Session;
use crate::Value;

impl SqlStore {
    pub(super) async fn crashes_before(&self, session: &Session) -> Result<Crashes, StoreError> {
        let kept = &mut *session.settling.lock().await;
        let mut conn = kept.take().ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, "crashes"))?;
        let rows = conn.query(&self.sql.crashes, &session.own()).await?;
        *kept = Some(conn);
        told(&rows)
    }

    pub(super) async fn write_note(&self, session: &Session, note: Note) -> Result<(), StoreError> {
        // Taken out: after an error, or when this is dropped half-way, it goes.
        let kept = &mut *session.settling.lock().await;
        let mut conn = kept.take().ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, "note"))?;
        let mut params = session.own();
        params.extend([Value::Int(note.suspect), i64::from(note.outage).into()]);
        conn.script(&self.sql.durable).await?;
        let rows = conn.query(&self.sql.note, &params).await?;
        conn.script(&self.sql.lazy).await?;
        if rows.is_empty() {
            return Err(StoreError::new(StoreErrorKind::LeaseLost, "note"));
        }
        *kept = Some(conn);
        Ok(())
    }
}

/// What the statement `crashes` gives.
pub(crate) fn told(rows: &[Vec<Value>]) -> Result<Crashes, StoreError> {
    let row = rows.first().ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, "crashes"))?;
    let count = row[0].int().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    Ok(Crashes { count, suspect: row[1].int() })
}
