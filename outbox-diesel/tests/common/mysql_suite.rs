//! The suite on a server of MySQL or MariaDB through libmariadb.

macro_rules! suite_on {
    ($server:ident) => {
        use std::time::Duration;

        use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
        use diesel::{Connection, MysqlConnection, RunQueryDsl, sql_query};
        use outbox_conformance::store::StoreHarness;
        use outbox_core::{Message, StoreError};
        use outbox_diesel::{Mysql, QueueStore};

        struct Harness {
            outbox: Mysql,
            url: String,
        }

        impl Harness {
            fn open(&self) -> MysqlConnection {
                MysqlConnection::establish(&self.url).expect("a connection")
            }
        }

        impl StoreHarness for Harness {
            type Store = QueueStore;
            type Tx = MysqlConnection;

            const CONCURRENT_WRITERS: bool = true;

            async fn start() -> Self {
                let url = testkit::Mysql::$server().await.database().await;
                let outbox = Mysql::new();
                outbox.migrate(&url).await.expect("migrated");
                Self { outbox, url }
            }

            async fn store(&self) -> QueueStore {
                self.outbox.store(&self.url)
            }

            async fn begin(&self) -> MysqlConnection {
                let mut conn = self.open();
                AnsiTransactionManager::begin_transaction(&mut conn).expect("begun");
                conn
            }

            async fn enqueue(&self, tx: &mut MysqlConnection, message: Message) -> Result<(), StoreError> {
                self.outbox.enqueue(tx, message).map(drop)
            }

            async fn commit(&self, mut tx: MysqlConnection) -> Result<(), StoreError> {
                AnsiTransactionManager::commit_transaction(&mut tx).expect("committed");
                self.outbox.wake();
                Ok(())
            }

            async fn rollback(&self, mut tx: MysqlConnection) {
                AnsiTransactionManager::rollback_transaction(&mut tx).expect("rolled back");
            }

            async fn age(&self, relay: &str, by: Duration) {
                let by = by.as_micros();
                let aged = format!(
                    "update outbox_relay set expires_at = timestampadd(microsecond, -{by}, expires_at) \
                     where relay = '{relay}'"
                );
                self.open().batch_execute(&aged).expect("aged");
            }

            async fn dead_letters(&self, relay: &str) -> Vec<(Message, String)> {
                let all = format!(
                    "select hex(id) id, topic, `key`, event_type, payload, content_type, \
                     cast(headers as char) headers, reason from outbox_dead_letter where relay = '{relay}'"
                );
                let letters: Vec<letter::Letter> = sql_query(all).load(&mut self.open()).expect("dead letters");
                letters.into_iter().map(letter::Letter::read).collect()
            }

            async fn savepoint(&self, tx: &mut MysqlConnection, message: Message) -> Result<bool, StoreError> {
                AnsiTransactionManager::begin_transaction(tx).expect("a savepoint");
                self.outbox.enqueue(tx, message)?;
                AnsiTransactionManager::rollback_transaction(tx).expect("rolled back");
                Ok(true)
            }

            async fn rewind(&self) -> bool {
                self.open().batch_execute("truncate outbox_message").expect("rewound");
                true
            }
        }

        outbox_conformance::store_suite!(Harness);
    };
}
