use diesel::connection::TransactionManager;
use diesel::{Connection, MysqlConnection, RunQueryDsl};
use outbox_core::{Message, StoreError};
use outbox_sql::portions;

use super::connection::map;
use crate::error;
use crate::my::{CHUNK, Insert};

pub(super) fn inside_transaction(conn: &mut MysqlConnection) -> Result<(), StoreError> {
    let status = <MysqlConnection as Connection>::TransactionManager::transaction_manager_status_mut(conn);
    error::inside(status)
}

pub(super) fn write(sql: &Insert, conn: &mut MysqlConnection, messages: &[Message]) -> Result<(), StoreError> {
    for chunk in portions(messages, CHUNK) {
        sql.of(chunk).execute(conn).map_err(|e| map(e).during("enqueue"))?;
    }
    Ok(())
}
