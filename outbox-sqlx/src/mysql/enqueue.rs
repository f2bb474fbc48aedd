use std::sync::Arc;

use outbox_core::{Message, StoreError};
use outbox_sql::{Dialect, Names, portions};
use sqlx::{AssertSqlSafe, MySqlConnection};

use super::connection::map;

/// Messages of one statement.
const CHUNK: usize = 500;
const ROW: &str = "(?, ?, ?, ?, ?, ?, ?)";

/// The statement that writes messages, up to its values.
#[derive(Debug, Clone)]
pub(super) struct Insert(Arc<str>);

impl Default for Insert {
    fn default() -> Self {
        Self::new(&Names::default())
    }
}

impl Insert {
    pub(super) fn new(names: &Names) -> Self {
        let sql = "insert into outbox_message (id, topic, `key`, event_type, payload, content_type, headers) values ";
        Self(names.render_for(Dialect::Mysql, sql).into())
    }

    /// Messages of one statement take consecutive numbers, in this order.
    pub(super) async fn run(&self, conn: &mut MySqlConnection, messages: &[Message]) -> Result<(), StoreError> {
        for chunk in portions(messages, CHUNK) {
            let rows = vec![ROW; chunk.len()].join(", ");
            // The statement for one message is prepared once a connection; others have too many lengths.
            let query = sqlx::query(AssertSqlSafe(format!("{}{rows}", self.0))).persistent(chunk.len() == 1);
            let query = chunk.iter().fold(query, |query, m| {
                query
                    .bind(m.id.as_uuid().as_bytes().to_vec())
                    .bind(&m.topic)
                    .bind(&m.key)
                    .bind(&m.event_type)
                    .bind(&m.payload[..])
                    .bind(&m.content_type)
                    .bind(m.headers_json())
            });
            query.execute(&mut *conn).await.map_err(|e| map(e).during("enqueue"))?;
        }
        Ok(())
    }
}
