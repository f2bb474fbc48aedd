use std::sync::Arc;

use outbox_core::{Message, StoreError, StoreErrorKind};
use outbox_sql::Names;
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::connection::map;

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
            values ($1, $2, $3, $4, $5, $6, $7)";
        Self(names.render(sql).into())
    }

    pub(super) async fn run(&self, conn: &mut SqliteConnection, m: Message) -> Result<(), StoreError> {
        sqlx::query(AssertSqlSafe(self.0.clone()))
            .bind(m.id.as_uuid().as_bytes().to_vec())
            .bind(&m.topic)
            .bind(&m.key)
            .bind(&m.event_type)
            .bind(&m.payload[..])
            .bind(&m.content_type)
            .bind(m.headers_json())
            .execute(conn)
            .await
            .map_err(advise)?;
        Ok(())
    }
}

fn advise(e: sqlx::Error) -> StoreError {
    let error = map(e).during("enqueue");
    match error.kind() {
        StoreErrorKind::Conflict => error.with_detail(
            "another transaction writes: roll back and run this one again; begin with BEGIN IMMEDIATE and set a busy \
             timeout to wait instead",
        ),
        _ => error,
    }
}
