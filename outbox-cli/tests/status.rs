//! migrate, status and reset, as they are read on a terminal: on Postgres and on SQLite.

mod common;

use common::{Config, Directory, RELAY, SOON, refused, terminate, works};
use sqlx::{MySqlPool, PgPool, SqlitePool};
use testkit::{Kafka, eventually};

const INSERT: &str = "insert into outbox (event_type, payload) values ('order.created', '{}')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    let url = testkit::Postgres::shared().await.database().await;
    tell(&url, async || {
        let pool = PgPool::connect(&url).await.expect("a database");
        sqlx::raw_sql(INSERT).execute(&pool).await.expect("inserted");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mysql() {
    let url = testkit::Mysql::mysql().await.database().await;
    tell(&url, async || {
        let pool = MySqlPool::connect(&url).await.expect("a database");
        let insert =
            "insert into outbox_message (topic, event_type, payload) values ('order.created', 'order.created', '')";
        sqlx::raw_sql(insert).execute(&pool).await.expect("inserted");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    let directory = Directory::new();
    let url = format!("sqlite:{}", directory.file("shop.db"));
    tell(&url, async || {
        let pool = SqlitePool::connect(&url).await.expect("the file was made");
        sqlx::raw_sql(INSERT).execute(&pool).await.expect("inserted");
    })
    .await;
}

async fn tell(url: &str, insert: impl AsyncFn()) {
    let said = works(&["migrate", "--url", url]).await;
    assert_eq!(said, "the outbox tables have this version");
    assert_eq!(works(&["migrate", "--url", url]).await, said, "again is nothing to do");
    let header = "RELAY  RUNS  POSITION  LAST  WAITING  PARKED  DEAD  LAST SETTLED";
    assert_eq!(works(&["status", "--url", url]).await, header);

    let kafka = Kafka::shared().await;
    let config = Config::relay_of(url, kafka.bootstrap(), "topics = [\"none\"]");
    let file = ["--config", config.path()];
    let status = async || {
        let said = works(&["status", file[0], file[1]]).await;
        let row = said.lines().nth(1).expect("a relay").split_whitespace().map(str::to_owned);
        row.collect::<Vec<_>>()
    };
    let mut relay = config.active_relay().await;
    insert().await;
    insert().await;
    // Rows of other topics are passed over.
    eventually("the cursor moves", SOON, async || status().await[2] == "2").await;
    assert_eq!(status().await[..7], [RELAY, "yes", "2", "2", "0", "0", "0"]);
    terminate(&mut relay).await;
    insert().await;
    assert_eq!(status().await[..4], [RELAY, "no", "2", "3"]);

    let said = works(&["reset", RELAY, "--url", url]).await;
    assert_eq!(said, format!("{RELAY} starts from the first message of the table"));
    assert_eq!(status().await[..4], [RELAY, "no", "0", "3"]);
    let said = refused(&["reset", "nobody", "--url", url]).await;
    assert!(said.contains("no relay named \"nobody\"") && said.contains("outbox status"), "{said}");

    // The SQL for another tool is that of the migration.
    let sql = works(&["migrate", "--url", url, "--sql", "--prefix", "shop_events"]).await;
    let quoted = if url.starts_with("mysql") { "`shop_events_message`" } else { "\"shop_events_message\"" };
    assert!(sql.contains(&format!("{quoted} (")) && !sql.contains("outbox_message"), "{sql}");
}
