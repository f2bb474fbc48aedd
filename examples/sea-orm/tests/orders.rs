//! What the service writes is what a relay delivers.

use std::time::Duration;

use example_sea_orm::{enqueue, order, place_order};
use outbox::memory::{MemoryTransport, SentMessage};
use outbox::{Message, Relay, Store, StoreRelay};
use outbox_sqlx::{Mysql, Postgres, Sqlite};
use sea_orm::{ConnectionTrait, Database, DbConn, EntityTrait, PaginatorTrait, Schema, TransactionTrait};

const SOON: Duration = Duration::from_secs(60);

type Shop = (DbConn, StoreRelay, MemoryTransport);

async fn postgres() -> Shop {
    let db = connect(&testkit::Postgres::shared().await.database().await).await;
    let (outbox, pool) = (Postgres::new(), db.get_postgres_connection_pool().clone());
    outbox.migrate(&pool).await.unwrap();
    shop(db, outbox.store(pool))
}

async fn mysql(server: testkit::Mysql) -> Shop {
    let db = connect(&server.database().await).await;
    let (outbox, pool) = (Mysql::new(), db.get_mysql_connection_pool().clone());
    outbox.migrate(&pool).await.unwrap();
    shop(db, outbox.store(pool))
}

async fn sqlite(name: &str) -> Shop {
    let file = format!("{}/sea-orm-{name}-{}.db", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    // A process of the same number may have left one.
    ["", "-wal", "-shm"].iter().for_each(|ending| _ = std::fs::remove_file(format!("{file}{ending}")));
    let db = connect(&format!("sqlite://{file}?mode=rwc")).await;
    let (outbox, pool) = (Sqlite::new(), db.get_sqlite_connection_pool().clone());
    outbox.migrate(&pool).await.unwrap();
    shop(db, outbox.store(pool))
}

fn shop(db: DbConn, store: impl Store + 'static) -> Shop {
    let sent = MemoryTransport::new();
    (db, StoreRelay::builder("test", store, sent.clone()).build().unwrap(), sent)
}

async fn connect(url: &str) -> DbConn {
    let db = Database::connect(url).await.unwrap();
    db.execute(&Schema::new(db.get_database_backend()).create_table_from_entity(order::Entity)).await.unwrap();
    db
}

async fn an_order_and_its_message_are_there_or_neither_is((db, relay, sent): Shop) {
    let order = |id, cents| order::Model { id, customer: "Zoë".into(), cents };
    let first = place_order(&db, order(1, 995)).await.unwrap();
    place_order(&db, order(1, 100)).await.expect_err("this id is taken");
    let second = place_order(&db, order(2, 5)).await.unwrap();
    assert_eq!(order::Entity::find().count(&db).await.unwrap(), 2);

    assert_eq!(relay.until_drained(SOON).await.unwrap(), 2);
    let sent = sent.take();
    assert_eq!((sent[0].id(), sent[1].id()), (first, second));
    assert_eq!((sent[0].topic(), sent[0].key(), sent[0].event_type()), ("orders", Some("Zoë"), "order.created"));
    assert_eq!(sent[0].headers(), [("source".to_owned(), "shop".to_owned())]);
    assert_eq!(sent[0].content_type(), Some("application/json"));
    assert_eq!(sent[0].payload(), r#"{"id":1,"customer":"Zoë","cents":995}"#.as_bytes());
}

async fn whatever_a_message_may_hold_arrives_unchanged((db, relay, sent): Shop) {
    let messages = [
        Message::new("orders", "order.scanned").payload((0..=255).collect::<Vec<u8>>()).content_type("image/png"),
        Message::new("orders", "order.empty"),
        Message::new("a 'b' \\ $1", "e ? :x").key("ключ 鍵 🔑").text("naïve — 注文\n").header("n \"q\"", "{}'"),
    ];
    for commit in [false, true] {
        let tx = db.begin().await.unwrap();
        enqueue(&tx, &[]).await.expect("no message is no work");
        enqueue(&tx, &messages).await.unwrap();
        if commit { tx.commit().await.unwrap() } else { tx.rollback().await.unwrap() }
    }
    assert_eq!(relay.until_drained(SOON).await.unwrap(), messages.len() as u64);
    let sent: Vec<SentMessage> = sent.take();
    for m in &messages {
        let sent = sent.iter().find(|sent| sent.id() == m.id).expect("delivered");
        assert_eq!((sent.topic(), sent.key(), sent.event_type()), (&*m.topic, m.key.as_deref(), &*m.event_type));
        assert_eq!((sent.payload(), sent.content_type()), (&m.payload[..], m.content_type.as_deref()));
        assert_eq!(sent.headers(), m.headers);
    }
}

#[tokio::test]
async fn postgres_keeps_order_and_message_together() {
    an_order_and_its_message_are_there_or_neither_is(postgres().await).await;
}

#[tokio::test]
async fn postgres_keeps_every_byte() {
    whatever_a_message_may_hold_arrives_unchanged(postgres().await).await;
}

#[tokio::test]
async fn mysql_keeps_order_and_message_together() {
    an_order_and_its_message_are_there_or_neither_is(mysql(testkit::Mysql::mysql().await).await).await;
}

#[tokio::test]
async fn mysql_keeps_every_byte() {
    whatever_a_message_may_hold_arrives_unchanged(mysql(testkit::Mysql::mysql().await).await).await;
}

#[tokio::test]
async fn mariadb_keeps_order_and_message_together() {
    an_order_and_its_message_are_there_or_neither_is(mysql(testkit::Mysql::mariadb().await).await).await;
}

#[tokio::test]
async fn mariadb_keeps_every_byte() {
    whatever_a_message_may_hold_arrives_unchanged(mysql(testkit::Mysql::mariadb().await).await).await;
}

#[tokio::test]
async fn sqlite_keeps_order_and_message_together() {
    an_order_and_its_message_are_there_or_neither_is(sqlite("orders").await).await;
}

#[tokio::test]
async fn sqlite_keeps_every_byte() {
    whatever_a_message_may_hold_arrives_unchanged(sqlite("bytes").await).await;
}
