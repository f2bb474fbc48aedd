//! The harness for Postgres, of any version.

use std::time::Duration;

use outbox_conformance::store::StoreHarness;
use outbox_core::{Message, StoreError};
use outbox_sql::SqlStore;
use outbox_sqlx::Postgres;
use sqlx::{AssertSqlSafe, Connection, PgPool, Row};
use uuid::Uuid;

/// Which server.
pub(crate) trait Server: Sized {
    /// A database of its own, and what has to live as long as it is used.
    fn database() -> impl Future<Output = (String, Self)>;
}

pub(crate) struct Harness<S> {
    outbox: Postgres,
    pool: PgPool,
    _server: S,
}

impl<S> Harness<S> {
    async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
}

impl<S: Server> StoreHarness for Harness<S> {
    type Store = SqlStore;
    type Tx = sqlx::Transaction<'static, sqlx::Postgres>;

    const CONCURRENT_WRITERS: bool = true;

    async fn start() -> Self {
        let (url, server) = S::database().await;
        let pool = PgPool::connect(&url).await.expect("a database");
        let outbox = Postgres::new();
        outbox.migrate(&pool).await.expect("migrated");
        Self { outbox, pool, _server: server }
    }

    async fn store(&self) -> SqlStore {
        self.outbox.store(self.pool.clone())
    }

    async fn begin(&self) -> Self::Tx {
        self.pool.begin().await.expect("begun")
    }

    async fn enqueue(&self, tx: &mut Self::Tx, message: Message) -> Result<(), StoreError> {
        self.outbox.enqueue(tx, message).await.map(drop)
    }

    async fn commit(&self, tx: Self::Tx) -> Result<(), StoreError> {
        self.outbox.commit(tx).await
    }

    async fn rollback(&self, tx: Self::Tx) {
        tx.rollback().await.expect("rolled back");
    }

    async fn age(&self, relay: &str, by: Duration) {
        let aged = "update outbox_relay set expires_at = expires_at - $2 * interval '1 ms' where relay = $1";
        let by = i64::try_from(by.as_millis()).expect("small");
        sqlx::query(aged).bind(relay).bind(by).execute(&self.pool).await.expect("aged");
    }

    async fn dead_letters(&self, relay: &str) -> Vec<(Message, String)> {
        let all = "select id, topic, key, event_type, payload, content_type, headers::text, reason \
            from outbox_dead_letter where relay = $1";
        let rows = sqlx::query(all).bind(relay).fetch_all(&self.pool).await.expect("dead letters");
        let letter = |row: &sqlx::postgres::PgRow| {
            let mut m = Message::new(row.get::<String, _>(1), row.get::<String, _>(3)).id(row.get::<Uuid, _>(0));
            (m.key, m.content_type) = (row.get(2), row.get(5));
            m.payload = row.get::<Vec<u8>, _>(4).into();
            m.headers = headers(row.get(6));
            (m, row.get(7))
        };
        rows.iter().map(letter).collect()
    }

    async fn savepoint(&self, tx: &mut Self::Tx, message: Message) -> Result<bool, StoreError> {
        let mut savepoint = tx.begin().await.expect("a savepoint");
        self.outbox.enqueue(&mut savepoint, message).await?;
        savepoint.rollback().await.expect("rolled back");
        Ok(true)
    }

    async fn retain(&self) -> bool {
        self.outbox.retain(&self.pool, Duration::ZERO).await.expect("retained");
        true
    }

    async fn rewind(&self) -> bool {
        self.run("truncate outbox_message restart identity").await;
        true
    }
}

fn headers(json: Option<String>) -> Vec<(String, String)> {
    let map: std::collections::BTreeMap<String, String> =
        json.map(|json| serde_json::from_str(&json).expect("an object of texts")).unwrap_or_default();
    map.into_iter().collect()
}
