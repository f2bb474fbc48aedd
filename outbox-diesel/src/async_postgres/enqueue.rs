use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, TransactionManager};
use outbox_core::{Message, StoreError};

use super::connection::map;
use crate::error;
use crate::pg::{CHUNK, Inserts};

pub(super) fn inside_transaction(conn: &mut AsyncPgConnection) -> Result<(), StoreError> {
    let status = <AsyncPgConnection as AsyncConnection>::TransactionManager::transaction_manager_status_mut(conn);
    error::inside(status)
}

pub(super) async fn one(sql: &Inserts, conn: &mut AsyncPgConnection, m: &Message) -> Result<(), StoreError> {
    sql.one(m).execute(conn).await.map(drop).map_err(|e| map(e).during("enqueue"))
}

pub(super) async fn many(sql: &Inserts, conn: &mut AsyncPgConnection, messages: &[Message]) -> Result<(), StoreError> {
    for chunk in messages.chunks(CHUNK) {
        sql.many(chunk).execute(conn).await.map_err(|e| map(e).during("enqueue"))?;
    }
    Ok(())
}
