//! The harness for MySQL and MariaDB: `Harness` with another server.

use std::time::Duration;

use outbox_core::{Message, StoreError};
use outbox_sql::QueueStore;
use outbox_sqlx::Mysql;
use sqlx::{AssertSqlSafe, Connection, MySqlPool, Row};
use uuid::Uuid;

pub(crate) struct Tables {
    pub(crate) outbox: Mysql,
    pub(crate) pool: MySqlPool,
}

impl Tables {
    pub(crate) async fn new(server: &testkit::Mysql) -> Self {
        let pool = MySqlPool::connect(&server.database().await).await.expect("a database");
        let outbox = Mysql::new();
        outbox.migrate(&pool).await.expect("migrated");
        Self { outbox, pool }
    }

    pub(crate) async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    pub(crate) async fn age(&self, relay: &str, by: Duration) {
        let aged = "update outbox_relay set expires_at = timestampadd(microsecond, ?, expires_at) where relay = ?";
        let by = i64::try_from(by.as_micros()).expect("small");
        sqlx::query(aged).bind(-by).bind(relay).execute(&self.pool).await.expect("aged");
    }

    pub(crate) async fn dead_letters(&self, relay: &str) -> Vec<(Message, String)> {
        let all = "select id, topic, `key`, event_type, payload, content_type, cast(headers as char), reason \
            from outbox_dead_letter where relay = ?";
        let rows = sqlx::query(all).bind(relay).fetch_all(&self.pool).await.expect("dead letters");
        let letter = |row: &sqlx::mysql::MySqlRow| {
            let mut m = Message::new(row.get::<String, _>(1), row.get::<String, _>(3)).id(row.get::<Uuid, _>(0));
            (m.key, m.content_type) = (row.get(2), row.get(5));
            m.payload = row.get::<Vec<u8>, _>(4).into();
            m.headers = headers(row.get(6));
            (m, row.get(7))
        };
        rows.iter().map(letter).collect()
    }

    pub(crate) async fn savepoint(
        &self,
        tx: &mut sqlx::Transaction<'static, sqlx::MySql>,
        message: Message,
    ) -> Result<bool, StoreError> {
        let mut savepoint = tx.begin().await.expect("a savepoint");
        self.outbox.enqueue(&mut savepoint, message).await?;
        savepoint.rollback().await.expect("rolled back");
        Ok(true)
    }

    pub(crate) fn store(&self) -> QueueStore {
        self.outbox.store(self.pool.clone())
    }
}

fn headers(json: Option<String>) -> Vec<(String, String)> {
    let map: std::collections::BTreeMap<String, String> =
        json.map(|json| serde_json::from_str(&json).expect("an object of texts")).unwrap_or_default();
    map.into_iter().collect()
}

/// The suite on a server.
#[macro_export]
macro_rules! suite_on {
    ($server:ident) => {
        struct Harness(mysql_harness::Tables);

        impl outbox_conformance::store::StoreHarness for Harness {
            type Store = outbox_sql::QueueStore;
            type Tx = sqlx::Transaction<'static, sqlx::MySql>;

            const CONCURRENT_WRITERS: bool = true;

            async fn start() -> Self {
                Self(mysql_harness::Tables::new(&testkit::Mysql::$server().await).await)
            }

            async fn store(&self) -> outbox_sql::QueueStore {
                self.0.store()
            }

            async fn begin(&self) -> Self::Tx {
                self.0.pool.begin().await.expect("begun")
            }

            async fn enqueue(
                &self,
                tx: &mut Self::Tx,
                message: outbox_core::Message,
            ) -> Result<(), outbox_core::StoreError> {
                self.0.outbox.enqueue(tx, message).await.map(drop)
            }

            async fn commit(&self, tx: Self::Tx) -> Result<(), outbox_core::StoreError> {
                self.0.outbox.commit(tx).await
            }

            async fn rollback(&self, tx: Self::Tx) {
                tx.rollback().await.expect("rolled back");
            }

            async fn age(&self, relay: &str, by: std::time::Duration) {
                self.0.age(relay, by).await;
            }

            async fn dead_letters(&self, relay: &str) -> Vec<(outbox_core::Message, String)> {
                self.0.dead_letters(relay).await
            }

            async fn savepoint(
                &self,
                tx: &mut Self::Tx,
                message: outbox_core::Message,
            ) -> Result<bool, outbox_core::StoreError> {
                self.0.savepoint(tx, message).await
            }

            async fn rewind(&self) -> bool {
                self.0.run("truncate outbox_message").await;
                true
            }
        }

        outbox_conformance::store_suite!(Harness);
    };
}
