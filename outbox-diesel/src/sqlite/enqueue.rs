use std::sync::Arc;

use diesel::connection::TransactionManager;
use diesel::sql_types::{Binary, Nullable, Text};
use diesel::{Connection, RunQueryDsl, SqliteConnection};
use outbox_core::{Message, StoreError, StoreErrorKind};
use outbox_sql::Names;

use super::connection::map;
use crate::error;
use crate::statement::Statement;

pub(super) fn inside_transaction(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let status = <SqliteConnection as Connection>::TransactionManager::transaction_manager_status_mut(conn);
    error::inside(status)
}

/// The statement that writes a message.
#[derive(Debug, Clone)]
pub(super) struct Insert(Arc<str>);

impl Default for Insert {
    fn default() -> Self {
        Self::new(&Names::default())
    }
}

impl Insert {
    pub(super) fn new(names: &Names) -> Self {
        let sql = "insert into outbox_message (id, topic, key, event_type, payload, content_type, headers) \
            values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        Self(names.render(sql).into())
    }

    pub(super) fn run(&self, conn: &mut SqliteConnection, m: &Message) -> Result<(), StoreError> {
        let id = m.id.as_uuid();
        Statement::new(&self.0)
            .bind::<Binary, _>(&id.as_bytes()[..])
            .bind::<Text, _>(&m.topic)
            .bind::<Nullable<Text>, _>(&m.key)
            .bind::<Text, _>(&m.event_type)
            .bind::<Binary, _>(&m.payload[..])
            .bind::<Nullable<Text>, _>(&m.content_type)
            .bind::<Nullable<Text>, _>(m.headers_json())
            .execute(conn)
            .map(drop)
            .map_err(advise)
    }
}

fn advise(e: diesel::result::Error) -> StoreError {
    let error = map(e).during("enqueue");
    match error.kind() {
        StoreErrorKind::Conflict => error.with_detail(
            "another transaction writes: roll back and run this one again; begin with `conn.immediate_transaction(..)` \
             and `pragma busy_timeout = 5000` to wait instead",
        ),
        _ => error,
    }
}
