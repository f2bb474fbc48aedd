use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl, TransactionManager};
use outbox_core::{Message, StoreError};
use outbox_sql::portions;

use super::connection::map;
use crate::error;
use crate::my::{CHUNK, Insert};

pub(super) fn inside_transaction(conn: &mut AsyncMysqlConnection) -> Result<(), StoreError> {
    let status = <AsyncMysqlConnection as AsyncConnection>::TransactionManager::transaction_manager_status_mut(conn);
    error::inside(status)
}

pub(super) async fn write(
    sql: &Insert,
    conn: &mut AsyncMysqlConnection,
    messages: &[Message],
) -> Result<(), StoreError> {
    for chunk in portions(messages, CHUNK) {
        sql.of(chunk).execute(conn).await.map_err(|e| map(e).during("enqueue"))?;
    }
    Ok(())
}
