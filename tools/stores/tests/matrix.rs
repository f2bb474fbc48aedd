//! What any client writes, every client's store hands out: the same messages in the same order, byte for byte.

use std::time::Duration;

use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, Relay};
use stores::{Client, MysqlSite, PgSite, SqliteSite, Writer, relay, turn};

const SOON: Duration = Duration::from_secs(30);

const WRITERS: [Writer; 4] =
    [Writer::Of(Client::Sqlx), Writer::Of(Client::Diesel), Writer::Of(Client::DieselAsync), Writer::Text];
const STORES: [Client; 3] = [Client::Sqlx, Client::Diesel, Client::DieselAsync];
/// diesel-async has no SQLite of its own.
const SQLITE_WRITERS: [Writer; 3] = [Writer::Of(Client::Sqlx), Writer::Of(Client::Diesel), Writer::Text];
const SQLITE_STORES: [Client; 2] = [Client::Sqlx, Client::Diesel];

/// No two of one key: then all are published at once, in the order in which they were handed out.
fn messages() -> Vec<Message> {
    let every_byte: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    vec![
        Message::new("orders", "order.created").key("7").payload(every_byte).content_type("application/octet-stream"),
        Message::new("orders", "order.empty"),
        Message::new("orders.ü", "order.größe")
            .key("ключ 'k'")
            .text("naïve 漢字 🦀 \\ ' \"")
            .header("trace", "ü\"1\\' x"),
        Message::new("orders", "order.large").key("9").payload(large).header("a", "1").header("b", ""),
        Message::new("orders", "order.empty").key("10").payload(Vec::new()).content_type("text/plain"),
        Message::new("orders", "order.json").key("8").json(&serde_json::json!({ "id": 7, "b": [null] })).expect("JSON"),
    ]
}

/// `None` where all is as it was written, else the first difference.
async fn difference(writer: Writer, store: Client, url: &str) -> Option<String> {
    let written = messages();
    if let Err(e) = writer.write(url, written.clone()).await {
        return Some(format!("not written: {e:#}"));
    }
    let sent = MemoryTransport::new();
    let relayed = async { anyhow::Ok(relay(store, url, sent.clone())?.build()?.until_drained(SOON).await?) };
    if let Err(e) = relayed.await {
        return Some(format!("not relayed: {e:#}"));
    }
    let sent = sent.take();
    if sent.len() != written.len() {
        return Some(format!("{} of {} arrived", sent.len(), written.len()));
    }
    let differs = |(n, (w, s)): (usize, (&Message, &outbox_core::memory::SentMessage))| {
        let mut headers = [w.headers.clone(), s.headers().to_vec()];
        headers.iter_mut().for_each(|h| h.sort());
        let parts = [
            ("id", s.id() == w.id),
            ("topic", s.topic() == w.topic),
            ("key", s.key() == w.key.as_deref()),
            ("event type", s.event_type() == w.event_type),
            ("payload", s.payload() == &w.payload[..]),
            ("content type", s.content_type() == w.content_type.as_deref()),
            ("headers", headers[0] == headers[1]),
        ];
        parts.iter().find(|(_, same)| !same).map(|(part, _)| format!("{part} of message {n}"))
    };
    written.iter().zip(&sent).enumerate().find_map(differs)
}

/// One row a writer, one column a store.
async fn matrix(database: &str, writers: &[Writer], stores: &[Client], fresh: impl AsyncFn() -> String) {
    let _turn = turn().await;
    let mut wrong = Vec::new();
    let mut table =
        format!("{database:<24}{}\n", stores.iter().map(|s| format!("{:>14}", format!("{s:?}"))).collect::<String>());
    for writer in writers {
        table += &format!("  {:<22}", format!("{writer:?}"));
        for store in stores {
            let found = difference(*writer, *store, &fresh().await).await;
            table += &format!("{:>14}", if found.is_some() { "DIFFERS" } else { "same" });
            wrong.extend(found.map(|found| format!("{writer:?} -> {store:?}: {found}")));
        }
        table += "\n";
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{database}:\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_clients_read_what_others_write() {
    let server = testkit::Postgres::shared().await;
    let fresh = async || {
        let url = server.database().await;
        PgSite::new(url.clone(), 2).await.expect("a database");
        url
    };
    matrix("Postgres", &WRITERS, &STORES, fresh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_clients_read_what_others_write() {
    let server = testkit::Mysql::mysql().await;
    let fresh = async || {
        let url = server.database().await;
        MysqlSite::new(url.clone(), 2).await.expect("a database");
        url
    };
    matrix("MySQL", &WRITERS, &STORES, fresh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_clients_read_what_others_write() {
    let server = testkit::Mysql::mariadb().await;
    let fresh = async || {
        let url = server.database().await;
        MysqlSite::new(url.clone(), 2).await.expect("a database");
        url
    };
    matrix("MariaDB", &WRITERS, &STORES, fresh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_clients_read_what_others_write() {
    let dir = tempfile::tempdir().expect("a directory");
    let count = std::sync::atomic::AtomicUsize::new(0);
    let fresh = async || {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let file = dir.path().join(format!("matrix-{number}.db"));
        SqliteSite::new(&file, 2).await.expect("a file");
        format!("sqlite://{}", file.display())
    };
    matrix("SQLite", &SQLITE_WRITERS, &SQLITE_STORES, fresh).await;
}
