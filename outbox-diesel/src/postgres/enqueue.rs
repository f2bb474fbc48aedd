use diesel::connection::TransactionManager;
use diesel::{Connection, PgConnection, RunQueryDsl};
use outbox_core::{Message, StoreError};

use super::connection::map;
use crate::error;
use crate::pg::{CHUNK, Inserts};

pub(super) fn inside_transaction(conn: &mut PgConnection) -> Result<(), StoreError> {
    let status = <PgConnection as Connection>::TransactionManager::transaction_manager_status_mut(conn);
    error::inside(status)
}

pub(super) fn one(sql: &Inserts, conn: &mut PgConnection, m: &Message) -> Result<(), StoreError> {
    sql.one(m).execute(conn).map(drop).map_err(|e| map(e).during("enqueue"))
}

pub(super) fn many(sql: &Inserts, conn: &mut PgConnection, messages: &[Message]) -> Result<(), StoreError> {
    for chunk in messages.chunks(CHUNK) {
        sql.many(chunk).execute(conn).map_err(|e| map(e).during("enqueue"))?;
    }
    Ok(())
}
