//! The outbox on real servers of MySQL and MariaDB through diesel-async.
#![cfg(feature = "async-mysql")]

use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, Relay, StoreError, StoreErrorKind, StoreRelay};
use outbox_diesel::{AsyncMysql, Replay};
use testkit::Mysql as Servers;

const SOON: Duration = Duration::from_secs(20);

/// A database with its tables on each of the two.
async fn fresh() -> Vec<(AsyncMysql, String, AsyncMysqlConnection)> {
    let mut both = Vec::new();
    for url in [Servers::mysql().await.database().await, Servers::mariadb().await.database().await] {
        AsyncMysql::new().migrate(&url).await.expect("migrated");
        let conn = open(&url).await;
        both.push((AsyncMysql::new(), url, conn));
    }
    both
}

async fn open(url: &str) -> AsyncMysqlConnection {
    AsyncMysqlConnection::establish(url).await.expect("a connection")
}

fn relay(outbox: &AsyncMysql, url: &str, to: &MemoryTransport) -> StoreRelay {
    StoreRelay::builder("test", outbox.store(url), to.clone()).build().expect("valid settings")
}

async fn count(conn: &mut AsyncMysqlConnection, from: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    sql_query(format!("select count(*) n from {from}")).get_result::<Count>(conn).await.expect("counted").n
}

#[tokio::test]
async fn a_message_exists_if_and_only_if_the_transaction_committed() {
    for (outbox, url, mut conn) in fresh().await {
        let sent = MemoryTransport::new();
        let message = Message::new("orders", "order.created").key("kß").json(&serde_json::json!({ "id": 7 })).unwrap();
        let message = message.header("trace", "ü\"1\"");
        let undone = conn.transaction::<(), anyhow::Error, _>(async |conn| {
            outbox.enqueue(conn, Message::new("orders", "order.undone").key(7)).await?;
            anyhow::bail!("changed its mind")
        });
        assert_eq!(undone.await.expect_err("rolled back").to_string(), "changed its mind");
        let id = conn
            .transaction::<_, anyhow::Error, _>(async |conn| {
                let id = outbox.enqueue(conn, message.clone()).await?;
                let inner = conn.transaction::<(), anyhow::Error, _>(async |conn| {
                    outbox.enqueue(conn, Message::new("orders", "order.undone")).await?;
                    anyhow::bail!("only this part")
                });
                assert!(inner.await.is_err());
                let many: Vec<_> =
                    (0..1_200).map(|i| Message::new("bulk", "n").key(i % 3).text(i.to_string())).collect();
                assert_eq!(outbox.enqueue_all(conn, many).await?, 1_200);
                Ok(id)
            })
            .await
            .expect("committed");

        let relay = relay(&outbox, &url, &sent);
        assert_eq!(relay.until_drained(SOON).await.unwrap(), 1_201);
        let sent = sent.take();
        let first = &sent[0];
        assert_eq!((first.id(), first.topic(), first.key()), (id, "orders", Some("kß")));
        assert_eq!((first.event_type(), first.payload()), ("order.created", &message.payload[..]));
        assert_eq!((first.content_type(), first.headers()), (Some("application/json"), &message.headers[..]));
        for (i, m) in sent[1..].iter().enumerate() {
            assert_eq!(m.payload(), i.to_string().as_bytes(), "bulk keeps its order");
        }
        assert_eq!(relay.until_drained(SOON).await.unwrap(), 0, "nothing comes twice");
    }
}

#[tokio::test]
async fn outside_a_transaction_nothing_is_written() {
    for (outbox, _, mut conn) in fresh().await {
        let error = outbox.enqueue(&mut conn, Message::new("t", "e")).await.expect_err("refused");
        assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
        let error = outbox.enqueue_all(&mut conn, [Message::new("t", "e")]).await.expect_err("refused");
        assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
        let error = outbox.lock_key(&mut conn, 7).await.expect_err("refused");
        assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
        assert_eq!(count(&mut conn, "outbox_message").await, 0);
    }
}

#[tokio::test]
async fn conflicts_are_told_apart() {
    let told = |error: anyhow::Error| error.downcast::<StoreError>().expect("told by the outbox").kind();
    for (outbox, url, mut conn) in fresh().await {
        let mut other = open(&url).await;
        other.batch_execute("lock tables outbox_message write").await.unwrap();
        conn.batch_execute("set lock_wait_timeout = 1").await.unwrap();
        let refused = conn
            .transaction::<_, anyhow::Error, _>(async |conn| Ok(outbox.enqueue(conn, Message::new("t", "e")).await?));
        assert_eq!(told(refused.await.expect_err("locked")), StoreErrorKind::Conflict, "lock wait timeout");
        other.batch_execute("unlock tables").await.unwrap();

        let both = tokio::sync::Barrier::new(2);
        let crossed = async |conn: &mut AsyncMysqlConnection, first: &str, then: &str| {
            conn.transaction::<_, anyhow::Error, _>(async |conn| {
                outbox.lock_key(conn, first).await?;
                both.wait().await;
                Ok(outbox.lock_key(conn, then).await?)
            })
            .await
        };
        let (one, two) = tokio::join!(crossed(&mut conn, "a", "b"), crossed(&mut other, "b", "a"));
        let kinds: Vec<_> = [one, two].into_iter().filter_map(Result::err).map(told).collect();
        assert_eq!(kinds, [StoreErrorKind::Conflict], "one of the two has to give way");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_used_says_why() {
    for server in [Servers::mysql().await, Servers::mariadb().await] {
        let outbox = AsyncMysql::new();
        let kind = async |url: &str| outbox.status(url).await.expect_err("no status").kind();
        let url = server.database().await;
        let closed = url.replace(&format!(":{}/", server.port()), &format!(":{}/", testkit::free_port()));
        assert_eq!(kind(&closed).await, StoreErrorKind::Unavailable);
        assert_eq!(kind(&url.replace("://", "://nobody")).await, StoreErrorKind::Unexpected);
        assert_eq!(kind("no url").await, StoreErrorKind::Config);
        assert_eq!(kind(&url).await, StoreErrorKind::Schema, "no tables there");
        let mut conn = open(&url).await;
        let refused = conn
            .transaction::<_, anyhow::Error, _>(async |conn| Ok(outbox.enqueue(conn, Message::new("t", "e")).await?));
        let error = refused.await.expect_err("no tables").downcast::<StoreError>().unwrap();
        assert_eq!(error.kind(), StoreErrorKind::Schema);
    }
}

#[tokio::test]
async fn what_was_delivered_is_kept_put_back_and_deleted() {
    for (outbox, url, mut conn) in fresh().await {
        let outbox = outbox.keep_for(Duration::from_secs(3_600));
        let sent = MemoryTransport::new();
        let relay = relay(&outbox, &url, &sent);
        let many: Vec<_> = (0..1_500).map(|n| Message::new("t", "e").key(n % 3)).collect();
        conn.transaction::<_, anyhow::Error, _>(async |conn| Ok(outbox.enqueue_all(conn, many).await?))
            .await
            .expect("committed");
        assert_eq!(relay.until_drained(SOON).await.unwrap(), 1_500);
        assert_eq!(outbox.restore(&url, Replay::new("test").key(1)).await.expect("put back"), 500);
        assert_eq!(relay.until_drained(SOON).await.unwrap(), 500);
        assert_eq!(outbox.retain(&url, Duration::ZERO).await.unwrap(), 2_000, "in more than one statement");
        outbox.drop_relay(&url, "test").await.expect("forgotten");
        assert_eq!(count(&mut conn, "outbox_relay").await, 0);
    }
}
