//! What the service writes is what a relay delivers.

use std::time::Duration;

use example_tokio_postgres::{Order, create_table, enqueue, place_order};
use outbox::memory::MemoryTransport;
use outbox::sqlx::Postgres;
use outbox::{Message, Relay, StoreRelay};
use tokio_postgres::{Client, NoTls};

const SOON: Duration = Duration::from_secs(60);

/// A client with the service's table, and a relay over the same database.
async fn shop() -> (Client, StoreRelay, MemoryTransport) {
    let url = testkit::Postgres::shared().await.database().await;
    let (outbox, pool) = (Postgres::new(), sqlx::PgPool::connect(&url).await.unwrap());
    outbox.migrate(&pool).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    create_table(&client).await.unwrap();
    let sent = MemoryTransport::new();
    let relay = StoreRelay::builder("test", outbox.store(pool), sent.clone()).build().unwrap();
    (client, relay, sent)
}

#[tokio::test]
async fn an_order_and_its_message_are_there_or_neither_is() {
    let (mut client, relay, sent) = shop().await;
    let order = |id, cents| Order { id, customer: "Zoë".into(), cents };
    let first = place_order(&mut client, &order(1, 995)).await.unwrap();
    place_order(&mut client, &order(1, 100)).await.expect_err("this id is taken");
    place_order(&mut client, &order(2, 0)).await.expect_err("it costs nothing");
    let second = place_order(&mut client, &order(2, 5)).await.unwrap();
    let orders: i64 = client.query_one("select count(*) from orders", &[]).await.unwrap().get(0);
    assert_eq!(orders, 2);

    assert_eq!(relay.until_drained(SOON).await.unwrap(), 2);
    let sent = sent.take();
    assert_eq!((sent[0].id(), sent[1].id()), (first, second));
    assert_eq!((sent[0].topic(), sent[0].key(), sent[0].event_type()), ("orders", Some("Zoë"), "order.created"));
    assert_eq!(sent[0].headers(), [("source".to_owned(), "shop".to_owned())]);
    assert_eq!(sent[0].content_type(), Some("application/json"));
    assert_eq!(sent[0].payload(), r#"{"id":1,"customer":"Zoë","cents":995}"#.as_bytes());
}

#[tokio::test]
async fn whatever_a_message_may_hold_arrives_unchanged_and_in_order() {
    let (mut client, relay, sent) = shop().await;
    let bytes: Vec<u8> = (0..=255).collect();
    let messages: Vec<Message> = (0..300)
        .map(|n| Message::new("orders", "order.counted").key("one").text(n.to_string()))
        .chain([
            Message::new("orders", "order.scanned").payload(bytes).content_type("image/png"),
            Message::new("orders", "order.empty"),
            Message::new("a 'b' \\ $1", "e ? :x").key("ключ 鍵 🔑").text("naïve — 注文\n").header("n \"q\"", "{}'"),
        ])
        .collect();
    let tx = client.transaction().await.unwrap();
    enqueue(&tx, &[]).await.expect("no message is no work");
    enqueue(&tx, &messages).await.unwrap();
    tx.commit().await.unwrap();
    let tx = client.transaction().await.unwrap();
    enqueue(&tx, &messages).await.unwrap();
    tx.rollback().await.unwrap();

    assert_eq!(relay.until_drained(SOON).await.unwrap(), messages.len() as u64);
    let sent = sent.take();
    for m in &messages {
        let sent = sent.iter().find(|sent| sent.id() == m.id).expect("delivered");
        assert_eq!((sent.topic(), sent.key(), sent.event_type()), (&*m.topic, m.key.as_deref(), &*m.event_type));
        assert_eq!((sent.payload(), sent.content_type()), (&m.payload[..], m.content_type.as_deref()));
        assert_eq!(sent.headers(), m.headers);
    }
    let of_one_key = sent.iter().filter(|m| m.key() == Some("one")).map(|m| m.id());
    assert!(of_one_key.eq(messages[..300].iter().map(|m| m.id)), "messages of one statement keep their order");
}
