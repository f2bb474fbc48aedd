use std::sync::Arc;

use outbox_core::{Message, StoreError};
use outbox_sql::Names;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::connection::map;

/// Messages of one statement.
const CHUNK: usize = 1_000;

/// The statements that write messages.
#[derive(Debug, Clone)]
pub(super) struct Inserts {
    one: Arc<str>,
    many: Arc<str>,
}

impl Default for Inserts {
    fn default() -> Self {
        Self::new(&Names::default())
    }
}

impl Inserts {
    pub(super) fn new(names: &Names) -> Self {
        let into = "insert into outbox_message (id, topic, key, event_type, payload, content_type, headers)";
        let many = "select id, topic, key, event_type, payload, content_type, headers::jsonb \
            from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::text[]) \
            as u(id, topic, key, event_type, payload, content_type, headers)";
        Self {
            one: names.render(&format!("{into} values ($1, $2, $3, $4, $5, $6, $7::text::jsonb)")).into(),
            many: names.render(&format!("{into} {many}")).into(),
        }
    }

    pub(super) async fn one(&self, conn: &mut PgConnection, m: Message) -> Result<(), StoreError> {
        sqlx::query(AssertSqlSafe(self.one.clone()))
            .bind(m.id.as_uuid())
            .bind(&m.topic)
            .bind(&m.key)
            .bind(&m.event_type)
            .bind(&m.payload[..])
            .bind(&m.content_type)
            .bind(m.headers_json())
            .execute(conn)
            .await
            .map_err(|e| map(e).during("enqueue"))?;
        Ok(())
    }

    pub(super) async fn many(&self, conn: &mut PgConnection, messages: &[Message]) -> Result<(), StoreError> {
        for m in messages.chunks(CHUNK) {
            sqlx::query(AssertSqlSafe(self.many.clone()))
                .bind(m.iter().map(|m| m.id.as_uuid()).collect::<Vec<Uuid>>())
                .bind(m.iter().map(|m| m.topic.as_str()).collect::<Vec<_>>())
                .bind(m.iter().map(|m| m.key.as_deref()).collect::<Vec<_>>())
                .bind(m.iter().map(|m| m.event_type.as_str()).collect::<Vec<_>>())
                .bind(m.iter().map(|m| &m.payload[..]).collect::<Vec<_>>())
                .bind(m.iter().map(|m| m.content_type.as_deref()).collect::<Vec<_>>())
                .bind(m.iter().map(Message::headers_json).collect::<Vec<_>>())
                .execute(&mut *conn)
                .await
                .map_err(|e| map(e).during("enqueue"))?;
        }
        Ok(())
    }
}
