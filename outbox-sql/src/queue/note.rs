use outbox_core::{Crashes, Note, StoreError, StoreErrorKind};

use super::{QueueStore, Session};
use crate::store::note::told;
use crate::{Value, literals};

impl QueueStore {
    pub(super) async fn crashes_before(&self, session: &Session) -> Result<Crashes, StoreError> {
        let kept = &mut *session.settling.lock().await;
        let mut conn = kept.take().ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, "crashes"))?;
        let rows = conn.query(&self.sql.crashes, &session.own()).await?;
        *kept = Some(conn);
        told(&rows)
    }

    pub(super) async fn write_note(&self, session: &Session, note: Note) -> Result<(), StoreError> {
        // Taken out: after an error, or when this is dropped half-way, it goes, and its open transaction with it.
        let kept = &mut *session.settling.lock().await;
        let mut conn = kept.take().ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, "note"))?;
        let mut params = session.own();
        params.extend([Value::Int(note.suspect), i64::from(note.outage).into()]);
        if !self.in_transaction(&mut *conn, session, &[literals(&self.sql.note, &params)]).await? {
            return Err(StoreError::new(StoreErrorKind::LeaseLost, "note"));
        }
        *kept = Some(conn);
        Ok(())
    }
}
