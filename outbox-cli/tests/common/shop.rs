use outbox::Message;
use outbox::sqlx::Postgres;
use sqlx::{AssertSqlSafe, PgPool};
use testkit::{Kafka, KafkaRecord, eventually};

use super::traffic::{Stored, judge, numbered};
use super::{Config, SOON};
use outbox_conformance::Verdict;

/// A migrated database and a topic, on servers that all tests share.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) url: String,
    pub(crate) pool: PgPool,
    pub(crate) outbox: Postgres,
    pub(crate) kafka: Kafka,
    pub(crate) topic: String,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::with(testkit::Postgres::shared().await.database().await, Kafka::shared().await).await
    }

    pub(crate) async fn with(url: String, kafka: Kafka) -> Self {
        let pool = PgPool::connect(&url).await.expect("a database");
        let outbox = Postgres::new();
        outbox.migrate(&pool).await.expect("migrated");
        let topic = kafka.topic("orders", 3).await;
        Self { url, pool, outbox, kafka, topic }
    }

    /// A file with one relay; `settings` are further lines of it.
    pub(crate) fn config(&self, settings: &str) -> Config {
        Config::relay_of(&self.url, self.kafka.bootstrap(), settings)
    }

    /// The same on its way through proxies, given as `127.0.0.1:port`.
    pub(crate) fn url_at(&self, address: &str) -> String {
        at(&self.url, address)
    }

    /// One transaction with the messages of these numbers, over ten keys.
    pub(crate) async fn write(&self, numbers: std::ops::Range<i64>) {
        let messages = numbers.map(|n| numbered(&self.topic, &format!("k{}", n % 10), n));
        self.enqueue(messages.collect()).await;
    }

    /// One transaction with these messages.
    pub(crate) async fn enqueue(&self, messages: Vec<Message>) {
        let mut tx = self.pool.begin().await.expect("begun");
        self.outbox.enqueue_all(&mut tx, messages).await.expect("enqueued");
        self.outbox.commit(tx).await.expect("committed");
    }

    /// One value.
    pub(crate) async fn text(&self, sql: &str) -> Option<String> {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&self.pool)
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    pub(crate) async fn run(&self, sql: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await;
        done.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    /// Waits until nothing is left to be delivered.
    pub(crate) async fn drained(&self) {
        eventually("everything is settled", SOON, || self.is_drained()).await;
    }

    pub(crate) async fn is_drained(&self) -> bool {
        // The database may be away, or about to restart.
        let Ok(relays) = self.outbox.status(&self.pool).await else { return false };
        relays.first().is_some_and(|r| (r.waiting, r.parked) == (0, 0))
    }

    pub(crate) async fn records(&self) -> Vec<KafkaRecord> {
        self.kafka.consume(&self.topic).await
    }

    /// What the table holds for the topic, in the order of the sequence.
    pub(crate) async fn stored(&self) -> Vec<Stored> {
        let sql = "select id::text, key, payload from outbox_message where topic = $1 order by seq";
        sqlx::query_as(sql).bind(&self.topic).fetch_all(&self.pool).await.expect("the table is read")
    }

    /// Compares the topic with the table.
    pub(crate) async fn verdict(&self) -> Verdict {
        judge(&self.stored().await, [], &self.records().await)
    }
}

/// The URL with another host and port.
pub(crate) fn at(url: &str, address: &str) -> String {
    let (user, rest) = url.split_once('@').expect("a URL with a user");
    let (_, path) = rest.split_once('/').expect("a URL with a database");
    format!("{user}@{address}/{path}")
}

/// The database's name.
pub(crate) fn name(url: &str) -> &str {
    let path = url.rsplit('/').next().unwrap_or_default();
    path.split('?').next().unwrap_or_default()
}
