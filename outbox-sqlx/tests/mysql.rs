//! The outbox on a real MySQL and a real MariaDB.
#![cfg(feature = "mysql")]

mod servers;

use std::time::Duration;

use outbox_core::memory::MemoryTransport;
use outbox_core::transport::from_fn;
use outbox_core::{Message, MessageRef, Relay, RelayError, StartAt, StoreErrorKind, StoreRelay};
use outbox_sqlx::{Mysql, Replay};
use servers::on_both;
use sqlx::{AssertSqlSafe, MySqlPool};

const SOON: Duration = Duration::from_secs(20);

fn relay(outbox: &Mysql, pool: &MySqlPool, to: &MemoryTransport) -> StoreRelay {
    StoreRelay::builder("test", outbox.store(pool.clone()), to.clone()).build().expect("valid settings")
}

/// The error with its causes.
fn said(error: RelayError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

async fn run(pool: &MySqlPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

async fn text(pool: &MySqlPool, sql: &str) -> Option<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(pool).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
}

on_both![
    a_message_exists_if_and_only_if_the_transaction_committed,
    a_later_number_that_commits_first_loses_nothing,
    outside_a_transaction_nothing_is_written,
    a_message_out_of_bounds_is_refused_and_the_transaction_goes_on,
    a_schema_that_does_not_fit_says_what_to_do,
    other_names_live_beside_the_default_ones,
    the_procedure_writes_and_the_view_reads,
    a_sequence_that_went_back_is_said_and_mended,
    a_second_process_stands_by_and_takes_over,
    names_share_an_outbox_by_topics_that_do_not_overlap,
    a_relay_name_starts_with_what_waits,
    what_was_delivered_is_kept_and_put_back,
    keys_are_locked_by_their_writers,
    many_holes_and_a_long_backlog_lose_nothing,
    what_is_parked_comes_back_when_its_name_is_dropped,
];

async fn fresh(pool: &MySqlPool) -> Mysql {
    let outbox = Mysql::new();
    outbox.migrate(pool).await.expect("migrated");
    outbox
}

async fn write(outbox: &Mysql, pool: &MySqlPool, messages: impl IntoIterator<Item = Message>) {
    let mut tx = pool.begin().await.unwrap();
    outbox.enqueue_all(&mut tx, messages).await.unwrap();
    outbox.commit(tx).await.unwrap();
}

async fn a_message_exists_if_and_only_if_the_transaction_committed(pool: MySqlPool) {
    let outbox = fresh(&pool).await;
    let sent = MemoryTransport::new();
    let message = Message::new("orders", "order.created").key(7).json(&serde_json::json!({ "id": 7 })).unwrap();
    let message = message.header("trace", "ü\"1\"\\");

    let mut tx = pool.begin().await.unwrap();
    outbox.enqueue(&mut tx, Message::new("orders", "order.undone").key(7)).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    let id = outbox.enqueue(&mut tx, message.clone()).await.unwrap();
    let many: Vec<_> = (0..2_500).map(|i| Message::new("bulk", "n").key(i % 3).text(i.to_string())).collect();
    assert_eq!(outbox.enqueue_all(&mut tx, many).await.unwrap(), 2_500);
    outbox.commit(tx).await.unwrap();

    let relay = relay(&outbox, &pool, &sent);
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 2_501);
    let sent = sent.take();
    let first = &sent[0];
    assert_eq!((first.id(), first.topic(), first.key()), (id, "orders", Some("7")));
    assert_eq!((first.event_type(), first.payload()), ("order.created", &message.payload[..]));
    assert_eq!(first.content_type(), Some("application/json"));
    assert_eq!(first.headers(), message.headers);
    for (i, m) in sent[1..].iter().enumerate() {
        assert_eq!(m.payload(), i.to_string().as_bytes(), "bulk keeps its order");
    }
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 0, "nothing comes twice");
    assert_eq!(text(&pool, "select cast(count(*) as char) from outbox_message").await.as_deref(), Some("0"));
}

async fn a_later_number_that_commits_first_loses_nothing(pool: MySqlPool) {
    let outbox = fresh(&pool).await;
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &pool, &sent);
    let (mut early, mut late) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
    outbox.enqueue(&mut early, Message::new("t", "early")).await.unwrap();
    outbox.enqueue(&mut late, Message::new("t", "late")).await.unwrap();
    outbox.commit(late).await.unwrap();
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 1);
    outbox.commit(early).await.unwrap();
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 1);
    let types: Vec<_> = sent.take().iter().map(|m| m.event_type().to_owned()).collect();
    assert_eq!(types, ["late", "early"]);
}

async fn outside_a_transaction_nothing_is_written(pool: MySqlPool) {
    let outbox = fresh(&pool).await;
    let mut conn = pool.acquire().await.unwrap();
    let error = outbox.enqueue(&mut conn, Message::new("t", "e")).await.expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
    let error = outbox.lock_key(&mut conn, 7).await.expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
    sqlx::raw_sql("start transaction").execute(&mut *conn).await.unwrap();
    let error = outbox.enqueue(&mut conn, Message::new("t", "e")).await.expect_err("refused");
    assert!(error.to_string().contains("hand-written BEGIN"), "{error}");
    sqlx::raw_sql("rollback").execute(&mut *conn).await.unwrap();
    assert_eq!(text(&pool, "select cast(count(*) as char) from outbox_message").await.as_deref(), Some("0"));
}

async fn a_message_out_of_bounds_is_refused_and_the_transaction_goes_on(pool: MySqlPool) {
    let outbox = fresh(&pool).await;
    let mut tx = pool.begin().await.unwrap();
    for bad in [Message::new("", "e"), Message::new("t", ""), Message::new("t", "e").header("a\nb", "v")] {
        let error = outbox.enqueue(&mut tx, bad).await.expect_err("refused");
        assert_eq!(error.kind(), StoreErrorKind::InvalidMessage);
    }
    let error = sqlx::query("insert into outbox_message (topic, event_type, payload) values ('', 'e', 'x')");
    assert!(error.execute(&mut *tx).await.is_err(), "the table refuses it too");
    outbox.enqueue(&mut tx, Message::new(" ", "e").key(" ")).await.expect("a space is a name");
    outbox.commit(tx).await.unwrap();
    assert_eq!(text(&pool, "select cast(count(*) as char) from outbox_message").await.as_deref(), Some("1"));
}

async fn a_schema_that_does_not_fit_says_what_to_do(pool: MySqlPool) {
    let outbox = Mysql::new();
    let relay = relay(&outbox, &pool, &MemoryTransport::new());
    let error = said(relay.run_once().await.expect_err("no tables"));
    assert!(error.contains("missing") && error.contains("outbox migrate"), "{error}");
    let mut tx = pool.begin().await.unwrap();
    let error = outbox.enqueue(&mut tx, Message::new("t", "e")).await.expect_err("no tables");
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    drop(tx);
    outbox.migrate(&pool).await.unwrap();
    outbox.migrate(&pool).await.expect("again is nothing to do");
    run(&pool, "insert into outbox_schema (version) values (99)").await;
    let error = said(relay.run_once().await.expect_err("newer"));
    assert!(error.contains("version 99") && error.contains("upgrade this program"), "{error}");
    assert!(outbox.migrate(&pool).await.expect_err("newer").to_string().contains("upgrade this program"));
    run(&pool, "delete from outbox_schema where version > 1").await;
    let error = said(relay.run_once().await.expect_err("older"));
    assert!(error.contains("outbox migrate"), "{error}");
    outbox.migrate(&pool).await.expect("a migration that was half done is done again");
    assert_eq!(relay.run_once().await.expect("fits"), 0);
}

async fn other_names_live_beside_the_default_ones(pool: MySqlPool) {
    let outbox = fresh(&pool).await;
    let schema = format!("{}_shop", text(&pool, "select database()").await.unwrap());
    let other = Mysql::new().schema(&schema).unwrap().prefix("Events").unwrap();
    let migrated = tokio::join!(other.migrate(&pool), other.migrate(&pool), other.migrate(&pool));
    migrated.0.and(migrated.1).and(migrated.2).expect("many at once do no harm");
    write(&other, &pool, [Message::new("t", "other")]).await;
    let (one, two) = (MemoryTransport::new(), MemoryTransport::new());
    assert_eq!(relay(&outbox, &pool, &one).until_drained(SOON).await.unwrap(), 0);
    assert_eq!(relay(&other, &pool, &two).until_drained(SOON).await.unwrap(), 1);
    run(&pool, &format!("call `{schema}`.`Events_enqueue`('t', null, 'e', 'x', null)")).await;
    assert_eq!(relay(&other, &pool, &two).until_drained(SOON).await.unwrap(), 1);
    run(&pool, &format!("drop database `{schema}`")).await;
}

async fn the_procedure_writes_and_the_view_reads(pool: MySqlPool) {
    let outbox = fresh(&pool).await.keep_for(Duration::from_secs(3_600));
    run(&pool, "call outbox_enqueue('orders', '7', 'order.paid', 'sieben ☃', '{\"source\": \"mysql\"}')").await;
    run(&pool, "insert into outbox_message (topic, event_type, payload) values ('orders', 'order.sent', x'00ff')")
        .await;
    let published = "select cast(published_at as char) from outbox where event_type = 'order.paid'";
    assert_eq!(text(&pool, published).await, None);
    let sent = MemoryTransport::new();
    relay(&outbox, &pool, &sent).until_drained(SOON).await.unwrap();
    let sent = sent.take();
    assert_eq!((sent[0].topic(), sent[0].key(), sent[0].payload()), ("orders", Some("7"), "sieben ☃".as_bytes()));
    assert_eq!(sent[0].headers(), [("source".to_owned(), "mysql".to_owned())]);
    assert_eq!((sent[1].payload(), sent[1].content_type()), (b"\0\xff".as_slice(), None));
    assert!(text(&pool, published).await.is_some());
    let row = "select concat_ws(' ', id, payload, retry_count) from outbox where event_type = 'order.paid'";
    assert_eq!(text(&pool, row).await, Some(format!("{} sieben ☃ 0", sent[0].id())));
    let row = "select payload from outbox where event_type = 'order.sent'";
    assert_eq!(text(&pool, row).await.as_deref(), Some("\\x00ff"));
}

async fn a_sequence_that_went_back_is_said_and_mended(pool: MySqlPool) {
    let outbox = fresh(&pool).await;
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &pool, &sent);
    write(&outbox, &pool, (0..50).map(|n| Message::new("t", "e").key(n))).await;
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 50);
    let running = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(std::future::pending()).await }
    });
    testkit::eventually("the relay runs", SOON, || async { relay.handle().stats().active }).await;
    run(&pool, "truncate outbox_message").await;
    let error = tokio::time::timeout(SOON, running).await.expect("it stops").unwrap().expect_err("said");
    let RelayError::Store { source, .. } = &error else { panic!("{error}") };
    assert_eq!(source.kind(), StoreErrorKind::SequenceWentBack);
    assert!(source.to_string().contains("outbox reset test"), "{source}");
    write(&outbox, &pool, [Message::new("t", "e").text("after")]).await;
    outbox.reset(&pool, "test").await.unwrap();
    sent.take();
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 1);
    assert_eq!(sent.take()[0].payload(), b"after");
    assert!(outbox.reset(&pool, "nobody").await.expect_err("unknown").to_string().contains("outbox status"));
}

async fn a_second_process_stands_by_and_takes_over(pool: MySqlPool) {
    let outbox = fresh(&pool).await;
    let sent = MemoryTransport::new();
    let (first, second) = (relay(&outbox, &pool, &sent), relay(&outbox, &pool, &sent));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let first = first.clone();
        async move { first.run(async move { _ = stopped.await }).await }
    });
    testkit::eventually("the first has the lease", SOON, || async { first.handle().stats().active }).await;
    let error = second.run_once().await.expect_err("stands by");
    assert!(matches!(error, RelayError::Standby { .. }), "{error}");
    stop.send(()).unwrap();
    running.await.unwrap().expect("drained");
    write(&outbox, &pool, [Message::new("t", "e")]).await;
    let status = outbox.status(&pool).await.unwrap();
    assert_eq!((status.len(), status[0].waiting, status[0].active, status[0].last), (1, 1, false, 1));
    assert_eq!(second.run_once().await.expect("at once"), 1);
    assert_eq!(outbox.status(&pool).await.unwrap()[0].waiting, 0);
}

async fn names_share_an_outbox_by_topics_that_do_not_overlap(pool: MySqlPool) {
    let outbox = fresh(&pool).await;
    let (a, b, c) = (MemoryTransport::new(), MemoryTransport::new(), MemoryTransport::new());
    let of = |name: &str, topics: &[&str], to: &MemoryTransport| {
        let relay = StoreRelay::builder(name, outbox.store(pool.clone()), to.clone()).topics(topics.iter().copied());
        relay.build().expect("valid settings")
    };
    let (orders, others) = (of("orders", &["orders", "order.*"], &a), of("others", &["invoices"], &b));
    let running = tokio::spawn({
        let orders = orders.clone();
        async move { orders.run(std::future::pending()).await }
    });
    testkit::eventually("the first has the lease", SOON, || async { orders.handle().stats().active }).await;
    let overlapping = of("all", &[], &c);
    let error = said(overlapping.run_once().await.expect_err("refused"));
    assert!(error.contains("\"orders\"") && error.contains("do not overlap"), "{error}");
    let topics = ["orders", "invoices", "order.x", "orders "];
    write(&outbox, &pool, (0..2_000).map(|n| Message::new(topics[n % 4], "e").text(n.to_string()))).await;
    assert_eq!(others.until_drained(SOON).await.unwrap(), 500);
    let left = "select concat(count(*), ' ', min(concat(topic, '|'))) from outbox_message";
    let settled = async || text(&pool, left).await.as_deref() == Some("500 orders |");
    testkit::eventually("only a topic that nobody covers waits", SOON, settled).await;
    running.abort();
    assert!(running.await.expect_err("stopped").is_cancelled());
    assert!(b.take().iter().all(|m| m.topic() == "invoices"));
    assert!(a.take().iter().all(|m| m.topic() == "orders" || m.topic() == "order.x"));
}

async fn a_relay_name_starts_with_what_waits(pool: MySqlPool) {
    let outbox = fresh(&pool).await;
    let relay = StoreRelay::builder("late", outbox.store(pool.clone()), MemoryTransport::new()).start(StartAt::Now);
    let error = said(relay.build().expect("valid settings").run_once().await.expect_err("refused"));
    assert!(error.contains("start at the earliest"), "{error}");
}

async fn what_was_delivered_is_kept_and_put_back(pool: MySqlPool) {
    let outbox = fresh(&pool).await.keep_for(Duration::from_secs(3_600));
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &pool, &sent);
    write(&outbox, &pool, (0..30).map(|n| Message::new("t", "e").key(n % 3).text(n.to_string()))).await;
    relay.until_drained(SOON).await.unwrap();
    let first = sent.take();
    assert_eq!(outbox.restore(&pool, Replay::new("test").key(1)).await.unwrap(), 10);
    relay.until_drained(SOON).await.unwrap();
    let again = sent.take();
    let of_key: Vec<_> = first.iter().filter(|m| m.key() == Some("1")).collect();
    assert_eq!(again.len(), of_key.len());
    for (again, first) in again.iter().zip(of_key) {
        assert_eq!((again.id(), again.payload(), again.key()), (first.id(), first.payload(), first.key()));
    }
    let error = outbox.restore(&pool, Replay::new("test").topics(["u"]).unwrap()).await.expect_err("nothing");
    assert!(error.to_string().contains("keep_for"), "{error}");
    assert_eq!(outbox.retain(&pool, Duration::from_secs(3_600)).await.unwrap(), 0, "too young");
    assert_eq!(outbox.retain(&pool, Duration::ZERO).await.unwrap(), 40);
    write(&outbox, &pool, (0..2_500).map(|n| Message::new("t", "e").key(n % 3))).await;
    relay.until_drained(SOON).await.unwrap();
    assert_eq!(outbox.retain(&pool, Duration::ZERO).await.unwrap(), 2_500, "more than one statement");
}

async fn keys_are_locked_by_their_writers(pool: MySqlPool) {
    let outbox = fresh(&pool).await;
    let (mut one, mut two) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
    outbox.lock_keys(&mut one, ["a", "b"]).await.unwrap();
    outbox.lock_key(&mut two, "c").await.expect("another key is free");
    sqlx::raw_sql("set innodb_lock_wait_timeout = 1").execute(&mut *two).await.unwrap();
    let error = outbox.lock_key(&mut two, "a").await.expect_err("locked");
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    one.commit().await.unwrap();
    outbox.lock_key(&mut two, "a").await.expect("free again");
}

async fn many_holes_and_a_long_backlog_lose_nothing(pool: MySqlPool) {
    let outbox = fresh(&pool).await;
    // Every third number is a hole, so there are more of them than are remembered.
    for part in 0..40 {
        let many = (0..150).map(|n| Message::new("t", "e").key(n % 7).text((part * 150 + n).to_string()));
        write(&outbox, &pool, many).await;
    }
    run(&pool, "delete from outbox_message where seq % 3 = 0").await;
    let sent = MemoryTransport::new();
    let left: u64 = text(&pool, "select cast(count(*) as char) from outbox_message").await.unwrap().parse().unwrap();
    let mut late = pool.begin().await.unwrap();
    sqlx::query("insert into outbox_message (seq, topic, event_type, payload) values (3, 't', 'late', '')")
        .execute(&mut *late)
        .await
        .unwrap();
    let relay = StoreRelay::builder("test", outbox.store(pool.clone()), sent.clone()).window(200, 1 << 20).batch(50);
    let relay = relay.build().expect("valid settings");
    let running = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(std::future::pending()).await }
    });
    testkit::eventually("the backlog", SOON, || async { relay.handle().stats().delivered == left }).await;
    late.commit().await.unwrap();
    testkit::eventually("the late one", SOON, || async { relay.handle().stats().delivered == left + 1 }).await;
    running.abort();
    let sent = sent.take();
    assert_eq!(sent.len() as u64, left + 1, "nothing comes twice");
    assert_eq!(sent.last().map(|m| m.event_type().to_owned()).as_deref(), Some("late"));
}

async fn what_is_parked_comes_back_when_its_name_is_dropped(pool: MySqlPool) {
    let outbox = fresh(&pool).await;
    write(&outbox, &pool, (0..4).map(|n| Message::new("t", "e").key(n % 2).text(n.to_string()))).await;
    let failing = from_fn(|m: MessageRef<'_>| {
        let fails = m.key() == Some("0");
        async move { if fails { Err("refused".into()) } else { Ok::<(), Box<dyn std::error::Error + Send + Sync>>(()) } }
    });
    let relay = StoreRelay::builder("test", outbox.store(pool.clone()), failing).build().expect("valid settings");
    let running = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(std::future::pending()).await }
    });
    testkit::eventually("two are parked", SOON, || async {
        outbox.status(&pool).await.unwrap().first().is_some_and(|r| (r.parked, r.waiting) == (2, 0))
    })
    .await;
    assert!(outbox.drop_relay(&pool, "test").await.expect_err("held").to_string().contains("stop it first"));
    running.abort();
    assert!(running.await.expect_err("stopped").is_cancelled());
    outbox.force_drop_relay(&pool, "test").await.unwrap();
    assert!(outbox.status(&pool).await.unwrap().is_empty());
    let sent = MemoryTransport::new();
    assert_eq!(self::relay(&outbox, &pool, &sent).until_drained(SOON).await.unwrap(), 2);
    let payloads: Vec<_> = sent.take().iter().map(|m| m.payload().to_vec()).collect();
    assert_eq!(payloads, [b"0".to_vec(), b"2".to_vec()]);
}
