//! The suite on a server of MySQL or MariaDB through diesel-async.

macro_rules! suite_on {
    ($server:ident) => {
        use std::time::Duration;

        use diesel::sql_query;
        use diesel_async::{
            AnsiTransactionManager, AsyncConnection, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection,
            TransactionManager,
        };
        use outbox_conformance::store::StoreHarness;
        use outbox_core::{Message, StoreError};
        use outbox_diesel::{AsyncMysql, QueueStore};

        struct Harness {
            outbox: AsyncMysql,
            url: String,
        }

        impl Harness {
            async fn open(&self) -> AsyncMysqlConnection {
                AsyncMysqlConnection::establish(&self.url).await.expect("a connection")
            }
        }

        impl StoreHarness for Harness {
            type Store = QueueStore;
            type Tx = AsyncMysqlConnection;

            const CONCURRENT_WRITERS: bool = true;

            async fn start() -> Self {
                let url = testkit::Mysql::$server().await.database().await;
                let outbox = AsyncMysql::new();
                outbox.migrate(&url).await.expect("migrated");
                Self { outbox, url }
            }

            async fn store(&self) -> QueueStore {
                self.outbox.store(&self.url)
            }

            async fn begin(&self) -> AsyncMysqlConnection {
                let mut conn = self.open().await;
                AnsiTransactionManager::begin_transaction(&mut conn).await.expect("begun");
                conn
            }

            async fn enqueue(&self, tx: &mut AsyncMysqlConnection, message: Message) -> Result<(), StoreError> {
                self.outbox.enqueue(tx, message).await.map(drop)
            }

            async fn commit(&self, mut tx: AsyncMysqlConnection) -> Result<(), StoreError> {
                AnsiTransactionManager::commit_transaction(&mut tx).await.expect("committed");
                self.outbox.wake();
                Ok(())
            }

            async fn rollback(&self, mut tx: AsyncMysqlConnection) {
                AnsiTransactionManager::rollback_transaction(&mut tx).await.expect("rolled back");
            }

            async fn age(&self, relay: &str, by: Duration) {
                let by = by.as_micros();
                let aged = format!(
                    "update outbox_relay set expires_at = timestampadd(microsecond, -{by}, expires_at) \
                     where relay = '{relay}'"
                );
                self.open().await.batch_execute(&aged).await.expect("aged");
            }

            async fn dead_letters(&self, relay: &str) -> Vec<(Message, String)> {
                let all = format!(
                    "select hex(id) id, topic, `key`, event_type, payload, content_type, \
                     cast(headers as char) headers, reason from outbox_dead_letter where relay = '{relay}'"
                );
                let letters: Vec<letter::Letter> =
                    sql_query(all).load(&mut self.open().await).await.expect("dead letters");
                letters.into_iter().map(letter::Letter::read).collect()
            }

            async fn savepoint(&self, tx: &mut AsyncMysqlConnection, message: Message) -> Result<bool, StoreError> {
                AnsiTransactionManager::begin_transaction(tx).await.expect("a savepoint");
                self.outbox.enqueue(tx, message).await?;
                AnsiTransactionManager::rollback_transaction(tx).await.expect("rolled back");
                Ok(true)
            }

            async fn rewind(&self) -> bool {
                self.open().await.batch_execute("truncate outbox_message").await.expect("rewound");
                true
            }
        }

        outbox_conformance::store_suite!(Harness);
    };
}
