//! The outbox on real servers of MySQL and MariaDB through diesel and libmariadb.
#![cfg(feature = "mysql")]

use std::sync::{Arc, Barrier};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel::sql_types::BigInt;
use diesel::{Connection, MysqlConnection, QueryableByName, RunQueryDsl, sql_query};
use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, Relay, RelayError, StoreError, StoreErrorKind, StoreRelay};
use outbox_diesel::{Mysql, Replay};
use testkit::Mysql as Servers;

const SOON: Duration = Duration::from_secs(20);

/// A database with its tables on each of the two.
async fn fresh() -> [(Mysql, String, MysqlConnection); 2] {
    let urls = [Servers::mysql().await.database().await, Servers::mariadb().await.database().await];
    for url in &urls {
        Mysql::new().migrate(url).await.expect("migrated");
    }
    urls.map(|url| {
        let conn = open(&url);
        (Mysql::new(), url, conn)
    })
}

fn open(url: &str) -> MysqlConnection {
    MysqlConnection::establish(url).expect("a connection")
}

fn relay(outbox: &Mysql, url: &str, to: &MemoryTransport) -> StoreRelay {
    StoreRelay::builder("test", outbox.store(url), to.clone()).build().expect("valid settings")
}

/// The error with its causes.
fn said(error: RelayError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

fn count(conn: &mut MysqlConnection, from: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    sql_query(format!("select count(*) n from {from}")).get_result::<Count>(conn).expect("counted").n
}

/// Runs one enqueue in a transaction of its own.
fn send(outbox: &Mysql, conn: &mut MysqlConnection, message: Message) {
    conn.transaction::<_, anyhow::Error, _>(|conn| Ok(outbox.enqueue(conn, message)?)).expect("committed");
    outbox.wake();
}

#[tokio::test]
async fn a_message_exists_if_and_only_if_the_transaction_committed() {
    for (outbox, url, mut conn) in fresh().await {
        let sent = MemoryTransport::new();
        let message = Message::new("orders", "order.created").key("kß").json(&serde_json::json!({ "id": 7 })).unwrap();
        let message = message.header("trace", "ü\"1\"");
        let undone = conn.transaction::<(), anyhow::Error, _>(|conn| {
            outbox.enqueue(conn, Message::new("orders", "order.undone").key(7))?;
            anyhow::bail!("changed its mind")
        });
        assert_eq!(undone.expect_err("rolled back").to_string(), "changed its mind");
        let id = conn
            .transaction::<_, anyhow::Error, _>(|conn| {
                let id = outbox.enqueue(conn, message.clone())?;
                let inner = conn.transaction::<(), anyhow::Error, _>(|conn| {
                    outbox.enqueue(conn, Message::new("orders", "order.undone"))?;
                    anyhow::bail!("only this part")
                });
                assert!(inner.is_err());
                let many: Vec<_> =
                    (0..1_200).map(|i| Message::new("bulk", "n").key(i % 3).text(i.to_string())).collect();
                assert_eq!(outbox.enqueue_all(conn, many)?, 1_200);
                Ok(id)
            })
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
async fn concurrent_writers_and_relays_lose_and_invert_nothing() {
    for (outbox, url, _) in fresh().await {
        let sent = MemoryTransport::new();
        let relay = relay(&outbox, &url, &sent);
        let writers: Vec<_> = (0..4)
            .map(|w| {
                let (outbox, mut conn) = (outbox.clone(), open(&url));
                std::thread::spawn(move || {
                    for i in 0..50 {
                        send(&outbox, &mut conn, Message::new("t", "e").key(w).text(i.to_string()));
                    }
                })
            })
            .collect();
        while writers.iter().any(|w| !w.is_finished()) {
            relay.until_drained(SOON).await.unwrap();
        }
        for writer in writers {
            writer.join().expect("no panic");
        }
        relay.until_drained(SOON).await.unwrap();
        let sent = sent.take();
        assert_eq!(sent.len(), 200);
        for key in ["0", "1", "2", "3"] {
            let of_key = sent.iter().filter(|m| m.key() == Some(key));
            let numbers: Vec<u32> = of_key.map(|m| String::from_utf8_lossy(m.payload()).parse().unwrap()).collect();
            assert_eq!(numbers, (0..50).collect::<Vec<_>>(), "key {key}");
        }
    }
}

#[tokio::test]
async fn outside_a_transaction_nothing_is_written() {
    for (outbox, _, mut conn) in fresh().await {
        let error = outbox.enqueue(&mut conn, Message::new("t", "e")).expect_err("refused");
        assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
        let error = outbox.enqueue_all(&mut conn, [Message::new("t", "e")]).expect_err("refused");
        assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
        let error = outbox.lock_key(&mut conn, 7).expect_err("refused");
        assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
        assert_eq!(count(&mut conn, "outbox_message"), 0);
    }
}

#[tokio::test]
async fn conflicts_are_told_apart() {
    let told = |error: anyhow::Error| error.downcast::<StoreError>().expect("told by the outbox").kind();
    for (outbox, url, mut conn) in fresh().await {
        let mut other = open(&url);
        other.batch_execute("lock tables outbox_message write").unwrap();
        conn.batch_execute("set lock_wait_timeout = 1").unwrap();
        let refused = conn.transaction::<_, anyhow::Error, _>(|conn| Ok(outbox.enqueue(conn, Message::new("t", "e"))?));
        assert_eq!(told(refused.expect_err("locked")), StoreErrorKind::Conflict, "lock wait timeout");
        other.batch_execute("unlock tables").unwrap();

        let both = Arc::new(Barrier::new(2));
        let second = std::thread::spawn({
            let (outbox, both) = (outbox.clone(), both.clone());
            move || {
                other.transaction::<_, anyhow::Error, _>(|conn| {
                    outbox.lock_key(conn, "b")?;
                    both.wait();
                    Ok(outbox.lock_key(conn, "a")?)
                })
            }
        });
        let one = conn.transaction::<_, anyhow::Error, _>(|conn| {
            outbox.lock_key(conn, "a")?;
            both.wait();
            Ok(outbox.lock_key(conn, "b")?)
        });
        let kinds: Vec<_> = [one, second.join().unwrap()].into_iter().filter_map(Result::err).map(told).collect();
        assert_eq!(kinds, [StoreErrorKind::Conflict], "one of the two has to give way");
    }
}

#[tokio::test]
async fn what_follows_a_deadlock_that_was_passed_over_is_refused() {
    for (outbox, url, mut conn) in fresh().await {
        let mut other = open(&url);
        conn.batch_execute("create table rows_of_app (id int primary key); insert into rows_of_app values (1), (2)")
            .unwrap();
        let both = Arc::new(Barrier::new(2));
        let locked = both.clone();
        // The one that has written more stays.
        let winner = std::thread::spawn(move || {
            other.batch_execute("begin; insert into rows_of_app values (3), (4), (5), (6)").unwrap();
            other.batch_execute("select id from rows_of_app where id = 2 for update").unwrap();
            locked.wait();
            other.batch_execute("select id from rows_of_app where id = 1 for update; rollback").unwrap();
        });
        let ended = conn.transaction::<(), anyhow::Error, _>(|conn| {
            sql_query("select id from rows_of_app where id = 1 for update").execute(conn)?;
            both.wait();
            let deadlock = sql_query("select id from rows_of_app where id = 2 for update").execute(conn);
            deadlock.expect_err("a deadlock");
            let error = outbox.enqueue(conn, Message::new("t", "e")).expect_err("there is no transaction any more");
            assert_eq!(error.kind(), StoreErrorKind::RolledBack);
            Err(error.into())
        });
        ended.expect_err("nothing was written");
        winner.join().unwrap();
        assert_eq!(count(&mut conn, "outbox_message"), 0);
    }
}

#[tokio::test]
async fn a_message_that_the_server_refuses_is_invalid() {
    for (outbox, _, mut conn) in fresh().await {
        conn.batch_execute("alter table outbox_message add check (topic <> 'closed')").unwrap();
        let refused =
            conn.transaction::<_, anyhow::Error, _>(|conn| Ok(outbox.enqueue(conn, Message::new("closed", "e"))?));
        let error = refused.expect_err("by a check").downcast::<StoreError>().unwrap();
        assert_eq!(error.kind(), StoreErrorKind::InvalidMessage, "{error:?}");
    }
}

#[tokio::test]
async fn a_pool_of_one_connection_is_enough_beside_a_relay() {
    for (outbox, url, _) in fresh().await {
        let pool = Pool::builder().max_size(1).build(ConnectionManager::<MysqlConnection>::new(&url)).expect("a pool");
        let sent = MemoryTransport::new();
        let relay = relay(&outbox, &url, &sent);
        for _ in 0..3 {
            let mut conn = pool.get().expect("the one connection");
            conn.transaction::<_, anyhow::Error, _>(|conn| Ok(outbox.enqueue(conn, Message::new("t", "e"))?))
                .expect("committed");
            assert_eq!(relay.until_drained(SOON).await.unwrap(), 1, "while the pool is empty");
        }
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_used_says_why() {
    for server in [Servers::mysql().await, Servers::mariadb().await] {
        let outbox = Mysql::new();
        let kind = async |url: &str| outbox.status(url).await.expect_err("no status").kind();
        let url = server.database().await;
        let closed = url.replace(&format!(":{}/", server.port()), &format!(":{}/", testkit::free_port()));
        assert_eq!(kind(&closed).await, StoreErrorKind::Unavailable);
        assert_eq!(kind(&url.replace("://", "://nobody")).await, StoreErrorKind::Unexpected);
        assert_eq!(kind("no url").await, StoreErrorKind::Config);
        assert_eq!(kind(&url).await, StoreErrorKind::Schema, "no tables there");
        let relay = relay(&outbox, &url, &MemoryTransport::new());
        let error = said(relay.run_once().await.expect_err("no tables"));
        assert!(error.contains("missing") && error.contains("outbox migrate"), "{error}");
        let refused =
            open(&url).transaction::<_, anyhow::Error, _>(|conn| Ok(outbox.enqueue(conn, Message::new("t", "e"))?));
        let error = refused.expect_err("no tables").downcast::<StoreError>().unwrap();
        assert_eq!(error.kind(), StoreErrorKind::Schema);
    }
}

#[tokio::test]
async fn a_second_process_stands_by_and_takes_over() {
    for (outbox, url, mut conn) in fresh().await {
        let sent = MemoryTransport::new();
        let (first, second) = (relay(&outbox, &url, &sent), relay(&outbox, &url, &sent));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn({
            let first = first.clone();
            async move { first.run(async move { _ = stopped.await }).await }
        });
        testkit::eventually("the first has the lease", SOON, || async { first.handle().stats().active }).await;
        assert!(matches!(second.run_once().await.expect_err("stands by"), RelayError::Standby { .. }));
        stop.send(()).unwrap();
        running.await.unwrap().expect("drained");
        send(&outbox, &mut conn, Message::new("t", "e"));
        assert_eq!(second.run_once().await.expect("at once"), 1);
        let status = outbox.status(&url).await.unwrap();
        assert_eq!((status.len(), status[0].waiting, status[0].active), (1, 0, false));
        outbox.reset(&url, "test").await.unwrap();
    }
}

#[tokio::test]
async fn what_was_delivered_is_kept_put_back_and_deleted() {
    for (outbox, url, mut conn) in fresh().await {
        let outbox = outbox.keep_for(Duration::from_secs(3_600));
        let sent = MemoryTransport::new();
        let relay = relay(&outbox, &url, &sent);
        let many = (0..1_500).map(|n| Message::new("t", "e").key(n % 3));
        conn.transaction::<_, anyhow::Error, _>(|conn| Ok(outbox.enqueue_all(conn, many)?)).expect("committed");
        assert_eq!(relay.until_drained(SOON).await.unwrap(), 1_500);
        assert_eq!(outbox.restore(&url, Replay::new("test").key(1)).await.expect("put back"), 500);
        assert_eq!(relay.until_drained(SOON).await.unwrap(), 500);
        assert_eq!(outbox.retain(&url, Duration::ZERO).await.unwrap(), 2_000, "in more than one statement");
        assert!(outbox.restore(&url, Replay::new("test")).await.is_err(), "nothing is left");
        outbox.drop_relay(&url, "test").await.expect("forgotten");
        assert_eq!(count(&mut conn, "outbox_relay"), 0);
    }
}
